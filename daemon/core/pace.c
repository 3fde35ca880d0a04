/* The gate of pace.h, and what a send, an answer and a refusal mean for it. */
#include "core/pace_parts.h"

#include <math.h>

/*      constant                value     unit    meaning                                                     source: the design's simulation, section 5 */
#define DEPTH_STARTUP           4.0    /* calls   of the bucket in STARTUP                                    Pacer: depth 4 in S */
#define DEPTH_STARTUP_S         0.01   /* s       of the rate, where that is more: by so much a timer is late   1 to 5 ms on a busy machine */
#define DEPTH_S                 0.1    /* s       of the rate, else; one call at least                        Pacer: max(1, rho/10) */
#define BUDGET_HASTE            6.0    /* times   the budget's even rate: it is gone in ten seconds               W: 4N/60; 6 is .01 to .02 better at five minutes of quota */
#define REFUSAL_FIRST_S         0.12   /* s       a refusal's time before one was seen                        Reject RTT */
#define REFUSAL_WEIGHT          0.1    /*         of a new one                                                Reject RTT: EWMA(.1) */
#define ACCEPT_FIRST_S          0.3    /* s       not refused for so long: accepted, before one was seen      tau */
#define ACCEPT_TIMES            2.5    /* times   a refusal's time                                            tau */
#define ACCEPT_MIN_S            0.2    /* s                                                                   tau */
#define ACCEPT_MAX_S            4.0    /* s       2 was too short where refusals take up to 3 s (.75 of the oracle instead of .97) */
#define PROBE_FIRST             1.0    /* calls   of the probes' credit at first                              Probe: starts 1 */
#define PROBE_EARNED            0.006  /* calls   by a success; half where the limit is printed               Probe: .006 */
#define PROBE_MOST              3.0    /* calls   and so much before the first where a minute takes fewer than PACE_SMALL_CALLS: the start was dear there     Probe: <= 3 */
#define PROBE_GROWTH            (1 / 32.0) /*     of the budget at once, at most                              Probe: N/32 */
#define PROBE_LATEST_S          0.5    /* s       before the oldest entry leaves, no later                    Probe */
#define PROBE_WORTH_S           0.2    /* s       a wait shorter than this is waited out                      Probe: oldest < 59.8 s */
#define VERIFY_CALLS            8.0    /* calls   or a third of N confirm a printed limit                     V: max(8, N/3) */
#define VERIFY_PAST             1.2    /* times   N went through: it is more, look slowly                     V */
#define VERIFY_SLOW_S           10.0   /* s       the doubling then                                           V */
#define RESET_CALLS             4.0    /* calls   after a suspicion that prove a reset where a budget binds   slack */
#define CLOCK_LAG_S             0.15   /* s       after the wall clock's minute                               Canary: minute + .15 */
#define SIZED_CALLS             1000   /* calls   whose mean size is the unit of tokens                       unit */
#define WARM_RATE               0.97   /* times   a former life's rate, and                                   Persist: R at .97 rm */
#define WARM_BURST              0.9    /* times   its burst are believed in                                   Persist: .9 b0 */
#define CANARY_AGAIN_S          1.0    /* s       after one that told nothing                                 limitsim: on_err */

void pace_init(struct pace *pace, uint64_t seed)
{
    *pace = (struct pace){.budget = {.calls = INFINITY, .tokens = INFINITY, .unit_tokens = 1},
                          .block = {.canary_us = WINDOW_NONE},
                          .probe = {.credit = PROBE_FIRST, .sent_us = WINDOW_NONE, .for_us = WINDOW_NONE},
                          .reset = {.suspected_us = WINDOW_NONE, .seen_us = WINDOW_NONE},
                          .refusal_s = REFUSAL_FIRST_S,
                          .accept_us = in_us(ACCEPT_FIRST_S),
                          .epoch_us = WINDOW_NONE,
                          .moved_us = WINDOW_NONE,
                          .short_us = WINDOW_NONE};
    rng_seed(&pace->rng, seed);
    window_init(&pace->window);
    rate_init(&pace->rate);
}

