/* PURGE: marks runs that ended. From that commit on they are gone for everybody: books, readers and the image pass them over, the loop forgets them; their rows
 * follow in the upkeep's steps (sqlite_purge_rows.c). A run of which anything is still under way is refused, so that whatever comes later finds nothing to
 * settle. The audit row tells what went. The writer's thread. */
#include "store/sqlite_purge.h"

#include "base/negative.h"

#include <unistd.h>

/* ---- may it be? ---- */
static int check_ended(struct sqlite_store *store, struct store_op *op, const struct run_entry *entry)
{
    const struct store_run *run = &entry->now;
    int64_t is_open = 0;
    if (run->state == RUN_IMPORTING)
        return sqlite_refuse(op, GALLOC_WRONG_STATE, "run %s is still importing; to be rid of it: gallocctl cancel %s --all, then purge it", run->run_id, run->run_id);
    if (run->state == RUN_RUNNING)
        return sqlite_refuse(op, GALLOC_WRONG_STATE, "run %s has not ended; wait for it (gallocctl wait %s), or end it: gallocctl cancel %s --all", run->run_id,
                             run->run_id, run->run_id);
    if (entry->open_sweeps > 0)
        return sqlite_refuse(op, GALLOC_WRONG_STATE, "rows of run %s are still being changed by a command before; try again in a moment", run->run_id);
    int rc = sqlite_number(store, STMT_PURGE_OPEN, &is_open, "i", run->id);
    if (rc > 0 || run->counts[COUNT_STATE + ASSIGNMENT_LEASED] > 0)
        return sqlite_refuse(op, GALLOC_WRONG_STATE, "calls of run %s are still under way: their cost is to be recorded; try again in a minute", run->run_id);
    return rc;
}

/* ---- marking ---- */
static int64_t rows_of(const struct store_run *run)
{
    int64_t rows = 0;
    for (int state = 0; state < ASSIGNMENT_STATE_COUNT; state++)
        rows += run->counts[COUNT_STATE + state];
    return rows;
}

static int mark_audit(struct sqlite_store *store, const struct store_op *op, const struct store_peer *peer, const struct store_run *run, const char *name,
                      bool is_release)
{
    struct buf detail = BUF_EMPTY;
    struct json_out out = JSON_OUT(&detail);
    json_out_begin(&out, '{');
    json_out_name(&out, "before");
    json_out_begin(&out, '{');
    json_out_member_str(&out, "name", name);
    json_out_member_str(&out, "state", run_state_name(run->state));
    json_out_member_time(&out, "finished_at", run->finished_at_ms);
    for (int state = 0; state < ASSIGNMENT_STATE_COUNT; state++)
        json_out_member_int(&out, assignment_state_name((enum assignment_state)state), run->counts[COUNT_STATE + state]);
    json_out_member_int(&out, "calls", run->counts[COUNT_CALLS]);
    json_out_end(&out, '}');
    json_out_name(&out, "after");
    json_out_begin(&out, '{');
    json_out_member_str(&out, "places", is_release ? "given back" : "kept");
    json_out_end(&out, '}');
    if (peer == NULL)
        json_out_member_str(&out, "reason", "older than `retention`");
    json_out_end(&out, '}');
    struct store_peer self = {.uid = getuid(), .pid = getpid()};
    int rc = sqlite_audit(store, op, peer != NULL ? peer : &self, "run_purge", run->run_id, &detail);
    buf_clear(&detail);
    return rc;
}

/* `peer` NULL: the daemon itself. */
static int run_mark(struct sqlite_store *store, struct store_op *op, const struct store_peer *peer, struct run_entry *entry, bool is_release)
{
    const struct store_run *run = &entry->now;
    sqlite3_stmt *row = NULL;
    int64_t seq = sqlite_seq_next(store);
    if (op->seq_first == 0)
        op->seq_first = seq;
    int rc = sqlite_find(store, STMT_RUN_NAMES, &row, "i", run->id);
    if (rc <= 0)
        return rc;
    char *name = sqlite_text_copy(row, 2);
    sqlite_end(row);
    rc = mark_audit(store, op, peer, run, name, is_release);
    free(name);
    if (rc == 0 && !BREAKS(FORGET_PURGE))
        rc = sqlite_do(store, STMT_PURGE_MARK, "iiiii", run->id, (int64_t)is_release, run->ledger, rows_of(run), seq);
    books_run_touch(store, entry);
    entry->now.is_purged = true;
    entry->now.seq = seq;
    return rc;
}

