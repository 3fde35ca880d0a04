/* One attempt: candidates, prompt, request, response, validation, decision. The lease, the attempt and its call are durable before it comes here; what comes
 * of it leaves through settle.c. Rendered at the moment of sending, so that loads and open agents are fresh. */
#include "dispatch/ask.h"
#include "dispatch/call.h"
#include "dispatch/dispatch.h"

#include "base/json_out.h"
#include "base/negative.h"
#include "base/text.h"
#include "core/limits.h"
#include "core/result_body.h"

#include <inttypes.h>
#include <string.h>

enum { ATTEMPT_ID_BYTES = 96 };

void attempt_free(struct attempt *attempt)
{
    if (attempt == NULL)
        return;
    hedge_part(attempt);
    free(attempt->key);
    free(attempt->fields);
    free(attempt->candidates);
    rest_clear(&attempt->rest);
    free(attempt);
}

int64_t attempt_estimate(const struct attempt *attempt)
{
    return attempt->tokens > 0 ? attempt->tokens : attempt->endpoint->dispatch->prompt_tokens;
}

void attempt_take_slot(struct attempt *attempt)
{
    if (attempt->has_slot)
        return;
    attempt->has_slot = true;
    attempt->endpoint->in_flight++;
    attempt->run->dispatch->in_flight++;
    attempt->engine->in_flight++;
}

static void leave_slot(struct attempt *attempt)
{
    if (!attempt->has_slot)
        return;
    attempt->has_slot = false;
    attempt->endpoint->in_flight--;
    attempt->run->dispatch->in_flight--;
    attempt->engine->in_flight--;
}

/* A slot is free again only when its settle has committed: what is paid and unsaved is never more than max_in_flight. */
void attempt_give_slot(struct attempt *attempt)
{
    leave_slot(attempt);
    pool_give_places(attempt->run->pool, 1); /* counted since the lease */
    engine_turn(attempt->engine);
}

/* Ends an attempt for which no call was made: the call's row ends as released. */
static void fail_without_call(struct attempt *attempt, enum outcome_class class, const char *message)
{
    attempt_take_slot(attempt);
    struct settle_item *item = settle_add(attempt);
    item->class = class;
    item->move = MOVE_FAIL;
    item->message = xstrdup(message);
    item->result = result_body_failure(message, NULL, RESULT_NO_CALL);
}

static struct settle_item *wait_without_call(struct attempt *attempt, enum outcome_class class, const char *message, int64_t delay_ms)
{
    attempt_take_slot(attempt);
    struct settle_item *item = settle_add(attempt);
    item->class = class;
    item->move = MOVE_PENDING;
    item->is_late = attempt->budget.failures > 1;
    item->delay_ms = delay_ms;
    item->message = xstrdup(message);
    return item;
}

static void keep_candidates(struct attempt *attempt, const struct candidates *candidates)
{
    free(attempt->candidates);
    attempt->candidates = xcalloc(candidates->count, sizeof *attempt->candidates);
    attempt->candidate_count = candidates->count;
    for (size_t i = 0; i < candidates->count; i++)
        attempt->candidates[i] = candidates->agents[i]->info.id;
}

static void on_response(const struct net_response *response, void *arg);

static void send_request(struct attempt *attempt, struct provider_request *request)
{
    struct endpoint *endpoint = attempt->endpoint;
    const struct call_sending sending = {.timeout_ms = endpoint->values[SETTING_REQUEST_TIMEOUT],
                                         /* What was tried before may have died with a reused connection, which spends nothing: on a new one its end is clear. */
                                         .wants_new_connection = attempt->is_probe || (attempt->n > 1 && !attempt->keeps_slot),
                                         .done = on_response,
                                         .arg = attempt};
    int64_t tokens = call_tokens((int64_t)request->body.len);
    int64_t mean = endpoint->dispatch->prompt_tokens;
    endpoint->dispatch->prompt_tokens = mean == 0 ? tokens : mean + (tokens - mean) / 8;
    endpoint->dispatch->has_turn |= attempt->is_probe;
    attempt->was_full = endpoint->in_flight >= pacer_in_flight_limit(endpoint->pacer, true);
    attempt->charged = tokens;
    share_charge(&endpoint->dispatch->clock, &attempt->run->dispatch->share, tokens);
    endpoint->calls++;
    attempt->call_handle = call_send(endpoint, request, &sending, &attempt->sent_us);
    attempt->engine->calls++;
    attempt->fly_next = attempt->engine->flying;
    attempt->fly_at = &attempt->engine->flying;
    if (attempt->fly_next != NULL)
        attempt->fly_next->fly_at = &attempt->fly_next;
    attempt->engine->flying = attempt;
}

