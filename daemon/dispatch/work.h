/* A failure that waits to be judged, and what a run and an endpoint carry for the dispatcher. Not for other rooms. */
#ifndef GALLOC_DISPATCH_WORK_H
#define GALLOC_DISPATCH_WORK_H

#include "core/ahead.h"
#include "core/alloc.h"
#include "core/pack.h"
#include "core/share.h"
#include "core/template.h"
#include "dispatch/attempt.h"
#include "dispatch/engine.h"
#include "dispatch/prompt.h"
#include "dispatch/refused.h"

#define READY_MOST_US 2000000 /* unsent for longer, a row is given back: who looks shall see leased what is worked on; many times the commits that leasing ahead is for */
#define NO_PLACES_MS 500 /* how long is waited for a place that is being decided upon */

/* A transient failure that is not yet judged. */
enum held_judgement { HELD_OPEN, HELD_CONFIRMED, HELD_DROPPED };
struct held {
    struct held *next;
    int64_t run, assignment, call;
    int32_t n;
    int64_t sent_us, failed_us;
    int64_t due_us;             /* when its backoff ends */
    bool is_alone;              /* in its call: what fails with others is never for good */
    bool is_first;              /* tells the pacer of a call that tried nobody a second time: one of its attempts alone */
    int32_t retries_spent;      /* before it is judged */
    bool is_stored;             /* its settle has committed */
    enum held_judgement judgement;
    char *message;              /* owned; for the result if it fails */
    int32_t http_status;
};

/* A row whose matching agents are all away until a date, or full: it lies in the store under a hold until the pool changes or the date comes. */
struct away_row {
    int64_t assignment;
    int32_t n;
};
struct away_list {
    struct away_row *rows; /* owned */
    size_t count, cap;
};

struct run_dispatch {
    struct call *ready, **ready_end; /* leased and not sent */
    int64_t ready_count;
    int64_t in_flight;          /* slots taken, settles on the way included */
    struct share share;         /* of its endpoint, in tokens */
    bool has_stalled;           /* some were given back because they could not go; nothing is leased ahead until one goes again */
    struct engine *engine;      /* borrowed */
    bool has_claim;             /* a claim is with the store */
    int64_t claim_count;        /* for so many calls */
    struct ahead ahead;
    int64_t dry_until_us;       /* nothing is due before; 0: ask the store; INT64_MAX: until something changes */
    int64_t batch_next_us;      /* of batch profiles: the next batch may start */
    bool has_batch;
    int64_t no_places_until_us; /* waits for places; 0: does not */
    int64_t no_places_generation;
    struct template *template;  /* owned; parsed */
    struct schema *schema;      /* owned; parsed; NULL: the run allocates */
    struct buf system, system_json; /* the last prompt's system text, and that as a JSON string: the next one's is nearly always the same */
    struct prompt_named named;  /* whom the last prompt named */
    bool sends_all;             /* no column is kept back */
    struct refused refused;
    int reject_streak;          /* rejected alike in a row, while the run has no success */
    uint64_t reject_mark;       /* of the words they share */
    bool has_sweep;             /* a sweep of ours is with the store */
    bool has_first;             /* what the first assignments came to is with the store */
    struct away_list away;      /* wait for an agent */
    struct away_list away_due;  /* something has changed for them; on their way back */
    int64_t away_changes;       /* of the pool, which those of `away` have seen */
    int64_t away_until_at_ms;   /* wall; the next date at which one of the agents is back; of `away` */
    bool has_judge;             /* some of `away_due` are being made due */
    unsigned pausing;           /* causes of ours on their way to the store: nothing more is sent */
    int64_t held_count;         /* failures of the run that are not judged, or whose judgement is with the store */
    struct pack_auto pack;      /* of `--pack auto` */
    int64_t hedged;             /* second attempts made */
    bool has_hedge;             /* one is with the store */
    int64_t reserving_micros;   /* of its budget, on their way to the store */
    int64_t need_micros;        /* what a call waits for that does not fit into it; 0: none does */
    bool spares_pause;          /* resumed after a pause for failures: not paused so again before a success */
    int64_t outside_claims;     /* rows that claims of outside workers speak for, with the store */
    int64_t outside_settles;    /* operations with the store that end rows of outside leases */
    int64_t asked_mono_ms;      /* when a worker asked last for this run's work */
    int64_t taken_mono_ms;      /* when a worker took some of it last */
    char last_problem[256];     /* the provider's words of the last failure, for a pause's reason */
};

/* What an endpoint's calls cost on a day (Pacific time). */
struct money_day {
    int64_t began_at_ms, ends_at_ms; /* wall */
    int64_t cost_micros;        /* of calls that ended, with what stays reserved of those whose end is unknown */
    int64_t reserved_micros;    /* for calls under way */
    int64_t need_micros;        /* what a call waits for that does not fit into the day; 0: none does */
};

struct endpoint_dispatch {
    struct engine *engine;      /* borrowed */
    struct endpoint *endpoint;  /* borrowed */
    struct settle_item *items;  /* owned: outcomes for the next settle */
    struct attempt **owners;    /* beside items: whose they are; owned */
    size_t item_count, item_cap;
    struct held *held;          /* owned list */
    bool has_test;              /* a test request of our own is under way */
    bool has_turn;              /* an assignment is, as a probe: one of the two kinds alone is used */
    bool next_is_probe;         /* what goes out next is one */
    struct money_day day;
    struct share_clock clock;   /* of its runs' shares */
    size_t turn;                /* of the runs, whose assignment was the last probe */
    int64_t judges;             /* operations with the store that judge held failures */
    struct loop_timer wake;     /* ask the pacer again, send a probe, test held failures */
    int64_t wake_us;            /* when it fires */
    int64_t up_us;              /* when it came up last: answers to calls sent before tell of the former key or settings */
    bool is_missed;             /* a run on another endpoint would rather be on this one (rungs.c) */
    struct secret_stamp token_stamp; /* of the token file as it was read last */
    int64_t prompt_tokens;      /* mean of the last prompts, for the pacer's estimate */
    bool is_state_owed;         /* the endpoint's state is with the store, or waits to be submitted again */
    bool has_newer_state;       /* it has changed since it went to the store */
    struct loop_timer state_again;
    int64_t state_wait_ms;      /* the present distance of tries; 0: the last was well */
};

#endif
