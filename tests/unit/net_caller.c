/* See net_caller.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net_caller.h"

static void on_deadline(void *arg)
{
    struct caller *caller = arg;
    caller->was_late = true;
    loop_stop(caller->loop);
}

void caller_setup(struct caller *caller)
{
    *caller = (struct caller){.loop = loop_new()};
    caller->net = net_new(caller->loop);
    assert_non_null(caller->net);
    loop_timer_init(&caller->deadline, caller->loop, on_deadline, caller);
}

void caller_clear(struct caller *caller)
{
    net_free(caller->net);
    loop_timer_clear(&caller->deadline);
    loop_free(caller->loop);
}

struct net_request caller_request(int port, const char *body, char url[128])
{
    static const char *const headers[] = {"Content-Type: application/json", "User-Agent: galloc/test", NULL};
    snprintf(url, 128, "http://127.0.0.1:%d/v1/models/m:generateContent", port);
    return (struct net_request){.url = url,
                                .method = body != NULL ? "POST" : "GET",
                                .body = body != NULL ? xstrdup(body) : NULL,
                                .body_len = body != NULL ? strlen(body) : 0,
                                .headers = headers,
                                .secret_header = "x-goog-api-key: ",
                                .secret = CALLER_KEY,
                                .connect_timeout_ms = 10000,
                                .total_timeout_ms = 15000,
                                .stall_timeout_ms = 15000,
                                .answer_cap_bytes = 1 << 20};
}

static void on_done(const struct net_response *response, void *arg)
{
    struct came *came = arg;
    struct caller *caller = came->caller;

    assert_false(came->is_done);
    came->is_done = true;
    came->was_within_start = caller->is_starting;
    came->end = response->end;
    came->status = response->status;
    came->body = xstrndup(response->body, response->body_len);
    came->body_len = response->body_len;
    came->request_body_len = response->request_body != NULL ? strnlen(response->request_body, response->request_body_len) : 0;
    snprintf(came->content_type, sizeof came->content_type, "%s", response->content_type);
    snprintf(came->message, sizeof came->message, "%s", response->message);
    came->retry_after_ms = response->retry_after_ms;
    came->should_retry = response->should_retry;
    came->latency_us = response->latency_us;
    came->sent_us = response->sent_us;
    came->local_port = response->local_port;
    came->call = NULL;
    caller->open_count--;
    if (caller->after != NULL)
        caller->after(caller, came->index, caller->arg);
    if (caller->open_count == 0)
        loop_stop(caller->loop);
}

void caller_start(struct caller *caller, struct net_request *request, int index, struct came *came)
{
    came_clear(came);
    came->caller = caller;
    came->index = index;
    request->done = on_done;
    request->arg = came;
    caller->open_count++;
    caller->is_starting = true;
    came->call = net_start(caller->net, request);
    caller->is_starting = false;
    assert_null(request->body); /* taken over */
}

void caller_run(struct caller *caller)
{
    loop_timer_set_ms(&caller->deadline, 20000);
    loop_run(caller->loop);
    loop_timer_stop(&caller->deadline);
    assert_false(caller->was_late);
    assert_int_equal(caller->open_count, 0);
}

void caller_call(struct caller *caller, struct net_request *request, struct came *came)
{
    caller_start(caller, request, 0, came);
    caller_run(caller);
    assert_true(came->is_done);
    assert_false(came->was_within_start);
}

void came_clear(struct came *came)
{
    free(came->body);
    *came = (struct came){.index = 0};
}
