/* Operations on runs: create, import, commit, pause, set, and sweeps over many rows. */
#ifndef GALLOC_STORE_OP_RUN_H
#define GALLOC_STORE_OP_RUN_H

#include "store/op.h"

/* RUN_CREATE. With agents a pool and ledger of the run's own are made; else `pool` names a standing one. */
struct store_run_create {
    struct store_op op;
    struct store_peer peer;
    struct store_run run;        /* name, endpoint, profile, plan, priority, pauses, is_open, source_* */
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

/* IMPORT: one part. Rows are already checked. While the run is importing it is done in steps of a few thousand rows a transaction, the import_part row with
 * the last; in a run that runs or ran it is whole or nothing, since its rows may be leased at once. */
enum import_duplicate { DUPLICATE_SKIP, DUPLICATE_ERROR, DUPLICATE_REPLACE };
struct import_row {
    struct { const char *at; size_t len; } key, fields; /* borrowed from store_import.text: decoded key, fields object as it came */
    int64_t row;                                        /* its number in the source, for messages */
    unsigned char sha256[DIGEST_BYTES];                 /* of fields */
};
struct store_import {
    struct store_op op;
    struct store_peer peer;
    int64_t run;
    bool is_append;          /* the next part, whatever its number; it may start a run again that is done */
    int64_t part;            /* its number; of an append: out */
    char *idempotency_key;   /* owned; of an append; NULL: none given */
    char sha256[DIGEST_HEX];
    enum import_duplicate on_duplicate;
    char *text;              /* owned: what the rows point into */
    struct import_row *rows; /* owned */
    size_t count;
    char *rejected;          /* owned JSON array of what the check refused: [{"row","column","code","message"},…]; NULL: nothing */
    int64_t rejected_count;
    bool ret_is_replay;      /* the answer is that of the first time: the same part, or the same Idempotency-Key */
    struct buf ret_answer;   /* {"accepted":N,"duplicates":N,"replaced":N,"rejected":[…]}. With DUPLICATE_ERROR a repeated key is -INVALID_INPUT:
                              * nothing of the part stands, and the answer names the repeated rows */
    /* The store's, from step to step: */
    int64_t done_count;      /* rows tried */
    int64_t accepted_count, duplicate_count, replaced_count;
    int64_t *repeated;       /* owned; indices of rows whose key stood */
    size_t repeated_count, repeated_cap;
    enum import_phase { IMPORT_CHECK, IMPORT_CLEAN, IMPORT_ROWS, IMPORT_UNDO, IMPORT_REFUSED, IMPORT_ANSWERED } phase;
};

/* RUN_COMMIT: importing -> running (done at once when nothing is pending). */
struct store_run_commit {
    struct store_op op;
    struct store_peer peer;
    int64_t run;
    int64_t parts; /* has to be the last part's number */
};

/* RUN_CLOSE: no more is to come; done at once when nothing is pending or leased. Closing what is not open changes nothing. */
struct store_run_close {
    struct store_op op;
    struct store_peer peer;
    int64_t run;
};

/* RUN_PAUSE: sets and clears causes. Clearing PAUSE_REJECTED makes the rows held as rejected due again. */
struct store_run_pause {
    struct store_op op;
    struct store_peer peer;
    bool is_by_person; /* an audit row is written */
    int64_t run;
    unsigned set, clear;
    bool is_first_judged; /* the first assignments were: kept in COUNT_FIRST_JUDGED */
    char *text; /* owned; why; may be NULL */
};

/* RUN_SET: what may change while a run lives. NULL / INT64_MIN: unchanged. */
struct store_run_set {
    struct store_op op;
    struct store_peer peer;
    int64_t run;
    int64_t priority;
    char *endpoint, *profile, *plan, *name; /* owned */
    char *max_cost, *max_cost_before; /* owned; as they stand in the plans, for the audit; "": none */
    unsigned clear;                   /* pauses that it ends */
};

/* SWEEP: many rows of a run, in steps of LIMIT_SWEEP_ROWS a transaction; done is called once, at the end. A restart goes on with it.
 * SWEEP_FAIL_HELD fails the rows held as rejected (first success, or nothing else left); SWEEP_EXPIRE fails what is pending. SWEEP_ABANDON cancels the run if it
 * is importing and no part came for IMPORT_LEFT_MS, else -WRONG_STATE. SWEEP_REDO and SWEEP_DISCARD take decisions back: their places are free again, and what was
 * decided stays with its attempt. */
#define IMPORT_LEFT_MS INT64_C(86400000)
enum store_sweep_verb { SWEEP_CANCEL, SWEEP_RETRY, SWEEP_EXPIRE, SWEEP_FAIL_HELD, SWEEP_ABANDON, SWEEP_REDO, SWEEP_DISCARD };
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
    char *reason; /* owned; why, in the asker's words; NULL: none given. At most LIMIT_WHY_BYTES */
    int64_t ret_changed;
    int64_t sweep_id, after_id; /* the store's */
    enum sweep_phase { SWEEP_WAITS, SWEEP_STEPPED, SWEEP_BEGUN } phase; /* the writer's: BEGUN when its first step is durable */
};

/* ASSIGN: a person decides one assignment, whatever its state: `agent_id` takes a place with it, or with NULL the decision that it has is taken back and it is
 * cancelled (unassign). An answer that is on its way for it comes too late: its lease is over. The decision of before stays with its attempt; who decided and why
 * stands in the audit log. -NOT_FOUND: no such key or agent; -CONFLICT: the agent is full, or away, and is_over_capacity is not set; -WRONG_STATE: the
 * run is importing or has no agents, or nothing is there to be taken back. */
struct store_assign {
    struct store_op op;
    struct store_peer peer;
    int64_t run;
    char *key, *agent_id, *reason; /* owned */
    bool is_over_capacity;         /* also where the agent is full or away */
    int64_t ret_agent;             /* 0: unassigned */
};

#endif
