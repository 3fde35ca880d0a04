/* What a block taught (pace.h). A refusal says "the trailing minute holds too much" or "too fast"; which of them, tells the length of the block: a bucket takes the next
 * call after 1/rate, a window not before it rolls on. */
#include "core/pace_parts.h"

#include <math.h>

/*      constant            value     unit    meaning                                                          source: the design's section 5, "Canary accepted", if not told */
#define LONG_BLOCK_S        2.6     /* s       a window's, not a bucket's                                       long = g >= 2.6 s */
#define LONG_RATE_CALLS     6.0     /* calls   of the measured rate: within them it is a rate's                 from R and g < 6/rm */
#define SCARCE_S            130.0   /* s       a block of no minute's quota                                     Hedge: no block > 130 s */
#define SHORTS              3       /* short blocks, each within a minute: no window                            2. */
#define PAST_BUDGET         1.25    /* times   N went through: no window of N                                   3. */
#define NEAR_BUDGET         0.6     /* times   N: it is the budget that was met                                 4., soft event */
#define NEAR_VERIFIED       0.75    /* times   N, in VERIFY: a soft event                                       soft event: .75-1.25 N */
#define PAST_TOKENS         1.4     /* times   T, in VERIFY: sizes differ                                       limitsim: soft */
#define NEAR_PRINTED        0.9     /* times   the printed limit were counted: it is the limit                  lim(A) */
#define PRINTED_LEAST       0.45    /* times   what a minute let in: less is not the limit                      ours: the edge of a fixed window lets in twice its limit */
#define PRINTED_MOST        4.0     /* times   the rate that was refused: more is not what refused it           ours */
#define PRINTED_KEPT        0.8     /* times   a printed rate went through, below it: else it is not the limit  ours */
#define PRINTED_REFUSALS    5       /* below it, each within a minute: it is not                                ours */
#define SLACK_MIN           4.0     /* calls                                                                    reset suspected: max(4, .1 A) */
#define SLACK_SHARE         0.1     /*                                                                          */
#define STRICT_S            59.9    /* s       a window of a minute holds what was sent within it               the trailing 59.9 s */
#define GROWTH_MIN_S        2.0     /* s       doubling in GROWTH, or half the block                            G */
#define GROWTH_EARLY        4.0     /* calls   a refusal before so many, twice: a quarter of the rate           G with a < 4 */
#define GROWTH_EARLIES      2       /*                                                                          */
#define SURE_CALLS          60.0    /* calls   accepted: the rate of the last of them stands alone              R -> R: a >= 60 */
#define BLEND_CALLS         20.0    /* calls   accepted: the mean rate of the epoch stands alone                w = min(1, (a+1)/20) */
#define BLEND_SPAN_CALLS    6.0     /* calls   of the measured rate: shorter epochs tell nothing                > 6/rm */
#define RATE_DROP           0.8     /* times   the measured rate then                                           else .8 rm */
#define RATE_MOVED          0.12    /*         less: confirmed; more: less sure of it                           conf */
#define CONFIDENCE_MIN      0.25    /*                                                                          conf */
#define CONFIDENCE_AGAIN    0.5     /*         of a rate that was taken for a window                            limitsim: recover */
#define PRINTED_REST_S      240.0   /* s       without a probe past a printed limit                             R: .985 rm for 240 s */
#define WARM_DROP           0.9     /* times   a former life's rate, when its burst was refused                 limitsim: recover */
#define SOFT_REST_S         30.0    /* s       between two refusals that only move the budget                   soft event: 30 s */
#define HOLD_MIN_S          0.3     /* s       after one, or 60/N                                               hold */
#define HOLD_LATER_S        0.02    /* s       and a little                                                     limitsim: soft */
#define HOLD_SPREAD_S       0.05    /* s                                                                        */
#define ALIGNED_S           2.0     /* s       after the wall clock's minute: aligned to it                     Persist: aligned */
#define ALIGNED_MAX         3       /*                                                                          limitsim: reset_proved */
#define ALIGNED_MIN         (-2)    /*                                                                          */

/* Canaries that were refused before a block without a hint counts as long: those that a bucket may still refuse. */
static const int long_after[] = {[PACE_STARTUP] = 1, [PACE_GROWTH] = 3, [PACE_RATE] = 3, [PACE_VERIFY] = 0, [PACE_WINDOW] = 0};

