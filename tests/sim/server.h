/* The endpoint as the simulation sees it: quotas (gallocsim's own, sim/quota.h), what it can bear at once, latencies, faults, outages, another client on the
 * same quotas, quotas that change. Time is given in seconds since the run's start; nothing here waits. One thread. */
#ifndef GALLOC_TESTS_SIM_SERVER_H
#define GALLOC_TESTS_SIM_SERVER_H

#include "sim/quota.h"

#include <math.h>

#define SERVER_QUOTAS_MAX 3
#define SERVER_CHANGES_MAX 3
#define SERVER_WORKERS_MAX 64
#define SERVER_NEVER INFINITY       /* a call that hangs */
#define SERVER_TEST (-1)            /* the item of a test request */
#define SERVER_TEST_TOKENS 20.0

enum server_hints { HINT_NONE, HINT_RETRY_AFTER, HINT_FULL }; /* nothing; whole seconds; delay, quota and its value */

/* What it bears at once. KNEE: above `knee` calls each takes (calls / knee)^exponent times as long, `hard` is refused with 503.
 * FIFO: `knee` workers, and `hard` calls in all before 503. */
enum server_bears { BEARS_ALL, BEARS_KNEE, BEARS_FIFO };

/* A scenario's server; 0 is "none" everywhere. */
struct server_plan {
    struct quota_plan quotas[SERVER_QUOTAS_MAX]; /* up to the first with no window */
    struct {
        double at_s, factor; /* of all quotas of a minute */
    } changes[SERVER_CHANGES_MAX];
    enum server_bears bears;
    double knee, hard, exponent;
    double outage_from_s, outage_to_s;
    bool outage_hangs; /* else 503 */
    double brown_from_s, brown_to_s, brown_share; /* of calls that fail with 500 then */
    double fault_share;                           /* at any time */
    double poisoned_share;                        /* of assignments that always fail */
    double straggler_share, straggler_factor;
    double median_s, sigma; /* lognormal; 0: 1.8 s, 0.5 */
    double refusal_low_s, refusal_high_s; /* 0: 30 to 100 ms, beside the way */
    double other_from_s, other_to_s, other_per_s; /* the second client */
    bool other_is_served; /* it waits for its turn and always gets it; else it gives a refused call up */
    double mean_tokens, token_sigma; /* 0: 1500, 0.8 */
};

struct server_answer {
    int status;         /* 200, 429, 500, 503; 0: never answers */
    double latency_s;   /* from the arrival */
    bool has_hint;
    int64_t retry_after_ms;
    int64_t quota_value; /* -1: not told */
    bool is_day, is_tokens;
};

struct server; /* a plan, its quotas and what is under way */

/* `start_wall_s`: the wall clock when the run starts. Borrows the plan. */
struct server *server_new(const struct server_plan *plan, enum server_hints hints, double start_wall_s, uint64_t seed);
void server_free(struct server *server); /* NULL is fine */

/* A call arrives. item: SERVER_TEST or the assignment's number; `attempt` from 0. A 200 or 500 holds its place until server_leave(). */
void server_arrive(struct server *server, double at_s, int64_t item, int attempt, double tokens, struct server_answer *ret_answer);
void server_leave(struct server *server);

bool server_is_out(const struct server *server, double at_s);
bool server_is_poisoned(const struct server *server, int64_t item);
/* For the oracle: the earliest moment not before at_s when such a call would be let in, as far as is known then. */
double server_next_s(struct server *server, double at_s, double tokens);
/* The most that the oracle has under way: the knee, the workers, or `most`. */
int64_t server_bears(const struct server *server, int64_t most);
/* A token count for assignment `item`. */
double server_tokens(const struct server *server, int64_t item);

#endif
