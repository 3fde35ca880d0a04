/* The rows of a run that was purged: deleted piece by piece, each piece with its calls, attempts, results, inputs and what they hold in the ledger, so that
 * whatever the doctor recounts agrees after every step. The run that was marked first goes first; its own row is the last, so that a restart finds the rest.
 *
 * Places: ledger_agent.base takes over what the rows held, so that `held` stays; a run that was purged with release gives them back instead. Rows that took
 * theirs before the last reset of the pool hold none: the reset gave them back. What calls came to is added to endpoint_gone, since the endpoint's sums are for ever. Calls of the last minutes stay for as long as the endpoint's limits look back.
 * The writer's thread. */
#include "store/sqlite_purge.h"

#include "base/negative.h"
#include "core/limits.h"

#define PIECE_COUNT 64 /* assignments between two looks at the clock */
#define OTHERS_COUNT 256 /* rows of other tables likewise */

struct purging {
    struct sqlite_store *store;
    struct store_upkeep *upkeep;
    int64_t run, ledger, pool; /* pool 0: a standing one, or none */
    bool is_release;
    char run_id[RUN_ID_BYTES];
};

/* ---- places ---- */
static void freed_add(struct store_upkeep *upkeep, int64_t ledger, int64_t agent, int64_t count)
{
    for (size_t i = 0; i < upkeep->ret_freed_count; i++) {
        if (upkeep->ret_freed[i].ledger == ledger && upkeep->ret_freed[i].agent == agent) {
            upkeep->ret_freed[i].count += count;
            return;
        }
    }
    upkeep->ret_freed = xreallocarray(upkeep->ret_freed, upkeep->ret_freed_count + 1, sizeof *upkeep->ret_freed);
    upkeep->ret_freed[upkeep->ret_freed_count++] = (struct freed_places){ledger, agent, count};
}

/* A seat of which `count` places are held by rows that go. */
static int seat_part(struct purging *p, int64_t agent, int64_t count)
{
    if (p->is_release && p->pool == 0)
        freed_add(p->upkeep, p->ledger, agent, count);
    return sqlite_do(p->store, p->is_release ? STMT_PURGE_FREE : STMT_PURGE_KEEP, "iii", p->ledger, agent, count);
}

static int places_part(struct purging *p, int64_t last)
{
    struct {
        int64_t agent, count;
    } seats[PIECE_COUNT];
    size_t count = 0;
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(p->store, STMT_PURGE_HELD, &row, "iii", p->run, last, p->ledger);
    for (; rc > 0 && count < PIECE_COUNT; rc = sqlite_next(p->store, row)) {
        seats[count].agent = sqlite3_column_int64(row, 0);
        seats[count++].count = sqlite3_column_int64(row, 1);
    }
    if (rc > 0)
        sqlite_end(row);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = seat_part(p, seats[i].agent, seats[i].count);
    return min_i64(rc, 0);
}

/* ---- calls ---- */
int sqlite_gone_add(struct sqlite_store *store, sqlite3_stmt *row, int rc)
{
    for (; rc > 0; rc = sqlite_next(store, row)) {
        for (int column = 1; column + 1 < sqlite3_column_count(row); column += 2) {
            int64_t value = sqlite3_column_int64(row, column + 1);
            int added = value == 0 ? 0 : sqlite_do(store, STMT_GONE_ADD, "tii", (const char *)sqlite3_column_text(row, 0), sqlite3_column_int64(row, column), value);
            if (added < 0) {
                sqlite_end(row);
                return added;
            }
        }
    }
    return rc;
}

static int calls_part(struct purging *p, int64_t last)
{
    struct sqlite_store *store = p->store;
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_PURGE_CALL_SUMS, &row, "ii", p->run, last);
    rc = sqlite_gone_add(store, row, rc);
    if (rc == 0) {
        rc = sqlite_find(store, STMT_PURGE_CALL_CLASSES, &row, "ii", p->run, last);
        rc = sqlite_gone_add(store, row, rc);
    }
    if (rc == 0)
        rc = sqlite_do(store, STMT_PURGE_CALLS_KEEP, "iii", p->run, last, store->wall_ms - STORE_SENDS_MS);
    return rc < 0 ? rc : sqlite_do(store, STMT_PURGE_CALLS, "ii", p->run, last);
}

