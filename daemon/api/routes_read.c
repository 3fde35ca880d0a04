/* What is read of a run: its assignments, their attempts, failures by cause, loads. All by pages of the store. */
#include "api/handler.h"

#include "core/limits.h"
#include "core/result_body.h"

#include <inttypes.h>
#include <string.h>

/* ---- assignments ---- */

/* Why it failed, or the last trouble of one that is pending. */
static void error_json(struct json_out *out, const struct store_read *read, size_t row)
{
    json_out_name(out, "error");
    const char *code = read_text(read, row, ASSIGNMENT_CODE);
    const char *state = read_text(read, row, ASSIGNMENT_STATE);
    const char *message = read_text(read, row, ASSIGNMENT_MESSAGE);
    bool is_trouble = code != NULL && strcmp(code, outcome_row(OUTCOME_SUCCEEDED)->name) != 0 && state != NULL &&
                      strcmp(state, assignment_state_name(ASSIGNMENT_SUCCEEDED)) != 0;
    if (!is_trouble) {
        json_out_null(out);
        return;
    }
    int class = outcome_class_by_name(code);
    json_out_begin(out, '{');
    json_out_member_str(out, "code", code);
    json_out_member_str(out, "message", message ? message : class >= 0 ? outcome_row((enum outcome_class)class)->text : code);
    cell_member(out, "http_status", read, row, ASSIGNMENT_HTTP_STATUS);
    json_out_end(out, '}');
}

static void assignment_members(struct json_out *out, const struct store_read *read, size_t row, bool with_fields)
{
    static const struct {
        const char *name;
        enum assignment_column column;
    } members[] = {
        {"key", ASSIGNMENT_KEY},           {"row", ASSIGNMENT_ROW},           {"state", ASSIGNMENT_STATE},           {"attempts", ASSIGNMENT_ATTEMPTS},
        {"retries_spent", ASSIGNMENT_RETRIES_SPENT}, {"agent_id", ASSIGNMENT_AGENT_ID}, {"reason", ASSIGNMENT_REASON}, {"confidence", ASSIGNMENT_CONFIDENCE},
        {"answer", ASSIGNMENT_ANSWER},
        {"decided_by", ASSIGNMENT_DECIDED_BY}, {"not_before", ASSIGNMENT_NOT_BEFORE}, {"finished_at", ASSIGNMENT_FINISHED_AT},
    };
    for (size_t i = 0; i < ARRAY_COUNT(members); i++)
        cell_member(out, members[i].name, read, row, members[i].column);
    error_json(out, read, row);
    if (read_text(read, row, ASSIGNMENT_CORRUPT) != NULL)
        cell_member(out, "corrupt", read, row, ASSIGNMENT_CORRUPT);
    if (with_fields)
        cell_member(out, "fields", read, row, ASSIGNMENT_FIELDS);
}

static bool assignment_row(struct request *request, struct json_out *out, const struct store_read *read, size_t row)
{
    struct page *page = request->state;
    json_out_begin(out, '{');
    assignment_members(out, read, row, page->with_fields);
    json_out_end(out, '}');
    return true;
}

static void list_of_run(struct request *request, struct run_entry *run)
{
    struct page *page = request->state;
    page->run = run->info.id;
    page_start(request);
}

void handle_assignment_list(struct request *request)
{
    struct galloc_error error;
    struct page *page = page_new(request, QUERY_ASSIGNMENTS);
    page->row = assignment_row;
    int rc = page_parameters(request, page, &error);
    if (rc == 0)
        rc = query_bool(request, "fields", false, &page->with_fields, &error);
    if (rc == 0)
        rc = selector_from_query(&request->head, &page->selector, &error);
    if (rc < 0)
        request_fail(request, &error);
    else
        handler_with_run(request, NULL, list_of_run);
}

/* ---- one assignment ---- */

static void fail_no_key(struct request *request)
{
    request_fail_fmt(request, GALLOC_NOT_FOUND, "the run has no assignment with the key \"%.256s\"", request->params[1]);
}

/* Its prompt as it would be sent now. What cannot be rendered any more is told in the member's place. */
static void prompt_json(struct request *request, struct json_out *out, const struct store_read *read)
{
    struct engine *engine = request->api->config.engine;
    const struct page *page = request->state;
    const struct run_entry *run = registry_run_by_id(engine_registry(engine), page->run);
    const char *fields = read_text(read, 0, ASSIGNMENT_FIELDS);
    struct buf system = BUF_EMPTY, user = BUF_EMPTY;
    struct galloc_error error;
    int rc;
    if (run == NULL || !run->has_plan || run->pool == NULL || fields == NULL)
        rc = galloc_fail(&error, GALLOC_WRONG_STATE, "the run has ended: its agents are no longer at hand");
    else if (run->is_on_workers)
        rc = galloc_fail(&error, GALLOC_WRONG_STATE, "outside workers decide this run: they get the fields and the agents, and no prompt");
    else
        rc = engine_prompt(engine, &(struct engine_prompt){run->endpoint, &run->plan, run->pool, run->info.run_id, request->params[1], fields, strlen(fields)}, &system,
                           &user, NULL, &error);
    json_out_name(out, "prompt");
    json_out_begin(out, '{');
    json_out_member_str(out, "system", rc == 0 ? buf_text(&system) : "");
    json_out_member_str(out, "user", rc == 0 ? buf_text(&user) : "");
    if (rc < 0)
        json_out_member_str(out, "problem", error.message);
    json_out_end(out, '}');
    buf_clear(&system);
    buf_clear(&user);
}

