/* See pacer.h. Here the parts are put together, and the two clocks brought to paced time. */
#include "core/pacer.h"

#include "base/clock.h"
#include "core/pacer_parts.h"

#include <stdlib.h>

#define HINT_MAX_MS 3600000           /* a delay that a refusal asks for is not believed beyond an hour; a day's quota has its own rule */
#define PROBE_TIMEOUT_MIN_MS 5000     /* clamp(2 p99, 5 s, 30 s), the design's section 5 */
#define PROBE_TIMEOUT_MAX_MS 30000
#define ENDED_LONG_MS 3000            /* an outage that was shorter did not drain the endpoint: no new ramp */

/* ---- a pacer ---- */

/* Nothing is learned yet. */
static void begin_learning(struct pacer *pacer, uint64_t seed)
{
    pace_clear(&pacer->pace);
    pace_init(&pacer->pace, seed);
    inflight_init(&pacer->inflight, pacer->limits.max_in_flight);
    pacer_events_told(pacer);
}

struct pacer *pacer_new(const struct pacer_limits *limits, uint64_t seed)
{
    struct pacer *pacer = xcalloc(1, sizeof *pacer);
    rng_seed(&pacer->rng, seed);
    allowance_init(&pacer->allowance, limits->time_scale);
    pacer->limits = *limits;
    begin_learning(pacer, seed);
    pacer_set_limits(pacer, limits);
    return pacer;
}

void pacer_free(struct pacer *pacer)
{
    if (pacer == NULL)
        return;
    allowance_clear(&pacer->allowance);
    pace_clear(&pacer->pace);
    free(pacer);
}

void pacer_set_limits(struct pacer *pacer, const struct pacer_limits *limits)
{
    bool is_other_clock = limits->time_scale != pacer->limits.time_scale; /* a rehearsal begins or ends: what was learned was learned on it */
    pacer->limits = *limits;
    pacer->allowance.time_scale = limits->time_scale;
    if (is_other_clock)
        begin_learning(pacer, rng_next(&pacer->rng));
    allowance_set(&pacer->allowance, limits->rpm, limits->tpm, limits->rpd);
    inflight_set_most(&pacer->inflight, limits->max_in_flight);
}

int64_t pacer_in_flight_limit(const struct pacer *pacer, bool is_adaptive)
{
    int64_t most = pacer->limits.max_in_flight;
    return is_adaptive ? min_i64(inflight_limit(&pacer->inflight), most) : most;
}

/* ---- may a call start? ---- */

static struct pacer_answer hold(struct pacer *pacer, enum pacer_wait wait, int64_t wait_us)
{
    if (wait != PACER_GO)
        pacer->last_wait = wait;
    return (struct pacer_answer){.wait = wait, .wait_us = wait_us};
}

struct pacer_answer pacer_ask_limits(struct pacer *pacer, struct pacer_now now, int64_t tokens)
{
    static const enum pacer_wait waits[] = {
        [ALLOWANCE_FREE] = PACER_GO, [ALLOWANCE_RPM] = PACER_LIMIT_RPM, [ALLOWANCE_TPM] = PACER_LIMIT_TPM, [ALLOWANCE_RPD] = PACER_LIMIT_RPD};
    int64_t wait_us;
    enum allowance_limit limit = allowance_ask(&pacer->allowance, now.mono_us, now.wall_ms, tokens, &wait_us);
    pacer->asked_tokens = tokens;
    return hold(pacer, waits[limit], wait_us);
}

/* By the pace, and by the configured limits. */
static struct pacer_answer ask_pace(struct pacer *pacer, struct pacer_now now, int64_t tokens, bool with_learned)
{
    static const enum pacer_wait waits[] = {[PACE_FREE] = PACER_GO,
                                            [PACE_BLOCKED] = PACER_BLOCKED,
                                            [PACE_QUOTA_DAY] = PACER_QUOTA_DAY,
                                            [PACE_FULL] = PACER_LIMIT_WINDOW,
                                            [PACE_PACED] = PACER_LIMIT_RATE};
    int64_t wait_us;
    enum pace_gate gate = pace_ask(&pacer->pace, pace_now(pacer, now), tokens, with_learned, &wait_us);
    struct pacer_answer limits = pacer_ask_limits(pacer, now, tokens);
    bool is_later = limits.wait != PACER_GO && gate == PACE_PACED && limits.wait_us > real_us(pacer, wait_us);
    return gate == PACE_FREE || is_later ? limits : hold(pacer, waits[gate], real_us(pacer, wait_us));
}

