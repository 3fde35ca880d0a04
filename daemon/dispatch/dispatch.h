/* What the files of this room share: the engine's inside, an attempt on its way, what a run and an endpoint carry for the dispatcher. Not for other rooms.
 *
 *   pump.c      who may go now: claims rows ahead, starts attempts, gives unsent ones back
 *   attempt.c   one attempt: candidates, prompt, request, response, validation, decision
 *   settle.c    outcomes into the store, in batches; what the commit says next
 *   held.c      transient failures that wait until the endpoint is seen well or ill
 *   probe.c     the endpoint's own test request
 *   prompt.c    roster and loads; candidates.c: who may be named
 */
#ifndef GALLOC_DISPATCH_DISPATCH_H
#define GALLOC_DISPATCH_DISPATCH_H

#include "core/alloc.h"
#include "core/retry.h"
#include "core/template.h"
#include "dispatch/engine.h"

/* One attempt, from the lease to the settle. Owned by exactly one list or callback at a time: a run's ready list, a network call, a settle on its way. */
struct attempt {
    struct attempt *next;
    struct attempt *fly_next, **fly_at; /* in the engine's list while its call is under way */
    struct engine *engine;      /* borrowed, like the next three */
    struct run_entry *run;
    struct endpoint *endpoint;
    struct net_call *call_handle; /* while under way */
    int64_t assignment, lease, call;
    char *key, *fields;         /* owned */
    size_t fields_len;
    int32_t n;
    struct retry_budget budget;
    int64_t token_cap;          /* in force for this attempt */
    bool keeps_slot;            /* a re-ask: its place is taken already */
    bool has_slot;              /* counted in endpoint->in_flight, the run's and the pool's */
    bool was_full;              /* sent when calls under way were at the limit */
    int64_t sent_us, est_tokens;
    int64_t *candidates;        /* owned: ids of the agents named in the prompt */
    size_t candidate_count;
    int64_t excluded;           /* the agent that was full in the attempt before; 0 */
    int64_t chosen;             /* agent claimed until the settle has committed; 0 */
};

/* A transient failure that is not yet judged. */
enum held_judgement { HELD_OPEN, HELD_CONFIRMED, HELD_DROPPED };
struct held {
    struct held *next;
    int64_t run, assignment;
    int32_t n;
    int64_t sent_us, failed_us;
    int64_t due_us;             /* when its backoff ends */
    bool is_first;              /* an attempt numbered 1 */
    int32_t retries_spent;      /* before it is judged */
    bool is_stored;             /* its settle has committed */
    enum held_judgement judgement;
    char *message;              /* owned; for the result if it fails */
    int32_t http_status;
};

struct run_dispatch {
    struct attempt *ready, **ready_end; /* leased and not sent */
    int64_t ready_count;
    int64_t in_flight;          /* slots taken, settles on the way included */
    bool has_claim;             /* a claim is with the store */
    int64_t dry_until_us;       /* nothing is due before; 0: ask the store; INT64_MAX: until something changes */
    int64_t batch_next_us;      /* of batch profiles: the next batch may start */
    bool has_batch;
    int64_t no_places_until_us; /* waits for places; 0: does not */
    int64_t no_places_generation;
    struct template *template;  /* owned; parsed */
    bool sends_all;             /* no column is kept back */
    int reject_streak;          /* rejected alike in a row, while the run has no success */
    uint64_t reject_mark;       /* of the words they share */
    bool has_sweep;             /* a sweep of ours is with the store */
    double rate_s;              /* completions a second, for the lease ahead */
    char last_problem[256];     /* the provider's words of the last failure, for a pause's reason */
};

struct endpoint_dispatch {
    struct engine *engine;      /* borrowed */
    struct endpoint *endpoint;  /* borrowed */
    struct settle_item *items;  /* owned: outcomes for the next settle */
    struct attempt **owners;    /* beside items: whose they are; owned */
    size_t item_count, item_cap;
    struct held *held;          /* owned list */
    bool has_test;              /* a test request is under way */
    struct loop_timer wake;     /* ask the pacer again, send a probe, test held failures */
    int64_t prompt_tokens;      /* mean of the last prompts, for the pacer's estimate */
};

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
    bool is_draining, is_one_at_a_time;
    struct loop_timer drain_timer;
    void (*drain_done)(void *arg);
    void *drain_arg;
    struct attempt *flying;     /* whose call is under way */
    int64_t in_flight;          /* slots of all endpoints */
    int64_t settles_pending;    /* settle operations with the store */
    int64_t ticks;
};

