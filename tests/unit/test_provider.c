/* Which response of Gemini is which class: one row a body. Every recorded body stands in the table, so that none is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text.h"
#include "core/limits.h"
#include "provider/provider.h"

#include "fixture.h"

#include <dirent.h>

#define GOOD "{\"agent_id\":\"A7\",\"reason\":\"same region, two places free\",\"confidence\":0.82}"
#define TRUNCATED 1
#define CAPACITY 2

struct row {
    const char *file; /* NULL: no body */
    enum provider_end end;
    int status;
    enum outcome_class class;
    int flags;
    enum quota_span span;
    enum quota_unit unit;
    int64_t quota_value, retry_ms;
    const char *says; /* within the message; NULL: no message */
};

#define OK(file) {file, PROVIDER_ANSWERED, 200, OUTCOME_SUCCEEDED, 0, QUOTA_NONE, QUOTA_REQUESTS, -1, -1, NULL}
#define ODD(file, class, flags, says) {file, PROVIDER_ANSWERED, 200, OUTCOME_##class, flags, QUOTA_NONE, QUOTA_REQUESTS, -1, -1, says}
#define ERR(file, status, class, flags, says) {file, PROVIDER_ANSWERED, status, OUTCOME_##class, flags, QUOTA_NONE, QUOTA_REQUESTS, -1, -1, says}
#define RATE(file, span, unit, value, retry) \
    {file, PROVIDER_ANSWERED, 429, OUTCOME_THROTTLED, 0, QUOTA_##span, QUOTA_##unit, value, retry, "RESOURCE_EXHAUSTED"}
#define DAY(file, unit, value, retry) {file, PROVIDER_ANSWERED, 429, OUTCOME_QUOTA_DAY, 0, QUOTA_DAY, QUOTA_##unit, value, retry, ""}
#define END(end, status, class, says) {NULL, PROVIDER_##end, status, OUTCOME_##class, 0, QUOTA_NONE, QUOTA_REQUESTS, -1, -1, says}

static const struct row rows[] = {
    OK("ok.json"),
    OK("ok_all_tokens.json"),
    OK("ok_thought_first.json"),
    OK("ok_two_parts.json"),
    OK("ok_no_usage.json"),
    OK("ok_in_array.json"),
    OK("ok_unicode.json"),
    OK("agent_unknown.json"),  /* whole text: whether the agent can be is the daemon's to judge */
    OK("text_truncated.json"), /* the same */
    ODD("text_nul.json", INVALID_ANSWER, 0, "NUL"),
    ODD("empty_max_tokens.json", INVALID_ANSWER, TRUNCATED, "MAX_TOKENS"),
    ODD("cut_max_tokens.json", INVALID_ANSWER, TRUNCATED, "MAX_TOKENS"),
    ODD("continuation.json", UNFINISHED, 0, "CONTINUATION"),
    ODD("continuation_no_token.json", INVALID_ANSWER, TRUNCATED, "without a token"),
    ODD("continuation_nul_token.json", INVALID_ANSWER, TRUNCATED, "without a token"),
    ODD("continuation_no_text.json", UNFINISHED, 0, "CONTINUATION"), /* all is still to come */
    ODD("empty_stop.json", INVALID_ANSWER, 0, "empty"),
    ODD("finish_unknown.json", INVALID_ANSWER, 0, "COFFEE_BREAK"),
    ODD("finish_absent.json", INVALID_ANSWER, 0, "did not say why"),
    ODD("finish_other.json", INVALID_ANSWER, 0, "OTHER"),
    ODD("finish_recitation.json", INVALID_ANSWER, 0, "RECITATION"),
    ODD("finish_malformed.json", INVALID_ANSWER, 0, "MALFORMED_RESPONSE"),
    ODD("finish_safety.json", REJECTED, 0, "SAFETY: The response was stopped"),
    ODD("finish_image.json", REJECTED, 0, "NO_IMAGE"),
    ODD("blocked.json", REJECTED, 0, "blocked: PROHIBITED_CONTENT"),
    ODD("no_candidates.json", INVALID_ANSWER, 0, "no candidate"),
    ODD("half_body.json", INVALID_ANSWER, 0, "HTTP 200 with an unreadable body"),
    ODD("portal.txt", INVALID_ANSWER, 0, "hotel's network"),
    ODD("empty.txt", INVALID_ANSWER, 0, "empty body"),

    RATE("429_rpm_7s.json", MINUTE, REQUESTS, 15, 7000),
    RATE("429_tpm_disagree.json", MINUTE, TOKENS, 3000000, 51386),
    RATE("429_tpm_reversed.json", MINUTE, TOKENS, 3000000, 34075),
    RATE("429_in_array.json", MINUTE, REQUESTS, 15, 7000),
    RATE("429_no_details.json", UNNAMED, REQUESTS, -1, -1),
    RATE("429_help_only.json", UNNAMED, REQUESTS, -1, -1),
    RATE("429_unknown_quota.json", UNNAMED, REQUESTS, 10, 40000),
    RATE("429_limit_message.json", UNNAMED, REQUESTS, -1, 8200),
    RATE("429_retry_0s.json", MINUTE, REQUESTS, 15, 0),
    RATE("429_retry_1500ms.json", MINUTE, REQUESTS, 15, 1500),
    RATE("429_retry_900ms.json", MINUTE, REQUESTS, 15, 900),
    RATE("429_retry_bad.json", MINUTE, REQUESTS, 15, -1),
    RATE("429_retry_negative.json", MINUTE, REQUESTS, 15, -1),
    RATE("429_retry_missing.json", MINUTE, REQUESTS, 15, -1),
    RATE("429_retry_huge.json", MINUTE, REQUESTS, 15, 172800000),
    {"429_error_info.json", PROVIDER_ANSWERED, 429, OUTCOME_THROTTLED, 0, QUOTA_MINUTE, QUOTA_REQUESTS, 60, -1, "RATE_LIMIT_EXCEEDED"},
    {"429_error_info.json", PROVIDER_ANSWERED, 403, OUTCOME_THROTTLED, 0, QUOTA_MINUTE, QUOTA_REQUESTS, 60, -1, "RATE_LIMIT_EXCEEDED"},
    DAY("429_day_59s.json", REQUESTS, 20, 59000),
    DAY("429_day_39043s.json", REQUESTS, 20, 39043000),
    DAY("429_day_spelled.json", REQUESTS, 20, 66492500),
    DAY("429_day_and_minute.json", REQUESTS, 20, 32000),
    DAY("429_day_first.json", TOKENS, 5000000, 32000),
    DAY("429_quota_exhausted.json", REQUESTS, -1, -1),
    {"429_quota_zero.json", PROVIDER_ANSWERED, 429, OUTCOME_BILLING, 0, QUOTA_NONE, QUOTA_REQUESTS, 0, 13000, "quota"},
    ERR("429_limit_zero_message.json", 429, BILLING, 0, "limit: 0"),
    ERR("429_prepaid.json", 429, BILLING, 0, "prepayment credits"),
    {"429_capacity.json", PROVIDER_ANSWERED, 429, OUTCOME_UNAVAILABLE, CAPACITY, QUOTA_NONE, QUOTA_REQUESTS, -1, 3000, "MODEL_CAPACITY_EXHAUSTED"},
    ERR("429_shared.json", 429, UNAVAILABLE, CAPACITY, "Resource exhausted"),

    ERR("400_key_invalid.json", 400, CREDENTIALS, 0, "API_KEY_INVALID: API key not valid"),
    ERR("400_key_expired_message.json", 400, CREDENTIALS, 0, "expired"),
    ERR("400_tokens.json", 400, REJECTED, 0, "exceeds the maximum number of tokens"),
    ERR("400_unknown_field.json", 400, REJECTED, 0, "Unknown name \"API key\""), /* named, not meant */
    ERR("400_location.json", 400, BILLING, 0, "location"),
    ERR("400_echoes_key.json", 400, REJECTED, 0, "AIza***"),
    ERR("400_long_message.json", 400, REJECTED, 0, "é…"),
    ERR("401.json", 401, CREDENTIALS, 0, "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
    ERR("402.json", 402, BILLING, 0, "prepaid"),
    ERR("403.json", 403, CREDENTIALS, 0, "SERVICE_DISABLED"),
    ERR("403_billing.json", 403, BILLING, 0, "BILLING_DISABLED"),
    ERR("403_page.txt", 403, CREDENTIALS, 0, "Your client does not have permission"),
    ERR("404.json", 404, CONFIG, 0, "gemini-1.0-ultra"),
    ERR("409_aborted.json", 409, TRANSIENT, 0, "ABORTED"),
    ERR("409_exists.json", 409, REJECTED, 0, "ALREADY_EXISTS"),
    ERR("499.json", 499, TRANSIENT, 0, "CANCELLED"),
    ERR("500.json", 500, TRANSIENT, 0, "INTERNAL"),
    ERR("501.json", 501, CONFIG, 0, "UNIMPLEMENTED"),
    ERR("502_text.txt", 502, TRANSIENT, 0, "HTTP 502 with an unreadable body: upstream connect error"),
    ERR("503.json", 503, UNAVAILABLE, CAPACITY, "overloaded"),
    ERR("503_page.txt", 503, UNAVAILABLE, CAPACITY, "503 Service Temporarily Unavailable openresty"),
    ERR("504.json", 504, TRANSIENT, 0, "DEADLINE_EXCEEDED"),
    ERR("302_page.txt", 302, CONFIG, 0, "HTTP 302"),
    ERR("200_error.json", 200, UNAVAILABLE, CAPACITY, "HTTP 503 UNAVAILABLE"),
    {"200_error_name.json", PROVIDER_ANSWERED, 200, OUTCOME_THROTTLED, 0, QUOTA_UNNAMED, QUOTA_REQUESTS, -1, -1, "Too many requests"},
    ERR("error_text.json", 500, TRANSIENT, 0, "model is not loaded"),
    ERR("empty.txt", 408, TRANSIENT, 0, "HTTP 408"),
    ERR("empty.txt", 413, REJECTED, 0, "HTTP 413"),
    ERR("empty.txt", 401, CREDENTIALS, 0, "HTTP 401"),
    ERR("empty.txt", 407, CONFIG, 0, "HTTP 407"),
    ERR("empty.txt", 410, CONFIG, 0, "HTTP 410"),
    ERR("empty.txt", 422, REJECTED, 0, "HTTP 422"),
    ERR("empty.txt", 529, UNAVAILABLE, CAPACITY, "HTTP 529"),
    ERR("empty.txt", 599, TRANSIENT, 0, "HTTP 599"),
    ERR("empty.txt", 0, TRANSIENT, 0, "HTTP 0"),
    ERR("empty.txt", 204, INVALID_ANSWER, 0, "HTTP 204"),
    {"empty.txt", PROVIDER_ANSWERED, 429, OUTCOME_THROTTLED, 0, QUOTA_UNNAMED, QUOTA_REQUESTS, -1, -1, "HTTP 429"},

    END(NOT_SENT, 0, UNAVAILABLE, "words of the transport"),
    END(CONFIG, 0, CONFIG, "words of the transport"),
    END(BROKEN, 0, TRANSIENT, "words of the transport"),
    END(BROKEN, 200, TRANSIENT, "words of the transport"), /* closed after the header */
    END(TIMED_OUT, 200, TRANSIENT, "words of the transport"), /* a 200 that never ends */
    END(LOST, 0, LOST, "words of the transport"),
    END(TOO_LARGE, 0, TRANSIENT, "words of the transport"),
    END(TOO_LARGE, 200, INVALID_ANSWER, "larger than the limit"),
    {NULL, PROVIDER_TOO_LARGE, 503, OUTCOME_UNAVAILABLE, CAPACITY, QUOTA_NONE, QUOTA_REQUESTS, -1, -1, "larger than the limit"},
};

static void classify(const struct row *row, int64_t header_ms, struct provider_verdict *verdict)
{
    char name[128];
    size_t len = 0;
    char *body = NULL;

    if (row->file != NULL) {
        snprintf(name, sizeof name, "gemini/%s", row->file);
        body = fixture_read(name, &len);
        if (body == NULL)
            fail_msg("no fixture %s", name);
    }
    struct provider_response response = {
        .end = row->end, .status = row->status, .body = body, .body_len = len, .retry_after_ms = header_ms, .message = "words of the transport"};
    provider_gemini.classify(&response, verdict);
    free(body);
}

static void test_every_body(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct row *row = &rows[i];
        struct provider_verdict verdict;
        classify(row, -1, &verdict);
        int flags = (verdict.is_truncated ? TRUNCATED : 0) | (verdict.is_capacity ? CAPACITY : 0);
        if (verdict.class != row->class || flags != row->flags || verdict.quota_span != row->span || verdict.quota_unit != row->unit ||
            verdict.quota_value != row->quota_value || verdict.retry_after_ms != row->retry_ms || (verdict.message == NULL) != (row->says == NULL) ||
            (row->says != NULL && strstr(verdict.message, row->says) == NULL) || (verdict.answer != NULL) != (row->class == OUTCOME_SUCCEEDED || row->class == OUTCOME_UNFINISHED))
            fail_msg("row %zu, %s with %d: %s, flags %d, span %d, unit %d, value %lld, retry %lld ms, says \"%s\"", i,
                     row->file != NULL ? row->file : "no body", row->status, outcome_row(verdict.class)->name, flags, (int)verdict.quota_span,
                     (int)verdict.quota_unit, (long long)verdict.quota_value, (long long)verdict.retry_after_ms,
                     verdict.message != NULL ? verdict.message : "(nothing)");
        provider_verdict_clear(&verdict);
    }
}

static void test_every_fixture_has_a_row(void **state)
{
    (void)state;
    DIR *folder = opendir(FIXTURES "/gemini");
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        bool has_row = entry->d_name[0] == '.';
        for (size_t i = 0; i < ARRAY_COUNT(rows) && !has_row; i++)
            has_row = rows[i].file != NULL && strcmp(rows[i].file, entry->d_name) == 0;
        if (!has_row)
            fail_msg("no row for the fixture %s", entry->d_name);
    }
    closedir(folder);
}