static void land(struct attempt *attempt)
{
    *attempt->fly_at = attempt->fly_next;
    if (attempt->fly_next != NULL)
        attempt->fly_next->fly_at = attempt->fly_at;
    attempt->call_handle = NULL;
}

static bool has_candidates(struct attempt *attempt, struct candidates *ret_candidates)
{
    struct pool_entry *pool = attempt->run->pool;
    enum candidates_found found = candidates_find(attempt->run, pool, (struct json_span){attempt->fields, attempt->fields_len}, attempt->excluded,
                                                  engine_now().wall_ms, ret_candidates);
    if (found == CANDIDATES_SOME)
        return true;
    free(ret_candidates->agents);
    const struct candidates_way *way = candidates_way(found);
    if (way->move == MOVE_FAIL) {
        fail_without_call(attempt, way->class, way->words);
        return false;
    }
    struct settle_item *item = wait_without_call(attempt, way->class, way->words, way->delay_ms);
    item->move = way->move;
    item->hold = way->hold;
    if (found == CANDIDATES_AWAY) {
        attempt->away_changes = pool->changes;
        attempt->away_until_at_ms = ret_candidates->away_until_at_ms;
    }
    return false;
}

/* It was let through as one like the last prompts. One that is larger than what the quota of tokens has left waits for room, before all that its run has leased:
 * behind smaller ones it would never find any. */
static bool waits_for_tokens(struct attempt *attempt, const struct provider_request *request)
{
    int64_t tokens = call_tokens((int64_t)request->body.len);
    bool is_adaptive = attempt->run->profile.mode == MODE_CONTINUOUS;
    struct pacer_answer answer = pacer_ask(attempt->endpoint->pacer, engine_now(), tokens, attempt->endpoint->in_flight, is_adaptive, true);
    if (answer.wait != PACER_LIMIT_TPM && answer.wait != PACER_LIMIT_WINDOW)
        return false;
    attempt->tokens = tokens;
    if (!attempt->keeps_slot)
        leave_slot(attempt);
    pump_put_back(attempt, answer.wait_us);
    return true;
}

/* `rc`: of making the request; what cannot be made for one assignment can be made for none. Clears the request. */
static void send_if_made(struct attempt *attempt, int rc, struct provider_request *request, const struct galloc_error *error)
{
    if (rc == 0) {
        if (!waits_for_tokens(attempt, request))
            send_request(attempt, request);
    } else {
        endpoint_go_down(attempt->engine, attempt->endpoint, OUTCOME_CONFIG, error->message);
        wait_without_call(attempt, OUTCOME_CONFIG, error->message, 0);
    }
    provider_request_clear(request);
}

/* Nothing is made anew: it is the rest of an answer to what was asked. Places and loads are looked at when the whole is there. */
static void ask_for_rest(struct attempt *attempt)
{
    struct galloc_error error;
    struct provider_request request = {0};
    struct provider_wire wire = endpoint_wire(attempt->endpoint);
    const struct rest *rest = &attempt->rest;
    int rc = attempt->endpoint->provider->build_rest(&wire, rest->body, rest->body_len, rest->token, &request, &error);
    send_if_made(attempt, rc, &request, &error);
}

/* `asked` is what about_of() led to. */
static void ask(struct attempt *attempt, const struct candidates *candidates, const struct asked *asked)
{
    struct galloc_error error;
    struct provider_request request = {0};
    struct provider_wire wire = endpoint_wire(attempt->endpoint);
    struct run_dispatch *d = attempt->run->dispatch;
    char id[ATTEMPT_ID_BYTES];
    struct buf user_json = BUF_EMPTY;
    prompt_system_json(d, &asked->system);
    if (asked->user.len > 0)
        asked_user_json(asked, &user_json);
    prompt_named_set(&d->named, attempt->endpoint->provider, candidates);
    snprintf(id, sizeof id, "%s/%" PRId64 "/%" PRId32, attempt->run->info.run_id, attempt->assignment, attempt->n);
    struct provider_ask ask = {.system_json = buf_text(&d->system_json), .system_json_len = d->system_json.len, .user_json = buf_text(&user_json),
                               .user_json_len = user_json.len, .choice_json = buf_text(&d->named.choice_json),
                               .choice_json_len = d->named.choice_json.len, .max_output_tokens = attempt->token_cap,
                               .id = id, .run = attempt->run->info.run_id, .key = attempt->key, .attempt = attempt->n};
    asked_take_data(asked, &ask);
    int rc = attempt->endpoint->provider->build(&wire, &ask, &request, &error);
    send_if_made(attempt, rc, &request, &error);
    buf_clear(&user_json);
}

