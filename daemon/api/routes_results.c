/* The decisions of a run, streamed in the order of import: a page of the store at a time, the next one when the client has taken enough of the last. */
#include "api/result_table.h"

#include "core/limits.h"

#include <string.h>

#define ROWS_WITH_INPUT 100 /* a page: at most 25 MiB, each row having at most LIMIT_ROW_BYTES */

/* What is read of the store, in this order. The agents and the input's columns have to be known before the first row goes out. */
enum results_step { READ_AGENTS, READ_COLUMNS, READ_ROWS };

struct results {
    struct page *page;          /* owned: what is asked of the store */
    struct result_table table;
    enum results_step step;
    bool is_reading;            /* a page is on its way */
    bool has_begun;
};

/* ---- the stream ---- */

static void results_free(void *state)
{
    struct results *results = state;
    free(results->page->key);
    selector_clear(&results->page->selector);
    free(results->page);
    result_table_clear(&results->table);
    free(results);
}

static void on_rows(struct store_op *op);

static void read_on(struct request *request)
{
    struct results *results = request->state;
    if (results->is_reading)
        return;
    results->is_reading = true;
    struct store_read *read = page_read(request, results->page, on_rows);
    read->query = results->step == READ_AGENTS ? QUERY_LOAD : QUERY_RESULTS;
    handler_submit(request, &read->op);
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
    stream_begin(request, 200, results->table.is_csv ? "text/csv; charset=utf-8; header=present" : "application/x-ndjson");
    buf_reset(&request->out);
    if (results->table.is_csv)
        result_table_header(&results->table, &request->out);
}

/* Steps before the rows: true when another page has to be read first. */
static bool prepare(struct results *results, const struct store_read *read, struct galloc_error *error, int *ret_rc)
{
    *ret_rc = 0;
    if (results->step == READ_ROWS)
        return false;
    if (results->step == READ_AGENTS)
        result_table_take_agents(&results->table, read);
    else
        *ret_rc = result_table_take_columns(&results->table, read, error);
    results->page->after = read->ret_next;
    if (read->ret_next == 0)
        results->step = results->step == READ_AGENTS && result_table_needs_columns(&results->table) ? READ_COLUMNS : READ_ROWS;
    return true;
}

static void write_rows(struct request *request, const struct store_read *read)
{
    struct results *results = request->state;
    if (!results->has_begun)
        begin(request);
    for (size_t i = 0; i < read->ret_row_count; i++)
        result_table_row(&results->table, read, i, &request->out);
    results->page->after = read->ret_next;
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
    struct galloc_error error;
    int rc;
    if (prepare(results, read, &error, &rc)) {
        store_op_free(op);
        if (rc < 0)
            request_fail(request, &error);
        else
            read_on(request);
        return;
    }
    write_rows(request, read);
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
    struct galloc_error error;
    struct plan plan;
    results->page->run = run->info.id;
    if (run->info.plan == NULL || plan_parse(run->info.plan, strlen(run->info.plan), &plan, &error) < 0)
        plan = (struct plan){0}; /* shown as allocations, which it may be */
    result_table_begin(&results->table, &plan);
    plan_clear(&plan);
    results->step = results->table.with_agent ? READ_AGENTS : result_table_needs_columns(&results->table) ? READ_COLUMNS : READ_ROWS;
    read_on(request);
}

/* A parameter that is one of a few words: its number. */
static int query_word(struct request *request, const char *name, const char *const *words, const char *help, int *ret_number, struct galloc_error *error)
{
    char *text = NULL;
    int rc = http_query(&request->head, name, 0, &text, error);
    for (*ret_number = 0; rc == 0 && text != NULL && strcmp(words[*ret_number], text) != 0;)
        if (words[++*ret_number] == NULL)
            rc = galloc_fail(error, GALLOC_INVALID_VALUE, "the parameter %s is %s, not \"%.60s\"", name, help, text);
    free(text);
    return rc;
}

static int read_parameters(struct request *request, struct results *results, struct galloc_error *error)
{
    static const char *const formats[] = {"ndjson", "csv", NULL}, *const inputs[] = {"none", "beside", "only", NULL};
    struct result_table *table = &results->table;
    int format = 0, input = 0;
    char *states = NULL;
    int rc = query_word(request, "format", formats, "ndjson or csv (gallocctl results makes json and xlsx of them)", &format, error);
    if (rc == 0)
        rc = query_word(request, "input", inputs, "none, beside or only", &input, error);
    if (rc == 0)
        rc = query_bool(request, "agent", false, &table->with_agent, error);
    if (rc == 0)
        rc = query_bool(request, "excel_safe", false, &table->is_excel_safe, error);
    if (rc == 0)
        rc = http_query(&request->head, "state", 0, &states, error);
    if (rc == 0 && states != NULL)
        rc = selector_states(states, &results->page->selector.states, error);
    free(states);
    if (rc == 0 && table->with_agent && input == RESULTS_INPUT_ONLY)
        rc = galloc_fail(error, GALLOC_INVALID_VALUE, "agent=1 and input=only exclude each other: the input has no agents");
    table->is_csv = format == 1;
    table->input = (enum results_input)input;
    return rc;
}

void handle_results(struct request *request)
{
    struct results *results = xcalloc(1, sizeof *results);
    struct galloc_error error;
    results->page = xcalloc(1, sizeof *results->page);
    request->state = results;
    request->state_free = results_free;
    int rc = read_parameters(request, results, &error);
    results->page->with_fields = results->table.input != RESULTS_INPUT_NONE;
    results->page->limit = results->page->with_fields ? ROWS_WITH_INPUT : LIMIT_PAGE_ROWS;
    if (rc < 0)
        request_fail(request, &error);
    else
        handler_with_plan(request, start);
}
