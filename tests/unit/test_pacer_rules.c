/* Rules of the pacer's parts that cost so little or bind so rarely that no simulated endpoint would miss them; each has its moment here, and its test fails without it. */
#include "core/pacer.h"

#include "base/clock.h"
#include "core/inflight.h"
#include "core/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define S INT64_C(1000000)
#define NOON_MS INT64_C(1795448640000) /* of a day in November, Pacific time */

static struct pacer_now at(int64_t us)
{
    return (struct pacer_now){.mono_us = us, .wall_ms = NOON_MS + us / 1000};
}

static struct pacer *new_pacer(int64_t most)
{
    const struct pacer_limits limits = {.max_in_flight = most, .time_scale = 1};
    return pacer_new(&limits, 7);
}

static struct pacer_outcome outcome_of(enum outcome_class class, int64_t sent_us)
{
    return (struct pacer_outcome){.class = class, .sent_us = sent_us, .latency_us = S / 10, .is_first_attempt = true, .retry_after_ms = -1, .quota_value = -1, .tokens = -1};
}

static struct pacer_change tell(struct pacer *pacer, int64_t now_us, struct pacer_outcome outcome)
{
    struct pacer_change change;
    pacer_outcome(pacer, at(now_us), &outcome, &change);
    return change;
}

static struct pacer_change end(struct pacer *pacer, int64_t now_us, enum outcome_class class, int64_t sent_us)
{
    return tell(pacer, now_us, outcome_of(class, sent_us));
}

static struct pacer_answer ask(struct pacer *pacer, int64_t now_us)
{
    return pacer_ask(pacer, at(now_us), 10, 0, true, false);
}

/* An endpoint that takes so many calls in a minute that begins with a call, and answers at once. */
struct quota {
    int limit, used;
    int64_t ends_us;
};

static void drive(struct pacer *pacer, struct quota *quota, int64_t *now_us, int64_t until_us)
{
    while (*now_us < until_us) {
        struct pacer_answer answer = ask(pacer, *now_us);
        if (answer.wait != PACER_GO) {
            *now_us += max_i64(answer.wait_us, 1);
            continue;
        }
        if (*now_us >= quota->ends_us) {
            quota->ends_us = *now_us + 60 * S;
            quota->used = 0;
        }
        pacer_sent(pacer, at(*now_us), 10);
        *now_us += 1000;
        end(pacer, *now_us, ++quota->used <= quota->limit ? OUTCOME_SUCCEEDED : OUTCOME_THROTTLED, *now_us - 1000);
    }
}

/* ---- blocks ---- */

static void test_a_late_refusal_of_an_old_flight_begins_no_block(void **state)
{
    (void)state;
    struct pacer *pacer = new_pacer(64);
    for (int64_t i = 0; i < 10; i++)
        pacer_sent(pacer, at(S + i * 1000), 10);
    assert_true(end(pacer, S + 100000, OUTCOME_THROTTLED, S + 8000).blocked);
    int64_t now_us = S + 100000 + ask(pacer, S + 100000).wait_us;
    pacer_sent(pacer, at(now_us), 10);
    end(pacer, now_us + 1000, OUTCOME_SUCCEEDED, now_us); /* the canary */
    assert_int_equal(ask(pacer, now_us + 3 * S).wait, PACER_GO);
    assert_false(end(pacer, now_us + 3 * S, OUTCOME_THROTTLED, S + 9000).blocked);
    assert_int_equal(ask(pacer, now_us + 3 * S).wait, PACER_GO);
    pacer_free(pacer);
}

static void test_a_days_refusal_tells_more_than_a_minutes(void **state)
{
    (void)state;
    struct pacer *pacer = new_pacer(64);
    pacer_sent(pacer, at(S), 10);
    pacer_sent(pacer, at(S + 1), 10);
    end(pacer, 2 * S, OUTCOME_THROTTLED, S);
    assert_int_equal(ask(pacer, 2 * S).wait, PACER_BLOCKED);
    end(pacer, 2 * S, OUTCOME_QUOTA_DAY, S + 1); /* of the same flight */
    assert_int_equal(ask(pacer, 2 * S).wait, PACER_QUOTA_DAY);
    assert_int_equal(ask(pacer, 2 * S).wait_us, 60 * S);
    pacer_free(pacer);
}

