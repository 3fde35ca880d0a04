/* Parts of an import: the body goes to the ingest thread, what is well of it to the store, and the answer out after COMMIT. */
#include "api/handler.h"

#include "core/limits.h"
#include "ingest/ingest.h"

#include "base/parse.h"

#include <string.h>

#define ERRORS_MAX 100 /* of a problem's list */

struct part_target {
    int64_t run, part;
    enum import_duplicate on_duplicate;
};

/* An object without its members that are null: a problem's errors have only what applies. */
static void add_without_nulls(struct buf *out, struct json_span object)
{
    struct json_span name, value;
    const char *before = "{";
    for (const char *at = NULL; json_next(object, &at, &name, &value);) {
        if (json_span_kind(value) == JSON_NULL)
            continue;
        buf_add_str(out, before);
        buf_add(out, name.at, name.len);
        buf_add_char(out, ':');
        buf_add(out, value.at, value.len);
        before = ",";
    }
    buf_add_str(out, before[0] == '{' ? "{}" : "}");
}

/* With on_duplicate = error: the problem names the repeated rows. */
static void fail_with_rows(struct request *request, struct store_import *import)
{
    struct buf members = BUF_EMPTY;
    struct json_span answer = {import->ret_answer.data, import->ret_answer.len}, name, value, row;
    size_t count = 0;
    buf_add_str(&members, "\"errors\":[");
    for (const char *at = NULL; answer.len > 0 && json_next(answer, &at, &name, &value);) {
        if (!json_span_equals(name, "rejected"))
            continue;
        for (const char *in = NULL; count < ERRORS_MAX && json_next(value, &in, &name, &row); count++) {
            buf_add_str(&members, count ? "," : "");
            add_without_nulls(&members, row);
        }
        break;
    }
    buf_add_char(&members, ']');
    request_fail_with(request, &import->op.error, count > 0 ? members.data : NULL);
    buf_clear(&members);
}

static void on_imported(struct store_op *op)
{
    struct store_import *import = (struct store_import *)op;
    struct request *request = op->arg;
    if (op->code == -GALLOC_INVALID_INPUT && op->error.code == GALLOC_INVALID_INPUT) {
        fail_with_rows(request, import);
    } else if (op->code < 0) {
        request_fail_op(request, op);
    } else {
        buf_add(&request->out, import->ret_answer.data, import->ret_answer.len);
        request_reply(request, 200);
    }
    store_op_free(op);
}

/* The rows as the store takes them; they point into the same text, which moves over too. */
static void move_rows(struct ingest_part *part, struct store_import *import)
{
    import->rows = xcalloc(part->count, sizeof *import->rows);
    import->count = part->count;
    for (size_t i = 0; i < part->count; i++) {
        const struct ingest_row *from = &part->rows[i];
        struct import_row *to = &import->rows[i];
        to->key.at = from->key.at;
        to->key.len = from->key.len;
        to->fields.at = from->fields.at;
        to->fields.len = from->fields.len;
        to->row = from->row;
        memcpy(to->sha256, from->sha256, sizeof to->sha256);
    }
    import->text = part->text;
    part->text = NULL;
    memcpy(import->sha256, part->sha256, sizeof import->sha256);
    import->rejected_count = part->rejected_count;
    import->rejected = part->rejected_count > 0 ? buf_take(&part->rejected) : NULL;
}

static void on_checked(struct ingest_part *part)
{
    struct request *request = part->arg;
    const struct part_target *target = request->state;
    if (part->code < 0) {
        request_fail(request, &part->error);
        ingest_part_free(part);
        return;
    }
    struct store_import *import = handler_op(request, OP_IMPORT, on_imported);
    import->run = target->run;
    import->part = target->part;
    import->on_duplicate = target->on_duplicate;
    move_rows(part, import);
    ingest_part_free(part);
    handler_submit(request, &import->op);
}

static void take_part(struct request *request, struct run_entry *run)
{
    struct galloc_error error;
    int64_t n = 0;
    int rc = parse_i64(request->params[1], 1, INT64_MAX, &n, &error);
    if (rc < 0)
        galloc_prefix(&error, "the part's number");
    else if (run->info.state != RUN_IMPORTING)
        rc = galloc_fail(&error, GALLOC_WRONG_STATE, "run %s is %s: it takes no more parts", run->info.run_id, run_state_name(run->info.state));
    if (rc < 0) {
        request_fail(request, &error);
        return;
    }
    struct part_target *target = xcalloc(1, sizeof *target);
    *target = (struct part_target){.run = run->info.id, .part = n, .on_duplicate = run->has_plan ? (enum import_duplicate)run->plan.on_duplicate : DUPLICATE_SKIP};
    request->state = target;
    request->state_free = free;
    struct ingest_part *part = xcalloc(1, sizeof *part);
    part->len = request->body.len;
    part->text = buf_take(&request->body);
    part->done = on_checked;
    part->arg = request;
    if (ingest_submit(request->api->config.ingest, part))
        return;
    ingest_part_free(part);
    request_fail_fmt(request, GALLOC_BUSY, "other parts are being checked; send it again");
}

void handle_part_put(struct request *request)
{
    handler_with_run(request, NULL, take_part);
}

static bool part_row(struct request *request, struct json_out *out, const struct store_read *read, size_t row)
{
    (void)request;
    json_out_begin(out, '{');
    cell_member(out, "n", read, row, PART_N);
    cell_member(out, "sha256", read, row, PART_SHA256);
    cell_member(out, "rows", read, row, PART_ROWS);
    cell_member(out, "answer", read, row, PART_ANSWER);
    json_out_end(out, '}');
    return true;
}

static void list_parts(struct request *request, struct run_entry *run)
{
    struct page *page = request->state;
    page->run = run->info.id;
    page_start(request);
}

void handle_part_list(struct request *request)
{
    struct galloc_error error;
    struct page *page = page_new(request, QUERY_PARTS);
    page->row = part_row;
    if (page_parameters(request, page, &error) < 0)
        request_fail(request, &error);
    else
        handler_with_run(request, NULL, list_parts);
}
