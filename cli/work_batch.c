/* See work_batch.h. */
#include "cli/work_batch.h"

#include "base/json_out.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BODY_RESULTS_MAX = 1000,       /* the daemon takes no more at once */
    BODY_BYTES_ENOUGH = 2 << 20,   /* then a new body: 64 KiB more are well below its 4 MiB */
    COMPLAINTS_MAX = 3             /* said of one batch; the others are counted */
};

/* ---- the lease ---- */

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct batch_item *)a)->key, ((const struct batch_item *)b)->key);
}

static void take_keys(struct batch *batch, struct json_object *assignments)
{
    batch->count = json_array_len(assignments);
    batch->items = xcalloc(batch->count + 1, sizeof *batch->items);
    for (size_t i = 0; i < batch->count; i++)
        batch->items[i].key = xstrdup(json_get_str(json_array_at(assignments, i), "key", ""));
    qsort(batch->items, batch->count, sizeof *batch->items, by_key);
}

/* A member of the answer as it stands there, under the name that CMD knows it by. */
static void pass_member(struct json_out *out, struct json_span object, const char *name, const char *as)
{
    const char *at = NULL;
    struct json_span member, value;
    while (json_next(object, &at, &member, &value)) {
        if (!json_span_equals(member, name))
            continue;
        json_out_name(out, as);
        json_out_raw(out, value.at, value.len);
    }
}

int batch_read(struct batch *batch, const struct response *response, struct buf *ret_input, struct galloc_error *error)
{
    static const char *const names[][2] = {{"lease", "lease"}, {"expires_at", "deadline"}, {"run", "run"}, {"schema", "schema"}, {"agents", "agents"}, {"assignments", "assignments"}};
    const char *lease = json_get_str(response->json, "lease", NULL), *run = json_get_str(response->json, "run", NULL);
    struct json_object *assignments = json_get(response->json, "assignments");
    if (lease == NULL || run == NULL || json_array_len(assignments) == 0)
        return galloc_fail(error, GALLOC_INTERNAL, "the daemon's answer is no lease; is it another version? See 'gallocctl version'");
    *batch = (struct batch){.lease = xstrdup(lease), .run = xstrdup(run), .ttl_ms = json_get_i64(response->json, "ttl_ms", 30000)};
    take_keys(batch, assignments);
    struct json_out out = JSON_OUT(ret_input);
    struct json_span answer = {response->body.data, response->body.len};
    json_out_begin(&out, '{');
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        pass_member(&out, answer, names[i][0], names[i][1]);
    json_out_end(&out, '}');
    buf_add_char(ret_input, '\n');
    return 0;
}

void batch_set_error(struct batch *batch, const char *code, char *message, bool may_retry)
{
    free(batch->message);
    batch->code = code;
    batch->message = message;
    batch->may_retry = may_retry;
}

/* ---- CMD's answer ---- */

struct taking {
    const struct cli *cli;
    struct batch *batch;
    size_t found, complaints;
};

