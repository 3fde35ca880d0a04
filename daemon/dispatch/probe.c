/* The endpoint's own small test request: every probe of an open breaker, the judge of failures held for two seconds, and `endpoint test`. One in flight at a time;
 * its call is in the store before it is sent, like any other. */
#include "dispatch/call.h"
#include "dispatch/dispatch.h"

#include <string.h>

struct probe {
    struct engine *engine;
    struct endpoint *endpoint;
    struct provider_request request; /* owned */
    struct pacer_now passed; /* when the pacer let it through: it counts from then on */
    int64_t call, sent_us;
    struct price_terms terms;
    int64_t reserved_micros; /* of the endpoint's day */
    int64_t timeout_ms;
    void (*done)(const struct endpoint_test_result *result, void *arg); /* NULL: the daemon's own */
    void *arg;
};

static void probe_free(struct probe *probe)
{
    if (probe->done == NULL)
        probe->endpoint->dispatch->has_test = false;
    provider_request_clear(&probe->request);
    free(probe);
}

static void on_call_ended(struct store_op *op)
{
    engine_call_settled(op->arg);
    store_op_free(op);
}

static void record(struct probe *probe, const struct net_response *response, const struct provider_verdict *verdict)
{
    struct store_call_end *end = store_op_new(OP_CALL_END, on_call_ended, probe->engine);
    end->call = probe->call;
    end->is_lost = verdict->class == OUTCOME_LOST;
    end->class = verdict->class;
    end->http_status = response->status;
    end->local_port = response->local_port;
    end->latency_ms = response->latency_us / 1000;
    struct call_charge charge;
    call_charge(probe->endpoint, &probe->terms, response, verdict, &charge);
    end->kept_micros = money_end_test(probe->endpoint, probe->reserved_micros, response, &charge);
    memcpy(end->tokens, charge.tokens, sizeof end->tokens);
    end->cost_micros = charge.cost_micros;
    memcpy(end->currency, charge.currency, sizeof end->currency);
    owed_submit(probe->engine, &end->op);
}

void runs_pause_failing(struct engine *engine, const struct endpoint *endpoint, const char *why)
{
    for (struct run_entry *run = engine->registry.runs; run != NULL; run = run->next) {
        if (run->endpoint != endpoint || !run_is_runnable(engine, run) || run->dispatch->spares_pause || run->dispatch->last_problem[0] == '\0')
            continue;
        char text[400];
        snprintf(text, sizeof text, "%s: %.240s", why, run->dispatch->last_problem);
        run_pause(engine, run, PAUSE_FAILURE_RATIO, text);
    }
}

static void follow_up(struct probe *probe, const struct provider_verdict *verdict, const struct pacer_change *change)
{
    struct endpoint *endpoint = probe->endpoint;
    enum outcome_class class = verdict->class;
    const char *words = verdict->message ? verdict->message : outcome_row(class)->text;
    if (outcome_is_answer(class) || class == OUTCOME_REJECTED) /* it answered */
        held_confirm(endpoint, probe->sent_us);
    else if (class != OUTCOME_THROTTLED && class != OUTCOME_QUOTA_DAY)
        held_drop(endpoint, 0);
    if (outcome_row(class)->puts_endpoint_down && probe->sent_us >= endpoint->dispatch->up_us)
        endpoint_go_down(probe->engine, endpoint, class, words);
    call_tell_change(endpoint, change, words);
    if (change->strikes_full)
        runs_pause_failing(probe->engine, endpoint, "the endpoint answers test requests, but none of this run's assignments");
}

