/* libcurl's sockets and timer on the loop.
 *
 * A connection that waits for its next call stays armed for reading: taking it out and putting it back would be two system calls a call. That
 * is safe for connections alone, since their closing is told to us; libcurl's other descriptors (its resolver's) go out at once. */
#include "net/net_internal.h"

#include <sys/socket.h>
#include <unistd.h>

static struct net_socket *socket_at(struct net *net, curl_socket_t fd)
{
    if ((size_t)fd >= net->socket_count) {
        size_t count = net->socket_count == 0 ? 64 : net->socket_count;
        while (count <= (size_t)fd)
            count *= 2;
        net->sockets = xreallocarray(net->sockets, count, sizeof *net->sockets);
        memset(net->sockets + net->socket_count, 0, (count - net->socket_count) * sizeof *net->sockets);
        net->socket_count = count;
    }
    return &net->sockets[fd];
}

static void on_event(evutil_socket_t fd, short what, void *arg);

static void arm(struct net *net, curl_socket_t fd, struct net_socket *socket, short mask)
{
    if (socket->armed == mask)
        return;
    if (socket->armed != 0)
        event_del(socket->event);
    socket->armed = 0;
    if (mask == 0)
        return;
    if (socket->event == NULL)
        socket->event = loop_event_new(net->loop, fd, (short)(mask | EV_PERSIST), on_event, net);
    else
        event_assign(socket->event, loop_base(net->loop), fd, (short)(mask | EV_PERSIST), on_event, net);
    if (event_add(socket->event, NULL) == 0)
        socket->armed = mask;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct net *net = arg;
    struct net_socket *socket = socket_at(net, fd);
    int running, mask = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);

    if (socket->wanted == 0) {
        arm(net, fd, socket, 0); /* an idle connection that the server closed: libcurl sees it when it would use it */
        return;
    }
    curl_multi_socket_action(net->multi, fd, mask, &running);
    net_take_finished(net);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy, (void)socket_arg;
    static const short masks[] = {[CURL_POLL_NONE] = 0,
                                  [CURL_POLL_IN] = EV_READ,
                                  [CURL_POLL_OUT] = EV_WRITE,
                                  [CURL_POLL_INOUT] = EV_READ | EV_WRITE,
                                  [CURL_POLL_REMOVE] = 0};
    struct net *net = arg;
    struct net_socket *socket = socket_at(net, fd);

    socket->wanted = what >= 0 && (size_t)what < ARRAY_COUNT(masks) ? masks[what] : 0;
    if (socket->wanted != 0 || !socket->is_connection || socket->armed != EV_READ)
        arm(net, fd, socket, socket->wanted);
    return 0;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct net *net = arg;
    if (timeout_ms < 0)
        loop_timer_stop(&net->curl_timer);
    else
        loop_timer_set_ms(&net->curl_timer, timeout_ms);
    return 0;
}

static void on_timer(void *arg)
{
    struct net *net = arg;
    int running;
    curl_multi_socket_action(net->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    net_take_finished(net);
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    struct net *net = arg;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    socket_at(net, fd)->is_connection = true;
    return fd;
}

static int on_close(void *arg, curl_socket_t fd)
{
    struct net *net = arg;
    struct net_socket *socket = socket_at(net, fd);
    arm(net, fd, socket, 0);
    socket->wanted = 0;
    socket->is_connection = false;
    return close(fd);
}

bool net_socket_setup(struct net *net)
{
    loop_timer_init(&net->curl_timer, net->loop, on_timer, net);
    return curl_multi_setopt(net->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           curl_multi_setopt(net->multi, CURLMOPT_SOCKETDATA, net) == CURLM_OK &&
           curl_multi_setopt(net->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer) == CURLM_OK &&
           curl_multi_setopt(net->multi, CURLMOPT_TIMERDATA, net) == CURLM_OK;
}

void net_socket_clear(struct net *net)
{
    for (size_t fd = 0; fd < net->socket_count; fd++)
        if (net->sockets[fd].event != NULL)
            event_free(net->sockets[fd].event);
    free(net->sockets);
    net->sockets = NULL;
    net->socket_count = 0;
    loop_timer_clear(&net->curl_timer);
}

void net_socket_options(struct net *net, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, net);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, net);
}
