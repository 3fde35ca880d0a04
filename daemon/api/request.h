/* A request in the hands of its handler. A handler ends it exactly once: request_reply(), request_fail(), or stream_begin() and later stream_end() or
 * stream_cut(); the request is freed then. Until then it may wait for a store operation (with the request as op->arg); a client that goes away meanwhile
 * changes nothing: `connection` is NULL then and what is replied goes nowhere. Loop's thread. */
#ifndef GALLOC_API_REQUEST_H
#define GALLOC_API_REQUEST_H

#include "api/api.h"
#include "api/http.h"

#include "base/json.h"
#include "base/json_out.h"
#include "store/store.h"

#define ROUTE_PARAMS_MAX 2

struct connection;
struct route;

/* What a request is counted as among those of its user: each kind has a cap of its own, so that workers who wait keep nobody from anything else. */
enum request_kind { REQUEST_USUAL, REQUEST_ASK /* may wait long for its answer */, REQUEST_WORK, REQUEST_COUNTED, REQUEST_STREAM /* not counted */ };

struct request {
    struct api *api;               /* borrowed */
    struct connection *connection; /* borrowed; NULL: the client is gone */
    const struct route *route;     /* static */
    struct store_peer peer;
    enum api_role role;
    int64_t began_mono_us;
    struct http_head head;         /* owned */
    char *path;                    /* owned: the path, cut into decoded segments */
    const char *params[ROUTE_PARAMS_MAX]; /* in `path`: what stands for the pattern's {…}, in order */
    struct buf body;               /* owned */
    struct json_object *json;      /* owned; the body of a JSON route, NULL without one */
    struct buf out;                /* owned: handlers write the reply's body here */
    void *state;                   /* owned: the handler's own */
    void (*state_free)(void *state);
    bool is_stream, is_counted;    /* is_counted: among those of its user */
    int64_t charged_bytes;         /* of the bodies buffered in all */
    /* Of a stream or a long poll. on_room: what was written is on its way, more may be. on_gone: the client went away; the handler ends it when nothing of it is on
     * its way any more. */
    void (*on_room)(struct request *request);
    void (*on_gone)(struct request *request);
};

/* Has the client closed its connection, noticed or not? What is written now would be read by nobody. */
bool request_is_gone(const struct request *request);

/* Sends request->out. */
void request_reply(struct request *request, int status);
void request_reply_as(struct request *request, int status, const char *content_type);
/* Sends the problem of a code. `members`: more members of the object, JSON without braces ("\"run\":{…}"), or NULL. */
void request_fail(struct request *request, const struct galloc_error *error);
void request_fail_with(struct request *request, const struct galloc_error *error, const char *members);
void request_fail_fmt(struct request *request, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The failure of an operation that came back: its code and error, or the store's words for the code. */
void request_fail_op(struct request *request, const struct store_op *op);

/* Begins an answer of unknown length; or one of which all is known but the bytes: `more_headers` are whole lines. */
void stream_begin(struct request *request, int status, const char *content_type);
void stream_begin_sized(struct request *request, int status, const char *content_type, const char *more_headers, int64_t length_bytes);
void stream_write(struct request *request, const char *data, size_t len); /* may find the client gone */
size_t stream_unsent(const struct request *request);
void stream_end(struct request *request); /* the last chunk; frees the request */
void stream_cut(struct request *request); /* without it: the client sees that something is missing; frees the request */

/* Query parameters. Each gives 0, or -INVALID_VALUE naming the parameter. */
int query_int(struct request *request, const char *name, int64_t low, int64_t high, int64_t missing, int64_t *ret_value, struct galloc_error *error) MUST_CHECK;
int query_bool(struct request *request, const char *name, bool missing, bool *ret_value, struct galloc_error *error) MUST_CHECK;
int query_time(struct request *request, const char *name, int64_t *ret_wall_ms, struct galloc_error *error) MUST_CHECK; /* 0: not given */

/* The problem object of a code, with its detail. */
void problem_write(struct buf *out, int code, const char *detail, const char *members);

#endif