static void answer_caller(const struct probe *probe, const struct net_response *response, const struct provider_verdict *verdict)
{
    if (probe->done == NULL)
        return;
    struct endpoint_test_result result = {.class = outcome_is_answer(verdict->class) ? OUTCOME_SUCCEEDED : verdict->class,
                                          .http_status = response->status,
                                          .latency_ms = response->latency_us / 1000};
    snprintf(result.model_version, sizeof result.model_version, "%s", verdict->model_version ? verdict->model_version : "");
    snprintf(result.message, sizeof result.message, "%s", outcome_is_answer(verdict->class) ? "" : verdict->message ? verdict->message : outcome_row(verdict->class)->text);
    probe->done(&result, probe->arg);
}

static void on_response(const struct net_response *response, void *arg)
{
    struct probe *probe = arg;
    struct endpoint *endpoint = probe->endpoint;
    struct provider_verdict verdict = {0};
    call_classify(endpoint, response, false, &verdict);
    record(probe, response, &verdict);
    struct pacer_outcome outcome = call_outcome(response, &verdict, probe->sent_us);
    outcome.is_test = true;
    struct pacer_change change;
    pacer_outcome(endpoint->pacer, engine_now(), &outcome, &change);
    follow_up(probe, &verdict, &change);
    answer_caller(probe, response, &verdict);
    provider_verdict_clear(&verdict);
    engine_turn(probe->engine);
    probe_free(probe);
}

static void fail_probe(struct probe *probe, enum outcome_class class, const char *message)
{
    struct net_response none = {.end = NET_CONFIG, .retry_after_ms = -1};
    struct provider_verdict verdict = {.class = class, .message = xstrdup(message), .retry_after_ms = -1, .quota_value = -1, .tokens = {-1, -1, -1, -1, -1}};
    answer_caller(probe, &none, &verdict);
    provider_verdict_clear(&verdict);
    probe_free(probe);
}

static void on_call_begun(struct store_op *op)
{
    struct store_call_begin *begin = (struct store_call_begin *)op;
    struct probe *probe = op->arg;
    struct endpoint *endpoint = probe->endpoint;
    pacer_unsent(endpoint->pacer, probe->passed); /* counted anew when it goes out: at that time, not a commit earlier */
    if (op->code < 0) {
        probe->engine->calls--;
        money_give_test_back(endpoint, probe->reserved_micros);
        fail_probe(probe, OUTCOME_UNAVAILABLE, op->error.message);
    } else {
        const struct call_sending sending = {.timeout_ms = probe->timeout_ms, .wants_new_connection = true, .done = on_response, .arg = probe};
        probe->call = begin->ret_call;
        endpoint->test_calls++;
        call_send(endpoint, &probe->request, &sending, &probe->sent_us);
    }
    store_op_free(op);
}

/* Would one that an operator asks for exceed a configured limit? Then that is its answer. */
static bool is_over_limit(struct probe *probe)
{
    static const char *const names[] = {[PACER_LIMIT_RPM] = "rpm", [PACER_LIMIT_TPM] = "tpm", [PACER_LIMIT_RPD] = "rpd"};
    struct pacer_answer answer = pacer_ask_limits(probe->endpoint->pacer, engine_now(), PACER_TEST_TOKENS);
    if (probe->done == NULL || answer.wait == PACER_GO)
        return false;
    char text[200];
    snprintf(text, sizeof text, "a test request now would exceed the %s that is set for the endpoint; there is room for one in %lld s", names[answer.wait],
             (long long)(answer.wait_us / 1000000 + 1));
    fail_probe(probe, answer.wait == PACER_LIMIT_RPD ? OUTCOME_QUOTA_DAY : OUTCOME_THROTTLED, text);
    return true;
}

