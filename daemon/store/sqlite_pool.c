/* Pools of agents and the ledgers that say who holds how many places. A standing pool has one ledger for good:
 * replacing its list, or changing an agent, moves no place. An agent that leaves the list stays as a row, since
 * allocations point at it. The writer's thread; the engine has written the open seats of the books before, and forgets
 * them after. */
#include "store/sqlite_admin.h"

#include "base/text.h"

#include <stdlib.h>

/* ---- reading a pool as a whole ---- */
void sqlite_agents_row(sqlite3_stmt *row, struct store_agents *agents)
{
    bool is_full = agents->count == 0 || (agents->count >= 32 && (agents->count & (agents->count - 1)) == 0);
    if (is_full) /* in steps of doubling */
        agents->items = xreallocarray(agents->items, agents->count ? agents->count * 2 : 32, sizeof(*agents->items));
    agents->items[agents->count++] = (struct store_agent){
        .id = sqlite3_column_int64(row, 0),
        .agent_id = sqlite_text_copy(row, 1),
        .attributes = sqlite_text_copy(row, 2),
        .capacity = sqlite3_column_type(row, 3) == SQLITE_NULL ? -1 : sqlite3_column_int64(row, 3),
        .held = sqlite3_column_int64(row, 4),
        .is_available = sqlite3_column_int(row, 5) != 0,
        .is_listed = sqlite3_column_int(row, 6) != 0,
        .until_at_ms = sqlite3_column_int64(row, 7),
    };
}

void sqlite_pool_row(sqlite3_stmt *row, struct store_pool *ret_pool)
{
    *ret_pool = (struct store_pool){
        .id = sqlite3_column_int64(row, 0),
        .name = sqlite_text_copy(row, 1),
        .created_at_ms = sqlite3_column_int64(row, 2),
        .ledger = sqlite3_column_int64(row, 3),
    };
}

int sqlite_pool_load(struct sqlite_store *store, int64_t pool, struct store_pool *ret_pool)
{
    struct store_pool loaded;
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_POOL_GET, &row, "i", pool);
    if (rc <= 0)
        return rc;
    sqlite_pool_row(row, &loaded);
    sqlite_end(row);
    rc = sqlite_find(store, STMT_AGENTS_OF_POOL, &row, "ii", pool, loaded.ledger);
    for (; rc > 0; rc = sqlite_next(store, row))
        sqlite_agents_row(row, &loaded.agents);
    if (rc < 0) {
        store_pool_clear(&loaded);
        return rc;
    }
    store_pool_clear(ret_pool);
    *ret_pool = loaded;
    return 1;
}

int sqlite_pool_by_name(struct sqlite_store *store, const char *name, int64_t *ret_pool)
{
    return sqlite_number(store, STMT_POOL_BY_NAME, ret_pool, "t", name);
}

