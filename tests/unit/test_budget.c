/* Budgets: what a call may cost at most, what fits, what stays reserved. */
#include "core/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct price price = {"USD", 750000, 75000, 3750000};

static void test_a_call_costs_at_most_a_token_a_byte_and_its_cap(void **state)
{
    (void)state;
    assert_int_equal(budget_call_most(&price, 1000000, 0, 0), 750000);
    assert_int_equal(budget_call_most(&price, 0, 0, 1000000), 3750000);
    assert_int_equal(budget_call_most(&price, 1, 0, 0), 1); /* rounded up, as costs are */
    assert_int_equal(budget_call_most(&price, 1000, 1000, 100), 750 + 750 + 375);
    const struct price dear_cache = {"USD", 10, 2000000, 0};
    assert_int_equal(budget_call_most(&dear_cache, 1000, 0, 0), 2000);
    assert_int_equal(budget_call_most(&(struct price){"USD", 0, 0, 0}, 1 << 20, 0, 65536), 0);
    assert_int_equal(budget_call_most(&(struct price){"USD", PRICE_AMOUNT_MAX_MICROS, 0, PRICE_AMOUNT_MAX_MICROS}, INT64_MAX, INT64_MAX, 1), INT64_MAX);
}

/* Whatever a call used within what it was asked with, its cost is not above what was reserved. */
static void test_no_cost_is_above_its_reservation(void **state)
{
    (void)state;
    for (int64_t bytes = 1; bytes < 5000; bytes += 7) {
        for (int64_t cap = 16; cap <= 4096; cap *= 2) {
            int64_t most = budget_call_most(&price, bytes, 0, cap);
            const int64_t used[][5] = {{bytes, 0, cap, 0, 0}, {bytes, bytes, 1, cap - 1, 0}, {bytes / 4, 0, cap / 2, cap / 2, 0}, {1, 0, 0, 0, 0}};
            for (size_t i = 0; i < ARRAY_COUNT(used); i++)
                assert_true(price_of_tokens(&price, used[i]) <= most);
        }
    }
}

static void test_what_fits(void **state)
{
    (void)state;
    const struct budget none = {.max_micros = -1, .spent_micros = INT64_MAX, .reserved_micros = INT64_MAX};
    assert_true(budget_fits(&none, INT64_MAX));
    const struct budget budget = {.max_micros = 1000, .spent_micros = 600, .reserved_micros = 300};
    assert_true(budget_fits(&budget, 100)); /* to the last micro */
    assert_false(budget_fits(&budget, 101));
    assert_int_equal(budget_needed(&budget, 101), 1001);
    const struct budget over = {.max_micros = 500, .spent_micros = 600}; /* lowered while it ran */
    assert_false(budget_fits(&over, 0));
    const struct budget zero = {.max_micros = 0};
    assert_true(budget_fits(&zero, 0)); /* what costs nothing may be asked for without money */
    assert_false(budget_fits(&zero, 1));
    const struct budget huge = {.max_micros = INT64_MAX - 1, .spent_micros = 1};
    assert_false(budget_fits(&huge, INT64_MAX)); /* nothing overflows */
    assert_int_equal(budget_needed(&huge, INT64_MAX), INT64_MAX);
}

static void test_what_stays_reserved(void **state)
{
    (void)state;
    const struct {
        int64_t cost_micros;
        bool was_sent;
        int http_status;
        int64_t kept_micros;
        const char *text;
    } rows[] = {
        {7, true, 200, 0, "its cost is known"},
        {0, true, 200, 0, "it cost nothing"},
        {-1, true, 200, 500, "answered, and no usage was told"},
        {-1, true, 0, 500, "sent, and nothing came back"},
        {-1, false, 0, 0, "never sent"},
        {-1, true, 429, 0, "refused"},
        {-1, true, 503, 0, "refused"},
        {12, true, 0, 0, "a cost without a status"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (budget_kept(500, rows[i].cost_micros, rows[i].was_sent, rows[i].http_status) != rows[i].kept_micros)
            fail_msg("%s", rows[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_call_costs_at_most_a_token_a_byte_and_its_cap),
        cmocka_unit_test(test_no_cost_is_above_its_reservation),
        cmocka_unit_test(test_what_fits),
        cmocka_unit_test(test_what_stays_reserved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
