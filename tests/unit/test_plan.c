/* The body of POST /v1/runs: every option, what is refused in which words, and the plan's JSON there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "core/plan.h"
#include "core/template.h"

static int read_plan(const char *json, struct plan *plan, struct galloc_error *error)
{
    struct json_object *body = NULL;
    size_t count;
    const struct profile *profiles = profile_defaults(&count);
    *error = (struct galloc_error){0};
    if (json_parse(json, strlen(json), &body, error) != 0)
        fail_msg("%s: %s", json, error->message);
    int rc = plan_read(body, profiles, count, plan, error);
    json_free(body);
    return rc;
}

static const char full[] = "{\"name\":\"nov\",\"agents\":[],\"endpoint\":\"gemini\",\"profile\":\"balanced\","
                           "\"template\":\"{{loads}}{{region}}\",\"paused\":true,"
                           "\"columns\":[\"Region\",\"amount\",\"segment\"],\"source\":{\"name\":\"a.csv\",\"sha256\":"
                           "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"},\"options\":{\"keep_"
                           "back\":[\"Amount\"],\"match\":[\"region = home\",\"segment=s\"],"
                           "\"max_candidates\":20,\"batch_size\":7,\"delay_ms\":0,\"max_retries\":5,\"priority\":-3,"
                           "\"max_age_ms\":60000,\"on_duplicate\":\"replace\",\"max_cost\":\"12.5 USD\",\"tier\":\"flex\","
                           "\"order\":\"amount:desc\",\"key\":\"lan\",\"first\":100,\"from\":\"csv\",\"delimiter\":\";"
                           "\",\"encoding\":\"UTF-8\",\"again\":true,\"workers_too\":true}}";

static void check_full(const struct plan *plan)
{
    assert_string_equal(plan->endpoint, "gemini");
    assert_string_equal(plan->profile, "balanced");
    assert_string_equal(plan->template, "{{loads}}{{region}}");
    assert_null(plan->pool);
    assert_null(plan->send);
    assert_string_equal(plan->keep_back[0], "Amount");
    assert_null(plan->keep_back[1]);
    assert_int_equal(plan->match_count, 2);
    assert_string_equal(plan->match[0].field, "region");
    assert_string_equal(plan->match[0].attribute, "home");
    assert_int_equal(plan->max_candidates, 20);
    assert_int_equal(plan->batch_size, 7);
    assert_int_equal(plan->delay_ms, 0);
    assert_int_equal(plan->max_retries, 5);
    assert_int_equal(plan->priority, -3);
    assert_int_equal(plan->max_age_ms, 60000);
    assert_int_equal(plan->on_duplicate, 2);
    assert_true(plan->max_cost.is_set);
    assert_int_equal(plan->max_cost.micros, 12500000);
    assert_string_equal(plan->max_cost.currency, "USD");
    assert_int_equal(plan->tier, TIER_FLEX);
    assert_string_equal(plan->order, "amount:desc");
    assert_string_equal(plan->key_column, "lan");
    assert_int_equal(plan->first, 100);
    assert_string_equal(plan->delimiter, ";");
    assert_true(plan->workers_too);
}

static void test_full(void **state)
{
    (void)state;
    struct plan plan, again;
    struct galloc_error error;
    if (read_plan(full, &plan, &error) != 0)
        fail_msg("%s", error.message);
    check_full(&plan);
    assert_string_equal(plan.name, "nov");
    assert_string_equal(plan.source_name, "a.csv");
    assert_true(plan.is_paused && plan.is_again);
    assert_string_equal(plan.columns[2], "segment");
    struct buf json = BUF_EMPTY, twice = BUF_EMPTY;
    plan_to_json(&plan, &json);
    assert_int_equal(plan_parse(json.data, json.len, &again, &error), 0);
    check_full(&again);
    assert_false(again.is_again || again.is_paused);
    plan_to_json(&again, &twice);
    assert_string_equal(buf_text(&json), buf_text(&twice));
    plan_clear(&plan);
    plan_clear(&again);
    buf_clear(&json);
    buf_clear(&twice);
}

static void test_least(void **state)
{
    (void)state;
    struct plan plan;
    struct galloc_error error;
    assert_int_equal(read_plan("{\"pool\":\"north\",\"name\":null}", &plan, &error), 0);
    assert_string_equal(plan.profile, "adaptive");
    assert_null(plan.endpoint);
    assert_null(plan.name);
    assert_int_equal(plan.max_retries, -1);
    assert_false(plan.max_cost.is_set);
    assert_int_equal(plan.tier, TIER_STANDARD);
    assert_int_equal(plan.batch_size, -1);
    struct buf json = BUF_EMPTY;
    plan_to_json(&plan, &json);
    assert_string_equal(buf_text(&json), "{\"pool\":\"north\",\"profile\":\"adaptive\",\"options\":{}}");
    plan_clear(&plan);
    assert_int_equal(plan_parse(json.data, json.len, &plan, &error), 0);
    assert_int_equal(plan.delay_ms, -1);
    plan_clear(&plan);
    buf_clear(&json);
}

#define SCHEMA "{\"type\":\"object\",\"properties\":{\"due\":{\"type\":\"string\",\"format\":\"date\"},\"amount\":{\"type\":\"number\",\"minimum\":1.50}}}"

/* The schema is part of the plan, so another one is another run. */
static void test_question(void **state)
{
    (void)state;
    struct plan plan, again;
    struct galloc_error error;
    struct buf json = BUF_EMPTY;
    assert_int_equal(read_plan("{\"template\":\"{{key}}: {{note}}\",\"schema\": " SCHEMA "}", &plan, &error), 0);
    assert_true(plan_is_question(&plan));
    assert_string_equal(plan.schema, SCHEMA);
    plan_to_json(&plan, &json);
    assert_int_equal(plan_parse(json.data, json.len, &again, &error), 0);
    assert_string_equal(again.schema, SCHEMA);
    plan_clear(&plan);
    plan_clear(&again);
    buf_clear(&json);
    assert_int_equal(read_plan("{\"endpoint\":\"workers\",\"schema\":" SCHEMA "}", &plan, &error), 0); /* who asks people needs no prompt */
    plan_clear(&plan);
}

