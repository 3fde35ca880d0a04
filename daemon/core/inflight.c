/* See inflight.h. */
#include "core/inflight.h"

#include "core/latency.h"

#include <math.h>

/*      constant            value     unit    meaning                                                     source: the design's section 5, "Concurrency C" */
#define START               48.0   /* calls   at first                                                    start 48 */
#define LEAST               2.0    /* calls                                                               min 2 */
#define FIRST_ROUND         32     /* calls   the very first, for the base                                the very first 32 */
#define LEAST_ROUND         64     /* calls                                                               max(64, C) */
#define JUDGED_SHARE        0.75   /*         of a round's calls are answered: it is judged               when 75 % are in */
#define TOLERANCE           1.15   /* times   the base is no queue                                        r < 1.15 */
#define DEVIATIONS          3.1    /* sigma   of a round's median beside: one in a thousand               3.1 sigma sqrt(1/n + 1/nb) */
#define SPREAD_FIRST        0.5    /*         sigma before it was measured                                limitsim */
#define SPREAD_WEIGHT       0.2    /*         of a new measurement                                        limitsim: .8/.2 */
#define SPREAD_MIN          0.05   /*                                                                     limitsim */
#define QUARTILE_SIGMA      0.674  /* sigma   from the quartile to the median of a normal distribution    statistics */
#define LOADED_SHARE        0.5    /*         of a round's calls were sent at the limit: it is loaded     >= 50 % sent at the limit */
#define BASE_CALLS_MAX      2048.0 /* calls   that a base rests on                                        weight <= 2048 */
#define SLOWNESS_AFTER_CUT  1.1    /*         smoothed slowness after a cut                               limitsim: rs = 1.1 */
#define GROWTH              1.06   /* times   and one more, after a well round                            1.06 C + 1 */
#define CEILING_REST_S      120.0  /* s       after a 503                                                 after 120 s */
#define CEILING_GROWTH      1.05   /* times   and one more, each round after that                         5 % + 1 */
#define ALONE_MOST          16      /* calls   under way: with fewer, one 503 alone is not of their number     ours: an endpoint that fails some calls at any load */
#define VAIN_MOST           3      /* 503s    under a new ceiling: it is not the cause                    an endpoint that fails some calls with 503 at any load */
#define DEAF_S              120.0  /* s       without a look at them then                                 as long as a ceiling stands */
#define TEST_FIRST_S        45.0   /* s       the first causal test                                       at 45 s */
#define TEST_EVERY_S        300.0  /* s       the others                                                  each 300 s */
#define TEST_CALLS          32     /* calls   of its round                                                one round of 32 */
#define TEST_LEAST          8.0    /* calls   limits smaller than this are not tested                     limitsim: C >= 8 */
#define TEST_UNDER_CEILING  0.85   /* times   the ceiling: above it 503 tells enough                      limitsim: C < .85 Chard */
#define TEST_SAME           0.85   /* times   the median before: not our doing                            latency > .85 of before */
#define TEST_AT_HALF        0.55   /* times   the limit: a round that was sent at half of it              limitsim */
#define IDLE_SPARE          1.25   /* times   the busiest moment of a minute, and 8 more, is limit enough C falls to 1.25 x most + 8 */
#define IDLE_SPARE_CALLS    8.0    /* calls                                                               */
#define IDLE_MINUTE_US      60000000
#define RECOVERED           4.0    /* calls   at least, after an outage                                   C = max(4, C/2) */

static struct inflight_round *present(struct inflight *f)
{
    return &f->rounds[f->round % INFLIGHT_ROUNDS];
}

static void begin_round(struct inflight *f, int size)
{
    f->round++;
    struct inflight_round *round = present(f);
    round->size = size;
    round->sent = round->answered = round->full = 0;
    round->limit = f->limit;
    round->is_judged = false;
}

static void begin_next_round(struct inflight *f)
{
    begin_round(f, f->base_us <= 0 ? FIRST_ROUND : (int)min_i64(max_i64(LEAST_ROUND, (int64_t)f->limit), LIMIT_IN_FLIGHT));
}

void inflight_init(struct inflight *f, int64_t most)
{
    f->limit = fmin(START, (double)most);
    f->most = (double)most;
    f->is_slow_start = true;
    f->base_us = 0;
    f->base_calls = FIRST_ROUND;
    f->spread = SPREAD_FIRST;
    f->slowness = 1;
    f->changed_us = f->busiest_us = INFLIGHT_NEVER;
    f->ceiling = INFINITY;
    f->ceiling_us = f->busiest = 0;
    f->is_testing = f->was_tested = false;
    f->vain = 0;
    f->deaf_until_us = f->overloaded_us = INFLIGHT_NEVER;
    f->round = 0;
    begin_next_round(f);
}

