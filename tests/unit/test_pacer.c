/* The rules of the pacer and its breaker: limits, hints, blocks, a day's quota, probes, strikes. Each test fails when its rule is broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/pacer.h"

#include <string.h>

static void test_breaker(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    struct breaker b = {0};
    bool strikes;
    for (int i = 0; i < 5; i++)
        assert_false(breaker_failure(&b, 1000 + i, 500 + i, 0, true, &rng));
    assert_false(breaker_success(&b, 1010, 400, BREAKER_SUCCEEDED, &strikes)); /* sent before the first failure: ends no row */
    assert_true(breaker_failure(&b, 1020, 510, 0, true, &rng));
    assert_true(b.is_open);
    assert_false(breaker_wants_probe(&b, 1500));
    assert_true(breaker_wants_probe(&b, 2121));
    assert_false(breaker_test_failure(&b, 2200, &rng));
    assert_in_range(b.next_probe_ms - 2200, 1800, 2200);
    assert_false(breaker_success(&b, 2300, 900, BREAKER_SUCCEEDED, &strikes)); /* sent before the opening: closes nothing */
    assert_true(b.is_open);
    assert_true(breaker_success(&b, 4500, 4200, BREAKER_TEST_WELL, &strikes));
    assert_false(b.is_open);

    b = (struct breaker){0}; /* a success sent within the row ends it */
    for (int i = 0; i < 5; i++)
        breaker_failure(&b, 1000, 500, 0, true, &rng);
    breaker_success(&b, 1001, 600, BREAKER_SUCCEEDED, &strikes);
    assert_false(breaker_failure(&b, 1002, 700, 0, true, &rng));
    b = (struct breaker){0}; /* assignments that failed before do not count; failures of one connection count once */
    for (int i = 0; i < 20; i++) {
        assert_false(breaker_failure(&b, 1000, 500, 0, false, &rng));
        assert_false(breaker_failure(&b, 1000, 500, 40001, true, &rng));
    }
    assert_true(breaker_test_failure(&b, 1100, &rng)); /* a failed test request opens at once */
}

static void test_breaker_strikes_and_brownout(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    struct breaker b = {0};
    bool strikes = false;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 6; i++)
            breaker_failure(&b, 1000 + round * 5000, 900 + round * 5000, 0, true, &rng);
        assert_true(b.is_open);
        breaker_success(&b, 3000 + round * 5000, 2500 + round * 5000, BREAKER_TEST_WELL, &strikes);
        assert_int_equal(strikes, round == 2);
    }
    b = (struct breaker){0};
    for (int round = 0; round < 6; round++) { /* an assignment that succeeds in between begins the count anew */
        for (int i = 0; i < 6; i++)
            breaker_failure(&b, 1000 + round * 5000, 900 + round * 5000, 0, true, &rng);
        breaker_success(&b, 3000 + round * 5000, 2500 + round * 5000, BREAKER_TEST_WELL, &strikes);
        assert_int_equal(strikes, round == 5);
        if (round == 1)
            assert_false(breaker_success(&b, 3100 + round * 5000, 3050 + round * 5000, BREAKER_SUCCEEDED, &strikes));
    }
    b = (struct breaker){0};
    assert_int_equal(breaker_max_retries(&b, 0, 3), 3);
    for (int i = 0; i < 6; i++) /* 1 - .98^6 = .114 */
        breaker_first_attempt(&b, 1000, true);
    assert_int_equal(breaker_max_retries(&b, 1001, 3), 12);
    for (int i = 0; i < 200; i++)
        breaker_first_attempt(&b, 2000, false);
    assert_int_equal(breaker_max_retries(&b, 500000, 3), 12); /* ten minutes after it was ill */
    assert_int_equal(breaker_max_retries(&b, 1000 + 700000, 3), 3);
}

/* Opens by count and closes by its first probe, as round `n` of the rounds that make strikes. True: the strikes are full. */
static bool strike(struct breaker *b, int64_t round, struct rng *rng)
{
    bool strikes;
    for (int i = 0; i < 6; i++)
        breaker_failure(b, 1000 + round * 5000, 900 + round * 5000, 0, true, rng);
    assert_true(b->is_open);
    breaker_success(b, 3000 + round * 5000, 2500 + round * 5000, BREAKER_TEST_WELL, &strikes);
    return strikes;
}

