/* What a worker tells of one assignment: every shape is a decision, an error, or words that say what is wrong; and the columns that it gets to see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "core/limits.h"
#include "core/plan.h"
#include "core/template.h"
#include "core/worker_result.h"

#include <string.h>

static void read_text(const char *text, struct worker_result *ret_result)
{
    struct json_object *item = NULL;
    assert_int_equal(json_parse(text, strlen(text), &item, NULL), 0);
    worker_result_read(item, ret_result);
    json_free(item);
}

static void test_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum worker_result_kind kind;
        const char *key, *words; /* of what is wrong */
    } rows[] = {
        {"{\"key\":\"K\",\"agent_id\":\"A\"}", TOLD_DECISION, "K", NULL},
        {"{\"key\":\"K\",\"agent_id\":\"A\",\"reason\":null,\"confidence\":null,\"model\":{\"more\":1}}", TOLD_DECISION, "K", NULL},
        {"{\"key\":\"K\",\"answer\":{\"a\":[1,null]}}", TOLD_ANSWER, "K", NULL},
        {"{\"key\":\"K\",\"answer\":[]}", TOLD_NOTHING, "K", "object in the shape"},
        {"{\"key\":\"K\",\"answer\":{},\"agent_id\":\"A\"}", TOLD_NOTHING, "K", "both"},
        {"{\"key\":\"K\",\"answer\":{},\"error\":{}}", TOLD_NOTHING, "K", "\"answer\" and \"error\""},
        {"{\"key\":\"K\",\"error\":{}}", TOLD_ERROR, "K", NULL},
        {"{\"key\":\"K\",\"error\":{\"code\":null,\"message\":null,\"retry\":null}}", TOLD_ERROR, "K", NULL},
        {"{\"key\":\"K\",\"agent_id\":null,\"error\":{\"retry\":true}}", TOLD_ERROR, "K", NULL},
        {"{\"key\":\"K\",\"agent_id\":\"A\",\"error\":null}", TOLD_DECISION, "K", NULL},
        {"{\"key\":\"K\"}", TOLD_NOTHING, "K", "agent_id"},
        {"{\"key\":\"K\",\"agent_id\":\"A\",\"error\":{}}", TOLD_NOTHING, "K", "both"},
        {"{\"key\":\"K\",\"agent_id\":\"A\\u0000B\"}", TOLD_NOTHING, "K", "agent_id"},
        {"{\"key\":\"K\",\"agent_id\":\"A\",\"confidence\":1.0001}", TOLD_NOTHING, "K", "confidence"},
        {"{\"key\":\"K\",\"agent_id\":\"A\",\"confidence\":\"0.5\"}", TOLD_NOTHING, "K", "confidence"},
        {"{\"key\":\"K\",\"error\":[]}", TOLD_NOTHING, "K", "error"},
        {"{\"key\":\"K\",\"error\":{\"retry\":\"true\"}}", TOLD_NOTHING, "K", "retry"},
        {"{\"key\":17,\"agent_id\":\"A\"}", TOLD_NOTHING, NULL, "key"},
        {"{\"key\":\"K\\u0000\",\"agent_id\":\"A\"}", TOLD_NOTHING, NULL, "key"},
        {"{\"agent_id\":\"A\"}", TOLD_NOTHING, NULL, "key"},
        {"[]", TOLD_NOTHING, NULL, "object"},
        {"null", TOLD_NOTHING, NULL, "object"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct worker_result result;
        read_text(rows[i].text, &result);
        assert_int_equal(result.kind, rows[i].kind);
        if (rows[i].key != NULL)
            assert_string_equal(result.key, rows[i].key);
        else
            assert_null(result.key);
        if (rows[i].words != NULL)
            assert_non_null(strstr(result.message, rows[i].words));
        worker_result_clear(&result);
    }
}

static void test_what_is_kept(void **state)
{
    (void)state;
    struct worker_result result;
    read_text("{\"key\":\"K\",\"agent_id\":\"A\",\"reason\":\"near\",\"confidence\":0.25}", &result);
    assert_string_equal(result.answer.agent_id, "A");
    assert_string_equal(result.answer.reason, "near");
    assert_true(result.answer.confidence == 0.25);
    worker_result_clear(&result);
    char text[LIMIT_MESSAGE_BYTES * 2] = "", item[sizeof text + 100];
    for (size_t i = 0; i + 4 < sizeof text; i += 3)
        memcpy(text + i, "\u2603", 4);
    snprintf(item, sizeof item, "{\"key\":\"K\",\"error\":{\"code\":\"E\",\"message\":\"%s\",\"retry\":true}}", text);
    read_text(item, &result);
    assert_string_equal(result.code, "E");
    assert_true(result.may_retry);
    assert_int_equal(strlen(result.message), LIMIT_MESSAGE_BYTES / 3 * 3); /* cut between characters */
    worker_result_clear(&result);
}

static bool is_sent(const char *column, void *arg)
{
    return plan_sends(arg, NULL, column);
}

static void test_columns_that_are_sent(void **state)
{
    (void)state;
    char name[] = "Phone No";
    char *keep_back[] = {name, NULL};
    struct plan plan = {.keep_back = keep_back};
    static const struct {
        const char *fields, *sent;
    } rows[] = {
        {"{}", "{}"},
        {"{\"phone_no\":\"1\"}", "{}"},
        {"{ \"phone_no\" : \"1\" , \"a\" : 1.50 }", "{\"a\":1.50}"},
        {"{\"a\":{\"phone_no\":2},\"PHONENO\":3,\"b\":[{}]}", "{\"a\":{\"phone_no\":2},\"b\":[{}]}"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct buf out = BUF_EMPTY;
        buf_add_str(&out, "before");
        template_fields_sent((struct json_span){rows[i].fields, strlen(rows[i].fields)}, is_sent, &plan, &out);
        assert_string_equal(buf_text(&out) + strlen("before"), rows[i].sent);
        buf_clear(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_columns_that_are_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
