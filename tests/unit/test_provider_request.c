/* What Gemini is asked: address, headers and body, byte for byte, and what cannot be asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/json_out.h"
#include "base/text.h"
#include "core/limits.h"
#include "provider/provider.h"

static const struct provider_wire wire = {
    .base_url = "https://generativelanguage.googleapis.com", .api_version = "v1beta", .model = "gemini-3.8-flash", .request_timeout_ms = 30001};

static struct buf choice, user_json; /* of the last ask */

static struct provider_ask ask_of(const char *system, const char *user, const char *const *candidates, size_t count)
{
    buf_reset(&choice);
    buf_reset(&user_json);
    json_quote(&user_json, user, strlen(user));
    provider_gemini.add_choice(candidates, count, false, &choice);
    return (struct provider_ask){.system_json = system,
                                 .user_json = buf_text(&user_json),
                                 .system_json_len = strlen(system),
                                 .user_json_len = user_json.len,
                                 .choice_json = buf_text(&choice),
                                 .choice_json_len = choice.len,
                                 .max_output_tokens = 512};
}

static void test_body(void **state)
{
    (void)state;
    static const char *const candidates[] = {"A7", "A\"9"};
    struct provider_ask ask = ask_of("\"You allocate cases.\"", "Case 17: \"visit\"\nat 12.97,77.59\t\x01 é", candidates, 2);
    struct provider_request request;

    assert_int_equal(provider_gemini.build(&wire, &ask, &request, NULL), 0);
    assert_string_equal(buf_text(&request.body),
                        "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Case 17: \\\"visit\\\"\\nat 12.97,77.59\\t\\u0001 é\"}]}],"
                        "\"systemInstruction\":{\"parts\":[{\"text\":\"You allocate cases.\"}]},"
                        "\"generationConfig\":{\"responseMimeType\":\"application/json\",\"responseSchema\":{\"type\":\"OBJECT\",\"properties\":{"
                        "\"agent_id\":{\"type\":\"STRING\",\"enum\":[\"A7\",\"A\\\"9\"]},\"reason\":{\"type\":\"STRING\"},"
                        "\"confidence\":{\"type\":\"NUMBER\",\"minimum\":0,\"maximum\":1}},\"required\":[\"agent_id\",\"reason\",\"confidence\"],"
                        "\"propertyOrdering\":[\"agent_id\",\"reason\",\"confidence\"]},\"maxOutputTokens\":512}}");
    provider_request_clear(&request);
    ask.choice_json_len = 0;
    assert_int_equal(provider_gemini.build(&wire, &ask, &request, NULL), 0);
    assert_null(strstr(buf_text(&request.body), "responseSchema"));
    provider_request_clear(&request);
}

/* A question's schema goes as JSON Schema, which says more than the other dialect. */
static void test_question(void **state)
{
    (void)state;
    static const char text[] = "{\"type\":\"object\",\"properties\":{\"due\":{\"type\":\"string\",\"format\":\"date\",\"nullable\":true}},\"additionalProperties\":false}";
    struct schema *schema = NULL;
    struct provider_request request;
    struct provider_ask ask = ask_of("\"Read.\"", "x", NULL, 0);
    buf_reset(&choice);
    assert_int_equal(schema_parse(text, strlen(text), &schema, NULL), 0);
    provider_gemini.add_schema(schema, &choice);
    ask.choice_json = buf_text(&choice);
    ask.choice_json_len = choice.len;
    assert_int_equal(provider_gemini.build(&wire, &ask, &request, NULL), 0);
    assert_non_null(strstr(buf_text(&request.body), "\"generationConfig\":{\"responseMimeType\":\"application/json\",\"responseJsonSchema\":{\"type\":\"object\",\"properties\":{"
                                                    "\"due\":{\"type\":[\"string\",\"null\"],\"format\":\"date\"}},\"additionalProperties\":false},\"maxOutputTokens\":512}"));
    provider_request_clear(&request);
    schema_free(schema);
}

