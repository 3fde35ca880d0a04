/* The simulated endpoint at its edges: when quotas let a call in, what places, faults, outages and other clients do, and what a refusal tells. */
#include "tests/sim/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* after those that it needs */
#include <cmocka.h>

#define BUCKET_600 {.kind = QUOTA_BUCKET, .limit = 600, .burst = 10, .window_s = 60, .nominal_s = 60}
#define FIXED_5 {.kind = QUOTA_FIXED, .limit = 5, .window_s = 60, .nominal_s = 60}
#define FIRST_5 {.kind = QUOTA_FIXED, .starts_at_first = true, .limit = 5, .window_s = 60, .nominal_s = 60}
#define SLIDING_5 {.kind = QUOTA_SLIDING, .limit = 5, .window_s = 60, .nominal_s = 60}
#define SLIDING_ALL_5 {.kind = QUOTA_SLIDING, .counts_refused = true, .limit = 5, .window_s = 60, .nominal_s = 60}
#define TOKENS_1000 {.kind = QUOTA_FIXED, .is_tokens = true, .limit = 1000, .window_s = 60, .nominal_s = 60}
#define DAY_5 {.kind = QUOTA_FIXED, .starts_at_first = true, .is_day = true, .limit = 5, .window_s = 7200, .nominal_s = 7200}

enum { WALL_S = 1200000020 }; /* 20 s into a minute */

static struct server *new_server(const struct server_plan *plan, enum server_hints hints)
{
    return server_new(plan, hints, WALL_S, 7);
}

static struct server_answer call_of(struct server *server, double at_s, int64_t item, double tokens)
{
    struct server_answer answer;
    server_arrive(server, at_s, item, 0, tokens, &answer);
    return answer;
}

/* How many of `calls` at once are let in; they leave at once. */
static int let_in(struct server *server, double at_s, int calls)
{
    int count = 0;
    for (int i = 0; i < calls; i++)
        if (call_of(server, at_s, i, 1).status == 200) {
            server_leave(server);
            count++;
        }
    return count;
}

static void test_bucket(void **state)
{
    (void)state;
    static const struct server_plan plan = {.quotas = {BUCKET_600}};
    struct server *server = new_server(&plan, HINT_NONE);
    assert_int_equal(let_in(server, 0, 12), 10);
    assert_int_equal(let_in(server, 0.099, 1), 0);
    assert_int_equal(let_in(server, 0.101, 2), 1);
    assert_int_equal(let_in(server, 100, 20), 10);
    server_free(server);
}

static void test_windows(void **state)
{
    (void)state;
    static const struct {
        struct server_plan plan;
        double shut_s, open_s; /* when after five calls at 3 s the next five get in */
        int opened;
    } cases[] = {
        {{.quotas = {FIXED_5}}, 39.99, 40.01, 5},     /* the wall clock's minute */
        {{.quotas = {FIRST_5}}, 62.99, 63.01, 5},     /* the first call's */
        {{.quotas = {SLIDING_5}}, 62.99, 63.01, 5},   /* each call's own */
        {{.quotas = {SLIDING_ALL_5}}, 62.99, 63.01, 4}, /* of the refusal at 62.99 s, too */
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct server *server = new_server(&cases[i].plan, HINT_NONE);
        assert_int_equal(let_in(server, 3, 5), 5);
        assert_int_equal(let_in(server, cases[i].shut_s, 1), 0);
        assert_int_equal(let_in(server, cases[i].open_s, 6), cases[i].opened);
        server_free(server);
    }
}

static void test_a_client_that_hammers_never_gets_back_where_refusals_count(void **state)
{
    (void)state;
    static const struct server_plan plan = {.quotas = {SLIDING_ALL_5}};
    struct server *server = new_server(&plan, HINT_NONE);
    assert_int_equal(let_in(server, 0, 5), 5);
    for (int at_s = 1; at_s < 600; at_s++)
        assert_int_equal(let_in(server, at_s, 1), 0);
    assert_int_equal(let_in(server, 900, 9), 5);
    server_free(server);
}