static void test_answers_and_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *file, *answer, *model;
        int64_t tokens[5];
    } wanted[] = {
        {"ok.json", GOOD, "gemini-3.8-flash", {812, -1, 24, 90, -1}},
        {"ok_all_tokens.json", GOOD, "gemini-3.8-flash", {4810, 4096, 31, 0, 17}},
        {"ok_thought_first.json", GOOD, "gemini-3.8-flash", {812, -1, 24, 90, -1}},
        {"ok_two_parts.json", GOOD, "gemini-3.8-flash", {812, -1, 24, 90, -1}},
        {"ok_no_usage.json", GOOD, NULL, {-1, -1, -1, -1, -1}},
        {"ok_unicode.json", "{\"agent_id\":\"Åsa-7\",\"reason\":\"नज़दीक 🚲\",\"confidence\":1}", "gemini-3.8-flash", {812, -1, 24, 90, -1}},
        {"empty_max_tokens.json", NULL, "gemini-3.8-flash", {812, -1, -1, 256, -1}}, /* billed all the same */
        {"finish_safety.json", NULL, "gemini-3.8-flash", {812, -1, 24, 90, -1}},
        {"blocked.json", NULL, "gemini-3.8-flash", {812, -1, -1, -1, -1}},
        {"continuation.json", "{\"agent_id\":\"A7\",\"reason\":\"same", "gemini-3.8-flash", {812, -1, 24, 90, -1}},
        {"continuation_no_text.json", "", "gemini-3.8-flash", {812, -1, 24, 90, -1}},
        {"continuation_nul_token.json", NULL, "gemini-3.8-flash", {812, -1, 24, 90, -1}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++) {
        struct row row = ODD(wanted[i].file, LOST, 0, NULL);
        struct provider_verdict verdict;
        classify(&row, -1, &verdict);
        if (wanted[i].answer == NULL)
            assert_null(verdict.answer);
        else
            assert_string_equal(verdict.answer, wanted[i].answer);
        if (wanted[i].model == NULL)
            assert_null(verdict.model_version);
        else
            assert_string_equal(verdict.model_version, wanted[i].model);
        for (size_t t = 0; t < ARRAY_COUNT(wanted[i].tokens); t++)
            if (verdict.tokens[t] != wanted[i].tokens[t])
                fail_msg("%s: count %zu is %lld", wanted[i].file, t, (long long)verdict.tokens[t]);
        provider_verdict_clear(&verdict);
    }
}

