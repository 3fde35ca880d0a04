/* See judge.h. */
#include "tests/sim/judge.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MINUTE_US = 60000000, RISE_PER_MIN = 600, RISE_FROM_S = 600, FLOW_QUOTA = 300, HEDGES_MOST = 20 };

struct world *judge_world(const struct scenario *scenario, const struct judge_how *how, const struct policy *policy, uint64_t seed)
{
    const struct world_plan plan = {.server = &scenario->server,
                                    .policy = policy,
                                    .items = how->items > 0 ? how->items : scenario->items,
                                    .hints = how->hints >= 0 ? (enum server_hints)how->hints : scenario->hints,
                                    .phase_s = scenario->phase_s,
                                    .kill_share = policy == how->policy ? scenario->kill_share : 0,
                                    .is_warm = scenario->is_warm,
                                    .trace = policy == how->policy ? how->trace : NULL,
                                    .seed = seed};
    return world_new(&plan);
}

static double makespan_of(const struct scenario *scenario, const struct judge_how *how, const struct policy *policy, uint64_t seed)
{
    struct world *world = judge_world(scenario, how, policy, seed);
    double makespan_s = world_run(world) ? world_makespan_s(world) : INFINITY;
    world_free(world);
    return makespan_s;
}

/* ---- the figures of the checks ---- */

/* Seconds from the rise to the first minute that carries 95 % of the raised quota. */
static double rise_s(const struct world *world)
{
    const struct record_times *times = &world_record(world)->accepted;
    const int64_t *at_us = times->at_us;
    for (size_t first = 0, last = 0; first < times->count; first++) {
        if (at_us[first] < (int64_t)RISE_FROM_S * 1000000)
            continue;
        while (last < times->count && at_us[last] < at_us[first] + MINUTE_US)
            last++;
        if ((double)(last - first) >= 0.95 * RISE_PER_MIN)
            return (double)at_us[first] / 1e6 - RISE_FROM_S;
    }
    return INFINITY;
}

static double resume_s(const struct world *world, const struct server_plan *server)
{
    const struct record_times *times = &world_record(world)->accepted;
    for (size_t i = 0; i < times->count; i++)
        if ((double)times->at_us[i] / 1e6 >= server->outage_to_s)
            return (double)times->at_us[i] / 1e6 - server->outage_to_s;
    return INFINITY;
}

/* The most sends of 60 s that end after the restart. */
static double flow_most(const struct world *world)
{
    size_t first = 0, most = 0;
    const struct record_send *sends = world_record(world)->sends;
    for (size_t last = 0; last < world_record(world)->send_count; last++) {
        while (sends[first].at_us <= sends[last].at_us - MINUTE_US)
            first++;
        if (sends[last].at_us > world_killed_us(world) && last + 1 - first > most)
            most = last + 1 - first;
    }
    return (double)most;
}

/* Its time as a share of what it takes without hedging; infinite when it doubles too many. */
static double hedged_share(struct world *world, const struct scenario *scenario, const struct judge_how *how, uint64_t seed)
{
    struct policy unhedged = *how->policy;
    unhedged.hedge = NULL;
    return world_counts(world)->hedges > HEDGES_MOST ? INFINITY : world_makespan_s(world) / makespan_of(scenario, how, &unhedged, seed);
}

static double figure_of(struct world *world, const struct scenario *scenario, const struct judge_how *how, uint64_t seed)
{
    switch (scenario->bar.check) {
    case CHECK_RISE: return rise_s(world);
    case CHECK_RESUME: return resume_s(world, &scenario->server);
    case CHECK_SPEEDUP: return makespan_of(scenario, how, &policy_seed, seed) / world_makespan_s(world);
    case CHECK_FLOW: return flow_most(world);
    case CHECK_HEDGE: return hedged_share(world, scenario, how, seed);
    case CHECK_NOTHING:
    default: return 0;
    }
}

/* For people, and what it has to be. */
static const struct check_row {
    const char *text;
    double most;    /* negative: at least its opposite */
    bool is_median; /* of the seeds; else the worst */
} check_rows[] = {
    [CHECK_NOTHING] = {"", INFINITY, false},
    [CHECK_RISE] = {"rise <= 120 s", 120, false},
    [CHECK_RESUME] = {"resumes <= 17 s", 17, false},
    [CHECK_HEDGE] = {"hedged <= 0.75", 0.75, true},
    [CHECK_SPEEDUP] = {"seed's time >= 7x", -7, true},
    [CHECK_FLOW] = {"60 s <= 309 sends", FLOW_QUOTA * 1.03, false},
};

static bool is_check_met(enum check check, double figure)
{
    double most = check_rows[check].most;
    return most >= 0 ? figure <= most : figure >= -most;
}

static int64_t poisoned_of(struct world *world, int64_t items)
{
    int64_t count = 0;
    for (int64_t i = 0; i < items; i++)
        count += server_is_poisoned(world_server(world), i);
    return count;
}

