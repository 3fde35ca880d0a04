/* Outcomes into the store: gathered for a turn of the loop, settled in one operation an endpoint, and what the commit says next. What was paid for stays in
 * memory until it is on disk: a settle that fails is submitted again, under the same fences, for as long as it takes. */
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "base/log.h"

#include <string.h>

/* A settle on its way: the attempts beside its items. */
struct flight {
    struct engine *engine;     /* borrowed */
    struct attempt **owners;   /* owned, with the attempts */
};

struct settle_item settle_item_of(const struct attempt *attempt)
{
    const struct run_entry *run = attempt->call->run;
    struct settle_item item = {.run = run->info.id,
                               .assignment = attempt->assignment,
                               .lease = attempt->lease,
                               .call = attempt->call->id,
                               .n = attempt->n,
                               .ledger = run->pool ? run->pool->ledger : 0,
                               .retries_spent = attempt->budget.retries_spent,
                               .reasks_spent = attempt->budget.reasks_spent,
                               .fulls_spent = attempt->budget.fulls_spent,
                               .failures = attempt->budget.failures,
                               .token_cap = attempt->budget.token_cap,
                               .pack_most = attempt->pack_most,
                               .cost_micros = -1};
    for (int i = 0; i < TOKEN_COUNT; i++)
        item.tokens[i] = -1;
    return item;
}

void settle_add(struct attempt *attempt, const struct settle_item *item)
{
    struct endpoint_dispatch *d = attempt->call->endpoint->dispatch;
    if (d->item_count == d->item_cap) {
        d->item_cap = d->item_cap ? 2 * d->item_cap : 64;
        d->items = xreallocarray(d->items, d->item_cap, sizeof *d->items);
        d->owners = xreallocarray(d->owners, d->item_cap, sizeof(struct attempt *));
    }
    d->items[d->item_count] = *item;
    d->owners[d->item_count++] = attempt;
}

/* The re-ask has its place already: it goes before all that waits. It was alone in its call, and is again. */
static void ask_again(struct attempt *attempt, const struct settle_item *item)
{
    struct call *call = attempt->call;
    struct run_entry *run = call->run;
    attempt->lease = item->ret_lease;
    attempt->n = attempt->row_n = item->ret_n;
    attempt->excluded = item->excluded;
    free(attempt->problem);
    attempt->problem = item->class == OUTCOME_INVALID_ANSWER ? xstrdup(item->message) : NULL;
    call->id = item->ret_call;
    call->keeps_slot = true;
    call->is_tried = false;
    call->tokens = 0;
    money_give_back(call);
    ready_put_back(call, 0);
    if (call->endpoint != run->endpoint)
        ready_release(run); /* the run goes to another endpoint now */
}

static void give_claim_back(struct attempt *attempt, bool is_held_now)
{
    struct agent_entry *agent = attempt->chosen ? pool_agent(attempt->call->run->pool, attempt->chosen) : NULL;
    attempt->chosen = 0;
    if (agent == NULL)
        return;
    agent->claimed = max_i64(agent->claimed - 1, 0);
    agent->info.held += is_held_now;
    attempt->call->run->pool->generation++;
}

static void tell_attempt(struct engine *engine, const struct attempt *attempt, const struct settle_item *item, int64_t retry_in_ms)
{
    const struct attempt_notice notice = {.run = attempt->call->run, .key = attempt->key, .endpoint = attempt->call->endpoint->config->name, .seq = item->ret_seq - 1,
                                          .n = item->n, .http_status = item->http_status, .class = item->class,
                                          .retry = item->class == OUTCOME_TRANSIENT ? item->retries_spent + 1 : -1, .retry_in_ms = retry_in_ms,
                                          .message = item->message};
    notice_attempt(engine, &notice);
}

static void tell_assignment(struct engine *engine, const struct attempt *attempt, const struct settle_item *item)
{
    bool has_succeeded = item->move == MOVE_SUCCEED;
    const struct assignment_notice notice = {.run = attempt->call->run, .key = attempt->key, .seq = item->ret_seq,
                                             .state = has_succeeded ? ASSIGNMENT_SUCCEEDED : ASSIGNMENT_FAILED, .class = item->class, .agent = item->agent};
    notice_assignment(engine, &notice);
}

static void on_item(struct engine *engine, struct attempt *attempt, struct settle_item *item)
{
    bool is_done = item->ret_verdict == VERDICT_DONE;
    item->class = is_done || item->move == MOVE_STAY ? item->class : item->ret_verdict == VERDICT_AGENT_FULL ? OUTCOME_AGENT_FULL : OUTCOME_DROPPED; /* as it was recorded */
    give_claim_back(attempt, is_done && item->move == MOVE_SUCCEED);
    int64_t retry_in_ms = !is_done ? -1 : item->move == MOVE_PENDING || item->hold == HOLD_TRANSIENT ? item->delay_ms : item->move == MOVE_REASK ? 0 : -1;
    if (item->class != OUTCOME_RELEASED)
        tell_attempt(engine, attempt, item, retry_in_ms);
    if (is_done && (item->move == MOVE_SUCCEED || item->move == MOVE_FAIL))
        tell_assignment(engine, attempt, item);
    if (is_done && item->hold == HOLD_TRANSIENT && !item->has_call_result)
        away_add(attempt->call->run, (struct away_row){attempt->assignment, attempt->row_n}, attempt->away_changes, attempt->away_until_at_ms);
    else if (item->hold == HOLD_TRANSIENT)
        held_stored(attempt->call->endpoint, item->assignment, attempt->row_n);
    if (is_done && item->move == MOVE_REASK) {
        ask_again(attempt, item);
        return;
    }
    struct run_dispatch *d = attempt->call->run->dispatch;
    if (item->move == MOVE_PENDING || item->move == MOVE_HOLD || !is_done)
        d->dry_until_us = 0; /* there may be something due again */
    attempt_end(attempt);
}

/* The store failed for good: nothing was kept, so nothing is told. The daemon is about to end; its next life tells the call as lost. */
static void abandon(struct attempt *attempt)
{
    give_claim_back(attempt, false);
    attempt_end(attempt);
}

static void on_settled(struct store_op *op)
{
    struct store_settle *settle = (struct store_settle *)op;
    struct flight *flight = op->arg;
    struct engine *engine = flight->engine;
    for (size_t i = 0; i < settle->count; i++) {
        if (settle->items[i].has_call_result && settle->items[i].part == 0)
            engine_call_settled(engine);
        if (op->code == 0)
            on_item(engine, flight->owners[i], &settle->items[i]);
        else
            abandon(flight->owners[i]);
    }
    free(flight->owners);
    free(flight);
    store_op_free(op);
}

void settle_flush(struct endpoint *endpoint)
{
    struct endpoint_dispatch *d = endpoint->dispatch;
    struct engine *engine = d->engine;
    if (d->item_count == 0)
        return;
    for (size_t i = 0; i < d->item_count; i++)
        if (d->items[i].move != MOVE_SUCCEED)
            hedge_stays(d->owners[i]->call, &d->items[i]);
    struct flight *flight = xcalloc(1, sizeof *flight);
    flight->engine = engine;
    flight->owners = d->owners;
    struct store_settle *settle = store_op_new(OP_SETTLE, on_settled, flight);
    settle->endpoint = xstrdup(endpoint->config->name);
    settle->items = d->items;
    settle->count = d->item_count;
    d->items = NULL;
    d->owners = NULL;
    d->item_count = d->item_cap = 0;
    owed_submit(engine, &settle->op);
}