static void on_assignment(struct store_op *op)
{
    struct store_read *read = (struct store_read *)op;
    struct request *request = op->arg;
    struct galloc_error error;
    bool with_prompt = false;
    int rc = query_bool(request, "prompt", false, &with_prompt, &error);
    if (op->code < 0) {
        request_fail_op(request, op);
    } else if (read->ret_row_count == 0) {
        fail_no_key(request);
    } else if (rc < 0) {
        request_fail(request, &error);
    } else {
        struct json_out out = JSON_OUT(&request->out);
        json_out_begin(&out, '{');
        assignment_members(&out, read, 0, true);
        if (with_prompt)
            prompt_json(request, &out, read);
        json_out_end(&out, '}');
        request_reply(request, 200);
    }
    store_op_free(op);
}

void handler_reply_assignment(struct request *request, int64_t run)
{
    struct page *page = page_new(request, QUERY_ASSIGNMENT);
    page->key = xstrdup(request->params[1]);
    page->run = run;
    page->with_fields = true;
    page->limit = 1;
    handler_submit(request, &page_read(request, page, on_assignment)->op);
}

static void show_assignment(struct request *request, struct run_entry *run)
{
    handler_reply_assignment(request, run->info.id);
}

void handle_assignment_show(struct request *request)
{
    handler_with_run(request, NULL, show_assignment);
}

/* ---- attempts ---- */

static void attempt_tokens(struct json_out *out, const struct store_read *read, size_t row)
{
    static const struct {
        const char *name;
        enum attempt_column column;
    } members[] = {{"in", ATTEMPT_TOKENS_IN}, {"cached", ATTEMPT_TOKENS_CACHED}, {"out", ATTEMPT_TOKENS_OUT}, {"thinking", ATTEMPT_TOKENS_THOUGHT}, {"tool", ATTEMPT_TOKENS_TOOL}};
    json_out_name(out, "tokens");
    if (read_cell(read, row, ATTEMPT_TOKENS_IN)->kind == CELL_NULL && read_cell(read, row, ATTEMPT_TOKENS_OUT)->kind == CELL_NULL) {
        json_out_null(out);
        return;
    }
    json_out_begin(out, '{');
    for (size_t i = 0; i < ARRAY_COUNT(members); i++)
        json_out_member_int(out, members[i].name, read_int(read, row, members[i].column, 0));
    json_out_end(out, '}');
}

/* Who made it: a worker, the built-in one, or a person; and what was decided, where a person changed that since. */
static void attempt_decider(struct json_out *out, const struct store_read *read, size_t row)
{
    const char *worker = read_text(read, row, ATTEMPT_WORKER);
    int64_t uid = read_int(read, row, ATTEMPT_UID, -1);
    char name[64] = "";
    if (uid >= 0)
        account_name((uint32_t)uid, name, sizeof name);
    json_out_member_str(out, "worker", uid >= 0 ? DECIDED_BY_PERSON : worker ? worker : "builtin");
    json_out_member_str(out, "person", uid >= 0 ? name : NULL);
    cell_member(out, "decision", read, row, ATTEMPT_DECISION);
}

static bool attempt_row(struct request *request, struct json_out *out, const struct store_read *read, size_t row)
{
    static const struct {
        const char *name;
        enum attempt_column column;
    } members[] = {
        {"n", ATTEMPT_N},
        {"class", ATTEMPT_CLASS},
        {"started_at", ATTEMPT_STARTED_AT},
        {"ended_at", ATTEMPT_ENDED_AT},
        {"latency_ms", ATTEMPT_LATENCY_MS},
        {"endpoint", ATTEMPT_ENDPOINT},
        {"http_status", ATTEMPT_HTTP_STATUS},
        {"cost_micros", ATTEMPT_COST_MICROS},
        {"currency", ATTEMPT_CURRENCY},
        {"agent_id", ATTEMPT_AGENT_ID},
        {"excluded", ATTEMPT_EXCLUDED},
        {"pack", ATTEMPT_PACK},
        {"message", ATTEMPT_MESSAGE},
    };
    struct galloc_error error;
    bool with_raw = false;
    if (query_bool(request, "raw", false, &with_raw, &error) < 0)
        with_raw = false;
    json_out_begin(out, '{');
    for (size_t i = 0; i < ARRAY_COUNT(members); i++)
        cell_member(out, members[i].name, read, row, members[i].column);
    const char *endpoint = read_text(read, row, ATTEMPT_ENDPOINT);
    struct endpoint *entry = endpoint ? registry_endpoint(engine_registry(request->api->config.engine), endpoint) : NULL;
    json_out_member_str(out, "model", entry ? entry->config->model : NULL);
    attempt_tokens(out, read, row);
    attempt_decider(out, read, row);
    char lease[24];
    snprintf(lease, sizeof lease, "%" PRId64, read_int(read, row, ATTEMPT_LEASE, 0));
    json_out_member_str(out, "lease", lease);
    json_out_member_bool(out, "is_possibly_billed", read_int(read, row, ATTEMPT_IS_POSSIBLY_BILLED, 0) != 0);
    if (with_raw)
        json_out_member_str(out, "raw", read_text(read, row, ATTEMPT_RAW)); /* of answers that were not valid; the others stand in the result */
    json_out_end(out, '}');
    return true;
}

