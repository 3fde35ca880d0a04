/* The simulated world: what the seed has drawn, what everybody outside of the daemon knows for certain, and what the daemon is held to. Each file plays a part:
 *
 *   simulate.c       the program: seeds, options, what is printed
 *   world.c          one seed from its beginning to its end
 *   life.c           a life of the daemon: started on what is on disk, killed, stopped, run out of luck with its disk
 *   people.c         the senders of runs, and the operators
 *   workers.c        outside workers
 *   fake_net.c       the endpoints (answers.c: what they say, and in which weather)
 *   fake_loop.c, fake_threads.c, sched.c   virtual time
 *   check.c          what must be true of the store at any moment; check_end.c: and at the end */
#ifndef GALLOC_TESTS_SIMULATION_WORLD_H
#define GALLOC_TESTS_SIMULATION_WORLD_H

#include "core/outcome.h"
#include "dispatch/engine.h"
#include "tests/simulation/sched.h"

enum {
    RUNS_MAX = 5, KEYS_MAX = 64, AGENTS_MAX = 6, ENDPOINTS = 2, KEY_RUN_FACTOR = 1000,
    KEY_DIGITS = 6, KEY_BYTES = 1 + KEY_DIGITS + 1
};

/* What an endpoint does with an assignment whenever it is well. */
enum temper { TEMPER_GOOD, TEMPER_ALWAYS_FAILS, TEMPER_ALWAYS_REJECTED, TEMPER_ALWAYS_INVALID };

/* One assignment, as the world knows it. Its key is "K" and the number run * 1000 + row. */
struct sim_key {
    enum temper temper;
    bool is_asked;    /* sent to the daemon: it may stand */
    bool is_promised; /* answered: it stands */
    int64_t calls;    /* that left for an endpoint */
    int64_t in_flight; /* of them, those that are under way */
    int64_t told[OUTCOME_CLASS_COUNT]; /* answers by the class that they really were */
    int64_t ill;      /* of the transient ones, those that were an outage's */
    int64_t outages, last_outage; /* how many of them it met, and which was the last */
    int64_t last_lease; /* the highest under which an outside worker was given it */
    int64_t worker_errors[3]; /* told by workers: may retry, final, no such agent */
    bool has_seen;    /* by the checker, what follows */
    int seen_state;
    int64_t seen_lease, seen_attempts;
};

/* How far the sender of a run has come. */
enum step { STEP_CREATE, STEP_PARTS, STEP_COMMIT, STEP_FEED, STEP_CLOSE, STEP_SENT };

struct sim_run {
    int number; /* from 1 */
    int64_t id; /* the store's; 0: not yet */
    char run_id[RUN_ID_BYTES];
    const char *endpoint, *profile;
    int agents;
    int64_t capacity;    /* of each; -1: no limit */
    bool is_on_workers, workers_too, is_open;
    enum step step;
    int part, parts, appends; /* the next; how many in all */
    int rows_a_part;
    bool is_cancelled, is_retried, is_away; /* somebody has asked for it; of is_away, that an agent be away */
    bool is_assigned, is_redone, is_discarded; /* decisions were made or taken back by a person, of some of it */
    int64_t in_flight;   /* of its assignments, those about which calls are under way */
    int keys;            /* that may be sent, ever */
    struct sim_key key[KEYS_MAX];
    struct sched_event next; /* of its sender */
    bool is_waiting;         /* an operation is with the daemon */
    int64_t seen_seq, idle_since_us; /* nothing of it moves, and no reason is told; 0: it moves */
};

/* What the operator has written for an endpoint, and what of it is seen to be kept. */
struct sim_endpoint {
    bool hedges;            /* a run's stragglers are asked twice */
    int64_t max_in_flight, rpm; /* 0: none */
    int64_t in_flight;      /* calls about assignments */
    int64_t *sent_us;       /* owned: of the last rpm calls, a ring */
    int64_t sent_count;
};

struct world {
    uint64_t seed;
    struct sim_endpoint endpoints[ENDPOINTS];
    struct sim_run runs[RUNS_MAX];
    int run_count;
    int steps_left;
    bool is_well;     /* nothing fails any more: what is open has to end */
    int64_t well_us;  /* since when */
    int64_t jumped_us; /* when somebody set the wall clock; 0: nobody */
    int64_t steps, calls, kills, faults, leases;
    char failure[1024]; /* "": none yet */
};
extern struct world world;

/* The first promise that is seen broken ends the seed. */
void violate(const char *fmt, ...) PRINTF_LIKE(1, 2);
bool is_violated(void);

struct sim_run *run_of_key(const char *key, struct sim_key **ret_key); /* NULL: none of ours */
struct sim_run *run_of_id(int64_t id);

bool world_run(uint64_t seed, int steps, const char *folder, bool is_verbose); /* false: violate() was called */

/* ---- life.c ---- */
void life_begin(const char *folder); /* an empty folder */
void life_end(void);                 /* whatever runs is dropped, the files are removed */
void life_start(void);
void life_kill(void);
void life_stop(void);                /* SIGTERM: drained, then closed; a while later */
void life_fail_disk(void);           /* the next write or sync, or one soon after, fails */
void life_mend_disk(void);
struct engine *life_engine(void);    /* NULL: there is none, or it is being dropped */
unsigned life_number(void);          /* rises with every start */
const char *life_database(void);

/* ---- people.c ---- */
void people_begin(void);
void people_step(void); /* one thing that somebody does */
void people_mend(void); /* what an operator does when all is to go on */

/* ---- workers.c ---- */
void workers_begin(void);
void workers_forget(void); /* the daemon is gone, and with it who waited */

/* ---- answers.c ---- */
void weather_change(int endpoint);
void weather_fair(void);
int64_t weather_outage(int endpoint); /* the number of the present one; above 0; another than all before, if it is one at all */

/* ---- check.c ---- */
void check_open(const char *path);
void check_close(void);
void check_step(void);                      /* the store, and memory beside it */
void check_call(const char *key);           /* a call leaves: it is on disk */
void check_limits(int endpoint, const char *key); /* and it is within what is configured */
void check_limits_forget(void);                   /* nobody can tell any more when the calls of the last minute were sent */
void check_end(void);                       /* after all is over */
int64_t reasks_of(const struct sim_key *key);
int64_t failures_of(const struct sim_run *run, const struct sim_key *key);
int64_t check_number(const char *sql, int64_t a, int64_t b); /* the first cell of a query; 0 where there is no row */

#endif
