/* Operations of the hot path: leasing, and giving back. What holds for every operation stands at the top of store.h. */
#ifndef GALLOC_STORE_OP_CLAIM_H
#define GALLOC_STORE_OP_CLAIM_H

#include "store/op.h"

/* RELEASE: leased ahead and never sent; call and attempt rows end as released, the rows are due again at once. */
struct release_item {
    int64_t run, assignment, lease, call;
    int32_t n;
};
struct store_release {
    struct store_op op;
    struct release_item *items; /* owned */
    size_t count;
};

/* CLAIM: leases up to `max` due rows of a run: waiting rows that are due (not late) first, then fresh ones in order, then late ones that are due.
 * Lease, attempts and (with an endpoint) calls are made in the same transaction: a call for each `pack` rows, or as few as one of them bears (`pack_most`) and as fit
 * into `pack_bytes`, which stand together. A row that goes alone is taken before the first pack, or by a later claim. An outside worker (`worker`) gets a row that `goes_alone` as a lease's only one. `in_order` is for `sequential`: only the first row of the run that is
 * neither final nor held as rejected is leased, and only when it is due. */
struct leased_row {
    int64_t assignment, call; /* the rows of a call stand together */
    char *key;     /* owned */
    char *fields;  /* owned JSON object text, its digest checked; NULL: it did not match (settle as corrupt) */
    char *problem; /* owned: why the answer before was not valid; NULL: it was, or there was none */
    int32_t n, retries_spent, reasks_spent, fulls_spent, failures;
    int32_t pack_most; /* in a call with at most so many in all; 0: as many as there may be */
    int64_t token_cap;
};
struct store_claim {
    struct store_op op;
    int64_t run;
    int32_t max;      /* at most LIMIT_IN_FLIGHT; LIMIT_LEASE_ROWS for an outside worker */
    int32_t max_calls; /* that they go into, at most; 0: as many as rows */
    int32_t pack;     /* rows of a call, at most; 0 and 1: a call each */
    int64_t pack_bytes; /* of keys and fields in a call of several; 0: no cap */
    bool in_order;
    char *endpoint;   /* owned; NULL: an outside worker */
    char *worker;     /* owned; NULL: the built-in one */
    int64_t ttl_ms;   /* of an outside worker; 0 for the built-in one */
    int64_t max_bytes; /* of keys and fields together, but always one row; 0: no cap */
    /* out */
    int64_t ret_lease;
    struct leased_row *ret_rows; /* owned */
    size_t ret_count;
    int64_t ret_next_due_ms; /* when nothing was due: how long until something is; -1: nothing waits */
};

#endif