void inflight_set_most(struct inflight *f, int64_t most)
{
    f->most = (double)most;
    f->limit = fmin(f->limit, f->most);
}

int64_t inflight_limit(const struct inflight *f)
{
    return (int64_t)f->limit;
}

static double highest(const struct inflight *f)
{
    return fmin(f->most, f->ceiling);
}

static void set_limit(struct inflight *f, int64_t now_us, double limit)
{
    f->limit = fmax(fmin(LEAST, f->most), fmin(limit, f->most));
    f->changed_us = now_us;
}

/* A pace that keeps few under way says nothing for many: a limit that was never reached is not trusted. */
static void follow_use(struct inflight *f, int64_t now_us, int64_t under_way, bool is_startup)
{
    f->busiest = max_i64(f->busiest, under_way - 1);
    if (f->busiest_us == INFLIGHT_NEVER)
        f->busiest_us = f->tested_at_us = now_us;
    if (now_us - f->busiest_us <= IDLE_MINUTE_US)
        return;
    if (!is_startup)
        f->limit = fmin(f->limit, fmax(START, IDLE_SPARE * (double)f->busiest + IDLE_SPARE_CALLS));
    f->busiest = 0;
    f->busiest_us = now_us;
}

void inflight_sent(struct inflight *f, int64_t now_us, int64_t under_way, bool is_startup)
{
    follow_use(f, now_us, under_way, is_startup);
    struct inflight_round *round = present(f);
    if (round->sent++ == 0)
        round->first_us = now_us;
    round->last_us = now_us;
    if (round->sent >= round->size)
        begin_next_round(f);
}

/* ---- judging ---- */

/* What a full round tells: the median, and the spread by the quartile; calls that are not answered yet are slow ones. */
static double median_of(struct inflight *f, struct inflight_round *round)
{
    int64_t *sorted = round->latencies_us;
    size_t count = (size_t)round->answered, half = (size_t)round->sent / 2, quarter = (size_t)round->sent / 4;
    latency_quantile(sorted, count, 0);
    double median_us = (double)sorted[half < count ? half : count - 1], quartile_us = (double)sorted[quarter < count ? quarter : count - 1];
    if (median_us > quartile_us && quartile_us > 0)
        f->spread += SPREAD_WEIGHT * (fmax(SPREAD_MIN, log(median_us / quartile_us) / QUARTILE_SIGMA) - f->spread);
    return median_us;
}

/* The round at half the limit is in. */
static void end_test(struct inflight *f, int64_t now_us, double median_us, double calls)
{
    double faster = median_us / f->tested_us;
    f->base_calls = calls;
    f->is_testing = false;
    f->slowness = 1;
    if (faster > TEST_SAME) { /* the endpoint is as slow with half of it */
        f->base_us = fmax(f->base_us, median_us);
        f->is_slow_start = true;
        set_limit(f, now_us, f->tested_limit);
    } else {
        f->base_us = fmin(f->base_us, median_us);
        set_limit(f, now_us, fmin(f->tested_limit, TOLERANCE * f->tested_limit * faster));
    }
}

static void begin_test(struct inflight *f, int64_t now_us, double median_us)
{
    double wait_s = f->was_tested ? TEST_EVERY_S : TEST_FIRST_S;
    if ((double)(now_us - f->tested_at_us) / 1e6 <= wait_s || f->limit < TEST_LEAST || f->limit >= TEST_UNDER_CEILING * f->ceiling)
        return;
    f->is_testing = f->was_tested = true;
    f->tested_at_us = now_us;
    f->tested_limit = f->limit;
    f->tested_us = median_us;
    f->limit = fmax(fmin(LEAST, f->most), f->limit / 2);
    begin_round(f, TEST_CALLS);
}

/* A loaded round that was sent after the last change of the limit. */
static bool judge_loaded(struct inflight *f, int64_t now_us, const struct inflight_round *round, double slower, double bound)
{
    double limit = f->limit;
    f->slowness = f->is_slow_start ? slower : 0.5 * f->slowness + 0.5 * slower;
    if (f->slowness > bound) {
        f->is_slow_start = false;
        set_limit(f, now_us, fmin(f->limit, round->limit * TOLERANCE / f->slowness));
        f->slowness = SLOWNESS_AFTER_CUT;
        return f->limit < limit;
    }
    if (!f->is_slow_start && f->slowness < TOLERANCE)
        f->limit = fmin(highest(f), f->limit * GROWTH + 1);
    return false;
}