/* What was counted when a block began, in calls of the unit that binds. */
struct lesson {
    enum pace_mode from;
    double gap_s;     /* from the refusal to the canary that was taken */
    double met;       /* calls that the minute held, as counted; 1 at least */
    double met_all;   /* the same without the floor */
    double accepted, epoch_s; /* in the epoch that it ended, and how long until the canary */
    double budget;    /* in force */
    double printed;   /* the limit, as the endpoint tells it, where that may be true; 0: not told, or it cannot be */
    bool is_long;
};

static double unit_of(const struct pace *pace)
{
    return pace->budget.by_tokens ? pace->budget.unit_tokens : 1;
}

static double in_units(const struct pace *pace, struct window_sum sum)
{
    return pace->budget.by_tokens ? sum.tokens / pace->budget.unit_tokens : sum.calls;
}

static double met_until(const struct pace *pace, int64_t sent_us, bool is_counted)
{
    struct window_sum sum = is_counted ? window_sum_counted(&pace->window, WINDOW_NONE, sent_us) : window_sum_live(&pace->window, WINDOW_NONE, sent_us);
    return fmax(pace->budget.by_tokens ? 1e-9 : 1, in_units(pace, sum));
}

/* Calls that a sliding minute would hold just before that moment. */
static double strict_minute(const struct pace *pace, int64_t at_us)
{
    return in_units(pace, window_sum_live(&pace->window, at_us - in_us(STRICT_S), at_us - 1)) + 1e-9;
}

/* What an endpoint prints need not be what it does: another quota's number, or anything. So it is used where it can be true, of what was let in within a minute, and was not
 * refused below before. */
static double credible(const struct pace *pace, double printed)
{
    double seen = met_until(pace, pace->block.refused_us, false) * unit_of(pace);
    return printed >= PRINTED_LEAST * seen && printed != pace->disproved ? printed : 0;
}

static bool agrees(double seen, double printed)
{
    return printed > 0 && seen >= NEAR_PRINTED * printed;
}

/* The budget was met at `met` calls; a printed limit that agrees with that is it. */
static void set_budget(struct pace *pace, double met, double printed)
{
    double seen = met * unit_of(pace);
    bool is_printed = agrees(seen, printed);
    if (is_printed)
        seen = printed;
    if (pace->budget.by_tokens)
        pace->budget.tokens = fmax(1, seen);
    else
        pace->budget.calls = fmax(1, seen);
    pace->budget.is_printed = is_printed;
}

static void suspect_reset(struct pace *pace, int64_t at_us, double calls)
{
    pace->reset.suspected_us = at_us;
    pace->reset.slack = fmax(SLACK_MIN, SLACK_SHARE * calls);
}

static void drop_suspicion(struct pace *pace)
{
    pace->reset.suspected_us = WINDOW_NONE;
    pace->reset.slack = 0;
}

void lesson_reset_proved(struct pace *pace, struct pace_now now)
{
    struct pace_reset *reset = &pace->reset;
    int64_t minute_us = ((now.minute_us - (now.us - reset->suspected_us)) % WINDOW_US + WINDOW_US) % WINDOW_US; /* of the wall clock, then */
    int step = minute_us < in_us(ALIGNED_S) ? 1 : -1;
    reset->aligned = (int)clamp_i64(reset->aligned + step, ALIGNED_MIN, ALIGNED_MAX);
    reset->seen_us = reset->suspected_us;
    window_set_floor(&pace->window, reset->suspected_us);
    drop_suspicion(pace);
}

/* ---- a refusal that only moves the budget ---- */

/* How much of the budget was used when that call was sent; in its own unit. */
static double used_until(const struct pace *pace, int64_t sent_us)
{
    struct window_sum late = window_sum_live(&pace->window, sent_us, INT64_MAX);
    return pace->budget.by_tokens ? pace->window.counted.tokens - late.tokens : pace->window.counted.calls - late.calls;
}

static bool speaks_of_other(const struct pace *pace, const struct pace_refusal *refusal)
{
    bool is_other_unit = pace->budget.by_tokens ? refusal->of_requests : refusal->of_tokens;
    return refusal->is_day || refusal->is_spend || is_other_unit;
}