/* ---- which runs ---- */
/* Ids of up to `most` runs that ended before a time. The count, or a fault. */
static int old_runs(struct sqlite_store *store, int64_t ended_before_ms, int64_t after_run, int64_t most, int64_t *ids)
{
    sqlite3_stmt *row = NULL;
    int count = 0;
    int rc = sqlite_find(store, STMT_PURGE_OLD, &row, "iii", ended_before_ms, after_run, most);
    for (; rc > 0; rc = sqlite_next(store, row))
        ids[count++] = sqlite3_column_int64(row, 0);
    return rc < 0 ? rc : count;
}

/* A run that cannot go yet is passed over: the next time it can. 1 marked, 0 passed over, or a fault. */
static int old_run_mark(struct sqlite_store *store, struct store_op *op, const struct store_peer *peer, int64_t id, bool is_release, bool is_dry,
                        struct run_entry **ret_entry)
{
    struct store_op aside = {.kind = op->kind}; /* takes the words of a refusal */
    int rc = books_run(store, id, ret_entry);
    if (rc <= 0 || check_ended(store, &aside, *ret_entry) < 0)
        return store->fault < 0 ? store->fault : 0;
    rc = is_dry ? 0 : run_mark(store, op, peer, *ret_entry, is_release);
    return rc < 0 ? rc : 1;
}

int sqlite_purge_mark_old(struct sqlite_store *store, struct store_op *op, int64_t ended_before_ms, int64_t *ret_count)
{
    int64_t ids[PURGE_RUNS_MAX];
    struct run_entry *entry;
    int count = old_runs(store, ended_before_ms, 0, PURGE_RUNS_MAX, ids), rc = min_i64(count, 0);
    for (int i = 0; i < count && rc >= 0 && !sqlite_is_late(store); i++) {
        rc = old_run_mark(store, op, NULL, ids[i], false, false, &entry);
        *ret_count += rc > 0;
    }
    return min_i64(rc, 0);
}

static void tell(struct store_purge *purge, const struct store_run *run)
{
    struct purged_run *told = &purge->ret_runs[purge->ret_count++];
    *told = (struct purged_run){.run = run->id, .state = run->state, .finished_at_ms = run->finished_at_ms, .row_count = rows_of(run)};
    memcpy(told->run_id, run->run_id, sizeof told->run_id);
}

static int purge_by_age(struct sqlite_store *store, struct store_purge *purge)
{
    int64_t ids[PURGE_RUNS_MAX], ended_before_ms = min_i64(store->now_ms, store->wall_ms) - purge->older_than_ms;
    struct run_entry *entry;
    int count = old_runs(store, ended_before_ms, purge->after_run, PURGE_RUNS_MAX, ids), rc = min_i64(count, 0);
    for (int i = 0; i < count && rc >= 0; i++) {
        rc = old_run_mark(store, &purge->op, &purge->peer, ids[i], purge->is_release, purge->is_dry, &entry);
        if (rc > 0)
            tell(purge, &entry->now);
    }
    purge->ret_next = count == PURGE_RUNS_MAX ? ids[count - 1] : 0;
    return min_i64(rc, 0);
}

static int purge_one(struct sqlite_store *store, struct store_purge *purge)
{
    struct run_entry *entry = NULL;
    int rc = books_run(store, purge->run, &entry);
    if (rc == 0)
        return sqlite_refuse(&purge->op, GALLOC_NOT_FOUND, "there is no such run (any more)");
    if (rc > 0)
        rc = check_ended(store, &purge->op, entry);
    if (rc < 0)
        return rc;
    tell(purge, &entry->now);
    return purge->is_dry ? 0 : run_mark(store, &purge->op, &purge->peer, entry, purge->is_release);
}

int sqlite_apply_purge(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_purge *purge = CONTAINER_OF(op, struct store_purge, op);
    free(purge->ret_runs); /* of a time before that did not stand */
    purge->ret_runs = xcalloc(PURGE_RUNS_MAX, sizeof *purge->ret_runs);
    purge->ret_count = 0;
    purge->ret_next = 0;
    return purge->run != 0 ? purge_one(store, purge) : purge_by_age(store, purge);
}
