/* Calls that go well, and what is promised around them: what is sent, reuse, start and cancel, headers that are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"

#include "bad_server.h"
#include "net_caller.h"

static void answer_all(struct bad_conn *conn)
{
    while (bad_read(conn))
        bad_answer(conn, "Content-Type: application/json\r\n", "{\"well\":true}");
}

static void test_what_is_sent(void **state)
{
    (void)state;
    char url[128];
    struct caller caller;
    struct came came = {0};
    struct bad_server *server = bad_server_start(answer_all);
    caller_setup(&caller);

    struct net_request request = caller_request(bad_server_port(server), "{\"contents\":[]}", url);
    caller_call(&caller, &request, &came);
    assert_int_equal(came.end, NET_ANSWERED);
    assert_int_equal(came.status, 200);
    assert_string_equal(came.body, "{\"well\":true}");
    assert_string_equal(came.content_type, "application/json");
    assert_string_equal(came.message, "");
    assert_int_equal(came.request_body_len, 15);
    assert_int_equal(came.retry_after_ms, -1);
    assert_true(came.sent_us >= 0 && came.sent_us <= came.latency_us);
    assert_true(came.local_port > 0);
    char *sent = bad_server_take_request(server);
    assert_non_null(strstr(sent, "POST /v1/models/m:generateContent HTTP/1.1\r\n"));
    assert_non_null(strstr(sent, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(sent, "\r\nUser-Agent: galloc/test\r\n"));
    assert_non_null(strstr(sent, "\r\nx-goog-api-key: " CALLER_KEY "\r\n"));
    assert_non_null(strstr(sent, "\r\nContent-Length: 15\r\n"));
    assert_non_null(strstr(sent, "gzip")); /* Accept-Encoding */
    assert_null(strstr(sent, "Transfer-Encoding"));
    assert_null(strstr(sent, "Cookie"));
    assert_non_null(strstr(sent, "\r\n\r\n{\"contents\":[]}"));
    free(sent);

    request = caller_request(bad_server_port(server), NULL, url);
    caller_call(&caller, &request, &came);
    assert_int_equal(came.end, NET_ANSWERED);
    assert_true(came.sent_us >= 0);
    sent = bad_server_take_request(server);
    assert_memory_equal(sent, "GET ", 4);
    free(sent);
    came_clear(&came);
    caller_clear(&caller);
    bad_server_stop(server);
}

static void test_large_body_without_expect(void **state)
{
    (void)state;
    enum { LEN = 3 << 20 };
    char url[128], *body = xmalloc(LEN + 1);
    struct caller caller;
    struct came came = {0};
    struct bad_server *server = bad_server_start(answer_all);
    caller_setup(&caller);

    memset(body, 'x', LEN);
    body[LEN] = '\0';
    struct net_request request = caller_request(bad_server_port(server), body, url);
    caller_call(&caller, &request, &came);
    assert_int_equal(came.end, NET_ANSWERED);
    char *sent = bad_server_take_request(server);
    assert_null(strcasestr(sent, "expect:"));
    assert_string_equal(strstr(sent, "\r\n\r\n") + 4, body);
    free(sent);
    free(body);
    came_clear(&came);
    caller_clear(&caller);
    bad_server_stop(server);
}

