/* The store: what is kept, and when it is safe. This header is the whole contract above the engine; no SQLite type appears here.
 *
 * An operation is a struct that begins with `struct store_op`. The caller fills what goes in, submits it, and gets it back through op.done on the
 * loop's thread, after COMMIT, with op.code (0 or a negative galloc_code) and the ret_ fields filled. Until then the store owns it with all it
 * points to. ret_ memory belongs to the operation and is freed by store_op_free(), which the receiver calls when it has taken what it needs.
 * Ids, lease numbers and *now* come from the store: callers pass durations. Operations of one lane are done in the order they were submitted. */
#ifndef GALLOC_STORE_STORE_H
#define GALLOC_STORE_STORE_H

#include "base/buf.h"
#include "base/code.h"
#include "base/digest.h"
#include "core/outcome.h"
#include "core/state.h"
#include "loop/loop.h"
#include "loop/mailbox.h"

struct store;

/* Who asked: for the audit log. */
struct store_peer {
    uint32_t uid;
    int32_t pid; /* for people only; it may be gone */
};

/* ---- counters of a run: what the run object, status and metrics show. They move in the transaction that moves the rows. ---- */
enum store_token { TOKEN_IN, TOKEN_CACHED, TOKEN_OUT, TOKEN_THOUGHT, TOKEN_TOOL, TOKEN_COUNT };

enum store_count_kind { /* stored numbers of run_count.kind */
    COUNT_STATE = 0,    /* + enum assignment_state: rows now in it */
    COUNT_CLASS = 10,   /* + enum outcome_class: attempts that ended so, ever */
    COUNT_FAILED = 40,  /* + enum outcome_class: failed rows with this cause, now */
    COUNT_TOKEN = 80,   /* + enum store_token, ever */
    COUNT_COST_MICROS = 90,
    COUNT_COST_UNKNOWN = 91, /* calls with tokens but no price */
    COUNT_CALLS = 92,
    COUNT_ACCEPTED = 93,   /* rows imported */
    COUNT_DUPLICATES = 94, /* rows passed over as repeated */
    COUNT_REJECTED = 95,   /* rows refused at import */
    COUNT_RETRIES = 96,    /* retries spent (confirmed transient failures) */
    COUNT_KIND_END = 100
};

/* A run as everybody shows it. Strings are owned by whoever holds the struct (store_run_clear). */
struct store_run {
    int64_t id;
    char run_id[RUN_ID_BYTES];
    char *name, *endpoint, *profile, *pause_text, *source_name, *source_sha256; /* owned; name, pause_text, source_* may be NULL */
    char *plan;          /* owned JSON; NULL where only the summary was asked for */
    char *pool_name;     /* owned; NULL: agents of its own */
    enum run_state state;
    unsigned pauses;     /* bits of enum pause_cause */
    bool is_open;
    int64_t pool, ledger; /* ids; 0: none */
    int64_t priority, parts;
    int64_t created_at_ms, started_at_ms, finished_at_ms; /* wall; 0: not yet */
    int64_t seq;         /* of the last event about it */
    int64_t counts[COUNT_KIND_END];
};
void store_run_clear(struct store_run *run);

/* ---- agents ---- */
struct store_agent {
    int64_t id; /* out only */
    char *agent_id;   /* owned */
    char *attributes; /* owned JSON object text */
    int64_t capacity; /* -1: no limit */
    int64_t held;     /* in a new ledger: the starting load; out: places taken in the ledger */
    bool is_available, is_listed;
    int64_t until_at_ms; /* wall; 0: none */
};
struct store_agents {
    struct store_agent *items; /* owned */
    size_t count;
};
void store_agents_clear(struct store_agents *agents);

struct store_pool {
    int64_t id, ledger;
    char *name; /* owned; NULL: a run's own */
    int64_t created_at_ms;
    struct store_agents agents;
};
void store_pool_clear(struct store_pool *pool);