struct pacer_answer pacer_ask(struct pacer *pacer, struct pacer_now now, int64_t tokens, int64_t in_flight, bool is_adaptive, bool keeps_slot)
{
    bool is_canary = pacer->pace.block.is_on; /* it goes however many are under way, as far as the configuration lets it */
    pacer->asked_in_flight = in_flight;
    if (pacer->breaker.is_open)
        return hold(pacer, PACER_BREAKER, -1);
    if (!keeps_slot && in_flight >= pacer_in_flight_limit(pacer, is_adaptive && !is_canary))
        return hold(pacer, PACER_IN_FLIGHT, -1);
    return ask_pace(pacer, now, tokens, is_adaptive);
}

int64_t pacer_room(struct pacer *pacer, struct pacer_now now, int64_t tokens, int64_t in_flight, bool is_adaptive)
{
    int64_t wait_us, slots = max_i64(pacer_in_flight_limit(pacer, is_adaptive) - in_flight, 0);
    if (pacer->breaker.is_open || allowance_ask(&pacer->allowance, now.mono_us, now.wall_ms, tokens, &wait_us) != ALLOWANCE_FREE)
        return 0;
    int64_t room = min_i64(allowance_room(&pacer->allowance, now.mono_us, now.wall_ms, tokens), pace_room(&pacer->pace, pace_now(pacer, now), tokens, is_adaptive));
    return min_i64(slots, room);
}

int64_t pacer_ask_test(struct pacer *pacer, struct pacer_now now, int64_t tokens)
{
    struct pacer_answer answer = ask_pace(pacer, now, tokens, false);
    return answer.wait == PACER_GO ? 0 : answer.wait_us;
}

int64_t pacer_ask_hedge(const struct pacer *pacer, struct pacer_now now, const struct hedge_tail *tail)
{
    bool is_no_time = pacer->breaker.is_open || pacer->pace.block.is_on || pacer->pace.was_scarce;
    return is_no_time ? -1 : hedge_wait_us(&pacer->latency, now.mono_us, tail);
}

/* ---- what was sent ---- */

void pacer_sent(struct pacer *pacer, struct pacer_now now, int64_t tokens)
{
    struct pace_now paced = pace_now(pacer, now);
    bool is_probe = pacer->breaker.is_open;
    allowance_sent(&pacer->allowance, now.mono_us, now.wall_ms, tokens);
    if (!is_probe && !pacer->pace.block.is_on)
        inflight_sent(&pacer->inflight, paced.us, pacer->asked_in_flight + 1, pacer->pace.mode == PACE_STARTUP);
    pace_sent(&pacer->pace, paced, tokens, is_probe);
}

void pacer_unsent(struct pacer *pacer, struct pacer_now then)
{
    allowance_unsent(&pacer->allowance, then.mono_us, then.wall_ms);
    pace_unsent(&pacer->pace, paced_us(pacer, then.mono_us));
}

static int by_time(const void *a, const void *b)
{
    const struct sendlog_entry *x = a, *y = b;
    return (x->at_us > y->at_us) - (x->at_us < y->at_us);
}

/* What a send of unknown size counts as: the largest that is known; the whole quota when none is. */
static int64_t unknown_tokens(const struct pacer *pacer, const struct former_send *sends, size_t count)
{
    int64_t largest = -1;
    for (size_t i = 0; i < count; i++)
        largest = max_i64(largest, sends[i].tokens);
    return largest >= 0 ? largest : pacer->limits.tpm;
}

void pacer_read_back(struct pacer *pacer, struct pacer_now now, const struct former_send *sends, size_t count, int64_t day_calls)
{
    struct sendlog_entry *entries = xcalloc(count, sizeof *entries);
    int64_t unknown = unknown_tokens(pacer, sends, count);
    for (size_t i = 0; i < count; i++) /* the wall clock may have gone back since: then as if sent now */
        entries[i] = (struct sendlog_entry){.at_us = now.mono_us - max_i64(now.wall_ms - sends[i].at_ms, 0) * 1000,
                                            .tokens = sends[i].tokens < 0 ? unknown : sends[i].tokens,
                                            .counts = !sends[i].is_refused};
    qsort(entries, count, sizeof *entries, by_time);
    allowance_read_back(&pacer->allowance, now.mono_us, now.wall_ms, entries, count, day_calls);
    for (size_t i = 0; i < count; i++)
        window_sent(&pacer->pace.window, paced_us(pacer, entries[i].at_us), entries[i].tokens, entries[i].counts);
    window_expire(&pacer->pace.window, paced_us(pacer, now.mono_us));
    free(entries);
}

/* ---- what came back ---- */