static void test_a_days_block_is_tried_when_the_day_ends_and_anew_from_then(void **state)
{
    (void)state;
    struct pacer *pacer = new_pacer(64);
    int64_t midnight_us = (clock_next_pacific_midnight_ms(NOON_MS) - NOON_MS) * 1000, now_us = midnight_us - 100 * S;
    static const int64_t waits_s[] = {60, 40, 60, 120}; /* the second would be 120 */
    for (size_t i = 0; i < ARRAY_COUNT(waits_s); i++) {
        pacer_sent(pacer, at(now_us), 10);
        end(pacer, now_us, OUTCOME_QUOTA_DAY, now_us);
        assert_int_equal(ask(pacer, now_us).wait_us, waits_s[i] * S);
        now_us += waits_s[i] * S;
    }
    pacer_free(pacer);
}

static void test_a_spend_limit_waits_longer_and_halves_what_is_under_way(void **state)
{
    (void)state;
    struct pacer *pacer = new_pacer(64);
    int64_t now_us = S, limit = pacer_in_flight_limit(pacer, true);
    for (int64_t wait_s = 15; wait_s <= 120; wait_s *= 2) {
        struct pacer_outcome refused = outcome_of(OUTCOME_THROTTLED, now_us);
        refused.quota_is_spend = true;
        pacer_sent(pacer, at(now_us), 10);
        tell(pacer, now_us, refused);
        assert_in_range(ask(pacer, now_us).wait_us, wait_s * S, wait_s * S + 20 * S);
        now_us += ask(pacer, now_us).wait_us;
    }
    assert_int_equal(pacer_in_flight_limit(pacer, true), limit / 2); /* once: it is one block */
    pacer_free(pacer);
}

static void test_a_days_end_teaches_nothing_of_the_minute(void **state)
{
    (void)state;
    struct pacer *pacer = new_pacer(64);
    struct pacer_view before, after;
    int64_t now_us = 5 * S;
    drive(pacer, &(struct quota){.limit = 100}, &now_us, 600 * S);
    pacer_view(pacer, at(now_us), &before);
    now_us += 30 * S;
    pacer_sent(pacer, at(now_us), 10);
    end(pacer, now_us, OUTCOME_QUOTA_DAY, now_us);
    now_us += 60 * S;
    pacer_sent(pacer, at(now_us), 10);
    end(pacer, now_us, OUTCOME_SUCCEEDED, now_us);
    pacer_view(pacer, at(now_us + 1), &after);
    assert_string_equal(after.mode, "window");
    assert_true(after.window_calls == before.window_calls);
    pacer_free(pacer);
}

static void test_an_operator_ends_a_block(void **state)
{
    (void)state;
    struct pacer *pacer = new_pacer(64);
    pacer_sent(pacer, at(S), 10);
    end(pacer, S, OUTCOME_QUOTA_DAY, S);
    assert_int_equal(ask(pacer, 2 * S).wait, PACER_QUOTA_DAY);
    pacer_resume(pacer, at(2 * S));
    assert_int_equal(ask(pacer, 2 * S).wait, PACER_GO);
    pacer_free(pacer);
}

/* However many are under way by what was learned, but not beyond what is configured. */
static void test_a_canary_needs_no_free_place(void **state)
{
    (void)state;
    struct pacer *pacer = new_pacer(64);
    pacer_sent(pacer, at(S), 10);
    end(pacer, S, OUTCOME_THROTTLED, S);
    assert_int_equal(pacer_ask(pacer, at(3 * S), 10, 50, true, false).wait, PACER_GO);
    assert_int_equal(pacer_ask(pacer, at(3 * S), 10, 64, true, false).wait, PACER_IN_FLIGHT);
    pacer_free(pacer);
}

/* ---- breaker ---- */

static void open_by_count(struct breaker *breaker, int64_t now_ms, struct rng *rng)
{
    for (int i = 0; i < BREAKER_FAILURES; i++)
        breaker_failure(breaker, now_ms, now_ms - 100, 0, true, rng);
    assert_true(breaker->is_open);
}

static void test_who_pauses_the_run(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    struct rng rng;
    bool strikes;
    rng_seed(&rng, 1);
    for (int64_t i = 1; i <= 3; i++) {
        open_by_count(&breaker, i * 10000, &rng);
        breaker_success(&breaker, i * 10000 + 2000, i * 10000 + 1900, BREAKER_TEST_WELL, &strikes);
        assert_int_equal(strikes, i == 3);
        breaker_test_failure(&breaker, i * 10000 + 3000, &rng); /* an opening by a test request is neither a strike nor the end of them */
        breaker_success(&breaker, i * 10000 + 5000, i * 10000 + 4900, BREAKER_TEST_WELL, &strikes);
    }
    breaker_resume(&breaker, 50000); /* an operator's: the strikes are forgotten */
    open_by_count(&breaker, 60000, &rng);
    breaker_success(&breaker, 62000, 61900, BREAKER_TEST_WELL, &strikes);
    assert_false(strikes);
}

