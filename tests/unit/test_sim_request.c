/* What gallocsim reads: JSON, request bodies, HTTP heads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "sim/http.h"
#include "sim/request.h"

static void test_walk_is_strict(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_well;
    } rows[] = {{"{}", true},
                {" [1, -2.5e+3, true, null, \"\"] ", true},
                {"\"a long string without anything in it\"", true},
                {"{\"a\":{\"b\":[[]]}}", true},
                {"\"\\u00e9\\n\\\\\\\"/\"", true},
                {"123456789012345678901", true},
                {"0", true},
                {"-0.5", true},
                {"", false},
                {"{", false},
                {"[1,]", false},
                {"{\"a\":1,}", false},
                {"{\"a\" 1}", false},
                {"{a:1}", false},
                {"[1 2]", false},
                {"01", false},
                {"1.", false},
                {"-", false},
                {"+1", false},
                {"tru", false},
                {"\"", false},
                {"\"abcdefghijk", false},
                {"\"\\x\"", false},
                {"\"\\u12g4\"", false},
                {"\"\\u12", false},
                {"\"\\", false},
                {"\"a\tb\"", false},
                {"\"\xff\"", false},
                {"{} {}", false},
                {"]", false},
                {"{]", false},
                {"NaN", false},
                {"1e", false}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct walk walk = walk_of(rows[i].text, strlen(rows[i].text));
        bool is_well = walk_skip(&walk, NULL) && walk_end(&walk);
        if (is_well != rows[i].is_well)
            fail_msg("%s: %s", rows[i].text, walk.problem ? walk.problem : "taken");
        assert_int_equal(json_check(rows[i].text, strlen(rows[i].text), NULL) == 0,
                         rows[i].is_well); /* as the house's own reader */
    }
    char deep[100];
    memset(deep, '[', sizeof deep);
    struct walk walk = walk_of(deep, sizeof deep);
    assert_false(walk_skip(&walk, NULL));
    assert_string_equal(walk.problem, "nested too deep");
}

/* Every place of a special character within eight bytes, so that the fast step over plain text misses none. */
static void test_walk_string_at_every_offset(void **state)
{
    (void)state;
    for (size_t len = 0; len < 40; len++) {
        char text[64] = "\"";
        memset(text + 1, 'x', len);
        memcpy(text + 1 + len, "\"tail\\\"tail", 12);
        struct walk walk = walk_of(text, strlen(text));
        struct walk_string string;
        assert_true(walk_string(&walk, &string));
        assert_int_equal(string.len, len);
        text[1 + len] = '\x1f';
        walk = walk_of(text, strlen(text));
        assert_false(walk_string(&walk, &string));
        memcpy(text + 1 + len, "\\\"\"", 4);
        walk = walk_of(text, strlen(text));
        assert_true(walk_string(&walk, &string));
        assert_true(string.escape_count == 1 && string.len == len + 2);
    }
}

