/* What runs of a scenario came to, over seeds, against its bar. One thread. */
#ifndef GALLOC_TESTS_SIM_JUDGE_H
#define GALLOC_TESTS_SIM_JUDGE_H

#include "tests/sim/scenarios.h"
#include "tests/sim/world.h"

#define JUDGE_SEEDS_MAX 200

/* One run. */
struct run_result {
    double ratio;     /* the oracle's makespan / this one's; 0: it would not end */
    double makespan_s;
    int64_t refused;  /* 429 and 503, and what an outage let hang */
    double wasted_share;
    int64_t charged, lost; /* lost: given up though well, or not ended, or answered twice; poisoned ones that were not given up */
    int64_t canaries_at_once;
    double check;     /* the figure of the scenario's check */
};

struct judgement {
    double ratio_worst, ratio_median, makespan_median_s, wasted_median, check;
    int64_t refused_worst, refused_median, charged_worst, lost, canaries_at_once;
    uint64_t worst_seed; /* of the ratio */
    bool has_bar, is_met;
    char bar[120];    /* in words; what is missed is marked */
};

/* Which runs: a scenario's own items and hints unless told otherwise. */
struct judge_how {
    const struct policy *policy;
    int64_t items;           /* 0: the scenario's */
    int hints;               /* -1: the scenario's */
    int seeds;
    uint64_t first_seed;
    void (*trace)(struct world *world, const char *mind);
};

struct world *judge_world(const struct scenario *scenario, const struct judge_how *how, const struct policy *policy, uint64_t seed);
struct run_result judge_run(const struct scenario *scenario, const struct judge_how *how, uint64_t seed);
void judge(const struct scenario *scenario, const struct judge_how *how, struct judgement *ret_judgement);

#endif
