/* Leases of outside workers, as the claim, the verdicts, the sweeps and the image see them; how they end is in sqlite_lease.c. The writer's thread. */
#ifndef GALLOC_STORE_SQLITE_LEASE_H
#define GALLOC_STORE_SQLITE_LEASE_H

#include "store/sqlite.h"

struct outside_lease {
    int64_t number, run, ttl_ms, row_count; /* rows handed out */
    bool has_ended;    /* its end is written; it is kept for late results alone */
    bool is_over;      /* that, or its deadline has passed */
};

/* 1 and *ret_lease; 0: no outside worker's lease of this number is known; or a fault. */
int lease_get(struct sqlite_store *store, int64_t number, struct outside_lease *ret_lease);

/* Makes the row of a lease of `count` rows; forgets a few of those that ended long ago. 0 or a fault. */
int lease_make(struct sqlite_store *store, const struct store_claim *claim, int64_t count);

/* How many rows are left in an outside worker's lease; ends it when there is none. 0 or a fault. */
int lease_end_if_empty(struct sqlite_store *store, int64_t number, int64_t *ret_left);

/* A person took a row that was leased away: when an outside worker had it, its attempt ends with `message`, and so does the lease with its last row. The row has
 * left the lease already. 0 or a fault. */
struct taken_row {
    int64_t assignment, n, lease;
};
int lease_row_taken(struct sqlite_store *store, struct run_entry *entry, const struct taken_row *row, const char *message);

/* Ends every standing lease of an outside worker: attempts are told as lost, rows are due again, nothing is spent. *ret_count: leases. 0 or a fault. */
int leases_void(struct sqlite_store *store, const char *message, int64_t *ret_count);

#endif