static void test_an_outage_of_half_an_hour_is_probed_once_a_minute(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    struct rng rng;
    rng_seed(&rng, 1);
    open_by_count(&breaker, 1000, &rng);
    for (int i = 0; i < 9; i++)
        breaker_test_failure(&breaker, 1799000, &rng);
    assert_in_range(breaker.next_probe_ms - 1799000, 13500, 16500);
    int64_t first_ms = 0, differing = 0;
    for (int i = 0; i < 9; i++) {
        breaker_test_failure(&breaker, 1801000, &rng);
        assert_in_range(breaker.next_probe_ms - 1801000, 54000, 66000);
        differing += breaker.next_probe_ms != first_ms;
        first_ms = breaker.next_probe_ms;
    }
    assert_true(differing > 5); /* with jitter, or the probes of many daemons come together */
}

static void test_a_short_outage_leaves_the_concurrency(void **state)
{
    (void)state;
    for (int is_long = 0; is_long < 2; is_long++) {
        struct pacer *pacer = new_pacer(64);
        int64_t limit = pacer_in_flight_limit(pacer, true), back_us = S + (is_long ? 4 * S : 2 * S);
        for (int64_t i = 0; i < BREAKER_FAILURES; i++)
            pacer_sent(pacer, at(S + i), 10);
        for (int64_t i = 0; i < BREAKER_FAILURES; i++)
            end(pacer, S + 1000, OUTCOME_TRANSIENT, S + i);
        assert_true(pacer_is_open(pacer));
        struct pacer_outcome probe = outcome_of(OUTCOME_SUCCEEDED, back_us - 1000);
        probe.is_test = true;
        assert_true(tell(pacer, back_us, probe).closed);
        assert_int_equal(pacer_in_flight_limit(pacer, true), is_long ? limit / 2 : limit);
        pacer_free(pacer);
    }
}

/* Poisoned input is no outage: what failed before does not count; an endpoint that says it is down does. */
static void test_what_failed_before_opens_nothing(void **state)
{
    (void)state;
    static const enum outcome_class classes[] = {OUTCOME_TRANSIENT, OUTCOME_UNAVAILABLE};
    for (size_t i = 0; i < ARRAY_COUNT(classes); i++) {
        struct pacer *pacer = new_pacer(64);
        for (int64_t n = 0; n < BREAKER_FAILURES; n++) {
            struct pacer_outcome failed = outcome_of(classes[i], S + n);
            failed.failed_before = true;
            pacer_sent(pacer, at(S + n), 10);
            tell(pacer, 2 * S, failed);
        }
        assert_int_equal(pacer_is_open(pacer), classes[i] == OUTCOME_UNAVAILABLE);
        pacer_free(pacer);
    }
}

static void test_a_probe_is_given_up_after_what_calls_take(void **state)
{
    (void)state;
    static const struct {
        int64_t latency_us, timeout_ms;
    } rows[] = {{S / 10, 5000}, {5 * S, 10000}, {40 * S, 30000}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct pacer *pacer = new_pacer(64);
        assert_int_equal(pacer_probe_timeout_ms(pacer), 30000); /* nothing is known */
        struct pacer_outcome well = outcome_of(OUTCOME_SUCCEEDED, S);
        well.latency_us = rows[i].latency_us;
        pacer_sent(pacer, at(S), 10);
        tell(pacer, S + rows[i].latency_us, well);
        assert_int_equal(pacer_probe_timeout_ms(pacer), rows[i].timeout_ms);
        pacer_free(pacer);
    }
}

/* ---- how many at once ---- */

static void test_concurrency_follows_use_and_configuration(void **state)
{
    (void)state;
    static struct inflight f;
    inflight_init(&f, 256);
    for (int64_t i = 0; i < 100; i++)
        inflight_answered(&f, S, S, S, true); /* slow start */
    assert_int_equal(inflight_limit(&f), 148);
    inflight_sent(&f, S, 60, false);
    inflight_sent(&f, 62 * S, 60, false); /* a minute in which 60 at most were under way */
    assert_in_range(inflight_limit(&f), 80, 84);
    inflight_sent(&f, 130 * S, 3, false);
    inflight_sent(&f, 200 * S, 3, false);
    assert_int_equal(inflight_limit(&f), 48); /* never below where it begins */
    inflight_set_most(&f, 10);
    assert_int_equal(inflight_limit(&f), 10);
    inflight_warm(&f, 500, S);
    assert_int_equal(inflight_limit(&f), 10);
    inflight_set_most(&f, 1);
    inflight_halve(&f, S);
    assert_int_equal(inflight_limit(&f), 1);
}