/* ---- endpoints ---- */
struct store_setting {
    char *endpoint, *name, *value; /* owned */
    int64_t set_at_ms, until_at_ms; /* until 0: for good */
    uint32_t set_by;
};
struct store_endpoint_state {
    char *endpoint;  /* owned */
    int down_class;  /* enum outcome_class, or -1: up */
    char *down_text; /* owned; may be NULL */
    int64_t down_at_ms, quota_until_at_ms; /* wall; 0: none */
    char *learned;   /* owned JSON; may be NULL */
};

/* ---- operations ---- */
enum store_lane { STORE_SETTLE, STORE_LEASE, STORE_OPERATOR, STORE_IMPORT, STORE_READ }; /* the order among those that wait; READ has a thread of its own */

enum store_op_kind {
    OP_SETTLE, OP_JUDGE, OP_RELEASE, OP_CALL_END,
    OP_CLAIM, OP_CALL_BEGIN,
    OP_RUN_CREATE, OP_RUN_COMMIT, OP_RUN_PAUSE, OP_RUN_SET, OP_SWEEP, OP_POOL_PUT, OP_POOL_RESET, OP_AGENT_SET,
    OP_ENDPOINT_SET, OP_ENDPOINT_STATE, OP_AUDIT,
    OP_IMPORT,
    OP_READ, OP_DOCTOR,
    STORE_OP_KIND_COUNT
};

struct store_op {
    enum store_op_kind kind;
    int code;                   /* 0, or -galloc_code */
    struct galloc_error error;  /* filled when code < 0 */
    int64_t seq_first;          /* the event numbers of this operation's changes: seq_first, seq_first + 1, … */
    void (*done)(struct store_op *op); /* on the loop's thread */
    void *arg;                  /* the caller's */
    struct mail mail;           /* the store's: on its way in */
    struct loop_note note;      /* the store's: on its way back */
};

/* SETTLE: the end of attempts. One item is one attempt; each item stands or falls by its own fence, all items in one transaction. */
enum settle_move {
    MOVE_SUCCEED,   /* succeeded: agent, result; the ledger's count rises */
    MOVE_FAIL,      /* failed with `class`; result holds the words */
    MOVE_PENDING,   /* pending again after delay_ms */
    MOVE_HOLD,      /* pending under `hold`, not due */
    MOVE_REASK      /* leased anew at once: new lease number, attempt and call rows; see ret_lease */
};
enum settle_verdict {
    VERDICT_DONE,
    VERDICT_STALE,      /* the lease is not the current one (cancelled, or taken): call and attempt recorded, the row untouched */
    VERDICT_AGENT_FULL  /* MOVE_SUCCEED met a full, away or gone agent: recorded as agent_full, pending again at once */
};
struct settle_item {
    int64_t run, assignment, lease; /* fence: `lease` has to be the row's */
    int64_t call;                   /* 0: no call was made */
    int32_t n;                      /* the attempt */
    enum outcome_class class;
    enum settle_move move;
    enum assignment_hold hold;      /* of MOVE_HOLD */
    bool is_late;                   /* of MOVE_PENDING, MOVE_HOLD: waits behind those never tried */
    int64_t delay_ms;               /* of MOVE_PENDING */
    int32_t retries_spent, reasks_spent, fulls_spent, failures; /* the budgets after this attempt */
    int64_t token_cap;              /* for the next attempt; 0: the endpoint's */
    int64_t ledger, agent;          /* of MOVE_SUCCEED; agent also where the answer named one (0: none) */
    int64_t excluded;               /* the agent that was full; 0: none */
    char *result;                   /* owned JSON body of MOVE_SUCCEED and MOVE_FAIL; NULL else */
    char *message;                  /* owned; the provider's or our words; NULL: none */
    bool has_call_result;           /* the call's own row is filled from what follows */
    bool is_call_lost;              /* the call ends as lost: maybe sent, no answer */
    int32_t http_status, local_port;
    int64_t tokens[TOKEN_COUNT];    /* -1: not told */
    int64_t cost_micros;            /* -1: unknown */
    char currency[4];
    int64_t latency_ms;
    /* out */
    enum settle_verdict ret_verdict;
    int64_t ret_lease, ret_call;    /* of MOVE_REASK */
    int32_t ret_n;
    int64_t ret_seq;
};
struct store_settle {
    struct store_op op;
    char *endpoint; /* owned; of the calls of re-asks; NULL: outside workers */
    struct settle_item *items; /* owned */
    size_t count;
};

