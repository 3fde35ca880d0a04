/* The world of the simulation: time goes forward, the same seed gives the same run, every assignment ends once, whoever drives and whatever happens. */
#include "tests/sim/events.h"
#include "tests/sim/scenarios.h"
#include "tests/sim/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after those that it needs */
#include <cmocka.h>

static const struct server_plan sliding_60 = {.quotas = {{.kind = QUOTA_SLIDING, .limit = 60, .window_s = 60, .nominal_s = 60}}};

static struct world *ran(const struct world_plan *plan)
{
    struct world *world = world_new(plan);
    assert_true(world_run(world));
    assert_int_equal(world_left(world), 0);
    return world;
}

static void test_events_come_in_order(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    struct events events = {0};
    struct event event, last = {0};
    for (int i = 0; i < COUNT; i++)
        events_add(&events, (struct event){.at_us = i * 7919 % 101, .kind = i});
    for (int i = 0; i < COUNT; i++) {
        assert_true(events_take(&events, &event));
        assert_true(event.at_us > last.at_us || i == 0 || (event.at_us == last.at_us && event.kind > last.kind));
        last = event;
    }
    assert_false(events_take(&events, &event));
    events_clear(&events);
}

static void test_a_seed_is_a_run(void **state)
{
    (void)state;
    struct world_plan plan = {.server = &sliding_60, .policy = &policy_galloc, .items = 200, .phase_s = -1, .seed = 3};
    struct world *first = ran(&plan), *again = ran(&plan);
    plan.seed = 4;
    struct world *other = ran(&plan);
    assert_memory_equal(world_counts(first), world_counts(again), sizeof(struct world_counts));
    assert_int_equal(world_now_us(first), world_now_us(again));
    assert_int_not_equal(world_now_us(first), world_now_us(other));
    world_free(first);
    world_free(again);
    world_free(other);
}

/* 180 through a window of 60: the last third cannot begin before 120 s, and takes the longest of its calls more. */
static void test_the_oracle_is_the_limit(void **state)
{
    (void)state;
    const struct world_plan plan = {.server = &sliding_60, .policy = &policy_oracle, .items = 180, .phase_s = 20, .seed = 1};
    struct world *world = ran(&plan);
    assert_true(world_makespan_s(world) > 120 && world_makespan_s(world) < 130);
    assert_int_equal(world_counts(world)->calls, 180);
    assert_int_equal(world_counts(world)->refused, 0);
    world_free(world);
}

/* Every policy ends every run of every sort of server; none has more successes than assignments. */
static void test_everything_ends_once(void **state)
{
    (void)state;
    static const struct policy *const policies[] = {&policy_galloc, &policy_oracle, &policy_seed, &policy_pool5, &policy_pool64, &policy_aimd, &policy_aws};
    static const struct server_plan plans[] = {
        {.outage_from_s = 5, .outage_to_s = 50},
        {.outage_from_s = 5, .outage_to_s = 50, .outage_hangs = true},
        {.poisoned_share = 0.05, .fault_share = 0.05},
        {.bears = BEARS_FIFO, .knee = 4, .hard = 8},
        {.quotas = {{.kind = QUOTA_BUCKET, .limit = 300, .burst = 30, .window_s = 60, .nominal_s = 60}}, .straggler_share = 0.1, .straggler_factor = 30},
    };
    for (size_t p = 0; p < ARRAY_COUNT(policies); p++)
        for (size_t s = 0; s < ARRAY_COUNT(plans); s++) {
            const struct world_plan plan = {.server = &plans[s], .policy = policies[p], .items = 100, .phase_s = 0, .seed = 2};
            struct world *world = ran(&plan);
            assert_int_equal(world_in_flight(world), 0);
            assert_int_equal(world_counts(world)->answered_twice, 0);
            world_free(world);
        }
}

/* What a policy gives up in an outage is counted, and run again. */
static void test_what_is_given_up_is_counted(void **state)
{
    (void)state;
    static const struct server_plan out = {.outage_from_s = 5, .outage_to_s = 100};
    const struct world_plan plan = {.server = &out, .policy = &policy_seed, .items = 100, .phase_s = 0, .seed = 1};
    struct world *world = ran(&plan);
    assert_true(world_counts(world)->given_up > 5);
    assert_true(world_makespan_s(world) > 100);
    world_free(world);
}

static void test_galloc_charges_nobody_for_refusals_and_outages(void **state)
{
    (void)state;
    static const struct server_plan plans[] = {
        {.quotas = {{.kind = QUOTA_SLIDING, .limit = 60, .window_s = 60, .nominal_s = 60}}, .outage_from_s = 30, .outage_to_s = 300},
        {.outage_from_s = 2, .outage_to_s = 300, .outage_hangs = true},
        {.bears = BEARS_FIFO, .knee = 8, .hard = 12},
    };
    for (size_t i = 0; i < ARRAY_COUNT(plans); i++) {
        const struct world_plan plan = {.server = &plans[i], .policy = &policy_galloc, .items = 200, .phase_s = 0, .seed = 1};
        struct world *world = ran(&plan);
        const struct world_counts *counts = world_counts(world);
        assert_true(counts->refused + counts->unavailable + counts->timeouts > (i == 2 ? 0 : 5)); /* of a queue that is short it finds out at once */
        assert_true(i == 2 || counts->tests > 0);
        assert_int_equal(counts->charged, 0);
        assert_int_equal(counts->given_up, 0);
        world_free(world);
    }
}

static void test_poisoned_ones_fail_and_no_others(void **state)
{
    (void)state;
    static const struct server_plan poisoned = {.poisoned_share = 0.02, .fault_share = 0.02};
    const struct world_plan plan = {.server = &poisoned, .policy = &policy_galloc, .items = 400, .phase_s = 0, .seed = 5};
    struct world *world = ran(&plan);
    int64_t count = 0;
    for (int64_t i = 0; i < plan.items; i++)
        count += server_is_poisoned(world_server(world), i);
    assert_true(count > 0);
    assert_int_equal(world_counts(world)->given_up, count);
    assert_true(world_counts(world)->charged >= 4 * count);
    world_free(world);
}

static void test_a_killed_client_goes_on(void **state)
{
    (void)state;
    const struct world_plan plan = {.server = &sliding_60, .policy = &policy_galloc, .items = 200, .phase_s = 0, .kill_share = 0.4, .seed = 1};
    struct world *world = ran(&plan);
    assert_true(world_killed_us(world) > 0 && world_killed_us(world) < world_now_us(world));
    assert_int_equal(world_counts(world)->answered_twice, 0);
    world_free(world);
}

static void test_names_are_one_each(void **state)
{
    (void)state;
    for (size_t i = 0; i < scenario_count; i++)
        for (size_t k = i + 1; k < scenario_count; k++)
            assert_string_not_equal(scenarios[i].name, scenarios[k].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_come_in_order),
        cmocka_unit_test(test_a_seed_is_a_run),
        cmocka_unit_test(test_the_oracle_is_the_limit),
        cmocka_unit_test(test_everything_ends_once),
        cmocka_unit_test(test_what_is_given_up_is_counted),
        cmocka_unit_test(test_galloc_charges_nobody_for_refusals_and_outages),
        cmocka_unit_test(test_poisoned_ones_fail_and_no_others),
        cmocka_unit_test(test_a_killed_client_goes_on),
        cmocka_unit_test(test_names_are_one_each),
    };
    return cmocka_run_group_tests_name("simulated world", tests, NULL, NULL);
}
