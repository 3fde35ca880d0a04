/* The decisions of a run, streamed in the order of import: a page of the store at a time, the next one when the client has taken enough of the last. */
#include "api/handler.h"

#include "core/limits.h"

#include <string.h>

enum results_format { RESULTS_NDJSON, RESULTS_CSV };

struct results {
    struct page *page;         /* owned: what is asked of the store */
    enum results_format format;
    bool is_reading;           /* a page is on its way */
    bool has_begun;
    bool is_excel_safe;
};

/* A cell of CSV and NDJSON alike. Error columns of what did not fail are empty. */
static const struct result_column {
    const char *name;
    enum assignment_column column;
    bool is_models; /* the model's or the provider's words: a spreadsheet must not run them */
} columns[] = {
    {"key", ASSIGNMENT_KEY, false},
    {"state", ASSIGNMENT_STATE, false},
    {"agent_id", ASSIGNMENT_AGENT_ID, false},
    {"reason", ASSIGNMENT_REASON, true},
    {"confidence", ASSIGNMENT_CONFIDENCE, false},
    {"decided_by", ASSIGNMENT_DECIDED_BY, false},
    {"attempts", ASSIGNMENT_ATTEMPTS, false},
    {"latency_ms", ASSIGNMENT_LATENCY_MS, false},
    {"tokens_in", ASSIGNMENT_TOKENS_IN, false},
    {"tokens_out", ASSIGNMENT_TOKENS_OUT, false},
    {"model", ASSIGNMENT_MODEL, true},
    {"finished_at", ASSIGNMENT_FINISHED_AT, false},
};
static const struct result_column error_columns[] = {
    {"error_code", ASSIGNMENT_CODE, false},
    {"error_message", ASSIGNMENT_MESSAGE, true},
    {"error_http_status", ASSIGNMENT_HTTP_STATUS, false},
};
/* Later additions stand at the end, so that readers of CSV by position go on working. */
static const struct result_column cost_columns[] = {
    {"cost_micros", ASSIGNMENT_COST_MICROS, false},
    {"currency", ASSIGNMENT_CURRENCY, false},
};

/* ---- CSV ---- */

static void csv_header(struct buf *out)
{
    for (size_t i = 0; i < ARRAY_COUNT(columns); i++)
        buf_add_fmt(out, "%s%s", i ? "," : "", columns[i].name);
    for (size_t i = 0; i < ARRAY_COUNT(error_columns); i++)
        buf_add_fmt(out, ",%s", error_columns[i].name);
    for (size_t i = 0; i < ARRAY_COUNT(cost_columns); i++)
        buf_add_fmt(out, ",%s", cost_columns[i].name);
    buf_add_str(out, "\r\n");
}

static bool has_error(const struct store_read *read, size_t row)
{
    const char *state = read_text(read, row, ASSIGNMENT_STATE);
    return state != NULL && strcmp(state, assignment_state_name(ASSIGNMENT_FAILED)) == 0;
}

static void csv_row(struct buf *out, const struct store_read *read, size_t row, bool is_excel_safe)
{
    for (size_t i = 0; i < ARRAY_COUNT(columns); i++) {
        if (i > 0)
            buf_add_char(out, ',');
        csv_value(out, read, row, columns[i].column, columns[i].is_models || is_excel_safe);
    }
    bool is_failed = has_error(read, row);
    for (size_t i = 0; i < ARRAY_COUNT(error_columns); i++) {
        buf_add_char(out, ',');
        if (is_failed)
            csv_value(out, read, row, error_columns[i].column, error_columns[i].is_models || is_excel_safe);
    }
    for (size_t i = 0; i < ARRAY_COUNT(cost_columns); i++) {
        buf_add_char(out, ',');
        csv_value(out, read, row, cost_columns[i].column, is_excel_safe);
    }
    buf_add_str(out, "\r\n");
}

/* ---- NDJSON ---- */

