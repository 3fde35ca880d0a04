/* A connection: bytes in, requests one after the other, bytes out, each phase with its deadline over the whole of it. Loop's thread.
 *
 *   IDLE -> HEAD -> BODY -> WORK -> SEND -> IDLE        an answer of known length
 *                           WORK -> STREAM -> SEND      one of unknown length
 *   HEAD, BODY -> SEND -> LINGER                        refused before its handler saw it
 *
 * What a stream writes goes out in a later turn of the loop, so a handler never meets the end of its client in the middle of its own work. */
#include "api/server.h"

#include "api/route.h"
#include "core/limits.h"
#include "dispatch/engine.h"

#include "base/clock.h"
#include "base/negative.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_MAX_BYTES (64 << 10)  /* read ahead of what is served */
#define READ_BYTES (64 << 10)    /* by one recv */
#define READS_PER_TURN 8
#define REQUESTS_PER_TURN 32     /* pipelined; then others have their turn */
#define ROOM_BYTES (256 << 10)   /* a stream with less unsent is asked for more */
#define MOVE_BYTES (16 << 10)    /* a body over it is handed over instead of copied */
#define IDLE_MS 60000
#define HEAD_MS 5000
#define BODY_MS 30000
#define SEND_MS 30000            /* without progress */
#define LINGER_MS 2000
#define NO_CONTENT 204

static void enter_phase(struct connection *connection, enum phase phase, int64_t deadline_ms)
{
    connection->phase = phase;
    if (deadline_ms > 0 && !BREAKS(NO_DEADLINE))
        loop_timer_set_ms(&connection->deadline, deadline_ms);
    else
        loop_timer_stop(&connection->deadline);
}

static void connection_free(struct connection *connection)
{
    event_free(connection->readable);
    event_free(connection->writable);
    loop_timer_clear(&connection->deadline);
    evbuffer_free(connection->out);
    buf_clear(&connection->in);
    free(connection);
}

void connection_kill(struct connection *connection)
{
    if (connection->is_dead)
        return;
    connection->is_dead = true;
    struct api *api = connection->api;
    event_del(connection->readable);
    event_del(connection->writable);
    loop_timer_stop(&connection->deadline);
    close(connection->fd);
    *connection->at = connection->next;
    if (connection->next != NULL)
        connection->next->at = connection->at;
    connection->client->connection_count--;
    api->connection_count--;
    struct request *request = connection->request;
    connection->request = NULL;
    if (request != NULL && (connection->phase == PHASE_WORK || connection->phase == PHASE_STREAM))
        request_gone(request);
    else
        request_free(request);
    client_drop_if_idle(api, connection->peer.uid);
    if (!connection->is_busy)
        connection_free(connection);
}

size_t connection_unsent(const struct connection *connection)
{
    return evbuffer_get_length(connection->out);
}

/* ---- out ---- */

/* Sends what the socket takes; the rest waits for it. */
static void flush(struct connection *connection)
{
    bool is_moving = false;
    while (evbuffer_get_length(connection->out) > 0) {
        int sent = evbuffer_write(connection->out, connection->fd);
        if (sent > 0) {
            is_moving = true;
            continue;
        }
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            connection_kill(connection);
            return;
        }
        event_add(connection->writable, NULL);
        if (is_moving || !loop_timer_is_set(&connection->deadline))
            loop_timer_set_ms(&connection->deadline, SEND_MS);
        return;
    }
    if (connection->phase == PHASE_STREAM)
        loop_timer_stop(&connection->deadline);
}

static void add_head(struct connection *connection, int status, const char *content_type, const char *more_headers)
{
    char date[HTTP_DATE_BYTES];
    http_date(clock_wall_ms(), date);
    evbuffer_add_printf(connection->out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, http_reason(status), date);
    if (status != NO_CONTENT)
        evbuffer_add_printf(connection->out, "Content-Type: %s\r\nX-Content-Type-Options: nosniff\r\n", content_type);
    evbuffer_add_printf(connection->out, "Cache-Control: no-store\r\n%s%s", connection->closes ? "Connection: close\r\n" : "", more_headers);
}

