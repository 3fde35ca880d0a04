/* What a new life is told of the calls of those before it, on a clock of its own: when they were sent, never too early, and how many of the day. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/contract/store_purge_bed.h"

#include <string.h>

static const struct store_ops *const engines[] = {&sqlite_ops};
static const struct store_ops *engine;

#define NOON_MS INT64_C(1795464000000) /* 2026-11-23 20:00 UTC, noon in Los Angeles */
#define HOUR_MS INT64_C(3600000)

static int begin(void **state)
{
    struct bed *bed = xcalloc(1, sizeof *bed);
    clock_fake(1000000, NOON_MS);
    bed_begin(bed, engine);
    *state = bed;
    return 0;
}

static int end(void **state)
{
    bed_end(*state);
    free(*state);
    clock_real();
    return 0;
}

static struct store_claim *claim(struct bed *bed, int64_t run, int count)
{
    struct store_claim *claim = make_claim(run, count, NULL, NULL);
    assert_int_equal(bed_do(bed, &claim->op), 0);
    assert_int_equal(claim->ret_count, count);
    return claim;
}

/* Ends the claim's row: answered after so long, or (-1) never called. */
static void settle(struct bed *bed, const struct store_claim *claim, size_t at, enum outcome_class class, int64_t latency_ms)
{
    struct store_settle *settle = make_settle(claim, at, 1, MOVE_PENDING, class, NULL, NULL, NULL);
    settle->items[0].has_call_result = latency_ms >= 0;
    settle->items[0].latency_ms = latency_ms;
    settle->items[0].tokens[TOKEN_IN] = class == OUTCOME_THROTTLED ? -1 : 100;
    assert_int_equal(bed_do_free(bed, &settle->op), 0);
}

static void test_request(struct bed *bed, const char *endpoint, int64_t latency_ms)
{
    struct store_call_begin *begin = store_op_new(OP_CALL_BEGIN, NULL, NULL);
    begin->endpoint = xstrdup(endpoint);
    assert_int_equal(bed_do(bed, &begin->op), 0);
    int64_t call = begin->ret_call;
    store_op_free(&begin->op);
    if (latency_ms < 0)
        return; /* never ends */
    clock_fake_advance_ms(latency_ms);
    struct store_call_end *end = store_op_new(OP_CALL_END, NULL, NULL);
    *end = (struct store_call_end){.op = end->op, .call = call, .class = OUTCOME_SUCCEEDED, .tokens = {9, -1, -1, -1, -1}, .cost_micros = -1, .latency_ms = latency_ms};
    assert_int_equal(bed_do_free(bed, &end->op), 0);
}

/* The process is gone, and the next one starts so much later. */
static void next_life(struct bed *bed, int64_t later_ms)
{
    bed_close(bed);
    clock_fake_advance_ms(later_ms);
    bed_open(bed);
}

static const struct store_sends *sends_of(const struct bed *bed, const char *endpoint)
{
    for (size_t i = 0; i < bed->image.sends_count; i++)
        if (strcmp(bed->image.sends[i].endpoint, endpoint) == 0)
            return &bed->image.sends[i];
    return NULL;
}

static void assert_send(const struct store_sends *sends, size_t at, int64_t after_noon_ms, int64_t tokens, bool is_refused)
{
    assert_true(at < sends->count);
    assert_int_equal(sends->items[at].at_ms - NOON_MS, after_noon_ms);
    assert_int_equal(sends->items[at].tokens, tokens);
    assert_int_equal(sends->items[at].is_refused, is_refused);
}

static void test_times_and_tokens(void **state)
{
    struct bed *bed = *state;
    int64_t run = bed_run(bed, 10, 1, -1, NULL);
    struct store_claim *rows = claim(bed, run, 4);
    clock_fake_advance_ms(10000);
    settle(bed, rows, 0, OUTCOME_TRANSIENT, 2000); /* its row stood for 8 s before it was sent */
    settle(bed, rows, 1, OUTCOME_RELEASED, -1);
    settle(bed, rows, 2, OUTCOME_THROTTLED, 100);
    test_request(bed, "gemini", 50);
    test_request(bed, "other", -1);
    next_life(bed, 5000);
    const struct store_sends *sends = sends_of(bed, "gemini");
    assert_int_equal(sends->count, 4);
    assert_send(sends, 0, 10000, 9, false);
    assert_send(sends, 1, 15050, -1, false); /* in flight at the end: nobody knows when it went out */
    assert_send(sends, 2, 9900, -1, true);
    assert_send(sends, 3, 8000, 100, false);
    assert_int_equal(sends->day_calls, 4);
    assert_send(sends_of(bed, "other"), 0, 15050, -1, false);
    assert_int_equal(sends_of(bed, "other")->day_calls, 1);
    next_life(bed, 1000); /* another start changes nothing of it */
    assert_int_equal(sends_of(bed, "gemini")->day_calls, 4);
    assert_send(sends_of(bed, "gemini"), 1, 15050, -1, false);
    store_op_free(&rows->op);
}

