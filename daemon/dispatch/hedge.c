/* A run's last stragglers, asked a second time where the endpoint allows it (`hedge = "tail"`): when nothing else of the run is left to send, a call that takes
 * much longer than others (core/hedge.h) gets a twin, an attempt of its own under the same lease. The first that stands decides the assignment; the other is
 * called off, recorded as lost, and may be billed.
 *
 *   one succeeds            the twin is superseded: its call is cancelled, or it is not sent; whatever comes of it stays without effect
 *   one ends otherwise      it is recorded and spends nothing; the row is left to the twin, which is as any other attempt from then on
 *   the daemon dies         both calls are lost, and the row is given back once
 * Loop's thread. */
#include "dispatch/dispatch.h"

#include <string.h>

#define RACED_RETRY_MS 1000 /* a call failed while its twin's row was being written, which is rare: tried again after so long */

/* The oldest call of the run that may be asked twice: a pack is not, since it would cost as much again for one of its assignments. NULL: none. */
static struct call *oldest_of(const struct engine *engine, const struct run_entry *run)
{
    struct call *oldest = NULL;
    for (struct call *call = engine->flying; call != NULL; call = call->fly_next) {
        bool may = call->run == run && call->endpoint == run->endpoint && call->count == 1 && !call->was_hedged && !call->is_probe && !rest_is_due(&call->rest);
        if (may && (oldest == NULL || call->sent_us < oldest->sent_us))
            oldest = call;
    }
    return oldest;
}

static struct call *twin_of(struct call *first)
{
    struct call *twin = call_new(first->run, first->endpoint, 1);
    const struct attempt *attempt = &first->attempts[0];
    twin->attempts[0] = (struct attempt){.call = twin, .assignment = attempt->assignment, .lease = attempt->lease, .key = xstrdup(attempt->key),
                                         .fields = xstrndup(attempt->fields, attempt->fields_len), .fields_len = attempt->fields_len,
                                         .budget = attempt->budget, .excluded = attempt->excluded};
    twin->twin = first;
    twin->was_hedged = true;
    first->twin = twin;
    first->was_hedged = true;
    first->run->pool->in_flight++;
    return twin;
}

void hedge_part(struct call *call)
{
    if (call->twin != NULL)
        call->twin->twin = NULL;
    call->twin = NULL;
}

void hedge_give_up(struct call *call)
{
    struct attempt *attempt = &call->attempts[0];
    struct engine *engine = call->engine;
    struct settle_item item = settle_item_of(attempt);
    call_take_slot(call); /* until that is stored, like any other end */
    item.class = OUTCOME_RELEASED;
    item.move = MOVE_STAY;
    item.message = xstrdup("was not needed any more, or could not be sent");
    settle_add(attempt, &item);
    hedge_part(call);
    engine_turn(engine);
}

static void on_hedged(struct store_op *op)
{
    struct store_hedge *hedge = (struct store_hedge *)op;
    struct call *twin = op->arg;
    struct engine *engine = twin->engine;
    struct attempt *attempt = &twin->attempts[0];
    twin->run->dispatch->has_hedge = false;
    engine->settles_pending--;
    twin->id = op->code == 0 ? hedge->ret_call : 0;
    attempt->n = attempt->row_n = hedge->ret_n;
    if (twin->id == 0) {
        attempt_end(attempt);
    } else if (twin->is_superseded) {
        hedge_give_up(twin);
    } else {
        twin->twin->attempts[0].row_n = attempt->n;
        twin->run->dispatch->hedged++;
        ready_put_back(twin, 0);
    }
    store_op_free(op);
    engine_turn(engine);
}

static int64_t size_of(const struct run_entry *run)
{
    int64_t size = 0;
    for (int i = 0; i < ASSIGNMENT_STATE_COUNT; i++)
        size += run->info.counts[COUNT_STATE + i];
    return size;
}

void hedge_look(struct engine *engine, struct run_entry *run, struct pacer_now now)
{
    struct run_dispatch *d = run->dispatch;
    bool is_tail = d->ready == NULL && !d->has_claim && d->in_flight > 0 && run->info.counts[COUNT_STATE + ASSIGNMENT_PENDING] == 0;
    if (strcmp(run->endpoint->config->hedge, "tail") != 0 || run->profile.mode != MODE_CONTINUOUS || !is_tail || d->has_hedge)
        return;
    struct call *oldest = oldest_of(engine, run);
    struct hedge_tail tail = {.oldest_sent_us = oldest != NULL ? oldest->sent_us : -1, .hedged = d->hedged, .assignments = size_of(run)};
    int64_t wait_us = pacer_ask_hedge(run->endpoint->pacer, now, &tail);
    if (wait_us > 0)
        pump_wake_at(run->endpoint, wait_us);
    if (wait_us != 0 || pacer_ask(run->endpoint->pacer, now, call_estimate(oldest), run->endpoint->in_flight, true, false).wait != PACER_GO)
        return;
    struct store_hedge *hedge = store_op_new(OP_HEDGE, on_hedged, twin_of(oldest));
    hedge->run = run->info.id;
    hedge->assignment = oldest->attempts[0].assignment;
    hedge->lease = oldest->attempts[0].lease;
    hedge->endpoint = xstrdup(run->endpoint->config->name);
    d->has_hedge = true;
    engine->settles_pending++;
    store_submit(engine->store, &hedge->op);
}

static bool is_ready(const struct call *call)
{
    for (const struct call *at = call->run->dispatch->ready; at != NULL; at = at->next)
        if (at == call)
            return true;
    return false;
}

void hedge_decided(struct call *call)
{
    struct call *twin = call->twin;
    if (twin == NULL)
        return;
    hedge_part(call);
    twin->is_superseded = true;
    if (twin->handle != NULL) {
        net_cancel(twin->handle);
    } else if (is_ready(twin)) {
        ready_take_out(twin);
        hedge_give_up(twin);
    } /* else it is with the store, or ends in this turn: on_hedged() or hedge_stays() sees to it */
}

bool hedge_stays(struct call *call, struct settle_item *item)
{
    struct call *twin = call->twin;
    if (item->move == MOVE_STAY || (twin == NULL && !call->is_superseded))
        return item->move == MOVE_STAY;
    item->move = MOVE_STAY;
    item->hold = HOLD_NONE;
    if (twin != NULL && twin->id == 0) { /* it may not come to be, so the row is not left to it */
        twin->is_superseded = true;
        item->move = MOVE_PENDING;
        item->delay_ms = RACED_RETRY_MS;
    }
    hedge_part(call);
    return true;
}