static void test_continuation(void **state)
{
    (void)state;
    struct row row = ODD("continuation.json", UNFINISHED, 0, NULL);
    struct provider_verdict verdict;
    classify(&row, -1, &verdict);
    assert_string_equal(verdict.continuation, "Q29udGludWU=");
    provider_verdict_clear(&verdict);

    size_t len = 0; /* the last piece may be empty, a whole answer not */
    char *body = fixture_read("gemini/empty_stop.json", &len);
    struct provider_response response = {.status = 200, .body = body, .body_len = len, .retry_after_ms = -1, .is_rest = true};
    provider_gemini.classify(&response, &verdict);
    assert_int_equal(verdict.class, OUTCOME_SUCCEEDED);
    assert_string_equal(verdict.answer, "");
    provider_verdict_clear(&verdict);
    free(body);

    struct buf text = BUF_EMPTY; /* a token that no request could take back */
    buf_add_str(&text, "{\"candidates\":[{\"finishReason\":\"CONTINUATION\",\"continuationToken\":\"");
    for (size_t i = 0; i <= LIMIT_CONTINUATION_BYTES; i++)
        buf_add_char(&text, 'x');
    buf_add_str(&text, "\"}]}");
    response = (struct provider_response){.status = 200, .body = text.data, .body_len = text.len, .retry_after_ms = -1};
    provider_gemini.classify(&response, &verdict);
    assert_int_equal(verdict.class, OUTCOME_INVALID_ANSWER);
    assert_true(verdict.is_truncated);
    assert_null(verdict.continuation);
    provider_verdict_clear(&verdict);
    buf_clear(&text);
}

