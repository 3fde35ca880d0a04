/* See pacer.h. */
#include "core/pacer.h"

#include <stdlib.h>
#include <string.h>

enum { START_IN_FLIGHT = 48, LEAST_IN_FLIGHT = 2, LATENCIES = 256 };

struct pacer {
    struct pacer_limits limits;
    struct pace pace;
    struct breaker breaker;
    struct rng rng;
    double in_flight;                /* the learned limit of calls under way */
    int64_t latencies_us[LATENCIES]; /* of the last successes, a ring */
    size_t latency_count;
    enum pacer_wait last_wait;       /* what held the last refused ask back: "limited by" */
};

struct pacer *pacer_new(const struct pacer_limits *limits, uint64_t seed)
{
    struct pacer *pacer = xcalloc(1, sizeof *pacer);
    rng_seed(&pacer->rng, seed);
    pace_init(&pacer->pace, limits->time_scale);
    pacer->in_flight = START_IN_FLIGHT;
    pacer_set_limits(pacer, limits);
    return pacer;
}

void pacer_free(struct pacer *pacer)
{
    if (pacer == NULL)
        return;
    pace_clear(&pacer->pace);
    free(pacer);
}

void pacer_set_limits(struct pacer *pacer, const struct pacer_limits *limits)
{
    pacer->limits = *limits;
    pace_set_limits(&pacer->pace, limits->rpm, limits->tpm, limits->rpd);
}

int64_t pacer_in_flight_limit(const struct pacer *pacer, bool is_adaptive)
{
    return is_adaptive ? min_i64((int64_t)pacer->in_flight, pacer->limits.max_in_flight) : pacer->limits.max_in_flight;
}

static enum pacer_wait wait_of_limit(enum pace_limit limit)
{
    static const enum pacer_wait waits[] = {[PACE_FREE] = PACER_GO,        [PACE_RPM] = PACER_LIMIT_RPM,   [PACE_TPM] = PACER_LIMIT_TPM,
                                            [PACE_RPD] = PACER_LIMIT_RPD,  [PACE_RATE] = PACER_LIMIT_RATE, [PACE_BLOCKED] = PACER_BLOCKED,
                                            [PACE_QUOTA_DAY] = PACER_QUOTA_DAY};
    return waits[limit];
}

struct pacer_answer pacer_ask(struct pacer *pacer, struct pacer_now now, int64_t tokens, int64_t in_flight, bool is_adaptive, bool keeps_slot)
{
    struct pacer_answer answer = {.wait = PACER_GO};
    if (pacer->breaker.is_open) {
        answer = (struct pacer_answer){.wait = PACER_BREAKER, .wait_us = -1};
    } else if (!keeps_slot && in_flight >= pacer_in_flight_limit(pacer, is_adaptive)) {
        answer = (struct pacer_answer){.wait = PACER_IN_FLIGHT, .wait_us = -1};
    } else {
        answer.wait = wait_of_limit(pace_ask(&pacer->pace, now.mono_us, now.wall_ms, tokens, is_adaptive, &answer.wait_us));
    }
    if (answer.wait != PACER_GO)
        pacer->last_wait = answer.wait;
    return answer;
}

int64_t pacer_room(struct pacer *pacer, struct pacer_now now, int64_t tokens, int64_t in_flight, bool is_adaptive)
{
    int64_t slots = max_i64(pacer_in_flight_limit(pacer, is_adaptive) - in_flight, 0);
    return pacer->breaker.is_open ? 0 : min_i64(slots, pace_room(&pacer->pace, now.mono_us, now.wall_ms, tokens, is_adaptive));
}

int64_t pacer_ask_test(struct pacer *pacer, struct pacer_now now, int64_t tokens)
{
    int64_t wait_us;
    return pace_ask(&pacer->pace, now.mono_us, now.wall_ms, tokens, false, &wait_us) == PACE_FREE ? 0 : wait_us;
}

struct pacer_answer pacer_ask_limits(struct pacer *pacer, struct pacer_now now, int64_t tokens)
{
    struct pacer_answer answer;
    answer.wait = wait_of_limit(pace_ask_limits(&pacer->pace, now.mono_us, now.wall_ms, tokens, &answer.wait_us));
    if (answer.wait != PACER_GO)
        pacer->last_wait = answer.wait;
    return answer;
}

void pacer_sent(struct pacer *pacer, struct pacer_now now, int64_t tokens)
{
    pace_sent(&pacer->pace, now.mono_us, now.wall_ms, tokens);
}

