/* What the ends of attempts share, whoever had the row: the built-in worker (sqlite_settle.c), outside ones (sqlite_verdict.c, sqlite_lease.c), a former life
 * (sqlite_recover.c). The writer's thread. */
#ifndef GALLOC_STORE_SQLITE_SETTLE_H
#define GALLOC_STORE_SQLITE_SETTLE_H

#include "store/sqlite.h"

/* A row as it stands, without what is wide. */
struct settle_row {
    int64_t id, run, lease; /* lease 0: not leased */
    enum assignment_state state;
    enum assignment_hold hold;
    int32_t attempts, retries_spent, reasks_spent, fulls_spent, failures;
    int64_t token_cap;
};

/* Of a statement that stands on a row, whose first columns are those of STMT_ROW_GET. */
struct settle_row settle_row_of(sqlite3_stmt *stmt);

/* By its id. 1 and *ret_row, 0: no such row, or a fault. */
int settle_row_get(struct sqlite_store *store, int64_t assignment, struct settle_row *ret_row);

/* By its key. 1 and *ret_row, 0: the run has no such row, or a fault. */
int settle_row_by_key(struct sqlite_store *store, int64_t run, const char *key, struct settle_row *ret_row);

/* Settles an item whose fence holds: the row moves as the item says, its attempt and call end, the counters and the ledger follow. The item's run, assignment
 * and n are the row's. Fills ret_verdict (DONE, AGENT_FULL) and what a re-ask gives. Takes no event numbers. 0 or a fault. */
int settle_row_now(struct sqlite_store *store, struct run_entry *entry, const struct settle_row *row, struct settle_item *item);

/* Ends an attempt of which there is nothing to tell but a class and words. 1: ended now and counted; 0: it had ended before; or a fault. */
int settle_attempt_close(struct sqlite_store *store, struct run_entry *entry, int64_t assignment, int64_t n, int64_t lease, enum outcome_class class,
                         const char *message);

/* Keeps the JSON of a decision or a failure with its digest; NULL: an empty object. 0 or a fault. */
int settle_result_put(struct sqlite_store *store, int64_t assignment, const char *body);

#endif