static void test_strikes_end_by_an_assignment_that_succeeds_alone(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    struct breaker b = {0};
    bool strikes;
    for (int round = 0; round < 2; round++) {
        assert_false(strike(&b, round, &rng));
        breaker_success(&b, 3100 + round * 5000, 3050 + round * 5000, BREAKER_ANSWERED, &strikes); /* of no use, or a full agent */
    }
    assert_true(strike(&b, 2, &rng));
}

static void test_failures_of_the_outage_before_begin_no_new_row(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    struct breaker b = {0};
    assert_false(strike(&b, 0, &rng));
    for (int i = 0; i < 20; i++)
        assert_false(breaker_failure(&b, 3500, 2990, 0, true, &rng)); /* sent before it closed at 3000 */
    for (int i = 0; i < 5; i++)
        assert_false(breaker_failure(&b, 3600, 3000, 0, true, &rng));
    breaker_resume(&b, 4000);
    for (int i = 0; i < 20; i++)
        assert_false(breaker_failure(&b, 4100, 3999, 0, true, &rng)); /* nor of what was before an operator resumed it */
    for (int i = 0; i < 6; i++)
        assert_int_equal(breaker_failure(&b, 4200, 4000, 0, true, &rng), i == 5);
}

static struct pacer_now at(int64_t us)
{
    return (struct pacer_now){.mono_us = us, .wall_ms = 1795448640000 + us / 1000};
}

static void test_configured_limit(void **state)
{
    (void)state;
    struct pacer_limits limits = {.rpm = 60, .max_in_flight = 1000, .time_scale = 1};
    struct pacer *pacer = pacer_new(&limits, 1);
    int64_t sent[1000], now_us = 1000000, count = 0;
    while (now_us < 200000000 && count < 1000) {
        struct pacer_answer answer = pacer_ask(pacer, at(now_us), 100, 0, false, false);
        if (answer.wait == PACER_GO) {
            pacer_sent(pacer, at(now_us), 100);
            sent[count++] = now_us;
        } else {
            assert_int_equal(answer.wait, PACER_LIMIT_RPM);
            assert_true(answer.wait_us > 0);
            now_us += answer.wait_us;
        }
    }
    assert_in_range(count, 180, 240);
    for (int64_t i = 60; i < count; i++)
        assert_true(sent[i] - sent[i - 60] > 60000000); /* never more than 60 in any 60 s */
    pacer_free(pacer);
}

static struct pacer_outcome outcome_of(enum outcome_class class, int64_t sent_us)
{
    return (struct pacer_outcome){.class = class, .sent_us = sent_us, .latency_us = 1000, .is_first_attempt = true, .retry_after_ms = -1, .quota_value = -1, .tokens = -1};
}

static void test_hint_and_canary(void **state)
{
    (void)state;
    struct pacer_limits limits = {.max_in_flight = 64, .time_scale = 1};
    struct pacer *pacer = pacer_new(&limits, 3);
    struct pacer_change change;
    for (int i = 0; i < 20; i++)
        pacer_sent(pacer, at(1000000 + i), 10);
    struct pacer_outcome refused = outcome_of(OUTCOME_THROTTLED, 1000019);
    refused.retry_after_ms = 7000;
    pacer_outcome(pacer, at(1100000), &refused, &change);
    assert_true(change.blocked);
    struct pacer_answer answer = pacer_ask(pacer, at(1200000), 10, 5, false, false);
    assert_int_equal(answer.wait, PACER_BLOCKED);
    assert_in_range(answer.wait_us, 6900000, 7100000);
    int64_t later = 1200000 + answer.wait_us;
    assert_int_equal(pacer_ask(pacer, at(later), 10, 0, false, false).wait, PACER_GO);
    pacer_sent(pacer, at(later), 10);
    assert_int_equal(pacer_ask(pacer, at(later + 1), 10, 1, false, false).wait, PACER_BLOCKED); /* one canary at a time */
    struct pacer_outcome well = outcome_of(OUTCOME_SUCCEEDED, later);
    pacer_outcome(pacer, at(later + 1000), &well, &change);
    assert_int_equal(pacer_ask(pacer, at(later + 1000), 10, 0, false, false).wait, PACER_GO);
    struct pacer_view view;
    pacer_view(pacer, at(later + 1000), &view);
    assert_true(view.rate_per_min > 0); /* a rate is learned; it binds adaptive runs alone */
    pacer_free(pacer);
}