static struct ask_about about_of(const struct attempt *attempt, const struct candidates *candidates)
{
    const struct run_dispatch *d = attempt->run->dispatch;
    return (struct ask_about){.provider = attempt->endpoint->provider, .plan = &attempt->run->plan, .keep_back = attempt->engine->config->keep_back,
                              .sends_all = d->sends_all, .template = d->template, .pool = attempt->run->pool, .key = attempt->key, .fields = attempt->fields,
                              .fields_len = attempt->fields_len, .candidates = candidates};
}

/* Takes the attempt over. */
void attempt_start(struct attempt *attempt)
{
    struct galloc_error error;
    struct candidates candidates;
    if (rest_is_due(&attempt->rest)) {
        ask_for_rest(attempt);
        return;
    }
    if (attempt->fields == NULL) {
        const struct candidates_way *way = candidates_way(CANDIDATES_CORRUPT);
        fail_without_call(attempt, way->class, way->words);
        return;
    }
    if (!has_candidates(attempt, &candidates))
        return;
    attempt_take_slot(attempt);
    keep_candidates(attempt, &candidates);
    attempt->token_cap = attempt->budget.token_cap ? attempt->budget.token_cap : attempt->endpoint->values[SETTING_MAX_OUTPUT_TOKENS];
    struct asked asked;
    const struct ask_about about = about_of(attempt, &candidates);
    if (ask_make(&about, &asked, &error) < 0 || asked_check_size(&asked, &error) < 0)
        fail_without_call(attempt, OUTCOME_TEMPLATE, error.message);
    else
        ask(attempt, &candidates, &asked);
    free(candidates.agents);
    asked_clear(&asked);
}

/* ---- the answer ---- */

static bool was_candidate(const struct attempt *attempt, int64_t agent)
{
    for (size_t i = 0; i < attempt->candidate_count; i++)
        if (attempt->candidates[i] == agent)
            return true;
    return false;
}

/* Checks the model's answer against what was asked and what is free now. Claims the place when it stands. */
static enum outcome_class validate(struct attempt *attempt, const char *text, struct alloc_answer *answer, struct settle_item *item, struct galloc_error *error)
{
    answer->reason = NULL;
    if (alloc_answer_read(text, strlen(text), answer, error) < 0)
        return OUTCOME_INVALID_ANSWER;
    struct agent_entry *agent = pool_agent_by_name(attempt->run->pool, answer->agent_id);
    if (agent == NULL || !was_candidate(attempt, agent->info.id)) {
        galloc_fail(error, GALLOC_INVALID_INPUT, "the answer names \"%s\", who is not a candidate", answer->agent_id);
        return OUTCOME_INVALID_ANSWER;
    }
    item->agent = agent->info.id;
    enum agent_room room = agent_room(agent->info.capacity, agent->info.held, agent->claimed, agent->info.is_listed, agent->info.is_available,
                                      agent->info.until_at_ms, engine_now().wall_ms);
    if (room != ROOM_FREE && !BREAKS(CAPACITY)) {
        galloc_fail(error, GALLOC_INVALID_INPUT, "%s has no room left", agent->info.agent_id);
        item->excluded = agent->info.id;
        return OUTCOME_AGENT_FULL;
    }
    agent->claimed++;
    attempt->chosen = agent->info.id;
    return OUTCOME_SUCCEEDED;
}

static void tell_pacer(struct attempt *attempt, const struct net_response *response, const struct provider_verdict *verdict, enum outcome_class class,
                       struct pacer_change *ret_change)
{
    struct pacer_outcome outcome = call_outcome(response, verdict, attempt->sent_us);
    outcome.class = class; /* as the answer was judged */
    outcome.is_first_attempt = attempt->n == 1;
    outcome.is_probe = attempt->is_probe;
    outcome.failed_before = attempt->budget.failures > 0;
    outcome.was_full = attempt->was_full;
    outcome.in_flight = attempt->endpoint->in_flight - 1;
    pacer_outcome(attempt->endpoint->pacer, engine_now(), &outcome, ret_change);
}

