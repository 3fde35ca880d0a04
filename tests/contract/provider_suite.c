/* What every provider keeps, whatever wire it speaks: the written contract of provider.h, tried on each of provider.c's table with every recorded body
 * under every status. A new provider passes it unchanged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json_scan.h"
#include "base/text.h"
#include "core/limits.h"
#include "provider/provider.h"

#include "tests/unit/fixture.h"

#include <dirent.h>

static const struct provider_wire wire = {.base_url = "https://example.org", .api_version = "v1", .model = "m-1", .test_path = "/health", .request_timeout_ms = 1000};

static void check_verdict(const char *what, int status, const struct provider_verdict *verdict)
{
    static const enum outcome_class can_be[] = {OUTCOME_SUCCEEDED, OUTCOME_INVALID_ANSWER, OUTCOME_TRANSIENT, OUTCOME_THROTTLED, OUTCOME_QUOTA_DAY,
                                                OUTCOME_UNAVAILABLE, OUTCOME_CREDENTIALS, OUTCOME_BILLING, OUTCOME_CONFIG, OUTCOME_REJECTED, OUTCOME_LOST, OUTCOME_UNFINISHED};
    bool is_known = false, is_slow = verdict->class == OUTCOME_THROTTLED || verdict->class == OUTCOME_QUOTA_DAY;

    for (size_t i = 0; i < ARRAY_COUNT(can_be); i++)
        is_known = is_known || can_be[i] == verdict->class;
    if (!is_known)
        fail_msg("%s, %d: class %d is not a provider's", what, status, (int)verdict->class);
    bool is_unfinished = verdict->class == OUTCOME_UNFINISHED;
    if ((verdict->class == OUTCOME_SUCCEEDED || is_unfinished) != (verdict->answer != NULL) || (verdict->class != OUTCOME_SUCCEEDED) != (verdict->message != NULL))
        fail_msg("%s, %d: an answer when it succeeded and words when not", what, status);
    if (is_unfinished != (verdict->continuation != NULL) ||
        (is_unfinished && (verdict->continuation[0] == '\0' || strlen(verdict->continuation) > LIMIT_CONTINUATION_BYTES)))
        fail_msg("%s, %d: a token to go on with, for an unfinished answer alone", what, status);
    if (verdict->message != NULL && (strlen(verdict->message) > LIMIT_MESSAGE_BYTES || !text_is_utf8(verdict->message, strlen(verdict->message)) ||
                                     verdict->message[0] == '\0'))
        fail_msg("%s, %d: the words are not to be kept", what, status);
    if (is_slow != (verdict->quota_span != QUOTA_NONE) || (verdict->class == OUTCOME_QUOTA_DAY) != (verdict->quota_span == QUOTA_DAY))
        fail_msg("%s, %d: span %d with %s", what, status, (int)verdict->quota_span, outcome_row(verdict->class)->name);
    if ((verdict->is_truncated && verdict->class != OUTCOME_INVALID_ANSWER) || (verdict->is_capacity && verdict->class != OUTCOME_UNAVAILABLE))
        fail_msg("%s, %d: a mark that belongs to another class", what, status);
    if (verdict->retry_after_ms < -1 || verdict->quota_value < -1)
        fail_msg("%s, %d: a number below what can be", what, status);
    for (size_t i = 0; i < ARRAY_COUNT(verdict->tokens); i++)
        if (verdict->tokens[i] < -1)
            fail_msg("%s, %d: a count of tokens below what can be", what, status);
}

static void try_body(const struct provider_ops *ops, const char *what, const char *body, size_t len)
{
    static const int statuses[] = {-1, 0, 100, 200, 201, 204, 206, 299, 301, 399, 400, 401, 402, 403, 404, 405, 408, 409, 413, 418,
                                   429, 451, 499, 500, 501, 502, 503, 504, 529, 599, 600, 999};
    for (size_t i = 0; i < ARRAY_COUNT(statuses); i++)
        for (int end = PROVIDER_ANSWERED; end <= PROVIDER_TOO_LARGE; end++) {
            struct provider_response response = {
                .end = (enum provider_end)end, .status = statuses[i], .body = body, .body_len = len, .retry_after_ms = i % 2 ? 1234 : -1,
                .should_retry = (int)(i % 3) - 1, .message = ""};
            struct provider_verdict verdict;
            ops->classify(&response, &verdict);
            check_verdict(what, statuses[i], &verdict);
            if (end != PROVIDER_ANSWERED && verdict.class == OUTCOME_SUCCEEDED)
                fail_msg("%s: a success without a whole answer", what);
            provider_verdict_clear(&verdict);
            provider_verdict_clear(&verdict); /* twice is fine */
        }
}

