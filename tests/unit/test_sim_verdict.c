/* What gallocsim decides for a call: faults, refusals in their order, latency. No waiting: time is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/sim_rig.h"

static struct call_facts call_of(const char *key, int64_t key_call, double now_s)
{
    struct call_facts call = {.route = ROUTE_GENERATE,
                              .has_key = true,
                              .is_key_right = true,
                              .is_model_known = true,
                              .is_valid = true,
                              .tokens = 100,
                              .now_s = now_s,
                              .wall_s = 1000000 + now_s};
    if (key != NULL)
        call.key = (struct text_span){key, strlen(key)};
    else
        call.is_test = true;
    call.arrival = (struct tally_arrival){.key_call = key_call, .key_hash = key ? chance_hash(key, strlen(key)) : 0};
    return call;
}

struct court {
    struct settings settings;
    struct judge judge;
};

static void court_open(struct court *court)
{
    settings_init(&court->settings);
    judge_init(&court->judge, &court->settings);
}

static enum kind judged(struct court *court, const char *key, int64_t key_call)
{
    struct call_facts call = call_of(key, key_call, 1);
    struct verdict verdict;
    judge_decide(&court->judge, &call, &verdict);
    if (verdict.is_in_service)
        judge_leave(&court->judge);
    return verdict.kind;
}

static void test_faults_come_by_key_not_by_order(void **state)
{
    (void)state;
    struct court court;
    enum kind forth[200], back[200];
    char key[16];
    int failures = 0;
    court_open(&court);
    sim_set(&court.settings, "error_500", "0.2");
    sim_set(&court.settings, "malformed", "0.1");
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "LAN%05d", i);
        forth[i] = judged(&court, key, 1);
        failures += forth[i] != KIND_OK;
    }
    assert_in_range(failures, 40, 80); /* 30 % of 200 */
    for (int i = 199; i >= 0; i--) {
        snprintf(key, sizeof key, "LAN%05d", i);
        back[i] = judged(&court, key, 1);
    }
    assert_memory_equal(forth, back, sizeof forth);
    sim_set(&court.settings, "seed", "2");
    int differ = 0;
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "LAN%05d", i);
        differ += judged(&court, key, 1) != forth[i];
    }
    assert_true(differ > 20);
    judge_clear(&court.judge);
}

static void test_next_calls_fail_and_no_more(void **state)
{
    (void)state;
    struct court court;
    court_open(&court);
    sim_set(&court.settings, "error_503_next", "2");
    sim_set(&court.settings, "drop_reused_next", "1");
    assert_int_equal(judged(&court, "a", 1), KIND_ERROR_503); /* a fresh connection: drop_reused waits */
    assert_int_equal(judged(&court, "b", 1), KIND_ERROR_503);
    assert_int_equal(judged(&court, "c", 1), KIND_OK);
    struct call_facts call = call_of("d", 1, 1);
    struct verdict verdict;
    call.is_reused = true;
    judge_decide(&court.judge, &call, &verdict);
    assert_int_equal(verdict.kind, KIND_DROP_REUSED);
    assert_int_equal(verdict.mode, SEND_NOTHING);
    assert_int_equal(court.settings.fault_next[KIND_DROP_REUSED], 0);
    judge_clear(&court.judge);
}

static void test_poison_strikes_every_time(void **state)
{
    (void)state;
    struct court court;
    char key[16];
    int poisoned = 0;
    court_open(&court);
    sim_set(&court.settings, "poison_share", "0.1");
    sim_set(&court.settings, "poison_keys", "LAN7, LAN8");
    sim_set(&court.settings, "poison_kind", "error_504");
    for (int i = 1000; i < 1400; i++) {
        snprintf(key, sizeof key, "K%d", i);
        enum kind first = judged(&court, key, 1);
        poisoned += first == KIND_ERROR_504;
        for (int call = 2; call < 6; call++)
            assert_int_equal(judged(&court, key, call), first);
    }
    assert_in_range(poisoned, 20, 65);
    assert_int_equal(judged(&court, "LAN8", 1), KIND_ERROR_504);
    assert_int_equal(judged(&court, NULL, 1), KIND_OK); /* a test request has no key */
    judge_clear(&court.judge);
}

static void test_outage_and_test_requests(void **state)
{
    (void)state;
    struct court court;
    court_open(&court);
    sim_set(&court.settings, "outage", "503");
    sim_set(&court.settings, "error_500", "1");
    assert_int_equal(judged(&court, "a", 1), KIND_OUTAGE);
    assert_int_equal(judged(&court, NULL, 1), KIND_OUTAGE);
    sim_set(&court.settings, "outage_spares_tests", "yes");
    assert_int_equal(judged(&court, NULL, 1), KIND_ERROR_500); /* faults are another matter */
    sim_set(&court.settings, "faults_spare_tests", "yes");
    assert_int_equal(judged(&court, NULL, 1), KIND_OK);
    assert_int_equal(judged(&court, "a", 1), KIND_OUTAGE);
    sim_set(&court.settings, "outage", "off");
    assert_int_equal(judged(&court, "a", 1), KIND_ERROR_500);
    judge_clear(&court.judge);
}

