/* Reservations of money: a row a call that may still cost something, its run's counter beside it. The counter is what a budget is held against, so it moves in the
 * transaction that makes, changes or drops the row; a crash needs no step of its own: what was under way stays reserved. The writer's thread. */
#include "store/sqlite_call.h"

/* What is reserved for the call; 0: nothing. Or a fault. */
static int64_t reserved(struct sqlite_store *store, int64_t call, int *ret_rc)
{
    int64_t micros = 0;
    int rc = sqlite_number(store, STMT_RESERVE_GET, &micros, "i", call);
    *ret_rc = min_i64(rc, 0);
    return rc > 0 ? micros : 0;
}

int sqlite_reserve_set(struct sqlite_store *store, struct run_entry *entry, int64_t run, int64_t call, int64_t micros)
{
    int rc;
    int64_t before = reserved(store, call, &rc);
    if (rc == 0 && micros > 0)
        rc = sqlite_do(store, STMT_RESERVE_PUT, "iii", call, run, micros);
    else if (rc == 0 && before > 0)
        rc = sqlite_do(store, STMT_RESERVE_DROP, "i", call);
    if (rc == 0 && entry != NULL && micros != before)
        books_count(store, entry, COUNT_COST_RESERVED, max_i64(micros, 0) - before);
    return rc;
}

int sqlite_reserve_end(struct sqlite_store *store, struct run_entry *entry, int64_t call, int64_t kept_micros)
{
    if (entry->now.counts[COUNT_COST_RESERVED] == 0)
        return 0; /* nothing of this run is, and no row is looked for */
    int rc;
    int64_t before = reserved(store, call, &rc);
    return rc < 0 || before == 0 ? rc : sqlite_reserve_set(store, entry, entry->now.id, call, min_i64(kept_micros, before));
}

static int item_reserve(struct sqlite_store *store, const struct reserve_item *item)
{
    sqlite3_stmt *row = NULL;
    struct run_entry *entry = NULL;
    int rc = sqlite_find(store, STMT_CALL_ENDPOINT, &row, "i", item->call); /* of one that is open */
    if (rc <= 0)
        return rc;
    sqlite_end(row);
    rc = books_run(store, item->run, &entry);
    return rc <= 0 ? rc : sqlite_reserve_set(store, entry, item->run, item->call, item->micros);
}

int sqlite_apply_reserve(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_reserve *reserve = CONTAINER_OF(op, struct store_reserve, op);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < reserve->count; i++)
        rc = item_reserve(store, &reserve->items[i]);
    return rc;
}

int sqlite_reserves_lost(struct sqlite_store *store, int64_t day_ends_at_ms)
{
    int rc = sqlite_do(store, STMT_DAY_COST_LOST, "i", day_ends_at_ms);
    return rc < 0 ? rc : sqlite_do(store, STMT_RESERVE_DROP_TESTS, "");
}