void pace_clear(struct pace *pace)
{
    window_clear(&pace->window);
}

void pace_enter(struct pace *pace, enum pace_mode mode)
{
    pace->mode = mode;
}

double pace_budget_calls(const struct pace *pace)
{
    return pace->budget.by_tokens ? pace->budget.tokens / pace->budget.unit_tokens : pace->budget.calls;
}

void pace_at_budget_rate(struct pace *pace)
{
    pace->rate.per_s = fmax(1, BUDGET_HASTE * pace_budget_calls(pace) / PACE_MINUTE_S);
}

/* ---- time goes on ---- */

static void probe_taken(struct pace *pace)
{
    struct pace_probe *probe = &pace->probe;
    probe->sent_us = WINDOW_NONE;
    probe->good++;
    pace->budget.calls += fmin(probe->good, fmax(1, floor(pace->budget.calls * PROBE_GROWTH))); /* proved: faster, but never much at once */
    pace->rate.per_s = fmax(pace->rate.per_s, BUDGET_HASTE * pace->budget.calls / PACE_MINUTE_S);
}

/* What was not refused in time is accepted. */
static void advance(struct pace *pace, struct pace_now now)
{
    if (pace->epoch_us == WINDOW_NONE)
        pace->epoch_us = pace->rate.credit_us = now.us;
    if (pace->block.is_on && pace->block.canary_us != WINDOW_NONE && now.us >= pace->block.canary_us + pace->accept_us)
        lesson_learn(pace, now);
    if (pace->probe.sent_us != WINDOW_NONE && now.us >= pace->probe.sent_us + pace->accept_us)
        probe_taken(pace);
}

static void fill(struct pace *pace, int64_t now_us)
{
    if (pace->mode == PACE_RATE)
        rate_follow_cubic(&pace->rate, now_us);
    double per_s = pace->rate.per_s;
    rate_fill(&pace->rate, now_us, pace->mode == PACE_STARTUP ? fmax(DEPTH_STARTUP, DEPTH_STARTUP_S * per_s) : fmax(1, DEPTH_S * per_s));
}

/* ---- the gate ---- */

static enum pace_gate ask_block(const struct pace *pace, struct pace_now now, int64_t *ret_wait_us)
{
    const struct pace_block *block = &pace->block;
    bool is_out = block->canary_us != WINDOW_NONE;
    if (!is_out && now.us >= block->canary_at_us)
        return PACE_FREE;
    *ret_wait_us = max_i64((is_out ? block->canary_us + pace->accept_us : block->canary_at_us) - now.us, 1);
    return block->is_day ? PACE_QUOTA_DAY : PACE_BLOCKED;
}

/* A former life saw quotas begin anew with the wall clock's minute, and this one has not seen one yet: when did it, when will it? */
static bool trusts_minute(const struct pace *pace)
{
    return pace->reset.aligned > 0 && pace->reset.seen_us == WINDOW_NONE;
}

static bool minute_began(struct pace *pace, struct pace_now now)
{
    int64_t began_us = now.us - now.minute_us + in_us(CLOCK_LAG_S);
    if (!trusts_minute(pace) || pace->window.log.count == 0 || sendlog_at(&pace->window.log, 0)->at_us >= began_us || began_us > now.us)
        return false;
    window_set_floor(&pace->window, began_us);
    pace->reset.seen_us = began_us;
    return true;
}

/* May a call go past the budget, to see? Else not before the moment that is told. */
static int64_t probe_wait_us(struct pace *pace, int64_t now_us, int64_t oldest_us, int64_t leaves_us)
{
    struct pace_probe *probe = &pace->probe;
    bool is_first = probe->good == 0;
    double price = is_first && pace_budget_calls(pace) < PACE_SMALL_CALLS ? PROBE_MOST : 1;
    if (pace->mode != PACE_WINDOW || probe->credit < price || oldest_us == WINDOW_NONE || oldest_us <= now_us - WINDOW_US + in_us(PROBE_WORTH_S))
        return leaves_us - now_us;
    if (probe->sent_us != WINDOW_NONE)
        return min_i64(leaves_us, probe->sent_us + pace->accept_us) - now_us;
    if (is_first && probe->for_us != oldest_us) { /* at a random moment of the wait: a quota's edges must not hide from it */
        probe->for_us = oldest_us;
        probe->at_us = now_us + (int64_t)(rng_unit(&pace->rng) * (double)max_i64(leaves_us - now_us - in_us(PROBE_LATEST_S), 0));
    }
    return max_i64(min_i64(leaves_us, probe->at_us) - now_us, 0);
}

