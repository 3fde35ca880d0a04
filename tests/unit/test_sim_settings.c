/* gallocsim's table of settings, and its counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "tests/unit/sim_rig.h"

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
    sim_set(&settings, "api_key", "AIza-secret");
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

static void test_tally(void **state)
{
    (void)state;
    struct settings settings;
    struct tally tally;
    struct buf text = BUF_EMPTY;
    settings_init(&settings);
    sim_set(&settings, "record_size", "4");
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
    sim_set(&settings, "keys_max", "4000");
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
        cmocka_unit_test(test_settings_refuse),
        cmocka_unit_test(test_settings_change_whole_or_not),
        cmocka_unit_test(test_settings_table_is_told_as_json),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_tally),
        cmocka_unit_test(test_tally_many_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
