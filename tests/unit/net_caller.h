/* A caller of net for tests: starts calls, turns the loop until they are done or a deadline has passed, keeps what came. */
#ifndef GALLOC_TESTS_NET_CALLER_H
#define GALLOC_TESTS_NET_CALLER_H

#include "net/net.h"

#define CALLER_KEY "canary-7f3e0b-key"

struct caller {
    struct loop *loop;
    struct net *net;
    struct loop_timer deadline;
    bool is_starting, was_late;
    int open_count;
    void (*after)(struct caller *caller, int index, void *arg); /* within each done; may be NULL */
    void *arg;
};

/* What came of one call. */
struct came {
    struct caller *caller;
    int index;
    bool is_done, was_within_start;
    enum net_end end;
    int status;
    char *body; /* owned */
    size_t body_len, request_body_len;
    char content_type[128], message[256];
    int64_t retry_after_ms, latency_us, sent_us;
    int should_retry;
    int32_t local_port;
    struct net_call *call; /* valid until done */
};

void caller_setup(struct caller *caller);
void caller_clear(struct caller *caller);
/* A POST of `body` (NULL: a GET) to a port of 127.0.0.1; generous limits; change what the test is about. */
struct net_request caller_request(int port, const char *body, char url[128]);
void caller_start(struct caller *caller, struct net_request *request, int index, struct came *came);
void caller_run(struct caller *caller); /* until all are done; fails the test after 20 s */
void caller_call(struct caller *caller, struct net_request *request, struct came *came); /* start and run; came is cleared first */
void came_clear(struct came *came);

#endif
