/* What gallocsim says: every kind of answer, and faults of their content. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "sim/answer.h"
#include "tests/unit/sim_rig.h"

/* The body of an answer, parsed; and its head's length is right. */
static struct json_object *body_of(const struct buf *answer)
{
    struct json_object *json = NULL;
    const char *end = strstr(answer->data, "\r\n\r\n"), *length = strstr(answer->data, "Content-Length: ");
    assert_non_null(end);
    assert_int_equal(strtol(length + 16, NULL, 10), (long)(answer->len - (size_t)(end + 4 - answer->data)));
    struct galloc_error error;
    if (json_parse(end + 4, answer->len - (size_t)(end + 4 - answer->data), &json, &error) != 0)
        fail_msg("%s: %s", error.message, end + 4);
    return json;
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
        const struct kind_row *row = &kind_rows[kind];
        struct quota_plan plan = {.limit = 300, .window_s = 60, .nominal_s = 60};
        struct verdict verdict = {.kind = (enum kind)kind,
                                  .mode = row->mode,
                                  .quota = {.plans = {&plan}, .count = 1, .worst = &plan, .wait_s = 7.5}};
        struct request_fault fault = {.field = "contents", .message = "a \"quoted\" reason"};
        struct text_span model = {"gemini-test", 11};
        struct buf answer = BUF_EMPTY;
        if (row->status >= 300)
            answer_error(&maker, &verdict, &fault, model, &answer);
        else
            answer_generate(&maker, &verdict, &stage.request, &stage.prompt, model, &answer);
        char line[32];
        snprintf(line, sizeof line, "HTTP/1.1 %d ", row->status >= 300 ? row->status : 200);
        assert_int_equal(strncmp(answer.data, line, strlen(line)), 0);
        if (row->rpc_status[0] != '\0') {
            struct json_object *json = body_of(&answer),
                               *envelope = kind == KIND_ARRAY_429 ? json_array_at(json, 0) : json;
            struct json_object *error = json_get(envelope, "error");
            assert_int_equal(json_get_i64(error, "code", 0), row->status);
            assert_string_equal(json_get_str(error, "status", ""), row->rpc_status);
            assert_true(strlen(json_get_str(error, "message", "")) > 0);
            json_free(json);
        } else if (row->status == 200 && kind != KIND_HALF_JSON) {
            struct json_object *json = body_of(&answer), *usage = json_get(json, "usageMetadata");
            assert_true(kind == KIND_NO_USAGE ? usage == NULL : json_get_i64(usage, "promptTokenCount", 0) > 100);
            assert_int_equal(json_get_i64(usage, "totalTokenCount", 0),
                             json_get_i64(usage, "promptTokenCount", 0) +
                                 json_get_i64(usage, "candidatesTokenCount", 0) +
                                 json_get_i64(usage, "thoughtsTokenCount", 0));
            assert_string_equal(json_get_str(json, "modelVersion", ""), "gemini-test");
            assert_int_equal(strlen(json_get_str(json, "responseId", "")), 22);
            json_free(json);
        }
        buf_clear(&answer);
    }
    answer_maker_clear(&maker);
    tally_clear(&tally);
    stage_clear(&stage);
}

/* The text of the first part, the reason of the end and the count of parts, for one kind. */
static void answer_of(struct stage *stage, enum kind kind, struct settings *settings, struct buf *ret_text,
                      struct buf *ret_finish, size_t *ret_parts)
{
    struct tally tally;
    tally_init(&tally, settings, 0);
    struct answer_maker maker = {.settings = settings, .tally = &tally};
    struct verdict verdict = {.kind = kind};
    struct buf answer = BUF_EMPTY;
    answer_generate(&maker, &verdict, &stage->request, &stage->prompt, (struct text_span){"m", 1}, &answer);
    struct json_object *json = body_of(&answer), *candidate = json_array_at(json_get(json, "candidates"), 0);
    struct json_object *parts = json_get(json_get(candidate, "content"), "parts");
    *ret_parts = json_array_len(parts);
    buf_reset(ret_text);
    buf_reset(ret_finish);
    for (size_t i = 0; i < *ret_parts; i++)
        if (!json_get_bool(json_array_at(parts, i), "thought", false))
            buf_add_str(ret_text, json_get_str(json_array_at(parts, i), "text", ""));
    buf_add_str(ret_finish, json_get_str(candidate, "finishReason", ""));
    json_free(json);
    buf_clear(&answer);
    answer_maker_clear(&maker);
    tally_clear(&tally);
}

static void test_content_faults(void **state)
{
    (void)state;
    static const struct {
        enum kind kind;
        size_t parts;
        const char *finish, *has; /* has: stands in the text */
        bool is_json;
    } rows[] = {{KIND_OK, 1, "STOP", "\"agent_id\":\"A", true},
                {KIND_THOUGHT_FIRST, 2, "STOP", "\"agent_id\":\"A", true},
                {KIND_TWO_PARTS, 2, "STOP", "\"agent_id\":\"A", true},
                {KIND_UNKNOWN_AGENT, 1, "STOP", "agent-of-no-pool", true},
                {KIND_MALFORMED, 1, "STOP", "Sure!", false},
                {KIND_WRONG_SHAPE, 1, "STOP", "another shape", true},
                {KIND_MAX_TOKENS, 1, "MAX_TOKENS", "{", false},
                {KIND_NO_TEXT, 0, "MAX_TOKENS", "", false},
                {KIND_EMPTY, 0, "STOP", "", false},
                {KIND_SAFETY, 0, "SAFETY", "", false},
                {KIND_RECITATION, 0, "RECITATION", "", false},
                {KIND_ODD_FINISH, 1, "DISTRACTED", "A", true}};
    struct stage stage = {0};
    struct settings settings;
    struct buf text = BUF_EMPTY, finish = BUF_EMPTY;
    settings_init(&settings);
    stage_choose(&stage, ROSTER, CASE("\"region\":\"north\"") LOADS(1, 1, 1, 1), NULL);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        size_t parts;
        answer_of(&stage, rows[i].kind, &settings, &text, &finish, &parts);
        assert_int_equal(parts, rows[i].parts);
        assert_string_equal(buf_text(&finish), rows[i].finish);
        assert_non_null(strstr(buf_text(&text), rows[i].has));
        assert_int_equal(text.len > 0 && json_check(text.data, text.len, NULL) == 0, rows[i].is_json);
    }
    size_t parts;
    stage.request.max_output_tokens = 64; /* thinking that eats the cap leaves no text; a higher cap does */
    settings.thoughts_tokens = 600;
    answer_of(&stage, KIND_OK, &settings, &text, &finish, &parts);
    assert_string_equal(buf_text(&finish), "MAX_TOKENS");
    assert_int_equal(parts, 0);
    stage.request.max_output_tokens = 1024;
    answer_of(&stage, KIND_OK, &settings, &text, &finish, &parts);
    assert_string_equal(buf_text(&finish), "STOP");
    buf_clear(&text);
    buf_clear(&finish);
    stage_clear(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_answer),
        cmocka_unit_test(test_content_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
