/* gallocsim's quotas against hand-computed times. No waiting: time is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/sim_rig.h"

static struct quota_plan plan_of(enum quota_kind kind, double limit, double burst, double window_s)
{
    return (struct quota_plan){
        .kind = kind, .limit = limit, .burst = burst, .window_s = window_s, .nominal_s = window_s};
}

/* How many of `calls` arriving at once at now_s are let in. */
static int let_in(struct quota *quota, double now_s, double wall_s, int calls)
{
    int count = 0;
    for (int i = 0; i < calls; i++) {
        if (quota_wait_s(quota, now_s, wall_s, 1) > 0) {
            quota_refuse(quota, now_s, 1);
            continue;
        }
        quota_take(quota, now_s, 1);
        count++;
    }
    return count;
}

static void test_bucket(void **state)
{
    (void)state;
    struct quota_plan plan = plan_of(QUOTA_BUCKET, 600, 10, 60); /* 10 a second, 10 deep */
    struct quota *quota = quota_new(&plan);
    assert_int_equal(let_in(quota, 0, 0, 25), 10);
    sim_near(quota_wait_s(quota, 0, 0, 1), 0.1);
    assert_int_equal(let_in(quota, 0.05, 0, 5), 0);
    assert_int_equal(let_in(quota, 0.5, 0, 25), 5);
    assert_int_equal(let_in(quota, 100, 0, 25), 10); /* never deeper than the burst */
    sim_near(quota_wait_s(quota, 100, 0, 50), 1); /* more than the depth counts as the depth */
    quota_free(quota);
}

static void test_fixed_on_the_wall_clock(void **state)
{
    (void)state;
    struct quota_plan plan = plan_of(QUOTA_FIXED, 300, 300, 60);
    struct quota *quota = quota_new(&plan);
    /* started 20 s into a minute: 300, and the next 300 after 40 s */
    assert_int_equal(let_in(quota, 5, 1000000020, 400), 300);
    sim_near(quota_wait_s(quota, 5, 1000000020, 1), 60 - fmod(1000000020, 60));
    double next_s = 5 + 60 - fmod(1000000020, 60);
    assert_int_equal(let_in(quota, next_s - 0.01, 0, 10), 0);
    assert_int_equal(let_in(quota, next_s + 0.01, 1000000080, 400), 300);
    quota_free(quota);
}

static void test_fixed_from_the_first_call(void **state)
{
    (void)state;
    struct quota_plan plan = plan_of(QUOTA_FIXED, 3, 3, 60);
    plan.starts_at_first = true;
    struct quota *quota = quota_new(&plan);
    assert_int_equal(let_in(quota, 100, 0, 5), 3);
    assert_int_equal(let_in(quota, 159.9, 0, 5), 0);
    assert_int_equal(let_in(quota, 200, 0, 5), 3); /* opens anew at 200, not at 160 */
    assert_int_equal(let_in(quota, 259, 0, 5), 0);
    assert_int_equal(let_in(quota, 260.1, 0, 5), 3);
    quota_free(quota);
}

static void test_sliding(void **state)
{
    (void)state;
    struct quota_plan plan = plan_of(QUOTA_SLIDING, 10, 10, 60);
    struct quota *quota = quota_new(&plan);
    for (int i = 0; i < 10; i++)
        assert_int_equal(let_in(quota, i, 0, 1), 1);
    assert_int_equal(let_in(quota, 30, 0, 3), 0);
    sim_near(quota_wait_s(quota, 30, 0, 1), 30);
    sim_near(quota_wait_s(quota, 30, 0, 3), 32);
    assert_int_equal(let_in(quota, 60.5, 0, 3), 1);
    assert_int_equal(let_in(quota, 68.5, 0, 20), 8);
    quota_free(quota);
}

static void test_sliding_counts_refused(void **state)
{
    (void)state;
    struct quota_plan plan = plan_of(QUOTA_SLIDING, 10, 10, 60);
    plan.counts_refused = true;
    struct quota *quota = quota_new(&plan);
    assert_int_equal(let_in(quota, 0, 0, 10), 10);
    for (int second = 1; second <= 300; second++) /* who hammers never gets back in */
        assert_int_equal(let_in(quota, second, 0, 1), 0);
    assert_int_equal(let_in(quota, 361, 0, 20), 10); /* who waits does */
    quota_free(quota);
}

static void test_quota_of_a_day_ends_in_california(void **state)
{
    (void)state;
    struct quota_plan plan = plan_of(QUOTA_FIXED, 2, 2, 86400);
    plan.is_day = plan.is_pacific = true;
    struct quota *quota = quota_new(&plan);
    double wall_s = 1700000000; /* 2023-11-14 22:13:20 UTC; midnight in Los Angeles is 08:00 UTC in winter */
    assert_int_equal(let_in(quota, 0, wall_s, 5), 2);
    sim_near(quota_wait_s(quota, 0, wall_s, 1),
                (double)clock_next_pacific_midnight_ms((int64_t)wall_s * 1000) / 1000 - wall_s);
    sim_near(quota_wait_s(quota, 0, wall_s, 1), 9 * 3600 + 46 * 60 + 40);
    quota_free(quota);
}

