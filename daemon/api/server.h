/* What the files of the room share: the server with its accounts, and a connection. Loop's thread. */
#ifndef GALLOC_API_SERVER_H
#define GALLOC_API_SERVER_H

#include "api/request.h"

#include "base/histogram.h"
#include "base/log.h"
#include "loop/loop.h"

struct evbuffer;
struct event;

/* What one user has open; kept while that is anything. */
struct client {
    struct client *next;
    uint32_t uid;
    int64_t connection_count, request_counts[REQUEST_COUNTED]; /* streams are not counted */
};

struct listener {
    struct listener *next;
    struct api *api;
    int fd;
    enum api_role role;
    struct event *event;
};

/* Durations of one route's answers with one status, for metrics. */
#define DURATION_BUCKETS 8
extern const int64_t duration_bucket_us[DURATION_BUCKETS];
struct route_stat {
    struct route_stat *next;
    const struct route *route; /* NULL: refused before routing */
    int status;
    struct histogram took_us; /* by duration_bucket_us */
};

struct api {
    struct api_config config;
    char *socket_path, *state_dir; /* owned */
    struct listener *listeners;
    struct connection *connections;
    struct client *clients;
    struct route_stat *stats;
    struct loop_timer accept_again; /* after the descriptors ran out */
    struct log_gate descriptors_gate;
    int64_t bodies_bytes;           /* of all requests */
    int64_t connection_count, stream_count, dropped_count;
    int64_t started_at_ms;
    struct request *backup;         /* borrowed: the one that a backup is made for, or sent to; NULL: none */
    bool is_stopping, is_closing;
};

enum phase {
    PHASE_IDLE,   /* waits for a request's first byte */
    PHASE_HEAD,   /* its header is on the way */
    PHASE_BODY,   /* its body is */
    PHASE_WORK,   /* a handler has it */
    PHASE_STREAM, /* its answer is being made */
    PHASE_SEND,   /* the answer is made and not all sent */
    PHASE_LINGER  /* answered and to be closed: what still comes in is thrown away, so that the answer is not lost with it */
};

struct connection {
    struct connection *next, **at;
    struct api *api;
    struct client *client;
    struct store_peer peer;
    enum api_role role;
    int fd;
    struct event *readable, *writable; /* owned */
    struct buf in;
    size_t in_at;           /* bytes of `in` that are used up */
    struct evbuffer *out;   /* owned */
    struct request *request; /* owned until its handler ends it */
    struct loop_timer deadline;
    enum phase phase;
    bool is_busy;           /* its pump runs: the memory has to stay */
    bool is_sized;          /* its stream is of a length that was told: no chunks */
    bool is_dead, is_eof, closes;
};

/* server.c */
struct client *client_of(struct api *api, uint32_t uid); /* finds or makes */
void client_drop_if_idle(struct api *api, uint32_t uid); /* what was his is forgotten once he has nothing open */
void server_count(struct api *api, const struct route *route, int status, int64_t began_mono_us);

/* connection.c */
void connection_new(struct api *api, int fd, const struct store_peer *peer, enum api_role role, struct client *client);
void connection_kill(struct connection *connection); /* at once; its request is told */
void connection_pump(struct connection *connection);
bool connection_is_gone(const struct connection *connection); /* has the other end closed both ways? */
/* The answer's head and body, then the next request. */
void connection_answer(struct connection *connection, int status, const char *content_type, const char *more_headers, struct buf *body);
void connection_begin_stream(struct connection *connection, int status, const char *content_type, const char *more_headers, int64_t length_bytes); /* -1: not known */
void connection_chunk(struct connection *connection, const char *data, size_t len);
void connection_end_stream(struct connection *connection, bool is_whole);
size_t connection_unsent(const struct connection *connection);

/* request.c */
struct request *request_new(struct connection *connection, struct http_head *head); /* takes the head over */
void request_free(struct request *request);
void request_run(struct request *request); /* the whole body is there: to the handler */
void request_gone(struct request *request); /* the client went away */

#endif