static void free_moved(const void *data, size_t len, void *arg)
{
    (void)data;
    (void)len;
    free(arg);
}

void connection_answer(struct connection *connection, int status, const char *content_type, const char *more_headers, struct buf *body)
{
    bool was_busy = connection->is_busy;
    connection->is_busy = true;
    connection->request = NULL;
    connection->closes = connection->closes || connection->api->is_closing;
    add_head(connection, status, content_type, more_headers);
    if (status == NO_CONTENT) /* RFC 9110, 8.6: it has no length to tell */
        evbuffer_add(connection->out, "\r\n", 2);
    else
        evbuffer_add_printf(connection->out, "Content-Length: %zu\r\n\r\n", body->len);
    size_t len = body->len;
    if (len > MOVE_BYTES) {
        char *moved = buf_take(body);
        if (evbuffer_add_reference(connection->out, moved, len, free_moved, moved) < 0)
            free(moved);
    } else if (len > 0) {
        evbuffer_add(connection->out, body->data, len);
    }
    enter_phase(connection, PHASE_SEND, SEND_MS);
    flush(connection);
    connection->is_busy = was_busy;
    if (!was_busy && connection->is_dead)
        connection_free(connection);
    else if (!was_busy)
        connection_pump(connection);
}

void connection_begin_stream(struct connection *connection, int status, const char *content_type, const char *more_headers, int64_t length_bytes)
{
    add_head(connection, status, content_type, more_headers);
    connection->is_sized = length_bytes >= 0;
    if (connection->is_sized)
        evbuffer_add_printf(connection->out, "Content-Length: %" PRId64 "\r\n\r\n", length_bytes);
    else
        evbuffer_add_printf(connection->out, "Transfer-Encoding: chunked\r\n\r\n");
    enter_phase(connection, PHASE_STREAM, SEND_MS);
    event_add(connection->writable, NULL);
}

void connection_chunk(struct connection *connection, const char *data, size_t len)
{
    if (!connection->is_sized)
        evbuffer_add_printf(connection->out, "%zx\r\n", len);
    evbuffer_add(connection->out, data, len);
    if (!connection->is_sized)
        evbuffer_add(connection->out, "\r\n", 2);
    if (!loop_timer_is_set(&connection->deadline))
        loop_timer_set_ms(&connection->deadline, SEND_MS);
    event_add(connection->writable, NULL);
}

void connection_end_stream(struct connection *connection, bool is_whole)
{
    connection->request = NULL;
    if (is_whole && !connection->is_sized)
        evbuffer_add_printf(connection->out, "0\r\n\r\n");
    else if (!is_whole)
        connection->closes = true;
    if (!is_whole && evbuffer_get_length(connection->out) > LIMIT_UNSENT_BYTES) {
        connection->phase = PHASE_SEND;
        connection_kill(connection);
        return;
    }
    enter_phase(connection, PHASE_SEND, SEND_MS);
    event_add(connection->writable, NULL);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct connection *connection = arg;
    connection->is_busy = true;
    flush(connection);
    struct request *request = connection->request;
    if (!connection->is_dead && connection->phase == PHASE_STREAM && request->on_room != NULL && connection_unsent(connection) < ROOM_BYTES)
        request->on_room(request);
    connection->is_busy = false;
    if (connection->is_dead)
        connection_free(connection);
    else
        connection_pump(connection);
}

/* ---- in ---- */

