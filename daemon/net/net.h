/* HTTP calls out: libcurl multi on the loop, one connection pool for all endpoints. Knows nothing of providers. Loop's thread throughout. */
#ifndef GALLOC_NET_NET_H
#define GALLOC_NET_NET_H

#include "base/buf.h"
#include "base/code.h"
#include "loop/loop.h"

struct net;
struct net_call;

/* How a call ended below HTTP. */
enum net_end {
    NET_ANSWERED,        /* a whole answer with a status */
    NET_NOT_SENT,        /* resolver, connect, TLS handshake, or no time left for them: nothing was sent (curl 5 6 7 35, 28 before the connection stood) */
    NET_CONFIG,          /* bad URL, protocol, certificate or host refused (curl 1 3 60 …) */
    NET_BROKEN,          /* reset, empty, partial, stream error (curl 16 18 52 55 56 92 …) */
    NET_TIMED_OUT,       /* total or stall limit on a connection that stood: maybe billed (curl 28) */
    NET_REUSE_DIED,      /* a connection used again died before a byte of the answer; libcurl would repeat the POST: lost */
    NET_TOO_LARGE,       /* the answer is over the cap */
    NET_CANCELLED
};

struct net_response {
    enum net_end end;
    int status;                  /* HTTP; 0 without an answer */
    const char *body;            /* borrowed; decoded; may be partial unless NET_ANSWERED */
    size_t body_len;
    const char *content_type;    /* borrowed; "" when missing */
    int64_t retry_after_ms;      /* -1: none. From retry-after-ms, or Retry-After in seconds or as a date (RFC 9110 10.2.3) */
    int should_retry;            /* x-should-retry: 1 true, -1 false, 0: not told */
    int64_t latency_us;          /* from the start to the end */
    int64_t sent_us;             /* from the start until the request went out; -1: it did not */
    int32_t local_port;          /* 0: never connected. Failures of one connection count once */
    const char *request_body;    /* borrowed: as it was sent; NULL: none */
    size_t request_body_len;
    char message[256];           /* libcurl's words, without the key */
};

struct net_request {
    const char *url;             /* borrowed during net_start() */
    const char *method;          /* "POST" or "GET" */
    char *body;                  /* owned by the call from net_start() on; NULL for GET */
    size_t body_len;
    const char *const *headers;  /* NULL-ended "Name: value", the same from call to call; borrowed during net_start() */
    const char *call_header;     /* one more, of this call alone; borrowed during net_start(); NULL or "": none */
    const char *secret_header;   /* "x-goog-api-key" or "Authorization: Bearer " prefix style: "Name: " put before `secret`; NULL: none */
    const char *secret;          /* borrowed during net_start(); never in messages or logs */
    const char *proxy, *ca_file; /* NULL or "": none, the system's */
    bool wants_new_connection;   /* no reused one, whose death tells nothing of the call */
    bool allow_plain_http;       /* http elsewhere than to loopback */
    int64_t connect_timeout_ms, total_timeout_ms, stall_timeout_ms; /* stall: from the answer's first byte */
    int64_t answer_cap_bytes;
    void (*done)(const struct net_response *response, void *arg); /* on the loop's thread, never from within net_start() */
    void *arg;
};

struct net *net_new(struct loop *loop); /* NULL when libcurl cannot be set up */
void net_free(struct net *net); /* NULL is fine; calls still open are dropped without their done. Not from within done */
void net_set_pool_size(struct net *net, int64_t connections); /* at least all endpoints' max_in_flight together */

/* Starts a call. Never fails: what is wrong comes through done. Handles are kept and used again. The call is valid until its done. */
struct net_call *net_start(struct net *net, struct net_request *request);
void net_cancel(struct net_call *call); /* done comes with NET_CANCELLED, in a later turn; with its own end when it had ended before */

/* May this base URL be used: https (http to loopback, or with allow_plain_http), no user information, a host? 0, or -GALLOC_INVALID_VALUE with the reason. */
int net_check_url(const char *url, bool allow_plain_http, struct galloc_error *error) MUST_CHECK;

/* May this proxy be used: nothing, or http(s)://HOST[:PORT] without user or password. 0, or -GALLOC_INVALID_VALUE with the reason. */
int net_check_proxy(const char *proxy, struct galloc_error *error) MUST_CHECK;

#endif
