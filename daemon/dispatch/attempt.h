/* Calls on their way with the attempts that they carry. Not for other rooms. */
#ifndef GALLOC_DISPATCH_ATTEMPT_H
#define GALLOC_DISPATCH_ATTEMPT_H

#include "core/retry.h"
#include "dispatch/endpoint_inside.h"
#include "dispatch/engine.h"
#include "dispatch/rest.h"

struct call;

/* One attempt, from the lease to the settle: what is known of the row that it shall decide. It lives in its call. */
struct attempt {
    struct call *call;          /* borrowed: which carries it */
    int64_t assignment, lease;
    char *key, *fields;         /* owned */
    size_t fields_len;
    int32_t n;
    int32_t row_n;              /* attempts of the row: its own number, or that of one made beside it */
    bool has_left;              /* ended before its call was sent, whose answer decides nothing of it */
    struct retry_budget budget;
    int32_t pack_most;          /* it goes with at most so many in a call; 0: as the run says */
    int64_t *candidates;        /* owned: ids of the agents that it may be given to; each counts it in agent_entry.named */
    size_t candidate_count;
    char *problem;              /* owned: what was wrong with the answer before, told to the model; NULL: nothing */
    int64_t excluded;           /* the agent that was full in the attempt before; 0 */
    int64_t away_changes, away_until_at_ms; /* of one that waits for an agent: the pool's changes that were seen, and the first date */
    int64_t chosen;             /* agent claimed until the settle has committed; 0 */
};

/* One request on its way, with the attempts that its answer decides: one, or the several of a pack. From the lease until the last of them is settled it is owned by
 * exactly one list or callback at a time: a run's ready list, a network call, settles on their way. */
struct call {
    struct call *next;
    struct call *fly_next, **fly_at; /* in the engine's list while it is under way */
    struct engine *engine;      /* borrowed, like the next three */
    struct run_entry *run;
    struct endpoint *endpoint;
    struct net_call *handle;    /* while under way */
    int64_t id;                 /* of its row; 0: it has none yet (hedge.c) */
    struct call *twin;          /* the other one at the same row, while both are on their way (hedge.c); NULL */
    bool is_superseded;         /* its twin decided: it is recorded, and decides nothing */
    bool was_hedged;            /* is, or had, a second one: none is made again */
    int64_t token_cap;          /* of its answer */
    char mark[8];               /* of a pack: before the number in the ids that its prompt gives its attempts */
    int64_t tokens;             /* of its prompt, once that was made and too large for what the quota had left; 0: as the last prompts were */
    bool keeps_slot;            /* a re-ask: its place is taken already */
    bool has_slot;              /* counted in endpoint->in_flight, the run's and the engine's */
    bool is_probe;              /* shows whether the endpoint is well, where that has no test request (in_turn.c) */
    bool was_full;              /* sent when calls under way were at the limit */
    int64_t ready_us;           /* leased since */
    int64_t sent_us;
    struct price_terms terms;   /* by which it is paid */
    int64_t body_bytes;
    int64_t reserved_micros;    /* of its run's and its endpoint's budget (money.c) */
    int64_t reserving_micros;   /* of these, on their way to the store */
    bool has_money;             /* reserved just now: it is the next to go */
    bool is_tried;              /* its slot is kept though it is no re-ask */
    int64_t charged;            /* tokens that its run's share was charged at the send */
    struct rest rest;           /* of its answer, when that comes in several calls */
    size_t count;               /* of `attempts` */
    size_t open;                /* of them, those whose settle has not committed */
    struct attempt attempts[];
};

/* attempt.c */
struct call *call_new(struct run_entry *run, struct endpoint *endpoint, size_t count); /* its attempts are empty but for `call` */
void call_free(struct call *call);
int64_t call_estimate(const struct call *call); /* tokens of its prompt, about */
void call_take_slot(struct call *call);
void call_leave_slot(struct call *call);
void attempt_end(struct attempt *attempt); /* its end is stored, or nobody will store it: the last one's frees the call and its slot */

size_t call_left(const struct call *call); /* attempts that it still carries */

/* start.c */
void call_start(struct call *call); /* takes it over */

/* answer.c */
void call_answered(const struct net_response *response, void *arg); /* `arg`: the call */
bool call_is_first(const struct call *call); /* none of its assignments was tried before */

#endif