void pacer_read_back(struct pacer *pacer, struct pacer_now now, const struct pace_send *sends, size_t count, int64_t day_calls)
{
    pace_read_back(&pacer->pace, now.mono_us, now.wall_ms, sends, count, day_calls);
}

void pacer_unsent(struct pacer *pacer, struct pacer_now then)
{
    pace_unsent(&pacer->pace, then.mono_us, then.wall_ms);
}

/* The endpoint answered: it is up. True when that ended an outage. */
static bool on_answer(struct pacer *pacer, struct pacer_now now, const struct pacer_outcome *outcome, struct pacer_change *change)
{
    enum breaker_sign sign = outcome->is_test ? BREAKER_TEST_WELL : outcome->class == OUTCOME_SUCCEEDED ? BREAKER_SUCCEEDED : BREAKER_ANSWERED;
    change->closed = breaker_success(&pacer->breaker, now.mono_us / 1000, outcome->sent_us / 1000, sign, &change->strikes_full);
    if (change->closed) /* ramp up after an outage */
        pacer->in_flight = pacer->in_flight / 2 < 4 ? 4 : pacer->in_flight / 2;
    return change->closed;
}

static void on_success(struct pacer *pacer, struct pacer_now now, const struct pacer_outcome *outcome, struct pacer_change *change)
{
    pace_accepted(&pacer->pace, now.mono_us, outcome->sent_us);
    if (outcome->class == OUTCOME_SUCCEEDED && outcome->is_first_attempt)
        breaker_first_attempt(&pacer->breaker, now.mono_us / 1000, false);
    if (on_answer(pacer, now, outcome, change) || outcome->is_test)
        return;
    pacer->latencies_us[pacer->latency_count++ % LATENCIES] = outcome->latency_us;
    if (outcome->was_full && pacer->in_flight < (double)pacer->limits.max_in_flight)
        pacer->in_flight += 1;
}

static void on_refusal(struct pacer *pacer, struct pacer_now now, const struct pacer_outcome *outcome, struct pacer_change *change)
{
    struct pace_refusal refusal = {.sent_us = outcome->sent_us,
                                   .retry_after_ms = outcome->retry_after_ms,
                                   .quota_value = outcome->quota_value,
                                   .is_day = outcome->class == OUTCOME_QUOTA_DAY,
                                   .is_tokens = outcome->quota_is_tokens,
                                   .is_spend = outcome->quota_is_spend};
    bool was_blocked = pacer->pace.needs_canary;
    pace_refused(&pacer->pace, now.mono_us, now.wall_ms, &refusal, &pacer->rng);
    change->blocked = !was_blocked;
    if (outcome->quota_is_spend && !was_blocked)
        pacer->in_flight = pacer->in_flight / 2 < LEAST_IN_FLIGHT ? LEAST_IN_FLIGHT : pacer->in_flight / 2;
}

static void on_failure(struct pacer *pacer, struct pacer_now now, const struct pacer_outcome *outcome, struct pacer_change *change)
{
    int64_t now_ms = now.mono_us / 1000;
    bool counts = outcome->class == OUTCOME_UNAVAILABLE || !outcome->failed_before;
    change->opened = breaker_failure(&pacer->breaker, now_ms, outcome->sent_us / 1000, outcome->local_port, counts, &pacer->rng);
    if (outcome->is_capacity && !change->opened && (double)outcome->in_flight < pacer->in_flight)
        pacer->in_flight = (double)max_i64(outcome->in_flight, LEAST_IN_FLIGHT);
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
        change->opened = breaker_test_failure(&pacer->breaker, now.mono_us / 1000, &pacer->rng);
        pace_canary_failed(&pacer->pace, outcome->sent_us);
    }
}

void pacer_outcome(struct pacer *pacer, struct pacer_now now, const struct pacer_outcome *outcome, struct pacer_change *ret_change)
{
    *ret_change = (struct pacer_change){0};
    if (outcome->tokens >= 0)
        pace_tokens_known(&pacer->pace, outcome->sent_us, outcome->tokens);
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
        pace_canary_failed(&pacer->pace, outcome->sent_us);
        on_failure(pacer, now, outcome, ret_change);
        return;
    case OUTCOME_SUCCEEDED:
    case OUTCOME_INVALID_ANSWER:
    case OUTCOME_UNFINISHED:
    case OUTCOME_AGENT_FULL:
        on_success(pacer, now, outcome, ret_change); /* the endpoint answered: it is well */
        return;
    case OUTCOME_REJECTED: /* answered, but no success: it ends no row of failures */
        pace_accepted(&pacer->pace, now.mono_us, outcome->sent_us);
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
    case OUTCOME_CLASS_COUNT:
    default:
        pace_canary_failed(&pacer->pace, outcome->sent_us);
        return;
    }
}

