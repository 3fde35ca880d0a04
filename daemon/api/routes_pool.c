/* Pools and their agents. What is changed goes through the store; what is shown is read from its ledger, so that `load` (the base) and `held` are exact. */
#include "api/handler.h"

#include "core/limits.h"

#include "base/parse.h"
#include "base/text.h"

#include <string.h>

/* What a request about one pool carries along. */
struct pool_target {
    int64_t pool;
    char *name;     /* owned: as it is shown; a run's id for its own */
    char *agent_id; /* owned; NULL: the whole pool */
    int status;     /* of the answer */
};

static void target_free(void *state)
{
    struct pool_target *target = state;
    free(target->name);
    free(target->agent_id);
    free(target);
}

static struct pool_target *target_new(struct request *request, int64_t pool, const char *name, int status)
{
    struct pool_target *target = xcalloc(1, sizeof *target);
    *target = (struct pool_target){.pool = pool, .name = xstrdup(name), .status = status};
    request->state = target;
    request->state_free = target_free;
    return target;
}

static int64_t open_runs(struct registry *registry, int64_t pool)
{
    int64_t count = 0;
    for (const struct run_entry *run = registry->runs; run != NULL; run = run->next)
        count += run->info.pool == pool && (run->info.state == RUN_IMPORTING || run->info.state == RUN_RUNNING);
    return count;
}

/* The members that list and show have in common. */
static void pool_members(struct json_out *out, struct registry *registry, int64_t pool, const char *name, const struct pool_totals *totals)
{
    json_out_member_str(out, "name", name);
    json_out_member_int(out, "agent_count", totals->agent_count);
    member_int_or_null(out, "capacity", totals->capacity);
    json_out_member_int(out, "held", totals->held);
    member_int_or_null(out, "free", totals->free);
    json_out_member_int(out, "open_runs", open_runs(registry, pool));
    json_out_member_null(out, "updated_at");
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct pool_entry *const *)a)->name, (*(const struct pool_entry *const *)b)->name);
}

void handle_pool_list(struct request *request)
{
    struct registry *registry = engine_registry(request->api->config.engine);
    size_t count = 0;
    for (const struct pool_entry *pool = registry->pools; pool != NULL; pool = pool->next)
        count += pool->name != NULL;
    const struct pool_entry **pools = xcalloc(count, sizeof *pools);
    count = 0;
    for (const struct pool_entry *pool = registry->pools; pool != NULL; pool = pool->next)
        if (pool->name != NULL)
            pools[count++] = pool;
    qsort(pools, count, sizeof *pools, by_name);
    struct json_out out = JSON_OUT(&request->out);
    json_out_begin(&out, '{');
    json_out_name(&out, "items");
    json_out_begin(&out, '[');
    for (size_t i = 0; i < count; i++) {
        struct pool_totals totals;
        pool_count(pools[i], &totals);
        json_out_begin(&out, '{');
        pool_members(&out, registry, pools[i]->id, pools[i]->name, &totals);
        json_out_end(&out, '}');
    }
    json_out_end(&out, ']');
    json_out_member_null(&out, "next");
    json_out_end(&out, '}');
    free(pools);
    request_reply(request, 200);
}

/* ---- one pool, as its ledger stands ---- */

static void agent_json(struct json_out *out, const struct store_read *read, size_t row)
{
    int64_t capacity = read_int(read, row, LOAD_CAPACITY, -1), held = read_int(read, row, LOAD_HELD, 0);
    json_out_begin(out, '{');
    cell_member(out, "agent_id", read, row, LOAD_AGENT_ID);
    member_int_or_null(out, "capacity", capacity);
    json_out_member_int(out, "load", read_int(read, row, LOAD_BASE, 0));
    json_out_member_int(out, "held", held);
    member_int_or_null(out, "free", places_free(capacity, held, read_int(read, row, LOAD_IS_AVAILABLE, 1) != 0, read_int(read, row, LOAD_UNTIL, 0)));
    presence_members(out, read, row);
    cell_member(out, "is_listed", read, row, LOAD_IS_LISTED);
    cell_member(out, "attributes", read, row, LOAD_ATTRIBUTES);
    json_out_end(out, '}');
}

static void count_rows(const struct store_read *read, struct pool_totals *ret_totals)
{
    struct store_agents agents = {.items = xcalloc(read->ret_row_count, sizeof *agents.items), .count = read->ret_row_count};
    struct pool_entry aside = {.agents = xcalloc(read->ret_row_count, sizeof *aside.agents), .agent_count = read->ret_row_count};
    for (size_t i = 0; i < agents.count; i++)
        aside.agents[i].info = (struct store_agent){.capacity = read_int(read, i, LOAD_CAPACITY, -1), .held = read_int(read, i, LOAD_HELD, 0),
                                                    .is_listed = read_int(read, i, LOAD_IS_LISTED, 1) != 0, .is_available = read_int(read, i, LOAD_IS_AVAILABLE, 1) != 0,
                                                    .until_at_ms = read_int(read, i, LOAD_UNTIL, 0)};
    pool_count(&aside, ret_totals);
    free(agents.items);
    free(aside.agents);
}

