/* Configured limits (rpm, tpm, rpd) are never exceeded: what is counted, taken back, and read back after a restart. */
#include "core/pacer.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NOON_MS INT64_C(1795448640000) /* of a day in November, Pacific time */

static struct pacer_now at(int64_t us)
{
    return (struct pacer_now){.mono_us = us, .wall_ms = NOON_MS + us / 1000};
}

static enum pacer_wait ask(struct pacer *pacer, int64_t now_us, int64_t tokens)
{
    return pacer_ask(pacer, at(now_us), tokens, 0, false, false).wait;
}

static void test_what_did_not_go_out_is_not_counted(void **state)
{
    (void)state;
    struct pacer_limits limits = {.rpm = 3, .tpm = 100, .rpd = 4, .max_in_flight = 9, .time_scale = 1};
    struct pacer *pacer = pacer_new(&limits, 1);
    pacer_sent(pacer, at(1000), 10);
    pacer_sent(pacer, at(2000), 80);
    pacer_sent(pacer, at(3000), 5);
    assert_int_equal(ask(pacer, 4000, 1), PACER_LIMIT_RPM);
    pacer_unsent(pacer, at(2000));
    assert_int_equal(ask(pacer, 4000, 85), PACER_GO);
    assert_int_equal(ask(pacer, 4000, 86), PACER_LIMIT_TPM);
    pacer_sent(pacer, at(4000), 20);
    assert_int_equal(ask(pacer, 5000, 1), PACER_LIMIT_RPM);
    assert_int_equal(ask(pacer, 60260000, 1), PACER_GO); /* the log is in order still: the first has left */
    pacer_sent(pacer, at(60260000), 1);
    assert_int_equal(ask(pacer, 200000000, 1), PACER_LIMIT_RPD);
    pacer_unsent(pacer, at(60260000)); /* has left the log, and is of this day */
    assert_int_equal(ask(pacer, 200000000, 1), PACER_GO);
    pacer_free(pacer);
}

static void test_a_send_of_yesterday_is_not_taken_from_today(void **state)
{
    (void)state;
    struct pacer_limits limits = {.rpd = 1, .max_in_flight = 9, .time_scale = 1};
    struct pacer *pacer = pacer_new(&limits, 1);
    int64_t midnight_us = (clock_next_pacific_midnight_ms(NOON_MS) - NOON_MS) * 1000;
    pacer_sent(pacer, at(midnight_us - 1000), 1);
    assert_int_equal(ask(pacer, midnight_us - 500, 1), PACER_LIMIT_RPD);
    pacer_sent(pacer, at(midnight_us + 1000), 1);
    pacer_unsent(pacer, at(midnight_us - 1000));
    assert_int_equal(ask(pacer, midnight_us + 2000, 1), PACER_LIMIT_RPD);
    pacer_free(pacer);
}

static struct pacer_now at_wall(int64_t us, int64_t wall_ms)
{
    return (struct pacer_now){.mono_us = us, .wall_ms = wall_ms};
}

/* As many as may go within that time, one after the other; `ahead_ms`: of the wall clock. */
static int64_t drain(struct pacer *pacer, int64_t *now_us, int64_t until_us, int64_t ahead_ms)
{
    int64_t count = 0;
    while (*now_us < until_us) {
        struct pacer_now now = at_wall(*now_us, NOON_MS + *now_us / 1000 + ahead_ms);
        struct pacer_answer answer = pacer_ask(pacer, now, 1, 0, false, false);
        if (answer.wait == PACER_GO) {
            pacer_sent(pacer, now, 1);
            count++;
        } else {
            assert_int_equal(answer.wait, PACER_LIMIT_RPD);
        }
        *now_us += max_i64(answer.wait_us, 1000);
    }
    return count;
}