static void test_an_outage_forgets_a_ceiling(void **state)
{
    (void)state;
    static struct inflight f;
    inflight_init(&f, 256);
    assert_true(inflight_overloaded(&f, S, S / 2, 20));
    assert_int_equal(inflight_limit(&f), 20);
    for (int64_t i = 0; i < 100; i++)
        inflight_answered(&f, 2 * S, 3 * S / 2, S, true);
    assert_int_equal(inflight_limit(&f), 20); /* no slow start beyond it, nor below */
    inflight_recover(&f, 10 * S);
    assert_int_equal(inflight_limit(&f), 10);
    for (int64_t i = 0; i < 100; i++)
        inflight_answered(&f, 12 * S, 11 * S, S, true);
    assert_true(inflight_limit(&f) > 100);
}

/* ---- hedging ---- */

/* Nobody is asked twice while the endpoint blocks or is ill, nor where a block lasted more than two minutes: calls are dear there. */
static void test_dear_calls_are_not_asked_twice(void **state)
{
    (void)state;
    for (int64_t block_s = 100; block_s <= 200; block_s += 100) {
        struct pacer *pacer = new_pacer(64);
        const struct hedge_tail tail = {.oldest_sent_us = S, .assignments = 100};
        for (int64_t i = 0; i < 20; i++) {
            pacer_sent(pacer, at(S + i), 10);
            end(pacer, 2 * S, OUTCOME_SUCCEEDED, S + i);
        }
        assert_int_equal(pacer_ask_hedge(pacer, at(9 * S), &tail), 0);
        struct pacer_outcome refused = outcome_of(OUTCOME_THROTTLED, 9 * S);
        refused.retry_after_ms = block_s * 1000;
        pacer_sent(pacer, at(9 * S), 10);
        tell(pacer, 9 * S, refused);
        assert_int_equal(pacer_ask_hedge(pacer, at(9 * S), &tail), -1);
        int64_t now_us = (10 + block_s) * S;
        pacer_sent(pacer, at(now_us), 10);
        end(pacer, now_us + 1000, OUTCOME_SUCCEEDED, now_us);
        assert_int_equal(pacer_ask_hedge(pacer, at(now_us + 1000), &tail), block_s == 100 ? 0 : -1);
        pacer_free(pacer);
    }
}

/* ---- what it tells, and what it keeps ---- */

static void test_what_is_learned_on_one_clock_is_forgotten_on_another(void **state)
{
    (void)state;
    struct pacer *pacer = new_pacer(64);
    struct pacer_limits limits = {.max_in_flight = 64, .time_scale = 1};
    struct pacer_view view;
    int64_t now_us = 5 * S;
    drive(pacer, &(struct quota){.limit = 100}, &now_us, 600 * S);
    pacer_set_limits(pacer, &limits);
    pacer_view(pacer, at(now_us), &view);
    assert_string_equal(view.mode, "window");
    limits.time_scale = 0.1;
    pacer_set_limits(pacer, &limits);
    pacer_view(pacer, at(now_us), &view);
    assert_string_equal(view.mode, "startup");
    pacer_free(pacer);
}