/* The body that was asked first, byte for byte, with the token before its last brace. */
static void test_rest(void **state)
{
    (void)state;
    static const char body[] = "{\"contents\":[{\"parts\":[{\"text\":\"Case 17}\"}]}]}";
    struct provider_request request = {0};
    struct galloc_error error;

    assert_int_equal(provider_gemini.build_rest(&wire, body, sizeof body - 1, "Q29\"}\\\n=", &request, NULL), 0);
    assert_string_equal(buf_text(&request.body), "{\"contents\":[{\"parts\":[{\"text\":\"Case 17}\"}]}],\"continuationToken\":\"Q29\\\"}\\\\\\n=\"}");
    assert_string_equal(request.headers[2], "X-Server-Timeout: 31");
    provider_request_clear(&request);
    assert_int_equal(provider_gemini.build_rest(&wire, "", 0, "t", &request, &error), -GALLOC_INVALID_VALUE); /* no request of ours */
    provider_request_clear(&request);
}

static void test_address_and_headers(void **state)
{
    (void)state;
    struct provider_ask ask = ask_of("", "x", NULL, 0);
    struct provider_request request;

    assert_int_equal(provider_gemini.build(&wire, &ask, &request, NULL), 0);
    assert_string_equal(request.method, "POST");
    assert_string_equal(buf_text(&request.url), "https://generativelanguage.googleapis.com/v1beta/models/gemini-3.8-flash:generateContent");
    assert_string_equal(request.secret_header, "x-goog-api-key: ");
    assert_string_equal(request.headers[0], "Content-Type: application/json");
    assert_string_equal(request.headers[1], "User-Agent: galloc/" PACKAGE_VERSION);
    assert_string_equal(request.headers[2], "X-Server-Timeout: 31"); /* rounded up */
    assert_null(request.headers[3]);
    assert_null(strstr(buf_text(&request.body), "systemInstruction"));
    assert_null(strstr(buf_text(&request.body), "enum"));
    assert_null(strstr(buf_text(&request.body), "temperature"));
    provider_request_clear(&request);
}

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *base, *version, *model, *url; /* NULL: refused */
    } cases[] = {
        {"http://127.0.0.1:8080/", "v1", "m", "http://127.0.0.1:8080/v1/models/m:generateContent"},
        {"https://h//", "/v1/", "models/m-1.5", "https://h/v1/models/m-1.5:generateContent"},
        {"https://h/proxy", "", "tunedModels/mine", "https://h/proxy/tunedModels/mine:generateContent"},
        {"https://aiplatform.googleapis.com", "v1beta1/publishers/google", "m", "https://aiplatform.googleapis.com/v1beta1/publishers/google/models/m:generateContent"},
        {"https://h", "v1", "", NULL},
        {"https://h", "v1", NULL, NULL},
        {"https://h", "v1", "m?key=1", NULL},
        {"https://h", "v1", "../m", NULL},
        {"https://h", "v1", "/m", NULL},
        {"https://h", "v1", "a b", NULL},
        {"https://h", "v1/../x", "m", NULL},
        {"https://h", "v1\r\nX: y", "m", NULL},
        {"https://", "v1", "m", NULL},
        {"ftp://h", "v1", "m", NULL},
        {"h", "v1", "m", NULL},
        {NULL, "v1", "m", NULL},
        {"https://user@h", "v1", "m", NULL},
        {"https://h?x", "v1", "m", NULL},
        {"https://h\n", "v1", "m", NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct provider_wire other = {.base_url = cases[i].base, .api_version = cases[i].version, .model = cases[i].model};
        struct provider_ask ask = ask_of("", "x", NULL, 0);
        struct provider_request request;
        struct galloc_error error = {0};
        int rc = provider_gemini.build(&other, &ask, &request, &error);
        if (cases[i].url == NULL) {
            assert_int_equal(rc, -GALLOC_INVALID_VALUE);
            assert_true(error.message[0] != '\0');
            continue;
        }
        assert_int_equal(rc, 0);
        assert_string_equal(buf_text(&request.url), cases[i].url);
        assert_null(request.headers[2]); /* no time limit is set */
        provider_request_clear(&request);
    }
}