bool lesson_moves_budget(struct pace *pace, struct pace_now now, const struct pace_refusal *refusal)
{
    struct pace_budget *budget = &pace->budget;
    bool is_verifying = pace->mode == PACE_VERIFY;
    if ((!is_verifying && pace->mode != PACE_WINDOW) || speaks_of_other(pace, refusal))
        return false;
    if (pace->moved_us != WINDOW_NONE && refusal->sent_us < pace->moved_us)
        return true; /* of the same event */
    if (pace->moved_us != WINDOW_NONE && now.us - pace->moved_us < in_us(SOFT_REST_S))
        return false; /* twice in a window: the quota itself moved */
    double *limit = budget->by_tokens ? &budget->tokens : &budget->calls;
    double used = used_until(pace, refusal->sent_us);
    if (used < (is_verifying && !budget->by_tokens ? NEAR_VERIFIED : NEAR_BUDGET) * *limit)
        return false;
    if (is_verifying && used > (budget->by_tokens ? PAST_TOKENS : PAST_BUDGET) * *limit)
        return false;
    set_budget(pace, (is_verifying ? used : fmin(*limit, used)) / unit_of(pace), refusal->printed >= PRINTED_LEAST * used ? refusal->printed : 0);
    pace->moved_us = now.us;
    pace->probe.good = 0;
    if (is_verifying) {
        pace_enter(pace, PACE_WINDOW);
        drop_suspicion(pace);
        pace_at_budget_rate(pace);
    }
    double hold_s = refusal->retry_after_us >= 0 ? in_s(refusal->retry_after_us) : fmax(HOLD_MIN_S, PACE_MINUTE_S / (isfinite(budget->calls) ? fmax(1, budget->calls) : PACE_MINUTE_S));
    pace->hold_us = now.us + in_us(hold_s + HOLD_LATER_S + HOLD_SPREAD_S * rng_unit(&pace->rng));
    return true;
}

/* ---- the end of a block ---- */

static struct lesson read_lesson(struct pace *pace)
{
    const struct pace_block *block = &pace->block;
    struct lesson lesson = {.from = pace->mode, .gap_s = in_s(block->canary_us - block->began_us), .accepted = block->accepted,
                            .epoch_s = fmax(1e-3, in_s(block->canary_us - pace->epoch_us))};
    if (!block->is_day && block->by_tokens != pace->budget.by_tokens) { /* the other limit binds now: what was learned was in its unit */
        pace->budget.by_tokens = block->by_tokens;
        pace->budget.unit_tokens = fmax(1, pace->mean_tokens);
        pace->rate.measured_per_s = 0;
    }
    double rm = pace->rate.measured_per_s;
    bool is_rates_own = lesson.from == PACE_RATE && rm > 0 && lesson.gap_s < LONG_RATE_CALLS / rm;
    lesson.is_long = lesson.gap_s >= LONG_BLOCK_S && (block->refused >= long_after[lesson.from] || block->is_hinted) && !is_rates_own;
    lesson.met = met_until(pace, block->refused_us, true);
    lesson.met_all = met_until(pace, block->refused_us, false);
    lesson.budget = pace_budget_calls(pace);
    lesson.printed = credible(pace, block->printed);
    return lesson;
}

/* Counts blocks that ended at once, in a row. */
static void count_short(struct pace *pace, const struct lesson *lesson)
{
    int64_t canary_us = pace->block.canary_us;
    bool knows_window = lesson->from == PACE_VERIFY || lesson->from == PACE_WINDOW;
    bool is_short = lesson->gap_s < LONG_BLOCK_S;
    bool follows = pace->short_us != WINDOW_NONE && canary_us - pace->short_us < WINDOW_US;
    pace->shorts = knows_window && is_short && follows ? pace->shorts + 1 : is_short;
    if (is_short)
        pace->short_us = canary_us;
}

/* The endpoint limits a rate: no budget. */
static void learn_rate(struct pace *pace, double per_s, double confidence)
{
    pace_enter(pace, PACE_RATE);
    pace->rate.confidence = confidence;
    pace->budget.calls = pace->budget.tokens = INFINITY;
    window_set_floor(&pace->window, WINDOW_NONE);
    rate_set_cubic(&pace->rate, pace->block.canary_us, per_s, pace->budget.is_printed ? PRINTED_REST_S : 0);
}

