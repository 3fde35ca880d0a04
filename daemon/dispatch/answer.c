/* What came back of a call: classified once, then held against each of its attempts; the call's end goes to the books, the pacer and the endpoint once, each attempt's
 * to its row (decide.c, settle.c). */
#include "dispatch/call.h"
#include "dispatch/decide.h"
#include "dispatch/dispatch.h"

#include "base/text.h"
#include "core/limits.h"

#include <string.h>

/* The model's words of an answer that does not stand, or not yet, as far as they are kept. */
static void keep_raw(struct settle_item *item, struct json_span text)
{
    if (text.len > 0)
        item->raw = xstrndup(text.at, text_utf8_span(text.at, text.len > LIMIT_MESSAGE_BYTES ? LIMIT_MESSAGE_BYTES : text.len));
}

static struct json_span words_of(const struct provider_verdict *verdict)
{
    return verdict->answer != NULL ? (struct json_span){verdict->answer, strlen(verdict->answer)} : (struct json_span){NULL, 0};
}

/* What the model says of one assignment. */
static void judge_one(struct decision *decision, struct json_span text)
{
    struct settle_item *item = &decision->item;
    struct galloc_error error = {.message = ""};
    item->class = judge_answer(decision->attempt, text, &decision->said, item, &error);
    if (item->class == OUTCOME_SUCCEEDED)
        return;
    item->message = xstrdup(error.message);
    keep_raw(item, text);
}

/* What the call's end is for one of its attempts, where it is the same for all. */
static void judge_whole(struct decision *decision, const struct provider_verdict *verdict)
{
    struct settle_item *item = &decision->item;
    item->class = verdict->class;
    if (decision->attempt->call->is_superseded) {
        item->class = verdict->class == OUTCOME_SUCCEEDED ? OUTCOME_DROPPED : verdict->class;
        item->message = xstrdup("another call for it was answered first");
        return;
    }
    item->message = xstrdup(verdict->message ? verdict->message : outcome_row(verdict->class)->text);
    keep_raw(item, words_of(verdict));
    decision->is_whole = verdict->class == OUTCOME_INVALID_ANSWER || verdict->class == OUTCOME_REJECTED;
}

/* Each attempt of a pack by what stands for its id. One that is missing, or is there twice, is as wrong as one that names nobody. */
static void judge_pack(struct call *call, struct decision *decisions, size_t count, struct provider_verdict *verdict)
{
    struct pack_item *items = xcalloc(call->count, sizeof *items);
    struct json_span text = words_of(verdict);
    struct galloc_error error = {.message = ""};
    int rc = pack_answer_read(text.at, text.len, call->mark, call->count, items, &error);
    if (rc < 0) {
        verdict->class = OUTCOME_INVALID_ANSWER;
        free(verdict->message);
        verdict->message = xstrdup(error.message);
    }
    for (size_t i = 0; i < count; i++) {
        const struct pack_item *item = &items[decisions[i].attempt - call->attempts];
        if (rc < 0) {
            judge_whole(&decisions[i], verdict);
        } else if (item->count == 1) {
            judge_one(&decisions[i], item->object);
        } else {
            decisions[i].item.class = OUTCOME_INVALID_ANSWER;
            decisions[i].item.message = xstrdup(item->count == 0 ? "the answer has nothing for this assignment" : "the answer has more than one choice for this assignment");
        }
    }
    free(items);
}