static void test_long_lists_are_not_named(void **state)
{
    (void)state;
    const char *candidates[LIMIT_SCHEMA_ENUM + 1];
    for (size_t i = 0; i < ARRAY_COUNT(candidates); i++)
        candidates[i] = "agent";
    for (size_t count = LIMIT_SCHEMA_ENUM; count <= LIMIT_SCHEMA_ENUM + 1; count++) {
        struct provider_ask ask = ask_of("\"s\"", "u", candidates, count);
        struct provider_request request;
        assert_int_equal(provider_gemini.build(&wire, &ask, &request, NULL), 0);
        assert_int_equal(strstr(buf_text(&request.body), "\"enum\"") != NULL, count <= LIMIT_SCHEMA_ENUM);
        provider_request_clear(&request);
    }
}

/* A payload cannot break out of its string, whatever bytes it holds. */
static void test_hostile_text(void **state)
{
    (void)state;
    char hostile[512];
    for (size_t i = 0; i < sizeof hostile; i++)
        hostile[i] = (char)i;
    struct buf quoted = BUF_EMPTY;
    json_quote(&quoted, hostile, sizeof hostile);
    struct provider_ask ask = {.user_json = quoted.data, .user_json_len = quoted.len, .max_output_tokens = 1};
    struct provider_request request;
    struct json_object *body = NULL;

    assert_int_equal(provider_gemini.build(&wire, &ask, &request, NULL), 0);
    assert_int_equal(json_parse(buf_text(&request.body), request.body.len, &body, NULL), 0);
    struct json_object *part = json_array_at(json_get(json_array_at(json_get(body, "contents"), 0), "parts"), 0);
    size_t len = 0;
    const char *text = json_str(json_get(part, "text"), &len);
    assert_non_null(text);
    assert_memory_equal(text, hostile, 128);
    assert_true(text_is_utf8(text, len));
    json_free(body);
    buf_clear(&quoted);
    provider_request_clear(&request);
}

/* Vertex AI: a project's path and an access token, or the express mode's and a key; never both. */
static void test_vertex(void **state)
{
    (void)state;
    static const struct {
        bool is_vertex;
        const char *project, *location, *url, *header; /* url NULL: refused, and `header` is what is said */
        enum provider_setting setting;
    } cases[] = {
        {true, "p1", "us-central1", "https://h/v1/projects/p1/locations/us-central1/publishers/google/models/m:generateContent", "Authorization: Bearer ", PROVIDER_MODEL},
        {true, "example.com:p-1", "global", "https://h/v1/projects/example.com:p-1/locations/global/publishers/google/models/m:generateContent", "Authorization: Bearer ",
         PROVIDER_MODEL},
        {true, "", "", "https://h/v1/publishers/google/models/m:generateContent", "x-goog-api-key: ", PROVIDER_MODEL},
        {false, "", "", "https://h/v1/models/m:generateContent", "x-goog-api-key: ", PROVIDER_MODEL},
        {false, "p1", "us", NULL, "project is for Vertex AI", PROVIDER_PROJECT},
        {false, "", "us", NULL, "location is for Vertex AI", PROVIDER_LOCATION},
        {true, "p1", "", NULL, "location is missing", PROVIDER_PROJECT},
        {true, "", "us", NULL, "project is missing", PROVIDER_LOCATION},
        {true, "p/1", "us", NULL, "a project's id", PROVIDER_PROJECT},
        {true, "p1", "us/..", NULL, "location must be like", PROVIDER_LOCATION},
        {true, "p1", "us.evil.example", NULL, "location must be like", PROVIDER_LOCATION},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct provider_wire vertex = {.base_url = "https://h", .api_version = "v1", .model = "m", .is_vertex = cases[i].is_vertex, .project = cases[i].project,
                                             .location = cases[i].location};
        struct provider_request request = {0};
        struct galloc_error error = {0};
        enum provider_setting setting = PROVIDER_MODEL;
        int rc = provider_gemini.check(&vertex, &setting, &error);
        assert_int_equal(rc, cases[i].url != NULL ? 0 : -GALLOC_INVALID_VALUE);
        assert_int_equal(setting, cases[i].setting);
        if (cases[i].url == NULL) {
            if (strstr(error.message, cases[i].header) == NULL)
                fail_msg("%zu says: %s", i, error.message);
            continue;
        }
        assert_int_equal(provider_gemini.build_test(&vertex, &request, NULL), 0);
        assert_string_equal(buf_text(&request.url), cases[i].url);
        assert_string_equal(request.secret_header, cases[i].header);
        provider_request_clear(&request);
    }
}