struct pacer_now engine_now(void);
void engine_turn(struct engine *engine); /* pump and flush before the loop sleeps */

/* registry.c */
void registry_load(struct registry *registry, struct store_image *image);
struct run_entry *registry_add_run(struct registry *registry, struct store_run *run); /* takes its content */
struct pool_entry *registry_put_pool(struct registry *registry, struct store_pool *pool); /* takes its content */
void registry_clear(struct registry *registry);
struct agent_entry *pool_agent(struct pool_entry *pool, int64_t id);
struct agent_entry *pool_agent_by_name(struct pool_entry *pool, const char *agent_id);
void pool_changed(struct pool_entry *pool);
/* Free places that no attempt under way covers; INT64_MAX with an agent without limit. */
int64_t pool_free_places(const struct pool_entry *pool, int64_t wall_ms);

/* endpoint.c */
struct endpoint *endpoint_new(struct engine *engine, const struct endpoint_config *config);
void endpoint_free(struct endpoint *endpoint);
void endpoint_apply(struct endpoint *endpoint, int64_t wall_ms); /* overrides over the file; the pacer's limits */
void endpoint_set_override(struct endpoint *endpoint, const struct store_setting *setting, bool is_set);
void endpoint_read_key(struct engine *engine, struct endpoint *endpoint);
void endpoint_go_down(struct engine *engine, struct endpoint *endpoint, enum outcome_class class, const char *text);
void endpoint_come_up(struct engine *engine, struct endpoint *endpoint, const char *text);

/* run.c */
bool run_is_runnable(const struct engine *engine, const struct run_entry *run);
void run_begin(struct engine *engine, struct run_entry *run); /* gets what the dispatcher needs, once it runs */
void run_end(struct run_entry *run);
void run_pause(struct engine *engine, struct run_entry *run, enum pause_cause cause, const char *text);
void run_sweep(struct engine *engine, struct run_entry *run, enum store_sweep_verb verb);

/* pump.c */
void pump(struct engine *engine);
void pump_release_ready(struct run_entry *run);
void pump_wake_at(struct endpoint *endpoint, int64_t wait_us);

/* attempt.c */
void attempt_start(struct attempt *attempt);
void attempt_free(struct attempt *attempt);
int64_t attempt_estimate(const struct attempt *attempt);
void attempt_take_slot(struct attempt *attempt);
void attempt_give_slot(struct attempt *attempt);

/* settle.c */
struct settle_item *settle_add(struct attempt *attempt); /* zeroed but for the fence; the attempt is the settle's from now on */
void settle_flush(struct endpoint *endpoint);
int64_t price_of_call(struct engine *engine, const struct endpoint *endpoint, const char *model, const int64_t tokens[TOKEN_COUNT], char ret_currency[4]);

/* held.c */
void held_add(struct endpoint *endpoint, struct held *held); /* takes it */
void held_stored(struct endpoint *endpoint, int64_t assignment, int32_t n);
void held_confirm(struct endpoint *endpoint, int64_t success_sent_us);
void held_drop_all(struct endpoint *endpoint);
bool held_wants_test(const struct endpoint *endpoint, int64_t now_us, int64_t *ret_wait_us);
void held_free_all(struct endpoint *endpoint);

/* probe.c */
void probe_if_due(struct engine *engine, struct endpoint *endpoint);

/* prompt.c, candidates.c */
const char *pool_roster(struct pool_entry *pool);
enum candidates_found { CANDIDATES_SOME, CANDIDATES_NONE_MATCHES, CANDIDATES_NO_CAPACITY, CANDIDATES_WAIT };
struct candidates {
    struct agent_entry **agents; /* owned array of borrowed entries, in the prompt's order */
    size_t count;
};
enum candidates_found candidates_find(const struct run_entry *run, struct pool_entry *pool, struct json_span fields, int64_t excluded, int64_t wall_ms,
                                      struct candidates *ret_candidates);
bool plan_is_short_list(const struct plan *plan); /* candidates with their attributes stand after the assignment; no roster */
void prompt_loads(const struct candidates *candidates, bool with_attributes, struct buf *out);

/* notice.c: events */
void notice_run(struct engine *engine, const struct run_entry *run, const char *type, int64_t seq);
void notice_attempt(struct engine *engine, const struct attempt *attempt, const struct settle_item *item, int64_t retry_in_ms);
void notice_assignment(struct engine *engine, const struct attempt *attempt, const struct settle_item *item, const char *state);
void notice_endpoint(struct engine *engine, const struct endpoint *endpoint, const char *text);

#endif