static void judge(struct call *call, struct decision *decisions, size_t count, struct provider_verdict *verdict)
{
    if (verdict->class == OUTCOME_SUCCEEDED && count > 1) {
        judge_pack(call, decisions, count, verdict);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (verdict->class == OUTCOME_SUCCEEDED && !call->is_superseded)
            judge_one(&decisions[i], words_of(verdict));
        else
            judge_whole(&decisions[i], verdict);
}

/* The size of the run's packs follows what comes of them. */
static void note_pack(struct call *call, const struct decision *decisions, size_t count)
{
    size_t valid = 0;
    const struct settle_item *item = &decisions[0].item;
    for (size_t i = 0; i < count; i++)
        valid += decisions[i].item.class == OUTCOME_SUCCEEDED;
    if (call->run->plan.pack == 0 && (outcome_is_answer(item->call_class) || decisions[0].is_whole))
        pack_auto_told(&call->run->dispatch->pack, count, valid, max_i64(item->tokens[TOKEN_IN], 0) + max_i64(item->tokens[TOKEN_OUT], 0) + max_i64(item->tokens[TOKEN_THOUGHT], 0),
                       decisions[0].is_whole);
}

/* ---- the call's end ---- */

/* As it is kept and told: a call succeeded when it decided somebody; else it ended as its first attempt did. */
static enum outcome_class class_of_call(const struct decision *decisions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (decisions[i].item.class == OUTCOME_SUCCEEDED)
            return OUTCOME_SUCCEEDED;
    return decisions[0].item.class;
}

static bool some_failed_before(const struct decision *decisions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (decisions[i].attempt->budget.failures > 0)
            return true;
    return false;
}

bool call_is_first(const struct call *call)
{
    for (size_t i = 0; i < call->count; i++)
        if (call->attempts[i].n > 1)
            return false;
    return true;
}

/* What it came to, in each item the same; each takes its share of it (settle). */
static void fill_items(struct call *call, struct decision *decisions, size_t count, enum outcome_class class, const struct net_response *response,
                       const struct provider_verdict *verdict)
{
    struct call_charge charge;
    call_charge(call->endpoint, &call->terms, response, verdict, &charge);
    int64_t kept_micros = money_kept(call, response, &charge);
    for (size_t i = 0; i < count; i++) {
        struct settle_item *item = &decisions[i].item;
        item->has_call_result = true;
        item->part = (int32_t)i;
        item->part_count = (int32_t)count;
        item->call_class = class;
        item->is_call_lost = class == OUTCOME_LOST;
        item->http_status = response->status;
        item->local_port = response->local_port;
        item->latency_ms = response->latency_us / 1000;
        memcpy(item->tokens, charge.tokens, sizeof item->tokens);
        item->cost_micros = charge.cost_micros;
        item->kept_micros = kept_micros;
        memcpy(item->currency, charge.currency, sizeof item->currency);
    }
    if (charge.tokens[TOKEN_IN] >= 0) /* those that a cache had are part of these */
        share_correct(&call->run->dispatch->share, call->charged,
                      charge.tokens[TOKEN_IN] + charge.tokens[TOKEN_OUT] + charge.tokens[TOKEN_THOUGHT] + charge.tokens[TOKEN_TOOL]);
    call->endpoint->counts[class]++;
}

static void tell_pacer(struct call *call, const struct net_response *response, const struct provider_verdict *verdict, enum outcome_class class, bool failed_before,
                       struct pacer_change *ret_change)
{
    struct pacer_outcome outcome = call_outcome(response, verdict, call->sent_us);
    outcome.class = class; /* as the answer was judged */
    outcome.is_first_attempt = call_is_first(call);
    outcome.is_probe = call->is_probe;
    outcome.failed_before = failed_before;
    outcome.was_full = call->was_full;
    outcome.in_flight = call->endpoint->in_flight - 1;
    pacer_outcome(call->endpoint->pacer, engine_now(), &outcome, ret_change);
}

/* What the outcome means beyond its assignments. `message` may be NULL. */
static void follow_up(struct call *call, enum outcome_class class, const char *message, const struct pacer_change *change)
{
    struct endpoint *endpoint = call->endpoint;
    struct run_dispatch *d = call->run->dispatch;
    const struct outcome_row *row = outcome_row(class);
    if (class == OUTCOME_SUCCEEDED) {
        d->reject_streak = 0;
        d->last_problem[0] = '\0';
        d->spares_pause = false;
    } else if (message != NULL && (row->rule == RULE_RETRY || class == OUTCOME_UNAVAILABLE)) {
        snprintf(d->last_problem, sizeof d->last_problem, "%.240s", message);
    }
    refused_note(call, class);
    if (call->is_probe)
        in_turn_answered(call, class);
    else if (outcome_is_answer(class))
        held_confirm(endpoint, call->sent_us);
    call->is_probe = false; /* asked again, it is as any other */
    if (row->puts_endpoint_down && call->sent_us >= endpoint->dispatch->up_us)
        endpoint_go_down(call->engine, endpoint, class, message);
    call_tell_change(endpoint, change, message ? message : "");
}

/* Of the attempts that the call still carries: their number. */
static size_t begin_decisions(struct call *call, struct decision *decisions)
{
    size_t count = 0;
    for (size_t i = 0; i < call->count; i++)
        if (!call->attempts[i].has_left)
            decisions[count++] = (struct decision){.attempt = &call->attempts[i], .item = settle_item_of(&call->attempts[i]), .said = JUDGED_EMPTY};
    return count;
}

static void take_answer(struct call *call, struct decision *decisions, const struct net_response *response, struct provider_verdict *verdict)
{
    size_t count = begin_decisions(call, decisions);
    bool failed_before = some_failed_before(decisions, count);
    judge(call, decisions, count, verdict);
    enum outcome_class class = class_of_call(decisions, count);
    char *message = xstrdup(decisions[0].item.message);
    fill_items(call, decisions, count, class, response, verdict);
    note_pack(call, decisions, count);
    struct pacer_change change;
    tell_pacer(call, response, verdict, class, failed_before, &change);
    for (size_t i = 0; i < count; i++) {
        if (decisions[i].item.class == OUTCOME_SUCCEEDED || !hedge_stays(call, &decisions[i].item))
            decide(&decisions[i], verdict);
        judged_clear(&decisions[i].said);
        settle_add(decisions[i].attempt, &decisions[i].item);
    }
    if (class == OUTCOME_SUCCEEDED)
        hedge_decided(call);
    follow_up(call, class, message, &change);
    free(message);
}

static void land(struct call *call)
{
    *call->fly_at = call->fly_next;
    if (call->fly_next != NULL)
        call->fly_next->fly_at = call->fly_at;
    call->handle = NULL;
}

void call_answered(const struct net_response *response, void *arg)
{
    struct call *call = arg;
    struct engine *engine = call->engine;
    struct decision one = {.attempt = NULL};
    struct provider_verdict verdict = {0};
    land(call);
    call_classify(call->endpoint, response, rest_is_due(&call->rest), &verdict);
    if (call_left(call) > 1)
        rest_refuse(&verdict);
    else
        rest_join(&call->rest, response, &verdict);
    struct decision *decisions = call->count == 1 ? &one : xcalloc(call->count, sizeof *decisions);
    take_answer(call, decisions, response, &verdict);
    if (decisions != &one)
        free(decisions);
    provider_verdict_clear(&verdict);
    engine_turn(engine);
}