/* Rejected alike five times in a row before any success: the run as a whole is wrong, not each input. */
static void count_rejection(struct attempt *attempt, int status, const char *message)
{
    struct run_dispatch *d = attempt->run->dispatch;
    unsigned char digest[DIGEST_BYTES];
    uint64_t mark;
    digest_of(message, strlen(message), digest);
    memcpy(&mark, digest, sizeof mark);
    mark += (uint64_t)status;
    d->reject_streak = mark == d->reject_mark ? d->reject_streak + 1 : 1;
    d->reject_mark = mark;
    if (d->reject_streak < 5 || ((attempt->run->info.pauses | d->pausing) & PAUSE_BIT(PAUSE_REJECTED)))
        return;
    d->reject_streak = 0;
    char text[400];
    snprintf(text, sizeof text, "the provider rejected five assignments in a row alike: %.300s", message);
    run_pause(attempt->engine, attempt->run, PAUSE_REJECTED, text);
}

static void hold_transient(struct attempt *attempt, const struct retry_decision *decision, const struct settle_item *item)
{
    struct held *held = xcalloc(1, sizeof *held);
    int64_t now_us = engine_now().mono_us;
    *held = (struct held){.run = attempt->run->info.id, .assignment = attempt->assignment, .n = attempt->row_n, .sent_us = attempt->sent_us, .failed_us = now_us,
                          .due_us = now_us + decision->delay_ms * 1000, .is_first = attempt->n == 1, .retries_spent = attempt->budget.retries_spent,
                          .message = xstrdup(item->message), .http_status = item->http_status};
    held_add(attempt->endpoint, attempt->run, held);
}

/* Turns the decision into the row's move. */
static void decide(struct attempt *attempt, struct settle_item *item, const struct provider_verdict *verdict, const struct alloc_answer *answer)
{
    static const enum settle_move moves[] = {[RETRY_SUCCEED] = MOVE_SUCCEED, [RETRY_FAIL] = MOVE_FAIL, [RETRY_ASK_NOW] = MOVE_REASK,
                                             [RETRY_HOLD_TRANSIENT] = MOVE_HOLD, [RETRY_HOLD_REJECTED] = MOVE_HOLD, [RETRY_PENDING] = MOVE_PENDING};
    const struct run_entry *run = attempt->run;
    struct retry_input input = {.class = item->class,
                                .n = attempt->n,
                                .is_truncated = verdict->is_truncated,
                                .run_has_success = run->info.counts[COUNT_STATE + ASSIGNMENT_SUCCEEDED] > 0,
                                .token_cap = attempt->token_cap,
                                .backoff_max_ms = run->profile.backoff_max_ms};
    struct retry_decision decision = retry_decide(&input, &attempt->budget, &attempt->engine->rng);
    decision.delay_ms = (int64_t)((double)decision.delay_ms * attempt->endpoint->config->time_scale);
    item->move = moves[decision.action];
    item->is_late = decision.is_late || in_turn_is_late(attempt, item->class);
    item->delay_ms = decision.delay_ms;
    item->retries_spent = attempt->budget.retries_spent;
    item->reasks_spent = attempt->budget.reasks_spent;
    item->fulls_spent = attempt->budget.fulls_spent;
    item->failures = attempt->budget.failures;
    item->token_cap = attempt->budget.token_cap;
    if (item->move == MOVE_REASK && !run_is_runnable(attempt->engine, run))
        item->move = MOVE_PENDING; /* asked again when the run goes on */
    if (decision.action == RETRY_HOLD_TRANSIENT) {
        item->hold = HOLD_TRANSIENT;
        hold_transient(attempt, &decision, item);
    } else if (decision.action == RETRY_HOLD_REJECTED) {
        item->hold = HOLD_REJECTED;
    }
    const struct result_call call = {verdict->model_version, item->http_status, item->latency_ms};
    if (item->move == MOVE_SUCCEED)
        item->result = result_body_decision(answer->reason, answer->confidence, DECIDED_BY_MODEL, call);
    else if (item->move == MOVE_FAIL || item->hold == HOLD_REJECTED)
        item->result = result_body_failure(item->message ? item->message : outcome_row(item->class)->text, NULL, call);
}