static void learn_growth(struct pace *pace, double per_s, double doubling_s)
{
    pace_enter(pace, PACE_GROWTH);
    pace->budget.calls = pace->budget.tokens = INFINITY;
    window_set_floor(&pace->window, WINDOW_NONE);
    pace->rate.per_s = per_s;
    pace->rate.doubling_s = doubling_s;
}

/* A minute's budget of so many calls, which was new: it has to be confirmed. */
static void learn_window(struct pace *pace, const struct lesson *lesson)
{
    int64_t canary_us = pace->block.canary_us;
    set_budget(pace, lesson->met, lesson->printed);
    pace_enter(pace, PACE_VERIFY);
    pace->rate.doubling_s = 1;
    pace->rate.per_s = fmax(1 / lesson->gap_s, lesson->met / PACE_MINUTE_S);
    if (lesson->from != PACE_VERIFY && strict_minute(pace, canary_us) >= lesson->met_all)
        suspect_reset(pace, canary_us, lesson->met);
}

/* The budget was met again. */
static void learn_budget(struct pace *pace, const struct lesson *lesson, double calls)
{
    int64_t canary_us = pace->block.canary_us;
    set_budget(pace, calls, lesson->printed);
    pace_enter(pace, PACE_WINDOW);
    pace_at_budget_rate(pace);
    double budget = pace_budget_calls(pace);
    if (lesson->from == PACE_VERIFY || strict_minute(pace, canary_us) < fmax(lesson->met_all, budget))
        return;
    pace_enter(pace, PACE_VERIFY); /* taken although the minute was full */
    pace->rate.doubling_s = 1;
    pace->rate.per_s = fmax(1, budget / PACE_MINUTE_S);
    suspect_reset(pace, canary_us, budget);
}

/* The rate that a refusal in RATE teaches, and how sure it is. */
static void learn_rate_again(struct pace *pace, const struct lesson *lesson)
{
    double old = pace->rate.measured_per_s, per_s = RATE_DROP * old;
    if (lesson->accepted >= SURE_CALLS) {
        per_s = pace->block.last_per_s;
    } else if (lesson->epoch_s * old > BLEND_SPAN_CALLS) {
        double weight = fmin(1, (lesson->accepted + 1) / BLEND_CALLS);
        per_s = (1 - weight) * old + weight * (lesson->accepted + 1) / lesson->epoch_s;
    }
    bool is_confirmed = fabs(per_s / old - 1) < RATE_MOVED;
    learn_rate(pace, per_s, is_confirmed ? fmin(1, 2 * pace->rate.confidence) : fmax(CONFIDENCE_MIN, pace->rate.confidence / 2));
}

/* A refusal in GROWTH: what went through since is the rate, unless that was next to nothing. */
static void learn_from_growth(struct pace *pace, const struct lesson *lesson)
{
    if (lesson->accepted < GROWTH_EARLY && pace->growths < GROWTH_EARLIES) {
        pace->growths++;
        double per_s = lesson->gap_s < LONG_BLOCK_S ? fmax(1 / fmax(lesson->gap_s, 0.3), pace->rate.per_s / 4) : 1 / lesson->gap_s;
        learn_growth(pace, per_s, fmax(GROWTH_MIN_S, 1 / per_s));
        return;
    }
    double since_s = fmax(1e-3, in_s(pace->block.canary_us - pace->growth_us));
    learn_rate(pace, lesson->accepted >= GROWTH_EARLY ? pace->block.last_per_s : fmax(1, pace->grown) / since_s, CONFIDENCE_MIN);
}

/* The rate that was printed, of a refusal that it can explain; 0: none. One that was kept to, and was refused all the same, is not asked again; but for tokens, where
 * calls differ in size. */
static double printed_rate(struct pace *pace, const struct lesson *lesson)
{
    double per_s = lesson->printed / unit_of(pace) / PACE_MINUTE_S;
    bool was_kept_to = lesson->from == PACE_RATE && pace->budget.is_printed && !pace->budget.by_tokens && pace->block.refused_us < pace->rate.cubic_us;
    pace->printed_refusals = was_kept_to && lesson->epoch_s < PACE_MINUTE_S ? pace->printed_refusals + 1 : 0;
    if (was_kept_to && ((lesson->accepted + 1) / lesson->epoch_s < PRINTED_KEPT * pace->rate.measured_per_s || pace->printed_refusals >= PRINTED_REFUSALS))
        pace->disproved = lesson->printed;
    return lesson->printed != pace->disproved && per_s <= PRINTED_MOST * pace->block.last_per_s ? per_s : 0;
}

