/* See conn.h.
 *
 *   READING --whole request--> WAITING --delay over--> SENDING --last byte--> READING, or DRAINING when the connection
 * ends |                          |                       |                                  |
 *      +--------- client gone, or a fault that cuts ------+-- client closes, or its time is up -+--> CLOSED
 *
 * While it waits or sends it still reads, to notice a client that goes. Called by the event loop alone. */
#include "sim/server.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 16384
#define AHEAD_MAX_BYTES 65536 /* of what a client sends before its answer came; then reading stops */
#define AFTER_HALF_MS 20      /* time for half an answer to arrive before the reset overtakes it */
#define DRAIN_MS 1000 /* for the client to read a last answer and close, so that no RST overtakes it (RFC 9112, 9.6) \
                       */
#define KEEP_BYTES 1048576 /* a larger buffer is given back when its request is done */

enum conn_state { CONN_READING, CONN_WAITING, CONN_SENDING, CONN_DRAINING, CONN_CLOSED };

struct conn {
    struct server *server;
    struct conn *next, **link; /* the server's list */
    int fd;
    bool is_control, is_reading, keeps_alive, has_continued;
    bool is_held; /* an event of it is being worked on: closing leaves the memory to the end of that */
    enum conn_state state;
    struct event *read_event, *write_event, *timer; /* owned */
    struct buf in, out;
    size_t sent, send_to; /* of `out`: what has left, and up to where it may leave now */
    size_t taken;         /* bytes of `in` that the present request takes */
    int64_t huge_left;
    int64_t number, requests;
    struct reply reply;
};

static void process(struct conn *conn);

static void end_call(struct conn *conn, bool is_answered, bool is_gone)
{
    if (!conn->reply.is_call)
        return;
    conn->reply.is_call = false;
    server_end_call(conn->server, &conn->reply, is_answered, is_gone);
}

void conn_close(struct conn *conn, bool with_reset)
{
    if (conn->state == CONN_CLOSED)
        return;
    conn->state = CONN_CLOSED;
    if (with_reset) {
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    end_call(conn, false, false);
    conn->server->tally.connections_open--;
    event_free(conn->read_event);
    event_free(conn->write_event);
    event_free(conn->timer);
    close(conn->fd);
    *conn->link = conn->next;
    if (conn->next != NULL)
        conn->next->link = conn->link;
    buf_clear(&conn->in);
    buf_clear(&conn->out);
    if (!conn->is_held)
        free(conn);
}

static void let_go(struct conn *conn)
{
    conn->is_held = false;
    if (conn->state == CONN_CLOSED)
        free(conn);
}

void conn_close_all(struct server *server, bool all)
{
    for (struct conn *conn = server->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        if (all || !conn->is_control)
            conn_close(conn, true);
    }
}

static void gone(struct conn *conn)
{
    end_call(conn, false, true);
    conn_close(conn, false);
}

static void start_timer(struct conn *conn, double delay_s)
{
    struct timeval delay = {.tv_sec = (time_t)delay_s,
                            .tv_usec = (suseconds_t)((delay_s - (double)(time_t)delay_s) * 1e6)};
    event_base_update_cache_time(conn->server->base); /* the turn's time may be long past: it would fire too early by that */
    event_add(conn->timer, &delay);
}

/* ---- sending ---- */

static void resume_reading(struct conn *conn)
{
    if (!conn->is_reading)
        event_add(conn->read_event, NULL);
    conn->is_reading = true;
}

static void give_back(struct buf *buf)
{
    if (buf->len == 0 && buf->cap > KEEP_BYTES)
        buf_clear(buf);
}

/* Nothing more will be answered. */
static void drain(struct conn *conn)
{
    shutdown(conn->fd, SHUT_WR);
    conn->state = CONN_DRAINING;
    resume_reading(conn);
    start_timer(conn, DRAIN_MS / 1000.0);
}

/* The answer has left, as far as it shall. */
static void sent_all(struct conn *conn)
{
    const struct settings *settings = &conn->server->settings;
    switch (conn->reply.mode) {
    case SEND_WHOLE:
    case SEND_HUGE:
        break;
    case SEND_SHORT:
    case SEND_HALF_RESET:
        start_timer(conn, AFTER_HALF_MS / 1000.0);
        return;
    case SEND_DRIP:
        if (conn->sent < conn->out.len) {
            start_timer(conn, settings->drip_ms / 1000);
            return;
        }
        break;
    case SEND_ENDLESS:
        start_timer(conn, settings->drip_ms / 1000);
        return;
    case SEND_RESET:
    case SEND_NOTHING:
    case SEND_NEVER:
        return;
    }
    end_call(conn, true, false);
    if (!conn->keeps_alive) {
        drain(conn);
        return;
    }
    conn->in.len -= conn->taken;
    if (conn->in.len > 0)
        memmove(conn->in.data, conn->in.data + conn->taken, conn->in.len);
    conn->taken = 0;
    give_back(&conn->in);
    buf_reset(&conn->out);
    give_back(&conn->out);
    conn->state = CONN_READING;
    resume_reading(conn);
}

/* More of a huge body, when all before it has left. */
static void refill_huge(struct conn *conn)
{
    static const char spaces[] =
        "                                                                "; /* white space is fine JSON */
    buf_reset(&conn->out);
    conn->sent = 0;
    while (conn->huge_left > 0 && conn->out.len < 65536) {
        size_t len = (size_t)min_i64(conn->huge_left, sizeof spaces - 1);
        buf_add(&conn->out, spaces, len);
        conn->huge_left -= (int64_t)len;
    }
    conn->send_to = conn->out.len;
}

/* Sends what may leave, and goes on when all of it has left. */
static void flush(struct conn *conn)
{
    for (;;) {
        while (conn->sent < conn->send_to) {
            ssize_t put = send(conn->fd, conn->out.data + conn->sent, conn->send_to - conn->sent, MSG_NOSIGNAL);
            if (put < 0 && errno == EINTR)
                continue;
            if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
                event_add(conn->write_event, NULL);
                return;
            }
            if (put < 0) {
                gone(conn);
                return;
            }
            conn->sent += (size_t)put;
        }
        if (conn->huge_left == 0)
            break;
        refill_huge(conn);
    }
    sent_all(conn);
}

