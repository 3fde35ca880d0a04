/* The store: what is kept, and when it is safe. This header is the whole contract above the engine; no SQLite type appears here.
 *
 * An operation is a struct that begins with `struct store_op`. The caller fills what goes in, submits it, and gets it back through op.done on the
 * loop's thread, after COMMIT, with op.code (0 or a negative galloc_code) and the ret_ fields filled. Until then the store owns it with all it
 * points to. ret_ memory belongs to the operation and is freed by store_op_free(), which the receiver calls when it has taken what it needs.
 * Ids, lease numbers and *now* come from the store: callers pass durations. Operations of one lane are done in the order they were submitted. */
#ifndef GALLOC_STORE_STORE_H
#define GALLOC_STORE_STORE_H

#include "core/allowance.h"
#include "store/op_admin.h"
#include "store/op_backup.h"
#include "store/op_claim.h"
#include "store/op_hedge.h"
#include "store/op_reserve.h"
#include "store/op_lease.h"
#include "store/op_purge.h"
#include "store/op_run.h"
#include "store/read.h"

struct store;

/* ---- the facade ---- */
/* DISK_LOW: what is left on the file system is kept for results: new work is refused with -DISK_FULL, all else goes on. DISK_FULL: nothing can be written. */
enum store_health { STORE_WELL, STORE_DISK_LOW, STORE_DISK_FULL, STORE_FAILED };

/* Places of an agent that changed hands. An operation that tells all places of a ledger knows of those whose `seq` is lower than its own. */
struct store_place {
    int64_t ledger, agent, change, seq;
};

/* What a commit changed, told before the done of its operations. */
struct store_commit {
    const struct store_run *runs; /* summaries: no strings but run_id; state, pauses, counts, seq and times are current */
    size_t run_count;
    const struct store_place *places; /* that persons' decisions took and gave back */
    size_t place_count;
    int64_t seq;
};

struct store_config {
    struct loop *loop;       /* borrowed */
    const char *path;        /* of the database; the state directory's lock is held by the caller */
    int64_t wal_warn_bytes, wal_bytes; /* 0: LIMIT_WAL_WARN_BYTES, LIMIT_WAL_BYTES */
    void (*on_commit)(const struct store_commit *commit, void *arg); /* loop's thread */
    void (*on_health)(enum store_health health, const char *text, void *arg); /* loop's thread; at every change */
    void *arg;
};

/* A lease of an outside worker that stands. */
struct store_lease {
    int64_t lease, run;
    char *worker;    /* owned */
    int64_t ttl_ms;  /* as it was taken */
    int64_t left_ms; /* until its deadline */
    int64_t row_count; /* still in it */
};

/* What was sent to an endpoint of late: limits hold across a restart. */
struct store_sends {
    char *endpoint;          /* owned */
    struct former_send *items; /* owned; of the last STORE_SENDS_MS at least, newest rows first */
    size_t count;
    int64_t day_calls;       /* of the present day (Pacific time) */
    int64_t day_cost_micros; /* of these, with what is reserved for those whose end is unknown */
};
#define STORE_SENDS_MS 600250 /* the longest window of a pacer: 60 s at the highest time_scale, and its guard */

/* What an endpoint's calls came to, ever. */
struct store_endpoint_sums {
    char *endpoint;  /* owned */
    char currency[4]; /* of COUNT_COST_MICROS; "": no call had a cost */
    int64_t counts[COUNT_KIND_END]; /* calls, tests, tokens (those of tests too), cost, and attempts' calls by class */
};

/* What the store holds when it opens: the loop's memory starts from it. */
struct store_image {
    struct store_run *runs;   /* open ones with their plan, and the last LIMIT_RUNS_KEPT ended ones without; in order of id */
    size_t run_count;
    bool has_more_runs;       /* ended ones that are not among them */
    struct store_pool *pools; /* all standing ones, and the own ones of open runs */
    size_t pool_count;
    struct store_setting *settings;
    size_t setting_count;
    struct store_endpoint_state *endpoints;
    size_t endpoint_count;
    struct store_lease *leases; /* of outside workers, in order of their numbers */
    size_t lease_count;
    struct store_endpoint_sums *sums;
    size_t sums_count;
    struct store_sends *sends; /* an endpoint each */
    size_t sends_count;
    int64_t seq;
    int64_t recovered_lost;    /* calls of former lives that ended as lost */
    int64_t starts_in_60_s;    /* lives that began within the last minute, this one included */
};
void store_image_clear(struct store_image *image);

/* Opens or makes the database, migrates, recovers (leases of former lives of the built-in worker are given back, their calls are lost; those
 * of outside workers run on, each for at least the less of its ttl and 30 s from now), goes on with open
 * sweeps, starts the threads. Blocks; before the loop runs. 0, or -GALLOC_D_STORE_REFUSED (touching no byte) / -GALLOC_D_STORE_IO with path, cause, next step. */
int store_open(const struct store_config *config, struct store **ret_store, struct store_image *ret_image, struct galloc_error *error) MUST_CHECK;

/* Hands an operation over. Loop's thread. A full queue gives it back through done with -GALLOC_BUSY (never for the settle lane). */
void store_submit(struct store *store, struct store_op *op);

/* Makes an operation of a kind, all zero but for kind, done and arg; frees one with everything it owns. Any thread. */
void *store_op_new(enum store_op_kind kind, void (*done)(struct store_op *op), void *arg);
void store_op_free(struct store_op *op);

/* Finishes what was submitted, checkpoints, closes. Blocks; done of what was in the queue is called before it returns. NULL is fine. */
void store_close(struct store *store);

/* Figures for status and metrics; never blocks. Any thread. */
struct store_stats {
    enum store_health health;
    int64_t commits, commit_us_sum, commit_us_last, ops_sum;
    int64_t db_bytes, wal_bytes, free_bytes, reserve_bytes;
    int64_t reads_ended; /* how often readers were ended, so that the log could be emptied */
    int64_t queue_count;
    int64_t ticks; /* rises while the writer lives: for the watchdog */
};
void store_stats(struct store *store, struct store_stats *ret_stats);

#endif
