/* The server: listeners, who has how much open, and what is counted for metrics. A connection over its user's cap is answered and closed before a byte of it
 * is read. Loop's thread. */
#include "api/server.h"

#include "api/route.h"
#include "dispatch/engine.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/negative.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN 64
#define ACCEPT_PAUSE_MS 100 /* after the descriptors ran out */

const int64_t duration_bucket_us[DURATION_BUCKETS] = {1000, 5000, 20000, 50000, 100000, 500000, 2000000, 10000000};

static void accept_again(void *arg)
{
    struct api *api = arg;
    for (struct listener *listener = api->listeners; listener != NULL; listener = listener->next)
        event_add(listener->event, NULL);
}

struct api *api_new(const struct api_config *config)
{
    struct api *api = xcalloc(1, sizeof *api);
    api->config = *config;
    api->socket_path = xstrdup(config->socket_path);
    api->state_dir = xstrdup(config->state_dir);
    api->started_at_ms = clock_wall_ms();
    loop_timer_init(&api->accept_again, config->loop, accept_again, api);
    return api;
}

void api_set_stopping(struct api *api)
{
    api->is_stopping = true;
}

struct client *client_of(struct api *api, uint32_t uid)
{
    for (struct client *client = api->clients; client != NULL; client = client->next)
        if (client->uid == uid)
            return client;
    struct client *client = xcalloc(1, sizeof *client);
    client->uid = uid;
    client->next = api->clients;
    api->clients = client;
    return client;
}

static bool is_idle(const struct client *client)
{
    int64_t count = client->connection_count;
    for (int kind = 0; kind < REQUEST_COUNTED; kind++)
        count += client->request_counts[kind];
    return count == 0;
}

void client_drop_if_idle(struct api *api, uint32_t uid)
{
    for (struct client **at = &api->clients; *at != NULL; at = &(*at)->next) {
        struct client *client = *at;
        if (client->uid != uid)
            continue;
        if (is_idle(client)) {
            *at = client->next;
            free(client);
        }
        return;
    }
}

/* Whom the socket belongs to. Anything but a Unix socket has no credentials, whatever getsockopt says. */
static struct store_peer peer_of(int fd)
{
    int domain = 0;
    socklen_t len = sizeof domain;
    struct ucred ucred;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX) {
        len = sizeof ucred;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &len) == 0)
            return (struct store_peer){.uid = ucred.uid, .pid = ucred.pid};
    }
    return (struct store_peer){.uid = UINT32_MAX, .pid = 0};
}

static void refuse_connection(int fd)
{
    struct buf body = BUF_EMPTY, text = BUF_EMPTY;
    problem_write(&body, GALLOC_TOO_MANY, "too many connections from this user; close some, or wait", NULL);
    buf_add_fmt(&text, "HTTP/1.1 429 %s\r\nContent-Type: application/problem+json\r\nContent-Length: %zu\r\nRetry-After: 1\r\nConnection: close\r\n\r\n",
                http_reason(429), body.len);
    buf_add(&text, body.data, body.len);
    ssize_t ignored = send(fd, text.data, text.len, MSG_NOSIGNAL | MSG_DONTWAIT); /* it fits into an empty socket's buffer */
    (void)ignored;
    buf_clear(&body);
    buf_clear(&text);
    close(fd);
}

static void on_accept(evutil_socket_t listening, short what, void *arg)
{
    (void)what;
    struct listener *listener = arg;
    struct api *api = listener->api;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4((int)listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            int64_t suppressed;
            if (log_gate_open(&api->descriptors_gate, 10000, &suppressed))
                log_event(LOG_LEVEL_WARNING, "api_descriptors_exhausted", "connections=%lld suppressed=%lld", (long long)api->connection_count, (long long)suppressed);
            if (BREAKS(DIES_OF_EMFILE))
                loop_stop(api->config.loop);
            event_del(listener->event);
            loop_timer_set_ms(&api->accept_again, ACCEPT_PAUSE_MS);
            return;
        }
        if (fd < 0)
            return;
        struct store_peer peer = peer_of(fd);
        struct client *client = client_of(api, peer.uid);
        if (!BREAKS(NO_CONNECTION_CAP) && client->connection_count >= engine_configuration(api->config.engine)->connections_per_uid) {
            refuse_connection(fd);
            server_count(api, NULL, 429, clock_mono_us());
            continue;
        }
        connection_new(api, fd, &peer, listener->role, client);
    }
}

void api_listen(struct api *api, int fd, enum api_role role)
{
    struct listener *listener = xcalloc(1, sizeof *listener);
    *listener = (struct listener){.next = api->listeners, .api = api, .fd = fd, .role = role};
    listener->event = loop_event_new(api->config.loop, fd, EV_READ | EV_PERSIST, on_accept, listener);
    event_add(listener->event, NULL);
    api->listeners = listener;
}

void api_close(struct api *api)
{
    if (api == NULL)
        return;
    api->is_closing = true;
    loop_timer_stop(&api->accept_again);
    while (api->listeners != NULL) {
        struct listener *listener = api->listeners;
        api->listeners = listener->next;
        event_free(listener->event);
        close(listener->fd);
        free(listener);
    }
    while (api->connections != NULL)
        connection_kill(api->connections);
}

void api_free(struct api *api)
{
    if (api == NULL)
        return;
    api_close(api);
    loop_timer_clear(&api->accept_again);
    while (api->stats != NULL) {
        struct route_stat *stat = api->stats;
        api->stats = stat->next;
        free(stat);
    }
    while (api->clients != NULL) {
        struct client *client = api->clients;
        api->clients = client->next;
        free(client);
    }
    free(api->socket_path);
    free(api->state_dir);
    free(api);
}

void server_count(struct api *api, const struct route *route, int status, int64_t began_mono_us)
{
    struct route_stat *stat = api->stats;
    while (stat != NULL && (stat->route != route || stat->status != status))
        stat = stat->next;
    if (stat == NULL) {
        stat = xcalloc(1, sizeof *stat);
        *stat = (struct route_stat){.next = api->stats, .route = route, .status = status};
        api->stats = stat;
    }
    histogram_add(&stat->took_us, duration_bucket_us, DURATION_BUCKETS, clock_mono_us() - began_mono_us);
}

void api_print_routes(struct buf *out)
{
    static const struct {
        enum api_role role;
        const char *name;
    } roles[] = {{ROLE_OPERATOR, "operator"}, {ROLE_WORKER, "worker"}, {ROLE_VIEWER, "viewer"}};
    size_t count;
    const struct route *routes = route_table(&count);
    for (size_t i = 0; i < count; i++) {
        buf_add_fmt(out, "%-6s %s ", http_method_name(routes[i].method), routes[i].pattern);
        const char *comma = "";
        for (size_t k = 0; k < ARRAY_COUNT(roles); k++)
            if ((routes[i].roles & (int)roles[k].role) != 0) {
                buf_add_fmt(out, "%s%s", comma, roles[k].name);
                comma = ",";
            }
        buf_add_fmt(out, "  %s\n", routes[i].summary);
    }
}