static void cut(struct pacer *pacer, double before)
{
    pacer_add_event(pacer, PACER_CONCURRENCY_CUT, before, pacer->inflight.limit);
}

/* The endpoint answered: it is up. True when that ended an outage. */
static bool on_answer(struct pacer *pacer, struct pacer_now now, const struct pacer_outcome *outcome, struct pacer_change *change)
{
    enum breaker_sign sign = outcome->is_test ? BREAKER_TEST_WELL : outcome->class == OUTCOME_SUCCEEDED ? BREAKER_SUCCEEDED : BREAKER_ANSWERED;
    int64_t now_ms = paced_ms(pacer, now.mono_us), out_ms = now_ms - pacer->breaker.opened_ms;
    change->closed = breaker_success(&pacer->breaker, now_ms, paced_ms(pacer, outcome->sent_us), sign, &change->strikes_full);
    if (!change->closed)
        return false;
    if (out_ms > ENDED_LONG_MS)
        inflight_recover(&pacer->inflight, paced_us(pacer, now.mono_us));
    pace_restart(&pacer->pace, paced_us(pacer, now.mono_us));
    return true;
}

static void on_success(struct pacer *pacer, struct pacer_now now, const struct pacer_outcome *outcome, struct pacer_change *change)
{
    double limit = pacer->inflight.limit;
    pace_answered(&pacer->pace, pace_now(pacer, now), paced_us(pacer, outcome->sent_us));
    if (outcome->class == OUTCOME_SUCCEEDED && outcome->is_first_attempt)
        breaker_first_attempt(&pacer->breaker, paced_ms(pacer, now.mono_us), false);
    if (on_answer(pacer, now, outcome, change) || outcome->is_test)
        return;
    latency_add(&pacer->latency, outcome->latency_us);
    pace_answers_take(&pacer->pace, paced_us(pacer, pacer->latency.p50_us));
    if (inflight_answered(&pacer->inflight, paced_us(pacer, now.mono_us), paced_us(pacer, outcome->sent_us), outcome->latency_us, outcome->was_full))
        cut(pacer, limit);
}

static void on_refusal(struct pacer *pacer, struct pacer_now now, const struct pacer_outcome *outcome, struct pacer_change *change)
{
    bool is_day = outcome->class == OUTCOME_QUOTA_DAY;
    int64_t reset_at_ms = clock_next_pacific_midnight_ms(now.wall_ms);
    struct pace_refusal refusal = {.sent_us = paced_us(pacer, outcome->sent_us),
                                   .latency_us = paced_us(pacer, outcome->latency_us),
                                   .retry_after_us = outcome->retry_after_ms < 0 ? -1 : paced_us(pacer, 1000 * min_i64(outcome->retry_after_ms, HINT_MAX_MS)),
                                   .printed = (double)max_i64(outcome->quota_value, 0),
                                   .of_tokens = outcome->quota_is_tokens,
                                   .of_requests = outcome->quota_is_requests,
                                   .is_day = is_day,
                                   .is_spend = outcome->quota_is_spend,
                                   .day_reset_us = paced_us(pacer, 1000 * (reset_at_ms - now.wall_ms)),
                                   .is_day_over = now.wall_ms >= pacer->day_until_at_ms};
    pacer->day_until_at_ms = is_day ? reset_at_ms : 0;
    change->blocked = pace_refused(&pacer->pace, pace_now(pacer, now), &refusal);
    if (outcome->quota_is_spend && change->blocked) {
        double limit = pacer->inflight.limit;
        inflight_halve(&pacer->inflight, paced_us(pacer, now.mono_us));
        cut(pacer, limit);
    }
}

static void told_nothing(struct pacer *pacer, struct pacer_now now, const struct pacer_outcome *outcome)
{
    pace_told_nothing(&pacer->pace, pace_now(pacer, now), paced_us(pacer, outcome->sent_us));
}

static void on_failure(struct pacer *pacer, struct pacer_now now, const struct pacer_outcome *outcome, struct pacer_change *change)
{
    double limit = pacer->inflight.limit;
    bool counts = outcome->class == OUTCOME_UNAVAILABLE || !outcome->failed_before;
    change->opened =
        breaker_failure(&pacer->breaker, paced_ms(pacer, now.mono_us), paced_ms(pacer, outcome->sent_us), outcome->local_port, counts, &pacer->rng);
    if (outcome->is_capacity && !pacer->breaker.is_open &&
        inflight_overloaded(&pacer->inflight, paced_us(pacer, now.mono_us), paced_us(pacer, outcome->sent_us), outcome->in_flight))
        cut(pacer, limit);
}

