/* The OpenAI wire: which response is which class, one row a body, every recorded body in the table; and what is sent, byte for byte where it matters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "provider/provider.h"

#include "fixture.h"

#include <dirent.h>

#define GOOD "{\"agent_id\":\"A7\",\"reason\":\"same region, two places free\",\"confidence\":0.82}"
#define TRUNCATED 1
#define CAPACITY 2

struct row {
    const char *file;
    int status;
    enum outcome_class class;
    int flags;
    enum quota_span span;
    enum quota_unit unit;
    int64_t quota_value, retry_ms;
    const char *says; /* within the message; NULL: it succeeded */
};
#define OK(file) {file, 200, OUTCOME_SUCCEEDED, 0, QUOTA_NONE, QUOTA_REQUESTS, -1, -1, NULL}
#define ERR(file, status, class, flags, says) {file, status, OUTCOME_##class, flags, QUOTA_NONE, QUOTA_REQUESTS, -1, -1, says}
#define RATE(file, class, span, unit, value, retry, says) {file, 429, OUTCOME_##class, 0, QUOTA_##span, QUOTA_##unit, value, retry, says}

static const struct row rows[] = {
    OK("ok.json"),
    OK("ok_vllm.json"),
    OK("ok_ollama.json"),
    OK("ok_gemini_no_completion_tokens.json"),
    OK("ok_parts.json"),
    OK("ok_no_finish.json"),
    OK("ok_no_usage.json"),
    OK("ok_in_array.json"),
    OK("ok_odd_usage.json"),
    ERR("length.json", 200, INVALID_ANSWER, TRUNCATED, "stopped with length"),
    ERR("length_empty.json", 200, INVALID_ANSWER, TRUNCATED, "length"),
    ERR("model_length.json", 200, INVALID_ANSWER, TRUNCATED, "model_length"),
    ERR("content_filter.json", 200, REJECTED, 0, "content_filter"),
    ERR("refusal.json", 200, REJECTED, 0, "refused: I'm sorry"),
    ERR("tool_calls.json", 200, INVALID_ANSWER, 0, "tool_calls"),
    ERR("finish_unknown.json", 200, INVALID_ANSWER, 0, "abort"),
    ERR("content_null.json", 200, INVALID_ANSWER, 0, "empty"),
    ERR("content_nul.json", 200, INVALID_ANSWER, 0, "NUL"),
    ERR("gemini_no_message.json", 200, INVALID_ANSWER, 0, "empty"),
    ERR("no_choices.json", 200, INVALID_ANSWER, 0, "no choice"),
    ERR("choices_missing.json", 200, INVALID_ANSWER, 0, "no choice"),
    ERR("half_body.json", 200, INVALID_ANSWER, 0, "unreadable body"),
    ERR("200_error.json", 200, TRANSIENT, 0, "HTTP 502: Provider returned error"),
    ERR("200_error_text.json", 200, TRANSIENT, 0, "something"),

    ERR("401_key.json", 401, CREDENTIALS, 0, "Incorrect API key"),
    ERR("401_litellm.json", 401, CREDENTIALS, 0, "auth_error: Authentication Error"),
    ERR("403_country.json", 403, CONFIG, 0, "territory"),
    ERR("404_model.json", 404, CONFIG, 0, "gpt-9"),
    ERR("404_ollama.json", 404, CONFIG, 0, "try pulling it first"),
    ERR("404_vllm.json", 404, CONFIG, 0, "NotFoundError"),
    ERR("404_fastapi.json", 404, CONFIG, 0, "HTTP 404: Not Found"),
    ERR("400_context.json", 400, REJECTED, 0, "context_length_exceeded"),
    ERR("400_vllm_context.json", 400, REJECTED, 0, "maximum context length"),
    ERR("400_vllm_wrapped.json", 400, REJECTED, 0, "BadRequestError"),
    ERR("400_azure_filter.json", 400, REJECTED, 0, "content_filter"),
    ERR("400_schema.json", 400, REJECTED, 0, "invalid_json_schema"),
    ERR("400_parameter.json", 400, CONFIG, 0, "Use 'max_completion_tokens' instead"),
    ERR("400_cap_spent.json", 400, INVALID_ANSWER, TRUNCATED, "output limit was reached"),
    ERR("400_billing_limit.json", 400, BILLING, 0, "hard limit"),
    ERR("400_gemini_key.json", 400, CREDENTIALS, 0, "API_KEY_INVALID"),

    RATE("429_gemini_array.json", THROTTLED, MINUTE, REQUESTS, 15, 7000, "RESOURCE_EXHAUSTED"),
    RATE("429_gemini_day.json", QUOTA_DAY, DAY, REQUESTS, 20, -1, "RESOURCE_EXHAUSTED"),
    ERR("429_quota.json", 429, BILLING, 0, "insufficient_quota"),
    ERR("429_spend_limit.json", 429, BILLING, 0, "project_spend_limit_exceeded"),
    RATE("429_rpm.json", THROTTLED, MINUTE, REQUESTS, 500, 120, "(RPM)"),
    RATE("429_tpm.json", THROTTLED, MINUTE, TOKENS, 200000, 1200, "(TPM)"),
    RATE("429_rpd.json", QUOTA_DAY, DAY, REQUESTS, 10000, 8640, "(RPD)"),
    RATE("429_tpd_groq.json", QUOTA_DAY, DAY, TOKENS, 100000, 693900, "(TPD)"),
    RATE("429_slow_down.json", THROTTLED, UNNAMED, REQUESTS, -1, -1, "slow_down"),
    RATE("429_bare.json", THROTTLED, UNNAMED, REQUESTS, -1, -1, "Too many requests"),
    RATE("429_litellm.json", THROTTLED, UNNAMED, REQUESTS, -1, -1, "Rate limit"),
    ERR("429_flex.json", 429, UNAVAILABLE, CAPACITY, "resource_unavailable"),

    ERR("500.json", 500, TRANSIENT, 0, "server_error"),
    ERR("502_page.txt", 502, TRANSIENT, 0, "502 Bad Gateway"),
    ERR("503_overloaded.json", 503, UNAVAILABLE, CAPACITY, "overloaded"),
    ERR("503_ollama.json", 503, UNAVAILABLE, CAPACITY, "server busy"),
    ERR("empty.txt", 200, INVALID_ANSWER, 0, "empty body"),
};