static void test_header_against_body(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        int status;
        int64_t header_ms, retry_ms;
    } cases[] = {{"429_rpm_7s.json", 429, 30000, 30000}, {"429_rpm_7s.json", 429, 1000, 7000}, {"503.json", 503, 2500, 2500},
                 {"503_page.txt", 503, 1000, 1000},      {"429_retry_0s.json", 429, -1, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct row row = ERR(cases[i].file, cases[i].status, LOST, 0, NULL);
        struct provider_verdict verdict;
        classify(&row, cases[i].header_ms, &verdict);
        assert_int_equal(verdict.retry_after_ms, cases[i].retry_ms);
        provider_verdict_clear(&verdict);
    }
}

static void test_messages_are_kept_clean(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct provider_verdict verdict;
        classify(&rows[i], -1, &verdict);
        if (verdict.message != NULL) {
            assert_true(strlen(verdict.message) <= LIMIT_MESSAGE_BYTES);
            assert_true(text_is_utf8(verdict.message, strlen(verdict.message)));
            assert_null(strstr(verdict.message, "AIzaSyD"));
            assert_null(strstr(verdict.message, "color:red"));
        }
        provider_verdict_clear(&verdict);
    }
    struct row row = ERR("400_long_message.json", 400, REJECTED, 0, NULL);
    struct provider_verdict verdict;
    classify(&row, -1, &verdict);
    assert_true(strlen(verdict.message) > LIMIT_MESSAGE_BYTES - 8); /* cut, not dropped */
    provider_verdict_clear(&verdict);
}