static void show_pool(struct request *request, const struct store_read *read)
{
    const struct pool_target *target = request->state;
    struct pool_totals totals;
    count_rows(read, &totals);
    struct json_out out = JSON_OUT(&request->out);
    json_out_begin(&out, '{');
    pool_members(&out, engine_registry(request->api->config.engine), target->pool, target->name, &totals);
    json_out_name(&out, "agents");
    json_out_begin(&out, '[');
    for (size_t i = 0; i < read->ret_row_count; i++)
        agent_json(&out, read, i);
    json_out_end(&out, ']');
    json_out_end(&out, '}');
    request_reply(request, target->status);
}

static void show_agent(struct request *request, const struct store_read *read)
{
    const struct pool_target *target = request->state;
    for (size_t i = 0; i < read->ret_row_count; i++) {
        const char *agent_id = read_text(read, i, LOAD_AGENT_ID);
        if (agent_id == NULL || strcmp(agent_id, target->agent_id) != 0)
            continue;
        struct json_out out = JSON_OUT(&request->out);
        agent_json(&out, read, i);
        request_reply(request, target->status);
        return;
    }
    request_fail_fmt(request, GALLOC_NOT_FOUND, "pool %s has no agent \"%.128s\"", target->name, target->agent_id);
}

static void on_loads(struct store_op *op)
{
    struct request *request = op->arg;
    const struct pool_target *target = request->state;
    if (op->code < 0)
        request_fail_op(request, op);
    else if (target->agent_id != NULL)
        show_agent(request, (struct store_read *)op);
    else
        show_pool(request, (struct store_read *)op);
    store_op_free(op);
}

static void read_loads(struct request *request)
{
    const struct pool_target *target = request->state;
    struct store_read *read = handler_op(request, OP_READ, on_loads);
    read->query = QUERY_LOAD;
    read->pool = target->pool;
    read->limit = LIMIT_PAGE_ROWS;
    handler_submit(request, &read->op);
}

static void fail_no_agents(struct request *request, const struct run_entry *run)
{
    request_fail_fmt(request, GALLOC_NOT_FOUND, "run %s has no agents", run->info.run_id);
}

static void on_run_pool(struct request *request, struct run_entry *run)
{
    if (run->info.pool == 0) {
        fail_no_agents(request, run);
        return;
    }
    target_new(request, run->info.pool, run->info.run_id, 200);
    read_loads(request);
}

void handle_pool_show(struct request *request)
{
    const struct pool_entry *pool = registry_pool_by_name(engine_registry(request->api->config.engine), request->params[0]);
    if (pool != NULL) {
        target_new(request, pool->id, pool->name, 200);
        read_loads(request);
    } else if (strncmp(request->params[0], "r-", 2) == 0) {
        handler_with_run(request, NULL, on_run_pool);
    } else {
        request_fail_fmt(request, GALLOC_NOT_FOUND, "there is no pool \"%.128s\" (gallocctl pool list)", request->params[0]);
    }
}

/* Of a path that may name a run's own pool. */
static void fail_no_pool(struct request *request)
{
    request_fail_fmt(request, GALLOC_NOT_FOUND, "there is no pool \"%.128s\" (gallocctl pool list; a run's own is told by the run's id)", request->params[0]);
}

/* ---- changes ---- */

static void on_put(struct store_op *op)
{
    struct request *request = op->arg;
    struct pool_target *target = request->state;
    if (op->code < 0) {
        request_fail_op(request, op);
    } else {
        const struct pool_entry *pool = registry_pool_by_name(engine_registry(request->api->config.engine), target->name);
        if (pool != NULL) {
            target->pool = pool->id;
            read_loads(request);
        } else {
            request_fail_fmt(request, GALLOC_NOT_FOUND, "the pool is gone");
        }
    }
    store_op_free(op);
}

static int check_pool_name(const char *name, struct galloc_error *error)
{
    const char *why;
    if (strlen(name) > LIMIT_NAME_BYTES || !text_is_key(name, strlen(name), &why))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "a pool's name has 1 to %d bytes of UTF-8 without control characters", LIMIT_NAME_BYTES);
    if (strncmp(name, "r-", 2) == 0 || name[0] == '@')
        return galloc_fail(error, GALLOC_INVALID_VALUE, "a pool's name may not begin with \"r-\" or \"@\": those are runs");
    return 0;
}

void handle_pool_put(struct request *request)
{
    struct galloc_error error;
    struct store_agents agents = {0};
    int rc = check_pool_name(request->params[0], &error);
    if (rc == 0)
        rc = agents_read(json_get(request->json, "agents"), &agents, &error);
    if (rc < 0) {
        request_fail(request, &error);
        return;
    }
    bool is_new = registry_pool_by_name(engine_registry(request->api->config.engine), request->params[0]) == NULL;
    target_new(request, 0, request->params[0], is_new ? 201 : 200);
    struct store_pool_put *put = handler_op(request, OP_POOL_PUT, on_put);
    put->peer = request->peer;
    put->name = xstrdup(request->params[0]);
    put->agents = agents;
    handler_submit(request, &put->op);
}

