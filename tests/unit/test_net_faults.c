/* Each way in which a server, or the way to it, can go wrong: how the call ends, and above all that a request is never sent twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/limits.h"

#include "bad_server.h"
#include "net_caller.h"

#include <sys/socket.h>

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"

/* ---- scripts: each for one connection ---- */

static void reset_before_headers(struct bad_conn *conn)
{
    if (bad_read(conn))
        bad_reset(conn);
}

static void close_before_headers(struct bad_conn *conn)
{
    bad_read(conn);
}

static void reset_after_headers(struct bad_conn *conn)
{
    if (bad_read(conn)) {
        bad_say(conn, HEAD "{\"half\":");
        bad_reset(conn);
    }
}

static void close_after_headers(struct bad_conn *conn)
{
    if (bad_read(conn))
        bad_say(conn, HEAD "{\"half\":");
}

static void send_half_and_wait(struct bad_conn *conn)
{
    if (bad_read(conn)) {
        bad_say(conn, HEAD "{\"half\":");
        bad_wait_gone(conn, 30000);
    }
}

static void send_head_and_wait(struct bad_conn *conn)
{
    if (bad_read(conn)) {
        bad_say(conn, "HTTP/1.1 200 OK\r\nContent-");
        bad_wait_gone(conn, 30000);
    }
}

static void keep_silent(struct bad_conn *conn)
{
    if (bad_read(conn))
        bad_wait_gone(conn, 30000);
}

static void think_long_then_answer(struct bad_conn *conn)
{
    if (bad_read(conn) && !bad_wait_gone(conn, 600))
        bad_answer(conn, "", "at last");
}

static void drip(struct bad_conn *conn)
{
    if (!bad_read(conn))
        return;
    bad_say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    while (!bad_wait_gone(conn, 20))
        bad_say(conn, "x");
}

static void send_many_headers(struct bad_conn *conn)
{
    if (!bad_read(conn))
        return;
    bad_say(conn, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 20000 && !bad_wait_gone(conn, 0); i++)
        bad_say(conn, "X-Filler: 0123456789012345678901234567890123456789\r\n");
    bad_wait_gone(conn, 10000);
}

static void send_one_long_header(struct bad_conn *conn)
{
    char filler[4096];
    if (!bad_read(conn))
        return;
    memset(filler, 'x', sizeof filler);
    bad_say(conn, "HTTP/1.1 200 OK\r\nX-Filler: ");
    for (int i = 0; i < 25600 && !bad_wait_gone(conn, 0); i++)
        bad_send(conn, filler, sizeof filler);
    bad_wait_gone(conn, 10000);
}

static void send_endless_body(struct bad_conn *conn)
{
    char filler[4096];
    if (!bad_read(conn))
        return;
    memset(filler, 'x', sizeof filler);
    bad_say(conn, "HTTP/1.1 200 OK\r\n\r\n");
    while (!bad_wait_gone(conn, 0))
        bad_send(conn, filler, sizeof filler);
}

/* Deflate (RFC 1951) by hand: one byte, then `count` times "the last byte 258 times again": 13 bits for 258 bytes. */
struct bits {
    struct buf out;
    unsigned hold;
    int held;
};

static void put_bits(struct bits *bits, unsigned value, int count)
{
    bits->hold |= value << bits->held;
    for (bits->held += count; bits->held >= 8; bits->held -= 8, bits->hold >>= 8)
        buf_add_char(&bits->out, (char)(bits->hold & 0xff));
}