/* The endpoint's own test request is held to the block like any call, is the canary after it, and never leaves the block without one. */
static void test_test_request_and_block(void **state)
{
    (void)state;
    struct pacer_limits limits = {.max_in_flight = 64, .time_scale = 1};
    struct pacer *pacer = pacer_new(&limits, 3);
    struct pacer_change change;
    assert_int_equal(pacer_ask_test(pacer, at(500000), PACER_TEST_TOKENS), 0);
    pacer_sent(pacer, at(1000000), 10);
    struct pacer_outcome refused = outcome_of(OUTCOME_THROTTLED, 1000000);
    pacer_outcome(pacer, at(1100000), &refused, &change);
    assert_int_equal(pacer_ask_test(pacer, at(1200000), PACER_TEST_TOKENS), 200000); /* .3 s after the refusal */
    /* One that an operator sends all the same changes nothing, however it ends. */
    static const enum outcome_class ends[] = {OUTCOME_THROTTLED, OUTCOME_UNAVAILABLE, OUTCOME_LOST};
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
        int64_t sent_us = 1210000 + (int64_t)i;
        pacer_sent(pacer, at(sent_us), 10);
        struct pacer_outcome test = outcome_of(ends[i], sent_us);
        test.is_test = true;
        pacer_outcome(pacer, at(sent_us + 1000), &test, &change);
    }
    assert_true(pacer_is_open(pacer)); /* the failed ones opened the breaker; its probe answers */
    struct pacer_outcome probe = outcome_of(OUTCOME_THROTTLED, 1350000);
    probe.is_test = true;
    pacer_outcome(pacer, at(1351000), &probe, &change);
    assert_true(change.closed);
    int64_t now_us = 2400000;
    assert_int_equal(pacer_ask(pacer, at(now_us), 10, 0, false, false).wait, PACER_GO);
    /* Refused again and again: tried as a bucket would take it (1 s and 2.5 s after the block began, .2 s apart at least), then each 15 s of the block. */
    static const int64_t due_us[] = {2601000, 3600000, 16100000, 31100000, 46100000};
    for (size_t i = 0; i < ARRAY_COUNT(due_us); i++) {
        assert_int_equal(pacer_ask_test(pacer, at(now_us), PACER_TEST_TOKENS), 0);
        pacer_sent(pacer, at(now_us), 10);
        assert_true(pacer_ask_test(pacer, at(now_us + 1), PACER_TEST_TOKENS) > 0); /* one at a time */
        struct pacer_outcome test = outcome_of(OUTCOME_THROTTLED, now_us);
        test.is_test = true;
        pacer_outcome(pacer, at(now_us + 1000), &test, &change);
        now_us += 1000 + pacer_ask_test(pacer, at(now_us + 1000), PACER_TEST_TOKENS);
        assert_int_equal(now_us, due_us[i]);
    }
    /* A canary that tells nothing lets the next one go after a second. */
    pacer_sent(pacer, at(now_us), 10);
    struct pacer_outcome lost = outcome_of(OUTCOME_LOST, now_us);
    lost.is_test = true;
    pacer_outcome(pacer, at(now_us + 1000), &lost, &change);
    assert_int_equal(pacer_ask_test(pacer, at(now_us + 1000), PACER_TEST_TOKENS), 1000000);
    pacer_free(pacer);
}