/* JUDGE: held transient failures are confirmed (spent) or dropped. Fence: the row is pending under HOLD_TRANSIENT with `n` attempts. */
struct judge_item {
    int64_t run, assignment;
    int32_t n;
    bool is_spent;      /* counts as a retry spent */
    bool fails;         /* budget used up: failed with OUTCOME_TRANSIENT; result holds the words */
    int64_t delay_ms;   /* else due after this */
    char *result;       /* owned; of `fails` */
    bool ret_done;      /* false: the fence did not hold, nothing was done */
};
struct store_judge {
    struct store_op op;
    struct judge_item *items; /* owned */
    size_t count;
};

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

/* CALL_BEGIN, CALL_END: the endpoint's own test request, a call without an attempt. */
struct store_call_begin {
    struct store_op op;
    char *endpoint; /* owned */
    int64_t ret_call;
};
struct store_call_end {
    struct store_op op;
    int64_t call;
    bool is_lost;
    enum outcome_class class;
    int32_t http_status, local_port;
    int64_t tokens[TOKEN_COUNT];
    int64_t cost_micros; /* -1: unknown */
    char currency[4];
    int64_t latency_ms;
};

/* CLAIM: leases up to `max` due rows of a run: waiting rows that are due (not late) first, then fresh ones in order, then late ones that are due.
 * Lease, attempts and (with an endpoint) calls are made in the same transaction. `in_order` is for `sequential`: only the first row of the run that is
 * neither final nor held as rejected is leased, and only when it is due. */
struct leased_row {
    int64_t assignment, call;
    char *key;     /* owned */
    char *fields;  /* owned JSON object text, its digest checked; NULL: it did not match (settle as corrupt) */
    int32_t n, retries_spent, reasks_spent, fulls_spent, failures;
    int64_t token_cap;
};
struct store_claim {
    struct store_op op;
    int64_t run;
    int32_t max;
    bool in_order;
    char *endpoint;   /* owned; NULL: an outside worker */
    char *worker;     /* owned; NULL: the built-in one */
    int64_t ttl_ms;   /* of an outside worker; 0 for the built-in one */
    /* out */
    int64_t ret_lease;
    struct leased_row *ret_rows; /* owned */
    size_t ret_count;
    int64_t ret_next_due_ms; /* when nothing was due: how long until something is; -1: nothing waits */
};

/* RUN_CREATE. With agents a pool and ledger of the run's own are made; else `pool` names a standing one. */
struct store_run_create {
    struct store_op op;
    struct store_peer peer;
    struct store_run run;        /* name, endpoint, profile, plan, priority, pauses, source_* */
    char *pool;                  /* owned; NULL with agents */
    struct store_agents agents;  /* empty with a pool */
    char *plan_sha256;           /* owned hex; with source_sha256 it tells a repeat */
    bool is_again;               /* enqueue even if the same was enqueued within 7 days */
    char *idempotency_key, *request_sha256; /* owned; NULL: none given */
    enum { RUN_NEW, RUN_REPLAYED, RUN_STILL_IMPORTING } ret_how; /* -ALREADY_ENQUEUED: ret_existing and its state are filled */
    char ret_existing[RUN_ID_BYTES];
    struct store_run ret_run;    /* filled when code is 0 */
    struct store_pool ret_pool;  /* the run's own or the standing one, with agents and held, when code is 0 and ret_how is RUN_NEW */
};

