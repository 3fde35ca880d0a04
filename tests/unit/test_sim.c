/* gallocsim's server model: quotas against hand-computed times, what is decided for a call, the table of settings. No
 * waiting: time is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/json.h"
#include "sim/verdict.h"

/* ---- quotas ---- */

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

static void assert_near(double value, double expected)
{
    if (fabs(value - expected) > 1e-4)
        fail_msg("%g is not %g", value, expected);
}

static void test_bucket(void **state)
{
    (void)state;
    struct quota_plan plan = plan_of(QUOTA_BUCKET, 600, 10, 60); /* 10 a second, 10 deep */
    struct quota *quota = quota_new(&plan);
    assert_int_equal(let_in(quota, 0, 0, 25), 10);
    assert_near(quota_wait_s(quota, 0, 0, 1), 0.1);
    assert_int_equal(let_in(quota, 0.05, 0, 5), 0);
    assert_int_equal(let_in(quota, 0.5, 0, 25), 5);
    assert_int_equal(let_in(quota, 100, 0, 25), 10); /* never deeper than the burst */
    assert_near(quota_wait_s(quota, 100, 0, 50), 1); /* more than the depth counts as the depth */
    quota_free(quota);
}

static void test_fixed_on_the_wall_clock(void **state)
{
    (void)state;
    struct quota_plan plan = plan_of(QUOTA_FIXED, 300, 300, 60);
    struct quota *quota = quota_new(&plan);
    /* started 20 s into a minute: 300, and the next 300 after 40 s */
    assert_int_equal(let_in(quota, 5, 1000000020, 400), 300);
    assert_near(quota_wait_s(quota, 5, 1000000020, 1), 60 - fmod(1000000020, 60));
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
    assert_near(quota_wait_s(quota, 30, 0, 1), 30);
    assert_near(quota_wait_s(quota, 30, 0, 3), 32);
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
    assert_near(quota_wait_s(quota, 0, wall_s, 1),
                (double)clock_next_pacific_midnight_ms((int64_t)wall_s * 1000) / 1000 - wall_s);
    assert_near(quota_wait_s(quota, 0, wall_s, 1), 9 * 3600 + 46 * 60 + 40);
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

static void set(struct settings *settings, const char *name, const char *value)
{
    struct galloc_error error = {0};
    if (settings_set(settings, name, value, &error) != 0)
        fail_msg("%s", error.message);
}

static void test_several_quotas(void **state)
{
    (void)state;
    struct settings settings;
    struct quota_set quotas = {0};
    struct quota_refusal refusal;
    settings_init(&settings);
    set(&settings, "rpm", "5");
    set(&settings, "tpm", "1000");
    set(&settings, "rpd", "7");
    set(&settings, "quota_kind", "sliding");
    set(&settings, "day_phase", "first");
    set(&settings, "time_scale", "0.1");
    quota_set_reset(&quotas, &settings);
    assert_int_equal(quotas.count, 3);
    int taken = 0;
    for (int i = 0; i < 10; i++)
        taken += quota_set_take(&quotas, 1, 1000, 300, &refusal); /* tokens let three in */
    assert_int_equal(taken, 3);
    assert_int_equal(refusal.count, 1);
    assert_true(refusal.worst->is_tokens && !refusal.worst->is_day);
    assert_near(refusal.wait_s, 6); /* a minute times 0.1 */
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
    set(&settings, "rpm", "0");
    set(&settings, "rpd", "1");
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
        set(&settings, "quotas", rows[i].list);
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
    set(&settings, "rpm", "600");
    set(&settings, "burst", "2");
    set(&settings, "background_rpm", "300");
    quota_set_reset(&quotas, &settings);
    int taken = 0;
    for (int i = 0; i < 960; i++) /* 8 a second of 10 would all get in, were it not for the 5 of the other client */
        taken += quota_set_take(&quotas, 1 + i / 8.0, 1001 + i / 8.0, 1, &refusal);
    assert_in_range(taken, 600, 900);
    quota_set_clear(&quotas);
}

/* ---- settings ---- */

static void test_settings_refuse(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *says;
    } rows[] = {{"rmp", "3", "did you mean \"rpm\""},
                {"rpm", "-2", "rpm"},
                {"rpm", "many", "rpm"},
                {"error_500", "1.5", "between"},
                {"hints", "some", "none, ra, full, lie"},
                {"outage", "on", "off, 503"},
                {"quota_counts_refused", "perhaps", "quota_counts_refused"},
                {"time_scale", "0", "between"}};
    struct settings settings;
    settings_init(&settings);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct galloc_error error = {0};
        assert_true(settings_set(&settings, rows[i].name, rows[i].value, &error) < 0);
        if (strstr(error.message, rows[i].says) == NULL)
            fail_msg("\"%s\" does not hold \"%s\"", error.message, rows[i].says);
    }
}