static void test_quota_changes_while_used(void **state)
{
    (void)state;
    struct quota_plan plan = plan_of(QUOTA_SLIDING, 300, 300, 60), half = plan_of(QUOTA_SLIDING, 150, 150, 60);
    struct quota_plan other = plan_of(QUOTA_BUCKET, 150, 150, 60);
    struct quota *quota = quota_new(&plan);
    assert_int_equal(let_in(quota, 0, 0, 100), 100);
    assert_true(quota_change(quota, &half));
    assert_int_equal(let_in(quota, 1, 0, 100), 50); /* what was used counts on */
    assert_false(quota_change(quota, &other));
    quota_free(quota);
}

static void test_several_quotas(void **state)
{
    (void)state;
    struct settings settings;
    struct quota_set quotas = {0};
    struct quota_refusal refusal;
    settings_init(&settings);
    sim_set(&settings, "rpm", "5");
    sim_set(&settings, "tpm", "1000");
    sim_set(&settings, "rpd", "7");
    sim_set(&settings, "quota_kind", "sliding");
    sim_set(&settings, "day_phase", "first");
    sim_set(&settings, "time_scale", "0.1");
    quota_set_reset(&quotas, &settings);
    assert_int_equal(quotas.count, 3);
    int taken = 0;
    for (int i = 0; i < 10; i++)
        taken += quota_set_take(&quotas, 1, 1000, 300, &refusal); /* tokens let three in */
    assert_int_equal(taken, 3);
    assert_int_equal(refusal.count, 1);
    assert_true(refusal.worst->is_tokens && !refusal.worst->is_day);
    sim_near(refusal.wait_s, 6); /* a minute times 0.1 */
    taken = 0;
    for (int i = 0; i < 10; i++)
        taken += quota_set_take(&quotas, 8, 1007, 1, &refusal);
    assert_int_equal(taken, 4); /* five a minute, seven a day: the day has four left */
    assert_true(refusal.worst->is_day);
    assert_true(refusal.wait_s > 8000 && refusal.wait_s < 8640.1);
    quota_set_clear(&quotas);
}

static void test_quota_of_zero_is_named_first(void **state)
{
    (void)state;
    struct settings settings;
    struct quota_set quotas = {0};
    struct quota_refusal refusal;
    settings_init(&settings);
    sim_set(&settings, "rpm", "0");
    sim_set(&settings, "rpd", "1");
    quota_set_reset(&quotas, &settings);
    assert_false(quota_set_take(&quotas, 1, 1000, 1, &refusal));
    assert_true(refusal.worst->limit <= 0);
    quota_set_clear(&quotas);
}

static void test_list_of_quotas(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        int count; /* -1: refused */
    } rows[] = {{"", 0},
                {"requests=300/60s,sliding,refused", 1},
                {"requests=10/1s,bucket,burst=5; tokens=500000/60s,fixed,first;requests=2/1h,day", 3},
                {"requests=10", -1},
                {"calls=10/60s", -1},
                {"requests=10/60s,often", -1},
                {"requests=-1/60s", -1},
                {"requests=10/0s", -1}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct settings settings;
        struct quota_set quotas = {0};
        settings_init(&settings);
        sim_set(&settings, "quotas", rows[i].list);
        int rc = settings_check(&settings, NULL);
        assert_int_equal(rc, rows[i].count < 0 ? -GALLOC_INVALID_VALUE : 0);
        quota_set_reset(&quotas, &settings);
        assert_int_equal(quotas.count, rows[i].count < 0 ? 0 : rows[i].count);
        quota_set_clear(&quotas);
    }
}

static void test_background_eats_the_quota(void **state)
{
    (void)state;
    struct settings settings;
    struct quota_set quotas = {0};
    struct quota_refusal refusal;
    settings_init(&settings);
    sim_set(&settings, "rpm", "600");
    sim_set(&settings, "burst", "2");
    sim_set(&settings, "background_rpm", "300");
    quota_set_reset(&quotas, &settings);
    int taken = 0;
    for (int i = 0; i < 960; i++) /* 8 a second of 10 would all get in, were it not for the 5 of the other client */
        taken += quota_set_take(&quotas, 1 + i / 8.0, 1001 + i / 8.0, 1, &refusal);
    assert_in_range(taken, 600, 900);
    quota_set_clear(&quotas);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket),
        cmocka_unit_test(test_fixed_on_the_wall_clock),
        cmocka_unit_test(test_fixed_from_the_first_call),
        cmocka_unit_test(test_sliding),
        cmocka_unit_test(test_sliding_counts_refused),
        cmocka_unit_test(test_quota_of_a_day_ends_in_california),
        cmocka_unit_test(test_quota_changes_while_used),
        cmocka_unit_test(test_several_quotas),
        cmocka_unit_test(test_quota_of_zero_is_named_first),
        cmocka_unit_test(test_list_of_quotas),
        cmocka_unit_test(test_background_eats_the_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
