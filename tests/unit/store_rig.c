/* See store_rig.h. */
#include "tests/unit/store_rig.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#define WAIT_MS 20000

/* ---- the store and its loop ---- */
static void told(const struct store_commit *commit, void *arg)
{
    struct rig *rig = arg;
    for (size_t i = 0; i < commit->run_count; i++)
        rig->last = commit->runs[i];
    rig->told_count++;
}

static void health(enum store_health is, const char *text, void *arg)
{
    (void)arg;
    if (is != STORE_WELL)
        print_error("store: %s\n", text);
}

void rig_open(struct rig *rig)
{
    if (rig->dir.path[0] == '\0') {
        temp_dir_make(&rig->dir);
        snprintf(rig->path, sizeof rig->path, "%s/galloc.db", rig->dir.path);
    }
    rig->loop = loop_new();
    struct store_config config = {
        .loop = rig->loop, .path = rig->path, .wal_warn_bytes = rig->wal_warn_bytes, .wal_bytes = rig->wal_bytes,
        .on_commit = told, .on_health = health, .arg = rig};
    struct galloc_error error = {0};
    int rc = store_open(&config, &rig->store, &rig->image, &error);
    if (rc < 0)
        fail_msg("store_open: %s", error.message);
}

void rig_close(struct rig *rig)
{
    store_close(rig->store);
    rig->store = NULL;
    store_image_clear(&rig->image);
    loop_free(rig->loop);
    rig->loop = NULL;
}

void rig_reopen(struct rig *rig)
{
    rig_close(rig);
    rig_open(rig);
}

void rig_remove(struct rig *rig)
{
    if (rig->store)
        rig_close(rig);
    temp_dir_remove(&rig->dir);
}

int rig_setup(void **state)
{
    struct rig *rig = xcalloc(1, sizeof(*rig));
    rig_open(rig);
    *state = rig;
    return 0;
}

int rig_teardown(void **state)
{
    rig_remove(*state);
    free(*state);
    return 0;
}

static struct rig *waiting_rig;

static void op_done(struct store_op *op)
{
    (void)op;
    if (--waiting_rig->waiting == 0)
        loop_stop(waiting_rig->loop);
}

static void too_late(void *arg)
{
    (void)arg;
    fail_msg("the store did not answer within %d ms", WAIT_MS);
}

void *rig_op(enum store_op_kind kind)
{
    return store_op_new(kind, op_done, NULL);
}

void rig_do_all(struct rig *rig, struct store_op **ops, size_t count)
{
    struct loop_timer timer;
    loop_timer_init(&timer, rig->loop, too_late, NULL);
    loop_timer_set_ms(&timer, WAIT_MS);
    waiting_rig = rig;
    rig->waiting = (int)count;
    for (size_t i = 0; i < count; i++)
        store_submit(rig->store, ops[i]);
    while (rig->waiting > 0)
        loop_run(rig->loop);
    loop_timer_clear(&timer);
}

int rig_do(struct rig *rig, struct store_op *op)
{
    rig_do_all(rig, &op, 1);
    return op->code;
}

static void moment_over(void *arg)
{
    loop_stop(arg);
}

void rig_turn(struct rig *rig)
{
    struct loop_timer timer;
    loop_timer_init(&timer, rig->loop, moment_over, rig->loop);
    loop_timer_set_ms(&timer, 2);
    loop_run(rig->loop);
    loop_timer_clear(&timer);
}

/* ---- SQL from outside ---- */
void rig_sql(struct rig *rig, const char *sql)
{
    sqlite3 *db = NULL;
    char *words = NULL;
    assert_null(rig->store);
    assert_int_equal(sqlite3_open(rig->path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &words) != SQLITE_OK)
        fail_msg("%s: %s", sql, words);
    sqlite3_close(db);
}