/* A body that ends anywhere is never read beyond its end, and never a success unless it is whole. */
static void test_cut_bodies(void **state)
{
    (void)state;
    static const char *const files[] = {"gemini/ok_all_tokens.json", "gemini/429_day_and_minute.json", "gemini/503_page.txt"};
    for (size_t f = 0; f < ARRAY_COUNT(files); f++) {
        size_t len = 0;
        char *body = fixture_read(files[f], &len);
        assert_non_null(body);
        for (size_t cut = 0; cut + 2 < len; cut++) {
            char *part = xmalloc(cut > 0 ? cut : 1);
            memcpy(part, body, cut);
            struct provider_response response = {.status = 200, .body = part, .body_len = cut, .retry_after_ms = -1};
            struct provider_verdict verdict;
            provider_gemini.classify(&response, &verdict);
            assert_int_equal(verdict.class, OUTCOME_INVALID_ANSWER);
            provider_verdict_clear(&verdict);
            free(part);
        }
        free(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_body),          cmocka_unit_test(test_every_fixture_has_a_row), cmocka_unit_test(test_answers_and_tokens),
        cmocka_unit_test(test_header_against_body), cmocka_unit_test(test_messages_are_kept_clean), cmocka_unit_test(test_cut_bodies),
        cmocka_unit_test(test_continuation),
    };
    return cmocka_run_group_tests_name("provider: gemini's answers", tests, NULL, NULL);
}
