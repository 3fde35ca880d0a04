/* A run in virtual time: assignments, the calls of them under way, and a policy that drives a server. A call reaches the server 10 to 40 ms after it was sent.
 * The same seed gives the same run. An assignment that a policy gives up is counted, and tried again a minute after all others have ended, so that times
 * compare like for like. One thread. */
#ifndef GALLOC_TESTS_SIM_WORLD_H
#define GALLOC_TESTS_SIM_WORLD_H

#include "core/pacer.h"
#include "core/retry.h"
#include "tests/sim/policy.h"
#include "tests/sim/record.h"

#define WORLD_MAX_IN_FLIGHT 256
#define WORLD_START_WALL_S 1767225600.0 /* the wall clock's minute in which runs start: 2026-01-01 00:00 UTC */

struct world_item {
    int64_t number;
    double tokens, estimate; /* the estimate is 10 % off */
    int tries;               /* calls sent */
    int live;                /* of them under way */
    int failures;            /* of rivals: answers that were none */
    struct retry_budget budget; /* of galloc */
    bool is_done, is_parked, is_hedged;
};

struct world_call {
    struct world_item *item; /* borrowed; NULL: a test request */
    int64_t sent_us;
    int attempt;             /* from 0 */
    bool is_accepted, is_dropped; /* by the server; by the client */
    bool was_full, is_canary, is_hedge; /* the first two are the policy's */
    struct server_answer answer;
    struct world_call *next, **at; /* of the world's list of calls under way, oldest first */
};

/* given_up: by the policy, before anybody ran them again; abandoned: given up so often that nobody would. */
struct world_counts {
    int64_t calls, tests, refused, unavailable, faults, timeouts, timeouts_in_outage, hedges, doubled, given_up, abandoned, charged, answered_twice, canaries_at_once;
};

struct world_plan {
    const struct server_plan *server; /* borrowed */
    const struct policy *policy;
    int64_t items;
    enum server_hints hints;
    double phase_s;       /* into the wall clock's minute at the start; negative: by the seed */
    double kill_share;    /* of items done when the client is killed and restarted; 0: never */
    bool is_warm;         /* the policy has been through the same before */
    void (*trace)(struct world *world, const char *mind); /* called when the policy's mind changed; NULL */
    uint64_t seed;
};

struct world;

struct world *world_new(const struct world_plan *plan);
void world_free(struct world *world);
/* Until everything has ended. False: it would not end. */
bool world_run(struct world *world);

/* For policies. */
const struct world_plan *world_plan(const struct world *world);
void *world_policy(struct world *world); /* its state */
int64_t world_now_us(const struct world *world);
struct pacer_now world_now(const struct world *world);
int64_t world_in_flight(const struct world *world); /* tests are not counted */
int64_t world_left(const struct world *world);
struct server *world_server(struct world *world);
struct world_call *world_calls(struct world *world); /* under way, oldest first */
struct world_counts *world_counts(struct world *world);
const struct record *world_record(const struct world *world);
void world_return(struct world *world, struct world_item *item, int64_t delay_us, bool is_late);
void world_fail(struct world *world, struct world_item *item);

/* For judges. */
double world_makespan_s(const struct world *world);
int64_t world_killed_us(const struct world *world); /* -1: not */

#endif
