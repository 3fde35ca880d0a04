/* From the lease to the send: who can be named for each attempt, what is asked, the request. The lease, the attempts and their call are durable before it comes
 * here; rendered at the moment of sending, so that loads and open agents are fresh. An attempt for which nobody can be asked leaves its call, and the others go. */
#include "dispatch/ask.h"
#include "dispatch/call.h"
#include "dispatch/dispatch.h"

#include "core/result_body.h"

#include <inttypes.h>

enum { CALL_ID_BYTES = 96, MARK_LETTERS = 5, OUTPUT_TOKENS_MOST = 65536 };

/* ---- attempts that leave ---- */

static bool is_last(const struct attempt *attempt)
{
    const struct call *call = attempt->call;
    for (size_t i = 0; i < call->count; i++)
        if (&call->attempts[i] != attempt && !call->attempts[i].has_left)
            return false;
    return true;
}

/* It ends without an answer; the last that does so ends the call, whose row becomes `released`. Takes what the item owns. */
static void leave(struct attempt *attempt, struct settle_item *item)
{
    call_take_slot(attempt->call);
    item->call = is_last(attempt) ? attempt->call->id : 0;
    attempt->has_left = true;
    settle_add(attempt, item);
}

static void fail_without_call(struct attempt *attempt, enum outcome_class class, const char *message)
{
    struct settle_item item = settle_item_of(attempt);
    item.class = class;
    item.move = MOVE_FAIL;
    item.message = xstrdup(message);
    item.result = result_body_failure(message, NULL, RESULT_NO_CALL);
    leave(attempt, &item);
}

static void wait_without_call(struct attempt *attempt, const struct candidates_way *way)
{
    struct settle_item item = settle_item_of(attempt);
    item.class = way->class;
    item.move = way->move;
    item.hold = way->hold;
    item.is_late = attempt->budget.failures > 1;
    item.delay_ms = way->delay_ms;
    item.message = xstrdup(way->words);
    leave(attempt, &item);
}

/* All that are left of it, for a reason of the call's. */
static void wait_all(struct call *call, enum outcome_class class, const char *words)
{
    const struct candidates_way way = {.class = class, .move = MOVE_PENDING, .words = words};
    for (size_t i = 0; i < call->count; i++)
        if (!call->attempts[i].has_left)
            wait_without_call(&call->attempts[i], &way);
}

/* ---- sending ---- */

static void fly(struct call *call)
{
    struct engine *engine = call->engine;
    call->fly_next = engine->flying;
    call->fly_at = &engine->flying;
    if (call->fly_next != NULL)
        call->fly_next->fly_at = &call->fly_next;
    engine->flying = call;
}

/* What was tried before may have died with a reused connection, which spends nothing: on a new one its end is clear. */
static bool was_tried(const struct call *call)
{
    for (size_t i = 0; i < call->count; i++)
        if (call->attempts[i].n > 1)
            return !call->keeps_slot || call->is_tried;
    return false;
}

static void send_request(struct call *call, struct provider_request *request)
{
    struct endpoint *endpoint = call->endpoint;
    struct endpoint_dispatch *d = endpoint->dispatch;
    const struct call_sending sending = {.timeout_ms = max_i64(endpoint->values[SETTING_REQUEST_TIMEOUT], request->least_timeout_ms),
                                         .wants_new_connection = call->is_probe || was_tried(call),
                                         .done = call_answered,
                                         .arg = call};
    int64_t tokens = call_tokens(call->endpoint, (int64_t)request->body.len);
    d->prompt_tokens = d->prompt_tokens == 0 ? tokens : d->prompt_tokens + (tokens - d->prompt_tokens) / 8;
    d->has_turn |= call->is_probe;
    call->was_full = endpoint->in_flight >= pacer_in_flight_limit(endpoint->pacer, true);
    call->charged = tokens;
    share_charge(&d->clock, &call->run->dispatch->share, tokens);
    endpoint->calls++;
    call->handle = call_send(endpoint, request, &sending, &call->sent_us);
    call->engine->calls++;
    fly(call);
}

/* It was let through as one like the last prompts. One that is larger than what the quota of tokens has left waits for room, before all that its run has leased:
 * behind smaller ones it would never find any. */
static bool waits_for_tokens(struct call *call, const struct provider_request *request)
{
    int64_t tokens = call_tokens(call->endpoint, (int64_t)request->body.len);
    bool is_adaptive = call->run->profile.mode == MODE_CONTINUOUS;
    struct pacer_answer answer = pacer_ask(call->endpoint->pacer, engine_now(), tokens, call->endpoint->in_flight, is_adaptive, true);
    if (answer.wait != PACER_LIMIT_TPM && answer.wait != PACER_LIMIT_WINDOW)
        return false;
    call->tokens = tokens;
    if (!call->keeps_slot)
        call_leave_slot(call);
    ready_put_back(call, answer.wait_us);
    return true;
}