int64_t rig_number(struct rig *rig, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *row = NULL;
    assert_int_equal(sqlite3_open_v2(rig->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &row, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    sqlite3_close(db);
    return value;
}

/* ---- runs ---- */
struct store_run_create *rig_create_op(const char *name, int agents, int64_t capacity)
{
    struct store_run_create *create = rig_op(OP_RUN_CREATE);
    create->peer = (struct store_peer){1000, 42};
    create->run.name = xstrdup(name);
    create->run.endpoint = xstrdup("gemini");
    create->run.profile = xstrdup("adaptive");
    create->run.plan = xstrdup("{\"template\":\"t\"}");
    create->plan_sha256 = xstrdup("plan");
    create->agents.items = xcalloc((size_t)agents + 1, sizeof(*create->agents.items));
    create->agents.count = (size_t)agents;
    for (int i = 0; i < agents; i++)
        create->agents.items[i] = (struct store_agent){.agent_id = xasprintf("a%d", i),
                                                       .attributes = xstrdup("{\"region\":\"north\"}"),
                                                       .capacity = capacity,
                                                       .is_available = true,
                                                       .is_listed = true};
    return create;
}

int64_t rig_run(struct rig *rig, const char *name, int agents, int64_t capacity)
{
    struct store_run_create *create = rig_create_op(name, agents, capacity);
    if (rig_do(rig, &create->op) < 0)
        fail_msg("run: %s", create->op.error.message);
    int64_t id = create->ret_run.id;
    store_op_free(&create->op);
    return id;
}

void rig_import(struct rig *rig, int64_t run, int64_t part, const char *prefix, int count)
{
    struct store_import *import = rig_op(OP_IMPORT);
    struct buf text = BUF_EMPTY;
    size_t *ends = xcalloc((size_t)count * 2 + 1, sizeof(*ends));
    import->run = run;
    import->part = part;
    import->rows = xcalloc((size_t)count + 1, sizeof(*import->rows));
    import->count = (size_t)count;
    for (int i = 0; i < count; i++) {
        buf_add_fmt(&text, "%s%06d", prefix, i);
        ends[2 * i] = text.len;
        buf_add_fmt(&text, "{\"region\":\"%s\",\"n\":%d}", i % 2 ? "south" : "north", i);
        ends[2 * i + 1] = text.len;
    }
    snprintf(import->sha256, sizeof import->sha256, "%064lld", (long long)part);
    import->text = buf_take(&text);
    for (int i = 0; i < count; i++) {
        size_t begin = i == 0 ? 0 : ends[2 * i - 1];
        struct import_row *row = &import->rows[i];
        row->key.at = import->text + begin;
        row->key.len = ends[2 * i] - begin;
        row->fields.at = import->text + ends[2 * i];
        row->fields.len = ends[2 * i + 1] - ends[2 * i];
        row->row = i + 1;
        digest_of(row->fields.at, row->fields.len, row->sha256);
    }
    free(ends);
    if (rig_do(rig, &import->op) < 0)
        fail_msg("import: %s", import->op.error.message);
    store_op_free(&import->op);
}

int rig_commit(struct rig *rig, int64_t run, int64_t parts)
{
    struct store_run_commit *commit = rig_op(OP_RUN_COMMIT);
    commit->run = run;
    commit->parts = parts;
    int rc = rig_do(rig, &commit->op);
    store_op_free(&commit->op);
    return rc;
}

int64_t rig_full_run(struct rig *rig, const char *name, int agents, int64_t capacity, int count)
{
    int64_t run = rig_run(rig, name, agents, capacity), parts = 0;
    for (int done = 0; done < count; done += 5000) {
        char prefix[16];
        snprintf(prefix, sizeof prefix, "K%02lld-", (long long)++parts);
        rig_import(rig, run, parts, prefix, count - done < 5000 ? count - done : 5000);
    }
    assert_int_equal(rig_commit(rig, run, parts), 0);
    return run;
}

/* ---- attempts ---- */
struct store_claim *rig_claim(struct rig *rig, int64_t run, int32_t max)
{
    struct store_claim *claim = rig_op(OP_CLAIM);
    claim->run = run;
    claim->max = max;
    claim->endpoint = xstrdup("gemini");
    if (rig_do(rig, &claim->op) < 0)
        fail_msg("claim: %s", claim->op.error.message);
    return claim;
}

/* All rows of a claim in one operation; `fill` completes each item. */
static enum settle_verdict settle_all(struct rig *rig, const struct store_claim *claim, const struct settle_item *like,
                                      const char *result, const char *message)
{
    struct store_settle *settle = rig_op(OP_SETTLE);
    settle->endpoint = xstrdup("gemini");
    settle->items = xcalloc(claim->ret_count + 1, sizeof(*settle->items));
    settle->count = claim->ret_count;
    for (size_t i = 0; i < claim->ret_count; i++) {
        const struct leased_row *row = &claim->ret_rows[i];
        struct settle_item *item = &settle->items[i];
        *item = *like;
        item->run = claim->run;
        item->assignment = row->assignment;
        item->lease = claim->ret_lease;
        item->call = row->call;
        item->n = row->n;
        item->result = xstrdup(result);
        item->message = xstrdup(message);
        item->call_class = like->class;
        item->has_call_result = true;
        item->tokens[TOKEN_IN] = 100;
        item->tokens[TOKEN_OUT] = 10;
        item->tokens[TOKEN_THOUGHT] = 5;
        item->cost_micros = 7;
        snprintf(item->currency, sizeof item->currency, "USD");
        item->latency_ms = 250;
        item->local_port = 4242;
    }
    if (rig_do(rig, &settle->op) < 0)
        fail_msg("settle: %s", settle->op.error.message);
    enum settle_verdict verdict = settle->items[0].ret_verdict;
    store_op_free(&settle->op);
    return verdict;
}

enum settle_verdict rig_succeed(struct rig *rig, const struct store_claim *claim, int64_t ledger, int64_t agent)
{
    struct settle_item like = {
        .class = OUTCOME_SUCCEEDED, .move = MOVE_SUCCEED, .ledger = ledger, .agent = agent, .http_status = 200};
    return settle_all(
        rig, claim, &like,
        "{\"reason\":\"near "
        "\\\"north\\\"\",\"confidence\":0.75,\"decided_by\":\"model\",\"model\":\"m-1\",\"latency_ms\":250}",
        NULL);
}

enum settle_verdict rig_fail(struct rig *rig, const struct store_claim *claim, enum outcome_class class,
                             const char *message, int32_t http_status)
{
    struct settle_item like = {.class = class, .move = MOVE_FAIL, .http_status = http_status};
    char *body = xasprintf("{\"message\":\"%s\",\"http_status\":%d,\"latency_ms\":250}", message, http_status);
    enum settle_verdict verdict = settle_all(rig, claim, &like, body, message);
    free(body);
    return verdict;
}

enum settle_verdict rig_hold(struct rig *rig, const struct store_claim *claim, const char *message)
{
    struct settle_item like = {.class = OUTCOME_REJECTED, .move = MOVE_HOLD, .hold = HOLD_REJECTED, .http_status = 400};
    return settle_all(rig, claim, &like, NULL, message);
}

void rig_seat(struct rig *rig, int64_t run, int64_t *ret_ledger, int64_t *ret_agent)
{
    struct store_run now;
    rig_show(rig, run, &now);
    *ret_ledger = now.ledger;
    char *sql = xasprintf("SELECT min(id) FROM agent WHERE pool = %lld", (long long)now.pool);
    *ret_agent = rig_number(rig, sql);
    free(sql);
    store_run_clear(&now);
}

int64_t rig_mixed_run(struct rig *rig, int count)
{
    int64_t run = rig_full_run(rig, "mixed", 2, 50, count), ledger = 0, agent = 0;
    rig_seat(rig, run, &ledger, &agent);
    struct store_claim *claim = rig_claim(rig, run, 3);
    rig_succeed(rig, claim, ledger, agent);
    store_op_free(&claim->op);
    claim = rig_claim(rig, run, 2);
    rig_fail(rig, claim, OUTCOME_REJECTED, "blocked: safety", 400);
    store_op_free(&claim->op);
    claim = rig_claim(rig, run, 1);
    store_op_free(&claim->op);
    return run;
}

/* ---- reading ---- */
struct store_read *rig_read(struct rig *rig, enum store_query query, int64_t run, int64_t after, int32_t limit)
{
    struct store_read *read = rig_op(OP_READ);
    read->query = query;
    read->run = run;
    read->after = after;
    read->limit = limit;
    if (rig_do(rig, &read->op) < 0)
        fail_msg("%s: %s", query_row(query)->name, read->op.error.message);
    return read;
}

struct store_read *rig_read_key(struct rig *rig, enum store_query query, int64_t run, const char *key)
{
    struct store_read *read = rig_op(OP_READ);
    read->query = query;
    read->run = run;
    read->key = xstrdup(key);
    read->limit = 100;
    rig_do(rig, &read->op);
    return read;
}

void rig_show(struct rig *rig, int64_t run, struct store_run *ret_run)
{
    struct store_read *read = rig_read(rig, QUERY_RUN, run, 0, 1);
    assert_int_equal(read->ret_row_count, 1);
    *ret_run = read->ret_runs[0];
    read->ret_runs[0] = (struct store_run){0};
    store_op_free(&read->op);
}

char **rig_list(const char *first, ...)
{
    va_list args;
    size_t count = 0;
    char **list = xcalloc(17, sizeof(*list));
    va_start(args, first);
    for (const char *text = first; text && count < 16; text = va_arg(args, const char *))
        list[count++] = xstrdup(text);
    va_end(args);
    return list;
}
