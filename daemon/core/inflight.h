/* How many calls may be under way at once: as many as do not slow each other down. Sends are counted in rounds; the median latency of a round against the base (what it
 * was without a queue) tells of a queue at the endpoint.
 *
 *   slow start   one more for every answer to a call that was sent at the limit, until a round is slow
 *   slow round   the limit falls to what would have been enough: limit x 1.15 / how much slower
 *   well round   6 % and one more
 *   causal test  now and then one round at half the limit: is it faster, we were the cause and the knee is below; else the base is what the endpoint takes by now
 *   503          while others succeed: not more than are under way then, for two minutes and slowly after; when they come all the same, three times, they are not our doing
 *
 * Pure: microseconds of paced time (pace.h). */
#ifndef GALLOC_CORE_INFLIGHT_H
#define GALLOC_CORE_INFLIGHT_H

#include "base/util.h"
#include "core/limits.h"

#define INFLIGHT_NEVER INT64_MIN
#define INFLIGHT_ROUNDS 8   /* that wait for answers; a round is as large as the limit, so two or three do */

struct inflight_round {
    int64_t first_us, last_us; /* when its first and its last call were sent */
    int size, sent;
    int answered, full;        /* of the answered: sent at the limit */
    double limit;              /* when it began */
    bool is_judged;
    int64_t latencies_us[LIMIT_IN_FLIGHT];
};

struct inflight {
    double limit, most;        /* learned; configured */
    bool is_slow_start;
    double base_us;            /* median latency without a queue; 0: not known */
    double base_calls;         /* that it rests on */
    double spread;             /* sigma of the latencies' logarithm */
    double slowness;           /* of full rounds against the base, smoothed */
    int64_t changed_us;        /* what was sent before the limit's last change is not judged */
    double ceiling;            /* by 503; INFINITY */
    int64_t ceiling_us;        /* when it was set */
    int64_t overloaded_us;     /* when the last 503 came; INFLIGHT_NEVER */
    int vain;                  /* 503s of calls that were sent under a new ceiling, in a row */
    double uncut;              /* the limit before them */
    int64_t deaf_until_us;     /* they were in vain: 503s mean nothing until then */
    bool is_testing;           /* the causal test's round is out */
    double tested_limit, tested_us; /* the limit before it, and the median then */
    int64_t tested_at_us;      /* the last one; before it, the first send */
    bool was_tested;
    int64_t busiest;           /* most under way in the present minute */
    int64_t busiest_us;        /* when that began; INFLIGHT_NEVER before the first send */
    struct inflight_round rounds[INFLIGHT_ROUNDS]; /* a ring */
    size_t round;              /* the present one's number */
};

void inflight_init(struct inflight *inflight, int64_t most);
void inflight_set_most(struct inflight *inflight, int64_t most);
int64_t inflight_limit(const struct inflight *inflight);
/* A call was sent; `under_way` with it. `is_startup`: the pace is in its first ramp, and few under way mean nothing. */
void inflight_sent(struct inflight *inflight, int64_t now_us, int64_t under_way, bool is_startup);
/* True: the limit was cut. */
bool inflight_answered(struct inflight *inflight, int64_t now_us, int64_t sent_us, int64_t latency_us, bool was_full);
/* 503 while others succeed; `under_way` now. With few under way one alone tells of one call, two of the same flight tell of them all. True: the limit was cut. */
bool inflight_overloaded(struct inflight *inflight, int64_t now_us, int64_t sent_us, int64_t under_way);
/* What a former life learned. */
void inflight_warm(struct inflight *inflight, double limit, double base_us);
void inflight_halve(struct inflight *inflight, int64_t now_us);
/* An outage is over: half of it, and slow start. */
void inflight_recover(struct inflight *inflight, int64_t now_us);

#endif