static void test_decode(void **state)
{
    (void)state;
    static const struct {
        const char *source, *text;
    } rows[] = {{"\"plain\"", "plain"},
                {"\"a\\nb\\t\\\"\\\\\\/\"", "a\nb\t\"\\/"},
                {"\"\\n\\u0041\\u00e9\\u20ac\"", "\nA\xc3\xa9\xe2\x82\xac"},
                {"\"\\ud83d\\ude00!\\b\\f\\r\"", "\xf0\x9f\x98\x80!\b\f\r"},
                {"\"\\ud83d\"", "\xef\xbf\xbd"},
                {"\"caf\xc3\xa9 \\\"\xc3\xa9\\\"\"", "caf\xc3\xa9 \"\xc3\xa9\""},
                {"\"\\ude00x\"", "\xef\xbf\xbdx"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct buf out = BUF_EMPTY;
        struct walk walk = walk_of(rows[i].source, strlen(rows[i].source));
        struct walk_string string;
        assert_true(walk_string(&walk, &string));
        walk_decode(string, &out);
        assert_int_equal(walk_decoded_bytes(string), strlen(rows[i].text));
        assert_string_equal(out.data, rows[i].text);
        buf_clear(&out);
    }
}

#define CONTENTS "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hello\"}]}]"
#define WITH(config) "{" CONTENTS ",\"generationConfig\":{" config "}}"
#define SCHEMA(schema) WITH("\"responseMimeType\":\"application/json\",\"responseSchema\":" schema)

static void test_requests_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body, *field, *says;
    } rows[] = {
        {"", "", "object is expected"},
        {"{\"contents\":", "contents", "Invalid JSON payload"},
        {"{}", "", "contents is not specified"},
        {"{\"contents\":[]}", "", "contents is not specified"},
        {"{" CONTENTS ",\"foo\":1}", "", "Unknown name \"foo\": Cannot find field."},
        {"{" CONTENTS "} x", "", "after the end"},
        {"{\"contents\":[{\"role\":\"system\",\"parts\":[{\"text\":\"x\"}]}]}", "contents.role", "valid role"},
        {"{\"contents\":[{\"parts\":[{\"txt\":\"x\"}]}]}", "contents.parts",
         "Unknown name \"txt\" at 'contents.parts'"},
        {"{\"contents\":[{\"parts\":[]}]}", "contents.parts", "must not be empty"},
        {WITH("\"temprature\":0"), "generation_config", "Unknown name \"temprature\" at 'generation_config'"},
        {WITH("\"temperature\":3"), "generation_config.temperature", "supported range"},
        {WITH("\"temperature\":\"hot\""), "generation_config.temperature", "number"},
        {WITH("\"maxOutputTokens\":0"), "generation_config.max_output_tokens", "supported range"},
        {WITH("\"temperature\":0,\"temperature\":1"), "generation_config", "given twice"},
        {WITH("\"responseMimeType\":\"text/html\""), "generation_config.response_mime_type", "allowed mimetypes"},
        {WITH("\"responseSchema\":{\"type\":\"STRING\"}"), "generation_config", "response_mime_type must be set"},
        {WITH("\"thinkingConfig\":{\"thinkingBudget\":0,\"thinkingLevel\":\"LOW\"}"),
         "generation_config.thinking_config", "only one"},
        {WITH("\"thinkingConfig\":{\"thinkingLevel\":\"low\"}"), "generation_config.thinking_config.thinking_level",
         "low"},
        {SCHEMA("{\"type\":\"object\"}"), "generation_config.response_schema.type", "\"object\""},
        {SCHEMA("{\"type\":[\"STRING\",\"NULL\"]}"), "generation_config.response_schema.type", "not repeating"},
        {SCHEMA("{\"type\":\"OBJECT\"}"), "generation_config.response_schema", "should be non-empty"},
        {SCHEMA("{\"type\":\"ARRAY\"}"), "generation_config.response_schema", "items: missing"},
        {SCHEMA("{\"type\":\"OBJECT\",\"properties\":{\"a\":{\"type\":\"STRING\"}},\"additionalProperties\":false}"),
         "generation_config.response_schema", "Unknown name \"additionalProperties\""},
        {SCHEMA("{\"type\":\"OBJECT\",\"properties\":{\"a\":{\"type\":\"STRING\"}},\"required\":[\"b\"]}"),
         "generation_config.response_schema", "required[0]: property is not defined"},
        {SCHEMA("{\"type\":\"STRING\",\"enum\":[\"a\",1]}"), "generation_config.response_schema.enum", "enum[1]"},
        {SCHEMA("{\"type\":\"STRING\",\"enum\":[\"a\",\"b\",\"c\",\"d\"]}"), "generation_config.response_schema.enum",
         "too many states"},
        {"{" CONTENTS ",\"serviceTier\":\"FLEX\"}", "service_tier", "FLEX"},
        {"{" CONTENTS ",\"safetySettings\":[{\"category\":\"HARM\",\"threshold\":\"OFF\"}]}",
         "safety_settings.category", "HARM"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct sim_request request;
        struct request_fault fault;
        if (request_read(rows[i].body, strlen(rows[i].body), false, 3, &request, &fault))
            fail_msg("taken: %s", rows[i].body);
        if (strcmp(fault.field, rows[i].field) != 0 || strstr(fault.message, rows[i].says) == NULL)
            fail_msg("%s\n  gives [%s] %s", rows[i].body, fault.field, fault.message);
    }
}

