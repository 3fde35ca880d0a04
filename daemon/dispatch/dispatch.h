/* What the files of this room share: the engine's inside, calls on their way, what a run and an endpoint carry for the dispatcher. Not for other rooms.
 *
 *   pump.c      who may go now: claims rows ahead, starts calls
 *   ready.c     what is leased and not sent: order, and giving back
 *   attempt.c   a call and its attempts in memory: made, slots and places, gone (attempt.h)
 *   start.c     from the lease to the send: candidates, prompt, request
 *   answer.c    what came back: classified, held against each attempt, told to the pacer
 *   decide.c    what becomes of each attempt (decide.h)
 *   call.c      the request itself, of attempts or a test: sent, classified, priced (call.h)
 *   money.c     budgets, before the send (money.h); refused.c: refusals of a run in a row (refused.h)
 *   rest.c      an answer that comes in several calls (rest.h)
 *   hedge.c     a run's last stragglers, asked a second time
 *   settle.c    outcomes into the store, in batches; what the commit says next
 *   held.c      transient failures that wait until the endpoint is seen well or ill
 *   first.c     the first assignments of a run, sent slowly and judged
 *   places.c    places that persons' decisions and purges gave and took, in memory
 *   away.c      rows that wait for an agent who is away until a date
 *   owed.c      operations that are submitted until the store has done them
 *   probe.c     the endpoint's own test request
 *   in_turn.c   where it has none: waiting assignments as probes
 *   memory.c    which runs are in memory, with registry.c, run.c, commit.c (runs.h)
 *   log_size.c  what is told while the store's log is too long
 *   upkeep.c    the store is made smaller: purged runs, retention, free pages
 *   notice.c    events (notice.h)
 *   outside*.c  outside workers: asks, leases, results (outside_inside.h)
 *   endpoint*.c, learned.c  endpoints at run time (endpoint_inside.h)
 *   prompt.c    roster and loads; candidates.c: who may be named (prompt.h)
 *   ask.c       what a provider is asked: a prompt, or its parts (ask.h)
 */
#ifndef GALLOC_DISPATCH_DISPATCH_H
#define GALLOC_DISPATCH_DISPATCH_H

#include "base/log.h"
#include "dispatch/endpoint_inside.h"
#include "dispatch/money.h"
#include "dispatch/notice.h"
#include "dispatch/outside_inside.h"
#include "dispatch/prompt.h"
#include "dispatch/runs.h"
#include "dispatch/work.h"

struct engine {
    struct engine_config cfg;
    struct loop *loop;          /* borrowed, like net */
    struct net *net;
    struct config *config;      /* owned */
    struct store *store;        /* borrowed from main */
    struct registry registry;
    struct events *events;
    struct rng rng;
    struct loop_timer turn;     /* pump and flush once a turn */
    struct loop_timer second;   /* ages, overrides that end, dates of agents */
    enum store_health health;
    char health_text[256];
    bool is_draining;
    bool is_one_at_a_time;      /* started three times within a minute, and no call has settled since */
    struct loop_timer drain_timer;
    void (*drain_done)(void *arg);
    void *drain_arg;
    struct call *flying;        /* under way */
    int64_t in_flight;          /* slots of all endpoints */
    int64_t calls;              /* under way, or their end is not stored yet: attempts' and test requests' */
    struct loop_timer upkeep;   /* the next step */
    bool has_upkeep;            /* a step is with the store */
    bool is_upkeep_wanted;      /* and another is to follow it at once */
    struct log_gate log_gate;   /* over what is told of the store's log */
    int64_t log_reads_ended;    /* of store_stats, as told */
    struct owed *owed;          /* owned list of operations that wait to be submitted again (owed.c) */
    int64_t settles_pending;    /* settle operations with the store, and claims of outside workers */
    struct outside outside;
    struct store_place *places; /* owned; that the last commit told */
    size_t place_count;
    int64_t ticks;
    int64_t learned_mono_ms;      /* when what the pacers learned is written next */
    int64_t imports_mono_ms;      /* when left imports are looked for next */
};

struct pacer_now engine_now(void);
/* One call at a time, and there is one. */
bool engine_holds_calls(const struct engine *engine);
void engine_call_settled(struct engine *engine); /* the end of a call is stored */