static void test_settings_change_whole_or_not(void **state)
{
    (void)state;
    static const char *const refused[] = {"{\"rpm\":5,\"nothing\":1}",
                                          "{\"error_500\":0.7,\"error_503\":0.4}",
                                          "[1]",
                                          "{\"rpm\":5",
                                          "",
                                          "{\"poison_kind\":\"ok\",\"rpm\":5}",
                                          "{\"rpm\":null}"};
    struct settings settings;
    settings_init(&settings);
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        assert_true(settings_set_json(&settings, refused[i], strlen(refused[i]), NULL) < 0);
        assert_int_equal(settings.rpm, SIM_NONE);
    }
    const char *good = "{\"rpm\":5,\"error_500\":0.25,\"hints\":\"ra\",\"error_503_next\":2,\"faults_spare_tests\":"
                       "true,\"tpm\":\"none\"}";
    assert_int_equal(settings_set_json(&settings, good, strlen(good), NULL), 0);
    assert_int_equal(settings.rpm, 5);
    assert_true(settings.fault_share[KIND_ERROR_500] == 0.25 && settings.hints == HINTS_RA &&
                settings.faults_spare_tests);
    assert_int_equal(settings.fault_next[KIND_ERROR_503], 2);
}

static void test_settings_table_is_told_as_json(void **state)
{
    (void)state;
    struct settings settings;
    struct buf text = BUF_EMPTY;
    struct json_object *json = NULL;
    settings_init(&settings);
    set(&settings, "api_key", "AIza-secret");
    settings_to_json(&settings, &text);
    assert_null(strstr(text.data, "AIza"));
    assert_int_equal(json_parse(text.data, text.len, &json, NULL), 0);
    json_free(json);
    buf_reset(&text);
    settings_help_json(&text);
    assert_int_equal(json_parse(text.data, text.len, &json, NULL), 0);
    assert_int_equal(json_array_len(json), settings_count());
    json_free(json);
    buf_clear(&text);
}

static void test_lists(void **state)
{
    (void)state;
    assert_true(settings_list_has("a,b , c", "b", 1));
    assert_true(settings_list_has("a,b , c", "c", 1));
    assert_false(settings_list_has("a,b , c", "", 0));
    assert_false(settings_list_has("ab", "a", 1));
    assert_false(settings_list_has("", "a", 1));
    assert_true(settings_list_has("x,*", "a", 1));
    assert_false(settings_list_has(" , ,", "a", 1));
}

/* ---- verdicts ---- */

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
    set(&court.settings, "error_500", "0.2");
    set(&court.settings, "malformed", "0.1");
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
    set(&court.settings, "seed", "2");
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
    set(&court.settings, "error_503_next", "2");
    set(&court.settings, "drop_reused_next", "1");
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
    set(&court.settings, "poison_share", "0.1");
    set(&court.settings, "poison_keys", "LAN7, LAN8");
    set(&court.settings, "poison_kind", "error_504");
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
    set(&court.settings, "outage", "503");
    set(&court.settings, "error_500", "1");
    assert_int_equal(judged(&court, "a", 1), KIND_OUTAGE);
    assert_int_equal(judged(&court, NULL, 1), KIND_OUTAGE);
    set(&court.settings, "outage_spares_tests", "yes");
    assert_int_equal(judged(&court, NULL, 1), KIND_ERROR_500); /* faults are another matter */
    set(&court.settings, "faults_spare_tests", "yes");
    assert_int_equal(judged(&court, NULL, 1), KIND_OK);
    assert_int_equal(judged(&court, "a", 1), KIND_OUTAGE);
    set(&court.settings, "outage", "off");
    assert_int_equal(judged(&court, "a", 1), KIND_ERROR_500);
    judge_clear(&court.judge);
}