static const struct {
    const char *body;
    int code;
    const char *words;
} refused[] = {
    {"[]", GALLOC_INVALID_VALUE, "a JSON object is expected"},
    {"{}", GALLOC_USAGE, "who can take the assignments is missing"},
    {"{\"pool\":\"p\",\"agents\":[]}", GALLOC_USAGE, "exclude each other"},
    {"{\"pool\":\"\"}", GALLOC_INVALID_VALUE, "\"pool\" has to have 1 to 128 bytes"},
    {"{\"pool\":\"a\\u0007b\"}", GALLOC_INVALID_VALUE, "\"pool\" holds a control character"},
    {"{\"pool\":\"p\",\"name\":\"r-1\"}", GALLOC_INVALID_VALUE, "may not begin with"},
    {"{\"pool\":\"p\",\"name\":\"@last\"}", GALLOC_INVALID_VALUE, "may not begin with"},
    {"{\"pool\":\"p\",\"proflie\":\"x\"}", GALLOC_UNKNOWN_FIELD, "did you mean \"profile\"?"},
    {"{\"pool\":\"p\",\"profile\":\"balancd\"}", GALLOC_NOT_FOUND,
     "did you mean \"balanced\"? (known are adaptive, conservative,"},
    {"{\"pool\":\"p\",\"options\":{\"batchsize\":3}}", GALLOC_UNKNOWN_FIELD,
     "options: unknown field \"batchsize\"; did you mean \"batch_size\"?"},
    {"{\"pool\":\"p\",\"options\":{\"batch_size\":3}}", GALLOC_USAGE,
     "\"adaptive\" does not work in batches, so it takes no batch_size"},
    {"{\"pool\":\"p\",\"profile\":\"sequential\",\"options\":{\"delay_ms\":0}}", GALLOC_USAGE, "takes no delay"},
    {"{\"pool\":\"p\",\"profile\":\"balanced\",\"options\":{\"batch_size\":0}}", GALLOC_INVALID_VALUE,
     "from 1 to 1000"},
    {"{\"pool\":\"p\",\"options\":{\"priority\":101}}", GALLOC_INVALID_VALUE, "from -100 to 100"},
    {"{\"pool\":\"p\",\"options\":{\"max_retries\":99999999999999999999999}}", GALLOC_INVALID_VALUE, "from 0 to 20"},
    {"{\"pool\":\"p\",\"options\":{\"max_age_ms\":\"1h\"}}", GALLOC_INVALID_VALUE, "has to be a whole number"},
    {"{\"pool\":\"p\",\"options\":{\"open\":true,\"max_age_ms\":1}}", GALLOC_USAGE, "open run"},
    {"{\"pool\":\"p\",\"options\":{\"send\":[\"a\"],\"keep_back\":[\"b\"]}}", GALLOC_USAGE, "exclude each other"},
    {"{\"pool\":\"p\",\"options\":{\"send\":[1]}}", GALLOC_INVALID_VALUE, "element 1 is not a text"},
    {"{\"pool\":\"p\",\"options\":{\"match\":[\"region\"]}}", GALLOC_INVALID_VALUE, "write FIELD=ATTR"},
    {"{\"pool\":\"p\",\"options\":{\"match\":[\"=x\"]}}", GALLOC_INVALID_VALUE, "write FIELD=ATTR"},
    {"{\"pool\":\"p\",\"options\":{\"on_duplicate\":\"drop\"}}", GALLOC_INVALID_VALUE, "skip, error or replace"},
    {"{\"pool\":\"p\",\"options\":{\"tier\":\"cheap\"}}", GALLOC_INVALID_VALUE, "standard or flex"},
    {"{\"pool\":\"p\",\"options\":{\"max_cost\":5}}", GALLOC_INVALID_VALUE, "max_cost"},
    {"{\"pool\":\"p\",\"options\":{\"max_cost\":\"-5\"}}", GALLOC_INVALID_VALUE, "\"-5\" is not an amount of money such as 12.50"},
    {"{\"pool\":\"p\",\"options\":{\"max_cost\":\"nan\"}}", GALLOC_INVALID_VALUE, "is not an amount of money"},
    {"{\"pool\":\"p\",\"options\":{\"max_cost\":\"1e9\"}}", GALLOC_INVALID_VALUE, "is not an amount of money"},
    {"{\"pool\":\"p\",\"options\":{\"max_cost\":\"1.2.3\"}}", GALLOC_INVALID_VALUE, "is not an amount of money"},
    {"{\"pool\":\"p\",\"options\":{\"max_cost\":\"0.0000001\"}}", GALLOC_INVALID_VALUE, "at most six decimals"},
    {"{\"pool\":\"p\",\"options\":{\"max_cost\":\"99999999999999999999\"}}", GALLOC_INVALID_VALUE, "is not an amount of money"},
    {"{\"pool\":\"p\",\"options\":{\"max_cost\":\"5 dollars\"}}", GALLOC_INVALID_VALUE, "or 12.50 USD"},
    {"{\"pool\":\"p\",\"options\":{\"max_cost\":\"5 \"}}", GALLOC_INVALID_VALUE, "is not an amount of money"},
    {"{\"pool\":\"p\",\"columns\":[\"region\"],\"options\":{\"send\":[\"regoin\"]}}", GALLOC_INVALID_INPUT,
     "no column \"regoin\"; did you mean \"region\"?"},
    {"{\"pool\":\"p\",\"columns\":[\"region\"],\"options\":{\"key\":\"LAN\",\"keep_back\":[\"lan\"]}}",
     GALLOC_INVALID_INPUT, "the key is always sent"},
    {"{\"pool\":\"p\",\"columns\":[\"region\"],\"options\":{\"match\":[\"regio=x\"]}}", GALLOC_INVALID_INPUT,
     "match: the input has no column \"regio\""},
    {"{\"pool\":\"p\",\"columns\":[\"region\"],\"template\":\"{{roster}}{{regio}}\"}", GALLOC_INVALID_INPUT,
     "template: line 1: {{regio}}"},
    {"{\"pool\":\"p\",\"template\":\"{{roster}}{{key}}\",\"options\":{\"max_candidates\":3}}", GALLOC_INVALID_INPUT,
     "needs {{loads}}"},
    {"{\"pool\":\"p\",\"template\":\"{{roster}}{{key\"}", GALLOC_INVALID_INPUT, "template: line 1, column 11"},
    {"{\"pool\":\"p\",\"template\":\"{{roster}}{{age}}\",\"options\":{\"keep_back\":[\"Age\"]}}", GALLOC_INVALID_INPUT,
     "{{age}}, which is kept back"},
    {"{\"schema\":" SCHEMA ",\"template\":\"{{key}}\",\"pool\":\"p\"}", GALLOC_USAGE, "\"schema\" and \"pool\" exclude each other"},
    {"{\"schema\":" SCHEMA ",\"template\":\"{{key}}\",\"agents\":[]}", GALLOC_USAGE, "\"schema\" and \"agents\" exclude each other"},
    {"{\"schema\":" SCHEMA "}", GALLOC_USAGE, "needs a \"template\" too"},
    {"{\"schema\":" SCHEMA ",\"template\":\"{{key}}{{loads}}\"}", GALLOC_INVALID_INPUT, "the template uses {{loads}}, and a run with a schema has no agents"},
    {"{\"schema\":" SCHEMA ",\"template\":\"{{key}}\",\"options\":{\"max_candidates\":3}}", GALLOC_USAGE, "\"max_candidates\" chooses among agents"},
    {"{\"schema\":\"x\",\"template\":\"{{key}}\"}", GALLOC_INVALID_VALUE, "\"schema\""},
    {"{\"schema\":{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}}},\"template\":\"{{key}}\"}", GALLOC_INVALID_INPUT,
     "schema: at /properties/a: the keyword \"$ref\""},
    {"{\"pool\":\"p\",\"template\":\"{{key}}\"}", GALLOC_INVALID_INPUT, "the template names no agents"},
    {"{\"pool\":\"p\",\"source\":{\"sha256\":\"xyz\"}}", GALLOC_INVALID_VALUE, "source: \"sha256\""},
    {"{\"pool\":\"p\",\"source\":{\"sha256\":\"G123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}"
     "}",
     GALLOC_INVALID_VALUE, "64 hexadecimal digits"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        struct plan plan = {0};
        struct galloc_error error;
        int rc = read_plan(refused[i].body, &plan, &error);
        if (rc != -refused[i].code || error.code != refused[i].code || strstr(error.message, refused[i].words) == NULL)
            fail_msg("%s: code %d, \"%s\" lacks \"%s\"", refused[i].body, rc, error.message, refused[i].words);
        assert_null(plan.profile); /* untouched */
    }
}