void handle_attempt_list(struct request *request)
{
    struct galloc_error error;
    bool with_raw;
    if (query_bool(request, "raw", false, &with_raw, &error) < 0) {
        request_fail(request, &error);
        return;
    }
    struct page *page = page_new(request, QUERY_ATTEMPTS);
    page->key = xstrdup(request->params[1]);
    page->row = attempt_row;
    page->limit = LIMIT_PAGE_ROWS;
    page->is_single = true;
    handler_with_run(request, NULL, list_of_run);
}

/* ---- failures ---- */

static bool failure_row(struct request *request, struct json_out *out, const struct store_read *read, size_t row)
{
    static const struct {
        const char *name;
        enum failure_column column;
    } members[] = {
        {"code", FAILURE_CODE},         {"message", FAILURE_MESSAGE}, {"http_status", FAILURE_HTTP_STATUS}, {"count", FAILURE_COUNT},
        {"first_at", FAILURE_FIRST_AT}, {"last_at", FAILURE_LAST_AT}, {"example", FAILURE_EXAMPLE},         {"is_rest", FAILURE_IS_REST},
    };
    json_out_begin(out, '{');
    for (size_t i = 0; i < ARRAY_COUNT(members); i++)
        cell_member(out, members[i].name, read, row, members[i].column);
    struct buf command = BUF_EMPTY;
    const char *code = read_text(read, row, FAILURE_CODE);
    buf_add_fmt(&command, "gallocctl retry %s --error %s", request->params[0], code ? code : "");
    json_out_member_str(out, "retry", command.data);
    buf_clear(&command);
    json_out_end(out, '}');
    return true;
}

static void list_failures(struct request *request, struct run_entry *run)
{
    struct page *page = request->state;
    page->run = run->info.id;
    page->key = xstrdup(run->info.run_id);
    request->params[0] = page->key; /* the command names the id, however the run was told */
    page_start(request);
}

void handle_failures(struct request *request)
{
    struct page *page = page_new(request, QUERY_FAILURES);
    page->row = failure_row;
    page->limit = LIMIT_PAGE_ROWS;
    page->is_single = true;
    handler_with_run(request, NULL, list_failures);
}

/* ---- loads ---- */

/* Attempts under way that have chosen the agent, as memory knows them. */
static int64_t in_flight_of(struct request *request, const char *agent_id)
{
    const struct page *page = request->state;
    const struct run_entry *run = registry_run_by_id(engine_registry(request->api->config.engine), page->run);
    if (run == NULL || run->pool == NULL || agent_id == NULL)
        return 0;
    for (size_t i = 0; i < run->pool->agent_count; i++)
        if (strcmp(run->pool->agents[i].info.agent_id, agent_id) == 0)
            return run->pool->agents[i].claimed;
    return 0;
}

static bool load_row(struct request *request, struct json_out *out, const struct store_read *read, size_t row)
{
    int64_t capacity = read_int(read, row, LOAD_CAPACITY, -1), held = read_int(read, row, LOAD_HELD, 0);
    json_out_begin(out, '{');
    cell_member(out, "agent_id", read, row, LOAD_AGENT_ID);
    member_int_or_null(out, "capacity", capacity);
    json_out_member_int(out, "load", read_int(read, row, LOAD_BASE, 0));
    json_out_member_int(out, "held", held);
    member_int_or_null(out, "free", places_free(capacity, held, read_int(read, row, LOAD_IS_AVAILABLE, 1) != 0, read_int(read, row, LOAD_UNTIL, 0)));
    json_out_member_int(out, "in_flight", in_flight_of(request, read_text(read, row, LOAD_AGENT_ID)));
    presence_members(out, read, row);
    cell_member(out, "is_listed", read, row, LOAD_IS_LISTED);
    json_out_member_int(out, "in_run", read_int(read, row, LOAD_IN_RUN, 0));
    json_out_end(out, '}');
    return true;
}

static void list_loads(struct request *request, struct run_entry *run)
{
    struct page *page = request->state;
    struct json_out head = JSON_OUT(&page->head_text);
    page->run = run->info.id;
    json_out_member_str(&head, "run", run->info.run_id);
    json_out_member_str(&head, "pool", run->info.pool_name);
    page_start(request);
}

void handle_run_load(struct request *request)
{
    struct page *page = page_new(request, QUERY_LOAD);
    page->row = load_row;
    page->limit = LIMIT_PAGE_ROWS;
    page->is_single = true;
    handler_with_run(request, NULL, list_loads);
}
