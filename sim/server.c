/* See server.h. Listeners, the outage switch, and the way of a request to api.c or control.c. */
#include "sim/server.h"

#include "base/clock.h"
#include "base/json_out.h"
#include "base/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024
#define OWN_DESCRIPTORS 32   /* of the limit: the loop's, the listeners', standard ones */
#define CHANGE_DELAY_US 2000 /* the answer to the change itself leaves first */

static void on_outage_over(evutil_socket_t fd, short what, void *arg);
static void on_change(evutil_socket_t fd, short what, void *arg);

/* ---- listeners ---- */

static void on_client(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct server *server = arg;
    for (;;) {
        int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0)
            return; /* none left, or no descriptor: the next event tries again */
        if (server->tally.connections_open >= min_i64(server->settings.max_connections, server->descriptors))
            close(client);
        else
            conn_open(server, client, fd == server->control.fd);
    }
}

static int parse_address(const char *text, struct sockaddr_in *ret_address, struct galloc_error *error)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    int64_t port;
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (colon == NULL || (size_t)(colon - text) >= sizeof host || parse_i64(colon + 1, 0, 65535, &port, NULL) != 0)
        return galloc_fail(error, GALLOC_USAGE, "\"%s\" is not an address such as 127.0.0.1:8800 (port 0: a free one)",
                           text);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &address.sin_addr) != 1)
        return galloc_fail(error, GALLOC_USAGE, "\"%s\" is not an address such as 127.0.0.1:8800", text);
    if (ntohl(address.sin_addr.s_addr) >> 24 != 127)
        return galloc_fail(error, GALLOC_USAGE, "%s is not a loopback address: gallocsim listens on 127.0.0.1 only",
                           host);
    address.sin_port = htons((uint16_t)port);
    *ret_address = address;
    return 0;
}

static int bind_to(const struct sockaddr_in *address)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)address, sizeof *address) == 0)
        return fd;
    int problem = errno;
    close(fd);
    return -problem;
}

/* A free port is found by binding to port 0 and then bound by its number: only so does it stay ours while an outage has
 * it closed. */
static int bind_free(struct sockaddr_in *address)
{
    int fd = -EADDRINUSE;
    for (int tries = 0; tries < 20 && fd == -EADDRINUSE; tries++) {
        struct sockaddr_in found = *address;
        socklen_t len = sizeof found;
        int probe = bind_to(address);
        if (probe < 0)
            return probe;
        getsockname(probe, (struct sockaddr *)&found, &len);
        close(probe);
        fd = bind_to(&found);
        if (fd >= 0)
            *address = found;
    }
    return fd;
}

int server_listen(struct server *server, struct listener *listener, const char *address, struct galloc_error *error)
{
    int rc = parse_address(address, &listener->address, error);
    if (rc != 0)
        return rc;
    listener->fd = listener->address.sin_port == 0 ? bind_free(&listener->address) : bind_to(&listener->address);
    if (listener->fd < 0 || listen(listener->fd, BACKLOG) != 0) {
        int problem = listener->fd < 0 ? -listener->fd : errno;
        return galloc_fail(error, GALLOC_LOCAL_IO, "cannot listen on %s: %s%s", address, strerror(problem),
                           problem == EADDRINUSE ? " (choose another port, or 0 for a free one)" : "");
    }
    listener->event = event_new(server->base, listener->fd, EV_READ | EV_PERSIST, on_client, server);
    if (listener->event == NULL || event_add(listener->event, NULL) != 0)
        return galloc_fail(error, GALLOC_INTERNAL, "the event loop failed");
    listener->is_open = true;
    return 0;
}

uint16_t listener_port(const struct listener *listener)
{
    return ntohs(listener->address.sin_port);
}

static void listener_clear(struct listener *listener)
{
    if (listener->event != NULL)
        event_free(listener->event);
    if (listener->fd >= 0)
        close(listener->fd);
    *listener = (struct listener){.fd = -1};
}

/* A listener that was shut down refuses connections and keeps its port; listening again opens it. */
static void listener_switch(struct listener *listener, bool is_open)
{
    if (listener->is_open == is_open || listener->fd < 0)
        return;
    listener->is_open = is_open;
    if (is_open) {
        if (listen(listener->fd, BACKLOG) != 0)
            fprintf(stderr, "gallocsim: cannot listen again: %s\n", strerror(errno));
        event_add(listener->event, NULL);
    } else {
        event_del(listener->event);
        shutdown(listener->fd, SHUT_RDWR);
    }
}

/* ---- the server ---- */

/* As many descriptors as the system lets us have; connections stay below, so that accepting never runs dry. */
static int64_t raise_descriptors(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return 1024 - OWN_DESCRIPTORS;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_NOFILE, &files);
    int64_t count = files.rlim_cur > INT32_MAX ? INT32_MAX : (int64_t)files.rlim_cur; /* it may be infinite */
    return max_i64(1, count - OWN_DESCRIPTORS);
}