static void test_refusals_in_their_order(void **state)
{
    (void)state;
    struct court court;
    struct verdict verdict;
    court_open(&court);
    sim_set(&court.settings, "rpm", "1");
    judge_reset(&court.judge);
    struct call_facts call = call_of("a", 1, 1);
    call.has_key = call.is_key_right = call.is_model_known = call.is_valid = false;
    judge_decide(&court.judge, &call, &verdict);
    assert_int_equal(verdict.kind, KIND_NO_KEY);
    call.has_key = true;
    judge_decide(&court.judge, &call, &verdict);
    assert_int_equal(verdict.kind, KIND_BAD_KEY);
    call.is_key_right = true;
    judge_decide(&court.judge, &call, &verdict);
    assert_int_equal(verdict.kind, KIND_NOT_FOUND);
    call.is_model_known = true;
    judge_decide(&court.judge, &call, &verdict);
    assert_int_equal(verdict.kind, KIND_INVALID); /* and it used the quota up, as the real one's 400 does */
    call.is_valid = true;
    judge_decide(&court.judge, &call, &verdict);
    assert_int_equal(verdict.kind, KIND_QUOTA);
    assert_int_equal(court.judge.in_service, 0);
    judge_clear(&court.judge);
}

static void test_knee_and_hard_limit(void **state)
{
    (void)state;
    struct court court;
    struct verdict verdict;
    court_open(&court);
    sim_set(&court.settings, "latency_ms", "1000");
    sim_set(&court.settings, "knee", "2");
    sim_set(&court.settings, "knee_exponent", "2");
    sim_set(&court.settings, "hard_limit", "4");
    static const double delays_s[] = {1, 1, 2.25, 4};
    for (size_t i = 0; i < ARRAY_COUNT(delays_s); i++) {
        struct call_facts call = call_of("a", (int64_t)i, 1);
        judge_decide(&court.judge, &call, &verdict);
        assert_int_equal(verdict.kind, KIND_OK);
        sim_near(verdict.delay_s, delays_s[i]);
    }
    struct call_facts call = call_of("a", 9, 1);
    judge_decide(&court.judge, &call, &verdict);
    assert_int_equal(verdict.kind, KIND_BUSY);
    assert_false(verdict.is_in_service);
    judge_leave(&court.judge);
    judge_decide(&court.judge, &call, &verdict);
    assert_int_equal(verdict.kind, KIND_OK);
    judge_clear(&court.judge);
}

static void test_workers_and_queue(void **state)
{
    (void)state;
    struct court court;
    struct verdict verdict;
    court_open(&court);
    sim_set(&court.settings, "latency_ms", "1000");
    sim_set(&court.settings, "workers", "2");
    sim_set(&court.settings, "queue", "3");
    judge_configure(&court.judge);
    static const double delays_s[] = {1, 1, 2, 2, 3};
    for (size_t i = 0; i < ARRAY_COUNT(delays_s); i++) {
        struct call_facts call = call_of("a", (int64_t)i, 10);
        judge_decide(&court.judge, &call, &verdict);
        sim_near(verdict.delay_s, delays_s[i]);
    }
    struct call_facts call = call_of("a", 9, 10);
    judge_decide(&court.judge, &call, &verdict);
    assert_int_equal(verdict.kind, KIND_BUSY);
    judge_clear(&court.judge);
}

static void test_latency_is_lognormal(void **state)
{
    (void)state;
    struct court court;
    struct verdict verdict;
    int below = 0, stragglers = 0;
    court_open(&court);
    sim_set(&court.settings, "latency_ms", "1000");
    sim_set(&court.settings, "latency_sigma", "0.5");
    sim_set(&court.settings, "straggler_share", "0.02");
    sim_set(&court.settings, "straggler_factor", "100");
    for (int i = 0; i < 4000; i++) {
        struct call_facts call = call_of("a", i, 1);
        judge_decide(&court.judge, &call, &verdict);
        judge_leave(&court.judge);
        below += verdict.delay_s < 1;
        stragglers += verdict.delay_s > 15;
    }
    assert_in_range(below, 1850, 2100); /* half of them, less the stragglers */
    assert_in_range(stragglers, 45, 120);
    judge_clear(&court.judge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults_come_by_key_not_by_order),
        cmocka_unit_test(test_next_calls_fail_and_no_more),
        cmocka_unit_test(test_poison_strikes_every_time),
        cmocka_unit_test(test_outage_and_test_requests),
        cmocka_unit_test(test_refusals_in_their_order),
        cmocka_unit_test(test_knee_and_hard_limit),
        cmocka_unit_test(test_workers_and_queue),
        cmocka_unit_test(test_latency_is_lognormal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