/* A probe tells whether the endpoint is well: an answer does, and so does a refusal, which blocks besides. */
static void on_test(struct pacer *pacer, struct pacer_now now, const struct pacer_outcome *outcome, struct pacer_change *change)
{
    if (outcome->class == OUTCOME_THROTTLED || outcome->class == OUTCOME_QUOTA_DAY) {
        on_answer(pacer, now, outcome, change);
        on_refusal(pacer, now, outcome, change);
    } else if (outcome_is_answer(outcome->class) || outcome->class == OUTCOME_REJECTED) {
        on_success(pacer, now, outcome, change);
    } else {
        change->opened = breaker_test_failure(&pacer->breaker, paced_ms(pacer, now.mono_us), &pacer->rng);
        told_nothing(pacer, now, outcome);
    }
}

static void tokens_known(struct pacer *pacer, const struct pacer_outcome *outcome)
{
    allowance_tokens_known(&pacer->allowance, outcome->sent_us, outcome->tokens);
    pace_tokens_known(&pacer->pace, paced_us(pacer, outcome->sent_us), outcome->tokens);
}

void pacer_outcome(struct pacer *pacer, struct pacer_now now, const struct pacer_outcome *outcome, struct pacer_change *ret_change)
{
    *ret_change = (struct pacer_change){0};
    if (outcome->tokens >= 0)
        tokens_known(pacer, outcome);
    if (outcome->is_test || outcome->is_probe) {
        on_test(pacer, now, outcome, ret_change);
        return;
    }
    switch (outcome->class) {
    case OUTCOME_THROTTLED:
    case OUTCOME_QUOTA_DAY:
        on_refusal(pacer, now, outcome, ret_change);
        return;
    case OUTCOME_TRANSIENT:
    case OUTCOME_UNAVAILABLE:
        told_nothing(pacer, now, outcome);
        on_failure(pacer, now, outcome, ret_change);
        return;
    case OUTCOME_SUCCEEDED:
    case OUTCOME_INVALID_ANSWER:
    case OUTCOME_UNFINISHED:
    case OUTCOME_AGENT_FULL:
        on_success(pacer, now, outcome, ret_change); /* the endpoint answered: it is well */
        return;
    case OUTCOME_REJECTED: /* answered, but no success: it ends no row of failures */
        pace_answered(&pacer->pace, pace_now(pacer, now), paced_us(pacer, outcome->sent_us));
        return;
    case OUTCOME_CREDENTIALS:
    case OUTCOME_BILLING:
    case OUTCOME_CONFIG:
    case OUTCOME_LOST:
    case OUTCOME_EXPIRED:
    case OUTCOME_NO_CANDIDATE:
    case OUTCOME_NO_CAPACITY:
    case OUTCOME_TEMPLATE:
    case OUTCOME_RELEASED:
    case OUTCOME_DROPPED:
    case OUTCOME_CORRUPT:
    case OUTCOME_POISON:
    case OUTCOME_WORKER:
    case OUTCOME_PERSON:
    case OUTCOME_CLASS_COUNT:
    default:
        told_nothing(pacer, now, outcome);
        return;
    }
}

void pacer_confirmed_first(struct pacer *pacer, struct pacer_now now)
{
    breaker_first_attempt(&pacer->breaker, paced_ms(pacer, now.mono_us), true);
}

int64_t pacer_max_retries(const struct pacer *pacer, struct pacer_now now, int64_t max_retries)
{
    return breaker_max_retries(&pacer->breaker, paced_ms(pacer, now.mono_us), max_retries);
}

bool pacer_wants_probe(const struct pacer *pacer, struct pacer_now now, int64_t *ret_wait_us)
{
    *ret_wait_us = pacer->breaker.is_open ? real_us(pacer, max_i64(0, pacer->breaker.next_probe_ms * 1000 - paced_us(pacer, now.mono_us))) : -1;
    return breaker_wants_probe(&pacer->breaker, paced_ms(pacer, now.mono_us));
}

bool pacer_is_open(const struct pacer *pacer)
{
    return pacer->breaker.is_open;
}

void pacer_resume(struct pacer *pacer, struct pacer_now now)
{
    breaker_resume(&pacer->breaker, paced_ms(pacer, now.mono_us));
    pace_unblock(&pacer->pace);
    pacer->day_until_at_ms = 0;
}

int64_t pacer_probe_timeout_ms(const struct pacer *pacer)
{
    int64_t p99_us = pacer->latency.p99_us;
    return p99_us == 0 ? PROBE_TIMEOUT_MAX_MS : clamp_i64(2 * p99_us / 1000, PROBE_TIMEOUT_MIN_MS, PROBE_TIMEOUT_MAX_MS);
}