static void test_a_call_takes_from_all_quotas_or_from_none(void **state)
{
    (void)state;
    static const struct server_plan plan = {.quotas = {FIXED_5, TOKENS_1000}};
    struct server *server = new_server(&plan, HINT_FULL);
    assert_int_equal(call_of(server, 0, 0, 900).status, 200);
    struct server_answer refused = call_of(server, 1, 1, 200);
    assert_int_equal(refused.status, 429);
    assert_true(refused.is_tokens && refused.quota_value == 1000);
    for (int i = 2; i < 6; i++)
        assert_int_equal(call_of(server, 2, i, 25).status, 200);
    refused = call_of(server, 3, 6, 1);
    assert_int_equal(refused.status, 429);
    assert_false(refused.is_tokens);
    server_free(server);
}

static void test_hints(void **state)
{
    (void)state;
    static const struct server_plan minute = {.quotas = {FIXED_5}}, day = {.quotas = {DAY_5}};
    struct server *server = new_server(&minute, HINT_RETRY_AFTER);
    let_in(server, 0, 5);
    struct server_answer answer = call_of(server, 9.5, 9, 1);
    assert_true(answer.has_hint && answer.retry_after_ms == 31000 && answer.quota_value == -1); /* 30.5 s, as whole ones */
    server_free(server);
    server = new_server(&minute, HINT_FULL);
    let_in(server, 0, 5);
    answer = call_of(server, 9.5, 9, 1);
    assert_in_range(answer.retry_after_ms, 30500, 30502);
    assert_true(answer.quota_value == 5 && !answer.is_day);
    server_free(server);
    server = new_server(&day, HINT_FULL);
    let_in(server, 0, 5);
    answer = call_of(server, 10, 9, 1);
    assert_true(answer.is_day && answer.quota_value == 5);
    assert_in_range(answer.retry_after_ms, 8000, 28000); /* and it is two hours */
    server_free(server);
    server = new_server(&minute, HINT_NONE);
    let_in(server, 0, 5);
    assert_false(call_of(server, 1, 9, 1).has_hint);
    server_free(server);
}

static void test_quotas_change(void **state)
{
    (void)state;
    static const struct server_plan plan = {.quotas = {SLIDING_5}, .changes = {{200, 0.6}, {400, 4}}};
    struct server *server = new_server(&plan, HINT_NONE);
    assert_int_equal(let_in(server, 100, 9), 5);
    assert_int_equal(let_in(server, 201, 9), 3);
    assert_int_equal(let_in(server, 401, 20), 12);
    server_free(server);
}

static void test_a_crowd_slows_and_a_limit_refuses(void **state)
{
    (void)state;
    static const struct server_plan plan = {.bears = BEARS_KNEE, .knee = 2, .hard = 4, .exponent = 1};
    struct server *server = new_server(&plan, HINT_NONE), *alone = new_server(&plan, HINT_NONE);
    double factors[] = {1, 1, 1.5, 2};
    for (int i = 0; i < 4; i++) {
        double crowded_s = call_of(server, 0, i, 1).latency_s, alone_s = call_of(alone, 0, i, 1).latency_s;
        server_leave(alone);
        assert_true(fabs(crowded_s / alone_s - factors[i]) < 1e-9); /* the same call takes as long, but for the crowd */
    }
    assert_int_equal(call_of(server, 0, 9, 1).status, 503);
    server_leave(server);
    assert_int_equal(call_of(server, 0, 9, 1).status, 200);
    server_free(server);
    server_free(alone);
}

static void test_workers_serve_in_turn(void **state)
{
    (void)state;
    static const struct server_plan plan = {.bears = BEARS_FIFO, .knee = 1, .hard = 3}, free_plan = {.fault_share = 0};
    struct server *server = new_server(&plan, HINT_NONE), *free_server = new_server(&free_plan, HINT_NONE);
    double sum_s = 0;
    for (int i = 0; i < 3; i++) {
        sum_s += call_of(free_server, 0, i, 1).latency_s;
        assert_true(fabs(call_of(server, 0, i, 1).latency_s - sum_s) < 1e-9);
    }
    assert_int_equal(call_of(server, 0, 3, 1).status, 503);
    server_free(server);
    server_free(free_server);
}

