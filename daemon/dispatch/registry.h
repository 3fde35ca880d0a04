/* What the daemon knows in memory: runs, pools, endpoints. Fed by the store's image at start and by what commits answer; status, the run object and metrics
 * read only this. Loop's thread throughout; everything here is owned by the registry and borrowed by readers until they return to the loop. */
#ifndef GALLOC_DISPATCH_REGISTRY_H
#define GALLOC_DISPATCH_REGISTRY_H

#include "config/config.h"
#include "core/eta.h"
#include "core/ladder.h"
#include "store/store.h"

struct endpoint; /* endpoint.h */

struct agent_entry {
    struct store_agent info;      /* held: committed places */
    int64_t claimed;              /* decided, their settle is on its way */
    int64_t named;                /* attempts of the built-in worker on their way whose prompt names him */
    int64_t may_name;             /* how many more may, while a prompt's list is made */
    struct json_object *parsed;   /* attributes, for matching; owned */
    struct {
        struct buf text, json;    /* his line among a prompt's candidates, and as it stands in a JSON string; owned; "": to be made */
        int64_t capacity, held;   /* which it tells */
        bool has_attributes;
    } line;
};

struct pool_entry {
    struct pool_entry *next;
    int64_t id, ledger;
    char *name;                   /* owned; NULL: a run's own */
    struct agent_entry *agents;   /* owned; listed ones first, in the pool's order */
    size_t agent_count;
    int64_t in_flight;            /* the built-in worker's attempts under way in this ledger, and what claims with the store speak for */
    int64_t outside;              /* attempts in outside workers' hands: the sum of the runs' COUNT_OUTSIDE */
    struct agent_entry **by_name; /* owned: the agents in order of their ids; NULL: to be made */
    struct agent_entry **by_number; /* the same in order of info.id */
    char *roster;                 /* owned: the prompt's AGENTS block; NULL: to be made */
    int64_t generation;           /* rises with every change of agents or places */
    int64_t changes;              /* rises with every change of agents */
    bool is_endless;              /* of runs that ask a question: nobody is in it, and there is room for all */
};

/* The endpoints of a run that names several, in order. */
struct run_rungs {
    char *names[LADDER_MOST];               /* owned */
    struct endpoint *endpoints[LADDER_MOST]; /* borrowed; NULL: not configured (any more) */
    size_t count, at;                       /* at: the run is on this one */
    int64_t since_at_ms;                    /* wall; it is on it since then, or since the start */
};

struct run_entry {
    struct run_entry *next;       /* in order of id */
    struct store_run info;        /* counts and state as of the last commit */
    struct plan plan;             /* frozen; empty once the run ended */
    bool has_plan;
    bool is_loading;              /* what memory lacks of it is being read */
    struct profile profile;       /* effective: the plan's numbers over the profile's; strings borrowed */
    struct pool_entry *pool;      /* NULL: not in memory, as the own one of a run that ended; registry.nobody: it asks a question */
    struct endpoint *endpoint;    /* the one that it is on; NULL: is_on_workers, or the name is not configured (any more) */
    struct run_rungs *rungs;      /* owned; NULL: it names one endpoint */
    bool is_on_workers;           /* left to outside workers */
    struct eta eta;
    int64_t born_mono_ms;         /* when it was made or its last part came, by the clock that nobody sets: a jump of the wall clock ages nothing */
    struct run_dispatch *dispatch; /* the dispatcher's own; NULL unless it runs */
};

struct registry {
    struct run_entry *runs;     /* in order of id: open ones, and the latest that ended */
    bool is_partial;            /* the store holds runs that are not here */
    int64_t last_run;           /* the highest id that was here */
    bool is_last_unsure;        /* the newest may have been purged: which one it is now, the store knows */
    int64_t purged_counts[COUNT_KIND_END]; /* of runs that were purged since the start */
    int64_t forgotten_counts[RUN_STATE_COUNT][COUNT_KIND_END]; /* of runs that left memory, less those that came: for figures that never fall */
    int64_t undone_counts[ASSIGNMENT_STATE_COUNT]; /* assignments that left a state since the start: retried, taken back */
    struct pool_entry *pools;
    struct pool_entry nobody;   /* of all runs that ask a question: endless; in no list */
    struct endpoint *endpoints; /* a list, in the configuration's order */
    int64_t seq;                /* of the last event */
};

/* A run in memory by its id, its unique name, or "@last" (the newest). NULL with -NOT_FOUND or -CONFLICT (a name of several) in `error`. Not sure: the
 * store has to be asked, whatever was found here (engine_find_run). */
struct run_entry *registry_find_run(struct registry *registry, const char *reference, bool *ret_is_sure, struct galloc_error *error);
/* Of all runs, those that left memory since the start included. */
int64_t registry_count(const struct registry *registry, enum run_state state, int kind);
/* Of all runs since the start, those that were purged too: for figures that never fall. */
int64_t registry_count_ever(const struct registry *registry, int kind);
int64_t registry_came_to(const struct registry *registry, enum assignment_state state); /* how often an assignment did: never falls, whatever is decided anew */
struct run_entry *registry_run_by_id(struct registry *registry, int64_t id);
struct pool_entry *registry_pool_by_name(struct registry *registry, const char *name); /* standing ones; NULL when there is none */
struct pool_entry *registry_pool_by_id(struct registry *registry, int64_t id);
struct endpoint *registry_endpoint(struct registry *registry, const char *name);

/* Why a run is not on its endpoint number i: the class, and that endpoint's words. False: it is well. */
struct rung_reason {
    const char *code;    /* an outcome's name */
    char text[512];
    int64_t until_at_ms; /* wall; 0: not known */
};
bool rungs_reason(const struct run_rungs *rungs, size_t i, struct rung_reason *ret_reason);

int64_t pool_places_now(const struct pool_entry *pool); /* free for something new, calls under way not looked at; INT64_MAX: no limit */

/* ---- how a run is shown ---- */
enum waiting_code { WAITING_NOT, WAITING_QUOTA_DAY, WAITING_THROTTLED, WAITING_OUTAGE, WAITING_WORKERS, WAITING_NO_PLACES, WAITING_DISK, WAITING_RETRY, WAITING_DRAIN, WAITING_OPEN, WAITING_BUDGET, WAITING_RESTARTS };
struct run_view {
    const char *state;        /* importing, running, paused, done, cancelled */
    const char *reasons[8];   /* all causes of a pause, first the one to show */
    size_t reason_count;
    char reason_text[512];    /* in words, with the next step; "" */
    enum waiting_code waiting;
    const char *waiting_name; /* NULL: does not wait */
    int64_t waiting_until_at_ms; /* wall; 0: not known */
    char waiting_text[1536]; /* with a key in it, three times */
    bool is_canary;           /* its first assignments go slowly */
    int64_t canary_done;      /* of FIRST_COUNT */
    int64_t pack_size;        /* assignments that its next request may carry; 0: it has none to ask */
    double progress;          /* 0 to 1 */
    int64_t done_count;       /* succeeded + failed + cancelled */
    double rate_per_min;      /* completions, present */
    struct eta_answer eta;
    int64_t cost_micros;      /* -1: unknown */
    char currency[4];
    int64_t cost_unknown_calls; /* calls that cost_micros leaves out */
    int64_t projected_low_micros, projected_high_micros; /* -1: unknown */
};
void run_view(const struct run_entry *run, struct run_view *ret_view);
const char *waiting_name(enum waiting_code code);

#endif
