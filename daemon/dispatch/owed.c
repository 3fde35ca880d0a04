/* Operations that are owed to the store: ends of attempts, judgements, rows given back. One that fails is submitted again, under the same fences, for as long as
 * it takes; only when the store has failed for good does its `done` hear of it. A drain waits for all of them. */
#include "dispatch/dispatch.h"

enum { RESUBMIT_MS = 500 };

/* What the sender gave, kept while the operation is ours. */
struct owed {
    struct engine *engine; /* borrowed */
    struct owed *next, **at; /* in the engine's list while it waits to be submitted again; at NULL: it does not */
    struct store_op *op;   /* while it waits to be submitted again */
    struct loop_timer again;
    void (*done)(struct store_op *op);
    void *arg;
};

static void wait_in_list(struct owed *owed)
{
    owed->next = owed->engine->owed;
    owed->at = &owed->engine->owed;
    if (owed->next != NULL)
        owed->next->at = &owed->next;
    owed->engine->owed = owed;
}

static void leave_list(struct owed *owed)
{
    *owed->at = owed->next;
    if (owed->next != NULL)
        owed->next->at = owed->at;
    owed->at = NULL;
}

static void submit_again(void *arg)
{
    struct owed *owed = arg;
    leave_list(owed);
    owed->op->code = 0;
    store_submit(owed->engine->store, owed->op);
}

/* Gives it back to its sender. */
static void end(struct owed *owed, struct store_op *op)
{
    owed->engine->settles_pending--;
    op->done = owed->done;
    op->arg = owed->arg;
    loop_timer_clear(&owed->again);
    free(owed);
    op->done(op);
}

static void on_done(struct store_op *op)
{
    struct owed *owed = op->arg;
    struct engine *engine = owed->engine;
    if (op->code < 0 && op->code != -GALLOC_LEASE_LOST && engine->health != STORE_FAILED) { /* a lease that is over needs no end */
        owed->op = op;
        wait_in_list(owed);
        if (owed->again.event == NULL)
            loop_timer_init(&owed->again, engine->loop, submit_again, owed);
        loop_timer_set_ms(&owed->again, RESUBMIT_MS);
        return;
    }
    end(owed, op);
    engine_turn(engine);
}

void owed_clear(struct engine *engine)
{
    engine->health = STORE_FAILED; /* for this life, it has */
    while (engine->owed != NULL) {
        struct owed *owed = engine->owed;
        leave_list(owed);
        end(owed, owed->op);
    }
}

void owed_submit(struct engine *engine, struct store_op *op)
{
    struct owed *owed = xcalloc(1, sizeof *owed);
    owed->engine = engine;
    owed->done = op->done;
    owed->arg = op->arg;
    op->done = on_done;
    op->arg = owed;
    engine->settles_pending++;
    store_submit(engine->store, op);
}