static void test_what_is_long_ago_counts_for_the_day_alone(void **state)
{
    struct bed *bed = *state;
    int64_t run = bed_run(bed, 10, 1, -1, NULL);
    struct store_claim *rows = claim(bed, run, 2);
    settle(bed, rows, 0, OUTCOME_TRANSIENT, 0);
    clock_fake_advance_ms(HOUR_MS / 2);
    settle(bed, rows, 1, OUTCOME_TRANSIENT, 1000); /* a re-ask may have waited so long for its quota */
    next_life(bed, 0);
    assert_int_equal(sends_of(bed, "gemini")->count, 1);
    assert_send(sends_of(bed, "gemini"), 0, HOUR_MS / 2 - 1000, 100, false);
    assert_int_equal(sends_of(bed, "gemini")->day_calls, 2);
    next_life(bed, 2 * HOUR_MS);
    assert_int_equal(sends_of(bed, "gemini")->count, 0);
    assert_int_equal(sends_of(bed, "gemini")->day_calls, 2);
    store_op_free(&rows->op);
}

static void test_a_day_begins_at_midnight_pacific(void **state)
{
    struct bed *bed = *state;
    int64_t run = bed_run(bed, 10, 1, -1, NULL);
    clock_fake_advance_ms(12 * HOUR_MS - 1000);
    struct store_claim *rows = claim(bed, run, 3);
    settle(bed, rows, 0, OUTCOME_TRANSIENT, 0);
    clock_fake_advance_ms(2000);
    settle(bed, rows, 1, OUTCOME_TRANSIENT, 1001); /* sent a millisecond before midnight */
    next_life(bed, 0);
    assert_int_equal(sends_of(bed, "gemini")->day_calls, 1); /* the one that was in flight: sent today, for all that is known */
    assert_int_equal(sends_of(bed, "gemini")->count, 3);
    store_op_free(&rows->op);
    rows = claim(bed, run, 2);
    settle(bed, rows, 0, OUTCOME_TRANSIENT, 1000); /* at midnight */
    settle(bed, rows, 1, OUTCOME_TRANSIENT, 0);
    next_life(bed, 0);
    assert_int_equal(sends_of(bed, "gemini")->day_calls, 3);
    next_life(bed, 24 * HOUR_MS);
    assert_true(bed->image.sends_count == 0);
    store_op_free(&rows->op);
}

/* Settled together: each is of the day on which it was sent. */
static void test_one_settle_of_two_days(void **state)
{
    struct bed *bed = *state;
    int64_t run = bed_run(bed, 10, 1, -1, NULL);
    clock_fake_advance_ms(12 * HOUR_MS - 1000);
    struct store_claim *rows = claim(bed, run, 3);
    clock_fake_advance_ms(2000);
    struct store_settle *settle = make_settle(rows, 0, 3, MOVE_PENDING, OUTCOME_TRANSIENT, NULL, NULL, NULL);
    for (size_t i = 0; i < settle->count; i++) {
        settle->items[i].has_call_result = true;
        settle->items[i].latency_ms = i == 1 ? 1001 : 10; /* a millisecond before midnight */
    }
    assert_int_equal(bed_do_free(bed, &settle->op), 0);
    next_life(bed, 0);
    assert_int_equal(sends_of(bed, "gemini")->day_calls, 2);
    store_op_free(&rows->op);
}

/* The wall's clock is set to another day and back, with a start each: what was counted of a day stays counted, also when calls of the other were. */
static void test_a_clock_that_goes_away_and_back(void **state)
{
    struct bed *bed = *state;
    int64_t run = bed_run(bed, 100, 1, -1, NULL);
    struct store_claim *rows = claim(bed, run, 4);
    for (size_t i = 0; i < 4; i++)
        settle(bed, rows, i, OUTCOME_TRANSIENT, 0);
    static const int days[] = {1, -3, 400};
    for (size_t i = 0; i < ARRAY_COUNT(days); i++) {
        next_life(bed, days[i] * 24 * HOUR_MS);
        assert_true(sends_of(bed, "gemini") == NULL || sends_of(bed, "gemini")->day_calls == 0);
        test_request(bed, "gemini", 0);
        next_life(bed, -days[i] * 24 * HOUR_MS);
        assert_int_equal(sends_of(bed, "gemini")->day_calls, 4);
    }
    store_op_free(&rows->op);
}

/* Days of before are not kept for ever: the newest are, and the present one wherever the clock stands. */
static void test_days_are_pruned(void **state)
{
    enum { DAYS = 40, KEPT = 31 };
    struct bed *bed = *state;
    for (int day = 0; day < DAYS; day++) {
        test_request(bed, "gemini", 0);
        next_life(bed, 24 * HOUR_MS);
    }
    next_life(bed, -DAYS * 24 * HOUR_MS); /* to the oldest */
    bed_upkeep_all(bed);
    for (int day = 0; day < DAYS; day++) {
        next_life(bed, 0);
        const struct store_sends *sends = sends_of(bed, "gemini");
        assert_int_equal(sends != NULL ? sends->day_calls : 0, day == 0 || day >= DAYS - KEPT);
        next_life(bed, 24 * HOUR_MS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_times_and_tokens, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_long_ago_counts_for_the_day_alone, begin, end),
        cmocka_unit_test_setup_teardown(test_a_day_begins_at_midnight_pacific, begin, end),
        cmocka_unit_test_setup_teardown(test_one_settle_of_two_days, begin, end),
        cmocka_unit_test_setup_teardown(test_a_clock_that_goes_away_and_back, begin, end),
        cmocka_unit_test_setup_teardown(test_days_are_pruned, begin, end),
    };
    int failed = 0;
    for (size_t i = 0; i < ARRAY_COUNT(engines); i++) {
        engine = engines[i];
        failed += cmocka_run_group_tests_name(engine->name, tests, NULL, NULL);
    }
    return failed;
}
