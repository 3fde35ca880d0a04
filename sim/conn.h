/* One client's connection: reads a request, has it answered, sends the answer in the way that was decided, whole or
 * faulty. */
#ifndef GALLOC_SIM_CONN_H
#define GALLOC_SIM_CONN_H

#include "sim/http.h"
#include "sim/tally.h"

struct server;
struct conn;

/* How a request is answered. The bytes stand in the connection's buffer. */
struct reply {
    enum send_mode mode;
    double delay_s; /* until it leaves */
    bool is_call;   /* counted: server_end_call() is due */
    bool is_in_service;
    enum call_route route;
    enum kind kind;
    int status;
    int64_t number; /* of the call */
};

/* Takes over the descriptor. is_control: only /sim is served. */
void conn_open(struct server *server, int fd, bool is_control);

/* Closes now; with_reset sends RST. What was in progress is counted as cut. */
void conn_close(struct conn *conn, bool with_reset);

/* Every connection of the server but those of the control address; all: those too. */
void conn_close_all(struct server *server, bool all);

#endif
