/* What blocks teach the pace, and what an endpoint's own numbers are worth: each endpoint here is a few lines, answers at once, and may lie. Each test fails when its
 * rule is broken. */
#include "core/pacer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define S INT64_C(1000000)
#define NOT_TOLD (-1)

/* What a server takes, and what it says of that. */
struct server {
    enum { WINDOW, BUCKET } kind;
    double per_min, burst;         /* of a window: so many in a minute that begins with a call */
    int64_t printed, retry_after_ms; /* NOT_TOLD */
    double credit;
    int64_t at_us, until_us;
    int64_t taken, refused;
};

static bool takes(struct server *server, int64_t now_us)
{
    if (server->kind == WINDOW && now_us >= server->until_us) {
        server->until_us = now_us + 60 * S;
        server->credit = server->per_min;
    } else if (server->kind == BUCKET) {
        double filled = server->at_us == 0 ? server->burst : server->credit + (double)(now_us - server->at_us) / 60e6 * server->per_min;
        server->credit = fmin(server->burst, filled);
        server->at_us = now_us;
    }
    bool is_taken = server->credit >= 1;
    server->credit -= is_taken;
    server->taken += is_taken;
    server->refused += !is_taken;
    return is_taken;
}

static struct pacer_now at(int64_t us)
{
    return (struct pacer_now){.mono_us = us, .wall_ms = INT64_C(1795448640000) + us / 1000};
}

static struct pacer *new_pacer(void)
{
    const struct pacer_limits limits = {.max_in_flight = 256, .time_scale = 1};
    return pacer_new(&limits, 7);
}

/* Sends whatever the pacer lets go until then; a call is answered or refused a millisecond after it went. */
static void drive(struct pacer *pacer, struct server *server, int64_t *now_us, int64_t until_us)
{
    while (*now_us < until_us) {
        struct pacer_answer answer = pacer_ask(pacer, at(*now_us), 10, 0, true, false);
        if (answer.wait != PACER_GO) {
            *now_us += max_i64(answer.wait_us, 1);
            continue;
        }
        struct pacer_change change;
        struct pacer_outcome outcome = {.class = takes(server, *now_us) ? OUTCOME_SUCCEEDED : OUTCOME_THROTTLED, .sent_us = *now_us, .latency_us = 50000,
                                        .retry_after_ms = server->retry_after_ms, .quota_value = server->printed, .quota_is_requests = server->printed >= 0, .tokens = -1};
        pacer_sent(pacer, at(*now_us), 10);
        *now_us += 1000;
        pacer_outcome(pacer, at(*now_us), &outcome, &change);
    }
}

/* Whatever is printed beside a refusal, what is really taken is found out, and is used; nobody is refused for ever because of a number. */
static void test_a_printed_number_that_is_wrong_is_found_out(void **state)
{
    (void)state;
    static const struct server servers[] = {{.kind = WINDOW, .per_min = 100}, {.kind = BUCKET, .per_min = 100, .burst = 100}, {.kind = BUCKET, .per_min = 600, .burst = 10}};
    static const int64_t lies[] = {1, 150, 400, 6000, 1000000, INT64_MAX}, delays_ms[] = {NOT_TOLD, 0};
    enum { MINUTES = 30 };
    for (size_t i = 0; i < ARRAY_COUNT(servers) * ARRAY_COUNT(lies) * ARRAY_COUNT(delays_ms); i++) {
        struct server server = servers[i % ARRAY_COUNT(servers)];
        server.printed = lies[i / ARRAY_COUNT(servers) % ARRAY_COUNT(lies)];
        server.retry_after_ms = delays_ms[i / ARRAY_COUNT(servers) / ARRAY_COUNT(lies)];
        if (server.per_min == 600 && server.printed >= 100 && server.printed <= 400)
            continue; /* believed: it may be true, and keeps to it */
        struct pacer *pacer = new_pacer();
        int64_t now_us = 5 * S;
        drive(pacer, &server, &now_us, (5 + 60 * MINUTES) * S);
        assert_true((double)server.taken >= 0.95 * MINUTES * server.per_min);
        assert_true(server.refused <= server.taken / 20);
        pacer_free(pacer);
    }
}

static void test_a_printed_number_that_is_right_saves_refusals(void **state)
{
    (void)state;
    static const struct server servers[] = {{.kind = WINDOW, .per_min = 100}, {.kind = BUCKET, .per_min = 100, .burst = 100}, {.kind = BUCKET, .per_min = 600, .burst = 10}};
    for (size_t i = 0; i < ARRAY_COUNT(servers); i++) {
        struct server silent = servers[i], telling = servers[i];
        silent.printed = NOT_TOLD;
        telling.printed = (int64_t)telling.per_min;
        telling.retry_after_ms = silent.retry_after_ms = 0;
        struct pacer *first = new_pacer(), *second = new_pacer();
        int64_t now_us = 5 * S;
        drive(first, &silent, &now_us, 1805 * S);
        now_us = 5 * S;
        drive(second, &telling, &now_us, 1805 * S);
        assert_true(telling.refused < 0.7 * silent.refused && telling.taken >= 0.98 * 30 * telling.per_min);
        pacer_free(first);
        pacer_free(second);
    }
}

/* A delay is not believed beyond an hour, and 0 is none. */
static void test_a_delay_is_believed_for_an_hour_at_most(void **state)
{
    (void)state;
    static const struct {
        int64_t retry_after_ms, least_us, most_us;
    } rows[] = {{0, 0, S}, {1, 0, S}, {15000, 15 * S, 16 * S}, {INT64_MAX, 3600 * S, 3601 * S}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct pacer *pacer = new_pacer();
        struct pacer_change change;
        struct pacer_outcome outcome = {.class = OUTCOME_THROTTLED, .sent_us = S, .latency_us = 1000, .retry_after_ms = rows[i].retry_after_ms, .quota_value = -1, .tokens = -1};
        pacer_sent(pacer, at(S), 10);
        pacer_outcome(pacer, at(2 * S), &outcome, &change);
        struct pacer_answer answer = pacer_ask(pacer, at(2 * S), 10, 0, true, false);
        assert_int_equal(answer.wait, PACER_BLOCKED);
        assert_in_range(answer.wait_us, rows[i].least_us, rows[i].most_us);
        pacer_free(pacer);
    }
}

/* Who refuses for ever is asked less and less: some tens of times in a day, with a delay of nothing or without one. */
static void test_who_refuses_for_ever_is_asked_less_and_less(void **state)
{
    (void)state;
    static const int64_t delays_ms[] = {NOT_TOLD, 0};
    for (size_t i = 0; i < ARRAY_COUNT(delays_ms); i++) {
        struct pacer *pacer = new_pacer();
        struct server server = {.kind = BUCKET, .per_min = 0, .burst = 20, .printed = NOT_TOLD, .retry_after_ms = delays_ms[i]};
        int64_t now_us = 5 * S;
        drive(pacer, &server, &now_us, 86400 * S);
        assert_in_range(server.refused, 40, 160);
        struct pacer_answer answer = pacer_ask(pacer, at(now_us), 10, 0, true, false);
        assert_true(answer.wait == PACER_GO || answer.wait_us <= 1801 * S); /* and half an hour after it has come back it is known */
        pacer_free(pacer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_printed_number_that_is_wrong_is_found_out),
        cmocka_unit_test(test_a_printed_number_that_is_right_saves_refusals),
        cmocka_unit_test(test_a_delay_is_believed_for_an_hour_at_most),
        cmocka_unit_test(test_who_refuses_for_ever_is_asked_less_and_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