/* How long the budget of the minute holds such a call back; 0: not. */
static int64_t budget_wait_us(struct pace *pace, struct pace_now now, int64_t tokens)
{
    const struct window_sum *counted = &pace->window.counted;
    bool is_over_calls = counted->calls >= pace->budget.calls + pace->reset.slack;
    bool is_over_tokens = counted->tokens > 0 && counted->tokens + (double)tokens > pace->budget.tokens + pace->reset.slack * pace->budget.unit_tokens;
    if (!is_over_calls && !is_over_tokens)
        return 0;
    if (pace->reset.suspected_us != WINDOW_NONE && pace->epoch_sent >= RESET_CALLS) {
        lesson_reset_proved(pace, now);
        return 0;
    }
    if (minute_began(pace, now))
        return 0;
    int64_t oldest_us = window_oldest_us(&pace->window);
    int64_t leaves_us = oldest_us == WINDOW_NONE ? now.us + 1000000 : oldest_us + WINDOW_US + WINDOW_GUARD_US + 1;
    if (trusts_minute(pace))
        leaves_us = min_i64(leaves_us, now.us - now.minute_us + WINDOW_US + in_us(CLOCK_LAG_S));
    return is_over_calls ? probe_wait_us(pace, now.us, oldest_us, leaves_us) : leaves_us - now.us;
}

static bool has_budget(const struct pace *pace)
{
    return pace->mode == PACE_WINDOW || (pace->mode == PACE_VERIFY && pace->budget.is_printed);
}

static enum pace_gate ask_learned(struct pace *pace, struct pace_now now, int64_t tokens, int64_t *ret_wait_us)
{
    if (pace->mode == PACE_STARTUP && pace->warm_calls > 0 &&
        pace->epoch_sent >= pace->warm_calls + pace->rate.measured_per_s * in_s(now.us - pace->epoch_us)) { /* the burst of a former life is gone */
        pace->warm_calls = 0;
        pace_enter(pace, PACE_RATE);
        rate_set_cubic(&pace->rate, now.us, pace->rate.measured_per_s, 0);
    }
    window_expire(&pace->window, now.us);
    if (has_budget(pace)) {
        *ret_wait_us = budget_wait_us(pace, now, tokens);
        if (*ret_wait_us > 0)
            return PACE_FULL;
    }
    fill(pace, now.us);
    *ret_wait_us = rate_wait_us(&pace->rate);
    return *ret_wait_us > 0 ? PACE_PACED : PACE_FREE;
}

enum pace_gate pace_ask(struct pace *pace, struct pace_now now, int64_t tokens, bool with_learned, int64_t *ret_wait_us)
{
    *ret_wait_us = 0;
    advance(pace, now);
    if (pace->block.is_on)
        return ask_block(pace, now, ret_wait_us);
    if (now.us < pace->hold_us) {
        *ret_wait_us = pace->hold_us - now.us;
        return PACE_FULL;
    }
    return with_learned ? ask_learned(pace, now, tokens, ret_wait_us) : PACE_FREE;
}

int64_t pace_room(struct pace *pace, struct pace_now now, int64_t tokens, bool with_learned)
{
    int64_t wait_us;
    if (pace_ask(pace, now, tokens, with_learned, &wait_us) != PACE_FREE)
        return 0;
    if (pace->block.is_on)
        return 1;
    if (!with_learned)
        return INT64_MAX;
    double room = floor(pace->rate.credit + 1e-9);
    if (has_budget(pace))
        room = fmin(room, pace->budget.calls + pace->reset.slack - pace->window.counted.calls);
    return max_i64((int64_t)room, 1);
}

