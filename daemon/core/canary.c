/* When a blocked endpoint is tried again (pace.h): by its hint where it gives one; else after a moment, as a bucket would take it, and then where quotas begin anew. */
#include "core/pace_parts.h"

#include <math.h>

/*      constant            value      unit    meaning                                                         source: the design's section 5, "Canary", if not told */
#define HINT_LATER_S        0.02    /* s       after the hint, so as not to be early                           t + after + U(.02, .1) */
#define HINT_SPREAD_S       0.08    /* s       of jitter more                                                  */
#define HINT_AGAIN_S        0.5     /* s       doubled for each canary refused: hints may lie                  .5 * 2^k */
#define AGAIN_MIN_S         300.0   /* s       what a wait never needs to exceed,                              max(300, 5 %) */
#define AGAIN_SHARE         0.05    /*         unless it is this part of the block                             5 % of the block */
#define AGAIN_MAX_S         1800.0  /* s                                                                       1800 s */
#define DAY_FIRST_S         60.0    /* s       after a day's refusal, then doubled                             60 * 2^k */
#define DAY_MOST_S          3600.0  /* s                                                                       3600 s */
#define SPEND_FIRST_S       15.0    /* s       a spend limit                                                   QUOTA_SPEND: 15, 30, ... (provider.h) */
#define SPEND_MOST_S        600.0   /* s                                                                       */
#define RATE_WAIT_CALLS     1.2     /* calls   of the measured rate, times 1.6 for each canary refused         R: 1.2/rm * 1.6^k */
#define RATE_WAIT_GROWTH    1.6     /*                                                                         R */
#define RATE_WAITS          4       /* canaries that wait so                                                   R: k < 4 */
#define RATE_WAIT_MOST_S    20.0    /* s                                                                       R: <= 20 s */
#define WINDOW_WAIT_S       0.3     /* s       in VERIFY and WINDOW once                                       V, W: .3 s once */
#define LEAST_S             0.2     /* s       between two canaries, at first                                  limitsim: schedule */
#define LEAST_LATER_S       1.5     /* s       from the fourth on                                              limitsim: schedule */
#define LEAST_LATER         3       /* canaries                                                                */
#define LONG_BLOCK_S        130.0   /* s       no minute's quota: by a part of the block alone                 > 130 s */
#define LONG_BLOCK_SHARE    0.25    /*                                                                         25 % of the block */
#define GRID_S              15.0    /* s       of the block, at its multiples                                  multiples of 15 s */
#define GRID_SMALL_S        30.0    /* s       where it met fewer than PACE_SMALL_CALLS                         ours: docs/pacing.md */
#define GRID_LATER          6       /* canaries before that in VERIFY and WINDOW                               V, W after 6 */
#define CLOCK_LAG_S         0.15    /* s       after the wall clock's minute                                   minute + .15 */

static const double first_waits_s[] = {0.3, 1.0, 2.5}; /* STARTUP and GROWTH, after the refusal: .3, 1, 2.5 s */

static double again_most_s(double blocked_s)
{
    return fmin(fmax(AGAIN_MIN_S, AGAIN_SHARE * blocked_s), AGAIN_MAX_S);
}

static double hinted_s(struct pace *pace, const struct pace_refusal *refusal, double blocked_s)
{
    double wait_s = in_s(refusal->retry_after_us) + HINT_LATER_S + HINT_SPREAD_S * rng_unit(&pace->rng);
    int k = pace->block.refused;
    return k > 0 ? fmax(wait_s, fmin(HINT_AGAIN_S * exp2(k), again_most_s(blocked_s))) : wait_s;
}

/* The earliest of some moments, of those that are not too near. */
struct earliest {
    int64_t not_before_us, at_us;
};

static void consider(struct earliest *earliest, int64_t at_us)
{
    if (at_us > earliest->not_before_us && at_us < earliest->at_us)
        earliest->at_us = at_us;
}