/* What cannot be sent is told before a call is written down for it. */
static void send_probe(struct engine *engine, struct endpoint *endpoint, void (*done)(const struct endpoint_test_result *result, void *arg), void *arg)
{
    struct galloc_error error;
    struct probe *probe = xcalloc(1, sizeof *probe);
    *probe = (struct probe){.engine = engine, .endpoint = endpoint, .done = done, .arg = arg,
                            .timeout_ms = min_i64(pacer_probe_timeout_ms(endpoint->pacer), endpoint->values[SETTING_REQUEST_TIMEOUT])};
    struct provider_wire wire = endpoint_wire(endpoint);
    wire.request_timeout_ms = probe->timeout_ms;
    if (engine_holds_calls(engine)) {
        fail_probe(probe, OUTCOME_UNAVAILABLE, "the daemon has started three times within a minute and makes one call at a time until one has ended; try again then");
        return;
    }
    if (endpoint->secret == NULL && endpoint->provider->needs_key) {
        fail_probe(probe, OUTCOME_CREDENTIALS, "the endpoint has no key");
        return;
    }
    if (endpoint->provider->build_test(&wire, &probe->request, &error) < 0) {
        fail_probe(probe, OUTCOME_CONFIG, error.message);
        return;
    }
    if (is_over_limit(probe))
        return;
    if (money_take_test(endpoint, &probe->request, &probe->reserved_micros, &error) < 0) {
        fail_probe(probe, OUTCOME_THROTTLED, error.message);
        return;
    }
    probe->terms = endpoint_terms(endpoint, TIER_STANDARD, engine_now().wall_ms);
    if (done == NULL)
        endpoint->dispatch->has_test = true;
    struct store_call_begin *begin = store_op_new(OP_CALL_BEGIN, on_call_begun, probe);
    begin->endpoint = xstrdup(endpoint->config->name);
    begin->reserve_micros = probe->reserved_micros;
    engine->calls++;
    probe->passed = engine_now();
    pacer_sent(endpoint->pacer, probe->passed, call_tokens(endpoint, (int64_t)probe->request.body.len)); /* from here on, so that no other call takes its place in the quota */
    store_submit(engine->store, &begin->op);
}

void engine_endpoint_test(struct engine *engine, struct endpoint *endpoint, void (*done)(const struct endpoint_test_result *result, void *arg), void *arg)
{
    send_probe(engine, endpoint, done, arg);
}

/* Nobody pays for tests of an endpoint that nobody wants. */
static bool is_wanted(const struct engine *engine, const struct endpoint *endpoint)
{
    for (const struct run_entry *run = engine->registry.runs; run != NULL; run = run->next)
        if (run->endpoint == endpoint && run->info.state == RUN_RUNNING && run->info.pauses == 0)
            return true;
    return endpoint->dispatch->held != NULL || endpoint->dispatch->is_missed;
}

void probe_if_due(struct engine *engine, struct endpoint *endpoint)
{
    struct endpoint_dispatch *d = endpoint->dispatch;
    struct pacer_now now = engine_now();
    int64_t probe_us, held_us;
    bool wants_probe = pacer_wants_probe(endpoint->pacer, now, &probe_us);
    bool wants_judge = !pacer_is_open(endpoint->pacer) && held_wants_test(endpoint, now.mono_us, &held_us);
    if (pacer_is_open(endpoint->pacer))
        held_us = -1;
    if (d->has_test || engine->is_draining || engine->health != STORE_WELL || engine_holds_calls(engine))
        return;
    if (endpoint_is_down(endpoint) || !is_wanted(engine, endpoint))
        return;
    bool wants_day = rungs_wait_for_day(endpoint);
    if ((wants_probe || wants_judge || wants_day) && endpoint_has_test(endpoint)) {
        if (money_day_is_over(endpoint))
            return; /* its runs wait for the next one, and so does the test */
        int64_t refused_us = pacer_ask_test(endpoint->pacer, now, PACER_TEST_TOKENS); /* a test request counts in the quotas like any other */
        if (refused_us == 0)
            send_probe(engine, endpoint, NULL, NULL);
        else if (refused_us > 0)
            pump_wake_at(endpoint, refused_us);
        return;
    }
    if (probe_us > 0)
        pump_wake_at(endpoint, probe_us);
    if (held_us > 0)
        pump_wake_at(endpoint, held_us);
}