/* ---- a send ---- */

/* VERIFY: enough went through to believe in the budget, or more than it. */
static void verify(struct pace *pace, struct pace_now now)
{
    double budget = pace_budget_calls(pace);
    if (pace->reset.suspected_us != WINDOW_NONE && pace->epoch_sent >= pace->reset.slack) /* more than a sliding window would take */
        lesson_reset_proved(pace, now);
    if (pace->budget.is_printed && pace->reset.suspected_us == WINDOW_NONE && pace->epoch_sent >= fmax(VERIFY_CALLS, budget / 3)) {
        pace_enter(pace, PACE_WINDOW);
        pace_at_budget_rate(pace);
    } else if (pace->epoch_sent < VERIFY_PAST * budget) {
        pace->rate.per_s = fmin(pace->rate.per_s, fmax(1, BUDGET_HASTE * budget / PACE_MINUTE_S));
    } else {
        pace->rate.doubling_s = VERIFY_SLOW_S;
    }
}

static void sent_in_epoch(struct pace *pace, struct pace_now now, int64_t tokens)
{
    struct pace_budget *budget = &pace->budget;
    pace->epoch_sent++;
    fill(pace, now.us);
    rate_sent(&pace->rate, now.us, budget->by_tokens ? (double)tokens / budget->unit_tokens : 1);
    if (pace->mode == PACE_WINDOW && pace->window.counted.calls > budget->calls && pace->probe.sent_us == WINDOW_NONE)
        pace->probe.sent_us = now.us;
    if (pace->mode == PACE_STARTUP || pace->mode == PACE_VERIFY || pace->mode == PACE_GROWTH)
        rate_ramp(&pace->rate, now.us, pace->mode == PACE_STARTUP);
    if (pace->mode == PACE_VERIFY)
        verify(pace, now);
}

void pace_sent(struct pace *pace, struct pace_now now, int64_t tokens, bool is_probe)
{
    advance(pace, now);
    if (!pace->block.is_on) /* else what the minute held when it was refused is still to be counted */
        window_expire(&pace->window, now.us);
    window_sent(&pace->window, now.us, tokens, true);
    if (pace->sized < SIZED_CALLS)
        pace->mean_tokens += ((double)tokens - pace->mean_tokens) / (double)++pace->sized;
    if (is_probe)
        return;
    if (!pace->block.is_on) {
        sent_in_epoch(pace, now, tokens);
    } else if (now.us >= pace->block.canary_at_us) { /* a test request that an operator sends within the block is none: it ends nothing */
        pace->block.canary_us = now.us;
        rate_sent(&pace->rate, now.us, 0);
    }
}

void pace_unsent(struct pace *pace, int64_t sent_us)
{
    window_drop(&pace->window, sent_us);
    if (pace->block.is_on && pace->block.canary_us == sent_us) {
        pace->block.canary_us = WINDOW_NONE;
    } else if (!pace->block.is_on && sent_us >= pace->epoch_us) {
        pace->epoch_sent = fmax(pace->epoch_sent - 1, 0);
        pace->rate.credit += 1;
    }
    if (pace->probe.sent_us == sent_us)
        pace->probe.sent_us = WINDOW_NONE;
}

/* ---- what came back ---- */

void pace_tokens_known(struct pace *pace, int64_t sent_us, int64_t tokens)
{
    window_tokens_known(&pace->window, sent_us, tokens);
}

void pace_answered(struct pace *pace, struct pace_now now, int64_t sent_us)
{
    advance(pace, now);
    if (pace->block.is_on && pace->block.canary_us == sent_us)
        lesson_learn(pace, now);
    pace->probe.credit = fmin(PROBE_MOST, pace->probe.credit + (pace->budget.is_printed ? PROBE_EARNED / 2 : PROBE_EARNED));
}

void pace_answers_take(struct pace *pace, int64_t us)
{
    if (pace->mode == PACE_STARTUP)
        rate_answers_take(&pace->rate, us);
}