/* Where quotas begin anew: the wall clock's minute, the log's running out, the minute of a reset that was seen, and now and then besides. */
static int64_t next_edge_us(const struct pace *pace, struct pace_now now, double blocked_s)
{
    static const double shares[] = {0, 0.25, 0.5, 0.75, 1};
    const struct pace_block *block = &pace->block;
    bool knows_window = pace->mode == PACE_VERIFY || pace->mode == PACE_WINDOW;
    struct earliest earliest = {now.us + in_us(block->refused < LEAST_LATER ? LEAST_S : LEAST_LATER_S), INT64_MAX};
    consider(&earliest, now.us - now.minute_us + WINDOW_US + in_us(CLOCK_LAG_S));
    for (size_t i = 0; i < ARRAY_COUNT(shares) && pace->window.live.calls > 0; i++)
        consider(&earliest, window_share_us(&pace->window, shares[i]) + WINDOW_US + WINDOW_GUARD_US);
    if (pace->reset.seen_us != WINDOW_NONE) {
        int64_t since_us = now.us + in_us(LEAST_S) - pace->reset.seen_us;
        consider(&earliest, pace->reset.seen_us + (since_us + WINDOW_US - 1) / WINDOW_US * WINDOW_US);
    }
    bool is_small = block->accepted >= PACE_WINDOW_CALLS && block->accepted < PACE_SMALL_CALLS;
    double grid_s = is_small ? GRID_SMALL_S : GRID_S;
    if (!knows_window || block->refused >= GRID_LATER)
        consider(&earliest, block->began_us + in_us(grid_s * (1 + floor(blocked_s / grid_s + 1e-9))));
    return earliest.at_us < INT64_MAX ? earliest.at_us : now.us + in_us(GRID_S);
}

/* Canaries that go before the moments at which quotas begin anew, as a bucket would take them. At the start, when enough was let in to be a minute's budget, one is asked: a bucket
 * takes it. */
static int first_waits(const struct pace *pace)
{
    bool may_be_window = pace->mode == PACE_STARTUP && pace->block.accepted >= PACE_WINDOW_CALLS;
    return may_be_window ? 1 : pace->mode == PACE_STARTUP || pace->mode == PACE_GROWTH ? (int)ARRAY_COUNT(first_waits_s) : 0;
}

static int64_t unhinted_us(const struct pace *pace, struct pace_now now, double blocked_s)
{
    const struct pace_block *block = &pace->block;
    int k = block->refused;
    bool knows_window = pace->mode == PACE_VERIFY || pace->mode == PACE_WINDOW;
    if (pace->mode == PACE_RATE && k < RATE_WAITS)
        return now.us + in_us(fmin(RATE_WAIT_CALLS / pace->rate.measured_per_s * pow(RATE_WAIT_GROWTH, k), RATE_WAIT_MOST_S));
    if (k < first_waits(pace))
        return max_i64(now.us + in_us(LEAST_S), block->began_us + in_us(first_waits_s[k]));
    if (knows_window && k == 0)
        return now.us + in_us(WINDOW_WAIT_S);
    if (blocked_s > LONG_BLOCK_S)
        return now.us + in_us(fmin(LONG_BLOCK_SHARE * blocked_s, again_most_s(blocked_s)));
    return next_edge_us(pace, now, blocked_s);
}

/* A day's quota: whatever delay the body claims; not after the day's end, and from it on anew. */
static int64_t day_wait_us(struct pace *pace, const struct pace_refusal *refusal)
{
    if (refusal->is_day_over || !pace->block.is_day)
        pace->block.refused = 0;
    double wait_s = fmin(DAY_FIRST_S * exp2(fmin(pace->block.refused, 10)), DAY_MOST_S);
    return max_i64(min_i64(in_us(wait_s), refusal->day_reset_us), 1000);
}

void canary_schedule(struct pace *pace, struct pace_now now, const struct pace_refusal *refusal)
{
    struct pace_block *block = &pace->block;
    double blocked_s = in_s(now.us - block->began_us);
    block->is_hinted = refusal->retry_after_us >= 0 || refusal->is_day;
    if (refusal->is_day)
        block->canary_at_us = now.us + day_wait_us(pace, refusal);
    else if (block->is_hinted)
        block->canary_at_us = now.us + in_us(hinted_s(pace, refusal, blocked_s));
    else
        block->canary_at_us = unhinted_us(pace, now, blocked_s);
    if (refusal->is_spend)
        block->canary_at_us = max_i64(block->canary_at_us, now.us + in_us(fmin(SPEND_FIRST_S * exp2(fmin(block->refused, 10)), SPEND_MOST_S)));
    block->is_day = refusal->is_day;
    block->printed = refusal->printed;
}