/* A header of one call alone: it is sent with the site's, and neither left over for the next call nor a reason for another connection. */
static void test_a_header_of_one_call(void **state)
{
    (void)state;
    static const char *const own[] = {"X-Galloc-Attempt: r-1/7/1", NULL, "X-Galloc-Attempt: r-1/8/1", ""};
    char url[128];
    struct caller caller;
    struct came came = {0};
    struct bad_server *server = bad_server_start(answer_all);
    caller_setup(&caller);

    for (size_t i = 0; i < ARRAY_COUNT(own); i++) {
        struct net_request request = caller_request(bad_server_port(server), "body", url);
        request.call_header = own[i];
        caller_call(&caller, &request, &came);
        assert_int_equal(came.end, NET_ANSWERED);
        char *sent = bad_server_take_request(server), line[64];
        snprintf(line, sizeof line, "\r\n%s\r\n", own[i] != NULL ? own[i] : "");
        assert_int_equal(strstr(sent, "X-Galloc-Attempt") != NULL, i % 2 == 0);
        assert_true(i % 2 == 1 || strstr(sent, line) != NULL);
        assert_non_null(strstr(sent, "\r\nx-goog-api-key: " CALLER_KEY "\r\n"));
        assert_non_null(strstr(sent, "\r\nUser-Agent: galloc/test\r\n"));
        free(sent);
    }
    assert_int_equal(bad_server_connections(server), 1);
    struct net_request request = caller_request(bad_server_port(server), "body", url);
    request.call_header = "X-Galloc-Attempt: a\r\nX-Other: b";
    caller_call(&caller, &request, &came);
    assert_int_equal(came.end, NET_CONFIG);
    assert_int_equal(bad_server_requests(server), 4);
    came_clear(&came);
    caller_clear(&caller);
    bad_server_stop(server);
}

/* One connection serves call after call; a change of key or address is seen at once, and the old key is not sent again. */
static void test_reuse_and_change_of_key(void **state)
{
    (void)state;
    char url[128];
    struct caller caller;
    struct came came = {0};
    struct bad_server *server = bad_server_start(answer_all);
    caller_setup(&caller);

    for (int i = 0; i < 20; i++) {
        struct net_request request = caller_request(bad_server_port(server), i % 3 == 0 ? "first body" : "another, longer body", url);
        request.secret = i < 10 ? "first-key-000" : "second-key-111";
        caller_call(&caller, &request, &came);
        assert_int_equal(came.end, NET_ANSWERED);
        char *sent = bad_server_take_request(server);
        assert_non_null(strstr(sent, i < 10 ? "\r\nx-goog-api-key: first-key-000\r\n" : "\r\nx-goog-api-key: second-key-111\r\n"));
        assert_null(strstr(sent, i < 10 ? "second-key" : "first-key"));
        assert_non_null(strstr(sent, i % 3 == 0 ? "\r\n\r\nfirst body" : "\r\n\r\nanother, longer body"));
        free(sent);
    }
    assert_int_equal(bad_server_connections(server), 1);
    assert_int_equal(bad_server_requests(server), 20);
    came_clear(&came);
    caller_clear(&caller);
    bad_server_stop(server);
}

struct chain {
    struct came came[64];
    int port, started;
};

static void start_next(struct caller *caller, int index, void *arg)
{
    (void)index;
    struct chain *chain = arg;
    char url[128];
    if (chain->started == (int)ARRAY_COUNT(chain->came))
        return;
    struct net_request request = caller_request(chain->port, "body", url);
    bool was_starting = caller->is_starting;
    caller_start(caller, &request, chain->started, &chain->came[chain->started]);
    caller->is_starting = was_starting;
    chain->started++;
}

/* Calls started from within done, many at once, on no more connections than the pool has. */
static void test_starts_from_done_within_the_pool(void **state)
{
    (void)state;
    struct caller caller;
    struct chain *chain = xcalloc(1, sizeof *chain);
    struct bad_server *server = bad_server_start(answer_all);
    caller_setup(&caller);
    net_set_pool_size(caller.net, 4);
    chain->port = bad_server_port(server);
    caller.after = start_next;
    caller.arg = chain;

    for (int i = 0; i < 16; i++)
        start_next(&caller, 0, chain);
    caller_run(&caller);
    assert_int_equal(chain->started, ARRAY_COUNT(chain->came));
    for (size_t i = 0; i < ARRAY_COUNT(chain->came); i++) {
        assert_true(chain->came[i].is_done);
        assert_int_equal(chain->came[i].end, NET_ANSWERED);
        assert_false(chain->came[i].was_within_start);
        came_clear(&chain->came[i]);
    }
    assert_int_equal(bad_server_requests(server), ARRAY_COUNT(chain->came));
    assert_true(bad_server_connections(server) <= 4);
    free(chain);
    caller_clear(&caller);
    bad_server_stop(server);
}

