/* See net.h. A call's way:
 *
 *     net_start ──> open (in the multi) ──> finished by libcurl, by the sweep or by net_cancel ──> done ──> idle (its handle waits)
 *               └─> ended (refused) ────────────────────────────────────────────────────────────┘
 *
 * done is called from the loop alone, after libcurl has returned, so it may start and cancel calls. The sweep holds the limits that libcurl
 * cannot: the stall from the answer's first byte on (a thinking server is silent for long before it), and the time until the
 * connection stands, name lookup included, whatever the resolver does. */
#include "net/net_internal.h"

#include "base/clock.h"
#include "base/text.h"
#include "core/limits.h"

enum {
    SWEEP_MS = 50,
    POOL_SIZE_FIRST = 64,
    BACKSTOP_MS = 1000, /* libcurl's own total limit is this much later than ours */
    CONNECT_LONGEST_MS = 60000,
};

static void open_link(struct net *net, struct net_call *call)
{
    call->before = NULL;
    call->next = net->open;
    if (net->open != NULL)
        net->open->before = call;
    net->open = call;
}

static void open_unlink(struct net *net, struct net_call *call)
{
    if (call->before != NULL)
        call->before->next = call->next;
    else
        net->open = call->next;
    if (call->next != NULL)
        call->next->before = call->before;
    call->next = call->before = NULL;
}

void net_call_free(struct net_call *call)
{
    curl_easy_cleanup(call->easy);
    free(call->body);
    free(call->own.data);
    buf_clear(&call->answer);
    free(call);
}

/* A handle of the site that waits, or a new one; NULL when libcurl cannot make one. */
static struct net_call *call_get(struct net *net, struct net_site *site)
{
    struct net_call *call = site->idle;
    if (call != NULL) {
        site->idle = call->next;
        site->idle_count--;
        call->next = NULL;
        return call;
    }
    call = xcalloc(1, sizeof *call);
    call->net = net;
    call->site = site;
    call->easy = curl_easy_init();
    if (call->easy != NULL)
        net_transfer_options(call);
    return call;
}

static void recycle(struct net *net, struct net_call *call)
{
    struct net_site *site = call->site;
    site->open_count--;
    if (call->easy == NULL || site->idle_count >= net->pool_size || site->refusal.code != 0) {
        net_call_free(call);
        return;
    }
    net_transfer_reset(call);
    call->next = site->idle;
    site->idle = call;
    site->idle_count++;
}

/* Long words are cut, and never within a character. */
static void set_message(struct net_call *call, const char *words)
{
    size_t len = text_utf8_span(words, strnlen(words, sizeof call->message - 1));
    memcpy(call->message, words, len);
    call->message[len] = '\0';
}

/* Tells the caller how its call ended and keeps the handle. */
static void deliver(struct net *net, struct net_call *call)
{
    struct net_site *site = call->site;
    int64_t now_us = clock_mono_us();
    long status = 0, port = 0;

    if (call->easy != NULL && call->is_connected)
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (call->easy != NULL && call->local_port == 0 && site->refusal.code == 0 && curl_easy_getinfo(call->easy, CURLINFO_LOCAL_PORT, &port) == CURLE_OK)
        call->local_port = (int32_t)port;
    if (call->answer.len > 0)
        net_end_redact(site, call->answer.data, call->answer.len);
    net_end_redact(site, call->content_type, strlen(call->content_type));
    net_end_redact(site, call->message, strlen(call->message));
    text_redact_keys(call->message);
    struct net_response response = {
        .end = call->end,
        .status = (int)status,
        .body = buf_text(&call->answer),
        .body_len = call->answer.len,
        .content_type = call->content_type,
        .retry_after_ms = net_transfer_retry_after_ms(call),
        .should_retry = call->should_retry,
        .latency_us = now_us - call->began_us,
        .sent_us = call->sent_us != 0 ? call->sent_us - call->began_us : -1,
        .local_port = call->local_port,
        .request_body = call->body,
        .request_body_len = call->body_len,
    };
    memcpy(response.message, call->message, sizeof response.message);
    call->done(&response, call->arg);
    recycle(net, call);
}