static void complain(struct taking *taking, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void complain(struct taking *taking, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (taking->complaints++ < COMPLAINTS_MAX)
        say_always(taking->cli, "lease %s: %s", taking->batch->lease, text);
}

/* Nothing of it can be used. */
static size_t refuse(struct taking *taking, const char *code, char *words)
{
    const struct batch *batch = taking->batch;
    complain(taking, "%s; so %s%s is told as an error, to be tried again", words, batch->items[0].key, batch->count > 1 ? ", like the rest of the batch," : "");
    batch_set_error(taking->batch, code, words, true);
    return 0;
}

static struct json_span member_of(struct json_span object, const char *name)
{
    const char *at = NULL;
    struct json_span member, value;
    if (json_span_kind(object) == JSON_OBJECT)
        while (json_next(object, &at, &member, &value))
            if (json_span_equals(member, name))
                return value;
    return (struct json_span){NULL, 0};
}

static struct batch_item *item_of(struct batch *batch, const struct buf *key)
{
    struct batch_item wanted = {.key = key->data};
    if (key->len == 0 || strlen(key->data) != key->len)
        return NULL;
    return bsearch(&wanted, batch->items, batch->count, sizeof *batch->items, by_key);
}

static void take_result(struct taking *taking, struct json_span result, size_t number)
{
    struct json_span key = member_of(result, "key");
    struct buf text = BUF_EMPTY;
    if (key.len == 0 || json_span_kind(key) != JSON_STRING) {
        complain(taking, "result %zu has no string \"key\"; it is passed over", number);
        return;
    }
    json_span_string(key, &text);
    struct batch_item *item = item_of(taking->batch, &text);
    if (item == NULL)
        complain(taking, "result %zu is of \"%.256s\", which is not in this lease; it is passed over", number, buf_text(&text));
    else if (item->told.len > 0)
        complain(taking, "%s has a second result; the first one counts", item->key);
    else if (result.len > BATCH_RESULT_BYTES)
        complain(taking, "the result of %s has %zu bytes; the most is %d", item->key, result.len, BATCH_RESULT_BYTES);
    else {
        item->told = result;
        taking->found++;
    }
    buf_clear(&text);
}

static void complain_of_missing(struct taking *taking)
{
    const struct batch *batch = taking->batch;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->items[i].told.len == 0)
            complain(taking, "there is no result of %s; it is told as an error, to be tried again", batch->items[i].key);
}

size_t batch_take_output(const struct cli *cli, struct batch *batch, const struct buf *out)
{
    struct taking taking = {.cli = cli, .batch = batch};
    struct galloc_error error;
    if (strspn(buf_text(out), " \t\r\n") == out->len)
        return refuse(&taking, "no_output", xstrdup("the command ended well, but printed nothing"));
    if (json_check(out->data, out->len, &error) < 0)
        return refuse(&taking, "bad_output", xasprintf("the command's output: %.300s", error.message));
    struct json_span whole = {out->data + strspn(out->data, " \t\r\n"), 0};
    whole.len = out->len - (size_t)(whole.at - out->data);
    struct json_span results = member_of(whole, "results"), result, name;
    if (results.len == 0 || json_span_kind(results) != JSON_ARRAY)
        return refuse(&taking, "bad_output", xstrdup("the command's output has to be {\"results\":[…]}, and there is no such list"));
    size_t number = 0;
    for (const char *at = NULL; json_next(results, &at, &name, &result);)
        take_result(&taking, result, ++number);
    batch_set_error(batch, "no_result", xstrdup("the command gave no result for it that could be used"), true);
    complain_of_missing(&taking);
    if (taking.complaints > COMPLAINTS_MAX)
        say_always(cli, "lease %s: … and %zu more of such", batch->lease, taking.complaints - COMPLAINTS_MAX);
    return taking.found;
}

/* ---- what the daemon is told ---- */

static void add_error(struct json_out *out, const struct batch *batch, const char *key)
{
    json_out_begin(out, '{');
    json_out_member_str(out, "key", key);
    json_out_name(out, "error");
    json_out_begin(out, '{');
    json_out_member_str(out, "code", batch->code);
    json_out_member_str(out, "message", batch->message);
    json_out_member_bool(out, "retry", batch->may_retry);
    json_out_end(out, '}');
    json_out_end(out, '}');
}

bool batch_next_body(struct batch *batch, struct buf *body)
{
    buf_reset(body);
    if (batch->next == batch->count)
        return false;
    struct json_out out = JSON_OUT(body);
    json_out_begin(&out, '{');
    json_out_name(&out, "results");
    json_out_begin(&out, '[');
    for (size_t i = 0; batch->next < batch->count && i < BODY_RESULTS_MAX && body->len < BODY_BYTES_ENOUGH; i++) {
        const struct batch_item *item = &batch->items[batch->next++];
        if (item->told.len > 0)
            json_out_raw(&out, item->told.at, item->told.len);
        else
            add_error(&out, batch, item->key);
    }
    json_out_end(&out, ']');
    json_out_end(&out, '}');
    return true;
}

void batch_clear(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        free(batch->items[i].key);
    free(batch->items);
    free(batch->lease);
    free(batch->run);
    free(batch->message);
    *batch = (struct batch){0};
}
