/* daemon/net/net.h without a network: each call is an event, and its answer is drawn (answers.h). What galloc may never do is looked at here: send what is not on disk,
 * or more calls than are recorded. A call whose daemon was killed was processed all the same: it counts, and nobody hears of it. */
#include "tests/simulation/answers.h"

#include <stdlib.h>
#include <string.h>

struct net_call {
    struct net_call *next;
    struct net *net;
    struct sched_event end;
    const struct answer_row *row;
    struct sim_run *run; /* NULL: a test request, or it is of a daemon that was dead */
    struct sim_key *key; /* its assignment, as well */
    int endpoint;
    char *body; /* owned: the request's */
    size_t body_len;
    int64_t began_us;
    int32_t port;
    void (*done)(const struct net_response *response, void *arg);
    void *arg; /* borrowed */
    bool is_cancelled;
};

struct net {
    struct net_call *calls; /* owned */
};

struct net *net_new(struct loop *loop)
{
    (void)loop;
    return xcalloc(1, sizeof(struct net));
}

static void call_free(struct net_call *call)
{
    if (call->run != NULL) {
        call->run->in_flight -= --call->key->in_flight == 0;
        world.endpoints[call->endpoint].in_flight--;
    }
    sched_stop(&call->end);
    free(call->body);
    free(call);
}

void net_free(struct net *net)
{
    for (struct net_call *call = net != NULL ? net->calls : NULL, *next; call != NULL; call = next) {
        next = call->next;
        call_free(call);
    }
    free(net);
}

void net_set_pool_size(struct net *net, int64_t connections)
{
    (void)net;
    (void)connections;
}

static void unlink_call(struct net_call *call)
{
    for (struct net_call **at = &call->net->calls; *at != NULL; at = &(*at)->next)
        if (*at == call) {
            *at = call->next;
            return;
        }
}

static void on_end(void *arg)
{
    struct net_call *call = arg;
    struct buf body = BUF_EMPTY;
    const struct answer_row *row = call->row;
    bool has_answer = !call->is_cancelled && row->end == NET_ANSWERED;
    unlink_call(call);
    if (has_answer)
        answer_body(row, call->body, call->body_len, &body);
    struct net_response response = {.end = call->is_cancelled ? NET_CANCELLED : row->end,
                                    .status = has_answer ? row->status : 0,
                                    .body = buf_text(&body),
                                    .body_len = body.len,
                                    .content_type = has_answer ? "application/json" : "",
                                    .retry_after_ms = has_answer ? row->retry_after_ms : -1,
                                    .latency_us = sched_now_us() - call->began_us,
                                    .sent_us = row->end == NET_NOT_SENT ? -1 : 100,
                                    .local_port = row->end == NET_NOT_SENT ? 0 : call->port,
                                    .request_body = call->body,
                                    .request_body_len = call->body_len};
    snprintf(response.message, sizeof response.message, "%s", has_answer ? "" : row->name);
    call->done(&response, call->arg);
    buf_clear(&body);
    call_free(call);
}

/* The template has "KEY=K001002;" in it. */
static struct sim_key *key_of(const struct net_request *request, char ret_name[KEY_BYTES], struct sim_run **ret_run)
{
    static const char mark[] = "KEY=";
    struct sim_key *key = NULL;
    const char *at = request->body == NULL ? NULL : memmem(request->body, request->body_len, mark, sizeof mark - 1);
    snprintf(ret_name, KEY_BYTES, "%s", "test");
    if (at == NULL)
        return NULL;
    snprintf(ret_name, KEY_BYTES, "%.*s", KEY_BYTES - 1, at + sizeof mark - 1);
    *ret_run = run_of_key(ret_name, &key);
    if (*ret_run == NULL)
        violate("a call is about \"%s\", which nobody sent", ret_name);
    return key;
}

struct net_call *net_start(struct net *net, struct net_request *request)
{
    char name[KEY_BYTES];
    struct sim_run *run = NULL;
    struct sim_key *key = key_of(request, name, &run);
    int endpoint = strstr(request->url, "//b.") != NULL ? 1 : 0;
    struct net_call *call = xcalloc(1, sizeof *call);
    *call = (struct net_call){.next = net->calls, .net = net, .body = request->body, .body_len = request->body_len, .began_us = sched_now_us(),
                              .done = request->done, .arg = request->arg};
    call->end = (struct sched_event){.fire = on_end, .arg = call};
    net->calls = call;
    if (life_engine() == NULL) { /* it is dead: nothing leaves */
        call->row = answer_draw(endpoint, NULL);
        return call;
    }
    call->row = answer_draw(endpoint, key);
    call->port = (int32_t)dice(20000, 20007);
    trace("call endpoint=%d key=%s %s", endpoint, name, call->row->name);
    world.calls++;
    call->endpoint = endpoint;
    if (key != NULL) {
        call->run = run;
        call->key = key;
        run->in_flight += key->in_flight++ == 0;
        world.endpoints[endpoint].in_flight++;
        key->calls++;
        key->told[call->row->class]++;
        if (call->row->is_ill) {
            int64_t outage = weather_outage(endpoint);
            key->ill++;
            key->outages += outage != key->last_outage;
            key->last_outage = outage;
        }
        check_call(name);
    }
    check_limits(endpoint, name);
    int64_t ms = call->row->end == NET_TIMED_OUT ? request->total_timeout_ms : dice(call->row->least_ms, call->row->most_ms);
    sched_set_us(&call->end, min_i64(ms, request->total_timeout_ms) * 1000 + dice(0, 999));
    return call;
}

void net_cancel(struct net_call *call)
{
    call->is_cancelled = true;
    sched_set_us(&call->end, 1);
}
