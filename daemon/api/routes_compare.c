/* Two runs on the same keys: the comparison as one object, or what differs as a stream of rows. Neither holds up the loop: the reader goes over the keys in turns and
 * sends sums, or a page at a time when the client has taken enough of the last. */
#include "api/handler.h"

#include "api/compare_json.h"
#include "core/compare.h"
#include "core/limits.h"

#include <string.h>

struct comparing {
    char *references[SIDE_COUNT]; /* owned */
    char *truth;                  /* owned; NULL: none */
    bool is_diff, is_csv;
    int64_t runs[SIDE_COUNT];
    int64_t after;
    bool is_reading, has_begun;   /* of the stream */
};

static void comparing_free(void *state)
{
    struct comparing *comparing = state;
    free(comparing->references[SIDE_A]);
    free(comparing->references[SIDE_B]);
    free(comparing->truth);
    free(comparing);
}

static struct store_read *read_of(struct request *request, enum store_query query, void (*done)(struct store_op *op))
{
    struct comparing *comparing = request->state;
    struct store_read *read = handler_op(request, OP_READ, done);
    read->query = query;
    read->run = comparing->runs[SIDE_A];
    read->other = comparing->runs[SIDE_B];
    read->truth = xstrdup(comparing->truth);
    read->after = comparing->after;
    read->limit = LIMIT_PAGE_ROWS;
    return read;
}

/* ---- the whole ---- */

static void on_compared(struct store_op *op)
{
    struct request *request = op->arg;
    struct galloc_error error;
    struct json_out out = JSON_OUT(&request->out);
    if (op->code < 0)
        request_fail_op(request, op);
    else if (compare_json(&out, request->api->config.engine, (struct store_read *)op, &error) < 0)
        request_fail(request, &error);
    else
        request_reply(request, 200);
    store_op_free(op);
}

/* ---- what differs ---- */

static const struct diff_member {
    const char *name;
    enum diff_column column;
    bool is_models; /* the model's or the provider's words: a spreadsheet must not run them */
} diff_members[] = {
    {"key", DIFF_KEY, false},          {"agent_a", DIFF_AGENT_A, false},           {"agent_b", DIFF_AGENT_B, false},           {"state_a", DIFF_STATE_A, false},
    {"state_b", DIFF_STATE_B, false},  {"confidence_a", DIFF_CONFIDENCE_A, false}, {"confidence_b", DIFF_CONFIDENCE_B, false}, {"reason_a", DIFF_REASON_A, true},
    {"reason_b", DIFF_REASON_B, true}, {"truth", DIFF_TRUTH, false},               {"corrupt", DIFF_CORRUPT, false},
};

static void diff_row(struct buf *buf, const struct store_read *read, size_t row, bool is_csv)
{
    struct json_out out = JSON_OUT(buf);
    if (!is_csv)
        json_out_begin(&out, '{');
    for (size_t i = 0; i < ARRAY_COUNT(diff_members); i++) {
        if (is_csv && i > 0)
            buf_add_char(buf, ',');
        if (is_csv)
            csv_value(buf, read, row, diff_members[i].column, diff_members[i].is_models);
        else
            cell_member(&out, diff_members[i].name, read, row, diff_members[i].column);
    }
    if (!is_csv)
        json_out_end(&out, '}');
    buf_add_str(buf, is_csv ? "\r\n" : "\n");
}

static void on_rows(struct store_op *op);

static void read_on(struct request *request)
{
    struct comparing *comparing = request->state;
    if (comparing->is_reading)
        return;
    comparing->is_reading = true;
    handler_submit(request, &read_of(request, QUERY_DIFF, on_rows)->op);
}

static void on_gone(struct request *request)
{
    struct comparing *comparing = request->state;
    if (!comparing->is_reading)
        stream_end(request);
}

static void begin(struct request *request)
{
    struct comparing *comparing = request->state;
    comparing->has_begun = true;
    request->on_room = read_on;
    request->on_gone = on_gone;
    stream_begin(request, 200, comparing->is_csv ? "text/csv; charset=utf-8; header=present" : "application/x-ndjson");
    buf_reset(&request->out);
    for (size_t i = 0; comparing->is_csv && i < ARRAY_COUNT(diff_members); i++)
        buf_add_fmt(&request->out, "%s%s%s", i ? "," : "", diff_members[i].name, i + 1 == ARRAY_COUNT(diff_members) ? "\r\n" : "");
}