static void test_every_body_under_every_status(void **state)
{
    (void)state;
    static const char *const folders[] = {"gemini", "openai", "http"};
    for (size_t p = 0; p < provider_count(); p++)
        for (size_t f = 0; f < ARRAY_COUNT(folders); f++) {
            char path[512];
            snprintf(path, sizeof path, "%s/%s", FIXTURES, folders[f]);
            DIR *folder = opendir(path);
            assert_non_null(folder);
            for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
                if (entry->d_name[0] == '.')
                    continue;
                size_t len = 0;
                snprintf(path, sizeof path, "%s/%s", folders[f], entry->d_name);
                char *body = fixture_read(path, &len);
                assert_non_null(body);
                try_body(provider_at(p), path, body, len);
                free(body);
            }
            closedir(folder);
        }
}

static void test_odd_bodies(void **state)
{
    (void)state;
    static const char *const bodies[] = {"null", "[]", "{}", "\"x\"", "1", "[[]]", "[{}]", "{\"error\":null}", "{\"error\":{}}", "{\"error\":[]}", "{\"error\":\"\"}",
                                         "{\"error\":{\"code\":\"x\",\"message\":7,\"details\":[1,null,{\"@type\":\"\"},{\"@type\":\".\"}]}}", "{\"candidates\":[]}",
                                         "{\"candidates\":[null]}", "{\"candidates\":[{\"content\":[],\"finishReason\":7}]}",
                                         "{\"candidates\":[{\"finishReason\":\"STOP\",\"content\":{\"parts\":[{\"text\":7},null,[]]}}]}",
                                         "{\"choices\":[null]}", "{\"choices\":[{\"message\":[],\"finish_reason\":7}]}", "{\"object\":\"error\"}",
                                         "{\"choices\":[{\"message\":{\"content\":[7,null,{\"text\":[]}]}}]}", "{\"error\":{\"status\":\"\"}}",
                                         "{\"usageMetadata\":{\"promptTokenCount\":-5}}", "\xff\xfe", "<", "<style>", "</", ">>>>", " "};
    for (size_t p = 0; p < provider_count(); p++) {
        try_body(provider_at(p), "no body", NULL, 0);
        for (size_t i = 0; i < ARRAY_COUNT(bodies); i++)
            try_body(provider_at(p), bodies[i], bodies[i], strlen(bodies[i]));
    }
}

static void check_header(const char *header)
{
    assert_non_null(strstr(header, ": "));
    assert_null(strpbrk(header, "\r\n"));
}

static void check_request(const struct provider_ops *ops, const struct provider_request *request)
{
    bool is_post = strcmp(request->method, "POST") == 0;
    assert_true(is_post || strcmp(request->method, "GET") == 0);
    assert_true(strncmp(buf_text(&request->url), wire.base_url, strlen(wire.base_url)) == 0); /* nowhere else */
    assert_null(strstr(buf_text(&request->url), "key="));
    assert_int_equal(is_post ? json_check(buf_text(&request->body), request->body.len, NULL) : (int)request->body.len, 0);
    assert_string_equal(request->secret_header, ops->secret_header);
    for (size_t i = 0; i < ARRAY_COUNT(request->headers) && request->headers[i] != NULL; i++)
        check_header(request->headers[i]);
    assert_null(request->headers[ARRAY_COUNT(request->headers) - 1]);
    if (request->call_header.len > 0)
        check_header(buf_text(&request->call_header));
}

/* The rest of an answer is asked for where and as its first piece was; whatever the token holds, the body stays JSON. */
static void check_rest(const struct provider_ops *ops, const struct provider_request *first)
{
    static const char *const tokens[] = {"Q29udGludWU=", "\"},{\"x\":\"\\", "a\nb\x01\x7f", "\xff\xfe", "\xed\xa0\x80"};
    for (size_t i = 0; i < ARRAY_COUNT(tokens); i++) {
        struct provider_request rest = {0};
        assert_int_equal(ops->build_rest(&wire, buf_text(&first->body), first->body.len, tokens[i], &rest, NULL), 0);
        check_request(ops, &rest);
        assert_string_equal(buf_text(&rest.url), buf_text(&first->url));
        assert_non_null(strstr(buf_text(&rest.body), "Case 1"));
        provider_request_clear(&rest);
    }
}