/* Answers without a handler. What the client still sends of this request is thrown away, so the connection ends. */
static void refuse(struct connection *connection, const struct galloc_error *error, const char *more_headers)
{
    struct request *request = connection->request;
    int status = galloc_code_row(error->code)->http_status;
    server_count(connection->api, request ? request->route : NULL, status, request ? request->began_mono_us : clock_mono_us());
    if (request == NULL || request->body.len < (size_t)request->head.body_bytes)
        connection->closes = true;
    request_free(request);
    struct buf body = BUF_EMPTY;
    problem_write(&body, error->code, error->message, NULL);
    connection_answer(connection, status, "application/problem+json", more_headers, &body);
    buf_clear(&body);
}

/* May its user have one more of this kind? */
static int check_count(const struct request *request, struct galloc_error *error)
{
    const struct config *config = engine_configuration(request->api->config.engine);
    const struct {
        int64_t most;
        const char *words, *setting;
    } caps[REQUEST_COUNTED] = {[REQUEST_USUAL] = {config->requests_per_uid, "requests of this user are under way", "requests_per_uid"},
                               [REQUEST_ASK] = {config->workers_per_uid, "workers of this user ask for work", "workers_per_uid"},
                               [REQUEST_WORK] = {config->workers_per_uid, "workers of this user tell of their leases", "workers_per_uid"}};
    enum request_kind kind = request->route->kind;
    int64_t count = kind < REQUEST_COUNTED ? request->connection->client->request_counts[kind] : 0;
    if (kind >= REQUEST_COUNTED || count < caps[kind].most)
        return 0;
    return galloc_fail(error, GALLOC_TOO_MANY, "%lld %s, which is the most (%s); wait for an answer", (long long)count, caps[kind].words, caps[kind].setting);
}

/* What is known from the head alone. */
static int check_head(struct request *request, int *ret_allowed, struct galloc_error *error)
{
    int rc = route_find(request, ret_allowed, error);
    if (rc < 0)
        return rc;
    const struct route *route = request->route;
    static const char *const none[] = {NULL};
    rc = http_query_check(&request->head, route->query ? route->query : none, error);
    if (rc < 0)
        return rc;
    if (request->head.body_bytes > LIMIT_BODY_BYTES)
        return galloc_fail(error, GALLOC_TOO_LARGE, "the body has %lld bytes; the most is %d", (long long)request->head.body_bytes, LIMIT_BODY_BYTES);
    if (route->body == BODY_NONE && request->head.body_bytes > 0)
        return galloc_fail(error, GALLOC_BAD_REQUEST, "%s %s takes no body", request->head.method_name, route->pattern);
    if ((route->body == BODY_JSON || route->body == BODY_NDJSON || route->body == BODY_ROWS) && !request->head.has_length)
        return galloc_fail(error, GALLOC_LENGTH_REQUIRED, "%s %s needs a body with its Content-Length", request->head.method_name, route->pattern);
    rc = request->head.body_bytes > 0 ? route_check_type(route, &request->head, error) : 0;
    return rc < 0 ? rc : check_count(request, error);
}

