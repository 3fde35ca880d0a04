/* See bad_server.h. */
#include "bad_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 256 };

struct bad_server {
    bad_script script;
    int listener, port;
    pthread_t acceptor, threads[CONNECTIONS_MAX];
    atomic_int connections, requests;
    atomic_bool is_stopping;
    pthread_mutex_t lock; /* over fds, last_request */
    int fds[CONNECTIONS_MAX];
    char *last_request;
};

struct start {
    struct bad_server *server;
    int slot;
};

static int listen_somewhere(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 256) != 0 || getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        abort();
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void *serve(void *arg)
{
    struct start start = *(struct start *)arg;
    struct bad_server *server = start.server;
    struct bad_conn conn = {.server = server, .fd = server->fds[start.slot]};

    free(arg);
    server->script(&conn);
    pthread_mutex_lock(&server->lock);
    if (conn.fd >= 0)
        close(conn.fd);
    server->fds[start.slot] = -1;
    pthread_mutex_unlock(&server->lock);
    buf_clear(&conn.request);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct bad_server *server = arg;

    for (int slot = 0; slot < CONNECTIONS_MAX; slot++) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 || atomic_load(&server->is_stopping)) {
            if (fd >= 0)
                close(fd);
            break;
        }
        struct start *start = xmalloc(sizeof *start);
        *start = (struct start){server, slot};
        pthread_mutex_lock(&server->lock);
        server->fds[slot] = fd;
        pthread_mutex_unlock(&server->lock);
        atomic_fetch_add(&server->connections, 1);
        if (pthread_create(&server->threads[slot], NULL, serve, start) != 0)
            abort();
    }
    return NULL;
}

struct bad_server *bad_server_start(bad_script script)
{
    struct bad_server *server = xcalloc(1, sizeof *server);
    server->script = script;
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        server->fds[i] = -1;
    pthread_mutex_init(&server->lock, NULL);
    server->listener = listen_somewhere(&server->port);
    if (pthread_create(&server->acceptor, NULL, accept_all, server) != 0)
        abort();
    return server;
}

void bad_server_stop(struct bad_server *server)
{
    if (server == NULL)
        return;
    atomic_store(&server->is_stopping, true);
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->acceptor, NULL);
    close(server->listener);
    pthread_mutex_lock(&server->lock);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        if (server->fds[i] >= 0)
            shutdown(server->fds[i], SHUT_RDWR);
    pthread_mutex_unlock(&server->lock);
    for (int i = 0; i < atomic_load(&server->connections); i++)
        pthread_join(server->threads[i], NULL);
    pthread_mutex_destroy(&server->lock);
    free(server->last_request);
    free(server);
}

int bad_server_port(const struct bad_server *server)
{
    return server->port;
}

int bad_server_requests(const struct bad_server *server)
{
    return atomic_load(&server->requests);
}

int bad_server_connections(const struct bad_server *server)
{
    return atomic_load(&server->connections);
}

char *bad_server_take_request(struct bad_server *server)
{
    pthread_mutex_lock(&server->lock);
    char *request = server->last_request;
    server->last_request = NULL;
    pthread_mutex_unlock(&server->lock);
    return request;
}

/* The length that the head names, 0 when none. */
static size_t body_length(const char *head)
{
    const char *at = strcasestr(head, "\r\ncontent-length:");
    return at != NULL ? strtoul(at + strlen("\r\ncontent-length:"), NULL, 10) : 0;
}

bool bad_read(struct bad_conn *conn)
{
    char part[16384];
    size_t wanted = 0;

    buf_reset(&conn->request);
    conn->head_len = 0;
    while (wanted == 0 || conn->request.len < wanted) {
        ssize_t len = recv(conn->fd, part, sizeof part, 0);
        if (len <= 0)
            return false;
        buf_add(&conn->request, part, (size_t)len);
        const char *end = wanted == 0 ? strstr(buf_text(&conn->request), "\r\n\r\n") : NULL;
        if (end != NULL) {
            conn->head_len = (size_t)(end - conn->request.data) + 4;
            wanted = conn->head_len + body_length(conn->request.data);
        }
    }
    pthread_mutex_lock(&conn->server->lock);
    free(conn->server->last_request);
    conn->server->last_request = xstrdup(buf_text(&conn->request));
    pthread_mutex_unlock(&conn->server->lock);
    atomic_fetch_add(&conn->server->requests, 1);
    return true;
}

void bad_send(struct bad_conn *conn, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0 && conn->fd >= 0) {
        ssize_t sent = send(conn->fd, at, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return;
        at += sent;
        len -= (size_t)sent;
    }
}

void bad_say(struct bad_conn *conn, const char *text)
{
    bad_send(conn, text, strlen(text));
}

void bad_answer(struct bad_conn *conn, const char *headers, const char *body)
{
    struct buf out = BUF_EMPTY;
    buf_add_fmt(&out, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%s\r\n%s", strlen(body), headers, body);
    bad_send(conn, out.data, out.len);
    buf_clear(&out);
}

bool bad_wait_gone(struct bad_conn *conn, int at_most_ms)
{
    struct pollfd watched = {.fd = conn->fd, .events = POLLRDHUP};
    return poll(&watched, 1, at_most_ms) != 0;
}

void bad_reset(struct bad_conn *conn)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    pthread_mutex_lock(&conn->server->lock); /* so that bad_server_stop() does not shut another's down */
    close(conn->fd);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        if (conn->server->fds[i] == conn->fd)
            conn->server->fds[i] = -1;
    conn->fd = -1;
    pthread_mutex_unlock(&conn->server->lock);
}

int bad_closed_port(void)
{
    int port, fd = listen_somewhere(&port);
    close(fd);
    return port;
}