static void test_refusals_in_their_order(void **state)
{
    (void)state;
    struct court court;
    struct verdict verdict;
    court_open(&court);
    set(&court.settings, "rpm", "1");
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
    set(&court.settings, "latency_ms", "1000");
    set(&court.settings, "knee", "2");
    set(&court.settings, "knee_exponent", "2");
    set(&court.settings, "hard_limit", "4");
    static const double delays_s[] = {1, 1, 2.25, 4};
    for (size_t i = 0; i < ARRAY_COUNT(delays_s); i++) {
        struct call_facts call = call_of("a", (int64_t)i, 1);
        judge_decide(&court.judge, &call, &verdict);
        assert_int_equal(verdict.kind, KIND_OK);
        assert_near(verdict.delay_s, delays_s[i]);
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
    set(&court.settings, "latency_ms", "1000");
    set(&court.settings, "workers", "2");
    set(&court.settings, "queue", "3");
    judge_configure(&court.judge);
    static const double delays_s[] = {1, 1, 2, 2, 3};
    for (size_t i = 0; i < ARRAY_COUNT(delays_s); i++) {
        struct call_facts call = call_of("a", (int64_t)i, 10);
        judge_decide(&court.judge, &call, &verdict);
        assert_near(verdict.delay_s, delays_s[i]);
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
    set(&court.settings, "latency_ms", "1000");
    set(&court.settings, "latency_sigma", "0.5");
    set(&court.settings, "straggler_share", "0.02");
    set(&court.settings, "straggler_factor", "100");
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

/* ---- counters ---- */

static void test_tally(void **state)
{
    (void)state;
    struct settings settings;
    struct tally tally;
    struct buf text = BUF_EMPTY;
    settings_init(&settings);
    set(&settings, "record_size", "4");
    tally_init(&tally, &settings, 0);
    struct text_span key = {"LAN1", 4}, none = {NULL, 0};
    struct tally_arrival first = tally_arrive(&tally, ROUTE_GENERATE, key, 1, 1000),
                         again = tally_arrive(&tally, ROUTE_GENERATE, key, 2, 2000);
    struct tally_arrival test = tally_arrive(&tally, ROUTE_GENERATE, none, 2, 2500),
                         models = tally_arrive(&tally, ROUTE_MODELS, none, 2, 2600);
    assert_int_equal(again.key_call, 2);
    assert_int_equal(tally.max_in_flight, 3);
    tally_end(&tally, first.number, ROUTE_GENERATE, KIND_OK, 200, 3000);
    tally_end(&tally, again.number, ROUTE_GENERATE, KIND_HANG, 0, 3000);
    tally_end(&tally, test.number, ROUTE_GENERATE, KIND_QUOTA, 429, 3000);
    tally_end(&tally, models.number, ROUTE_MODELS, KIND_OK, 200, 3000);
    assert_int_equal(tally.received, 3);
    assert_int_equal(tally.tests, 1);
    assert_int_equal(tally.other, 1);
    assert_int_equal(tally.answered, 2);
    assert_int_equal(tally.cut, 1);
    assert_int_equal(tally.refused, 1);
    assert_int_equal(tally.ok, 1);
    assert_int_equal(tally.calls_beyond_first, 1);
    assert_int_equal(tally.in_flight, 0);
    for (int i = 0; i < 3; i++) /* the ring holds the last four */
        tally_arrive(&tally, ROUTE_GENERATE, none, 1, 4000);
    tally_end(&tally, first.number, ROUTE_OTHER, KIND_OK, 200, 5000); /* its entry is gone: nothing happens */
    tally_record(&tally, 0, &text);
    size_t lines = 0;
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    assert_int_equal(lines, 4);
    assert_non_null(strstr(text.data, "\"number\":4,\"route\":\"models\""));
    assert_null(strstr(text.data, "\"number\":3,"));
    buf_clear(&text);
    tally_reset(&tally, &settings, 9000);
    assert_int_equal(tally.received, 0);
    assert_int_equal(tally.in_flight, 3); /* these are still under way */
    assert_int_equal(tally.max_in_flight, 3);
    tally_clear(&tally);
}

static void test_tally_many_keys(void **state)
{
    (void)state;
    struct settings settings;
    struct tally tally;
    settings_init(&settings);
    set(&settings, "keys_max", "4000");
    tally_init(&tally, &settings, 0);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 5000; i++) {
            char key[16];
            snprintf(key, sizeof key, "LAN%d", i);
            struct tally_arrival arrival =
                tally_arrive(&tally, ROUTE_GENERATE, (struct text_span){key, strlen(key)}, 1, 0);
            tally_end(&tally, arrival.number, ROUTE_GENERATE, KIND_OK, 200, 1);
        }
    assert_int_equal(tally.key_count, 4000);
    assert_int_equal(tally.calls_beyond_first, 4000);
    assert_int_equal(tally.keys_answered_again, 4000);
    tally_clear(&tally);
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
        cmocka_unit_test(test_settings_refuse),
        cmocka_unit_test(test_settings_change_whole_or_not),
        cmocka_unit_test(test_settings_table_is_told_as_json),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_faults_come_by_key_not_by_order),
        cmocka_unit_test(test_next_calls_fail_and_no_more),
        cmocka_unit_test(test_poison_strikes_every_time),
        cmocka_unit_test(test_outage_and_test_requests),
        cmocka_unit_test(test_refusals_in_their_order),
        cmocka_unit_test(test_knee_and_hard_limit),
        cmocka_unit_test(test_workers_and_queue),
        cmocka_unit_test(test_latency_is_lognormal),
        cmocka_unit_test(test_tally),
        cmocka_unit_test(test_tally_many_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