static void ndjson_row(struct buf *buf, const struct store_read *read, size_t row)
{
    struct json_out out = JSON_OUT(buf);
    json_out_begin(&out, '{');
    for (size_t i = 0; i < ARRAY_COUNT(columns); i++)
        cell_member(&out, columns[i].name, read, row, columns[i].column);
    for (size_t i = 0; i < ARRAY_COUNT(cost_columns); i++)
        cell_member(&out, cost_columns[i].name, read, row, cost_columns[i].column);
    if (has_error(read, row)) {
        const char *message = read_text(read, row, ASSIGNMENT_MESSAGE), *code = read_text(read, row, ASSIGNMENT_CODE);
        int class = code ? outcome_class_by_name(code) : -1;
        json_out_name(&out, "error");
        json_out_begin(&out, '{');
        json_out_member_str(&out, "code", code);
        json_out_member_str(&out, "message", message ? message : class >= 0 ? outcome_row((enum outcome_class)class)->text : "");
        cell_member(&out, "http_status", read, row, ASSIGNMENT_HTTP_STATUS);
        json_out_end(&out, '}');
    }
    if (read_text(read, row, ASSIGNMENT_CORRUPT) != NULL)
        cell_member(&out, "corrupt", read, row, ASSIGNMENT_CORRUPT);
    json_out_end(&out, '}');
    buf_add_char(buf, '\n');
}

/* ---- the stream ---- */

static void results_free(void *state)
{
    struct results *results = state;
    free(results->page->key);
    selector_clear(&results->page->selector);
    free(results->page);
    free(results);
}

static void on_rows(struct store_op *op);

static void read_on(struct request *request)
{
    struct results *results = request->state;
    if (results->is_reading)
        return;
    results->is_reading = true;
    handler_submit(request, &page_read(request, results->page, on_rows)->op);
}

static void on_gone(struct request *request)
{
    struct results *results = request->state;
    if (!results->is_reading)
        stream_end(request);
}

static void begin(struct request *request)
{
    struct results *results = request->state;
    results->has_begun = true;
    request->on_room = read_on;
    request->on_gone = on_gone;
    stream_begin(request, 200, results->format == RESULTS_CSV ? "text/csv; charset=utf-8; header=present" : "application/x-ndjson");
    buf_reset(&request->out);
    if (results->format == RESULTS_CSV)
        csv_header(&request->out);
}

static void on_rows(struct store_op *op)
{
    struct store_read *read = (struct store_read *)op;
    struct request *request = op->arg;
    struct results *results = request->state;
    results->is_reading = false;
    if (op->code < 0 && !results->has_begun) {
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
    if (!results->has_begun)
        begin(request);
    for (size_t i = 0; i < read->ret_row_count; i++) {
        if (results->format == RESULTS_CSV)
            csv_row(&request->out, read, i, results->is_excel_safe);
        else
            ndjson_row(&request->out, read, i);
    }
    results->page->after = read->ret_next;
    store_op_free(op);
    bool is_empty = request->out.len == 0;
    stream_write(request, request->out.data, request->out.len);
    buf_reset(&request->out);
    if (results->page->after == 0)
        stream_end(request);
    else if (is_empty)
        read_on(request);
}

static void start(struct request *request, struct run_entry *run)
{
    struct results *results = request->state;
    results->page->run = run->info.id;
    read_on(request);
}

void handle_results(struct request *request)
{
    struct results *results = xcalloc(1, sizeof *results);
    results->page = xcalloc(1, sizeof *results->page);
    results->page->query = QUERY_RESULTS;
    results->page->limit = LIMIT_PAGE_ROWS;
    request->state = results;
    request->state_free = results_free;
    struct galloc_error error;
    char *format = NULL, *states = NULL;
    int rc = http_query(&request->head, "format", 0, &format, &error);
    if (rc == 0 && format != NULL && strcmp(format, "csv") == 0)
        results->format = RESULTS_CSV;
    else if (rc == 0 && format != NULL && strcmp(format, "ndjson") != 0)
        rc = galloc_fail(&error, GALLOC_INVALID_VALUE, "the parameter format is ndjson or csv, not \"%.60s\" (gallocctl results makes json and xlsx of them)", format);
    if (rc == 0)
        rc = query_bool(request, "excel_safe", false, &results->is_excel_safe, &error);
    if (rc == 0)
        rc = http_query(&request->head, "state", 0, &states, &error);
    if (rc == 0 && states != NULL)
        rc = selector_states(states, &results->page->selector.states, &error);
    free(format);
    free(states);
    if (rc < 0) {
        request_fail(request, &error);
        return;
    }
    handler_with_run(request, NULL, start);
}
