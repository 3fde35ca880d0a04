/* Fair shares of an endpoint between runs: start-time fair queueing (Goyal, Vin, Cheng 1996, "Start-time Fair Queueing: a scheduling algorithm for integrated
 * services packet switching networks", section 2.2, equal weights). Who has been given least goes next, by what its calls cost and not by their number. Pure. */
#ifndef GALLOC_CORE_SHARE_H
#define GALLOC_CORE_SHARE_H

#include "base/util.h"

/* Of a run. Zeroed: it was given nothing yet. Costs are in one unit per endpoint: tokens. */
struct share {
    double finish; /* virtual time at which what it was given is worked off */
    double mean;   /* tokens of its last calls; 0: none has gone */
};

/* Of an endpoint: the virtual time, the start tag of the call that went last. */
struct share_clock {
    double now;
};

/* The start tag of the run's next call; the lowest goes first. One that had nothing to send starts level with the others: it has saved nothing up. */
static inline double share_tag(const struct share_clock *clock, const struct share *share)
{
    return share->finish > clock->now ? share->finish : clock->now;
}

/* A call of so many tokens goes out (at least 1 is counted). */
static inline void share_charge(struct share_clock *clock, struct share *share, int64_t tokens)
{
    double cost = (double)max_i64(tokens, 1);
    clock->now = share_tag(clock, share);
    share->finish = clock->now + cost;
    share->mean = share->mean > 0 ? share->mean + (cost - share->mean) / 8 : cost;
}

/* What the call took in the end, when its answer tells. */
static inline void share_correct(struct share *share, int64_t charged, int64_t used)
{
    share->finish += (double)(max_i64(used, 1) - max_i64(charged, 1));
}

#endif