/* ---- writing one ---- */
static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Refuses a list that names an agent twice. */
static int check_twice(struct store_op *op, const struct store_agents *agents)
{
    if (agents->count < 2)
        return 0;
    const char **names = xreallocarray(NULL, agents->count, sizeof(*names));
    for (size_t i = 0; i < agents->count; i++)
        names[i] = agents->items[i].agent_id;
    qsort(names, agents->count, sizeof(*names), compare_names);
    const char *twice = NULL;
    for (size_t i = 1; i < agents->count && !twice; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            twice = names[i];
    free(names);
    return twice ? sqlite_refuse(op, GALLOC_INVALID_INPUT, "the agent '%s' stands twice in the list", twice) : 0;
}

/* An agent as listed, and its seat in the ledger where it has none yet: then it starts with the load that is given. */
static int agent_put(struct sqlite_store *store, int64_t pool, int64_t ledger, const struct store_agent *agent)
{
    int rc =
        sqlite_do(store, STMT_AGENT_PUT, "itmizt", pool, agent->agent_id, agent->capacity, (int64_t)agent->is_available,
                  agent->is_available ? (int64_t)0 : agent->until_at_ms, agent->attributes ? agent->attributes : "{}");
    sqlite3_stmt *row = NULL;
    if (rc == 0)
        rc = sqlite_find(store, STMT_AGENT_GET, &row, "it", pool, agent->agent_id);
    if (rc <= 0)
        return rc;
    int64_t id = sqlite3_column_int64(row, 0);
    sqlite_end(row);
    return sqlite_do(store, STMT_LEDGER_AGENT_ADD, "iii", ledger, id, max_i64(agent->held, 0));
}

static int agents_put(struct sqlite_store *store, int64_t pool, int64_t ledger, const struct store_agents *agents)
{
    int rc = 0;
    for (size_t i = 0; i < agents->count && rc == 0; i++)
        rc = agent_put(store, pool, ledger, &agents->items[i]);
    return rc;
}

int sqlite_pool_make(struct sqlite_store *store, struct store_op *op, const char *name,
                     const struct store_agents *agents, int64_t *ret_pool, int64_t *ret_ledger)
{
    int rc = check_twice(op, agents);
    if (rc == 0)
        rc = sqlite_do(store, STMT_POOL_ADD, "ti", name, store->wall_ms);
    if (rc < 0)
        return rc;
    int64_t pool = sqlite3_last_insert_rowid(store->db);
    rc = sqlite_do(store, STMT_LEDGER_ADD, "i", pool);
    if (rc < 0)
        return rc;
    int64_t ledger = sqlite3_last_insert_rowid(store->db);
    rc = agents_put(store, pool, ledger, agents);
    if (rc == 0) {
        *ret_pool = pool;
        *ret_ledger = ledger;
    }
    return rc;
}

/* ---- the operations ---- */
static size_t listed_count(const struct store_pool *pool)
{
    size_t count = 0;
    for (size_t i = 0; i < pool->agents.count; i++)
        count += pool->agents.items[i].is_listed;
    return count;
}

static void count_out(struct json_out *out, const char *when, int64_t count)
{
    json_out_name(out, when);
    json_out_begin(out, '{');
    json_out_member_int(out, "agents", count);
    json_out_end(out, '}');
}

int sqlite_apply_pool_put(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_pool_put *put = CONTAINER_OF(op, struct store_pool_put, op);
    struct store_pool pool = {0};
    int64_t id = 0, ledger = 0;
    if (put->name == NULL || put->name[0] == '\0')
        return sqlite_refuse(op, GALLOC_INVALID_VALUE, "a pool needs a name");
    int rc = sqlite_pool_by_name(store, put->name, &id);
    size_t before = 0;
    if (rc > 0) {
        rc = check_twice(op, &put->agents);
        if (rc == 0)
            rc = sqlite_pool_load(store, id, &pool);
        before = listed_count(&pool);
        ledger = pool.ledger;
        store_pool_clear(&pool);
        if (rc > 0)
            rc = sqlite_do(store, STMT_AGENTS_UNLIST, "i", id);
        if (rc == 0)
            rc = agents_put(store, id, ledger, &put->agents);
    } else if (rc == 0) {
        rc = sqlite_pool_make(store, op, put->name, &put->agents, &id, &ledger);
    }
    if (rc < 0)
        return rc;
    struct buf detail = BUF_EMPTY;
    struct json_out out = JSON_OUT(&detail);
    json_out_begin(&out, '{');
    count_out(&out, "before", (int64_t)before);
    count_out(&out, "after", (int64_t)put->agents.count);
    json_out_end(&out, '}');
    op->seq_first = sqlite_seq_next(store);
    rc = sqlite_audit(store, op, &put->peer, "pool_put", put->name, &detail);
    buf_clear(&detail);
    rc = rc < 0 ? rc : sqlite_pool_load(store, id, &put->ret_pool);
    return rc < 0 ? rc : 0;
}

/* The pool of an operation, or a refusal. */
static int pool_need(struct sqlite_store *store, struct store_op *op, int64_t id, struct store_pool *ret_pool)
{
    int rc = sqlite_pool_load(store, id, ret_pool);
    return rc == 0 ? sqlite_refuse(op, GALLOC_NOT_FOUND, "there is no such pool (any more)") : rc < 0 ? rc : 0;
}

/* What people call the pool: its name, or the id of the run whose own it is. 0 or a fault. */
static int pool_title(struct sqlite_store *store, const struct store_pool *pool, struct buf *title)
{
    if (pool->name) {
        buf_add_str(title, pool->name);
        return 0;
    }
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_RUN_OF_LEDGER, &row, "i", pool->ledger);
    if (rc > 0) {
        buf_add_str(title, (const char *)sqlite3_column_text(row, 0));
        sqlite_end(row);
    }
    return rc < 0 ? rc : 0;
}

