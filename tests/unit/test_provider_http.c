/* The provider `http`: what is sent, byte for byte, and which answer of a service is which class, a row a body. Every recorded body stands in the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text.h"
#include "core/limits.h"
#include "provider/provider_internal.h"

#include "fixture.h"

#include <dirent.h>

static const struct provider_wire wire = {
    .base_url = "https://decider.example:8443/v2/allocate?team=north&x=1", .model = "", .test_path = "/health?deep=1", .request_timeout_ms = 1000};

/* ---- what is sent ---- */

static void test_request(void **state)
{
    (void)state;
    static const char fields[] = "{\"region\":\"n\",\"outstanding\": 12}", candidates[] = "{\"agent_id\":\"A7\",\"free\":2},{\"agent_id\":\"A9\",\"free\":null}";
    static const struct provider_ask ask = {.id = "r-7Q4KX/42/3", .run = "r-7Q4KX", .key = "LAN \"17\"", .attempt = 3, .fields_json = fields,
                                            .fields_json_len = sizeof fields - 1, .candidates_json = candidates, .candidates_json_len = sizeof candidates - 1};
    struct provider_request request;
    assert_int_equal(provider_http.build(&wire, &ask, &request, NULL), 0);
    assert_string_equal(request.method, "POST");
    assert_string_equal(buf_text(&request.url), wire.base_url); /* the whole of it */
    assert_string_equal(buf_text(&request.body),
                        "{\"run\":\"r-7Q4KX\",\"key\":\"LAN \\\"17\\\"\",\"attempt\":3,\"fields\":{\"region\":\"n\",\"outstanding\": 12},"
                        "\"candidates\":[{\"agent_id\":\"A7\",\"free\":2},{\"agent_id\":\"A9\",\"free\":null}]}");
    assert_string_equal(request.headers[0], "Content-Type: application/json");
    assert_string_equal(request.headers[1], "User-Agent: galloc/" PACKAGE_VERSION);
    assert_null(request.headers[2]);
    assert_string_equal(buf_text(&request.call_header), "X-Galloc-Attempt: r-7Q4KX/42/3");
    assert_string_equal(request.secret_header, "Authorization: Bearer ");
    provider_request_clear(&request);
}

static void test_test_request(void **state)
{
    (void)state;
    static const char *const bases[][2] = {{"https://a.example:8443/v2/allocate?x=1", "https://a.example:8443/health?deep=1"},
                                           {"http://127.0.0.1:9000", "http://127.0.0.1:9000/health?deep=1"},
                                           {"https://a.example?x=/y", "https://a.example/health?deep=1"}};
    for (size_t i = 0; i < ARRAY_COUNT(bases); i++) {
        struct provider_wire here = wire;
        struct provider_request request;
        here.base_url = bases[i][0];
        assert_int_equal(provider_http.build_test(&here, &request, NULL), 0);
        assert_string_equal(request.method, "GET");
        assert_string_equal(buf_text(&request.url), bases[i][1]);
        assert_string_equal(request.headers[0], "User-Agent: galloc/" PACKAGE_VERSION);
        assert_null(request.headers[1]);
        provider_request_clear(&request);
    }
}

static void test_paths_that_cannot_be(void **state)
{
    (void)state;
    static const char *const paths[] = {"health", "https://other.example/health", "@other.example/", "/a b", "/#x", "/\r\nX: y", "/\xc3\xa4"};
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        struct provider_wire here = wire;
        struct galloc_error error;
        enum provider_setting setting = PROVIDER_MODEL;
        here.test_path = paths[i];
        assert_int_equal(provider_http.check(&here, &setting, &error), -GALLOC_INVALID_VALUE);
        assert_int_equal(setting, PROVIDER_TEST_PATH);
        assert_non_null(strstr(error.message, "test_path"));
    }
}

/* ---- what comes back ---- */

struct row {
    const char *file;
    int status;
    enum outcome_class class;
    const char *says; /* within the message; NULL: no message */
};