static void check_test_request(const struct provider_ops *ops)
{
    struct provider_wire no_path = wire;
    struct provider_request request = {0};
    no_path.test_path = "";
    assert_int_equal(provider_has_test(ops, &no_path), ops->build_test != NULL && !ops->test_needs_path);
    assert_int_equal(provider_has_test(ops, &wire), ops->build_test != NULL);
    if (ops->build_test == NULL)
        return;
    assert_int_equal(ops->build_test(&wire, &request, NULL), 0);
    check_request(ops, &request);
    assert_true(request.body.len < 512); /* small: it costs money */
    assert_int_equal(request.call_header.len, 0);
    provider_request_clear(&request);
    assert_int_equal(ops->build_test(&no_path, &request, NULL), ops->test_needs_path ? -GALLOC_INVALID_VALUE : 0);
    provider_request_clear(&request);
}

static void check_bad_wires(const struct provider_ops *ops, const struct provider_ask *ask)
{
    static const char *const bad[] = {NULL, "", "nonsense", "ftp://example.org/", "https://", "https:///x", "https://example.org/a b", "https://example.org/#x",
                                      "https://example.org/\r\nX: y"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct provider_wire wrong = wire;
        struct provider_request request = {0};
        struct galloc_error error = {0};
        wrong.base_url = bad[i];
        enum provider_setting setting = PROVIDER_MODEL;
        assert_int_equal(ops->check(&wrong, &setting, &error), -GALLOC_INVALID_VALUE);
        assert_int_equal(setting, PROVIDER_BASE_URL);
        assert_true(strncmp(error.message, "base_url ", 9) == 0);
        assert_int_equal(ops->build(&wrong, ask, &request, NULL), -GALLOC_INVALID_VALUE);
        provider_request_clear(&request);
    }
    assert_int_equal(ops->check(&wire, NULL, NULL), 0);
}

/* What an answer may be goes out as it was made, for anybody's name, in a body that is JSON (check_request()). */
static void check_choice(const struct provider_ops *ops, const struct provider_ask *plain)
{
    static const char *const candidates[] = {"A1", "A\"2\\"};
    if (ops->add_choice == NULL)
        return;
    for (size_t count = 0; count <= ARRAY_COUNT(candidates); count++) {
        struct provider_ask ask = *plain;
        struct provider_request request = {0};
        struct buf choice = BUF_EMPTY;
        ops->add_choice(candidates, count, false, &choice);
        ask.choice_json = buf_text(&choice);
        ask.choice_json_len = choice.len;
        assert_int_equal(ops->build(&wire, &ask, &request, NULL), 0);
        check_request(ops, &request);
        assert_non_null(strstr(buf_text(&request.body), buf_text(&choice)));
        provider_request_clear(&request);
        buf_clear(&choice);
    }
}

static void test_requests(void **state)
{
    (void)state;
    static const char fields[] = "{\"note\":\"Case 1\"}", agents[] = "{\"agent_id\":\"A1\"},{\"agent_id\":\"A2\"}";
    static const struct provider_ask prompt = {
        .system_json = "\"Allocate.\"", .system_json_len = 11, .user_json = "\"Case 1\"", .user_json_len = 8, .max_output_tokens = 64};
    static const struct provider_ask data = {.id = "r-1/2/3", .run = "r-1", .key = "K\"1", .attempt = 3, .fields_json = fields, .fields_json_len = sizeof fields - 1,
                                             .candidates_json = agents, .candidates_json_len = sizeof agents - 1};
    for (size_t p = 0; p < provider_count(); p++) {
        const struct provider_ops *ops = provider_at(p);
        const struct provider_ask *ask = ops->takes_prompt ? &prompt : &data;
        struct provider_request request = {0};
        assert_ptr_equal(provider_by_name(ops->name), ops);
        assert_int_equal(ops->build(&wire, ask, &request, NULL), 0);
        check_request(ops, &request);
        assert_non_null(strstr(buf_text(&request.body), "Case 1"));
        if (ops->build_rest != NULL)
            check_rest(ops, &request);
        check_choice(ops, ask);
        provider_request_clear(&request);
        check_test_request(ops);
        check_bad_wires(ops, ask);
    }
    assert_null(provider_by_name("nobody"));
    assert_null(provider_by_name(NULL));
    assert_null(provider_at(provider_count()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_body_under_every_status),
        cmocka_unit_test(test_odd_bodies),
        cmocka_unit_test(test_requests),
    };
    return cmocka_run_group_tests_name("contract: providers", tests, NULL, NULL);
}
