/* Operations of outside workers, who lease over the socket. Taking is OP_CLAIM with `worker` and `ttl_ms` (op.h); these are what comes after. What holds for
 * every operation stands at the top of store.h.
 *
 * The lease's number is the fence: it only grows, is never given twice (a restart, a restore and a crash included), and whoever comes with one that is over
 * changes nothing. Deadlines are by the store's clock, which no jump of the wall clock moves. A lease is over when all of its rows are settled, when it was given
 * back, or when its deadline passed; its row is kept for LEASE_KEPT_MS, so that a late or repeated result can be told from one that never was.
 *
 *   taken -> renewed … -> all settled | given back (unspent) | run out
 *   run out: its rows are pending again at once as `lost`, spend nothing, and each goes out alone from then on; one that is lost alone for the third time fails as
 *   `poison`, with the names of those workers. */
#ifndef GALLOC_STORE_OP_LEASE_H
#define GALLOC_STORE_OP_LEASE_H

#include "core/retry.h"
#include "store/op.h"

#define LEASE_LOST_ALONE_MAX 3
#define LEASE_KEPT_MS INT64_C(604800000) /* 7 days, as long as an Idempotency-Key; UPKEEP forgets it (op_purge.h) */

/* LEASE_RENEW: the deadline is ttl_ms from now. -LEASE_LOST: it is over (or never was): the worker has to stop. */
struct store_lease_renew {
    struct store_op op;
    int64_t lease;
    int64_t ttl_ms; /* 0: as it was taken */
    int64_t ret_run, ret_ttl_ms;
};

/* LEASE_END: gives back what is left of it, unspent and uncounted (`released`). -LEASE_LOST: it is over. */
struct store_lease_end {
    struct store_op op;
    int64_t lease;
    int64_t ret_run, ret_released_count;
};

/* LEASE_EXPIRE: ends every lease whose deadline has passed, at most LIMIT_SWEEP_ROWS rows an operation (ret_has_more: there are more). Submitted by the loop
 * while outside leases stand. */
struct expired_lease {
    int64_t lease, run;
    char *worker; /* owned */
    int64_t row_count;      /* lost with it */
    int64_t poisoned_count; /* of these failed */
};
struct store_lease_expire {
    struct store_op op;
    struct expired_lease *ret_leases; /* owned */
    size_t ret_count;
    int64_t ret_next_ms; /* until the next deadline; -1: no lease of an outside worker stands */
    bool ret_has_more;
};

/* VERDICTS: what a worker decided. Each item stands or falls by its own fence; all in one transaction; may be repeated safely. A deadline
 * that has passed takes nothing from a worker before LEASE_EXPIRE has seen it: until then its rows are in no other hands. The row's budgets are moved as
 * core/retry.h says (retry_decide_outside()). */
enum verdict {
    VERDICT_OF_SUCCEEDED, VERDICT_OF_FAILED, VERDICT_OF_RETRY,
    VERDICT_OF_STALE,          /* the key is not, or no longer, in this lease: nothing changed */
    VERDICT_OF_DUPLICATE,      /* this lease has told the outcome of this key before: nothing changed */
    VERDICT_OF_AGENT_FULL,     /* pending again */
    VERDICT_OF_INVALID_ANSWER, /* pending again; the fifth fails (then VERDICT_OF_FAILED) */
    VERDICT_OF_COUNT
};
const char *verdict_name(enum verdict verdict); /* on the wire */

struct verdict_item {
    char *key;                /* owned, decoded */
    enum outcome_class class; /* SUCCEEDED; INVALID_ANSWER (no such agent, not a candidate, nothing usable); TRANSIENT (its error, to be tried again); WORKER (its error, final) */
    int64_t agent;            /* of SUCCEEDED */
    char *result;             /* owned JSON body: of the decision; else of the failure, if it comes to one */
    char *message;            /* owned; why it was not well; NULL: none */
    /* out */
    enum verdict ret_verdict;
    enum outcome_class ret_class; /* as the attempt was recorded */
    bool ret_is_final;
    int64_t ret_assignment, ret_retry_after_ms, ret_seq; /* seq as in settle_item */
    int32_t ret_n;
};
struct store_verdicts {
    struct store_op op;
    int64_t lease;
    int64_t ledger;                   /* of the lease's run; 0: it has none */
    int64_t max_retries, backoff_max_ms; /* of the run's profile */
    uint64_t seed;                    /* of the backoff's jitter */
    struct verdict_item *items;       /* owned */
    size_t count;
    int64_t ret_run;                  /* 0: no such lease is known */
    int64_t ret_left_count;           /* rows still in the lease; 0: it is over */
};

#endif
