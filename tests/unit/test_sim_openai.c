/* gallocsim's chat completions: which bodies are taken, what is read of them, and every kind of answer in OpenAI's words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "tests/unit/sim_rig.h"

#define MESSAGES "\"model\":\"m-1\",\"messages\":[{\"role\":\"system\",\"content\":\"Be fair.\"},{\"content\":[{\"type\":\"text\",\"text\":\"Case\"},{\"type\":\"text\",\"text\":\" 1\"}],\"role\":\"user\"}]"
#define SCHEMA "{\"type\":\"object\",\"properties\":{\"agent_id\":{\"type\":\"string\",\"enum\":[\"A1\",\"A2\"]},\"reason\":{\"type\":\"string\"}},\"required\":[\"agent_id\",\"reason\"],\"additionalProperties\":false}"

static void test_a_body_is_read(void **state)
{
    (void)state;
    static const char body[] = "{" MESSAGES ",\"max_completion_tokens\":256,\"temperature\":0,\"reasoning_effort\":\"none\",\"service_tier\":\"flex\","
                               "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"alloc\",\"strict\":true,\"schema\":" SCHEMA "}}}";
    struct sim_request request;
    struct request_fault fault;
    assert_true(openai_request_read(body, strlen(body), 100, &request, &fault));
    assert_int_equal(request.part_count, 3);
    assert_true(request.is_system[0] && !request.is_system[1] && !request.is_system[2]); /* whether the role stands before its text or after */
    assert_true(walk_equals(request.model, "m-1") && walk_equals(request.parts[2], " 1"));
    assert_true(request.is_json && request.wants_agent_id && request.wants_reason && !request.wants_confidence);
    assert_int_equal(request.agent_enum_count, 2);
    sim_near(request.max_output_tokens, 256);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body, *says; /* NULL: taken */
    } rows[] = {
        {"{" MESSAGES "}", NULL},
        {"{" MESSAGES ",\"max_tokens\":16,\"response_format\":{\"type\":\"text\"},\"stream\":false}", NULL},
        {"{\"messages\":[]}", "model parameter"},
        {"{\"model\":\"m\"}", "'messages'"},
        {"{\"model\":\"m\",\"messages\":[]}", "'messages'"},
        {"{\"model\":\"m\",\"messages\":\"x\"}", "expected a list"},
        {"{\"model\":\"m\",\"messages\":[{\"content\":\"x\"}]}", "role"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"boss\",\"content\":\"x\"}]}", "boss"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":7}]}", "string or a list"},
        {"{" MESSAGES ",\"max_completion_tokens\":0}", "max_completion_tokens"},
        {"{" MESSAGES ",\"stream\":true}", "does not stream"},
        {"{" MESSAGES ",\"maxOutputTokens\":1}", "maxOutputTokens"},
        {"{" MESSAGES ",\"response_format\":{\"type\":\"yaml\"}}", "yaml"},
        {"{" MESSAGES ",\"service_tier\":\"cheap\"}", "cheap"},
        {"{" MESSAGES, "Invalid JSON"},
        {"[]", "Invalid JSON"},
        {"", "Invalid JSON"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct sim_request request;
        struct request_fault fault;
        bool is_taken = openai_request_read(rows[i].body, strlen(rows[i].body), 100, &request, &fault);
        if (is_taken != (rows[i].says == NULL) || (!is_taken && strstr(fault.message, rows[i].says) == NULL))
            fail_msg("%s: %s", rows[i].body, is_taken ? "taken" : fault.message);
    }
}

static struct json_object *body_of(const struct buf *answer)
{
    struct json_object *json = NULL;
    const char *end = strstr(answer->data, "\r\n\r\n"), *length = strstr(answer->data, "Content-Length: ");
    assert_true(end != NULL && strtol(length + 16, NULL, 10) == (long)(answer->len - (size_t)(end + 4 - answer->data)));
    assert_int_equal(json_parse(end + 4, answer->len - (size_t)(end + 4 - answer->data), &json, NULL), 0);
    return json;
}

