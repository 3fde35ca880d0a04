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

/* The oldest call of the run that may be asked twice. NULL: none. */
static struct attempt *oldest_of(const struct engine *engine, const struct run_entry *run)
{
    struct attempt *oldest = NULL;
    for (struct attempt *attempt = engine->flying; attempt != NULL; attempt = attempt->fly_next) {
        bool may = attempt->run == run && attempt->endpoint == run->endpoint && !attempt->was_hedged && !attempt->is_probe && !rest_is_due(&attempt->rest);
        if (may && (oldest == NULL || attempt->sent_us < oldest->sent_us))
            oldest = attempt;
    }
    return oldest;
}

static struct attempt *twin_of(struct attempt *first)
{
    struct attempt *twin = xcalloc(1, sizeof *twin);
    *twin = (struct attempt){.engine = first->engine, .run = first->run, .endpoint = first->endpoint, .assignment = first->assignment, .lease = first->lease,
                             .key = xstrdup(first->key), .fields = xstrndup(first->fields, first->fields_len), .fields_len = first->fields_len,
                             .budget = first->budget, .excluded = first->excluded, .twin = first, .was_hedged = true, .ready_us = engine_now().mono_us};
    first->twin = twin;
    first->was_hedged = true;
    first->run->pool->in_flight++;
    return twin;
}

void hedge_part(struct attempt *attempt)
{
    if (attempt->twin != NULL)
        attempt->twin->twin = NULL;
    attempt->twin = NULL;
}

void hedge_give_up(struct attempt *attempt)
{
    attempt_take_slot(attempt); /* until that is stored, like any other end */
    struct settle_item *item = settle_add(attempt);
    item->class = OUTCOME_RELEASED;
    item->move = MOVE_STAY;
    item->message = xstrdup("was not needed any more, or could not be sent");
    hedge_part(attempt);
    engine_turn(attempt->engine);
}

static void on_hedged(struct store_op *op)
{
    struct store_hedge *hedge = (struct store_hedge *)op;
    struct attempt *twin = op->arg;
    struct engine *engine = twin->engine;
    twin->run->dispatch->has_hedge = false;
    engine->settles_pending--;
    twin->call = op->code == 0 ? hedge->ret_call : 0;
    twin->n = twin->row_n = hedge->ret_n;
    if (twin->call == 0) {
        attempt_give_slot(twin);
        attempt_free(twin);
    } else if (twin->is_superseded) {
        hedge_give_up(twin);
    } else {
        twin->twin->row_n = twin->n;
        twin->run->dispatch->hedged++;
        pump_put_back(twin, 0);
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
    struct attempt *oldest = oldest_of(engine, run);
    struct hedge_tail tail = {.oldest_sent_us = oldest != NULL ? oldest->sent_us : -1, .hedged = d->hedged, .assignments = size_of(run)};
    int64_t wait_us = pacer_ask_hedge(run->endpoint->pacer, now, &tail);
    if (wait_us > 0)
        pump_wake_at(run->endpoint, wait_us);
    if (wait_us != 0 || pacer_ask(run->endpoint->pacer, now, attempt_estimate(oldest), run->endpoint->in_flight, true, false).wait != PACER_GO)
        return;
    struct store_hedge *hedge = store_op_new(OP_HEDGE, on_hedged, twin_of(oldest));
    hedge->run = run->info.id;
    hedge->assignment = oldest->assignment;
    hedge->lease = oldest->lease;
    hedge->endpoint = xstrdup(run->endpoint->config->name);
    d->has_hedge = true;
    engine->settles_pending++;
    store_submit(engine->store, &hedge->op);
}

static bool is_ready(const struct attempt *attempt)
{
    for (const struct attempt *at = attempt->run->dispatch->ready; at != NULL; at = at->next)
        if (at == attempt)
            return true;
    return false;
}

void hedge_decided(struct attempt *attempt)
{
    struct attempt *twin = attempt->twin;
    if (twin == NULL)
        return;
    hedge_part(attempt);
    twin->is_superseded = true;
    if (twin->call_handle != NULL) {
        net_cancel(twin->call_handle);
    } else if (is_ready(twin)) {
        pump_take_out(twin);
        hedge_give_up(twin);
    } /* else it is with the store, or ends in this turn: on_hedged() or hedge_stays() sees to it */
}

bool hedge_stays(struct attempt *attempt, struct settle_item *item)
{
    struct attempt *twin = attempt->twin;
    if (item->move == MOVE_STAY || (twin == NULL && !attempt->is_superseded))
        return item->move == MOVE_STAY;
    item->move = MOVE_STAY;
    item->hold = HOLD_NONE;
    if (twin != NULL && twin->call == 0) { /* it may not come to be, so the row is not left to it */
        twin->is_superseded = true;
        item->move = MOVE_PENDING;
        item->delay_ms = RACED_RETRY_MS;
    }
    hedge_part(attempt);
    return true;
}
