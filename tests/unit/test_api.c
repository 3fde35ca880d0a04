/* The pure parts of the API: a request's head, the query, selectors, the size of a prompt, the table of routes. */
#include "api/handler.h"
#include "api/prompt_size.h"
#include "api/route.h"
#include "core/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

/* ---- the head ---- */

static int read_head(const char *text, size_t len, struct http_head *head)
{
    struct galloc_error error = {0};
    return http_head_read(text, len, head, &error);
}

#define HEAD(text) text, sizeof text - 1

static void test_head_is_read(void **state)
{
    (void)state;
    static const char text[] = "PATCH /v1/runs/a%2Fb?x=1&y=a+b%20c HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\nX-Odd:  two words\t \r\nExpect: 100-Continue\r\n"
                               "Connection: keep-alive, close\r\n\r\nbody";
    struct http_head head;
    assert_int_equal(http_head_end(HEAD(text)), sizeof text - 1 - 4);
    assert_int_equal(read_head(text, http_head_end(HEAD(text)), &head), 0);
    assert_int_equal(head.method, HTTP_PATCH);
    assert_string_equal(head.path, "/v1/runs/a%2Fb");
    assert_string_equal(head.query, "x=1&y=a+b%20c");
    assert_string_equal(http_header(&head, "x-odd"), "two words");
    assert_null(http_header(&head, "x-none"));
    assert_int_equal(head.body_bytes, 12);
    assert_true(head.has_length && head.wants_continue && head.wants_close);
    http_head_clear(&head);
}

static void test_head_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        int code;
    } rows[] = {
#define ROW(text, code) {text, sizeof text - 1, code}
        ROW("GET / HTTP/1.1\r\n\r\n", GALLOC_BAD_REQUEST),
        ROW("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", GALLOC_BAD_REQUEST),
        ROW("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", GALLOC_BAD_REQUEST),
        ROW("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\tc\r\n\r\n", GALLOC_BAD_REQUEST),
        ROW("GET / HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n", GALLOC_BAD_REQUEST),
        ROW("GET / HTTP/1.1\nHost: a\n\r\n\r\n", GALLOC_BAD_REQUEST),
        ROW("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", GALLOC_BAD_REQUEST),
        ROW("GET / HTTP/1.1 x\r\nHost: a\r\n\r\n", GALLOC_BAD_REQUEST),
        ROW("GET /\r\nHost: a\r\n\r\n", GALLOC_BAD_REQUEST),
        ROW("GET * HTTP/1.1\r\nHost: a\r\n\r\n", GALLOC_BAD_REQUEST),
        ROW("GET /# HTTP/1.1\r\nHost: a\r\n\r\n", GALLOC_BAD_REQUEST),
        ROW("GET /\xc3\xbc HTTP/1.1\r\nHost: a\r\n\r\n", GALLOC_BAD_REQUEST),
        ROW("FOO / HTTP/1.1\r\nHost: a\r\n\r\n", GALLOC_NOT_IMPLEMENTED),
        ROW("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", GALLOC_BAD_REQUEST),
        ROW("GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", GALLOC_BAD_REQUEST),
        ROW("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", GALLOC_LENGTH_REQUIRED),
        ROW("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", GALLOC_BAD_REQUEST),
        ROW("\r\n\r\n", GALLOC_BAD_REQUEST),
#undef ROW
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct http_head head;
        int rc = read_head(rows[i].text, rows[i].len, &head);
        if (rc != -rows[i].code)
            print_error("row %zu: %d\n", i, rc);
        assert_int_equal(rc, -rows[i].code);
        http_head_clear(&head);
    }
}

/* Whatever a head is cut at, it is either still possible or refused; once whole, it is taken. */
static void test_head_in_pieces(void **state)
{
    (void)state;
    static const char text[] = "GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n";
    struct galloc_error error;
    for (size_t len = 1; len < sizeof text - 1; len++) {
        assert_int_equal(http_head_end(text, len), 0);
        assert_int_equal(http_head_check_partial(text, len, &error), 0);
    }
    char *large = xmalloc(LIMIT_HEADER_BYTES + 100);
    memset(large, 'a', LIMIT_HEADER_BYTES + 100);
    memcpy(large, "GET / HTTP/1.1\r\nA: ", 19);
    assert_int_equal(http_head_check_partial(large, LIMIT_HEADER_BYTES, &error), 0);
    assert_int_equal(http_head_check_partial(large, LIMIT_HEADER_BYTES + 1, &error), -GALLOC_HEADERS_TOO_LARGE);
    memcpy(large, "GET /aaaaaaaaaaaaaa", 19);
    assert_int_equal(http_head_check_partial(large, LIMIT_URI_BYTES + 100, &error), -GALLOC_URI_TOO_LONG);
    free(large);
}

