/* A server for tests that does exactly what its script says, right or wrong, on a thread a connection; it counts what it received. */
#ifndef GALLOC_TESTS_BAD_SERVER_H
#define GALLOC_TESTS_BAD_SERVER_H

#include "base/buf.h"

#include <stdatomic.h>

struct bad_server;

/* One connection, on its own thread. The script returns when it is done with it; the connection is closed then. */
struct bad_conn {
    struct bad_server *server;
    int fd;                 /* -1: closed by the script */
    struct buf request;     /* the last one read: head and body */
    size_t head_len;        /* with the empty line */
};
typedef void (*bad_script)(struct bad_conn *conn);

struct bad_server *bad_server_start(bad_script script); /* on a free port of 127.0.0.1 */
void bad_server_stop(struct bad_server *server);        /* ends all connections and threads */
int bad_server_port(const struct bad_server *server);
int bad_server_requests(const struct bad_server *server);    /* read whole */
int bad_server_connections(const struct bad_server *server);
char *bad_server_take_request(struct bad_server *server); /* the last one, owned; NULL when there is none */

/* Of a script. */
bool bad_read(struct bad_conn *conn);                      /* one request, whole; false when the peer has gone */
void bad_send(struct bad_conn *conn, const void *data, size_t len); /* all of it, or as much as the peer takes */
void bad_say(struct bad_conn *conn, const char *text);
void bad_answer(struct bad_conn *conn, const char *headers, const char *body); /* 200 with Content-Length; headers end in \r\n each */
bool bad_wait_gone(struct bad_conn *conn, int at_most_ms); /* until the peer closes; true when it did */
void bad_reset(struct bad_conn *conn);                     /* closes with RST */

/* A port of 127.0.0.1 where nobody listens. */
int bad_closed_port(void);

#endif