static void fill_call(struct attempt *attempt, struct settle_item *item, const struct net_response *response, const struct provider_verdict *verdict)
{
    struct endpoint *endpoint = attempt->endpoint;
    item->has_call_result = true;
    item->is_call_lost = item->class == OUTCOME_LOST;
    item->http_status = response->status;
    item->local_port = response->local_port;
    item->latency_ms = response->latency_us / 1000;
    struct call_charge charge;
    call_charge(endpoint, response, verdict, &charge);
    memcpy(item->tokens, charge.tokens, sizeof item->tokens);
    item->cost_micros = charge.cost_micros;
    memcpy(item->currency, charge.currency, sizeof item->currency);
    if (charge.tokens[TOKEN_IN] >= 0) /* those that a cache had are part of these */
        share_correct(&attempt->run->dispatch->share, attempt->charged,
                      charge.tokens[TOKEN_IN] + charge.tokens[TOKEN_OUT] + charge.tokens[TOKEN_THOUGHT] + charge.tokens[TOKEN_TOOL]);
    endpoint->counts[item->class]++;
}

/* What the outcome means beyond its assignment. */
static void follow_up(struct attempt *attempt, const struct settle_item *item, const struct pacer_change *change)
{
    struct endpoint *endpoint = attempt->endpoint;
    struct run_dispatch *d = attempt->run->dispatch;
    const struct outcome_row *row = outcome_row(item->class);
    if (item->class == OUTCOME_SUCCEEDED) {
        d->reject_streak = 0;
        d->last_problem[0] = '\0';
        d->spares_pause = false;
    } else if (item->message != NULL && (row->rule == RULE_RETRY || item->class == OUTCOME_UNAVAILABLE)) {
        snprintf(d->last_problem, sizeof d->last_problem, "%.240s", item->message);
    }
    refused_note(attempt, item->class);
    if (attempt->is_probe)
        in_turn_answered(attempt, item->class);
    else if (outcome_is_answer(item->class))
        held_confirm(endpoint, attempt->sent_us);
    attempt->is_probe = false; /* asked again, it is as any other */
    if (item->hold == HOLD_REJECTED)
        count_rejection(attempt, item->http_status, item->message ? item->message : "");
    if (row->puts_endpoint_down && attempt->sent_us >= endpoint->dispatch->up_us)
        endpoint_go_down(attempt->engine, endpoint, item->class, item->message);
    call_tell_change(endpoint, change, item->message ? item->message : "");
}

/* The model's words of an answer that does not stand, or not yet, as far as they are kept. */
static void keep_raw(struct settle_item *item, const char *text)
{
    size_t len = strlen(text);
    if (len > 0)
        item->raw = xstrndup(text, text_utf8_span(text, len > LIMIT_MESSAGE_BYTES ? LIMIT_MESSAGE_BYTES : len));
}

static void on_response(const struct net_response *response, void *arg)
{
    struct attempt *attempt = arg;
    land(attempt);
    struct provider_verdict verdict = {0};
    call_classify(attempt->endpoint, response, rest_is_due(&attempt->rest), &verdict);
    rest_join(&attempt->rest, response, &verdict);
    struct settle_item *item = settle_add(attempt);
    struct alloc_answer decision = {.reason = NULL};
    struct galloc_error error = {.message = ""};
    item->class = verdict.class;
    if (attempt->is_superseded) {
        item->class = verdict.class == OUTCOME_SUCCEEDED ? OUTCOME_DROPPED : verdict.class;
        item->message = xstrdup("another call for it was answered first");
    } else if (verdict.class == OUTCOME_SUCCEEDED) {
        item->class = validate(attempt, verdict.answer, &decision, item, &error);
        if (item->class != OUTCOME_SUCCEEDED) {
            item->message = xstrdup(error.message);
            keep_raw(item, verdict.answer);
        }
    } else {
        item->message = xstrdup(verdict.message ? verdict.message : outcome_row(verdict.class)->text);
        keep_raw(item, verdict.answer ? verdict.answer : "");
    }
    fill_call(attempt, item, response, &verdict);
    struct pacer_change change;
    tell_pacer(attempt, response, &verdict, item->class, &change);
    if (item->class == OUTCOME_SUCCEEDED || !hedge_stays(attempt, item))
        decide(attempt, item, &verdict, &decision);
    if (item->move == MOVE_SUCCEED)
        hedge_decided(attempt);
    follow_up(attempt, item, &change);
    free(decision.reason);
    provider_verdict_clear(&verdict);
    engine_turn(attempt->engine);
}