/* Takes a call out of the multi; its done comes by deliver(). */
static void close_call(struct net *net, struct net_call *call, enum net_end end, const char *message)
{
    curl_multi_remove_handle(net->multi, call->easy);
    call->is_in_multi = false;
    open_unlink(net, call);
    call->end = end;
    set_message(call, message);
}

static void push_ended(struct net *net, struct net_call *call)
{
    call->next = NULL;
    *net->ended_last = call;
    net->ended_last = &call->next;
}

static void deliver_ended(void *arg)
{
    struct net *net = arg;
    struct net_call *call = net->ended;

    net->ended = NULL;
    net->ended_last = &net->ended;
    for (struct net_call *next; call != NULL; call = next) {
        next = call->next;
        deliver(net, call);
    }
}

void net_take_finished(struct net *net)
{
    int left;

    for (CURLMsg *message; (message = curl_multi_info_read(net->multi, &left)) != NULL;) {
        struct net_call *call = NULL;
        CURLcode code = message->data.result; /* the message goes with the handle */
        if (message->msg != CURLMSG_DONE || curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call) != CURLE_OK || call == NULL)
            continue;
        const char *words = code == CURLE_OK ? "" : call->curl_error[0] != '\0' ? call->curl_error : curl_easy_strerror(code);
        if (call->is_too_large)
            words = "the answer is larger than the limit";
        close_call(net, call, net_end_of(call, code), words);
        deliver(net, call);
    }
}

static void sweep_call(struct net *net, struct net_call *call, int64_t now_us)
{
    int64_t age_us = now_us - call->began_us, limit_us;
    enum net_end end = NET_TIMED_OUT;
    const char *what;
    char words[128];

    if (!call->is_connected && age_us >= call->connect_us) {
        end = NET_NOT_SENT;
        limit_us = call->connect_us;
        what = "no connection (name lookup, connect, TLS)";
    } else if (age_us >= call->total_us) {
        end = call->is_connected ? NET_TIMED_OUT : NET_NOT_SENT;
        limit_us = call->total_us;
        what = "no whole answer";
    } else if (call->byte_us != 0 && now_us - call->byte_us >= call->stall_us) {
        limit_us = call->stall_us;
        what = "the answer stopped coming: no byte";
    } else {
        return;
    }
    snprintf(words, sizeof words, "%s within %lld.%03lld s", what, (long long)(limit_us / 1000000), (long long)(limit_us / 1000 % 1000));
    close_call(net, call, end, words);
    push_ended(net, call);
}

static void on_sweep(void *arg)
{
    struct net *net = arg;
    int64_t now_us = clock_mono_us();

    for (struct net_call *call = net->open, *next; call != NULL; call = next) {
        next = call->next;
        sweep_call(net, call, now_us);
    }
    deliver_ended(net);
    if (net->open != NULL)
        loop_timer_set_ms(&net->sweep, SWEEP_MS);
}

struct net *net_new(struct loop *loop)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return NULL;
    struct net *net = xcalloc(1, sizeof *net);
    net->loop = loop;
    net->ended_last = &net->ended;
    loop_timer_init(&net->sweep, loop, on_sweep, net);
    loop_timer_init(&net->deliver, loop, deliver_ended, net);
    net->multi = curl_multi_init();
    if (net->multi == NULL || !net_socket_setup(net)) {
        net_free(net);
        return NULL;
    }
    net_set_pool_size(net, POOL_SIZE_FIRST);
    return net;
}

void net_free(struct net *net)
{
    if (net == NULL)
        return;
    for (struct net_call *call; (call = net->open) != NULL;) {
        close_call(net, call, NET_CANCELLED, "");
        net_call_free(call);
    }
    for (struct net_call *call; (call = net->ended) != NULL;) {
        net->ended = call->next;
        net_call_free(call);
    }
    for (struct net_site *site; (site = net->sites) != NULL;) {
        net->sites = site->next;
        for (struct net_call *call; (call = site->idle) != NULL;) {
            site->idle = call->next;
            net_call_free(call);
        }
        net_site_free(site);
    }
    curl_multi_cleanup(net->multi);
    net_socket_clear(net);
    loop_timer_clear(&net->sweep);
    loop_timer_clear(&net->deliver);
    free(net);
    curl_global_cleanup();
}