static void read_and_keep_silent(struct bad_conn *conn)
{
    if (bad_read(conn))
        bad_wait_gone(conn, 30000);
}

static void cancel_other(struct caller *caller, int index, void *arg)
{
    (void)caller;
    struct came *came = arg;
    if (index == 0)
        net_cancel(came[1].call);
}

static void test_cancel(void **state)
{
    (void)state;
    char url[128];
    struct caller caller;
    struct came came[2] = {0};
    struct bad_server *server = bad_server_start(read_and_keep_silent);
    caller_setup(&caller);
    caller.after = cancel_other;
    caller.arg = came;

    for (int i = 0; i < 2; i++) {
        struct net_request request = caller_request(bad_server_port(server), "body", url);
        caller_start(&caller, &request, i, &came[i]);
    }
    net_cancel(came[0].call);
    assert_false(came[0].is_done); /* in a later turn */
    net_cancel(came[0].call);      /* twice is once */
    caller_run(&caller);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(came[i].end, NET_CANCELLED);
        came_clear(&came[i]);
    }
    caller_clear(&caller);
    bad_server_stop(server);
}

static void never(const struct net_response *response, void *arg)
{
    (void)response, (void)arg;
    fail_msg("done after net_free()");
}

static void test_free_with_open_calls(void **state)
{
    (void)state;
    char url[128];
    struct caller caller;
    struct bad_server *server = bad_server_start(read_and_keep_silent);
    caller_setup(&caller);
    for (int i = 0; i < 3; i++) {
        struct net_request request = caller_request(bad_server_port(server), "body", url);
        request.done = never;
        if (i == 2)
            request.url = "http://example.org/"; /* refused: its end waits for the next turn */
        struct net_call *call = net_start(caller.net, &request);
        if (i == 1)
            net_cancel(call);
    }
    caller_clear(&caller);
    net_free(NULL);
    bad_server_stop(server);
}

/* The answer's headers are in the request's body: the script sends back what it was told to. */
static void send_asked_headers(struct bad_conn *conn)
{
    while (bad_read(conn))
        bad_answer(conn, conn->request.data + conn->head_len, "x");
}

static void test_retry_after(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        int64_t ms;
        int should_retry;
    } rows[] = {
        {"Retry-After: 7\r\n", 7000, 0},
        {"retry-after: 0\r\n", 0, 0},
        {"RETRY-AFTER:  1.5 \r\n", 1500, 0},
        {"Retry-After: 7\r\nRetry-After-Ms: 250\r\n", 250, 0},
        {"retry-after-ms: 250\r\nRetry-After: 7\r\n", 250, 0},
        {"retry-after-ms: soon\r\nRetry-After: 7\r\n", 7000, 0},
        {"Date: Mon, 23 Nov 2026 10:00:00 GMT\r\nRetry-After: Mon, 23 Nov 2026 10:01:30 GMT\r\n", 90000, 0},
        {"Retry-After: Mon, 23 Nov 2026 10:00:00 GMT\r\nDate: Mon, 23 Nov 2026 10:01:30 GMT\r\n", 0, 0},
        {"Retry-After: Mon, 23 Nov 1998 10:00:00 GMT\r\n", 0, 0},
        {"Retry-After: soon\r\n", -1, 0},
        {"Retry-After: -5\r\n", -1, 0},
        {"Retry-After:\r\n", -1, 0},
        {"Retry-After: 99999999999999999999\r\n", -1, 0},
        {"X-Retry-After: 7\r\n", -1, 0},
        {"X-Should-Retry: true\r\nRetry-After: 1\r\n", 1000, 1},
        {"x-should-retry: false\r\n", -1, -1},
        {"x-should-retry: maybe\r\n", -1, 0},
    };
    char url[128];
    struct caller caller;
    struct came came = {0};
    struct bad_server *server = bad_server_start(send_asked_headers);
    caller_setup(&caller);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct net_request request = caller_request(bad_server_port(server), rows[i].headers, url);
        caller_call(&caller, &request, &came);
        if (came.end != NET_ANSWERED || came.retry_after_ms != rows[i].ms || came.should_retry != rows[i].should_retry)
            fail_msg("%s: %lld ms, try again %d", rows[i].headers, (long long)came.retry_after_ms, came.should_retry);
    }
    came_clear(&came);
    caller_clear(&caller);
    bad_server_stop(server);
}