/* ---- a piece ---- */
/* 1: a piece went; 0: the run has no rows left; or a fault. */
static int piece_delete(struct purging *p, int64_t most)
{
    static const enum sqlite_statement tables[] = {STMT_PURGE_ATTEMPTS, STMT_PURGE_RESULTS, STMT_PURGE_PAYLOADS, STMT_PURGE_ROWS};
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(p->store, STMT_PURGE_PIECE, &row, "ii", p->run, min_i64(most, PIECE_COUNT));
    if (rc <= 0)
        return rc;
    int64_t last = sqlite3_column_int64(row, 0), count = sqlite3_column_int64(row, 1);
    sqlite_end(row);
    if (count == 0)
        return 0;
    rc = sqlite_do(p->store, STMT_PURGE_RESERVES, "i", p->run); /* before its calls: their ids may be given again */
    if (rc == 0 && p->ledger != 0)
        rc = places_part(p, last);
    if (rc == 0)
        rc = calls_part(p, last);
    for (size_t i = 0; rc == 0 && i < ARRAY_COUNT(tables); i++)
        rc = sqlite_do(p->store, tables[i], "ii", p->run, last);
    if (rc == 0)
        rc = sqlite_do(p->store, STMT_PURGE_COUNT, "ii", p->run, count);
    p->upkeep->ret_row_count += count;
    return rc < 0 ? rc : 1;
}

/* ---- what else it has ---- */
/* Deletes up to OTHERS_COUNT rows. 1: there may be more; 0: none is left; or a fault. */
static int others_delete(struct purging *p, enum sqlite_statement statement, int64_t id)
{
    int rc = sqlite_do(p->store, statement, "ii", id, (int64_t)OTHERS_COUNT);
    return rc < 0 ? rc : sqlite3_changes(p->store->db) > 0;
}

/* 1: it goes on in another piece; 0: nothing but the run's own row and its pool's is left. */
static int others_part(struct purging *p)
{
    static const enum sqlite_statement of_run[] = {STMT_PURGE_PARTS, STMT_PURGE_LEASES, STMT_PURGE_ROLLUPS};
    static const enum sqlite_statement of_pool[] = {STMT_PURGE_SEATS, STMT_PURGE_AGENTS};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_COUNT(of_run); i++)
        rc = others_delete(p, of_run[i], p->run);
    for (size_t i = 0; rc == 0 && p->pool != 0 && i < ARRAY_COUNT(of_pool); i++)
        rc = others_delete(p, of_pool[i], p->pool);
    return rc;
}

static int run_delete(struct purging *p)
{
    static const enum sqlite_statement of_run[] = {STMT_PURGE_COUNTS, STMT_PURGE_KEYS, STMT_PURGE_UNTIE};
    static const enum sqlite_statement of_pool[] = {STMT_PURGE_LEDGER, STMT_PURGE_POOL};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_COUNT(of_run); i++)
        rc = sqlite_do(p->store, of_run[i], "i", p->run);
    for (size_t i = 0; rc == 0 && p->pool != 0 && i < ARRAY_COUNT(of_pool); i++)
        rc = sqlite_do(p->store, of_pool[i], "i", p->pool);
    if (rc == 0)
        rc = sqlite_do(p->store, STMT_PURGE_DONE, "i", p->run);
    if (rc == 0)
        rc = sqlite_do(p->store, STMT_PURGE_RUN, "i", p->run);
    memcpy(p->upkeep->ret_gone, p->run_id, sizeof p->upkeep->ret_gone);
    return rc;
}

/* ---- a step ---- */
/* 1 and what is to be purged; 0: nothing is; or a fault. */
static int purge_next(struct purging *p)
{
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(p->store, STMT_PURGE_NEXT, &row, "");
    if (rc <= 0)
        return rc;
    p->run = sqlite3_column_int64(row, 0);
    p->is_release = sqlite3_column_int(row, 1) != 0;
    p->pool = BREAKS(LEAVE_POOL) ? 0 : sqlite3_column_int64(row, 2);
    p->ledger = sqlite3_column_int64(row, 3);
    snprintf(p->run_id, sizeof p->run_id, "%s", (const char *)sqlite3_column_text(row, 4));
    sqlite_end(row);
    return 1;
}

int sqlite_purge_step(struct sqlite_store *store, struct store_upkeep *upkeep)
{
    struct purging p = {.store = store, .upkeep = upkeep};
    int rc = purge_next(&p);
    if (rc <= 0)
        return rc;
    if (!books_let_go(store, p.run))
        return 1; /* marked in this very transaction: its books are still to be written */
    do {
        rc = piece_delete(&p, LIMIT_SWEEP_ROWS - upkeep->ret_row_count);
        if (rc == 0)
            rc = others_part(&p);
    } while (rc > 0 && upkeep->ret_row_count < LIMIT_SWEEP_ROWS && !sqlite_is_late(store));
    if (rc == 0)
        rc = run_delete(&p);
    return rc < 0 ? rc : 1;
}