static void test_requests_taken(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{" CONTENTS "}",
        "{\"contents\":{\"parts\":{\"text\":\"one message for a list of one\"}}}",
        "{" CONTENTS ",\"system_instruction\":{\"parts\":[{\"text\":\"s\"}]},\"generation_config\":{\"max_output_"
                     "tokens\":\"256\",\"top_p\":0.5}}",
        WITH("\"temperature\":null,\"stopSequences\":[\"END\"],\"candidateCount\":1,\"seed\":7,\"thinkingConfig\":{"
             "\"thinkingBudget\":-1}"),
        SCHEMA("{\"type\":\"OBJECT\",\"properties\":{\"agent_id\":{\"type\":\"STRING\",\"enum\":[\"a\",\"b\"]},"
               "\"score\":{\"type\":\"NUMBER\","
               "\"nullable\":true,\"minimum\":0},\"list\":{\"type\":\"ARRAY\",\"items\":{\"type\":\"STRING\"},"
               "\"maxItems\":\"3\"}},\"required\":"
               "[\"agent_id\"],\"propertyOrdering\":[\"agent_id\",\"score\"]}"),
        WITH("\"responseMimeType\":\"application/"
             "json\",\"responseJsonSchema\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":[\"string\","
             "\"null\"]}},\"required\":[\"a\"],\"additionalProperties\":false}"),
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct sim_request request;
        struct request_fault fault;
        if (!request_read(rows[i], strlen(rows[i]), false, 1000, &request, &fault))
            fail_msg("%s\n  gives [%s] %s", rows[i], fault.field, fault.message);
        assert_true(request.part_count >= 1);
    }
    struct sim_request request;
    struct request_fault fault;
    assert_true(request_read(rows[4], strlen(rows[4]), false, 1000, &request, &fault));
    assert_true(request.wants_agent_id && !request.wants_reason && request.agent_enum_count == 2);
    assert_true(request_read(rows[0], strlen(rows[0]), true, 1000, &request, &fault));
    assert_false(request_read(rows[2], strlen(rows[2]), true, 1000, &request,
                              &fault)); /* countTokens takes no systemInstruction */
}

static void test_http_heads(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        enum http_result result;
        int status;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", HTTP_WELL, 0},
        {"POST /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Length: 12\r\nx-goog-api-key:  K \r\n\r\n", HTTP_WELL,
         0},
        {"GET / HTTP/1.0\r\n\r\n", HTTP_WELL, 0},
        {"GET / HT", HTTP_MORE, 0},
        {"", HTTP_MORE, 0},
        {"GET / HTTP/1.1\r\n\r\n", HTTP_BAD, 400},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", HTTP_BAD, 505},
        {"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD, 400},
        {"GET /\r\nHost: a\r\n\r\n", HTTP_BAD, 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", HTTP_BAD, 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", HTTP_BAD, 400},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", HTTP_BAD, 400},
        {"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", HTTP_BAD, 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", HTTP_BAD, 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", HTTP_BAD, 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999\r\n\r\n", HTTP_BAD, 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BAD, 501},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n\r\n", HTTP_BAD, 415},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct http_head head;
        int status = 0;
        const char *why = NULL;
        enum http_result result = http_read_head(rows[i].head, strlen(rows[i].head), &head, &status, &why);
        if (result != rows[i].result || status != rows[i].status)
            fail_msg("%s\ngives %d %d %s", rows[i].head, result, status, why ? why : "");
    }
    struct http_head head;
    int status;
    const char *why;
    assert_int_equal(http_read_head(rows[1].head, strlen(rows[1].head), &head, &status, &why), HTTP_WELL);
    assert_true(head.method == METHOD_POST && head.body_bytes == 12 && head.key.len == 1 && head.query.len == 3 &&
                !head.has_foreign_host);
    static const char evil[] =
        "GET / HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n";
    assert_int_equal(http_read_head(evil, strlen(evil), &head, &status, &why), HTTP_WELL);
    assert_true(head.has_foreign_host && head.has_origin && !head.keeps_alive);
    char long_head[HTTP_HEAD_MAX + 10];
    memset(long_head, 'a', sizeof long_head);
    assert_int_equal(http_read_head(long_head, sizeof long_head, &head, &status, &why), HTTP_BAD);
    assert_int_equal(status, 431);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk_is_strict),
        cmocka_unit_test(test_walk_string_at_every_offset),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_requests_refused),
        cmocka_unit_test(test_requests_taken),
        cmocka_unit_test(test_http_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