/* The endpoint took the canary soon: it limits a rate. */
static void learn_short(struct pace *pace, const struct lesson *lesson)
{
    double rm = pace->rate.measured_per_s, printed_per_s = printed_rate(pace, lesson);
    pace->budget.is_printed = printed_per_s > 0 || (pace->budget.is_printed && rm <= 0);
    if (printed_per_s > 0) {
        learn_rate(pace, printed_per_s, 1);
    } else if (lesson->from == PACE_STARTUP && pace->warm_calls > 0) {
        learn_rate(pace, WARM_DROP * rm, CONFIDENCE_AGAIN);
    } else if (lesson->from == PACE_STARTUP) {
        pace->growths = 0;
        pace->grown = 0;
        pace->growth_us = pace->block.canary_us;
        double per_s = lesson->gap_s >= LONG_BLOCK_S ? 1 / lesson->gap_s : fmax(1 / fmax(lesson->gap_s, 0.3), pace->block.last_per_s / 4);
        learn_growth(pace, per_s, fmax(GROWTH_MIN_S, lesson->gap_s / 2));
    } else if (lesson->from == PACE_GROWTH) {
        learn_from_growth(pace, lesson);
    } else if (lesson->from == PACE_RATE && rm > 0) {
        learn_rate_again(pace, lesson);
    } else {
        learn_rate(pace, fmax(lesson->met_all / PACE_MINUTE_S, lesson->accepted / lesson->epoch_s), CONFIDENCE_MIN);
    }
}

/* The first row that fits is what the block taught. */
static void apply(struct pace *pace, const struct lesson *lesson)
{
    bool knows_window = lesson->from == PACE_VERIFY || lesson->from == PACE_WINDOW, is_printed = agrees(lesson->met * unit_of(pace), lesson->printed);
    if (knows_window && pace->shorts >= SHORTS && !is_printed) { /* it takes calls again at once, again and again: a rate */
        pace->shorts = 0;
        learn_rate(pace, lesson->met_all / PACE_MINUTE_S, CONFIDENCE_AGAIN);
    } else if (lesson->from == PACE_VERIFY && !is_printed && lesson->met > PAST_BUDGET * lesson->budget) { /* much more than N: a rate, or a shorter window */
        learn_rate(pace, fmax(1, lesson->accepted) / pace->block.span_s, CONFIDENCE_AGAIN);
    } else if (knows_window && lesson->met >= NEAR_BUDGET * lesson->budget) {
        learn_budget(pace, lesson, lesson->met);
    } else if (knows_window && lesson->met_all >= NEAR_BUDGET * lesson->budget) { /* the reset that was believed in was none */
        window_set_floor(&pace->window, WINDOW_NONE);
        learn_budget(pace, lesson, fmin(lesson->budget, lesson->met_all));
    } else if (lesson->is_long && lesson->met >= PACE_WINDOW_CALLS) {
        learn_window(pace, lesson);
    } else {
        learn_short(pace, lesson);
    }
}

void lesson_learn(struct pace *pace, struct pace_now now)
{
    struct lesson lesson = read_lesson(pace);
    int64_t canary_us = pace->block.canary_us;
    if (lesson.from == PACE_STARTUP && pace->first_s <= 0) {
        pace->first_calls = lesson.accepted;
        pace->first_s = in_s(canary_us - pace->epoch_us);
    }
    pace->was_scarce |= lesson.gap_s > SCARCE_S;
    pace->block.is_on = false;
    pace->rate.credit = 0;
    pace->rate.credit_us = now.us;
    window_expire(&pace->window, now.us);
    drop_suspicion(pace);
    count_short(pace, &lesson);
    if (!pace->block.is_day) /* a day's end teaches nothing of the minute */
        apply(pace, &lesson);
    pace->warm_calls = 0;
    pace->grown += lesson.accepted + 1;
    pace->epoch_us = canary_us;
    pace->epoch_sent = 1;
    pace->probe.good = 0;
    pace->probe.sent_us = WINDOW_NONE;
    pace->block.canary_us = WINDOW_NONE;
}