static void test_outages(void **state)
{
    (void)state;
    static const struct server_plan refuses = {.outage_from_s = 10, .outage_to_s = 20}, hangs = {.outage_from_s = 10, .outage_to_s = 20, .outage_hangs = true};
    struct server *server = new_server(&refuses, HINT_NONE);
    assert_int_equal(call_of(server, 9.9, 0, 1).status, 200);
    assert_int_equal(call_of(server, 10, 1, 1).status, 503);
    assert_int_equal(call_of(server, 20, 1, 1).status, 200);
    assert_true(server_next_s(server, 15, 1) > 19.9);
    server_free(server);
    server = new_server(&hangs, HINT_NONE);
    assert_true(isinf(call_of(server, 15, 1, 1).latency_s));
    server_free(server);
}

static void test_faults(void **state)
{
    (void)state;
    enum { CALLS = 4000 };
    static const struct server_plan poisoned = {.poisoned_share = 0.05}, brown = {.brown_from_s = 10, .brown_to_s = 20, .brown_share = 0.3};
    struct server *server = new_server(&poisoned, HINT_NONE);
    int count = 0, brown_count = 0;
    for (int i = 0; i < CALLS; i++) {
        int status = call_of(server, i, i, 1).status;
        assert_int_equal(status == 500, server_is_poisoned(server, i));
        assert_int_equal(call_of(server, i, i, 1).status, status); /* each time */
        count += status == 500;
    }
    assert_in_range(count, CALLS * 0.03, CALLS * 0.07);
    server_free(server);
    server = new_server(&brown, HINT_NONE);
    assert_int_equal(let_in(server, 9, 500), 500);
    for (int i = 0; i < CALLS; i++)
        brown_count += call_of(server, 15, i, 1).status == 500;
    assert_in_range(brown_count, CALLS * 0.25, CALLS * 0.35);
    assert_int_equal(let_in(server, 21, 500), 500);
    server_free(server);
}

static void test_another_client(void **state)
{
    (void)state;
    static const struct server_plan alone = {.quotas = {SLIDING_5}};
    static const struct server_plan gives_up = {.quotas = {SLIDING_5}, .other_from_s = 1, .other_to_s = 50, .other_per_s = 5};
    struct server_plan waits = gives_up;
    waits.other_is_served = true;
    const struct {
        const struct server_plan *plan;
        int at_50, at_61, at_122; /* of five, after five at 0 s */
    } cases[] = {{&alone, 0, 5, 5}, {&gives_up, 0, 5, 5}, {&waits, 0, 0, 5}}; /* one that waits has taken what became free */
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct server *server = new_server(cases[i].plan, HINT_NONE);
        assert_int_equal(let_in(server, 0, 5), 5);
        assert_int_equal(let_in(server, 50, 5), cases[i].at_50);
        assert_int_equal(let_in(server, 61, 5), cases[i].at_61);
        assert_int_equal(let_in(server, 122, 5), cases[i].at_122);
        server_free(server);
    }
    struct server *server = new_server(&gives_up, HINT_NONE);
    assert_int_equal(let_in(server, 40, 5), 0); /* the other was there first */
    server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_a_client_that_hammers_never_gets_back_where_refusals_count),
        cmocka_unit_test(test_a_call_takes_from_all_quotas_or_from_none),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_quotas_change),
        cmocka_unit_test(test_a_crowd_slows_and_a_limit_refuses),
        cmocka_unit_test(test_workers_serve_in_turn),
        cmocka_unit_test(test_outages),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_another_client),
    };
    return cmocka_run_group_tests_name("simulated endpoint", tests, NULL, NULL);
}