int server_init(struct server *server, const struct settings *settings, struct galloc_error *error)
{
    *server = (struct server){.main.fd = -1, .control.fd = -1, .settings = *settings};
    server->descriptors = raise_descriptors();
    struct event_config *config = event_config_new();
    if (config != NULL) {
        event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NOLOCK);
        server->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    if (server->base == NULL)
        return galloc_fail(error, GALLOC_INTERNAL, "no event loop can be had");
    server->outage_timer = evtimer_new(server->base, on_outage_over, server);
    server->change_timer = evtimer_new(server->base, on_change, server);
    if (server->outage_timer == NULL || server->change_timer == NULL)
        return galloc_fail(error, GALLOC_INTERNAL, "the event loop failed");
    tally_init(&server->tally, settings, clock_mono_us());
    judge_init(&server->judge, &server->settings);
    server->maker.settings = &server->settings;
    server->maker.tally = &server->tally;
    return 0;
}

void server_clear(struct server *server)
{
    conn_close_all(server, true);
    listener_clear(&server->main);
    listener_clear(&server->control);
    judge_clear(&server->judge);
    tally_clear(&server->tally);
    answer_maker_clear(&server->maker);
    prompt_reader_clear(&server->prompt);
    if (server->outage_timer != NULL)
        event_free(server->outage_timer);
    if (server->change_timer != NULL)
        event_free(server->change_timer);
    if (server->base != NULL)
        event_base_free(server->base);
}

/* Opens or closes the listener as the outage says. */
static void on_change(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct server *server = arg;
    bool is_refusing = server->settings.outage == OUTAGE_REFUSE;
    if (is_refusing && server->main.is_open)
        conn_close_all(server, false);
    listener_switch(&server->main, !is_refusing);
}

static void on_outage_over(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;
    server->settings.outage = OUTAGE_OFF;
    on_change(fd, what, arg);
}

int server_change(struct server *server, const struct settings *settings, struct galloc_error *error)
{
    if (settings->outage == OUTAGE_REFUSE && settings->outage_ms <= 0 && server->control.fd < 0)
        return galloc_fail(
            error, GALLOC_INVALID_VALUE,
            "outage: \"refuse\" closes this very address: give outage_ms as well, or start gallocsim with --control");
    bool has_other_outage =
        settings->outage != server->settings.outage || settings->outage_ms != server->settings.outage_ms;
    server->settings = *settings;
    judge_configure(&server->judge);
    if (has_other_outage) {
        struct timeval soon = {.tv_usec = CHANGE_DELAY_US};
        event_add(server->change_timer, &soon);
        event_del(server->outage_timer);
        if (settings->outage != OUTAGE_OFF && settings->outage_ms > 0) {
            struct timeval until = {.tv_sec = (time_t)(settings->outage_ms / 1000),
                                    .tv_usec = (suseconds_t)fmod(settings->outage_ms * 1000, 1e6)};
            event_add(server->outage_timer, &until);
        }
    }
    return 0;
}

void server_reset(struct server *server)
{
    tally_reset(&server->tally, &server->settings, clock_mono_us());
    judge_reset(&server->judge);
}

void server_refuse(struct server *server, int status, const char *why, struct buf *out)
{
    struct buf *body = &server->maker.body;
    struct json_out json = JSON_OUT(body);
    buf_reset(body);
    json_out_begin(&json, '{');
    json_out_name(&json, "error");
    json_out_begin(&json, '{');
    json_out_member_int(&json, "code", status);
    json_out_member_str(&json, "message", why);
    json_out_member_str(&json, "status", status == 404 ? "NOT_FOUND" : "INVALID_ARGUMENT");
    json_out_end(&json, '}');
    json_out_end(&json, '}');
    answer_json(&server->maker, status, body, out);
}

void server_handle(struct server *server, const struct http_head *head, const char *body, int64_t connection,
                   bool is_control, bool is_reused, struct buf *out, struct reply *ret_reply)
{
    struct text_span path = head->path;
    bool is_api = (path.len >= 4 && memcmp(path.at, "/v1/", 4) == 0) ||
                  (path.len >= 8 && memcmp(path.at, "/v1beta/", 8) == 0) ||
                  (path.len >= 9 && memcmp(path.at, "/v1beta1/", 9) == 0);
    *ret_reply = (struct reply){.mode = SEND_WHOLE};
    if (head->has_foreign_host)
        server_refuse(server, 421, "the Host header does not name this machine's loopback", out);
    else if (head->has_origin)
        server_refuse(server, 403, "web pages are not served (the request has an Origin header)", out);
    else if (path.len >= 5 && memcmp(path.at, "/sim/", 5) == 0)
        control_handle(server, head, body, out, ret_reply);
    else if (is_api && !is_control)
        api_handle(server, head, body, connection, is_reused, out, ret_reply);
    else
        server_refuse(server, 404, "gallocsim serves /v1, /v1beta, /v1beta1 and /sim (see gallocsim(1))", out);
}

void server_end_call(struct server *server, const struct reply *reply, bool is_answered, bool is_gone)
{
    const struct kind_row *row = &kind_rows[reply->kind];
    bool is_fault = row->group == GROUP_TRANSPORT && reply->mode != SEND_WHOLE;
    enum kind kind = is_gone && !is_fault && reply->kind != KIND_OUTAGE ? KIND_CLIENT_GONE : reply->kind;
    tally_end(&server->tally, reply->number, reply->route, kind, is_answered ? reply->status : 0, clock_mono_us());
    if (reply->is_in_service)
        judge_leave(&server->judge);
}