/* `rc`: of making the request; what cannot be made for one assignment can be made for none. Clears the request. */
static void send_if_made(struct call *call, int rc, struct provider_request *request, const struct galloc_error *error)
{
    if (rc == 0) {
        if (!waits_for_tokens(call, request) && !money_waits(call, request))
            send_request(call, request);
    } else {
        endpoint_go_down(call->engine, call->endpoint, OUTCOME_CONFIG, error->message);
        wait_all(call, OUTCOME_CONFIG, error->message);
    }
    provider_request_clear(request);
}

/* Nothing is made anew: it is the rest of an answer to what was asked. Places and loads are looked at when the whole is there. */
static void ask_for_rest(struct call *call)
{
    struct galloc_error error;
    struct provider_request request = {0};
    struct provider_wire wire = endpoint_wire(call->endpoint);
    const struct rest *rest = &call->rest;
    call_take_slot(call); /* it has it but where it had to wait for money */
    int rc = call->endpoint->provider->build_rest(&wire, rest->body, rest->body_len, rest->token, &request, &error);
    send_if_made(call, rc, &request, &error);
}

/* ---- what is asked ---- */

/* Who may be named for it; none: it has left. The caller frees ret_candidates->agents. */
static void find_candidates(struct attempt *attempt, struct candidates *ret_candidates)
{
    const struct run_entry *run = attempt->call->run;
    if (attempt->fields == NULL) {
        const struct candidates_way *way = candidates_way(CANDIDATES_CORRUPT);
        fail_without_call(attempt, way->class, way->words);
        return;
    }
    candidates_leave(attempt); /* of its last prompt */
    enum candidates_found found = candidates_find(run, run->pool, (struct json_span){attempt->fields, attempt->fields_len}, attempt->excluded,
                                                  engine_now().wall_ms, ret_candidates);
    if (found == CANDIDATES_SOME) {
        candidates_keep(attempt, ret_candidates);
        return;
    }
    free(ret_candidates->agents);
    ret_candidates->agents = NULL;
    ret_candidates->count = 0;
    attempt->away_changes = run->pool->changes;
    attempt->away_until_at_ms = ret_candidates->away_until_at_ms;
    const struct candidates_way *way = candidates_way(found);
    if (way->move == MOVE_FAIL)
        fail_without_call(attempt, way->class, way->words);
    else
        wait_without_call(attempt, way);
}

/* Sends what was asked; `first` stands for all that the call carries where one is named. */
static void ask(const struct attempt *first, const struct candidates *candidates, const struct asked *asked, bool is_pack)
{
    struct galloc_error error;
    struct provider_request request = {0};
    struct call *call = first->call;
    struct provider_wire wire = endpoint_wire(call->endpoint);
    struct run_dispatch *d = call->run->dispatch;
    char id[CALL_ID_BYTES];
    struct buf user_json = BUF_EMPTY;
    prompt_system_json(d, &asked->system);
    if (asked->user.len > 0)
        asked_user_json(asked, &user_json);
    prompt_named_set(&d->named, call->endpoint->provider, d->schema, candidates, is_pack);
    snprintf(id, sizeof id, "%s/%" PRId64 "/%" PRId32, call->run->info.run_id, first->assignment, first->n);
    struct provider_ask ask = {.system_json = buf_text(&d->system_json), .system_json_len = d->system_json.len, .user_json = buf_text(&user_json),
                               .user_json_len = user_json.len, .choice_json = buf_text(&d->named.choice_json),
                               .choice_json_len = d->named.choice_json.len, .max_output_tokens = call->token_cap, .tier = (enum price_tier)call->run->plan.tier,
                               .id = id, .run = call->run->info.run_id, .key = first->key, .attempt = first->n};
    asked_take_data(asked, &ask);
    int rc = call->endpoint->provider->build(&wire, &ask, &request, &error);
    send_if_made(call, rc, &request, &error);
    buf_clear(&user_json);
}

static struct ask_about about_of(const struct attempt *attempt, const struct candidates *candidates)
{
    const struct call *call = attempt->call;
    const struct run_dispatch *d = call->run->dispatch;
    return (struct ask_about){.provider = call->endpoint->provider, .plan = &call->run->plan, .keep_back = call->engine->config->keep_back,
                              .sends_all = d->sends_all, .template = d->template, .pool = call->run->pool, .key = attempt->key, .fields = attempt->fields,
                              .fields_len = attempt->fields_len, .candidates = candidates, .problem = attempt->problem};
}