static void on_pool_changed(struct store_op *op)
{
    struct request *request = op->arg;
    if (op->code < 0)
        request_fail_op(request, op);
    else
        read_loads(request);
    store_op_free(op);
}

void handle_pool_reset(struct request *request)
{
    struct registry *registry = engine_registry(request->api->config.engine);
    const struct pool_entry *pool = registry_pool_by_name(registry, request->params[0]);
    if (pool == NULL) {
        request_fail_fmt(request, GALLOC_NOT_FOUND, "there is no pool \"%.128s\" (gallocctl pool list)", request->params[0]);
        return;
    }
    if (open_runs(registry, pool->id) > 0) {
        request_fail_fmt(request, GALLOC_CONFLICT, "pool %s is used by %lld open runs; wait for them, or cancel them, and reset it then", pool->name,
                         (long long)open_runs(registry, pool->id));
        return;
    }
    target_new(request, pool->id, pool->name, 200);
    struct store_pool_reset *reset = handler_op(request, OP_POOL_RESET, on_pool_changed);
    reset->peer = request->peer;
    reset->pool = pool->id;
    handler_submit(request, &reset->op);
}

/* ---- what an agent holds ---- */

static bool holding_row(struct request *request, struct json_out *out, const struct store_read *read, size_t row)
{
    static const struct {
        const char *name;
        enum holding_column column;
    } members[] = {{"run", HOLDING_RUN}, {"name", HOLDING_NAME}, {"state", HOLDING_STATE}, {"count", HOLDING_COUNT}};
    (void)request;
    json_out_begin(out, '{');
    for (size_t i = 0; i < ARRAY_COUNT(members); i++)
        cell_member(out, members[i].name, read, row, members[i].column);
    json_out_end(out, '}');
    return true;
}

static void list_holdings(struct request *request, int64_t pool)
{
    struct page *page = page_new(request, QUERY_HOLDINGS);
    page->row = holding_row;
    page->pool = pool;
    page->key = xstrdup(request->params[1]);
    page->limit = LIMIT_PAGE_ROWS;
    page->is_single = true;
    page_start(request);
}

static void list_holdings_of_run(struct request *request, struct run_entry *run)
{
    if (run->info.pool == 0)
        fail_no_agents(request, run);
    else
        list_holdings(request, run->info.pool);
}

void handle_agent_runs(struct request *request)
{
    const struct pool_entry *pool = registry_pool_by_name(engine_registry(request->api->config.engine), request->params[0]);
    if (pool != NULL)
        list_holdings(request, pool->id);
    else if (strncmp(request->params[0], "r-", 2) == 0)
        handler_with_run(request, NULL, list_holdings_of_run);
    else
        fail_no_pool(request);
}

/* What a PATCH of an agent says, checked. `json` holds what was given: a null capacity is "no limit", which is not the same as none given. */
static int fill_agent_set(struct request *request, struct store_agent_set *set, struct galloc_error *error)
{
    static const char *const names[] = {"capacity", "available", "until"};
    size_t given = 0;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        given += json_has(request->json, names[i]);
    if (given == 0)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "nothing to change: give capacity, available or until");
    set->capacity = !json_has(request->json, "capacity") ? INT64_MIN : json_get_i64(request->json, "capacity", -1);
    struct json_object *available = json_get(request->json, "available");
    set->available = available == NULL ? -1 : json_get_bool(request->json, "available", true);
    const char *until = json_get_str(request->json, "until", NULL);
    if (until == NULL)
        return 0;
    if (set->available != 0)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"until\" goes with \"available\": false");
    int rc = parse_time_ms(until, &set->until_at_ms, error);
    return rc < 0 ? galloc_prefix(error, "\"until\"") : 0;
}

static void set_agent(struct request *request, int64_t pool, const char *name)
{
    struct galloc_error error;
    struct store_agent_set *set = handler_op(request, OP_AGENT_SET, on_pool_changed);
    if (fill_agent_set(request, set, &error) < 0) {
        store_op_free(&set->op);
        request_fail(request, &error);
        return;
    }
    struct pool_target *target = target_new(request, pool, name, 200);
    target->agent_id = xstrdup(request->params[1]);
    set->peer = request->peer;
    set->pool = pool;
    set->agent_id = xstrdup(request->params[1]);
    handler_submit(request, &set->op);
}

static void set_agent_of_run(struct request *request, struct run_entry *run)
{
    if (run->info.pool == 0)
        fail_no_agents(request, run);
    else
        set_agent(request, run->info.pool, run->info.run_id);
}

void handle_agent_set(struct request *request)
{
    struct registry *registry = engine_registry(request->api->config.engine);
    const struct pool_entry *pool = registry_pool_by_name(registry, request->params[0]);
    if (pool != NULL) {
        set_agent(request, pool->id, pool->name);
        return;
    }
    if (strncmp(request->params[0], "r-", 2) == 0)
        handler_with_run(request, NULL, set_agent_of_run);
    else
        fail_no_pool(request);
}
