/* The HTTP API as main sees it: sockets go in, requests are answered on the loop's thread until api_close(). */
#ifndef GALLOC_API_API_H
#define GALLOC_API_API_H

#include "base/buf.h"
#include "base/code.h"

struct api;
struct engine;
struct ingest;
struct loop;

/* Who comes in through a listener; a route names those it is for. Bits. */
enum api_role {
    ROLE_OPERATOR = 1, /* may spend money: the socket's group */
    ROLE_WORKER = 2,   /* leases and their results alone */
    ROLE_VIEWER = 4    /* may look */
};
#define ROLE_ALL (ROLE_OPERATOR | ROLE_WORKER | ROLE_VIEWER)

struct api_config {
    struct loop *loop;     /* borrowed, as all here */
    struct engine *engine;
    struct ingest *ingest;
    const char *socket_path, *state_dir; /* for status */
    /* Reads the configuration anew, as SIGHUP does; names of what changed and of what waits for a restart are added as JSON strings with commas. */
    int (*reload)(struct buf *changed, struct buf *needs_restart, struct galloc_error *error, void *arg);
    void *arg;
};

/* Never NULL. Listens once the engine has started. Caps per user are read from the engine's configuration, as it is at each moment. */
struct api *api_new(const struct api_config *config);
void api_set_stopping(struct api *api); /* /readyz says so, and undrain is refused */
/* Takes a listening, non-blocking socket over. A Unix socket's clients are told by SO_PEERCRED. */
void api_listen(struct api *api, int fd, enum api_role role);
/* Closes listeners and connections. Operations that are still in the store end later, unseen; api_free() comes after store_close(). */
void api_close(struct api *api);
void api_free(struct api *api); /* NULL is fine */

/* The table of routes, "METHOD PATH ROLES  SUMMARY" a line. */
void api_print_routes(struct buf *out);

#endif
