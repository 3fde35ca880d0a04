/* The pace's parts: the window's sums, the ramp and the cubic, what a block teaches, what a former life knows. Each test fails when its rule is broken. */
#include "core/pace.h"
#include "core/pacer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define S INT64_C(1000000)

static struct pacer_now at(int64_t us)
{
    return (struct pacer_now){.mono_us = us, .wall_ms = INT64_C(1795448640000) + us / 1000};
}

static void test_the_windows_sums_are_those_of_its_entries(void **state)
{
    (void)state;
    struct window window;
    window_init(&window);
    for (int64_t i = 0; i < 20000; i++)
        window_sent(&window, S + i * 1000, 10, true);
    window_drop(&window, S);         /* refused */
    window_drop(&window, S);         /* once alone */
    window_tokens_known(&window, S + 1000, 15);
    assert_true(window.live.calls == 19999 && window.live.tokens == 199995);
    assert_int_equal(window_oldest_us(&window), S + 1000);
    window_set_floor(&window, 11 * S);
    assert_true(window.counted.calls == 10000);
    assert_int_equal(window_oldest_us(&window), 11 * S);
    window_expire(&window, S + 1000 + WINDOW_US + WINDOW_GUARD_US);
    assert_true(window.live.calls == 19998 && window.counted.calls == 10000);
    window_set_floor(&window, WINDOW_NONE);
    assert_true(window.counted.calls == 19998 && window.counted.tokens == 199980);
    assert_int_equal(window_oldest_us(&window), S + 2000); /* those below the former floor count again */
    assert_int_equal(window_share_us(&window, 0.5), S + 2000 + 9999 * 1000);
    window_clear(&window);
}

static void test_the_cubic_rests_near_what_was_measured(void **state)
{
    (void)state;
    struct rate rate;
    rate_init(&rate);
    rate_set_cubic(&rate, 0, 5, 0);
    assert_true(fabs(rate.per_s - 0.97 * 5) < 1e-9);
    rate_follow_cubic(&rate, in_us(rate.flat_s));
    assert_true(fabs(rate.per_s - 5) < 1e-3);
    rate_follow_cubic(&rate, in_us(rate.flat_s + rate.span_s));
    assert_true(fabs(rate.per_s - 7) < 1e-3);
    rate_set_cubic(&rate, 0, 5, 240); /* printed: nothing is tried for so long */
    rate_follow_cubic(&rate, 239 * S);
    assert_true(fabs(rate.per_s - 0.985 * 5) < 1e-9);
}

static struct pacer *new_pacer(double time_scale)
{
    const struct pacer_limits limits = {.max_in_flight = 256, .time_scale = time_scale};
    return pacer_new(&limits, 7);
}

/* An endpoint that takes so many calls a minute, from the first of them on. */
struct quota {
    int limit;
    double scale;
    int used;
    int64_t until_us;
};

/* Sends as the pacer lets it. Returns how many were refused. */
static int drive(struct pacer *pacer, struct quota *quota, int64_t *now_us, int64_t until_us)
{
    int refused = 0;
    while (*now_us < until_us) {
        struct pacer_answer answer = pacer_ask(pacer, at(*now_us), 10, 0, true, false);
        if (answer.wait != PACER_GO) {
            *now_us += max_i64(answer.wait_us, 1);
            continue;
        }
        if (*now_us >= quota->until_us) {
            quota->until_us = *now_us + (int64_t)(60e6 * quota->scale);
            quota->used = 0;
        }
        struct pacer_outcome outcome = {.class = ++quota->used <= quota->limit ? OUTCOME_SUCCEEDED : OUTCOME_THROTTLED, .sent_us = *now_us, .latency_us = 50000, .retry_after_ms = -1,
                                        .quota_value = -1, .tokens = -1};
        struct pacer_change change;
        refused += outcome.class == OUTCOME_THROTTLED;
        pacer_sent(pacer, at(*now_us), 10);
        *now_us += (int64_t)(1000 * quota->scale) + 1;
        pacer_outcome(pacer, at(*now_us), &outcome, &change);
    }
    return refused;
}