static void classify(const char *file, int status, int should_retry, int64_t header_ms, struct provider_verdict *ret_verdict)
{
    char path[256];
    size_t len = 0;
    snprintf(path, sizeof path, "openai/%s", file);
    char *body = fixture_read(path, &len);
    if (body == NULL)
        fail_msg("%s is missing", file);
    const struct provider_response response = {
        .end = PROVIDER_ANSWERED, .status = status, .body = body, .body_len = len, .retry_after_ms = header_ms, .should_retry = should_retry, .message = ""};
    provider_openai.classify(&response, ret_verdict);
    free(body);
}

static void test_classes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct row *row = &rows[i];
        struct provider_verdict verdict;
        classify(row->file, row->status, 0, -1, &verdict);
        if (verdict.class != row->class || verdict.is_truncated != !!(row->flags & TRUNCATED) || verdict.is_capacity != !!(row->flags & CAPACITY))
            fail_msg("%s: %s, truncated %d, capacity %d", row->file, outcome_row(verdict.class)->name, verdict.is_truncated, verdict.is_capacity);
        if (verdict.quota_span != row->span || verdict.quota_unit != row->unit || verdict.quota_value != row->quota_value || verdict.retry_after_ms != row->retry_ms)
            fail_msg("%s: span %d, unit %d, value %lld, retry after %lld", row->file, (int)verdict.quota_span, (int)verdict.quota_unit, (long long)verdict.quota_value,
                     (long long)verdict.retry_after_ms);
        if ((row->says == NULL) != (verdict.message == NULL) || (row->says != NULL && strstr(verdict.message, row->says) == NULL))
            fail_msg("%s says: %s", row->file, verdict.message ? verdict.message : "(nothing)");
        if (row->class == OUTCOME_SUCCEEDED && strcmp(verdict.answer, GOOD) != 0)
            fail_msg("%s: %s", row->file, verdict.answer);
        provider_verdict_clear(&verdict);
    }
}

static void test_every_body_has_a_row(void **state)
{
    (void)state;
    DIR *folder = opendir(FIXTURES "/openai");
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        size_t i = 0;
        while (i < ARRAY_COUNT(rows) && strcmp(rows[i].file, entry->d_name) != 0)
            i++;
        if (entry->d_name[0] != '.' && i == ARRAY_COUNT(rows))
            fail_msg("%s has no row", entry->d_name);
    }
    closedir(folder);
}

