/* Which socket the daemon listens on, and why it cannot be reached, in words that name the next step. Pure but for stat and connect. */
#ifndef GALLOC_CLI_SOCKET_H
#define GALLOC_CLI_SOCKET_H

#include "base/code.h"

/* `given`, else GALLOC_SOCKET, else the user's socket where it exists, else the system's. The caller frees. */
char *socket_find(const char *given);

/* Where an outside worker that was given no socket goes before that: GALLOC_WORKER_SOCKET; else, unless GALLOC_SOCKET or a socket of the user's own is there, the
 * service's socket for workers where it may be used. NULL: nowhere else than socket_find() says. The caller frees. */
char *socket_find_worker(void);

/* Tries to connect and says what stands in the way: -GALLOC_UNREACHABLE or -GALLOC_NOT_PERMITTED. */
int socket_explain(const char *path, struct galloc_error *error);

#endif