/* An endpoint without a limit is not kept waiting by the pace, though the loop's timers come late. */
static void test_the_ramp_ends_where_the_machine_does(void **state)
{
    (void)state;
    enum { LATE_US = 5000, WANTED_PER_S = 10000 };
    struct pacer_limits limits = {.max_in_flight = 64, .time_scale = 1};
    struct pacer *pacer = pacer_new(&limits, 5);
    int last_second = 0;
    for (int64_t now_us = S; now_us < 9 * S; now_us += LATE_US)
        while (pacer_ask(pacer, at(now_us), 10, 0, true, false).wait == PACER_GO) {
            pacer_sent(pacer, at(now_us), 10);
            last_second += now_us >= 8 * S;
        }
    assert_true(last_second >= WANTED_PER_S);
    pacer_free(pacer);
}

static void test_a_windows_budget_is_found_and_kept(void **state)
{
    (void)state;
    static const double scales[] = {1, 0.1};
    for (size_t i = 0; i < ARRAY_COUNT(scales); i++) {
        struct pacer *pacer = new_pacer(scales[i]);
        struct quota quota = {.limit = 100, .scale = scales[i]};
        int64_t now_us = 5 * S;
        drive(pacer, &quota, &now_us, 5 * S + (int64_t)(240e6 * scales[i]));
        struct pacer_view view;
        pacer_view(pacer, at(now_us), &view);
        assert_string_equal(view.mode, "window");
        assert_true(fabs(view.window_calls - 100) <= 3 && fabs(view.rate_per_min - 100) <= 3);
        assert_true(drive(pacer, &quota, &now_us, now_us + (int64_t)(600e6 * scales[i])) <= 12); /* 1000 calls: probes alone */
        pacer_free(pacer);
    }
}

static void test_the_next_life_knows_what_was_learned(void **state)
{
    (void)state;
    struct pacer *pacer = new_pacer(1), *next = new_pacer(1);
    struct quota quota = {.limit = 100, .scale = 1};
    int64_t now_us = 5 * S;
    drive(pacer, &quota, &now_us, 245 * S);
    struct pacer_learned learned;
    pacer_learned(pacer, &learned);
    assert_true(pacer_warm(next, &learned));
    now_us += 3600 * S;
    assert_true(drive(next, &quota, &now_us, now_us + 120 * S) <= 3);
    static const double bad[] = {NAN, INFINITY, -1};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct pacer_learned wrong = learned;
        wrong.window_calls = bad[i];
        assert_false(pacer_warm(next, &wrong));
    }
    learned.mode = 99;
    assert_false(pacer_warm(next, &learned));
    pacer_free(pacer);
    pacer_free(next);
}

static void test_changes_of_mind_are_told_once(void **state)
{
    (void)state;
    struct pacer *pacer = new_pacer(1);
    struct quota quota = {.limit = 100, .scale = 1};
    struct pacer_event event;
    int64_t now_us = 5 * S;
    assert_false(pacer_next_event(pacer, &event));
    while (now_us < 245 * S && !pacer_next_event(pacer, &event))
        drive(pacer, &quota, &now_us, now_us + S / 100);
    assert_int_equal(event.kind, PACER_BLOCK_BEGAN);
    assert_false(pacer_next_event(pacer, &event));
    drive(pacer, &quota, &now_us, 245 * S);
    assert_true(pacer_next_event(pacer, &event));
    while (pacer_next_event(pacer, &event))
        ;
    assert_false(pacer_next_event(pacer, &event));
    pacer_free(pacer);
}

/* Some calls fail with 503 at any load: the limit is lifted again. */
static void test_503_at_any_load_is_no_ceiling(void **state)
{
    (void)state;
    struct pacer *pacer = new_pacer(1);
    struct pacer_change change;
    int64_t limit = pacer_in_flight_limit(pacer, true), least = limit;
    for (int64_t i = 1; i <= 40; i++) {
        struct pacer_outcome outcome = {.class = i % 5 == 0 ? OUTCOME_UNAVAILABLE : OUTCOME_SUCCEEDED, .is_capacity = i % 5 == 0, .sent_us = i * S, .latency_us = 1000,
                                        .in_flight = pacer_in_flight_limit(pacer, true) - 1, .retry_after_ms = -1, .quota_value = -1, .tokens = -1};
        pacer_outcome(pacer, at(i * S + 500000), &outcome, &change);
        least = min_i64(least, pacer_in_flight_limit(pacer, true));
    }
    assert_true(least < limit); /* at first it was believed */
    assert_int_equal(pacer_in_flight_limit(pacer, true), limit);
    pacer_free(pacer);
}

