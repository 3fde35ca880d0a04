/* What the files of this room share. Nothing here is for other rooms. Loop's thread throughout. */
#ifndef GALLOC_NET_NET_INTERNAL_H
#define GALLOC_NET_NET_INTERNAL_H

#include "net/net.h"

#include <curl/curl.h>
#include <event2/event.h>

/* What stays the same from call to call: where it goes, with which header and key. Handles are kept by site, so that a call sets only what
 * differs. A site that no call uses is dropped when its key has been replaced, or when there are too many. */
struct net_site {
    struct net_site *next;
    char *url, *method, *secret_header, *secret, *proxy, *ca_file; /* owned */
    bool allow_plain_http;
    char **headers;              /* owned, NULL-ended */
    struct curl_slist *list;     /* owned: `headers`, the key's and "Expect:"; wiped before it is freed */
    CURLU *place;                /* owned: `url`, parsed once; libcurl would at every call. NULL when it is refused */
    struct galloc_error refusal; /* code 0: the URL, key and headers can be used */
    bool is_plain;               /* http */
    struct net_call *idle;       /* owned: handles that wait for their next call */
    int64_t idle_count, open_count;
};

/* One transfer; with its handle it goes back to its site's idle list after done. */
struct net_call {
    struct net *net;           /* borrowed */
    struct net_site *site;     /* borrowed: it outlives its calls */
    CURL *easy;                /* owned */
    struct net_call *next, *before; /* in the list of open calls; `next` alone in the idle and the ended list */
    bool is_set_up;            /* the handle has its site's options */
    bool is_in_multi;
    void (*done)(const struct net_response *response, void *arg);
    void *arg;
    char *body;                /* owned: the request's */
    size_t body_len;
    struct curl_slist own;     /* the call's own header, before its site's list; its text is owned, NULL: none */
    int64_t began_us, connect_us, total_us, stall_us; /* when; and how long each may take */
    int64_t byte_us;           /* mono, of the answer's last byte; 0: none yet */
    int64_t sent_us;           /* mono, of the first byte of the request; 0: not sent */
    bool is_connected;
    long written_bytes;        /* once is_connected: libcurl's count before the request */
    int32_t local_port;
    struct buf answer;         /* decoded body */
    int64_t answer_cap_bytes, header_bytes;
    bool is_too_large;
    char content_type[128];
    int64_t retry_after_ms, retry_after_at_ms; /* -1: not there; the last one wall */
    char date[64];             /* the server's own; "": not there */
    bool has_retry_after_ms;   /* the finer header was there, and holds */
    int should_retry;
    enum net_end end;
    char message[256];
    char curl_error[CURL_ERROR_SIZE];
};

struct net_socket {
    struct event *event; /* owned; NULL: never used */
    short wanted;        /* EV_READ | EV_WRITE as libcurl last asked; 0: nothing */
    short armed;         /* what the loop watches */
    bool is_connection;  /* opened by us, so its closing is told to us */
};

struct net {
    struct loop *loop; /* borrowed */
    CURLM *multi;      /* owned */
    struct loop_timer curl_timer;  /* libcurl's own clock */
    struct loop_timer sweep;       /* our limits on connect, stall and total */
    struct loop_timer deliver;     /* ends that must not come from within net_start() or net_cancel() */
    struct net_socket *sockets;    /* by descriptor */
    size_t socket_count;
    struct net_site *sites;
    struct net_call *open;
    struct net_call *ended, **ended_last;
    int64_t pool_size;
};

/* net_socket.c: libcurl's sockets and timer on the loop. */
bool net_socket_setup(struct net *net);
void net_socket_clear(struct net *net);
void net_socket_options(struct net *net, CURL *easy);

/* net_site.c */
struct net_site *net_site_get(struct net *net, const struct net_request *request);
bool net_site_is_header(const char *text); /* no control character in it */
bool net_site_options(struct net *net, const struct net_site *site, CURL *easy);
void net_site_free(struct net_site *site); /* its idle calls must be gone */

/* net_transfer.c: libcurl's callbacks of one call. */
void net_transfer_reset(struct net_call *call);
void net_transfer_options(struct net_call *call);
int64_t net_transfer_retry_after_ms(const struct net_call *call);

/* net_end.c: what libcurl's code means, and its words without the key. */
enum net_end net_end_of(const struct net_call *call, CURLcode code);
void net_end_redact(const struct net_site *site, char *text, size_t len);

/* net.c */
void net_take_finished(struct net *net); /* after each curl_multi_socket_action() */
void net_call_free(struct net_call *call);

#endif