static size_t half_of_answer(const struct conn *conn)
{
    const char *end = memmem(conn->out.data, conn->out.len, "\r\n\r\n", 4);
    size_t head = end ? (size_t)(end + 4 - conn->out.data) : 0;
    return head + (conn->out.len - head) / 2;
}

static void add_chunk(struct conn *conn, const char *text)
{
    buf_add_fmt(&conn->out, "%zx\r\n%s\r\n", strlen(text), text);
}

static void begin_endless(struct conn *conn)
{
    buf_reset(&conn->out);
    buf_add_str(
        &conn->out,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nTransfer-Encoding: chunked\r\n\r\n");
    add_chunk(conn, "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"And so on");
}

static void begin_huge(struct conn *conn)
{
    conn->huge_left = conn->server->settings.huge_bytes;
    buf_reset(&conn->out);
    answer_head(&conn->server->maker, 200, "application/json; charset=UTF-8", "", (size_t)conn->huge_left, &conn->out);
}

/* The delay is over. */
static void begin_answer(struct conn *conn)
{
    const struct settings *settings = &conn->server->settings;
    conn->state = CONN_SENDING;
    conn->sent = 0;
    switch (conn->reply.mode) {
    case SEND_RESET:
    case SEND_NOTHING:
        conn_close(conn, conn->reply.mode == SEND_RESET);
        return;
    case SEND_NEVER:
        if (settings->hang_ms > 0)
            start_timer(conn, settings->hang_ms / 1000);
        return;
    case SEND_HALF_RESET:
    case SEND_SHORT:
        conn->send_to = half_of_answer(conn);
        break;
    case SEND_ENDLESS:
        begin_endless(conn);
        conn->send_to = conn->out.len;
        break;
    case SEND_HUGE:
        begin_huge(conn);
        conn->send_to = conn->out.len;
        break;
    case SEND_DRIP:
        conn->send_to = min_i64((int64_t)conn->out.len, settings->drip_bytes);
        break;
    case SEND_WHOLE:
        conn->send_to = conn->out.len;
        break;
    }
    flush(conn);
}

/* The time is over for a drop, the next bytes without end, half an answer, or a hang. */
static void go_on(struct conn *conn)
{
    switch (conn->reply.mode) {
    case SEND_DRIP:
        conn->send_to =
            (size_t)min_i64((int64_t)conn->out.len, (int64_t)conn->sent + conn->server->settings.drip_bytes);
        flush(conn);
        break;
    case SEND_ENDLESS:
        buf_reset(&conn->out);
        add_chunk(conn, " and so on");
        conn->sent = 0;
        conn->send_to = conn->out.len;
        flush(conn);
        break;
    case SEND_WHOLE:
    case SEND_HUGE:
    case SEND_RESET:
    case SEND_HALF_RESET:
    case SEND_NOTHING:
    case SEND_NEVER:
    case SEND_SHORT:
        conn_close(conn, conn->reply.mode != SEND_SHORT);
        break;
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct conn *conn = arg;
    conn->is_held = true;
    if (conn->state == CONN_WAITING)
        begin_answer(conn);
    else if (conn->state == CONN_SENDING)
        go_on(conn);
    else
        conn_close(conn, false);
    process(conn);
    let_go(conn);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct conn *conn = arg;
    conn->is_held = true;
    flush(conn);
    process(conn);
    let_go(conn);
}

/* ---- reading ---- */

static void refuse(struct conn *conn, int status, const char *why)
{
    conn->server->tally.bad_http++;
    conn->keeps_alive = false;
    conn->reply = (struct reply){.mode = SEND_WHOLE, .status = status};
    conn->taken = conn->in.len;
    server_refuse(conn->server, status, why, &conn->out);
    begin_answer(conn);
}

static void answer(struct conn *conn, const struct http_head *head)
{
    conn->keeps_alive = head->keeps_alive;
    conn->taken = head->head_bytes + head->body_bytes;
    conn->has_continued = false;
    conn->requests++;
    server_handle(conn->server, head, conn->in.data + head->head_bytes, conn->number, conn->is_control,
                  conn->requests > 1, &conn->out, &conn->reply);
    if (conn->reply.delay_s <= 0) {
        begin_answer(conn);
        return;
    }
    conn->state = CONN_WAITING;
    start_timer(conn, conn->reply.delay_s);
}

/* Takes one request from what was read. False: nothing more can be done now. */
static bool process_one(struct conn *conn)
{
    struct http_head head;
    int status = 0;
    const char *why = NULL;
    switch (http_read_head(buf_text(&conn->in), conn->in.len, &head, &status, &why)) {
    case HTTP_MORE:
        return false;
    case HTTP_BAD:
        refuse(conn, status, why);
        return false;
    case HTTP_WELL:
        break;
    }
    if (head.body_bytes > (size_t)conn->server->settings.max_body_bytes) {
        refuse(conn, 413, "the body is larger than max_body_bytes");
        return false;
    }
    if (conn->in.len - head.head_bytes < head.body_bytes) {
        buf_reserve(&conn->in, head.head_bytes + head.body_bytes - conn->in.len);
        if (head.expects_continue && !conn->has_continued) {
            static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
            conn->has_continued = true;
            (void)!send(conn->fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL);
        }
        return false;
    }
    answer(conn, &head);
    return true;
}

/* All requests that were read, one after the other, as far as each is answered at once. */
static void process(struct conn *conn)
{
    while (conn->state == CONN_READING && conn->in.len > 0 && process_one(conn))
        continue;
}

static void read_more(struct conn *conn)
{
    buf_reserve(&conn->in, READ_BYTES);
    ssize_t got = recv(conn->fd, conn->in.data + conn->in.len, conn->in.cap - conn->in.len - 1, 0);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (got <= 0) {
        gone(conn);
        return;
    }
    if (conn->state == CONN_DRAINING)
        return; /* nobody looks at it */
    conn->in.len += (size_t)got;
    conn->in.data[conn->in.len] = '\0';
    if (conn->state == CONN_READING) {
        process(conn);
    } else if (conn->in.len - conn->taken > AHEAD_MAX_BYTES) {
        event_del(conn->read_event);
        conn->is_reading = false;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct conn *conn = arg;
    conn->is_held = true;
    read_more(conn);
    let_go(conn);
}

void conn_open(struct server *server, int fd, bool is_control)
{
    struct conn *conn = xcalloc(1, sizeof *conn);
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    conn->server = server;
    conn->fd = fd;
    conn->is_control = is_control;
    conn->number = ++server->conn_numbers;
    conn->read_event = event_new(server->base, fd, EV_READ | EV_PERSIST, on_readable, conn);
    conn->write_event = event_new(server->base, fd, EV_WRITE, on_writable, conn);
    conn->timer = evtimer_new(server->base, on_timer, conn);
    if (conn->read_event == NULL || conn->write_event == NULL || conn->timer == NULL)
        abort(); /* out of memory, as xcalloc */
    conn->next = server->conns;
    conn->link = &server->conns;
    if (conn->next != NULL)
        conn->next->link = &conn->next;
    server->conns = conn;
    server->tally.connections_open++;
    server->tally.connections_opened++;
    conn->is_reading = true;
    event_add(conn->read_event, NULL);
}
