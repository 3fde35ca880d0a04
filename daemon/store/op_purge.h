/* Operations that make the store smaller: runs that are purged, and the upkeep that deletes their rows and all that is older than it is kept. What holds for
 * every operation stands at the top of store.h.
 *
 *   PURGE    marks runs that ended: from that commit on they are gone for everybody. One transaction, however large they are
 *   UPKEEP   does one step of what is to be done: deletes rows of a run that is marked, marks runs older than they are kept, prunes what has ages of its own,
 *            gives free pages back to the file system. The loop submits the next when it has come back; the writer does it behind all other work
 *
 * What was marked and not yet deleted when the daemon ends, the next life's upkeep goes on with. */
#ifndef GALLOC_STORE_OP_PURGE_H
#define GALLOC_STORE_OP_PURGE_H

#include "store/op.h"

#define PURGE_RUNS_MAX 200 /* marked by one operation */
#define TEST_CALLS_KEPT_MS INT64_C(2592000000) /* 30 days: rows of endpoints' test requests; what they came to is kept for ever */

/* PURGE. -NOT_FOUND; -WRONG_STATE: it has not ended, or something of it is still under way. Their places in a standing pool stay taken unless they are released;
 * a pool of a run alone goes with it. */
struct purged_run {
    int64_t run;
    char run_id[RUN_ID_BYTES];
    enum run_state state;
    int64_t finished_at_ms, row_count; /* wall; assignments */
};
struct store_purge {
    struct store_op op;
    struct store_peer peer;
    int64_t run;          /* 0: by age */
    int64_t older_than_ms; /* by age: ended so long ago, by the store's clock and by the wall's */
    bool is_release;
    bool is_dry;          /* only tells what it would mark */
    int64_t after_run;    /* by age: those with higher ids alone */
    struct purged_run *ret_runs; /* owned; by id */
    size_t ret_count;
    int64_t ret_next;     /* by age: there may be more, behind this id; 0: that was all */
};

/* UPKEEP. Ages: 0 keeps for ever. */
struct freed_places {
    int64_t ledger, agent, count;
};
struct store_upkeep {
    struct store_op op;
    int64_t retention_ms;       /* of runs that ended */
    int64_t audit_retention_ms;
    bool is_alone;              /* the writer's: nothing else is in the transaction. Free pages are given back then alone */
    int64_t step_us;            /* the writer's: of work; 0: until the transaction's end */
    /* out */
    struct freed_places *ret_freed; /* owned: places of standing pools that are free now */
    size_t ret_freed_count;
    int64_t ret_marked_count;   /* runs */
    int64_t ret_row_count;      /* assignments deleted */
    char ret_gone[RUN_ID_BYTES]; /* the run whose last row went; "": none */
    int64_t ret_pages_given;    /* to the file system */
    bool ret_has_more;          /* another step would do something */
};

#endif