/* pump.c */
void pump(struct engine *engine);
void pump_wake_at(struct endpoint *endpoint, int64_t wait_us);
int64_t pump_ledger_room(struct run_entry *run, int64_t now_us, int64_t wall_ms); /* places that the ledger still has for attempts; INT64_MAX: no limit */
void pump_fail_held_if_alone(struct engine *engine, struct run_entry *run);

/* ready.c: what a run has leased and not sent */
int64_t run_pack(const struct run_entry *run); /* assignments that its next calls carry, at most */
void ready_add(struct run_entry *run, struct store_claim *claim); /* the claim's rows, as calls; moves their texts */
void ready_release(struct run_entry *run);
void ready_release_stalled(struct run_entry *run, int64_t now_us); /* those that have waited for READY_MOST_US; but a re-ask, which has its slot */
void ready_take_out(struct call *call); /* of its run's ready list */
void ready_put_back(struct call *call, int64_t wait_us); /* before all that the run has leased; it may go after so long */

/* owed.c */
void owed_submit(struct engine *engine, struct store_op *op); /* until it is done */
void owed_clear(struct engine *engine); /* at the end of this life: what waits to be submitted again fails for good */

/* hedge.c */
void hedge_look(struct engine *engine, struct run_entry *run, struct pacer_now now); /* nothing else of the run is left to send */
void hedge_decided(struct call *call); /* its answer stands: the twin is called off */
bool hedge_stays(struct call *call, struct settle_item *item); /* does the end of this one leave the row to its twin? Then the item's move is MOVE_STAY */
void hedge_part(struct call *call); /* from its twin; each is as any other from then on */
void hedge_give_up(struct call *call); /* one of two that was not sent ends, and is gone from its run's ready list */

/* settle.c */
struct settle_item settle_item_of(const struct attempt *attempt); /* the fence and the budgets as they were */
void settle_add(struct attempt *attempt, const struct settle_item *item); /* takes what the item owns; the attempt is the settle's from now on */
void settle_flush(struct endpoint *endpoint);

/* held.c */
void held_add(struct endpoint *endpoint, struct run_entry *run, struct held *held); /* takes it */
void held_stored(struct endpoint *endpoint, int64_t assignment, int32_t n);
void held_confirm(struct endpoint *endpoint, int64_t success_sent_us);
void held_drop(struct endpoint *endpoint, int64_t run); /* of one run; 0: of all */
void held_drop_but(struct endpoint *endpoint, int64_t call); /* all but those of one call */
bool held_drop_oldest(struct endpoint *endpoint); /* false: none is stored and open */
bool held_wants_test(const struct endpoint *endpoint, int64_t now_us, int64_t *ret_wait_us);
void held_free_all(struct endpoint *endpoint);

/* away.c */
/* A row that lies in the store under a hold: `changes` of the pool were seen when its agents were looked at, and the first of them is back at the date. */
void away_add(struct run_entry *run, struct away_row row, int64_t changes, int64_t until_at_ms);
void away_release(struct engine *engine, struct run_entry *run, int64_t wall_ms); /* makes those due for whom something has changed */
bool pool_is_away(const struct pool_entry *pool, int64_t wall_ms, int64_t *ret_until_at_ms); /* no place is free, and an agent comes back at a date */

/* probe.c */
void probe_if_due(struct engine *engine, struct endpoint *endpoint);
void runs_pause_failing(struct engine *engine, const struct endpoint *endpoint, const char *why); /* those of the endpoint that run, with the words of their last failure */

/* in_turn.c */
bool in_turn_may_probe(struct endpoint *endpoint, int64_t *ret_wait_us); /* may an assignment go now into the open breaker? Else when: us, -1 after the next outcome */
void in_turn_let_go(struct engine *engine, struct endpoint *endpoint); /* the oldest held failure, if nothing else is left to judge by */
bool in_turn_is_late(const struct call *call, enum outcome_class class); /* does it go behind those never tried, so that the next probe is another's turn? */
void in_turn_answered(struct call *call, enum outcome_class class); /* the probe */
void in_turn_text(const struct run_entry *run, char *text, size_t size); /* adds what is seen when only assignments that fail are left */

/* upkeep.c */
void upkeep_init(struct engine *engine);
void upkeep_start(struct engine *engine);
void upkeep_soon(struct engine *engine); /* there is something to do */
void upkeep_clear(struct engine *engine);

/* log_size.c */
void log_size_look(struct engine *engine); /* once a second */

#endif