void pacer_confirmed_first(struct pacer *pacer, struct pacer_now now)
{
    breaker_first_attempt(&pacer->breaker, now.mono_us / 1000, true);
}

int64_t pacer_max_retries(const struct pacer *pacer, struct pacer_now now, int64_t max_retries)
{
    return breaker_max_retries(&pacer->breaker, now.mono_us / 1000, max_retries);
}

bool pacer_wants_probe(const struct pacer *pacer, struct pacer_now now, int64_t *ret_wait_us)
{
    *ret_wait_us = pacer->breaker.is_open ? max_i64(0, pacer->breaker.next_probe_ms * 1000 - now.mono_us) : -1;
    return breaker_wants_probe(&pacer->breaker, now.mono_us / 1000);
}

bool pacer_is_open(const struct pacer *pacer)
{
    return pacer->breaker.is_open;
}

void pacer_resume(struct pacer *pacer, struct pacer_now now)
{
    breaker_resume(&pacer->breaker, now.mono_us / 1000);
    pacer->pace.blocked_until_us = 0;
    pacer->pace.needs_canary = pacer->pace.has_canary = false;
    pacer->pace.quota_day_until_at_ms = 0;
    pacer->pace.quota_probe_ms = 0;
}

static int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t latency_quantile_us(const struct pacer *pacer, double share)
{
    int64_t sorted[LATENCIES];
    size_t count = pacer->latency_count < LATENCIES ? pacer->latency_count : LATENCIES;
    if (count == 0)
        return 0;
    memcpy(sorted, pacer->latencies_us, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_i64);
    size_t index = (size_t)(share * (double)count);
    return sorted[index < count ? index : count - 1];
}

int64_t pacer_probe_timeout_ms(const struct pacer *pacer)
{
    int64_t p99_us = latency_quantile_us(pacer, 0.99);
    return p99_us == 0 ? 30000 : clamp_i64(2 * p99_us / 1000, 5000, 30000);
}

void pacer_view(struct pacer *pacer, struct pacer_now now, struct pacer_view *ret_view)
{
    static const char *const limits[] = {[PACER_GO] = "concurrency",     [PACER_IN_FLIGHT] = "concurrency", [PACER_LIMIT_RPM] = "rpm",
                                         [PACER_LIMIT_TPM] = "tpm",      [PACER_LIMIT_RPD] = "rpd",         [PACER_LIMIT_RATE] = "rate",
                                         [PACER_BLOCKED] = "throttled",  [PACER_QUOTA_DAY] = "quota_day",   [PACER_BREAKER] = "outage"};
    const struct pace *pace = &pacer->pace;
    bool is_blocked = pace->blocked_until_us > now.mono_us || pace->needs_canary;
    int64_t probe_us;
    pacer_wants_probe(pacer, now, &probe_us);
    *ret_view = (struct pacer_view){
        .mode = pacer->breaker.is_open ? "open" : pace->quota_day_until_at_ms ? "quota_day" : is_blocked ? "blocked" : pace->rate > 0 ? "rate" : "unlimited",
        .rate_per_min = pace->rate > 0 ? pace->rate * 60 : (double)pace->rpm,
        .concurrency = pacer_in_flight_limit(pacer, true),
        .limited_by = pacer->breaker.is_open ? "outage" : pace->quota_day_until_at_ms ? "quota_day" : is_blocked ? "throttled" : limits[pacer->last_wait],
        .breaker = pacer->breaker.is_open ? "open" : "closed",
        .next_us = pacer->breaker.is_open ? probe_us : pace->blocked_until_us > now.mono_us ? pace->blocked_until_us - now.mono_us : -1,
        .quota_until_at_ms = pace->quota_day_until_at_ms,
        .latency_p50_us = latency_quantile_us(pacer, 0.5),
        .open_us = pacer->breaker.is_open ? now.mono_us - pacer->breaker.opened_ms * 1000 : 0,
        .probes_failed = pacer->breaker.is_open ? pacer->breaker.probes_failed : 0,
    };
    if (pace->rpm > 0 && ret_view->rate_per_min > (double)pace->rpm)
        ret_view->rate_per_min = (double)pace->rpm;
}