void net_set_pool_size(struct net *net, int64_t connections)
{
    net->pool_size = clamp_i64(connections, 1, 65536);
    curl_multi_setopt(net->multi, CURLMOPT_MAXCONNECTS, (long)net->pool_size);
    curl_multi_setopt(net->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)net->pool_size);
}

/* Sets what differs from the site's last call. */
static CURLcode call_options(struct net_call *call, bool wants_new_connection)
{
    CURL *easy = call->easy;
    CURLcode code = curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(call->total_us / 1000 + BACKSTOP_MS));
    if (code == CURLE_OK)
        code = curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(call->connect_us / 1000 + BACKSTOP_MS));
    if (code == CURLE_OK)
        code = curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)wants_new_connection);
    if (code == CURLE_OK)
        code = curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->own.data != NULL ? &call->own : call->site->list);
    if (code == CURLE_OK && strcmp(call->site->method, "GET") != 0) {
        code = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
        if (code == CURLE_OK)
            code = curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body != NULL ? call->body : "");
    }
    return code;
}

struct net_call *net_start(struct net *net, struct net_request *request)
{
    struct net_site *site = net_site_get(net, request);
    struct net_call *call = call_get(net, site);
    const char *refusal = NULL;
    enum net_end end = NET_CONFIG;

    net_transfer_reset(call);
    site->open_count++;
    call->done = request->done;
    call->arg = request->arg;
    call->body = request->body;
    call->body_len = request->body != NULL ? request->body_len : 0;
    call->began_us = clock_mono_us();
    call->total_us = clamp_i64(request->total_timeout_ms, 1, INT32_MAX / 2) * 1000;
    call->connect_us = clamp_i64(request->connect_timeout_ms, 1, CONNECT_LONGEST_MS) * 1000;
    call->stall_us = clamp_i64(request->stall_timeout_ms, 1, INT32_MAX / 2) * 1000;
    call->answer_cap_bytes = request->answer_cap_bytes > 0 ? request->answer_cap_bytes : LIMIT_ANSWER_BYTES;
    request->body = NULL;
    if (request->call_header != NULL && request->call_header[0] != '\0')
        call->own = (struct curl_slist){.data = xstrdup(request->call_header), .next = site->list};
    if (site->refusal.code != 0) {
        refusal = site->refusal.message;
    } else if (call->own.data != NULL && !net_site_is_header(call->own.data)) {
        refusal = "a header holds a control character";
    } else if (call->easy == NULL) {
        refusal = "libcurl cannot make a handle: no memory";
        end = NET_NOT_SENT;
    } else if (!call->is_set_up && !net_site_options(net, site, call->easy)) {
        refusal = "this libcurl lacks a safeguard that galloc needs: 7.87 or later with TLS is needed";
    } else if (call_options(call, request->wants_new_connection) != CURLE_OK || curl_multi_add_handle(net->multi, call->easy) != CURLM_OK) {
        refusal = "libcurl does not take the call";
        end = NET_NOT_SENT;
    }
    if (refusal != NULL) {
        call->end = end;
        set_message(call, refusal);
        push_ended(net, call);
        loop_timer_set_us(&net->deliver, 0);
        return call;
    }
    call->is_set_up = call->is_in_multi = true;
    open_link(net, call);
    if (!loop_timer_is_set(&net->sweep))
        loop_timer_set_ms(&net->sweep, SWEEP_MS);
    return call;
}

void net_cancel(struct net_call *call)
{
    struct net *net = call->net;
    if (!call->is_in_multi)
        return; /* it has ended: its done is on its way */
    close_call(net, call, NET_CANCELLED, "cancelled");
    push_ended(net, call);
    loop_timer_set_us(&net->deliver, 0);
}