int sqlite_apply_pool_reset(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_pool_reset *reset = CONTAINER_OF(op, struct store_pool_reset, op);
    struct store_pool pool = {0};
    int64_t held = 0;
    int rc = pool_need(store, op, reset->pool, &pool);
    if (rc == 0)
        rc = sqlite_number(store, STMT_LEDGER_HELD, &held, "i", pool.ledger);
    if (rc >= 0)
        rc = sqlite_do(store, STMT_LEDGER_RESET, "i", pool.ledger);
    if (rc == 0)
        rc = sqlite_do(store, STMT_LEDGER_EMPTY, "i", pool.ledger);
    if (rc == 0) {
        struct buf detail = BUF_EMPTY;
        struct json_out out = JSON_OUT(&detail);
        json_out_begin(&out, '{');
        json_out_name(&out, "before");
        json_out_begin(&out, '{');
        json_out_member_int(&out, "held", held);
        json_out_end(&out, '}');
        json_out_name(&out, "after");
        json_out_raw(&out, "{\"held\":0}", 10);
        json_out_end(&out, '}');
        op->seq_first = sqlite_seq_next(store);
        rc = sqlite_audit(store, op, &reset->peer, "pool_reset", pool.name ? pool.name : "", &detail);
        buf_clear(&detail);
    }
    store_pool_clear(&pool);
    rc = rc < 0 ? rc : sqlite_pool_load(store, reset->pool, &reset->ret_pool);
    return rc < 0 ? rc : 0;
}

static struct store_agent *agent_find(struct store_pool *pool, const char *agent_id)
{
    for (size_t i = 0; i < pool->agents.count; i++)
        if (strcmp(pool->agents.items[i].agent_id, agent_id) == 0)
            return &pool->agents.items[i];
    return NULL;
}

int sqlite_pool_refuse_agent(struct store_op *op, const struct store_pool *pool, const char *agent_id)
{
    const char **names = xreallocarray(NULL, pool->agents.count + 1, sizeof(*names));
    for (size_t i = 0; i < pool->agents.count; i++)
        names[i] = pool->agents.items[i].agent_id;
    const char *near = text_nearest(agent_id, names, pool->agents.count);
    free(names);
    if (near)
        return sqlite_refuse(op, GALLOC_NOT_FOUND, "the pool has no agent '%s'; did you mean '%s'?", agent_id, near);
    return sqlite_refuse(op, GALLOC_NOT_FOUND, "the pool has no agent '%s'", agent_id);
}

static void agent_out(struct json_out *out, const char *when, const struct store_agent *agent)
{
    json_out_name(out, when);
    json_out_begin(out, '{');
    if (agent->capacity < 0)
        json_out_member_null(out, "capacity");
    else
        json_out_member_int(out, "capacity", agent->capacity);
    json_out_member_bool(out, "available", agent->is_available);
    json_out_member_time(out, "until", agent->until_at_ms);
    json_out_end(out, '}');
}

/* What the agent will be; an agent that is available has no date. */
static struct store_agent agent_changed(const struct store_agent_set *set, const struct store_agent *old)
{
    struct store_agent agent = *old;
    if (set->capacity != INT64_MIN)
        agent.capacity = set->capacity;
    if (set->available >= 0)
        agent.is_available = set->available;
    if (agent.is_available)
        agent.until_at_ms = 0;
    else if (set->available == 0 || set->until_at_ms > 0)
        agent.until_at_ms = set->until_at_ms;
    return agent;
}

static int agent_audit(struct sqlite_store *store, const struct store_agent_set *set, const struct store_pool *pool,
                       const struct store_agent *before, const struct store_agent *after)
{
    struct buf detail = BUF_EMPTY, target = BUF_EMPTY;
    struct json_out out = JSON_OUT(&detail);
    json_out_begin(&out, '{');
    agent_out(&out, "before", before);
    agent_out(&out, "after", after);
    json_out_end(&out, '}');
    int rc = pool_title(store, pool, &target);
    buf_add_char(&target, '/');
    buf_add_str(&target, set->agent_id);
    if (rc == 0)
        rc = sqlite_audit(store, &set->op, &set->peer, "agent_set", buf_text(&target), &detail);
    buf_clear(&target);
    buf_clear(&detail);
    return rc;
}

int sqlite_apply_agent_set(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_agent_set *set = CONTAINER_OF(op, struct store_agent_set, op);
    struct store_pool pool = {0};
    int rc = pool_need(store, op, set->pool, &pool);
    if (rc < 0)
        return rc;
    struct store_agent *agent = agent_find(&pool, set->agent_id);
    if (agent == NULL) {
        rc = sqlite_pool_refuse_agent(op, &pool, set->agent_id);
    } else {
        struct store_agent changed = agent_changed(set, agent);
        op->seq_first = sqlite_seq_next(store);
        rc = sqlite_do(store, STMT_AGENT_SET, "imiz", agent->id, changed.capacity, (int64_t)changed.is_available,
                       changed.until_at_ms);
        if (rc == 0)
            rc = agent_audit(store, set, &pool, agent, &changed);
    }
    store_pool_clear(&pool);
    rc = rc < 0 ? rc : sqlite_pool_load(store, set->pool, &set->ret_pool);
    return rc < 0 ? rc : 0;
}