static void check_answer(struct json_object *json, enum kind kind)
{
    static const struct {
        enum kind kind;
        const char *finish;
    } ends[] = {{KIND_OK, "stop"},          {KIND_MAX_TOKENS, "length"}, {KIND_NO_TEXT, "length"}, {KIND_SAFETY, "content_filter"},
                {KIND_EMPTY, "stop"},       {KIND_BLOCKED, "stop"},      {KIND_TWO_PARTS, "stop"}, {KIND_ODD_FINISH, "distracted"}};
    struct json_object *choice = json_array_at(json_get(json, "choices"), 0), *usage = json_get(json, "usage");
    assert_string_equal(json_get_str(json, "object", ""), "chat.completion");
    assert_string_equal(json_get_str(json, "model", ""), "m-1");
    assert_true((kind == KIND_NO_USAGE) == (usage == NULL) && (kind == KIND_NO_CANDIDATES) == (choice == NULL));
    assert_int_equal(json_get_i64(usage, "total_tokens", 0), json_get_i64(usage, "prompt_tokens", 0) + json_get_i64(usage, "completion_tokens", 0));
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++)
        if (ends[i].kind == kind)
            assert_string_equal(json_get_str(choice, "finish_reason", ""), ends[i].finish);
    assert_true((kind == KIND_BLOCKED) == (json_get_str(json_get(choice, "message"), "refusal", NULL) != NULL));
}

static void check_error(struct json_object *json, enum kind kind, int status)
{
    struct json_object *error = json_get(json, "error");
    const char *code = json_get_str(error, "code", "");
    assert_true(json_get_str(error, "message", "")[0] != '\0' && json_get_str(error, "type", "")[0] != '\0');
    if (kind == KIND_BAD_KEY)
        assert_true(status == 401 && strcmp(code, "invalid_api_key") == 0);
    if (kind == KIND_NO_QUOTA)
        assert_true(status == 429 && strcmp(code, "insufficient_quota") == 0);
    if (kind == KIND_QUOTA) {
        assert_true(status == 429 && strcmp(code, "rate_limit_exceeded") == 0);
        assert_non_null(strstr(json_get_str(error, "message", ""), "requests per min (RPM): Limit 300"));
        assert_non_null(strstr(json_get_str(error, "message", ""), "try again in 7.500s"));
    }
}

static void test_every_answer(void **state)
{
    (void)state;
    struct stage stage = {0};
    struct settings settings;
    struct tally tally;
    settings_init(&settings);
    tally_init(&tally, &settings, 0);
    struct answer_maker maker = {.settings = &settings, .tally = &tally};
    stage_choose(&stage, ROSTER, CASE("\"region\":\"north\"") LOADS(1, 1, 1, 1), NULL);
    for (int kind = KIND_OK; kind < KIND_COUNT; kind++) {
        struct quota_plan plan = {.limit = 300, .window_s = 60, .nominal_s = 60};
        struct verdict verdict = {.kind = (enum kind)kind, .mode = kind_rows[kind].mode, .quota = {.plans = {&plan}, .count = 1, .worst = &plan, .wait_s = 7.5}};
        struct request_fault fault = {.field = "messages", .message = "a \"quoted\" reason"};
        struct text_span model = {"m-1", 3};
        struct buf answer = BUF_EMPTY;
        int status = 200;
        bool is_error = kind_rows[kind].status >= 300;
        if (is_error)
            status = openai_answer_error(&maker, &verdict, &fault, model, &answer);
        else
            openai_answer(&maker, &verdict, &stage.request, &stage.prompt, model, &answer);
        char line[32];
        snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
        assert_int_equal(strncmp(answer.data, line, strlen(line)), 0);
        if (kind != KIND_HALF_JSON) {
            struct json_object *json = body_of(&answer);
            if (is_error)
                check_error(json, (enum kind)kind, status);
            else
                check_answer(json, (enum kind)kind);
            json_free(json);
        }
        buf_clear(&answer);
    }
    answer_maker_clear(&maker);
    tally_clear(&tally);
    stage_clear(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_body_is_read), cmocka_unit_test(test_what_is_refused), cmocka_unit_test(test_every_answer)};
    return cmocka_run_group_tests_name("sim: openai", tests, NULL, NULL);
}
