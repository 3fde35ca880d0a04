/* Whom a call trusts: certificates, redirects, the environment's proxies, a server that echoes the key, a resolver that never answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"

#include "bad_server.h"
#include "net_caller.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- redirects, proxies, keys ---- */

/* The answer is whatever the request's body says. */
static void say_what_is_asked(struct bad_conn *conn)
{
    while (bad_read(conn))
        bad_say(conn, conn->request.data + conn->head_len);
}

static void test_redirects_are_answers(void **state)
{
    (void)state;
    static const char *const places[] = {"http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "http://127.0.0.1:1/", "/elsewhere", "gopher://h/"};
    static const int codes[] = {301, 302, 303, 307, 308};
    char url[128];
    struct caller caller;
    struct came came = {0};
    struct bad_server *server = bad_server_start(say_what_is_asked);
    caller_setup(&caller);
    int count = 0;
    for (size_t p = 0; p < ARRAY_COUNT(places); p++)
        for (size_t c = 0; c < ARRAY_COUNT(codes); c++) {
            char *answer = xasprintf("HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", codes[c], places[p]);
            struct net_request request = caller_request(bad_server_port(server), answer, url);
            caller_call(&caller, &request, &came);
            assert_int_equal(came.end, NET_ANSWERED);
            assert_int_equal(came.status, codes[c]);
            assert_int_equal(bad_server_requests(server), ++count);
            free(answer);
        }
    came_clear(&came);
    caller_clear(&caller);
    bad_server_stop(server);
}

static void test_environment_is_not_asked(void **state)
{
    (void)state;
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    char url[128], *proxy = xasprintf("http://127.0.0.1:%d", bad_closed_port());
    struct caller caller;
    struct came came = {0};
    struct bad_server *server = bad_server_start(say_what_is_asked);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        setenv(names[i], proxy, 1);
    caller_setup(&caller);
    struct net_request request = caller_request(bad_server_port(server), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", url);
    caller_call(&caller, &request, &came);
    assert_int_equal(came.end, NET_ANSWERED);
    /* One that the operator names is used. */
    request = caller_request(bad_server_port(server), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", url);
    request.proxy = proxy;
    caller_call(&caller, &request, &came);
    assert_int_equal(came.end, NET_NOT_SENT);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        unsetenv(names[i]);
    free(proxy);
    came_clear(&came);
    caller_clear(&caller);
    bad_server_stop(server);
}

static void test_echoed_key_is_blotted_out(void **state)
{
    (void)state;
    char url[128];
    struct caller caller;
    struct came came = {0};
    struct bad_server *server = bad_server_start(say_what_is_asked);
    caller_setup(&caller);
    struct net_request request = caller_request(bad_server_port(server),
                                                "HTTP/1.1 400 Bad\r\nContent-Type: text/" CALLER_KEY "\r\nContent-Length: 51\r\n\r\n"
                                                "key=" CALLER_KEY "&again=" CALLER_KEY "!x!x!x",
                                                url);
    caller_call(&caller, &request, &came);
    assert_int_equal(came.end, NET_ANSWERED);
    assert_int_equal(came.body_len, 51);
    assert_null(strstr(came.body, CALLER_KEY));
    assert_non_null(strstr(came.body, "&again=****"));
    assert_null(strstr(came.content_type, CALLER_KEY));

    /* Nor does it come in libcurl's own words. */
    request = caller_request(bad_server_port(server), "HTTP/1.1 200 OK\r\nContent-Encoding: " CALLER_KEY "\r\nContent-Length: 1\r\n\r\nx", url);
    caller_call(&caller, &request, &came);
    assert_int_equal(came.end, NET_BROKEN);
    assert_null(strstr(came.message, CALLER_KEY));
    came_clear(&came);
    caller_clear(&caller);
    bad_server_stop(server);
}

static void test_what_is_refused_is_not_sent(void **state)
{
    (void)state;
    static const char *const split[] = {"Content-Type: text/plain\r\nX-Evil: 1", NULL};
    struct caller caller;
    struct came came = {0};
    struct bad_server *server = bad_server_start(say_what_is_asked);
    caller_setup(&caller);
    for (int i = 0; i < 7; i++) {
        char url[128];
        struct net_request request = caller_request(bad_server_port(server), "HTTP/1.1 200 OK\r\n\r\n", url);
        request.secret = i == 0 ? "key\r\nX-Evil: 1" : i == 1 ? "key\nwith-a-line" : request.secret;
        request.headers = i == 2 ? split : request.headers;
        request.proxy = i == 6 ? "socks5://127.0.0.1:1" : NULL;
        request.url = i == 3 ? "http://192.0.2.1/v1" : i == 4 ? "file:///etc/passwd" : i == 5 ? "https://user:pw@127.0.0.1/" : request.url;
        caller_call(&caller, &request, &came);
        assert_int_equal(came.end, NET_CONFIG);
        assert_int_equal(came.sent_us, -1);
        assert_true(came.message[0] != '\0');
        assert_null(strstr(came.message, "X-Evil"));
    }
    assert_int_equal(bad_server_connections(server), 0);
    came_clear(&came);
    caller_clear(&caller);
    bad_server_stop(server);
}

/* ---- TLS: openssl's own server, with certificates of our making ---- */

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info, (void)kind, (void)place;
    return remove(path);
}

/* Runs openssl in `folder`; its output goes to `output` when that is not -1. 0 when it cannot be started. */
static pid_t start_openssl(const char *folder, const char *const argv[], int output)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (output >= 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1);
    else
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&pid, "openssl", &actions, NULL, (char *const *)argv, environ) != 0)
        pid = 0;
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static bool make_certificate(const char *folder, const char *names)
{
    char *subject = xasprintf("subjectAltName=%s", names);
    const char *argv[] = {"openssl", "req",    "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
                    "-days",   "2",      "-subj", "/CN=test", "-addext", subject,  NULL};
    int status = -1;
    pid_t pid = start_openssl(folder, argv, -1);
    if (pid > 0 && waitpid(pid, &status, 0) != pid)
        status = -1;
    free(subject);
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Starts a TLS server that answers a GET with a page. Its port, read from its own "ACCEPT 127.0.0.1:port" line. */
static pid_t start_tls(const char *folder, const char *protocol, int *ret_port)
{
    const char *argv[] = {"openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", "cert.pem", "-key", "key.pem", "-www", "-cipher", "ALL:@SECLEVEL=0", protocol, NULL};
    char line[256] = "";
    size_t len = 0;
    int pipe_fds[2];

    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid_t pid = start_openssl(folder, argv, pipe_fds[1]);
    close(pipe_fds[1]);
    while (len + 1 < sizeof line && strstr(line, "ACCEPT") == NULL && read(pipe_fds[0], line + len, 1) == 1)
        line[++len] = '\0';
    while (len + 1 < sizeof line && line[len - (len > 0)] != '\n' && read(pipe_fds[0], line + len, 1) == 1)
        line[++len] = '\0';
    close(pipe_fds[0]);
    const char *colon = strrchr(line, ':');
    assert_non_null(colon);
    *ret_port = (int)strtol(colon + 1, NULL, 10);
    return pid;
}

static void test_certificates(void **state)
{
    (void)state;
    static const struct {
        const char *name, *names, *protocol;
        bool is_known; /* the certificate is in ca_file */
        enum net_end end;
    } rows[] = {
        {"signed by nobody we know", "IP:127.0.0.1", "-tls1_2", false, NET_CONFIG},
        {"for another host", "DNS:example.org", "-tls1_2", true, NET_CONFIG},
        {"right", "IP:127.0.0.1", "-tls1_2", true, NET_ANSWERED},
        {"too old a protocol", "IP:127.0.0.1", "-tls1_1", true, NET_NOT_SENT},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char folder[] = "/tmp/galloc-tls-XXXXXX", url[128], *ca;
        struct caller caller;
        struct came came = {0};
        int port = 0;
        assert_non_null(mkdtemp(folder));
        if (!make_certificate(folder, rows[i].names)) {
            nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
            skip(); /* no openssl program here */
        }
        pid_t pid = start_tls(folder, rows[i].protocol, &port);
        ca = xasprintf("%s/cert.pem", folder);
        caller_setup(&caller);
        struct net_request request = caller_request(port, NULL, url);
        snprintf(url, sizeof url, "https://127.0.0.1:%d/", port);
        request.ca_file = rows[i].is_known ? ca : NULL;
        caller_call(&caller, &request, &came);
        if (came.end != rows[i].end || (came.sent_us >= 0) != (rows[i].end == NET_ANSWERED))
            fail_msg("%s: end %d, status %d, %s", rows[i].name, (int)came.end, came.status, came.message);
        came_clear(&came);
        caller_clear(&caller);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        free(ca);
        nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
}

/* ---- a resolver that never answers ---- */

static pthread_mutex_t resolver_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t resolver_released = PTHREAD_COND_INITIALIZER;
static bool is_released;
static int stuck_count;

/* Stands before the C library's own: libcurl's resolver thread comes here. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
    if (node != NULL && strcmp(node, "never.example.org") == 0) {
        pthread_mutex_lock(&resolver_lock);
        stuck_count++;
        while (!is_released)
            pthread_cond_wait(&resolver_released, &resolver_lock);
        stuck_count--;
        pthread_cond_broadcast(&resolver_released);
        pthread_mutex_unlock(&resolver_lock);
        return EAI_AGAIN;
    }
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(node, service, hints, result);
}

static int stuck_now(void)
{
    pthread_mutex_lock(&resolver_lock);
    int count = stuck_count;
    pthread_mutex_unlock(&resolver_lock);
    return count;
}

struct ticker {
    struct loop_timer timer;
    int64_t last_us, longest_gap_us;
    int count;
};

static void on_tick(void *arg)
{
    struct ticker *ticker = arg;
    int64_t now_us = clock_mono_us();
    if (ticker->last_us != 0)
        ticker->longest_gap_us = max_i64(ticker->longest_gap_us, now_us - ticker->last_us);
    ticker->last_us = now_us;
    ticker->count++;
    loop_timer_set_ms(&ticker->timer, 5);
}

/* Calls end at their limit while the resolver is still stuck, and the loop turns all the while: nothing waits for the resolver's thread. */
static void test_stuck_resolver_does_not_hold_the_loop(void **state)
{
    (void)state;
    enum { CALLS = 5 };
    struct caller caller;
    struct came came[CALLS] = {0};
    struct ticker ticker = {.count = 0};
    caller_setup(&caller);
    loop_timer_init(&ticker.timer, caller.loop, on_tick, &ticker);
    on_tick(&ticker);
    for (int i = 0; i < CALLS; i++) {
        char url[128];
        struct net_request request = caller_request(443, "body", url);
        request.url = "https://never.example.org/v1";
        request.connect_timeout_ms = 400;
        request.total_timeout_ms = i == 0 ? 200 : 60000; /* one ends by its total */
        caller_start(&caller, &request, i, &came[i]);
    }
    /* A cancelled one must not wait either. */
    net_cancel(came[CALLS - 1].call);
    caller_run(&caller);
    assert_true(stuck_now() > 0); /* still: nobody waited */
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(came[i].end, i == CALLS - 1 ? NET_CANCELLED : NET_NOT_SENT);
        assert_int_equal(came[i].sent_us, -1);
        if (i < CALLS - 1)
            assert_non_null(strstr(came[i].message, i == 0 ? "within 0.200 s" : "no connection (name lookup, connect, TLS) within 0.400 s"));
        came_clear(&came[i]);
    }
    /* 400 ms of ticks 5 ms apart; half of them may be late on a busy machine, a blocked loop has next to none. */
    assert_true(ticker.count >= 20);
    assert_true(ticker.longest_gap_us < 5000000);
    loop_timer_clear(&ticker.timer);
    caller_clear(&caller);
    pthread_mutex_lock(&resolver_lock);
    is_released = true;
    pthread_cond_broadcast(&resolver_released);
    while (stuck_count > 0)
        pthread_cond_wait(&resolver_released, &resolver_lock);
    pthread_mutex_unlock(&resolver_lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redirects_are_answers),
        cmocka_unit_test(test_environment_is_not_asked),
        cmocka_unit_test(test_echoed_key_is_blotted_out),
        cmocka_unit_test(test_what_is_refused_is_not_sent),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_stuck_resolver_does_not_hold_the_loop),
    };
    return cmocka_run_group_tests_name("net: trust", tests, NULL, NULL);
}
