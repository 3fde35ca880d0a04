/* Money that is reserved for calls: held against the run until a call's cost is known, kept where it never is, found again by the next life. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/contract/store_bed.h"

#include <string.h>

#define NOON_MS INT64_C(1795464000000) /* 2026-11-23 20:00 UTC, noon in Los Angeles */

static int begin(void **state)
{
    struct bed *bed = xcalloc(1, sizeof *bed);
    clock_fake(1000000, NOON_MS);
    bed_begin(bed, bed_engine);
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

static void reserve(struct bed *bed, int64_t run, int64_t call, int64_t micros)
{
    struct store_reserve *reserve = store_op_new(OP_RESERVE, NULL, NULL);
    reserve->items = xcalloc(1, sizeof *reserve->items);
    reserve->items[reserve->count++] = (struct reserve_item){run, call, micros};
    assert_int_equal(bed_do_free(bed, &reserve->op), 0);
}

/* Ends one of the claim's calls: with a cost (-1: unknown), and so much kept of what was reserved. */
static void settle(struct bed *bed, const struct store_claim *claim, size_t at, enum outcome_class class, int64_t cost_micros, int64_t kept_micros)
{
    struct store_settle *settle = make_settle(claim, at, 1, MOVE_PENDING, class, NULL, NULL, NULL);
    settle->items[0].has_call_result = true;
    settle->items[0].is_call_lost = class == OUTCOME_LOST;
    settle->items[0].cost_micros = cost_micros;
    settle->items[0].kept_micros = kept_micros;
    assert_int_equal(bed_do_free(bed, &settle->op), 0);
}

static int64_t day_cost(const struct bed *bed)
{
    for (size_t i = 0; i < bed->image.sends_count; i++)
        if (strcmp(bed->image.sends[i].endpoint, "gemini") == 0)
            return bed->image.sends[i].day_cost_micros;
    return 0;
}

static void test_a_reservation_stands_until_the_cost_is_known(void **state)
{
    struct bed *bed = *state;
    int64_t run = bed_run(bed, 3, 1, -1, NULL);
    struct store_claim *claim = bed_claim(bed, run, 3);
    reserve(bed, run, claim->ret_rows[0].call, 500);
    reserve(bed, run, claim->ret_rows[1].call, 300);
    assert_int_equal(bed->run.counts[COUNT_COST_RESERVED], 800);
    reserve(bed, run, claim->ret_rows[1].call, 400); /* it needs more: in place of what it had */
    assert_int_equal(bed->run.counts[COUNT_COST_RESERVED], 900);
    bed_check(bed);
    settle(bed, claim, 0, OUTCOME_TRANSIENT, 120, 0);
    assert_int_equal(bed->run.counts[COUNT_COST_RESERVED], 400);
    assert_int_equal(bed->run.counts[COUNT_COST_MICROS], 120);
    settle(bed, claim, 1, OUTCOME_LOST, -1, 400); /* nobody knows */
    settle(bed, claim, 2, OUTCOME_TRANSIENT, 5, 0); /* nothing was reserved for it */
    assert_int_equal(bed->run.counts[COUNT_COST_RESERVED], 400);
    reserve(bed, run, claim->ret_rows[0].call, 70); /* it has ended meanwhile */
    assert_int_equal(bed->run.counts[COUNT_COST_RESERVED], 400);
    bed_check(bed);
    store_op_free(&claim->op);
}

static void test_a_call_that_was_not_sent_gives_its_reservation_back(void **state)
{
    struct bed *bed = *state;
    int64_t run = bed_run(bed, 1, 1, -1, NULL);
    struct store_claim *claim = bed_claim(bed, run, 1);
    reserve(bed, run, claim->ret_rows[0].call, 500);
    struct store_release *release = store_op_new(OP_RELEASE, NULL, NULL);
    release->items = xcalloc(1, sizeof *release->items);
    release->items[release->count++] = (struct release_item){run, claim->ret_rows[0].assignment, claim->ret_lease, claim->ret_rows[0].call, 1};
    assert_int_equal(bed_do_free(bed, &release->op), 0);
    assert_int_equal(bed->run.counts[COUNT_COST_RESERVED], 0);
    bed_check(bed);
    store_op_free(&claim->op);
}

/* Two calls are under way when the process is gone, one more was lost before: all three stay reserved, and the endpoint's day has spent them. */
static void test_the_next_life_finds_what_was_reserved(void **state)
{
    struct bed *bed = *state;
    int64_t run = bed_run(bed, 4, 1, -1, NULL);
    struct store_claim *claim = bed_claim(bed, run, 4);
    for (size_t i = 0; i < 4; i++)
        reserve(bed, run, claim->ret_rows[i].call, 100 << i);
    settle(bed, claim, 0, OUTCOME_LOST, -1, 100);
    settle(bed, claim, 1, OUTCOME_TRANSIENT, 42, 0);
    bed_close(bed);
    clock_fake_advance_ms(1000);
    bed_open(bed);
    assert_int_equal(bed->image.runs[0].counts[COUNT_COST_RESERVED], 100 + 400 + 800);
    assert_int_equal(bed->image.runs[0].counts[COUNT_COST_MICROS], 42);
    assert_int_equal(day_cost(bed), 100 + 42 + 400 + 800);
    bed_check(bed);
    bed_close(bed);
    clock_fake_advance_ms(1000);
    bed_open(bed); /* and only once */
    assert_int_equal(day_cost(bed), 100 + 42 + 400 + 800);
    bed_close(bed);
    clock_fake_advance_ms(INT64_C(86400000)); /* another day */
    bed_open(bed);
    assert_int_equal(day_cost(bed), 0);
    assert_int_equal(bed->image.runs[0].counts[COUNT_COST_RESERVED], 1300);
    store_op_free(&claim->op);
}

static int64_t test_begin(struct bed *bed, int64_t reserve_micros)
{
    struct store_call_begin *begin = store_op_new(OP_CALL_BEGIN, NULL, NULL);
    begin->endpoint = xstrdup("gemini");
    begin->reserve_micros = reserve_micros;
    assert_int_equal(bed_do(bed, &begin->op), 0);
    int64_t call = begin->ret_call;
    store_op_free(&begin->op);
    return call;
}

/* Test requests belong to no run; the endpoint's day pays for them. */
static void test_test_requests_are_of_the_day(void **state)
{
    struct bed *bed = *state;
    struct store_call_end *end = store_op_new(OP_CALL_END, NULL, NULL);
    *end = (struct store_call_end){.op = end->op, .call = test_begin(bed, 30), .class = OUTCOME_SUCCEEDED, .tokens = {9, -1, -1, -1, -1}, .cost_micros = 7};
    assert_int_equal(bed_do_free(bed, &end->op), 0);
    test_begin(bed, 60); /* never ends */
    bed_close(bed);
    bed_open(bed);
    assert_int_equal(day_cost(bed), 7 + 60);
    bed_check(bed);
    bed_close(bed);
    bed_open(bed);
    assert_int_equal(day_cost(bed), 7 + 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_reservation_stands_until_the_cost_is_known, begin, end),
        cmocka_unit_test_setup_teardown(test_a_call_that_was_not_sent_gives_its_reservation_back, begin, end),
        cmocka_unit_test_setup_teardown(test_the_next_life_finds_what_was_reserved, begin, end),
        cmocka_unit_test_setup_teardown(test_test_requests_are_of_the_day, begin, end),
    };
    return bed_run_suite(tests, ARRAY_COUNT(tests));
}
