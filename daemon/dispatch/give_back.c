/* Rows that were leased and are not sent go back: when a pause comes, when the run changes its endpoint, when they have waited for long. Nothing of theirs is counted. */
#include "dispatch/dispatch.h"

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

/* Gives back what was leased by then and is not sent; re-asks too or not. */
static void release(struct run_entry *run, int64_t until_us, bool with_reasks)
{
    struct run_dispatch *d = run->dispatch;
    struct store_release *back = NULL;
    struct attempt **at = &d->ready;
    for (struct attempt *attempt = d->ready, *next; attempt != NULL; attempt = next) {
        next = attempt->next;
        if (attempt->ready_us > until_us || (attempt->keeps_slot && !with_reasks)) {
            at = &attempt->next;
            continue;
        }
        if (attempt->twin != NULL || attempt->is_superseded) { /* its row is the twin's */
            *at = next;
            d->ready_count--;
            hedge_give_up(attempt);
            continue;
        }
        if (back == NULL) {
            back = store_op_new(OP_RELEASE, on_released, attempt->engine);
            back->items = xcalloc((size_t)d->ready_count, sizeof *back->items);
        }
        back->items[back->count++] = (struct release_item){run->info.id, attempt->assignment, attempt->lease, attempt->call, attempt->n};
        *at = next;
        attempt_give_slot(attempt);
        attempt_free(attempt);
    }
    d->ready_end = at;
    if (back == NULL)
        return;
    d->ready_count -= (int64_t)back->count;
    owed_submit(back->op.arg, &back->op);
}

void pump_release_ready(struct run_entry *run)
{
    if (run->dispatch != NULL)
        release(run, INT64_MAX, true);
}

void pump_release_stalled(struct run_entry *run, int64_t now_us)
{
    int64_t before = run->dispatch->ready_count;
    release(run, now_us - READY_MOST_US, false);
    run->dispatch->has_stalled |= run->dispatch->ready_count < before;
}
