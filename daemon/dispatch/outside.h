/* Outside workers, as the API sees them: processes in any language that lease assignments over the socket, decide them, and tell what they decided. What a lease
 * is worth, and what its number fences, is the store's (store/op_lease.h); here is who may have which rows, and that memory follows. Loop's thread throughout.
 *
 * A run is left to outside workers by the built-in endpoint `workers`; with --workers-too they lease beside the built-in one. */
#ifndef GALLOC_DISPATCH_OUTSIDE_H
#define GALLOC_DISPATCH_OUTSIDE_H

#include "core/worker_result.h"
#include "dispatch/engine.h"

#define OUTSIDE_TTL_MIN_MS 100
#define OUTSIDE_TTL_MAX_MS 3600000
#define OUTSIDE_TTL_MS 30000       /* where the worker does not say */
#define OUTSIDE_WAIT_MAX_MS 60000

/* ---- work for a worker ---- */
struct outside_ask {
    char *worker;       /* owned; its own name */
    int64_t run;        /* 0: of any run on the endpoint `workers`, by priority and fair share */
    int64_t max, ttl_ms, wait_ms;
    void (*done)(struct outside_ask *ask); /* once, when it is answered; what is below is filled */
    bool (*is_gone)(struct outside_ask *ask); /* is there nobody any more who would get an answer? Looked at right before work is handed out */
    void *arg;
    /* The answer: 0 with a lease; 0 with lease 0: nothing to do within wait_ms; or a code. */
    int code;
    struct galloc_error error;
    int64_t lease;
    const struct run_entry *leased_run; /* borrowed, until `done` returns */
    struct buf agents, assignments;     /* owned: items of JSON lists, without brackets */
    /* outside.c's */
    struct outside_ask *next;
    struct engine *engine;
    int64_t until_mono_us;
    struct outside_claim *claim; /* NULL: none is on its way */
};
/* Takes the ask over until `done`, which is never called before this returns, but by outside_cancel(). */
void outside_ask(struct engine *engine, struct outside_ask *ask);
/* Nobody waits for it any more: it ends now, with lease 0; what is leased for it is given back. */
void outside_cancel(struct outside_ask *ask);
void outside_ask_clear(struct outside_ask *ask);

/* May workers lease from this run at all? 0, or -CONFLICT with the way out. */
int outside_check_run(const struct run_entry *run, struct galloc_error *error) MUST_CHECK;

/* ---- what a worker told ---- */
struct outside_told {
    struct worker_result result;
    bool is_candidate; /* outside_results.c's */
    /* out */
    enum verdict verdict;
    int64_t retry_after_ms; /* -1: it comes not again */
    char *text; /* owned: what is to be said about it; NULL: nothing */
};
struct outside_results {
    int64_t lease;
    struct outside_told *items; /* owned */
    size_t count;
    void (*done)(struct outside_results *results); /* once; the verdicts are filled when code is 0 */
    void *arg;
    int code;
    struct galloc_error error;
    /* outside_results.c's */
    struct engine *engine;
    int64_t run;                /* the lease's, which may be over before the store has answered; 0: it was over when they came */
    int64_t pool;               /* whose agents' places are claimed meanwhile; 0: none are */
    char *worker;               /* owned; whose lease it was */
    struct outside_told **by_key; /* owned, in order of keys: decisions whose candidates are told by the input */
    size_t by_key_count;
    int64_t read_after;
};
/* Takes the results over until `done`, which may be called before this returns. Every item but those without a key is the store's to judge. */
void outside_results(struct engine *engine, struct outside_results *results);
void outside_results_clear(struct outside_results *results);

/* ---- leases that stand; OP_LEASE_RENEW and OP_LEASE_END go through engine_submit() ---- */
struct outside_lease {
    int64_t lease, run;
    char *worker; /* owned */
    int64_t ttl_ms, deadline_mono_ms;
    int64_t row_count; /* still in it */
};
/* In order of their numbers; borrowed until the next return to the loop. One whose rows were all cancelled is among them for a second at most. */
const struct outside_lease *outside_leases(const struct engine *engine, size_t *ret_count);
int64_t outside_expired_count(const struct engine *engine); /* since the start */

#endif
