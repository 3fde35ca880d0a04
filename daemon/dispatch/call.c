/* One call, whoever asked for it: one of attempts (start.c) or the endpoint's own test request (probe.c). Its row is in the store before it comes here. What is sent,
 * what the provider makes of the answer, what that cost, and what the pacer and people hear of it are the same for both. Loop's thread. */
#include "dispatch/call.h"
#include "dispatch/dispatch.h"

#include "base/log.h"
#include "base/negative.h"
#include "core/limits.h"
#include "core/price.h"

#include <stdio.h>
#include <string.h>

enum { CONNECT_TIMEOUT_MS = 10000, STALL_TIMEOUT_MS = 20000 };

struct net_call *call_send(struct endpoint *endpoint, struct provider_request *request, const struct call_sending *sending, int64_t *ret_sent_us)
{
    const char *key = endpoint->secret != NULL ? secret_text(endpoint->secret) : NULL;
    struct net_request call = {.url = buf_text(&request->url),
                               .method = request->method,
                               .headers = request->headers,
                               .call_header = buf_text(&request->call_header),
                               .secret_header = key != NULL ? request->secret_header : NULL,
                               .secret = key,
                               .proxy = endpoint->config->proxy,
                               .ca_file = endpoint->config->ca_file,
                               .allow_plain_http = endpoint->config->allow_plain_http,
                               .wants_new_connection = sending->wants_new_connection,
                               .connect_timeout_ms = min_i64(CONNECT_TIMEOUT_MS, sending->timeout_ms),
                               .total_timeout_ms = sending->timeout_ms,
                               .stall_timeout_ms = min_i64(STALL_TIMEOUT_MS, sending->timeout_ms),
                               .answer_cap_bytes = LIMIT_ANSWER_BYTES,
                               .done = sending->done,
                               .arg = sending->arg};
    struct pacer_now now = engine_now();
    if (BREAKS(KEY_IN_LOG))
        fprintf(stderr, "debug call_sent key=%s\n", key != NULL ? key : "");
    call.body_len = request->body.len;
    call.body = buf_take(&request->body);
    *ret_sent_us = now.mono_us;
    pacer_sent(endpoint->pacer, now, call_tokens(endpoint, (int64_t)call.body_len));
    return net_start(endpoint->dispatch->engine->net, &call);
}

int64_t call_tokens(const struct endpoint *endpoint, int64_t body_bytes)
{
    return density_tokens(&endpoint->density, body_bytes, endpoint->values[SETTING_TPM]);
}

void call_classify(const struct endpoint *endpoint, const struct net_response *response, bool is_rest, struct provider_verdict *ret_verdict)
{
    static const enum provider_end ends[] = {
        [NET_ANSWERED] = PROVIDER_ANSWERED, [NET_NOT_SENT] = PROVIDER_NOT_SENT, [NET_CONFIG] = PROVIDER_CONFIG,       [NET_BROKEN] = PROVIDER_BROKEN,
        [NET_TIMED_OUT] = PROVIDER_TIMED_OUT, [NET_REUSE_DIED] = PROVIDER_LOST, [NET_TOO_LARGE] = PROVIDER_TOO_LARGE, [NET_CANCELLED] = PROVIDER_LOST};
    struct provider_response answer = {.end = ends[response->end], .status = response->status, .body = response->body, .body_len = response->body_len,
                                       .retry_after_ms = response->retry_after_ms, .should_retry = response->should_retry, .message = response->message, .is_rest = is_rest};
    endpoint->provider->classify(&answer, ret_verdict);
}

void call_charge(struct endpoint *endpoint, const struct price_terms *terms, const struct net_response *response, const struct provider_verdict *verdict, struct call_charge *ret_charge)
{
    const char *model = verdict->model_version ? verdict->model_version : endpoint->config->model;
    density_learn(&endpoint->density, (int64_t)response->request_body_len, verdict->tokens[TOKEN_IN]);
    histogram_add(&endpoint->durations, endpoint_duration_bounds, ENDPOINT_DURATION_BOUNDS, response->latency_us);
    *ret_charge = (struct call_charge){.currency = ""};
    for (int i = 0; i < TOKEN_COUNT; i++) /* a count of zero is left out of the usage: told as a whole or not at all */
        ret_charge->tokens[i] = verdict->tokens[TOKEN_IN] >= 0 ? max_i64(verdict->tokens[i], 0) : -1;
    ret_charge->cost_micros = price_of_call(endpoint, terms, model, ret_charge->tokens, ret_charge->currency);
    for (int i = 0; i < TOKEN_COUNT; i++)
        endpoint->tokens[i] += max_i64(ret_charge->tokens[i], 0);
    if (ret_charge->cost_micros > 0 && endpoint->currency[0] == '\0')
        memcpy(endpoint->currency, ret_charge->currency, sizeof endpoint->currency);
    if (ret_charge->cost_micros >= 0)
        endpoint->cost_micros += ret_charge->cost_micros;
    else if (price_is_unknown(response->status, ret_charge->tokens[TOKEN_IN], ret_charge->cost_micros))
        endpoint->cost_unknown_calls++;
}

struct pacer_outcome call_outcome(const struct net_response *response, const struct provider_verdict *verdict, int64_t sent_us)
{
    return (struct pacer_outcome){.class = verdict->class,
                                  .sent_us = sent_us,
                                  .latency_us = response->latency_us,
                                  /* Calls that die with one connection are one failure; answers on it are each their own. */
                                  .local_port = response->status == 0 ? response->local_port : 0,
                                  .is_capacity = verdict->is_capacity,
                                  .retry_after_ms = verdict->retry_after_ms,
                                  .quota_value = verdict->quota_value,
                                  .quota_is_tokens = verdict->quota_unit == QUOTA_TOKENS,
                                  .quota_is_spend = verdict->quota_span == QUOTA_SPEND,
                                  .tokens = verdict->tokens[TOKEN_IN]};
}

void call_tell_change(struct endpoint *endpoint, const struct pacer_change *change, const char *words)
{
    const char *name = endpoint->config->name;
    if (change->opened)
        log_event(LOG_LEVEL_WARNING, "breaker_open", "endpoint=%s text=\"%.200s\"", name, words);
    if (change->blocked)
        log_event(LOG_LEVEL_NOTICE, "throttled", "endpoint=%s text=\"%.200s\"", name, words);
    if (change->closed)
        log_event(LOG_LEVEL_NOTICE, "breaker_closed", "endpoint=%s", name);
    if (change->opened || change->blocked || change->closed)
        notice_endpoint(endpoint->dispatch->engine, endpoint, change->closed ? "the endpoint answers again" : words);
}