static void test_sends(void **state)
{
    (void)state;
    struct plan plan;
    struct galloc_error error;
    char secret[] = "Secret Name", *policy[] = {secret, NULL}, *nothing[] = {NULL};
    assert_int_equal(read_plan("{\"pool\":\"p\",\"options\":{\"send\":[\"region\",\"secret_name\"]}}", &plan, &error),
                     0);
    assert_true(plan_sends(&plan, NULL, "REGION"));
    assert_false(plan_sends(&plan, NULL, "city"));
    assert_true(plan_sends(&plan, nothing, "secretname"));
    assert_false(plan_sends(&plan, policy, "secretname")); /* the configuration wins */
    assert_false(plan_sends_all(&plan, NULL));
    plan_clear(&plan);
    assert_int_equal(read_plan("{\"pool\":\"p\",\"template\":\"{{roster}}{{secret name}}\"}", &plan, &error), 0);
    assert_true(plan_sends_all(&plan, nothing));
    assert_false(plan_sends_all(&plan, policy));
    assert_int_equal(plan_check_template(&plan, nothing, &error), 0);
    assert_int_equal(plan_check_template(&plan, policy, &error), -GALLOC_INVALID_INPUT);
    plan_clear(&plan);
}

/* What stands in the list is never sent, in whatever way a file writes it; what is clearly another column is. */
static void test_kept_back_beyond_ascii(void **state)
{
    (void)state;
    static const struct {
        const char *kept, *column;
        bool is_kept;
    } rows[] = {{"tel\xc3\xa9"
                 "fono",
                 "TEL\xc3\x89"
                 "FONO",
                 true},
                {"tel\xc3\xa9"
                 "fono",
                 "tele\xcc\x81"
                 "fono",
                 true}, /* the same letter as two characters */
                {"tel\xc3\xa9"
                 "fono",
                 "tel\xc3\xa9"
                 "fax",
                 false},
                {"tel\xc3\xa9"
                 "fono",
                 "nombre", false},
                {"phone no", "Phone\xc2\xa0No", true}, /* a blank that does not break */
                {"phone no", "\xef\xbb\xbfPHONE\xe2\x80\xafNO", true},
                {"phone no", "\xef\xbc\xb0hone no", true}, /* as wide as an ideograph */
                {"stra\xc3\x9f"
                 "e",
                 "STRASSE", true},
                {"kimlik numaras\xc4\xb1", "K\xc4\xb0ML\xc4\xb0K NUMARASI", true},
                {"\xd1\x82\xd0\xb5\xd0\xbb", "\xd0\xa2\xd0\x95\xd0\x9b", true},
                {"\xd1\x82\xd0\xb5\xd0\xbb", "\xd0\xb8\xd0\xbc\xd1\x8f", false}, /* another word in Cyrillic */
                {"\xe9\x9b\xbb\xe8\xa9\xb1", "\xe4\xbd\x8f\xe6\x89\x80", false}, /* and in ideographs */
                {"phone", "phone#", false},
                {"a", "\xff", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char kept[64], *list[] = {kept, NULL};
        snprintf(kept, sizeof kept, "%s", rows[i].kept);
        if (column_is_kept_back(list, rows[i].column) != rows[i].is_kept)
            fail_msg("\"%s\" and \"%s\"", rows[i].kept, rows[i].column);
    }
}

static void test_columns(void **state)
{
    (void)state;
    assert_true(column_is("LAN No", "lan_no"));
    assert_true(column_is("lanno", " L A_N no_"));
    assert_false(column_is("lan", "lan2"));
    assert_false(column_is("\xc3\xa4", "a"));
    char one[] = "district", *columns[] = {one, NULL};
    assert_string_equal(column_nearest(columns, "distrct"), "district");
    assert_null(column_nearest(columns, "zzz"));
    assert_null(column_nearest(NULL, "x"));
}

static void test_profiles(void **state)
{
    (void)state;
    size_t count;
    const struct profile *rows = profile_defaults(&count);
    static const struct {
        const char *name;
        enum profile_mode mode;
        int batch_size, delay_ms, max_retries;
    } expected[] = {{"adaptive", MODE_CONTINUOUS, 0, 0, 3},
                    {"conservative", MODE_BATCH, 3, 1000, 3},
                    {"balanced", MODE_BATCH, 5, 500, 3},
                    {"aggressive", MODE_BATCH, 10, 200, 2},
                    {"sequential", MODE_SEQUENTIAL, 1, 0, 3}};
    assert_int_equal(count, ARRAY_COUNT(expected));
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(rows[i].name, expected[i].name);
        assert_int_equal(rows[i].mode, expected[i].mode);
        assert_int_equal(rows[i].batch_size, expected[i].batch_size);
        assert_int_equal(rows[i].delay_ms, expected[i].delay_ms);
        assert_int_equal(rows[i].max_retries, expected[i].max_retries);
        assert_int_equal(rows[i].backoff_max_ms, 8000);
        assert_int_equal(profile_mode_by_name(profile_mode_name(rows[i].mode)), rows[i].mode);
    }
    struct plan plan = {.batch_size = 9, .delay_ms = 0, .max_retries = -1};
    assert_int_equal(plan_batch_size(&plan, &rows[2]), 9);
    assert_int_equal(plan_delay_ms(&plan, &rows[2]), 0);
    assert_int_equal(plan_max_retries(&plan, &rows[3]), 2);
    assert_int_equal(plan_batch_size(&plan, &rows[4]),
                     1); /* the run's profile was changed: what it does not take is not used */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_least), cmocka_unit_test(test_question),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_sends),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_profiles),
        cmocka_unit_test(test_kept_back_beyond_ascii),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