static void test_query(void **state)
{
    (void)state;
    static const char text[] = "GET /x?a=1&b=%41%2b+&a=2&&c&d=%zz&e=%ff HTTP/1.1\r\nHost: x\r\n\r\n";
    static const char *const names[] = {"a", "b", "c", "d", NULL};
    struct galloc_error error;
    struct http_head head;
    char *value;
    assert_int_equal(read_head(HEAD(text), &head), 0);
    assert_int_equal(http_query(&head, "a", 1, &value, &error), 0);
    assert_string_equal(value, "2");
    free(value);
    assert_int_equal(http_query(&head, "a", 2, &value, &error), 0);
    assert_null(value);
    assert_int_equal(http_query(&head, "b", 0, &value, &error), 0);
    assert_string_equal(value, "A+ ");
    free(value);
    assert_int_equal(http_query(&head, "c", 0, &value, &error), 0);
    assert_string_equal(value, "");
    free(value);
    assert_int_equal(http_query(&head, "d", 0, &value, &error), -GALLOC_INVALID_VALUE);
    assert_int_equal(http_query(&head, "e", 0, &value, &error), -GALLOC_INVALID_VALUE);
    assert_int_equal(http_query_check(&head, names, &error), -GALLOC_UNKNOWN_FIELD);
    assert_non_null(strstr(error.message, "\"e\""));
    http_head_clear(&head);
}

static void test_date(void **state)
{
    (void)state;
    char date[HTTP_DATE_BYTES];
    http_date(INT64_C(784111777000), date); /* the example of RFC 9110 */
    assert_string_equal(date, "Sun, 06 Nov 1994 08:49:37 GMT");
}

/* ---- selectors ---- */

static int select_json(const char *text, struct store_selector *selector, struct galloc_error *error)
{
    struct json_object *body = NULL;
    assert_int_equal(json_parse(text, strlen(text), &body, error), 0);
    *selector = (struct store_selector){0};
    int rc = selector_from_json(body, selector, error);
    json_free(body);
    return rc;
}

static void test_selector(void **state)
{
    (void)state;
    struct galloc_error error;
    struct store_selector selector, copy;
    assert_int_equal(select_json("{\"states\":[\"failed\",\"cancelled\"],\"codes\":[\"rejected\"],\"keys\":[\"a\",\"b\"],\"where\":[\"f=v=w\"]}", &selector, &error), 0);
    assert_int_equal(selector.states, 1u << ASSIGNMENT_FAILED | 1u << ASSIGNMENT_CANCELLED);
    assert_int_equal(selector.classes, 1u << OUTCOME_REJECTED);
    selector_copy(&selector, &copy);
    selector_clear(&selector);
    assert_string_equal(copy.keys[1], "b");
    assert_null(copy.keys[2]);
    assert_string_equal(copy.where[0], "f=v=w");
    assert_null(copy.agents);
    selector_clear(&copy);
    assert_int_equal(select_json("{\"all\":true}", &selector, &error), 0);
    assert_true(selector.is_all);
    static const char *const wrong[] = {"{}", "{\"all\":false}", "{\"all\":true,\"keys\":[\"a\"]}", "{\"states\":[\"fialed\"]}", "{\"states\":[1]}", "{\"codes\":[\"x\"]}",
                                        "{\"keys\":[null]}", "{\"where\":[\"x\"]}", "{\"where\":[\"=x\"]}", "{\"states\":[]}", "{\"keys\":[\"a\\u0000b\"]}"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        assert_int_equal(select_json(wrong[i], &selector, &error), -GALLOC_INVALID_VALUE);
    assert_int_equal(select_json("{\"states\":[\"fialed\"]}", &selector, &error), -GALLOC_INVALID_VALUE);
    assert_non_null(strstr(error.message, "\"failed\""));
}

/* ---- the size of a prompt ---- */

static void test_prompt_size(void **state)
{
    (void)state;
    char attributes[2001];
    memset(attributes, 'x', sizeof attributes - 1);
    attributes[sizeof attributes - 1] = '\0';
    char agent_id[] = "A";
    struct store_agents agents = {.items = xcalloc(600, sizeof *agents.items), .count = 600};
    for (size_t i = 0; i < agents.count; i++)
        agents.items[i] = (struct store_agent){.agent_id = agent_id, .attributes = attributes, .capacity = -1, .is_listed = true, .is_available = true};
    struct plan plan = {0};
    struct galloc_error error;
    assert_int_equal(prompt_size_check(&plan, NULL, &agents, &error), -GALLOC_INVALID_INPUT);
    assert_non_null(strstr(error.message, "600 agents"));
    agents.count = 200;
    assert_int_equal(prompt_size_check(&plan, NULL, &agents, &error), -GALLOC_INVALID_INPUT);
    assert_non_null(strstr(error.message, "--max-candidates"));
    plan.max_candidates = 20;
    assert_int_equal(prompt_size_check(&plan, NULL, &agents, &error), 0);
    plan.max_candidates = 0;
    agents.count = 29;
    assert_int_equal(prompt_size_check(&plan, NULL, &agents, &error), 0);
    free(agents.items);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_head_is_read), cmocka_unit_test(test_head_is_refused), cmocka_unit_test(test_head_in_pieces), cmocka_unit_test(test_query),
    cmocka_unit_test(test_date),         cmocka_unit_test(test_selector),        cmocka_unit_test(test_prompt_size),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