/* An answer for several needs so many times the tokens. */
static int64_t token_cap_of(const struct call *call)
{
    int64_t cap = 0;
    for (size_t i = 0; i < call->count; i++) {
        const struct attempt *attempt = &call->attempts[i];
        if (!attempt->has_left)
            cap += attempt->budget.token_cap ? attempt->budget.token_cap : call->endpoint->values[SETTING_MAX_OUTPUT_TOKENS];
    }
    return min_i64(cap, OUTPUT_TOKENS_MOST);
}

static void ask_one(struct attempt *attempt, const struct candidates *candidates)
{
    struct galloc_error error;
    struct asked asked;
    const struct ask_about about = about_of(attempt, candidates);
    attempt->call->token_cap = token_cap_of(attempt->call);
    if (ask_make(&about, &asked, &error) < 0 || asked_check_size(&asked, &error) < 0)
        fail_without_call(attempt, OUTCOME_TEMPLATE, error.message);
    else
        ask(attempt, candidates, &asked, false);
    asked_clear(&asked);
}

/* ---- packs ---- */

/* The last half of them go again, with so few: what they make together cannot be asked. */
static void shed_half(struct call *call, const char *words)
{
    const struct candidates_way way = {.class = OUTCOME_RELEASED, .move = MOVE_PENDING, .words = words};
    size_t count = call_left(call), keep = (count + 1) / 2;
    for (size_t i = call->count; i-- > 0 && count > keep;) {
        struct attempt *attempt = &call->attempts[i];
        if (attempt->has_left)
            continue;
        attempt->pack_most = (int32_t)keep;
        wait_without_call(attempt, &way);
        count--;
    }
}

static bool is_too_much(const struct call *call, const struct asked *asked, struct galloc_error *error)
{
    int64_t tpm = call->endpoint->values[SETTING_TPM];
    if (tpm > 0 && call_tokens(call->endpoint, (int64_t)(asked->system.len + asked->user.len)) > tpm)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "it has more tokens than a minute's") < 0;
    return asked_check_size(asked, error) < 0;
}

static size_t items_of(const struct call *call, const struct candidates *named, struct ask_item *items)
{
    size_t count = 0;
    for (size_t i = 0; i < call->count; i++) {
        const struct attempt *attempt = &call->attempts[i];
        if (!attempt->has_left)
            items[count++] = (struct ask_item){i, attempt->key, attempt->fields, attempt->fields_len, &named[i], attempt->problem};
    }
    return count;
}

static void make_mark(struct call *call)
{
    for (size_t i = 0; i < MARK_LETTERS; i++)
        call->mark[i] = (char)('a' + (int)rng_range(&call->engine->rng, 0, 26));
    call->mark[MARK_LETTERS] = '\0';
}

/* Those that are left, in one prompt. False: nothing was sent, and fewer are left. */
static bool ask_pack(struct call *call, const struct candidates *named)
{
    struct galloc_error error;
    struct asked asked;
    struct candidates joined;
    struct ask_item *items = xcalloc(call->count, sizeof *items);
    size_t count = items_of(call, named, items);
    const struct attempt *first = &call->attempts[items[0].number];
    candidates_join(call->run->pool, named, call->count, &joined);
    const struct ask_about about = about_of(first, &joined);
    call->token_cap = token_cap_of(call);
    bool is_made = ask_make_pack(&about, items, count, call->mark, &asked, &error) == 0 && !is_too_much(call, &asked, &error);
    if (is_made)
        ask(first, &joined, &asked, true);
    else
        shed_half(call, "it did not fit into one request with the others");
    asked_clear(&asked);
    free(joined.agents);
    free(items);
    return is_made;
}

static void ask_all(struct call *call, const struct candidates *named)
{
    bool is_sent = false;
    make_mark(call);
    while (!is_sent && call_left(call) > 1)
        is_sent = ask_pack(call, named);
    for (size_t i = 0; !is_sent && i < call->count; i++)
        if (!call->attempts[i].has_left) {
            ask_one(&call->attempts[i], &named[i]);
            return;
        }
}

void call_start(struct call *call)
{
    struct candidates one = {.agents = NULL};
    if (rest_is_due(&call->rest)) {
        ask_for_rest(call);
        return;
    }
    size_t count = call->count;
    struct candidates *named = count == 1 ? &one : xcalloc(count, sizeof *named);
    for (size_t i = 0; i < count; i++)
        if (!call->attempts[i].has_left)
            find_candidates(&call->attempts[i], &named[i]);
    if (call_left(call) > 0) {
        call_take_slot(call);
        if (count == 1)
            ask_one(&call->attempts[0], named);
        else
            ask_all(call, named);
    }
    for (size_t i = 0; i < count; i++)
        free(named[i].agents);
    if (named != &one)
        free(named);
}