static const struct row rows[] = {
    {"ok.json", 200, OUTCOME_SUCCEEDED, NULL},
    {"ok_agent_alone.json", 200, OUTCOME_SUCCEEDED, NULL},
    {"ok_all.json", 200, OUTCOME_SUCCEEDED, NULL},
    {"ok_odd_usage.json", 200, OUTCOME_SUCCEEDED, NULL},
    {"ok_usage_text.json", 200, OUTCOME_SUCCEEDED, NULL},
    {"no_agent.json", 200, OUTCOME_SUCCEEDED, NULL}, /* what it lacks is told where every answer is validated */
    {"empty_object.json", 200, OUTCOME_SUCCEEDED, NULL},
    {"array.json", 200, OUTCOME_INVALID_ANSWER, "unreadable"},
    {"text.json", 200, OUTCOME_INVALID_ANSWER, "unreadable"},
    {"half.json", 200, OUTCOME_INVALID_ANSWER, "unreadable"},
    {"repeated_name.json", 200, OUTCOME_INVALID_ANSWER, "unreadable"},
    {"page.txt", 200, OUTCOME_INVALID_ANSWER, "It works"},
    {"empty.txt", 200, OUTCOME_INVALID_ANSWER, "empty body"},
    {"ok.json", 201, OUTCOME_INVALID_ANSWER, "status 200"},
    {"empty.txt", 204, OUTCOME_INVALID_ANSWER, "status 200"},

    {"error_retry.json", 200, OUTCOME_TRANSIENT, "db_busy: the table is locked"},
    {"error_final.json", 200, OUTCOME_REJECTED, "closed_account: the account is closed"},
    {"error_no_retry.json", 200, OUTCOME_REJECTED, "closed_account: the account is closed"},
    {"error_no_words.json", 200, OUTCOME_REJECTED, "the service gave no words"},
    {"error_code_alone.json", 200, OUTCOME_REJECTED, "closed_account: the service gave no words"},
    {"error_text.json", 200, OUTCOME_INVALID_ANSWER, "has to be an object"},
    {"error_odd_retry.json", 200, OUTCOME_INVALID_ANSWER, "has to be an object"},
    {"error_odd_message.json", 200, OUTCOME_INVALID_ANSWER, "has to be an object"},
    {"error_and_agent.json", 200, OUTCOME_INVALID_ANSWER, "one or the other"},
    {"error_echoes_key.json", 200, OUTCOME_REJECTED, "Bearer AIza****"},

    {"error_text.json", 422, OUTCOME_REJECTED, "HTTP 422: the account is closed"},
    {"error_final.json", 422, OUTCOME_REJECTED, "HTTP 422: closed_account: the account is closed"},
    {"error_retry.json", 422, OUTCOME_TRANSIENT, "HTTP 422: db_busy"},
    {"error_retry.json", 500, OUTCOME_TRANSIENT, "HTTP 500: db_busy"},
    {"error_final.json", 500, OUTCOME_REJECTED, "HTTP 500: closed_account"},
    {"error_no_retry.json", 500, OUTCOME_TRANSIENT, "HTTP 500: closed_account"},
    {"error_odd_retry.json", 400, OUTCOME_REJECTED, "HTTP 400: x"},
    {"error_final.json", 503, OUTCOME_UNAVAILABLE, "HTTP 503: closed_account"}, /* its word is about the assignment, not about the service */
    {"error_final.json", 429, OUTCOME_THROTTLED, "HTTP 429"},
    {"error_retry.json", 401, OUTCOME_CREDENTIALS, "HTTP 401"},
    {"detail.json", 422, OUTCOME_REJECTED, "field outstanding is missing"},
    {"ok.json", 500, OUTCOME_TRANSIENT, "HTTP 500"},

    {"empty.txt", 302, OUTCOME_CONFIG, "HTTP 302"},
    {"empty.txt", 400, OUTCOME_REJECTED, "HTTP 400"},
    {"empty.txt", 402, OUTCOME_BILLING, "HTTP 402"},
    {"empty.txt", 403, OUTCOME_CREDENTIALS, "HTTP 403"},
    {"page.txt", 404, OUTCOME_CONFIG, "HTTP 404"},
    {"empty.txt", 408, OUTCOME_TRANSIENT, "HTTP 408"},
    {"empty.txt", 413, OUTCOME_REJECTED, "HTTP 413"},
    {"empty.txt", 429, OUTCOME_THROTTLED, "HTTP 429"},
    {"empty.txt", 499, OUTCOME_TRANSIENT, "HTTP 499"},
    {"empty.txt", 501, OUTCOME_CONFIG, "HTTP 501"},
    {"empty.txt", 502, OUTCOME_TRANSIENT, "HTTP 502"},
    {"empty.txt", 503, OUTCOME_UNAVAILABLE, "HTTP 503"},
    {"empty.txt", 504, OUTCOME_TRANSIENT, "HTTP 504"},
};

static void classify(const char *file, int status, struct provider_verdict *verdict)
{
    char name[128];
    size_t len = 0;
    snprintf(name, sizeof name, "http/%s", file);
    char *body = fixture_read(name, &len);
    if (body == NULL)
        fail_msg("no fixture %s", name);
    struct provider_response response = {.end = PROVIDER_ANSWERED, .status = status, .body = body, .body_len = len, .retry_after_ms = 7000, .message = ""};
    provider_http.classify(&response, verdict);
    free(body);
}

static void test_every_body(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct provider_verdict verdict;
        classify(rows[i].file, rows[i].status, &verdict);
        if (verdict.class != rows[i].class || (verdict.message == NULL) != (rows[i].says == NULL) || verdict.retry_after_ms != 7000 ||
            (rows[i].says != NULL && strstr(verdict.message, rows[i].says) == NULL) || verdict.is_truncated || verdict.continuation != NULL)
            fail_msg("%s with %d: %s, says \"%s\"", rows[i].file, rows[i].status, outcome_row(verdict.class)->name, verdict.message != NULL ? verdict.message : "(nothing)");
        assert_int_equal(verdict.quota_span, verdict.class == OUTCOME_THROTTLED ? QUOTA_UNNAMED : QUOTA_NONE);
        provider_verdict_clear(&verdict);
    }
}