/* With few under way one 503 is of one call; two of the same flight are of them all. */
static void test_one_503_of_few_calls_is_no_ceiling(void **state)
{
    (void)state;
    for (int same_flight = 0; same_flight < 2; same_flight++) {
        struct pacer *pacer = new_pacer(1);
        struct pacer_change change;
        int64_t limit = pacer_in_flight_limit(pacer, true);
        struct pacer_outcome outcome = {.class = OUTCOME_UNAVAILABLE, .is_capacity = true, .in_flight = 3, .retry_after_ms = -1, .quota_value = -1, .tokens = -1};
        outcome.sent_us = S;
        pacer_outcome(pacer, at(2 * S), &outcome, &change);
        assert_int_equal(pacer_in_flight_limit(pacer, true), limit);
        outcome.sent_us = same_flight ? S + 1000 : 2 * S + 1000;
        pacer_outcome(pacer, at(3 * S), &outcome, &change);
        assert_int_equal(pacer_in_flight_limit(pacer, true) == limit, !same_flight);
        pacer_free(pacer);
    }
}

static void test_a_straggler_is_worth_a_second_call_in_the_tail_alone(void **state)
{
    (void)state;
    struct latency latency = {.count = 0};
    struct hedge_tail tail = {.oldest_sent_us = S, .hedged = 0, .assignments = 100};
    for (int i = 0; i < 7; i++)
        latency_add(&latency, 100000);
    assert_int_equal(hedge_wait_us(&latency, 2 * S, &tail), -1); /* not known yet how long calls take */
    latency_add(&latency, 100000);
    assert_int_equal(hedge_wait_us(&latency, S + 100000, &tail), 150000); /* 2.5 medians */
    assert_int_equal(hedge_wait_us(&latency, 2 * S, &tail), 0);
    tail.hedged = 5;
    assert_int_equal(hedge_wait_us(&latency, 2 * S, &tail), -1);
}

static struct latency known_latency(int64_t each_us, int64_t last_us)
{
    struct latency latency = {.count = 0};
    for (int i = 0; i < 15; i++)
        latency_add(&latency, each_us);
    latency_add(&latency, last_us); /* the 95th of a hundred: the last of sixteen */
    return latency;
}

static void test_who_is_asked_twice(void **state)
{
    (void)state;
    struct latency even = known_latency(S, S), wide = known_latency(S, 4 * S);
    const struct {
        const struct latency *latency;
        struct hedge_tail tail;
        int64_t wait_us; /* at ten seconds */
    } rows[] = {
        {&even, {.oldest_sent_us = 8 * S, .assignments = 10}, S / 2},               /* 2.5 medians */
        {&wide, {.oldest_sent_us = 8 * S, .assignments = 10}, 4 * S},               /* 1.5 times the 95th */
        {&even, {.oldest_sent_us = S, .assignments = 10}, 0},
        {&even, {.oldest_sent_us = -1, .assignments = 10}, -1},                     /* none is under way */
        {&even, {.oldest_sent_us = S, .hedged = 3, .assignments = 10}, 0},          /* four may be, however small the run */
        {&even, {.oldest_sent_us = S, .hedged = 4, .assignments = 10}, -1},
        {&even, {.oldest_sent_us = S, .hedged = 49, .assignments = 1000}, 0},
        {&even, {.oldest_sent_us = S, .hedged = 50, .assignments = 1000}, -1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        assert_int_equal(hedge_wait_us(rows[i].latency, 10 * S, &rows[i].tail), rows[i].wait_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_windows_sums_are_those_of_its_entries),
        cmocka_unit_test(test_the_cubic_rests_near_what_was_measured),
        cmocka_unit_test(test_the_ramp_ends_where_the_machine_does), cmocka_unit_test(test_a_windows_budget_is_found_and_kept),
        cmocka_unit_test(test_the_next_life_knows_what_was_learned),
        cmocka_unit_test(test_changes_of_mind_are_told_once),
        cmocka_unit_test(test_503_at_any_load_is_no_ceiling),
        cmocka_unit_test(test_one_503_of_few_calls_is_no_ceiling),
        cmocka_unit_test(test_a_straggler_is_worth_a_second_call_in_the_tail_alone),
        cmocka_unit_test(test_who_is_asked_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
