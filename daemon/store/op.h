/* What is the same for every operation, and settling, of the hot path; leasing stands in op_claim.h. What holds for every operation stands at the top of store.h. */
#ifndef GALLOC_STORE_OP_H
#define GALLOC_STORE_OP_H

#include "base/buf.h"
#include "base/code.h"
#include "loop/loop.h"
#include "loop/mailbox.h"
#include "store/model.h"

/* ---- operations ---- */
enum store_lane { STORE_SETTLE, STORE_LEASE, STORE_OPERATOR, STORE_IMPORT, STORE_UPKEEP, STORE_READ, STORE_BACKUP }; /* the order among those that wait; READ and BACKUP have threads of their own */

enum store_op_kind {
    OP_SETTLE, OP_JUDGE, OP_RELEASE, OP_CALL_END,
    OP_VERDICTS, OP_LEASE_END,
    OP_CLAIM, OP_HEDGE, OP_RESERVE, OP_CALL_BEGIN, OP_LEASE_RENEW, OP_LEASE_EXPIRE,
    OP_RUN_CREATE, OP_RUN_COMMIT, OP_RUN_PAUSE, OP_RUN_CLOSE, OP_RUN_SET, OP_SWEEP, OP_ASSIGN, OP_POOL_PUT, OP_POOL_RESET, OP_AGENT_SET,
    OP_ENDPOINT_SET, OP_ENDPOINT_STATE, OP_PURGE, OP_AUDIT,
    OP_IMPORT,
    OP_UPKEEP,
    OP_READ, OP_DOCTOR,
    OP_BACKUP, OP_BACKUP_READ, OP_BACKUP_END,
    STORE_OP_KIND_COUNT
};

struct store_op {
    enum store_op_kind kind;
    int code;                   /* 0, or -galloc_code */
    struct galloc_error error;  /* filled when code < 0 */
    int64_t seq_first;          /* event numbers of its changes, in order: one an item or leased row, else one in all; 0: nothing changed */
    void (*done)(struct store_op *op); /* on the loop's thread */
    void *arg;                  /* the caller's */
    struct mail mail;           /* the store's: on its way in */
    struct loop_note note;      /* the store's: on its way back */
};

enum store_lane store_op_lane(enum store_op_kind kind);
bool store_op_is_new_work(enum store_op_kind kind); /* takes room for more than it is owed: refused while there is little */
const char *store_op_name(enum store_op_kind kind); /* for messages and tracing */

/* SETTLE: the end of attempts. One item is one attempt; each item stands or falls by its own fence, all items in one transaction. */
enum settle_move {
    MOVE_SUCCEED,   /* succeeded: agent, result; the ledger's count rises */
    MOVE_FAIL,      /* failed with `class`; result holds the words */
    MOVE_PENDING,   /* pending again after delay_ms */
    MOVE_HOLD,      /* pending under `hold`, not due */
    MOVE_REASK,     /* leased anew at once: new lease number, attempt and call rows; see ret_lease */
    MOVE_STAY       /* stays leased: another attempt under the same lease is under way (HEDGE), or has decided it already */
};
enum settle_verdict {
    VERDICT_DONE,
    VERDICT_STALE,      /* the lease is not the current one (cancelled, or taken): call and attempt recorded, the row untouched */
    VERDICT_AGENT_FULL  /* MOVE_SUCCEED met a full, away or gone agent: recorded as agent_full, pending again at once */
};
struct settle_item {
    int64_t run, assignment, lease; /* fence: `lease` has to be the row's */
    int64_t call;                   /* 0: none was made, or others of it go on */
    int32_t n;                      /* the attempt */
    enum outcome_class class;
    enum settle_move move;
    enum assignment_hold hold;      /* of MOVE_HOLD */
    bool is_late;                   /* of MOVE_PENDING, MOVE_HOLD: waits behind those never tried */
    int64_t delay_ms;               /* of MOVE_PENDING */
    int32_t retries_spent, reasks_spent, fulls_spent, failures; /* the budgets after this attempt */
    int64_t token_cap;              /* for the next attempt; 0: the endpoint's */
    int32_t pack_most;              /* likewise: it goes with at most so many in a call; 0: with as many as there may be */
    int64_t ledger, agent;          /* of MOVE_SUCCEED; agent also where the answer named one (0: none) */
    int64_t excluded;               /* the agent that was full; 0: none */
    char *result;                   /* owned JSON body of MOVE_SUCCEED and MOVE_FAIL; NULL else */
    char *message;                  /* owned; the provider's or our words; NULL: none */
    char *raw;                      /* owned; the model's words of an answer that was not valid, at most LIMIT_MESSAGE_BYTES; NULL: none */
    bool has_call_result;           /* its call ended, with what follows: told in each of the call's items alike, kept in the call's row once */
    int32_t part, part_count;       /* which of the call's items it is, from 0 (who ends the row), and of how many; 0 of 0: the only one. Tokens and cost are split
                                       over them by floor, the remainder is the first's */
    enum outcome_class call_class;  /* of the call as a whole */
    bool is_call_lost;              /* the call ends as lost: maybe sent, no answer */
    int32_t http_status, local_port;
    int64_t tokens[TOKEN_COUNT];    /* -1: not told */
    int64_t cost_micros;            /* -1: unknown */
    char currency[4];
    int64_t kept_micros;            /* what stays reserved of the call, as nobody knows what it cost; 0: nothing */
    int64_t latency_ms;
    /* out */
    enum settle_verdict ret_verdict;
    int64_t ret_lease, ret_call;    /* of MOVE_REASK */
    int32_t ret_n;
    int64_t ret_seq;                /* of the assignment's event; the attempt's is the one before */
};
struct store_settle {
    struct store_op op;
    char *endpoint;  /* owned; of the calls of re-asks; NULL with is_outside */
    bool is_outside; /* rows of one outside worker's lease that are ended before they were handed out; never a MOVE_REASK */
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

#endif