static void test_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        int64_t tokens[5];
        const char *model;
    } counts[] = {
        {"ok.json", {812, 640, 24, 90, -1}, "gpt-5-mini-2025-08-07"}, /* what was thought is not counted twice */
        {"ok_ollama.json", {812, -1, 24, -1, -1}, "llama3.2"},
        {"ok_gemini_no_completion_tokens.json", {812, -1, 114, -1, -1}, "gemini-3.8-flash"}, /* from the total */
        {"ok_no_usage.json", {-1, -1, -1, -1, -1}, "gpt-5-mini-2025-08-07"},
        {"ok_odd_usage.json", {-1, -1, -1, -1, -1}, "gpt-5-mini-2025-08-07"},
        {"length.json", {812, 640, 24, 90, -1}, "gpt-5-mini-2025-08-07"}, /* a cut answer is billed */
    };
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        struct provider_verdict verdict;
        classify(counts[i].file, 200, 0, -1, &verdict);
        for (size_t t = 0; t < 5; t++)
            if (verdict.tokens[t] != counts[i].tokens[t])
                fail_msg("%s: count %zu is %lld", counts[i].file, t, (long long)verdict.tokens[t]);
        assert_string_equal(verdict.model_version, counts[i].model);
        provider_verdict_clear(&verdict);
    }
}

/* x-should-retry overrides what a status says of this one request, and nothing of what it says of the endpoint; the longer of two waits counts. */
static void test_advice_of_the_server(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        int status, should_retry;
        enum outcome_class class;
    } advice[] = {{"500.json", 500, -1, OUTCOME_REJECTED},          {"500.json", 500, 1, OUTCOME_TRANSIENT},     {"400_schema.json", 400, 1, OUTCOME_TRANSIENT},
                  {"429_quota.json", 429, 1, OUTCOME_BILLING},      {"401_key.json", 401, 1, OUTCOME_CREDENTIALS}, {"429_rpm.json", 429, -1, OUTCOME_THROTTLED},
                  {"503_overloaded.json", 503, -1, OUTCOME_UNAVAILABLE}};
    struct provider_verdict verdict;
    for (size_t i = 0; i < ARRAY_COUNT(advice); i++) {
        classify(advice[i].file, advice[i].status, advice[i].should_retry, -1, &verdict);
        if (verdict.class != advice[i].class)
            fail_msg("%s, %d: %s", advice[i].file, advice[i].should_retry, outcome_row(verdict.class)->name);
        provider_verdict_clear(&verdict);
    }
    classify("429_rpm.json", 429, 0, 5000, &verdict);
    assert_int_equal(verdict.retry_after_ms, 5000);
    provider_verdict_clear(&verdict);
    classify("429_tpd_groq.json", 429, 0, 5000, &verdict);
    assert_int_equal(verdict.retry_after_ms, 693900);
    provider_verdict_clear(&verdict);
}

/* ---- what is sent ---- */

static char *url_of(const char *base)
{
    const struct provider_wire wire = {.base_url = base, .model = "m"};
    struct provider_request request = {0};
    assert_int_equal(provider_openai.build_test(&wire, &request, NULL), 0);
    char *url = buf_take(&request.url);
    provider_request_clear(&request);
    return url;
}

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *base, *url;
    } urls[] = {{"https://api.openai.com", "https://api.openai.com/v1/chat/completions"},
                {"https://api.openai.com/", "https://api.openai.com/v1/chat/completions"},
                {"https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"},
                {"https://api.openai.com/v1/", "https://api.openai.com/v1/chat/completions"},
                {"http://127.0.0.1:11434", "http://127.0.0.1:11434/v1/chat/completions"},
                {"https://generativelanguage.googleapis.com/v1beta/openai/", "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"},
                {"https://gateway.example/llm", "https://gateway.example/llm/chat/completions"},
                {"https://gateway.example/v1/chat/completions", "https://gateway.example/v1/chat/completions"}};
    for (size_t i = 0; i < ARRAY_COUNT(urls); i++) {
        char *url = url_of(urls[i].base);
        assert_string_equal(url, urls[i].url);
        free(url);
    }
}