struct run_result judge_run(const struct scenario *scenario, const struct judge_how *how, uint64_t seed)
{
    double oracle_s = makespan_of(scenario, how, &policy_oracle, seed);
    struct world *world = judge_world(scenario, how, how->policy, seed);
    bool has_ended = world_run(world) && world_counts(world)->abandoned == 0;
    const struct world_counts *counts = world_counts(world);
    bool has_outage = scenario->server.outage_to_s > 0;
    int64_t wrong = counts->given_up - poisoned_of(world, world_plan(world)->items);
    struct run_result result = {.makespan_s = world_makespan_s(world),
                                .ratio = has_ended ? oracle_s / world_makespan_s(world) : 0,
                                .refused = counts->refused + counts->unavailable + (has_outage ? counts->timeouts_in_outage : 0),
                                .charged = counts->charged,
                                .lost = (has_ended ? (wrong < 0 ? -wrong : wrong) : max_i64(wrong, world_left(world))) + counts->answered_twice,
                                .canaries_at_once = counts->canaries_at_once,
                                .check = has_ended ? figure_of(world, scenario, how, seed) : INFINITY};
    result.wasted_share = (double)result.refused / (double)counts->calls;
    world_free(world);
    return result;
}

/* ---- over seeds ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Its `share`-quantile (0: the least, 1: the greatest). Sorts. */
static double quantile(double *values, int count, double share)
{
    qsort(values, (size_t)count, sizeof *values, by_size);
    return values[(int)(share * (count - 1))];
}

/* A promise in words, marked when it is missed. */
static void PRINTF_LIKE(3, 4) promise(struct judgement *judgement, bool is_met, const char *fmt, ...)
{
    char text[48];
    size_t len = strlen(judgement->bar);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    snprintf(judgement->bar + len, sizeof judgement->bar - len, "%s%s%s", len > 0 ? ", " : "", text, is_met ? "" : " (!)");
    judgement->has_bar = true;
    judgement->is_met &= is_met;
}

static void hold_against(const struct bar *bar, struct judgement *j)
{
    double ratio = bar->is_median ? j->ratio_median : j->ratio_worst;
    j->is_met = true;
    if (bar->ratio > 0)
        promise(j, ratio >= bar->ratio, "%s >= %.2f", bar->is_median ? "median" : "worst", bar->ratio);
    if (bar->refused >= 0)
        promise(j, j->refused_worst <= bar->refused, "refused <= %d", (int)bar->refused);
    if (bar->wasted_share > 0)
        promise(j, j->wasted_median <= bar->wasted_share, "wasted <= %.0f %%", bar->wasted_share * 100);
    if (bar->charges_nothing)
        promise(j, j->charged_worst == 0, "charged 0");
    if (bar->check != CHECK_NOTHING)
        promise(j, is_check_met(bar->check, j->check), "%s (%.3g)", check_rows[bar->check].text, j->check);
    if (bar->check == CHECK_SPEEDUP)
        promise(j, j->makespan_median_s <= 11, "median <= 11 s (%.1f)", j->makespan_median_s);
    if (j->has_bar && j->lost > 0)
        promise(j, false, "lost 0");
    if (j->has_bar && j->canaries_at_once > 0)
        promise(j, false, "one canary at a time");
}

/* The figure that counts: the median, or the one furthest from what it has to be. */
static double check_of(enum check check, double *figures, int seeds)
{
    const struct check_row *row = &check_rows[check];
    return quantile(figures, seeds, row->is_median ? 0.5 : row->most < 0 ? 0 : 1);
}

void judge(const struct scenario *scenario, const struct judge_how *how, struct judgement *ret_judgement)
{
    static double ratios[JUDGE_SEEDS_MAX], makespans[JUDGE_SEEDS_MAX], refused[JUDGE_SEEDS_MAX], wasted[JUDGE_SEEDS_MAX], figures[JUDGE_SEEDS_MAX];
    int seeds = how->seeds < JUDGE_SEEDS_MAX ? how->seeds : JUDGE_SEEDS_MAX;
    double worst = INFINITY;
    *ret_judgement = (struct judgement){.lost = 0};
    for (int i = 0; i < seeds; i++) {
        struct run_result result = judge_run(scenario, how, how->first_seed + (uint64_t)i);
        if (result.ratio < worst)
            ret_judgement->worst_seed = how->first_seed + (uint64_t)i;
        worst = fmin(worst, result.ratio);
        ratios[i] = result.ratio;
        makespans[i] = result.makespan_s;
        refused[i] = (double)result.refused;
        wasted[i] = result.wasted_share;
        figures[i] = result.check;
        ret_judgement->charged_worst = max_i64(ret_judgement->charged_worst, result.charged);
        ret_judgement->lost += result.lost;
        ret_judgement->canaries_at_once += result.canaries_at_once;
    }
    ret_judgement->ratio_worst = quantile(ratios, seeds, 0);
    ret_judgement->ratio_median = quantile(ratios, seeds, 0.5);
    ret_judgement->makespan_median_s = quantile(makespans, seeds, 0.5);
    ret_judgement->refused_median = (int64_t)quantile(refused, seeds, 0.5);
    ret_judgement->refused_worst = (int64_t)quantile(refused, seeds, 1);
    ret_judgement->wasted_median = quantile(wasted, seeds, 0.5);
    ret_judgement->check = check_of(scenario->bar.check, figures, seeds);
    hold_against(&scenario->bar, ret_judgement);
}