static void test_tiers(void **state)
{
    (void)state;
    struct provider_wire vertex = wire;
    struct provider_ask ask = ask_of("", "x", NULL, 0);
    struct provider_request request;
    ask.tier = TIER_FLEX;
    assert_int_equal(provider_gemini.build(&wire, &ask, &request, NULL), 0);
    assert_non_null(strstr(buf_text(&request.body), "},\"serviceTier\":\"flex\"}")); /* at the top level */
    assert_int_equal(request.least_timeout_ms, 900000); /* a quarter of an hour, which the server is told too */
    assert_string_equal(request.headers[2], "X-Server-Timeout: 900");
    struct provider_request rest = {0};
    assert_int_equal(provider_gemini.build_rest(&wire, buf_text(&request.body), request.body.len, "t", &rest, NULL), 0);
    assert_int_equal(rest.least_timeout_ms, 900000);
    provider_request_clear(&rest);
    static const char quoted[] = "{\"x\":\"\\\"serviceTier\\\":\\\"flex\\\"\"}"; /* who only writes of it is not asked for at it */
    assert_int_equal(provider_gemini.build_rest(&wire, quoted, sizeof quoted - 1, "t", &rest, NULL), 0);
    assert_int_equal(rest.least_timeout_ms, 0);
    provider_request_clear(&rest);
    provider_request_clear(&request);
    ask.tier = TIER_STANDARD;
    assert_int_equal(provider_gemini.build(&wire, &ask, &request, NULL), 0);
    assert_null(strstr(buf_text(&request.body), "serviceTier"));
    assert_int_equal(request.least_timeout_ms, 0);
    provider_request_clear(&request);
    vertex.is_vertex = true;
    assert_true(provider_takes_tier(&provider_gemini, &wire, TIER_FLEX));
    assert_true(provider_takes_tier(&provider_openai, &wire, TIER_FLEX));
    assert_false(provider_takes_tier(&provider_gemini, &vertex, TIER_FLEX));
    assert_true(provider_takes_tier(&provider_gemini, &vertex, TIER_STANDARD));
    assert_false(provider_takes_tier(&provider_http, &wire, TIER_FLEX));
    assert_true(provider_takes_tier(&provider_http, &wire, TIER_STANDARD));
}

static void test_test_request(void **state)
{
    (void)state;
    struct provider_request request;
    assert_true(provider_has_test(&provider_gemini, &wire));
    assert_int_equal(provider_gemini.build_test(&wire, &request, NULL), 0);
    assert_string_equal(buf_text(&request.url), "https://generativelanguage.googleapis.com/v1beta/models/gemini-3.8-flash:generateContent");
    assert_string_equal(buf_text(&request.body), "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Answer with the single word OK.\"}]}],"
                                                 "\"generationConfig\":{\"maxOutputTokens\":16}}");
    provider_request_clear(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body), cmocka_unit_test(test_question),         cmocka_unit_test(test_address_and_headers), cmocka_unit_test(test_urls), cmocka_unit_test(test_long_lists_are_not_named),
        cmocka_unit_test(test_hostile_text), cmocka_unit_test(test_test_request),        cmocka_unit_test(test_rest),
        cmocka_unit_test(test_vertex),       cmocka_unit_test(test_tiers),
    };
    return cmocka_run_group_tests_name("provider: gemini's requests", tests, NULL, NULL);
}
