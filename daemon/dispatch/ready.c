/* What a run has leased and not sent: calls in the order in which they go. What was leased ahead and cannot go is given back, so that who looks sees leased what is
 * worked on. Loop's thread. */
#include "dispatch/dispatch.h"

#include <string.h>

/* The rows of one call stand together. */
static void add_call(struct run_entry *run, int64_t lease, struct leased_row *rows, size_t count)
{
    struct run_dispatch *d = run->dispatch;
    struct call *call = call_new(run, run->endpoint, count);
    call->id = rows[0].call;
    for (size_t i = 0; i < count; i++) {
        struct leased_row *row = &rows[i];
        struct attempt *attempt = &call->attempts[i];
        *attempt = (struct attempt){.call = call, .assignment = row->assignment, .lease = lease, .key = row->key, .fields = row->fields, .n = row->n, .row_n = row->n};
        attempt->pack_most = row->pack_most;
        attempt->fields_len = row->fields ? strlen(row->fields) : 0;
        attempt->budget = (struct retry_budget){row->retries_spent, row->reasks_spent, row->fulls_spent, row->failures, row->token_cap};
        attempt->problem = row->problem;
        row->key = row->fields = row->problem = NULL; /* moved */
    }
    run->pool->in_flight += (int64_t)count;
    *d->ready_end = call;
    d->ready_end = &call->next;
    d->ready_count++;
}

void ready_add(struct run_entry *run, struct store_claim *claim)
{
    for (size_t from = 0, to; from < claim->ret_count; from = to) {
        for (to = from + 1; to < claim->ret_count && claim->ret_rows[to].call == claim->ret_rows[from].call; to++)
            ;
        add_call(run, claim->ret_lease, &claim->ret_rows[from], to - from);
    }
}

void ready_take_out(struct call *call)
{
    struct run_dispatch *d = call->run->dispatch;
    struct call **at = &d->ready;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    if (*at == NULL)
        d->ready_end = at;
    d->ready_count--;
}

/* What could not go before then is not given back for having waited till then. */
void ready_put_back(struct call *call, int64_t wait_us)
{
    struct run_dispatch *d = call->run->dispatch;
    struct call **at = &d->ready;
    while (!call->has_money && *at != NULL && (*at)->has_money)
        at = &(*at)->next; /* those that have their money go first: they would wait behind one that waits for its own */
    call->ready_us = engine_now().mono_us + wait_us;
    call->next = *at;
    if (call->next == NULL)
        d->ready_end = &call->next;
    *at = call;
    d->ready_count++;
}

/* ---- giving back ---- */

static void on_released(struct store_op *op)
{
    struct engine *engine = op->arg;
    struct store_release *release = (struct store_release *)op;
    for (size_t i = 0; i < release->count; i++) {
        struct run_entry *run = registry_run_by_id(&engine->registry, release->items[i].run);
        if (run != NULL && run->dispatch != NULL)
            run->dispatch->dry_until_us = 0;
    }
    store_op_free(op);
}

/* What is left of an unsent call. Its row ends with the first of them. */
static void give_back(struct call *call, struct store_release *back)
{
    int64_t run = call->run->info.id;
    size_t count = call->count;
    for (size_t i = 0; i < count; i++) { /* the last that ends frees the call */
        struct attempt *attempt = &call->attempts[i];
        if (attempt->has_left)
            continue;
        back->items[back->count++] = (struct release_item){run, attempt->assignment, attempt->lease, call->id, attempt->n};
    }
    for (size_t i = 0, open = call->open; open > 0 && i < count; i++) {
        if (call->attempts[i].has_left)
            continue;
        open = call->open - 1;
        attempt_end(&call->attempts[i]);
    }
}

static size_t ready_rows(const struct run_dispatch *d)
{
    size_t rows = 0;
    for (const struct call *call = d->ready; call != NULL; call = call->next)
        rows += call->count;
    return rows;
}

/* Gives back what was leased by then and is not sent; re-asks too or not. */
static void release(struct run_entry *run, int64_t until_us, bool with_reasks)
{
    struct run_dispatch *d = run->dispatch;
    struct store_release *back = NULL;
    struct call **at = &d->ready;
    for (struct call *call = d->ready, *next; call != NULL; call = next) {
        next = call->next;
        if (call->ready_us > until_us || (call->keeps_slot && !with_reasks)) {
            at = &call->next;
            continue;
        }
        if (back == NULL) {
            back = store_op_new(OP_RELEASE, on_released, call->engine);
            back->items = xcalloc(ready_rows(d), sizeof *back->items);
        }
        *at = next;
        d->ready_count--;
        if (call->twin != NULL || call->is_superseded) /* its row is the twin's */
            hedge_give_up(call);
        else
            give_back(call, back);
    }
    d->ready_end = at;
    if (back != NULL && back->count > 0)
        owed_submit(back->op.arg, &back->op);
    else if (back != NULL)
        store_op_free(&back->op);
}

void ready_release(struct run_entry *run)
{
    if (run->dispatch != NULL)
        release(run, INT64_MAX, true);
}

void ready_release_stalled(struct run_entry *run, int64_t now_us)
{
    int64_t before = run->dispatch->ready_count;
    release(run, now_us - READY_MOST_US, false);
    run->dispatch->has_stalled |= run->dispatch->ready_count < before;
}
