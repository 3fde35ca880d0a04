/* What calls come to, summed while an operation ends them, and added to their endpoint's row at its end. The writer's thread. */
#ifndef GALLOC_STORE_SQLITE_CALL_H
#define GALLOC_STORE_SQLITE_CALL_H

#include "store/sqlite.h"

struct call_sums {
    char currency[4]; /* of the last one that had a cost; "": none had */
    int64_t counts[COUNT_KIND_END];
};

/* A call that ended just now, not one that was released. A test request has no class of an attempt. */
void call_sums_add_call(struct call_sums *sums, bool is_test, enum outcome_class class);
/* What it used; tokens and cost -1: not told. */
void call_sums_add_usage(struct call_sums *sums, int32_t http_status, const int64_t tokens[TOKEN_COUNT], int64_t cost_micros, const char *currency);

/* Adds them to the endpoint's. Nothing to add costs nothing. 0 or a fault. */
int sqlite_call_sums_write(struct sqlite_store *store, const char *endpoint, const struct call_sums *sums);
int sqlite_call_sums_lost(struct sqlite_store *store); /* calls of former lives, before they are ended as lost */

/* Reservations (sqlite_reserve.c). Sets what is reserved for a call (0: nothing), with the run's counter (`entry` NULL: of no run); a call has ended, of which so much
 * stays reserved; calls of former lives, before they are ended as lost: the day that ends then has spent what was reserved for them. 0 or a fault. */
struct run_entry;
int sqlite_reserve_set(struct sqlite_store *store, struct run_entry *entry, int64_t run, int64_t call, int64_t micros);
int sqlite_reserve_end(struct sqlite_store *store, struct run_entry *entry, int64_t call, int64_t kept_micros);
int sqlite_reserves_lost(struct sqlite_store *store, int64_t day_ends_at_ms);
int sqlite_call_sums_load(struct sqlite_store *store, struct store_image *image);

#endif
