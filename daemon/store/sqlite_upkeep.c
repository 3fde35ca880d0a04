/* UPKEEP: one step of what makes the store smaller. The first thing in this order that there is to do is done, until the step's time is up:
 *   rows of a run that is marked (sqlite_purge_rows.c); runs older than they are kept, marked; what has ages of its own, pruned; free pages, given back.
 * Ages are by the store's clock and by the wall's, whichever makes a thing younger: a clock that is set years ahead deletes nothing before its time.
 * The writer's thread; the engine has written the open seats of the books before, and forgets them after. */
#include "store/sqlite_purge.h"

#define PRUNED_COUNT 256    /* rows between two looks at the clock */
#define DAYS_KEPT 31        /* counts of calls a day, of an endpoint, besides the present day's: a clock that comes back finds what was counted */
#define SPARE_PAGES 256     /* 1 MiB of free pages stays in the file: the next rows take them */

/* The moment before which what is kept for `age_ms` is too old. */
static int64_t age_end(const struct sqlite_store *store, int64_t age_ms)
{
    return min_i64(store->now_ms, store->wall_ms) - age_ms;
}

/* ---- pruning ---- */
static int tests_prune(struct sqlite_store *store, int64_t before_ms, bool *ret_has_pruned)
{
    int64_t last = 0;
    sqlite3_stmt *row = NULL;
    int rc = sqlite_number(store, STMT_PRUNE_TESTS_PIECE, &last, "ii", before_ms, (int64_t)PRUNED_COUNT);
    if (rc <= 0 || last == 0)
        return min_i64(rc, 0);
    *ret_has_pruned = true;
    rc = sqlite_find(store, STMT_PRUNE_TEST_SUMS, &row, "ii", before_ms, last);
    rc = sqlite_gone_add(store, row, rc);
    return rc < 0 ? rc : sqlite_do(store, STMT_PRUNE_TESTS, "ii", before_ms, last);
}

/* 1: something went; 0: nothing is too old; or a fault. */
static int prune(struct sqlite_store *store, const struct store_upkeep *upkeep)
{
    const struct {
        enum sqlite_statement statement;
        int64_t age_ms; /* 0: for ever */
    } tables[] = {
        {STMT_PRUNE_AUDIT, upkeep->audit_retention_ms},
        {STMT_PRUNE_KEYS, REPEAT_MS},
        {STMT_PRUNE_LEASES, LEASE_KEPT_MS + 1},
        {STMT_PRUNE_CALLS, STORE_SENDS_MS},
    };
    bool has_pruned = false;
    int rc = 0;
    for (size_t i = 0; i < ARRAY_COUNT(tables) && rc == 0; i++) {
        if (tables[i].age_ms == 0)
            continue;
        rc = sqlite_do(store, tables[i].statement, "ii", age_end(store, tables[i].age_ms), (int64_t)PRUNED_COUNT);
        has_pruned = has_pruned || (rc == 0 && sqlite3_changes(store->db) > 0);
    }
    if (rc == 0)
        rc = sqlite_do(store, STMT_PRUNE_DAYS, "ii", clock_next_pacific_midnight_ms(store->wall_ms), (int64_t)DAYS_KEPT);
    if (rc == 0)
        rc = tests_prune(store, age_end(store, TEST_CALLS_KEPT_MS), &has_pruned);
    return rc < 0 ? rc : has_pruned;
}

/* ---- free pages ---- */
int64_t sqlite_free_pages(struct sqlite_store *store)
{
    int64_t pages = 0;
    return sqlite_number(store, STMT_FREE_PAGES, &pages, "") < 0 ? 0 : pages;
}

/* 1: there are more to give; 0: no; or a fault. A piece goes however late it is: the looks before may take all of a step's time, and each step's again. */
static int pages_give(struct sqlite_store *store, struct store_upkeep *upkeep)
{
    int64_t began = sqlite_free_pages(store), pages = began;
    int rc = store->fault;
    bool goes_on = upkeep->is_alone;
    while (rc == 0 && goes_on && pages > SPARE_PAGES) {
        sqlite3_stmt *row = NULL;
        rc = sqlite_find(store, STMT_GIVE_PAGES, &row, "");
        while (rc > 0) /* a row a page */
            rc = sqlite_next(store, row);
        int64_t left = sqlite_free_pages(store);
        goes_on = left < pages && !sqlite_is_late(store); /* nothing moves: a database that was made without it */
        pages = left;
    }
    upkeep->ret_pages_given = began - pages;
    return rc < 0 ? rc : pages > SPARE_PAGES && (pages < began || !upkeep->is_alone);
}

/* ---- the step ---- */
static int step(struct sqlite_store *store, struct store_upkeep *upkeep)
{
    int rc = sqlite_purge_step(store, upkeep);
    if (rc == 0 && upkeep->retention_ms > 0) {
        rc = sqlite_purge_mark_old(store, &upkeep->op, age_end(store, upkeep->retention_ms), &upkeep->ret_marked_count);
        rc = rc < 0 ? rc : upkeep->ret_marked_count > 0;
    }
    if (rc == 0)
        rc = prune(store, upkeep);
    return rc != 0 ? rc : pages_give(store, upkeep);
}

int sqlite_apply_upkeep(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more; /* the loop submits the next step */
    struct store_upkeep *upkeep = CONTAINER_OF(op, struct store_upkeep, op);
    upkeep->ret_freed_count = 0; /* of a time before that did not stand */
    upkeep->ret_marked_count = upkeep->ret_row_count = upkeep->ret_pages_given = 0;
    upkeep->ret_gone[0] = '\0';
    int64_t deadline_mono_us = store->deadline_mono_us;
    if (upkeep->step_us > 0)
        store->deadline_mono_us = min_i64(deadline_mono_us, clock_mono_us() + upkeep->step_us);
    int rc = step(store, upkeep);
    store->deadline_mono_us = deadline_mono_us;
    upkeep->ret_has_more = rc > 0;
    return min_i64(rc, 0);
}
