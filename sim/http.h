/* The head of an HTTP/1.1 request, read strictly: what is not understood is refused. Pure. */
#ifndef GALLOC_SIM_HTTP_H
#define GALLOC_SIM_HTTP_H

#include "sim/prompt.h"

#define HTTP_HEAD_MAX 16384

enum http_method { METHOD_GET, METHOD_POST, METHOD_PATCH, METHOD_OTHER };

struct http_head {
    enum http_method method;
    struct text_span path, query; /* borrowed; query.at NULL: none */
    size_t head_bytes;            /* up to and with the empty line */
    size_t body_bytes;
    bool keeps_alive, expects_continue, has_origin, has_authorization, has_foreign_host;
    int key_headers;
    struct text_span key;    /* of x-goog-api-key */
    struct text_span bearer; /* of Authorization: Bearer */
};

enum http_result { HTTP_MORE, HTTP_WELL, HTTP_BAD };

/* Reads the head at the start of `data`. HTTP_BAD: ret_status and ret_why (static) tell what to answer before closing.
 */
enum http_result http_read_head(const char *data, size_t len, struct http_head *ret_head, int *ret_status,
                                const char **ret_why);

#endif
