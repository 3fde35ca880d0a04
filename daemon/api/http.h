/* The head of an HTTP/1.1 request (RFC 9112), read strictly: what two readers could understand differently is refused before anybody acts on it. No
 * folding, no bare CR or LF, no NUL, no chunked bodies, no absolute targets, exactly one Host. Pure; any thread. */
#ifndef GALLOC_API_HTTP_H
#define GALLOC_API_HTTP_H

#include "base/buf.h"
#include "base/code.h"

#define HTTP_HEADERS_MAX 100

/* Bits, so that a route can hold several. */
enum http_method {
    HTTP_GET = 1,
    HTTP_PUT = 2,
    HTTP_POST = 4,
    HTTP_PATCH = 8,
    HTTP_DELETE = 16,
    HTTP_OTHER = 32 /* a method that HTTP has and no route of ours: 405 */
};

struct http_header {
    const char *name, *value; /* NUL-ended, in http_head.text; the name in lower case */
};

/* A head that was read. The pointers lie in `text`. */
struct http_head {
    char *text; /* owned */
    enum http_method method;
    const char *method_name;
    char *path;        /* still percent-encoded, begins with '/' */
    char *query;       /* what stands behind '?'; "" */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
    int64_t body_bytes; /* of Content-Length; 0 when there is none */
    bool has_length;
    bool wants_continue; /* Expect: 100-continue */
    bool wants_close;    /* Connection: close */
};

/* The length of the head in `data`, its empty line included; 0: not whole yet. */
size_t http_head_end(const char *data, size_t len);

/* Bytes before a request that are passed over: one empty line (RFC 9112 2.2). */
size_t http_leading_bytes(const char *data, size_t len);

/* Can what came so far never become a head that is taken: too long, or not HTTP from the first line? 0 as long as it may. For a head that never ends. */
int http_head_check_partial(const char *data, size_t len, struct galloc_error *error) MUST_CHECK;

/* Reads a whole head of `len` bytes (as http_head_end gave it). 0, or a code of base/code.h with what is wrong. The caller frees with http_head_clear(),
 * after a failure too. */
int http_head_read(const char *data, size_t len, struct http_head *ret_head, struct galloc_error *error) MUST_CHECK;
void http_head_clear(struct http_head *head);

/* A header's value by its name in lower case, or NULL. */
const char *http_header(const struct http_head *head, const char *name);

/* Is this its Content-Type, whatever parameters follow? */
#define HTTP_TYPE_JSON "application/json"
#define HTTP_TYPE_NDJSON "application/x-ndjson"
bool http_is_type(const struct http_head *head, const char *type);

/* A parameter of the query, decoded. Owned by the caller; NULL: not there. The `index`th of that name, from 0. -INVALID_VALUE on a broken escape. */
int http_query(const struct http_head *head, const char *name, size_t index, char **ret_value, struct galloc_error *error) MUST_CHECK;

/* The first parameter that is not in `names` (NULL-ended), as an error with the nearest; 0 when all are known. */
int http_query_check(const struct http_head *head, const char *const *names, struct galloc_error *error) MUST_CHECK;

const char *http_reason(int status); /* "OK", "Not Found"; never NULL */

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7). */
#define HTTP_DATE_BYTES 64
void http_date(int64_t wall_ms, char ret_date[HTTP_DATE_BYTES]);

#endif