/* Where there is no test request, assignments are the probes: one that fails opens the breaker or puts the next one off, one that is answered closes it. */
static void test_an_assignment_as_probe(void **state)
{
    (void)state;
    struct pacer_limits limits = {.max_in_flight = 64, .time_scale = 1};
    struct pacer *pacer = pacer_new(&limits, 3);
    struct pacer_change change;
    struct pacer_view view;
    int64_t wait_us, now_us = 1000000;
    struct pacer_outcome failed = outcome_of(OUTCOME_TRANSIENT, now_us);
    failed.is_probe = failed.failed_before = true;
    pacer_outcome(pacer, at(now_us), &failed, &change);
    assert_true(change.opened);
    for (int i = 1; i <= 5; i++) {
        assert_false(pacer_wants_probe(pacer, at(now_us), &wait_us));
        assert_true(wait_us > (INT64_C(800000) << (i - 1)) && wait_us < (INT64_C(1200000) << (i - 1)));
        now_us += wait_us;
        assert_true(pacer_wants_probe(pacer, at(now_us), &wait_us));
        failed.sent_us = now_us;
        failed.class = i % 2 ? OUTCOME_UNAVAILABLE : OUTCOME_TRANSIENT;
        pacer_outcome(pacer, at(now_us), &failed, &change);
        assert_false(change.opened || change.closed);
        pacer_view(pacer, at(now_us), &view);
        assert_int_equal(view.probes_failed, i);
        assert_true(view.open_us >= now_us - 1001000 && view.open_us <= now_us - 999000); /* the breaker's clock has milliseconds */
    }
    static const enum outcome_class answers[] = {OUTCOME_SUCCEEDED, OUTCOME_INVALID_ANSWER, OUTCOME_REJECTED, OUTCOME_AGENT_FULL, OUTCOME_THROTTLED};
    for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
        now_us += 600000000; /* a block of before is over */
        failed.sent_us = now_us;
        pacer_outcome(pacer, at(now_us), &failed, &change);
        struct pacer_outcome answer = outcome_of(answers[i], now_us + 1000);
        answer.is_probe = true;
        pacer_outcome(pacer, at(now_us + 2000), &answer, &change);
        assert_true(change.closed && !pacer_is_open(pacer) && !change.strikes_full);
        pacer_view(pacer, at(now_us + 2000), &view);
        assert_int_equal(view.probes_failed + view.open_us, 0);
    }
    pacer_free(pacer);
}

static void test_quota_day(void **state)
{
    (void)state;
    struct pacer_limits limits = {.max_in_flight = 64, .time_scale = 1};
    struct pacer *pacer = pacer_new(&limits, 3);
    struct pacer_change change;
    int64_t now_us = 1000000;
    static const int64_t waits_s[] = {60, 120, 240, 480, 960, 1920, 3600, 3600};
    for (size_t i = 0; i < ARRAY_COUNT(waits_s); i++) {
        pacer_sent(pacer, at(now_us), 10);
        struct pacer_outcome refused = outcome_of(OUTCOME_QUOTA_DAY, now_us);
        refused.retry_after_ms = 8000; /* the body lies */
        pacer_outcome(pacer, at(now_us), &refused, &change);
        struct pacer_answer answer = pacer_ask(pacer, at(now_us), 10, 0, true, false);
        assert_int_equal(answer.wait, PACER_QUOTA_DAY);
        assert_int_equal(answer.wait_us, waits_s[i] * 1000000);
        now_us += answer.wait_us;
    }
    struct pacer_view view;
    pacer_view(pacer, at(now_us), &view);
    assert_string_equal(view.mode, "quota_day");
    assert_true(view.quota_until_at_ms > 0);
    pacer_free(pacer);
}

static void test_concurrency(void **state)
{
    (void)state;
    struct pacer_limits limits = {.max_in_flight = 64, .time_scale = 1};
    struct pacer *pacer = pacer_new(&limits, 3);
    struct pacer_change change;
    assert_int_equal(pacer_ask(pacer, at(1), 1, 63, false, false).wait, PACER_GO); /* a batch profile is bound by max_in_flight alone */
    assert_int_equal(pacer_ask(pacer, at(1), 1, 64, false, false).wait, PACER_IN_FLIGHT);
    assert_int_equal(pacer_ask(pacer, at(1), 1, 64, false, true).wait, PACER_GO); /* a re-ask has its place */
    int64_t start = pacer_in_flight_limit(pacer, true);
    for (int i = 0; i < 100; i++) {
        struct pacer_outcome well = outcome_of(OUTCOME_SUCCEEDED, 1000 + i);
        well.was_full = true;
        pacer_outcome(pacer, at(2000 + i), &well, &change);
    }
    assert_true(start < 64);
    assert_int_equal(pacer_in_flight_limit(pacer, true), 64);
    pacer_free(pacer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_breaker),
        cmocka_unit_test(test_breaker_strikes_and_brownout),
        cmocka_unit_test(test_strikes_end_by_an_assignment_that_succeeds_alone),
        cmocka_unit_test(test_failures_of_the_outage_before_begin_no_new_row),
        cmocka_unit_test(test_configured_limit),
        cmocka_unit_test(test_hint_and_canary),
        cmocka_unit_test(test_test_request_and_block),
        cmocka_unit_test(test_an_assignment_as_probe),
        cmocka_unit_test(test_quota_day),
        cmocka_unit_test(test_concurrency),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
