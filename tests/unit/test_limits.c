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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_did_not_go_out_is_not_counted),
        cmocka_unit_test(test_a_send_of_yesterday_is_not_taken_from_today),
        cmocka_unit_test(test_room_is_what_each_limit_leaves),
        cmocka_unit_test(test_a_canary_that_did_not_go_out_lets_the_next_one_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