static void check_body(struct provider_wire *wire, enum price_tier tier, const char *expected)
{
    static const char *const candidates[] = {"A7", "A9"};
    struct provider_request request = {0};
    struct buf choice = BUF_EMPTY;
    wire->base_url = "https://api.openai.com/v1";
    wire->model = "gpt-5-mini";
    provider_openai.add_choice(candidates, 2, false, &choice);
    const struct provider_ask ask = {.system_json = "\"S\"", .system_json_len = 3, .user_json = "\"U\"", .user_json_len = 3, .choice_json = buf_text(&choice),
                                     .choice_json_len = choice.len, .max_output_tokens = 256, .tier = tier};
    assert_int_equal(provider_openai.build(wire, &ask, &request, NULL), 0);
    assert_string_equal(buf_text(&request.body), expected);
    assert_string_equal(request.secret_header, "Authorization: Bearer ");
    assert_int_equal(request.least_timeout_ms, tier == TIER_FLEX ? PROVIDER_FLEX_TIMEOUT_MS : 0);
    provider_request_clear(&request);
    buf_clear(&choice);
}

#define MESSAGES "{\"model\":\"gpt-5-mini\",\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"U\"}]"
#define FORMAT \
    ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"allocation\",\"strict\":true,\"schema\":{\"type\":\"object\",\"properties\":{" \
    "\"agent_id\":{\"type\":\"string\",\"enum\":[\"A7\",\"A9\"]},\"reason\":{\"type\":\"string\"},\"confidence\":{\"type\":\"number\",\"description\":\"from 0 to 1\"}}," \
    "\"required\":[\"agent_id\",\"reason\",\"confidence\"],\"additionalProperties\":false}}}"

static void test_bodies(void **state)
{
    (void)state;
    check_body(&(struct provider_wire){0}, TIER_STANDARD, MESSAGES FORMAT ",\"max_completion_tokens\":256}");
    check_body(&(struct provider_wire){0}, TIER_FLEX, MESSAGES FORMAT ",\"max_completion_tokens\":256,\"service_tier\":\"flex\"}");
    check_body(&(struct provider_wire){.token_limit = "max_tokens"}, TIER_STANDARD, MESSAGES FORMAT ",\"max_tokens\":256}");
    check_body(&(struct provider_wire){.token_limit = "none"}, TIER_STANDARD, MESSAGES FORMAT "}");
    check_body(&(struct provider_wire){.answer_format = "json_object"}, TIER_STANDARD,
               MESSAGES ",\"response_format\":{\"type\":\"json_object\"},\"max_completion_tokens\":256}");
    check_body(&(struct provider_wire){.answer_format = "text"}, TIER_STANDARD, MESSAGES ",\"max_completion_tokens\":256}");
}

static void test_bad_wires(void **state)
{
    (void)state;
    static const struct {
        const char *base, *model;
        enum provider_setting setting;
        const char *says;
    } bad[] = {{"https://api.openai.com/v1", "", PROVIDER_MODEL, "model is not set"},
               {"https://api.openai.com/v1", NULL, PROVIDER_MODEL, "model is not set"},
               {"https://api.openai.com/v1", "a\nb", PROVIDER_MODEL, "control character"},
               {"https://x.openai.azure.com/openai/v1?api-version=1", "m", PROVIDER_BASE_URL, "no query"},
               {"https://user@example.org/v1", "m", PROVIDER_BASE_URL, "no user"}};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        const struct provider_wire wire = {.base_url = bad[i].base, .model = bad[i].model};
        enum provider_setting setting = PROVIDER_API_VERSION;
        struct galloc_error error = {0};
        assert_int_equal(provider_openai.check(&wire, &setting, &error), -GALLOC_INVALID_VALUE);
        assert_int_equal(setting, bad[i].setting);
        if (strstr(error.message, bad[i].says) == NULL)
            fail_msg("%zu says: %s", i, error.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),   cmocka_unit_test(test_every_body_has_a_row), cmocka_unit_test(test_tokens),    cmocka_unit_test(test_advice_of_the_server),
        cmocka_unit_test(test_urls),      cmocka_unit_test(test_bodies),               cmocka_unit_test(test_bad_wires),
    };
    return cmocka_run_group_tests_name("provider: openai", tests, NULL, NULL);
}