void pace_told_nothing(struct pace *pace, struct pace_now now, int64_t sent_us)
{
    if (!pace->block.is_on || pace->block.canary_us != sent_us)
        return;
    pace->block.canary_us = WINDOW_NONE;
    pace->block.canary_at_us = now.us + in_us(CANARY_AGAIN_S);
}

static void begin_block(struct pace *pace, struct pace_now now, const struct pace_refusal *refusal)
{
    struct pace_block *block = &pace->block;
    double late = window_sum_live(&pace->window, refusal->sent_us, INT64_MAX).calls;
    double accepted = fmax(0, pace->epoch_sent - 1 - late);
    *block = (struct pace_block){.is_on = true,
                                 .began_us = now.us,
                                 .refused_us = refusal->sent_us,
                                 .canary_us = WINDOW_NONE,
                                 .is_spend = refusal->is_spend,
                                 .by_tokens = refusal->of_tokens || (!refusal->of_requests && pace->budget.by_tokens),
                                 .accepted = accepted,
                                 .span_s = fmax(1e-3, in_s(refusal->sent_us - pace->epoch_us)),
                                 .last_per_s = rate_of_last(&pace->rate, pace->epoch_us, refusal->sent_us, accepted)};
    canary_schedule(pace, now, refusal);
}

static void probe_refused(struct pace *pace)
{
    struct pace_probe *probe = &pace->probe;
    probe->sent_us = WINDOW_NONE;
    probe->credit -= 1;
    probe->good = 0;
    probe->for_us = WINDOW_NONE;
    pace->budget.calls = fmax(1, fmin(pace->budget.calls, pace->window.counted.calls));
}

/* A day's refusal of the flight that began the block as a minute's tells more than it. */
static bool reschedules(const struct pace_block *block, const struct pace_refusal *refusal)
{
    return block->canary_us == refusal->sent_us || (refusal->is_day && !block->is_day);
}

bool pace_refused(struct pace *pace, struct pace_now now, const struct pace_refusal *refusal)
{
    advance(pace, now);
    pace->refusal_s += REFUSAL_WEIGHT * (in_s(refusal->latency_us) - pace->refusal_s);
    pace->accept_us = in_us(fmin(ACCEPT_MAX_S, fmax(ACCEPT_MIN_S, ACCEPT_TIMES * pace->refusal_s)));
    window_drop(&pace->window, refusal->sent_us);
    if (pace->probe.sent_us == refusal->sent_us && !refusal->is_day) {
        probe_refused(pace);
        return false;
    }
    if (pace->block.is_on) {
        if (reschedules(&pace->block, refusal)) {
            pace->block.refused += pace->block.canary_us == refusal->sent_us;
            pace->block.canary_us = WINDOW_NONE;
            canary_schedule(pace, now, refusal);
        }
        return false;
    }
    if (refusal->sent_us < pace->epoch_us || lesson_moves_budget(pace, now, refusal))
        return false; /* of the flight that met the last block, or it only moved the budget */
    begin_block(pace, now, refusal);
    return true;
}

void pace_restart(struct pace *pace, int64_t now_us)
{
    pace->epoch_us = now_us;
    pace->epoch_sent = 0;
    if (pace->mode == PACE_RATE)
        rate_set_cubic(&pace->rate, now_us, pace->rate.measured_per_s, 0);
}

void pace_unblock(struct pace *pace)
{
    pace->block.is_on = false;
    pace->hold_us = 0;
}

void pace_warm(struct pace *pace, const struct pace_warm *warm)
{
    pace->budget = warm->budget;
    pace->rate.confidence = warm->confidence;
    pace->reset.aligned = warm->aligned;
    if (warm->mode == PACE_WINDOW) {
        pace_enter(pace, PACE_WINDOW);
        pace_at_budget_rate(pace);
    } else if (warm->mode == PACE_RATE) { /* the burst that went through once may go again: the ramp, as far as that */
        pace->rate.measured_per_s = WARM_RATE * warm->rate_per_s;
        pace->warm_calls = fmax(1, WARM_BURST * warm->burst_calls);
    }
}