static void answer_after_hints(struct bad_conn *conn)
{
    while (bad_read(conn)) {
        bad_say(conn, "HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\nContent-Type: text/early\r\n\r\n");
        bad_say(conn, "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno");
    }
}

static void test_interim_answer_is_not_the_answer(void **state)
{
    (void)state;
    char url[128];
    struct caller caller;
    struct came came = {0};
    struct bad_server *server = bad_server_start(answer_after_hints);
    caller_setup(&caller);
    struct net_request request = caller_request(bad_server_port(server), "body", url);
    caller_call(&caller, &request, &came);
    assert_int_equal(came.end, NET_ANSWERED);
    assert_int_equal(came.status, 503);
    assert_string_equal(came.body, "no");
    assert_string_equal(came.content_type, "");
    assert_int_equal(came.retry_after_ms, -1);
    came_clear(&came);
    caller_clear(&caller);
    bad_server_stop(server);
}

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool is_fine, is_fine_plain;
    } rows[] = {
        {"https://generativelanguage.googleapis.com", true, true},
        {"https://h:8443/path?alt=sse", true, true},
        {"http://127.0.0.1:8080", true, true},
        {"http://127.9.9.9/x", true, true},
        {"http://[::1]:80/", true, true},
        {"http://localhost", true, true},
        {"http://LOCALHOST:1", true, true},
        {"http://10.0.0.1", false, true},
        {"http://127.0.0.1.example.org", false, true},
        {"http://localhost.example.org", false, true},
        {"http://[::2]", false, true},
        {"http://128.0.0.1", false, true},
        {"http://169.254.169.254/latest", false, true},
        {"https://user@h", false, false},
        {"https://user:password@h", false, false},
        {"https://:password@h", false, false},
        {"file:///etc/passwd", false, false},
        {"ftp://h/x", false, false},
        {"gopher://h", false, false},
        {"h", false, false},
        {"", false, false},
        {NULL, false, false},
        {"https://", false, false},
        {"https://h h", false, false},
        {"https://h\r\nX: y", false, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        for (int plain = 0; plain < 2; plain++) {
            struct galloc_error error = {0};
            int rc = net_check_url(rows[i].url, plain != 0, &error);
            bool is_fine = plain != 0 ? rows[i].is_fine_plain : rows[i].is_fine;
            if (rc != (is_fine ? 0 : -GALLOC_INVALID_VALUE) || (error.message[0] == '\0') != is_fine)
                fail_msg("%s, plain %d: %d %s", rows[i].url != NULL ? rows[i].url : "NULL", plain, rc, error.message);
        }
}

static void test_proxies(void **state)
{
    (void)state;
    static const struct {
        const char *proxy;
        bool is_fine;
    } rows[] = {{NULL, true},  {"", true},    {"http://proxy.example.org:3128", true}, {"https://proxy:443", true}, {"http://[::1]:1", true}, {"proxy:3128", false},
                {"socks5://proxy:1080", false}, {"socks5h://proxy", false}, {"http://user@proxy", false}, {"http://user:pw@proxy", false}, {"http://", false},
                {"http://a b", false}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct galloc_error error = {0};
        if ((net_check_proxy(rows[i].proxy, &error) == 0) != rows[i].is_fine || (error.message[0] == '\0') != rows[i].is_fine)
            fail_msg("%s: %s", rows[i].proxy != NULL ? rows[i].proxy : "NULL", error.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_sent),
        cmocka_unit_test(test_large_body_without_expect),
        cmocka_unit_test(test_a_header_of_one_call),
        cmocka_unit_test(test_reuse_and_change_of_key),
        cmocka_unit_test(test_starts_from_done_within_the_pool),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_free_with_open_calls),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_interim_answer_is_not_the_answer),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_proxies),
    };
    return cmocka_run_group_tests_name("net: calls", tests, NULL, NULL);
}