/* IMPORT: one part. Rows are already checked; done in steps of a few thousand rows a transaction, the import_part row with the last. */
enum import_duplicate { DUPLICATE_SKIP, DUPLICATE_ERROR, DUPLICATE_REPLACE };
struct import_row {
    struct { const char *at; size_t len; } key, fields; /* borrowed from store_import.text: decoded key, fields object as it came */
    int64_t row;                                        /* its number in the source, for messages */
    unsigned char sha256[DIGEST_BYTES];                 /* of fields */
};
struct store_import {
    struct store_op op;
    int64_t run;
    int64_t part;
    char sha256[DIGEST_HEX];
    enum import_duplicate on_duplicate;
    char *text;              /* owned: what the rows point into */
    struct import_row *rows; /* owned */
    size_t count;
    char *rejected;          /* owned JSON array of what the check refused: [{"row","column","code","message"},…] */
    int64_t rejected_count;
    struct buf ret_answer;   /* {"accepted":N,"duplicates":N,"rejected":[…]}; with DUPLICATE_ERROR repeated rows stand in rejected */
    int64_t done_count;      /* the store's: rows of earlier steps */
};

/* RUN_COMMIT: importing -> running (done at once when nothing is pending). */
struct store_run_commit {
    struct store_op op;
    struct store_peer peer;
    int64_t run;
    int64_t parts; /* has to be the last part's number */
};

/* RUN_PAUSE: sets and clears causes. Clearing PAUSE_REJECTED makes the rows held as rejected due again. */
struct store_run_pause {
    struct store_op op;
    struct store_peer peer;
    bool is_by_person; /* an audit row is written */
    int64_t run;
    unsigned set, clear;
    char *text; /* owned; why; may be NULL */
};

/* RUN_SET: what may change while a run lives. NULL / INT64_MIN: unchanged. */
struct store_run_set {
    struct store_op op;
    struct store_peer peer;
    int64_t run;
    int64_t priority;
    char *endpoint, *profile, *plan, *name; /* owned */
};

/* SWEEP: many rows of a run, in steps of LIMIT_SWEEP_ROWS a transaction; done is called once, at the end. A restart goes on with it.
 * SWEEP_FAIL_HELD fails the rows held as rejected (first success, or nothing else left); SWEEP_FREE_HELD makes them due. SWEEP_EXPIRE fails what is pending. */
enum store_sweep_verb { SWEEP_CANCEL, SWEEP_RETRY, SWEEP_EXPIRE, SWEEP_FAIL_HELD };
struct store_selector {
    bool is_all;
    unsigned states;  /* a bit a state; 0: any */
    uint32_t classes; /* a bit an outcome class; 0: any */
    char **agents, **keys, **where; /* owned NULL-ended lists or NULL; where: "FIELD=VALUE" */
};
struct store_sweep {
    struct store_op op;
    struct store_peer peer;
    bool is_by_person;
    int64_t run;
    enum store_sweep_verb verb;
    struct store_selector selector;
    int64_t ret_changed;
    int64_t sweep_id, after_id; /* the store's */
};

struct store_pool_put { /* makes or replaces a standing pool: agents not named leave its list (their places stay in the ledger) */
    struct store_op op;
    struct store_peer peer;
    char *name; /* owned */
    struct store_agents agents;
    struct store_pool ret_pool;
};
struct store_pool_reset { /* held becomes 0 for every agent of the standing pool */
    struct store_op op;
    struct store_peer peer;
    int64_t pool;
    struct store_pool ret_pool;
};
struct store_agent_set {
    struct store_op op;
    struct store_peer peer;
    int64_t pool;
    char *agent_id;      /* owned */
    int64_t capacity;    /* -1: no limit, INT64_MIN: unchanged */
    int available;       /* 0, 1, or -1: unchanged */
    int64_t until_at_ms; /* wall; 0: none; goes with available = 0 */
    struct store_pool ret_pool; /* with all agents */
};
struct store_endpoint_set { /* value NULL: unset */
    struct store_op op;
    struct store_peer peer;
    struct store_setting setting;
};
struct store_endpoint_state_op {
    struct store_op op;
    struct store_peer peer;
    bool is_by_person;
    struct store_endpoint_state state;
};
struct store_audit {
    struct store_op op;
    struct store_peer peer;
    char *verb, *target, *detail; /* owned; detail is JSON */
};