static bool judge(struct inflight *f, int64_t now_us, struct inflight_round *round)
{
    double median_us = median_of(f, round), calls = round->size;
    bool is_loaded = round->full >= LOADED_SHARE * round->answered, was_cut = false;
    round->is_judged = true;
    if (f->base_us <= 0) {
        f->base_us = median_us;
        f->base_calls = calls;
        return false;
    }
    if (f->is_testing) {
        if (round->limit <= f->tested_limit * TEST_AT_HALF)
            end_test(f, now_us, median_us, calls);
        return false;
    }
    double slower = median_us / f->base_us, bound = TOLERANCE + DEVIATIONS * f->spread * sqrt(1 / calls + 1 / f->base_calls);
    if (slower < TOLERANCE || !is_loaded) { /* without a queue: the base, better known */
        f->base_us += (median_us - f->base_us) * calls / (f->base_calls + calls);
        f->base_calls = fmin(BASE_CALLS_MAX, f->base_calls + calls);
    }
    if (!is_loaded) {
        f->slowness = 1;
        return false;
    }
    if (round->first_us < f->changed_us)
        return false;
    was_cut = judge_loaded(f, now_us, round, slower, bound);
    begin_test(f, now_us, median_us);
    if ((double)(now_us - f->ceiling_us) / 1e6 > CEILING_REST_S)
        f->ceiling = f->ceiling * CEILING_GROWTH + 1;
    return was_cut;
}

static struct inflight_round *round_of(struct inflight *f, int64_t sent_us)
{
    for (size_t back = 0; back < INFLIGHT_ROUNDS && back < f->round; back++) {
        struct inflight_round *round = &f->rounds[(f->round - back) % INFLIGHT_ROUNDS];
        if (round->sent > 0 && sent_us >= round->first_us)
            return sent_us <= round->last_us ? round : NULL;
    }
    return NULL;
}

bool inflight_answered(struct inflight *f, int64_t now_us, int64_t sent_us, int64_t latency_us, bool was_full)
{
    if (f->is_slow_start && was_full && f->limit < highest(f))
        f->limit = fmin(highest(f), f->limit + 1);
    struct inflight_round *round = round_of(f, sent_us);
    if (round == NULL || round->is_judged || round->answered >= round->sent)
        return false;
    round->latencies_us[round->answered++] = latency_us;
    round->full += was_full;
    return round->sent >= round->size && round->answered >= JUDGED_SHARE * round->size && judge(f, now_us, round);
}

/* Under a ceiling that was just set there should be no more of them: counts those that come all the same. True: they have nothing to do with how many are under way. */
static bool is_in_vain(struct inflight *f, int64_t now_us, int64_t sent_us)
{
    bool is_under_ceiling = isfinite(f->ceiling) && (double)(now_us - f->ceiling_us) / 1e6 <= CEILING_REST_S;
    if (is_under_ceiling && sent_us < f->ceiling_us)
        return false; /* of the flight that met it */
    f->vain = is_under_ceiling ? f->vain + 1 : 0;
    f->uncut = f->vain == 0 ? f->limit : f->uncut;
    f->ceiling_us = now_us;
    return f->vain >= VAIN_MOST;
}

bool inflight_overloaded(struct inflight *f, int64_t now_us, int64_t sent_us, int64_t under_way)
{
    double limit = f->limit;
    bool is_alone = sent_us >= f->overloaded_us && under_way < ALONE_MOST;
    f->overloaded_us = now_us;
    if (now_us < f->deaf_until_us || (is_alone && !isfinite(f->ceiling)))
        return false;
    if (is_in_vain(f, now_us, sent_us)) {
        f->ceiling = INFINITY;
        f->vain = 0;
        f->deaf_until_us = now_us + (int64_t)(DEAF_S * 1e6);
        f->limit = fmax(f->limit, fmin(f->uncut, f->most));
        return false;
    }
    f->ceiling = fmax(LEAST, fmin(f->ceiling, (double)under_way));
    f->is_slow_start = false;
    f->limit = fmax(fmin(LEAST, f->most), fmin(f->limit, f->ceiling));
    return f->limit < limit;
}

void inflight_warm(struct inflight *f, double limit, double base_us)
{
    f->base_us = base_us;
    f->limit = fmax(fmin(LEAST, f->most), fmin(limit, f->most));
    begin_next_round(f);
}

void inflight_halve(struct inflight *f, int64_t now_us)
{
    set_limit(f, now_us, f->limit / 2);
    begin_next_round(f);
}

void inflight_recover(struct inflight *f, int64_t now_us)
{
    f->is_slow_start = true;
    f->ceiling = INFINITY;
    f->vain = 0;
    f->is_testing = false;
    set_limit(f, now_us, fmax(RECOVERED, f->limit / 2));
    begin_next_round(f);
}