/* A whole head: makes the request, or refuses it. */
static void take_head(struct connection *connection, size_t len)
{
    struct http_head head;
    struct galloc_error error;
    int rc = http_head_read(connection->in.data + connection->in_at, len, &head, &error);
    connection->in_at += len;
    if (rc < 0) {
        http_head_clear(&head);
        refuse(connection, &error, "");
        return;
    }
    struct request *request = connection->request = request_new(connection, &head);
    connection->closes = connection->closes || request->head.wants_close;
    int allowed = 0;
    rc = check_head(request, &allowed, &error);
    if (rc < 0) {
        struct buf headers = BUF_EMPTY;
        for (int method = HTTP_GET; method < HTTP_OTHER; method *= 2)
            if ((allowed & method) != 0)
                buf_add_fmt(&headers, "%s%s", headers.len ? ", " : "Allow: ", http_method_name(method));
        buf_add_str(&headers, headers.len ? "\r\n" : error.code == GALLOC_TOO_MANY ? "Retry-After: 1\r\n" : "");
        refuse(connection, &error, buf_text(&headers));
        buf_clear(&headers);
        return;
    }
    if (request->route->kind < REQUEST_COUNTED) {
        request->is_counted = true;
        connection->client->request_counts[request->route->kind]++;
    }
    if (request->head.wants_continue && connection->in_at == connection->in.len && request->head.body_bytes > 0) {
        evbuffer_add_printf(connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
        flush(connection);
    }
    if (!connection->is_dead)
        enter_phase(connection, PHASE_BODY, BODY_MS);
}

/* Accounts for bytes of a body that came; false: too much is buffered, the request was refused. */
static bool charge(struct connection *connection, int64_t bytes)
{
    struct api *api = connection->api;
    connection->request->charged_bytes += bytes;
    api->bodies_bytes += bytes;
    if (api->bodies_bytes <= LIMIT_BODIES_BYTES)
        return true;
    struct galloc_error error;
    galloc_fail(&error, GALLOC_BUSY, "%d bytes of bodies are being received, which is the most; send it again", LIMIT_BODIES_BYTES);
    refuse(connection, &error, "Retry-After: 1\r\n");
    return false;
}

/* One step; false when nothing more can be done with what is there. */
static bool advance(struct connection *connection)
{
    const char *data = buf_text(&connection->in) + connection->in_at; /* never NULL, so that what is counted on it stands */
    size_t len = connection->in.len - connection->in_at;
    struct request *request = connection->request;
    struct galloc_error error;
    size_t end;
    switch (connection->phase) {
    case PHASE_IDLE:
        end = len > 0 ? http_leading_bytes(data, len) : 0;
        connection->in_at += end;
        if (len == end || (len == 1 && data[0] == '\r'))
            return false;
        enter_phase(connection, PHASE_HEAD, HEAD_MS);
        return true;
    case PHASE_HEAD:
        end = http_head_end(data, len);
        if (end == 0 && http_head_check_partial(data, len, &error) == 0)
            return false;
        if (end == 0)
            refuse(connection, &error, "");
        else
            take_head(connection, end);
        return true;
    case PHASE_BODY:
        end = (size_t)min_i64((int64_t)len, request->head.body_bytes - (int64_t)request->body.len);
        buf_add(&request->body, data, end);
        connection->in_at += end;
        if (end > 0 && !charge(connection, (int64_t)end))
            return true;
        if ((int64_t)request->body.len < request->head.body_bytes)
            return false;
        enter_phase(connection, PHASE_WORK, 0);
        request_run(request);
        return true;
    case PHASE_SEND:
        if (evbuffer_get_length(connection->out) > 0)
            return false;
        if (!connection->closes) {
            enter_phase(connection, PHASE_IDLE, IDLE_MS);
            return true;
        }
        shutdown(connection->fd, SHUT_WR);
        connection->in_at = connection->in.len;
        enter_phase(connection, PHASE_LINGER, LINGER_MS);
        if (connection->is_eof)
            connection_kill(connection);
        return false;
    case PHASE_WORK:
    case PHASE_STREAM:
    case PHASE_LINGER:
        return false;
    }
    return false;
}

void connection_pump(struct connection *connection)
{
    if (connection->is_busy || connection->is_dead)
        return;
    connection->is_busy = true;
    int served = 0;
    bool is_put_off = false;
    while (!connection->is_dead && advance(connection))
        if (connection->phase == PHASE_IDLE && ++served == REQUESTS_PER_TURN && connection->in_at < connection->in.len) {
            event_active(connection->readable, EV_READ, 0);
            is_put_off = true;
            break;
        }
    if (connection->is_eof && (connection->phase == PHASE_IDLE || connection->phase == PHASE_HEAD || connection->phase == PHASE_BODY) && !is_put_off)
        connection_kill(connection);
    connection->is_busy = false;
    if (connection->is_dead) {
        connection_free(connection);
        return;
    }
    size_t rest = connection->in.len - connection->in_at;
    if (connection->in_at > 0) {
        memmove(connection->in.data, connection->in.data + connection->in_at, rest);
        connection->in.len = rest;
        connection->in_at = 0;
    }
    if (rest == 0)
        buf_clear(&connection->in); /* a thousand idle connections hold nothing */
    if (rest < IN_MAX_BYTES && !connection->is_eof)
        event_add(connection->readable, NULL);
    else
        event_del(connection->readable);
}

/* A Unix socket tells; one that only sends no more still wants its answers. */
bool connection_is_gone(const struct connection *connection)
{
    struct pollfd look = {.fd = connection->fd};
    return connection->is_dead || (poll(&look, 1, 0) > 0 && (look.revents & (POLLHUP | POLLERR)) != 0);
}

/* Nothing more comes in. What came before is still served; the pump ends the connection when there is no whole request left. */
static void take_eof(struct connection *connection)
{
    connection->is_eof = true;
    event_del(connection->readable);
    if (connection->phase == PHASE_LINGER || connection_is_gone(connection))
        connection_kill(connection);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct connection *connection = arg;
    connection->is_busy = true;
    for (int i = 0; i < READS_PER_TURN && !connection->is_dead && !connection->is_eof; i++) {
        bool is_body = connection->phase == PHASE_BODY && connection->in.len == 0;
        struct buf *into = is_body ? &connection->request->body : &connection->in;
        size_t most = is_body ? (size_t)min_i64(connection->request->head.body_bytes - (int64_t)into->len, READ_BYTES) : READ_BYTES / 4;
        if (most == 0 || (!is_body && into->len >= IN_MAX_BYTES))
            break;
        ssize_t got = recv(fd, buf_reserve(into, most), most, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (got < 0) {
            connection_kill(connection);
        } else if (got == 0) {
            take_eof(connection);
        } else if (connection->phase != PHASE_LINGER) {
            into->len += (size_t)got;
            into->data[into->len] = '\0';
            if (is_body && !charge(connection, got))
                break;
        }
        if (!is_body && connection->phase != PHASE_LINGER)
            break; /* look at it first: it may be a head whose body follows */
    }
    connection->is_busy = false;
    if (connection->is_dead)
        connection_free(connection);
    else
        connection_pump(connection);
}

static void on_deadline(void *arg)
{
    struct connection *connection = arg;
    if (connection->phase == PHASE_STREAM)
        connection->api->dropped_count++;
    if (connection->phase != PHASE_HEAD && connection->phase != PHASE_BODY) {
        connection_kill(connection);
        return;
    }
    struct galloc_error error;
    galloc_fail(&error, GALLOC_REQUEST_TIMEOUT, "the request's %s did not arrive within %d s", connection->phase == PHASE_HEAD ? "header" : "body",
                (connection->phase == PHASE_HEAD ? HEAD_MS : BODY_MS) / 1000);
    refuse(connection, &error, "");
}

void connection_new(struct api *api, int fd, const struct store_peer *peer, enum api_role role, struct client *client)
{
    struct connection *connection = xcalloc(1, sizeof *connection);
    *connection = (struct connection){.api = api, .client = client, .peer = *peer, .role = role, .fd = fd};
    connection->readable = loop_event_new(api->config.loop, fd, EV_READ | EV_PERSIST, on_readable, connection);
    connection->writable = loop_event_new(api->config.loop, fd, EV_WRITE, on_writable, connection);
    connection->out = xmust(evbuffer_new());
    loop_timer_init(&connection->deadline, api->config.loop, on_deadline, connection);
    connection->next = api->connections;
    connection->at = &api->connections;
    if (connection->next != NULL)
        connection->next->at = &connection->next;
    api->connections = connection;
    client->connection_count++;
    api->connection_count++;
    enter_phase(connection, PHASE_IDLE, IDLE_MS);
    event_add(connection->readable, NULL);
}
