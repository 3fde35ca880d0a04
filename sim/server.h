/* The server: its listeners, its state, and what requests are answered with. One thread, one event loop; nothing here
 * is locked. */
#ifndef GALLOC_SIM_SERVER_H
#define GALLOC_SIM_SERVER_H

#include "sim/answer.h"
#include "sim/conn.h"

#include <event2/event.h>
#include <netinet/in.h>

struct listener {
    int fd;              /* -1: none */
    struct event *event; /* owned */
    struct sockaddr_in address;
    bool is_control, is_open;
};

struct server {
    struct event_base *base; /* owned */
    struct settings settings;
    struct judge judge;
    struct tally tally;
    struct answer_maker maker;
    struct prompt_reader prompt;
    struct sim_request request;
    struct listener main, control;
    struct conn *conns;                        /* a list; owned */
    int64_t conn_numbers, descriptors;         /* connections so far; descriptors that may be open */
    struct event *outage_timer, *change_timer; /* owned */
};

/* Settings are checked and taken over. 0, or an error. The caller ends it with server_clear(). */
int server_init(struct server *server, const struct settings *settings, struct galloc_error *error) MUST_CHECK;
void server_clear(struct server *server);

/* Listens on "127.0.0.1:PORT" (0: a free one); another address than loopback is refused. */
int server_listen(struct server *server, struct listener *listener, const char *address,
                  struct galloc_error *error) MUST_CHECK;
uint16_t listener_port(const struct listener *listener);

/* Puts changed settings in force: checks what depends on the listeners, then quotas, outage. Nothing is changed on an
 * error. */
int server_change(struct server *server, const struct settings *settings, struct galloc_error *error) MUST_CHECK;
void server_reset(struct server *server); /* counters, keys, record, quotas */

/* Answers one request into `out`. */
void server_handle(struct server *server, const struct http_head *head, const char *body, int64_t connection,
                   bool is_control, bool is_reused, struct buf *out, struct reply *ret_reply);
void api_handle(struct server *server, const struct http_head *head, const char *body, int64_t connection,
                bool is_reused, struct buf *out, struct reply *ret_reply);
void control_handle(struct server *server, const struct http_head *head, const char *body, struct buf *out,
                    struct reply *ret_reply);

/* An error of HTTP or of /sim, as the API words errors. */
void server_refuse(struct server *server, int status, const char *why, struct buf *out);

/* A counted call has ended. is_answered: its last byte has left. is_gone: the client went first. */
void server_end_call(struct server *server, const struct reply *reply, bool is_answered, bool is_gone);

#endif