static void send_bomb(struct bad_conn *conn)
{
    static const unsigned char gzip_head[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    struct bits bits = {.out = BUF_EMPTY};
    struct buf head = BUF_EMPTY;

    if (!bad_read(conn))
        return;
    buf_add(&bits.out, gzip_head, sizeof gzip_head);
    put_bits(&bits, 3, 3);    /* the last block, of fixed codes */
    put_bits(&bits, 0x0c, 8); /* the byte 0: 00110000, its first bit first */
    for (int i = 0; i < 65000; i++)
        put_bits(&bits, 0xa3, 13); /* length 258 is 11000101, distance 1 is 00000 */
    put_bits(&bits, 0, 7);
    put_bits(&bits, 0, 8);
    buf_add_fmt(&head, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", bits.out.len);
    bad_send(conn, head.data, head.len);
    bad_send(conn, bits.out.data, bits.out.len);
    buf_clear(&head);
    buf_clear(&bits.out);
    bad_wait_gone(conn, 10000);
}

static void send_false_gzip(struct bad_conn *conn)
{
    if (bad_read(conn))
        bad_answer(conn, "Content-Encoding: gzip\r\n", "this is no gzip");
}

static void send_garbage(struct bad_conn *conn)
{
    if (bad_read(conn))
        bad_say(conn, "\x15\x03\x01 what is HTTP?\r\n\r\n");
}

static void send_bad_chunks(struct bad_conn *conn)
{
    if (bad_read(conn))
        bad_say(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZZ\r\n");
}

static void answer_before_the_body(struct bad_conn *conn)
{
    bad_say(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    bad_wait_gone(conn, 5000);
}

/* ---- one row a fault ---- */

static const struct {
    const char *name;
    bad_script script;
    enum net_end end;
    int status;
    int64_t total_ms, stall_ms, cap_bytes;
    const char *says;
} rows[] = {
    {"reset before headers", reset_before_headers, NET_BROKEN, 0, 0, 0, 0, ""},
    {"closed before headers", close_before_headers, NET_BROKEN, 0, 0, 0, 0, "mpty reply"},
    {"reset after headers", reset_after_headers, NET_BROKEN, 200, 0, 0, 0, ""},
    {"closed after headers", close_after_headers, NET_BROKEN, 200, 0, 0, 0, ""},
    {"stall in the body", send_half_and_wait, NET_TIMED_OUT, 200, 0, 200, 0, "stopped coming: no byte within 0.200 s"},
    {"never ends", send_half_and_wait, NET_TIMED_OUT, 200, 300, 0, 0, "no whole answer within 0.300 s"},
    {"stall in the head", send_head_and_wait, NET_TIMED_OUT, 200, 1000, 200, 0, ""},
    {"silent", keep_silent, NET_TIMED_OUT, 0, 300, 100, 0, "no whole answer within 0.300 s"},
    {"thinks longer than the stall limit", think_long_then_answer, NET_ANSWERED, 200, 0, 100, 0, ""},
    {"drips", drip, NET_TIMED_OUT, 200, 500, 15000, 0, "no whole answer within 0.500 s"},
    {"many headers", send_many_headers, NET_TOO_LARGE, 200, 0, 0, 0, "larger than the limit"},
    {"one header of 100 MiB", send_one_long_header, NET_TOO_LARGE, 200, 0, 0, 0, ""},
    {"endless body", send_endless_body, NET_TOO_LARGE, 200, 0, 0, 0, "larger than the limit"},
    {"gzip bomb", send_bomb, NET_TOO_LARGE, 200, 0, 0, 0, "larger than the limit"},
    {"false gzip", send_false_gzip, NET_BROKEN, 200, 0, 0, 0, ""},
    {"no HTTP", send_garbage, NET_BROKEN, 0, 0, 0, 0, ""},
    {"bad chunks", send_bad_chunks, NET_BROKEN, 200, 0, 0, 0, ""},
    {"answer before the body", answer_before_the_body, NET_ANSWERED, 413, 0, 0, 0, ""},
};

static void test_every_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char url[128];
        struct caller caller;
        struct came came = {0};
        struct bad_server *server = bad_server_start(rows[i].script);
        caller_setup(&caller);
        struct net_request request = caller_request(bad_server_port(server), "{\"body\":1}", url);
        request.total_timeout_ms = rows[i].total_ms > 0 ? rows[i].total_ms : request.total_timeout_ms;
        request.stall_timeout_ms = rows[i].stall_ms > 0 ? rows[i].stall_ms : request.stall_timeout_ms;
        caller_call(&caller, &request, &came);
        bool is_status = came.status == rows[i].status || (came.status == 200 && rows[i].status == 0 && came.end != NET_ANSWERED);
        if (came.end != rows[i].end || !is_status || strstr(came.message, rows[i].says) == NULL || (came.message[0] == '\0') != (came.end == NET_ANSWERED))
            fail_msg("%s: end %d, status %d, \"%s\"", rows[i].name, (int)came.end, came.status, came.message);
        if (came.body_len > LIMIT_ANSWER_BYTES || bad_server_requests(server) > 1 || bad_server_connections(server) != 1)
            fail_msg("%s: %zu bytes, %d requests, %d connections", rows[i].name, came.body_len, bad_server_requests(server), bad_server_connections(server));
        assert_true(came.sent_us >= 0 && came.local_port > 0);
        came_clear(&came);
        caller_clear(&caller);
        bad_server_stop(server);
    }
}

static void answer_a_thousand(struct bad_conn *conn)
{
    char body[1001];
    memset(body, 'x', 1000);
    body[1000] = '\0';
    while (bad_read(conn))
        bad_answer(conn, "", body);
}

static void test_cap_is_exact(void **state)
{
    (void)state;
    char url[128];
    struct caller caller;
    struct came came = {0};
    struct bad_server *server = bad_server_start(answer_a_thousand);
    caller_setup(&caller);
    for (int64_t cap = 999; cap <= 1001; cap++) {
        struct net_request request = caller_request(bad_server_port(server), "body", url);
        request.answer_cap_bytes = cap;
        caller_call(&caller, &request, &came);
        assert_int_equal(came.end, cap < 1000 ? NET_TOO_LARGE : NET_ANSWERED);
        if (cap >= 1000)
            assert_int_equal(came.body_len, 1000);
    }
    came_clear(&came);
    caller_clear(&caller);
    bad_server_stop(server);
}

static void test_nobody_listens(void **state)
{
    (void)state;
    char url[128];
    struct caller caller;
    struct came came = {0};
    caller_setup(&caller);
    struct net_request request = caller_request(bad_closed_port(), "body", url);
    caller_call(&caller, &request, &came);
    assert_int_equal(came.end, NET_NOT_SENT);
    assert_int_equal(came.status, 0);
    assert_int_equal(came.sent_us, -1);
    assert_true(came.message[0] != '\0');
    came_clear(&came);
    caller_clear(&caller);
}

/* ---- a connection used again that dies: the second request is processed once, and libcurl must not send it again ---- */

static void answer_once_then_close(struct bad_conn *conn)
{
    if (bad_read(conn))
        bad_answer(conn, "", "first");
    bad_read(conn); /* processed, paid, and no answer */
}

static void answer_once_then_reset(struct bad_conn *conn)
{
    if (bad_read(conn))
        bad_answer(conn, "", "first");
    if (bad_read(conn))
        bad_reset(conn);
}

/* Dies in the middle of the second body. */
static void answer_once_then_read_a_little(struct bad_conn *conn)
{
    char little[8192];
    size_t got = 0;
    ssize_t len;
    if (bad_read(conn))
        bad_answer(conn, "", "first");
    while (got < 4 * sizeof little && (len = recv(conn->fd, little, sizeof little, 0)) > 0)
        got += (size_t)len;
    if (got > 0)
        bad_reset(conn);
}

/* Dies when the second head has come, maybe before the body goes out. */
static void answer_once_then_read_the_head(struct bad_conn *conn)
{
    char byte;
    if (bad_read(conn))
        bad_answer(conn, "", "first");
    if (recv(conn->fd, &byte, 1, 0) > 0)
        bad_reset(conn);
}

static void test_reused_connection_dies(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bad_script script;
        int requests;
        size_t body_len;
    } cases[] = {{"closed", answer_once_then_close, 2, 100},
                 {"reset", answer_once_then_reset, 2, 100},
                 {"closed, large body", answer_once_then_close, 2, 400000},
                 {"reset, large body", answer_once_then_reset, 2, 400000},
                 {"reset within the body", answer_once_then_read_a_little, 1, 8 << 20}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char url[128], *body = xmalloc(cases[i].body_len + 1);
        struct caller caller;
        struct came came = {0};
        struct bad_server *server = bad_server_start(cases[i].script);
        caller_setup(&caller);
        memset(body, 'x', cases[i].body_len);
        body[cases[i].body_len] = '\0';
        struct net_request request = caller_request(bad_server_port(server), "first body", url);
        caller_call(&caller, &request, &came);
        assert_int_equal(came.end, NET_ANSWERED);
        request = caller_request(bad_server_port(server), body, url);
        caller_call(&caller, &request, &came);
        if (came.end != NET_REUSE_DIED || bad_server_requests(server) != cases[i].requests)
            fail_msg("%s: end %d (%s), %d requests on %d connections", cases[i].name, (int)came.end, came.message, bad_server_requests(server),
                     bad_server_connections(server));
        /* And the next call is well, on another connection. */
        request = caller_request(bad_server_port(server), "third body", url);
        caller_call(&caller, &request, &came);
        assert_int_equal(came.end, NET_ANSWERED);
        assert_string_equal(came.body, "first");
        assert_int_equal(bad_server_requests(server), cases[i].requests + 1);
        free(body);
        came_clear(&came);
        caller_clear(&caller);
        bad_server_stop(server);
    }
}

/* Whether libcurl may take another connection is a race here; what must never be is a request that arrives cut, or twice. */
static void test_reused_connection_dies_at_the_head(void **state)
{
    (void)state;
    for (int round = 0; round < 40; round++) {
        char url[128];
        struct caller caller;
        struct came came = {0};
        struct bad_server *server = bad_server_start(answer_once_then_read_the_head);
        caller_setup(&caller);
        for (int i = 0; i < 2; i++) {
            struct net_request request = caller_request(bad_server_port(server), i == 0 ? "first body" : "the second body, whole", url);
            caller_call(&caller, &request, &came);
        }
        if (came.end == NET_ANSWERED) {
            char *sent = bad_server_take_request(server);
            assert_non_null(strstr(sent, "\r\n\r\nthe second body, whole"));
            free(sent);
        } else {
            assert_int_equal(came.end, NET_REUSE_DIED);
        }
        assert_int_equal(bad_server_requests(server), came.end == NET_ANSWERED ? 2 : 1);
        came_clear(&came);
        caller_clear(&caller);
        bad_server_stop(server);
    }
}

static atomic_int closed_count;

static void answer_once_and_close(struct bad_conn *conn)
{
    if (bad_read(conn)) {
        bad_answer(conn, "", "once");
        shutdown(conn->fd, SHUT_RDWR);
        atomic_fetch_add(&closed_count, 1);
    }
}

/* A connection that the server closed while it was idle is not an end of anything: the next call takes a new one. */
static void test_idle_connection_closed(void **state)
{
    (void)state;
    char url[128];
    struct caller caller;
    struct came came = {0};
    struct bad_server *server = bad_server_start(answer_once_and_close);
    atomic_store(&closed_count, 0);
    caller_setup(&caller);
    for (int i = 1; i <= 5; i++) {
        struct net_request request = caller_request(bad_server_port(server), "body", url);
        caller_call(&caller, &request, &came);
        assert_int_equal(came.end, NET_ANSWERED);
        while (atomic_load(&closed_count) < i)
            ;
        assert_int_equal(bad_server_requests(server), i);
    }
    assert_int_equal(bad_server_connections(server), 5);
    came_clear(&came);
    caller_clear(&caller);
    bad_server_stop(server);
}

/* Every second connection dies after it has processed; many calls at once, each with its own number: none arrives twice. */
static atomic_int seen[400];

static void die_now_and_then(struct bad_conn *conn)
{
    for (int i = 0; bad_read(conn); i++) {
        long number = strtol(conn->request.data + conn->head_len, NULL, 10);
        if (number >= 0 && number < (long)ARRAY_COUNT(seen))
            atomic_fetch_add(&seen[number], 1);
        if (number % 7 == 3)
            return;
        if (number % 11 == 5) {
            bad_reset(conn);
            return;
        }
        bad_answer(conn, "", "well");
    }
}

static void test_no_request_arrives_twice(void **state)
{
    (void)state;
    enum { AT_ONCE = 8 };
    struct caller caller;
    struct came came[AT_ONCE] = {0};
    struct bad_server *server = bad_server_start(die_now_and_then);
    int lost = 0;
    for (size_t i = 0; i < ARRAY_COUNT(seen); i++)
        atomic_store(&seen[i], 0);
    caller_setup(&caller);
    for (size_t from = 0; from < ARRAY_COUNT(seen); from += AT_ONCE) {
        for (size_t i = 0; i < AT_ONCE; i++) {
            char url[128], body[16];
            snprintf(body, sizeof body, "%zu", from + i);
            struct net_request request = caller_request(bad_server_port(server), body, url);
            caller_start(&caller, &request, (int)i, &came[i]);
        }
        caller_run(&caller);
        for (size_t i = 0; i < AT_ONCE; i++) {
            long number = (long)(from + i);
            bool dies = number % 7 == 3 || number % 11 == 5;
            assert_int_equal(came[i].end == NET_ANSWERED, !dies);
            lost += came[i].end == NET_REUSE_DIED;
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(seen); i++)
        assert_int_equal(atomic_load(&seen[i]), 1);
    assert_true(lost > 0); /* or the fault was not there to be seen */
    for (size_t i = 0; i < AT_ONCE; i++)
        came_clear(&came[i]);
    caller_clear(&caller);
    bad_server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_fault),         cmocka_unit_test(test_cap_is_exact),           cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_reused_connection_dies), cmocka_unit_test(test_reused_connection_dies_at_the_head), cmocka_unit_test(test_idle_connection_closed), cmocka_unit_test(test_no_request_arrives_twice),
    };
    return cmocka_run_group_tests_name("net: faults", tests, NULL, NULL);
}