static void test_every_fixture_has_a_row(void **state)
{
    (void)state;
    DIR *folder = opendir(FIXTURES "/http");
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        bool has_row = entry->d_name[0] == '.';
        for (size_t i = 0; i < ARRAY_COUNT(rows) && !has_row; i++)
            has_row = strcmp(rows[i].file, entry->d_name) == 0;
        if (!has_row)
            fail_msg("no row for the fixture %s", entry->d_name);
    }
    closedir(folder);
}

static void test_answer_tokens_and_model(void **state)
{
    (void)state;
    static const struct {
        const char *file, *model;
        int64_t in, out;
    } wanted[] = {{"ok_all.json", "router-2", 812, 31}, {"ok.json", NULL, -1, -1}, {"ok_odd_usage.json", NULL, -1, -1}, {"ok_usage_text.json", NULL, -1, -1},
                  {"error_final.json", NULL, 9, -1}};
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++) {
        struct provider_verdict verdict;
        classify(wanted[i].file, 200, &verdict);
        if (wanted[i].model == NULL)
            assert_null(verdict.model_version);
        else
            assert_string_equal(verdict.model_version, wanted[i].model);
        const int64_t tokens[] = {wanted[i].in, -1, wanted[i].out, -1, -1};
        assert_memory_equal(verdict.tokens, tokens, sizeof tokens);
        provider_verdict_clear(&verdict);
    }
    struct provider_verdict verdict;
    classify("ok.json", 200, &verdict);
    assert_string_equal(verdict.answer, "{\"agent_id\":\"A7\",\"reason\":\"same region, two places free\",\"confidence\":0.82}");
    provider_verdict_clear(&verdict);
}

static void test_tokens_beyond_belief(void **state)
{
    (void)state;
    static const char body[] = "{\"agent_id\":\"A7\",\"usage\":{\"input_tokens\":1000000000,\"output_tokens\":1000000001}}";
    const struct provider_response response = {.end = PROVIDER_ANSWERED, .status = 200, .body = body, .body_len = strlen(body), .message = ""};
    struct provider_verdict verdict;
    provider_http.classify(&response, &verdict);
    const int64_t tokens[] = {1000000000, -1, -1, -1, -1};
    assert_memory_equal(verdict.tokens, tokens, sizeof tokens);
    provider_verdict_clear(&verdict);
}

/* The common table, at both ends of each of its rows. */
static void test_every_status(void **state)
{
    (void)state;
    static const struct {
        int low, high;
        enum outcome_class class;
        bool is_capacity;
    } wanted[] = {
        {200, 299, OUTCOME_INVALID_ANSWER, false}, {300, 399, OUTCOME_CONFIG, false},      {400, 400, OUTCOME_REJECTED, false},    {401, 401, OUTCOME_CREDENTIALS, false},
        {402, 402, OUTCOME_BILLING, false},        {403, 403, OUTCOME_CREDENTIALS, false}, {404, 405, OUTCOME_CONFIG, false},      {406, 406, OUTCOME_REJECTED, false},
        {407, 407, OUTCOME_CONFIG, false},         {408, 408, OUTCOME_TRANSIENT, false},   {409, 409, OUTCOME_REJECTED, false},    {410, 410, OUTCOME_CONFIG, false},
        {411, 420, OUTCOME_REJECTED, false},       {421, 421, OUTCOME_TRANSIENT, false},   {422, 424, OUTCOME_REJECTED, false},    {425, 425, OUTCOME_TRANSIENT, false},
        {426, 428, OUTCOME_REJECTED, false},       {429, 429, OUTCOME_THROTTLED, false},   {430, 498, OUTCOME_REJECTED, false},    {499, 500, OUTCOME_TRANSIENT, false},
        {501, 501, OUTCOME_CONFIG, false},         {502, 502, OUTCOME_TRANSIENT, false},   {503, 503, OUTCOME_UNAVAILABLE, true},  {504, 528, OUTCOME_TRANSIENT, false},
        {529, 529, OUTCOME_UNAVAILABLE, true},     {530, 599, OUTCOME_TRANSIENT, false},   {0, 199, OUTCOME_TRANSIENT, false},     {600, 999, OUTCOME_TRANSIENT, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++)
        for (int status = wanted[i].low; status <= wanted[i].high; status++) {
            struct provider_verdict verdict = {.class = OUTCOME_SUCCEEDED};
            verdict_judge_status(&verdict, status);
            if (verdict.class != wanted[i].class || verdict.is_capacity != wanted[i].is_capacity)
                fail_msg("%d: %s", status, outcome_row(verdict.class)->name);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_test_request),
        cmocka_unit_test(test_paths_that_cannot_be),
        cmocka_unit_test(test_every_body),
        cmocka_unit_test(test_every_fixture_has_a_row),
        cmocka_unit_test(test_answer_tokens_and_model),
        cmocka_unit_test(test_tokens_beyond_belief),
        cmocka_unit_test(test_every_status),
    };
    return cmocka_run_group_tests_name("provider: http", tests, NULL, NULL);
}