/* A clock that is set forth or back, by hours or years, gives no new day; the day that comes by itself does. */
static void test_a_clock_that_is_set_gives_no_new_day(void **state)
{
    (void)state;
    enum { RPD = 7 };
    static const int64_t hour_us = INT64_C(3600000000), day_ms = INT64_C(86400000);
    static const struct {
        int64_t first_ms, second_ms, third_ms; /* how far the clock is ahead of the hour, each for an hour */
    } rows[] = {{0, day_ms, 0}, {0, -day_ms, 0}, {day_ms, 0, -day_ms}, {0, 13 * 3600000, 0}, {13 * 3600000, 0, 0}, {365 * 20 * day_ms, 0, 0}, {0, 365 * 20 * day_ms, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct pacer_limits limits = {.rpd = RPD, .max_in_flight = 9, .time_scale = 1};
        struct pacer *pacer = pacer_new(&limits, 1);
        int64_t now_us = 1000000, sent = drain(pacer, &now_us, hour_us, rows[i].first_ms);
        now_us = hour_us;
        sent += drain(pacer, &now_us, 2 * hour_us, rows[i].second_ms);
        now_us = 2 * hour_us;
        sent += drain(pacer, &now_us, 3 * hour_us, rows[i].third_ms);
        assert_int_equal(sent, RPD);
        now_us = 28 * hour_us; /* noon of the next day, and four hours: whatever the clock was, that day is over */
        assert_int_equal(drain(pacer, &now_us, 29 * hour_us, rows[i].third_ms), RPD);
        pacer_free(pacer);
    }
}

static void test_more_days_than_are_kept_count_all_the_same(void **state)
{
    (void)state;
    struct pacer_limits limits = {.rpd = 10, .max_in_flight = 9, .time_scale = 1};
    struct pacer *pacer = pacer_new(&limits, 1);
    for (int64_t i = 0; i < 10; i++) {
        struct pacer_now now = at_wall(1000 * (i + 1), NOON_MS + i * 86400000);
        assert_int_equal(pacer_ask(pacer, now, 1, 0, false, false).wait, PACER_GO);
        pacer_sent(pacer, now, 1);
    }
    assert_int_equal(pacer_ask(pacer, at_wall(20000, NOON_MS + 86400000 * INT64_C(10)), 1, 0, false, false).wait, PACER_LIMIT_RPD);
    pacer_free(pacer);
}

/* The operator raises and lowers what is configured while calls go: what was sent stays counted, and nothing is more than what holds now. */
static void test_limits_that_change_hold_at_once(void **state)
{
    (void)state;
    struct pacer_limits limits = {.rpm = 5, .tpm = 100, .rpd = 8, .max_in_flight = 9, .time_scale = 1};
    struct pacer *pacer = pacer_new(&limits, 1);
    for (int64_t i = 1; i <= 5; i++)
        pacer_sent(pacer, at(i * 1000), 10);
    assert_int_equal(ask(pacer, 10000, 10), PACER_LIMIT_RPM);
    limits = (struct pacer_limits){.rpm = 20, .tpm = 60, .rpd = 8, .max_in_flight = 9, .time_scale = 1};
    pacer_set_limits(pacer, &limits);
    assert_int_equal(ask(pacer, 10000, 10), PACER_GO);
    assert_int_equal(ask(pacer, 10000, 11), PACER_LIMIT_TPM);
    limits.rpd = 5;
    pacer_set_limits(pacer, &limits);
    assert_int_equal(ask(pacer, 10000, 1), PACER_LIMIT_RPD);
    limits = (struct pacer_limits){.rpm = 2, .max_in_flight = 3, .time_scale = 1};
    pacer_set_limits(pacer, &limits);
    struct pacer_answer answer = pacer_ask(pacer, at(10000), 1, 0, false, false);
    assert_int_equal(answer.wait, PACER_LIMIT_RPM);
    assert_int_equal(ask(pacer, 10000 + answer.wait_us - 1000, 1), PACER_LIMIT_RPM); /* until but one of the five has left */
    assert_int_equal(ask(pacer, 10000 + answer.wait_us, 1), PACER_GO);
    assert_int_equal(pacer_ask(pacer, at(10000 + answer.wait_us), 1, 3, true, false).wait, PACER_IN_FLIGHT);
    pacer_free(pacer);
}

/* Larger than the whole quota of a minute: it goes when nothing else was sent in it, since nothing else could ever let it through. */
static void test_a_call_larger_than_the_quota_goes_alone(void **state)
{
    (void)state;
    struct pacer_limits limits = {.tpm = 100, .max_in_flight = 9, .time_scale = 1};
    struct pacer *pacer = pacer_new(&limits, 1);
    pacer_sent(pacer, at(1000), 60);
    pacer_sent(pacer, at(2000000), 30);
    struct pacer_answer answer = pacer_ask(pacer, at(3000000), 500, 0, false, false);
    assert_int_equal(answer.wait, PACER_LIMIT_TPM);
    assert_int_equal(answer.wait_us, 2000000 + ALLOWANCE_WINDOW_US + ALLOWANCE_GUARD_US - 3000000); /* when both have left */
    assert_int_equal(ask(pacer, 3000000 + answer.wait_us, 500), PACER_GO);
    pacer_free(pacer);
}

static void test_a_canary_that_did_not_go_out_lets_the_next_one_go(void **state)
{
    (void)state;
    struct pacer_limits limits = {.max_in_flight = 9, .time_scale = 1};
    struct pacer *pacer = pacer_new(&limits, 1);
    struct pacer_outcome refused = {.class = OUTCOME_THROTTLED, .sent_us = 1000, .retry_after_ms = 1000, .quota_value = -1, .tokens = -1};
    struct pacer_change change;
    pacer_sent(pacer, at(1000), 1);
    pacer_outcome(pacer, at(2000), &refused, &change);
    pacer_sent(pacer, at(2000000), 1);
    assert_int_equal(ask(pacer, 2000001, 1), PACER_BLOCKED);
    pacer_unsent(pacer, at(2000000));
    assert_int_equal(ask(pacer, 2000001, 1), PACER_GO);
    pacer_free(pacer);
}

static void test_room_is_what_each_limit_leaves(void **state)
{
    (void)state;
    static const struct {
        int64_t rpm, tpm, rpd, tokens, in_flight, room; /* after two sends of 10 tokens each */
    } rows[] = {{0, 0, 0, 10, 0, 9},  {0, 0, 0, 10, 7, 2}, {0, 0, 0, 10, 12, 0}, {5, 0, 0, 10, 0, 3},  {2, 0, 0, 10, 0, 0}, {0, 55, 0, 10, 0, 3},
                {0, 20, 0, 1, 0, 0},  {0, 0, 6, 10, 0, 4}, {0, 0, 2, 10, 0, 0},  {6, 45, 4, 10, 0, 2}, {0, 55, 0, 0, 0, 9}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct pacer_limits limits = {.rpm = rows[i].rpm, .tpm = rows[i].tpm, .rpd = rows[i].rpd, .max_in_flight = 9, .time_scale = 1};
        struct pacer *pacer = pacer_new(&limits, 1);
        pacer_sent(pacer, at(1000), 10);
        pacer_sent(pacer, at(2000), 10);
        assert_int_equal(pacer_room(pacer, at(3000), rows[i].tokens, rows[i].in_flight, false), rows[i].room);
        pacer_free(pacer);
    }
}

/* A pacer that has read these back, a second after the machine's boot: the sends of the former life lie before it. */
static struct pacer *read_back(int64_t rpm, int64_t tpm, int64_t rpd, const struct former_send *sends, size_t count, int64_t day_calls)
{
    struct pacer_limits limits = {.rpm = rpm, .tpm = tpm, .rpd = rpd, .max_in_flight = 9, .time_scale = 1};
    struct pacer *pacer = pacer_new(&limits, 1);
    pacer_read_back(pacer, at(1000000), sends, count, day_calls);
    return pacer;
}

static void test_sends_of_former_lives_leave_the_window_in_their_time(void **state)
{
    (void)state;
    int64_t now_ms = NOON_MS + 1000;
    const struct former_send sends[] = {{now_ms - 20000, 1, false}, {now_ms - 50000, 1, true}, {now_ms - 60251, 1, false}, {now_ms + 9000, 1, false}};
    struct pacer *pacer = read_back(3, 0, 0, sends, ARRAY_COUNT(sends), 0);
    struct pacer_answer answer = pacer_ask(pacer, at(1000000), 1, 0, false, false);
    assert_int_equal(answer.wait, PACER_LIMIT_RPM);
    assert_int_equal(answer.wait_us, 10250000); /* the one of 50 s ago is the oldest; that of 60.251 s ago has left */
    assert_int_equal(pacer_room(pacer, at(11250000), 1, 0, false), 1);
    assert_int_equal(pacer_room(pacer, at(41250000), 1, 0, false), 2);
    assert_int_equal(pacer_room(pacer, at(61249999), 1, 0, false), 2); /* the clock went back since: as if sent at the start */
    assert_int_equal(pacer_room(pacer, at(61250000), 1, 0, false), 3);
    pacer_free(pacer);
}

static void test_tokens_that_nobody_told_are_as_many_as_may_be(void **state)
{
    (void)state;
    int64_t now_ms = NOON_MS + 1000;
    const struct former_send sends[] = {{now_ms - 3000, 30, false}, {now_ms - 2000, -1, false}, {now_ms - 1000, 20, false}};
    struct pacer *pacer = read_back(0, 100, 0, sends, ARRAY_COUNT(sends), 0);
    assert_int_equal(ask(pacer, 1000000, 20), PACER_GO); /* 30 + 30 + 20 */
    assert_int_equal(ask(pacer, 1000000, 21), PACER_LIMIT_TPM);
    pacer_free(pacer);
    pacer = read_back(0, 100, 0, &sends[1], 1, 0);
    assert_int_equal(ask(pacer, 1000000, 1), PACER_LIMIT_TPM); /* it may have used the whole quota */
    pacer_free(pacer);
}

static void test_the_days_calls_of_former_lives_count(void **state)
{
    (void)state;
    struct pacer *pacer = read_back(0, 0, 5, NULL, 0, 4);
    assert_int_equal(pacer_room(pacer, at(1000000), 1, 0, false), 1);
    pacer_sent(pacer, at(1000000), 1);
    assert_int_equal(ask(pacer, 2000000, 1), PACER_LIMIT_RPD);
    int64_t midnight_us = (clock_next_pacific_midnight_ms(NOON_MS) - NOON_MS) * 1000;
    assert_int_equal(ask(pacer, midnight_us, 1), PACER_GO);
    pacer_free(pacer);
}

static void test_an_operator_tries_within_a_block_and_not_beyond_a_limit(void **state)
{
    (void)state;
    struct pacer_limits limits = {.rpm = 2, .max_in_flight = 9, .time_scale = 1};
    struct pacer *pacer = pacer_new(&limits, 1);
    struct pacer_outcome refused = {.class = OUTCOME_THROTTLED, .sent_us = 1000, .retry_after_ms = 90000, .quota_value = -1, .tokens = -1};
    struct pacer_change change;
    pacer_sent(pacer, at(1000), 1);
    pacer_outcome(pacer, at(2000), &refused, &change);
    assert_true(pacer_ask_test(pacer, at(3000), PACER_TEST_TOKENS) > 0);
    assert_int_equal(pacer_ask_limits(pacer, at(3000), PACER_TEST_TOKENS).wait, PACER_GO);
    pacer_sent(pacer, at(3000), 1);
    assert_int_equal(pacer_ask_limits(pacer, at(4000), PACER_TEST_TOKENS).wait, PACER_LIMIT_RPM);
    pacer_free(pacer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_did_not_go_out_is_not_counted),
        cmocka_unit_test(test_a_send_of_yesterday_is_not_taken_from_today),
        cmocka_unit_test(test_a_clock_that_is_set_gives_no_new_day),
        cmocka_unit_test(test_more_days_than_are_kept_count_all_the_same),
        cmocka_unit_test(test_limits_that_change_hold_at_once),
        cmocka_unit_test(test_a_call_larger_than_the_quota_goes_alone),
        cmocka_unit_test(test_room_is_what_each_limit_leaves),
        cmocka_unit_test(test_sends_of_former_lives_leave_the_window_in_their_time),
        cmocka_unit_test(test_tokens_that_nobody_told_are_as_many_as_may_be),
        cmocka_unit_test(test_the_days_calls_of_former_lives_count),
        cmocka_unit_test(test_an_operator_tries_within_a_block_and_not_beyond_a_limit),
        cmocka_unit_test(test_a_canary_that_did_not_go_out_lets_the_next_one_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