/* READ: one page. Cells are typed; columns of a query are fixed (store/query.h has the table). */
enum store_query {
    QUERY_RUNS, QUERY_RUN, QUERY_PARTS, QUERY_ASSIGNMENTS, QUERY_ASSIGNMENT, QUERY_ATTEMPTS, QUERY_FAILURES, QUERY_LOAD, QUERY_RESULTS, QUERY_AUDIT,
    STORE_QUERY_COUNT
};
enum cell_kind { CELL_NULL, CELL_INT, CELL_REAL, CELL_TEXT, CELL_JSON, CELL_TIME /* wall ms */, CELL_BOOL };
struct store_cell {
    enum cell_kind kind;
    int64_t integer;
    double real;
    size_t at, len; /* text: in store_read.text */
};
struct store_read {
    struct store_op op;
    enum store_query query;
    int64_t run, pool;     /* where the query is of a run or a ledger/pool; 0 else */
    char *key;             /* owned; of QUERY_ASSIGNMENT and QUERY_ATTEMPTS, run id text of QUERY_RUN */
    struct store_selector selector;
    int64_t after;         /* the cursor: rows behind it; 0: from the start (QUERY_RUNS and QUERY_AUDIT go backwards: rows before it, 0: the newest) */
    int32_t limit;         /* 1 to LIMIT_PAGE_ROWS */
    bool with_fields;      /* assignments and results: also the input */
    /* out */
    const char *const *ret_columns; /* static */
    size_t ret_column_count, ret_row_count;
    struct store_cell *ret_cells;   /* owned; rows one after the other */
    struct buf ret_text;            /* owned */
    int64_t ret_next;               /* the cursor of the next page; 0: the end */
    struct store_run *ret_runs;     /* owned; of QUERY_RUNS and QUERY_RUN, instead of cells */
};

/* DOCTOR: recounts counters, ledgers and leases, and checks the file; slow, on a thread of its own. */
struct store_doctor {
    struct store_op op;
    bool is_full; /* also quick_check, foreign keys, and every digest */
    struct buf ret_report; /* JSON: {"ok":bool,"checks":[{"name","ok","detail"}],…} */
};

/* ---- the facade ---- */
enum store_health { STORE_WELL, STORE_DISK_FULL, STORE_FAILED };

/* What a commit changed, told before the done of its operations. */
struct store_commit {
    const struct store_run *runs; /* summaries: no strings but run_id; state, pauses, counts, seq and times are current */
    size_t run_count;
    int64_t seq;
};

struct store_config {
    struct loop *loop;       /* borrowed */
    const char *path;        /* of the database; the state directory's lock is held by the caller */
    void (*on_commit)(const struct store_commit *commit, void *arg); /* loop's thread */
    void (*on_health)(enum store_health health, const char *text, void *arg); /* loop's thread; at every change */
    void *arg;
};

/* What the store holds when it opens: the loop's memory starts from it. */
struct store_image {
    struct store_run *runs;   /* open ones with their plan, and the last LIMIT_PAGE_ROWS ended ones without; in order of id */
    size_t run_count;
    struct store_pool *pools; /* all standing ones, and the own ones of open runs */
    size_t pool_count;
    struct store_setting *settings;
    size_t setting_count;
    struct store_endpoint_state *endpoints;
    size_t endpoint_count;
    int64_t seq;
    int64_t recovered_lost;    /* calls of former lives that ended as lost */
    int64_t starts_in_60_s;    /* lives that began within the last minute, this one included */
};
void store_image_clear(struct store_image *image);

/* Opens or makes the database, migrates, recovers (leases of former lives of the built-in worker are given back, their calls are lost), goes on with open
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
    int64_t db_bytes, wal_bytes, free_bytes;
    int64_t queue_count;
    int64_t ticks; /* rises while the writer lives: for the watchdog */
};
void store_stats(struct store *store, struct store_stats *ret_stats);

#endif