static void on_rows(struct store_op *op)
{
    struct store_read *read = (struct store_read *)op;
    struct request *request = op->arg;
    struct comparing *comparing = request->state;
    comparing->is_reading = false;
    if (op->code < 0 && !comparing->has_begun) {
        request_fail_op(request, op);
        store_op_free(op);
        return;
    }
    if (request->connection == NULL || op->code < 0) {
        store_op_free(op);
        if (request->connection == NULL)
            stream_end(request);
        else
            stream_cut(request);
        return;
    }
    if (!comparing->has_begun)
        begin(request);
    for (size_t i = 0; i < read->ret_row_count; i++)
        diff_row(&request->out, read, i, comparing->is_csv);
    comparing->after = read->ret_next;
    store_op_free(op);
    bool is_empty = request->out.len == 0;
    stream_write(request, request->out.data, request->out.len);
    buf_reset(&request->out);
    if (comparing->after == 0)
        stream_end(request);
    else if (is_empty)
        read_on(request);
}

/* ---- the runs ---- */

static bool refuse_importing(struct request *request, const struct run_entry *run)
{
    if (run->info.state != RUN_IMPORTING)
        return false;
    request_fail_fmt(request, GALLOC_WRONG_STATE, "run %s is still importing: its keys are not all there yet", run->info.run_id);
    return true;
}

static void with_b(struct request *request, struct run_entry *run)
{
    struct comparing *comparing = request->state;
    comparing->runs[SIDE_B] = run->info.id;
    if (refuse_importing(request, run))
        return;
    if (comparing->runs[SIDE_A] == comparing->runs[SIDE_B])
        request_fail_fmt(request, GALLOC_INVALID_VALUE, "a and b are both run %s: compare it with another", run->info.run_id);
    else if (comparing->is_diff)
        read_on(request);
    else
        handler_submit(request, &read_of(request, QUERY_COMPARE, on_compared)->op);
}

static void with_a(struct request *request, struct run_entry *run)
{
    struct comparing *comparing = request->state;
    comparing->runs[SIDE_A] = run->info.id;
    if (!refuse_importing(request, run))
        handler_with_run(request, comparing->references[SIDE_B], with_b);
}

/* A parameter that is one of two words; *ret_is_second: the second. Not given: the first. */
static int query_word(struct request *request, const char *name, const char *first, const char *second, bool *ret_is_second, struct galloc_error *error)
{
    char *text = NULL;
    int rc = http_query(&request->head, name, 0, &text, error);
    *ret_is_second = rc == 0 && text != NULL && strcmp(text, second) == 0;
    if (rc == 0 && text != NULL && !*ret_is_second && strcmp(text, first) != 0)
        rc = galloc_fail(error, GALLOC_INVALID_VALUE, "the parameter %s is %s%s%s, not \"%.60s\"", name, first, first[0] ? " or " : "", second, text);
    free(text);
    return rc;
}

void handle_compare(struct request *request)
{
    struct comparing *comparing = xcalloc(1, sizeof *comparing);
    struct galloc_error error;
    request->state = comparing;
    request->state_free = comparing_free;
    int rc = http_query(&request->head, "a", 0, &comparing->references[SIDE_A], &error);
    if (rc == 0)
        rc = http_query(&request->head, "b", 0, &comparing->references[SIDE_B], &error);
    if (rc == 0)
        rc = http_query(&request->head, "truth", 0, &comparing->truth, &error);
    if (rc == 0)
        rc = query_word(request, "only", "", "diff", &comparing->is_diff, &error);
    if (rc == 0)
        rc = query_word(request, "format", "ndjson", "csv", &comparing->is_csv, &error);
    if (rc == 0 && (comparing->references[SIDE_A] == NULL || comparing->references[SIDE_B] == NULL))
        rc = galloc_fail(&error, GALLOC_INVALID_VALUE, "two runs are compared: ?a=RUN&b=RUN");
    if (rc == 0 && comparing->is_csv && !comparing->is_diff)
        rc = galloc_fail(&error, GALLOC_INVALID_VALUE, "only=diff is what can be had as CSV");
    if (rc == 0 && comparing->truth != NULL && comparing->truth[0] == '\0')
        rc = galloc_fail(&error, GALLOC_INVALID_VALUE, "the parameter truth is the name of a column of the input");
    if (rc < 0)
        request_fail(request, &error);
    else
        handler_with_run(request, comparing->references[SIDE_A], with_a);
}