/* One event of each kind, when its mind changes and not before: the quota is found, and is halved. */
static void test_each_change_of_mind_has_its_event(void **state)
{
    (void)state;
    struct pacer *pacer = new_pacer(64);
    int seen[PACER_CONCURRENCY_CUT + 1] = {0};
    int64_t now_us = 5 * S;
    double told_calls = 0;
    struct quota quota = {.limit = 100};
    for (; quota.limit >= 50; quota.limit /= 2)
        for (int64_t until_us = now_us + 600 * S; now_us < until_us;) {
            struct pacer_event event;
            drive(pacer, &quota, &now_us, now_us + S / 10);
            while (pacer_next_event(pacer, &event)) {
                seen[event.kind]++;
                assert_true(event.kind != PACER_WINDOW_MOVED || event.after != told_calls);
                if (event.kind == PACER_WINDOW_MOVED || event.kind == PACER_MODE_ENTERED)
                    told_calls = event.after;
            }
        }
    assert_true(seen[PACER_MODE_ENTERED] >= 2 && seen[PACER_BLOCK_BEGAN] >= 1 && seen[PACER_BLOCK_BEGAN] == seen[PACER_BLOCK_ENDED] && seen[PACER_WINDOW_MOVED] >= 1);
    assert_true(told_calls >= 47 && told_calls <= 53);
    assert_int_equal(seen[PACER_CONCURRENCY_CUT], 0);
    struct pacer_outcome overloaded = outcome_of(OUTCOME_UNAVAILABLE, now_us);
    struct pacer_event event;
    overloaded.is_capacity = true;
    overloaded.in_flight = 20;
    pacer_sent(pacer, at(now_us), 10);
    tell(pacer, now_us, overloaded);
    assert_true(pacer_next_event(pacer, &event));
    assert_true(event.kind == PACER_CONCURRENCY_CUT && event.after == 20 && event.before > 20);
    pacer_free(pacer);
}

/* A budget that was seen once is kept as one; a ramp is nothing to keep. */
static void test_what_is_kept_of_each_mode(void **state)
{
    (void)state;
    struct pacer *pacer = new_pacer(64);
    struct pacer_learned learned;
    struct pacer_view view;
    pacer_learned(pacer, &learned);
    assert_int_equal(learned.mode, PACE_STARTUP);
    int64_t now_us = 5 * S;
    struct quota quota = {.limit = 100};
    do {
        drive(pacer, &quota, &now_us, now_us + S / 10);
        pacer_view(pacer, at(now_us), &view);
    } while (view.mode[0] != 'v' && now_us < 600 * S);
    assert_string_equal(view.mode, "verify");
    pacer_learned(pacer, &learned);
    assert_int_equal(learned.mode, PACE_WINDOW);
    assert_true(learned.window_calls >= 95 && learned.window_calls <= 105);
    pacer_free(pacer);
}

/* A former life's rate begins at .97 of it, after nine tenths of the burst that it met. */
static void test_a_former_lifes_rate_is_believed_less_a_little(void **state)
{
    (void)state;
    const struct pacer_learned learned = {.mode = PACE_RATE, .rate_per_s = 10, .confidence = 1, .unit_tokens = 1, .burst_calls = 50, .concurrency = 48, .base_latency_us = 1e5};
    struct pacer *pacer = new_pacer(64);
    assert_true(pacer_warm(pacer, &learned));
    int64_t now_us = 5 * S, first_s = 0, count = 0;
    for (; now_us < 25 * S; now_us += max_i64(ask(pacer, now_us).wait_us, 1000))
        if (ask(pacer, now_us).wait == PACER_GO) {
            pacer_sent(pacer, at(now_us), 10);
            count++;
            first_s += now_us < 7 * S;
        }
    assert_in_range(first_s, 45, 75); /* the burst, as a ramp */
    assert_in_range(count, 45 + 170, 45 + 210);
    pacer_free(pacer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_late_refusal_of_an_old_flight_begins_no_block),
        cmocka_unit_test(test_a_days_refusal_tells_more_than_a_minutes),
        cmocka_unit_test(test_a_days_block_is_tried_when_the_day_ends_and_anew_from_then),
        cmocka_unit_test(test_a_spend_limit_waits_longer_and_halves_what_is_under_way),
        cmocka_unit_test(test_a_days_end_teaches_nothing_of_the_minute),
        cmocka_unit_test(test_an_operator_ends_a_block),
        cmocka_unit_test(test_a_canary_needs_no_free_place),
        cmocka_unit_test(test_who_pauses_the_run),
        cmocka_unit_test(test_an_outage_of_half_an_hour_is_probed_once_a_minute),
        cmocka_unit_test(test_a_short_outage_leaves_the_concurrency),
        cmocka_unit_test(test_what_failed_before_opens_nothing),
        cmocka_unit_test(test_a_probe_is_given_up_after_what_calls_take),
        cmocka_unit_test(test_concurrency_follows_use_and_configuration),
        cmocka_unit_test(test_an_outage_forgets_a_ceiling),
        cmocka_unit_test(test_dear_calls_are_not_asked_twice),
        cmocka_unit_test(test_what_is_learned_on_one_clock_is_forgotten_on_another),
        cmocka_unit_test(test_each_change_of_mind_has_its_event),
        cmocka_unit_test(test_what_is_kept_of_each_mode),
        cmocka_unit_test(test_a_former_lifes_rate_is_believed_less_a_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
