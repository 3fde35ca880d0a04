/* Upkeep: the store is made smaller step by step, for as long as there is something to do, and looked at once a minute else. Runs that were purged lose their
 * rows, what is older than `retention` is purged, old records of other kinds are forgotten, free pages go back to the file system. The writer does a step
 * behind all other work; while calls are under way there is a pause between two, so that nobody waits twice in a row for one. Loop's thread. */
#include "dispatch/dispatch.h"

#include "base/log.h"

#include <inttypes.h>

enum { EVERY_MS = 60000, SOON_MS = 1000, AGAIN_MS = 10000, BUSY_MS = 25 };

static int64_t pause_ms(const struct engine *engine, const struct store_upkeep *upkeep)
{
    if (upkeep->op.code < 0)
        return AGAIN_MS;
    if (!upkeep->ret_has_more)
        return EVERY_MS;
    return engine->in_flight > 0 || engine->settles_pending > 0 ? BUSY_MS : 0;
}

static void on_done(struct store_op *op)
{
    struct engine *engine = op->arg;
    const struct store_upkeep *upkeep = (const struct store_upkeep *)op;
    for (size_t i = 0; i < upkeep->ret_freed_count && op->code == 0; i++) {
        const struct freed_places *freed = &upkeep->ret_freed[i];
        places_move(engine, &(struct store_place){.ledger = freed->ledger, .agent = freed->agent, .change = -freed->count});
    }
    if (op->code == 0 && upkeep->ret_gone[0] != '\0')
        log_event(LOG_LEVEL_NOTICE, "purge_done", "run=%s text=\"its last row is deleted\"", upkeep->ret_gone);
    if (op->code == 0 && upkeep->ret_freed_count > 0)
        engine_turn(engine);
    engine->has_upkeep = false;
    loop_timer_set_ms(&engine->upkeep, engine->is_upkeep_wanted ? 0 : pause_ms(engine, upkeep));
    engine->is_upkeep_wanted = false;
    store_op_free(op);
}

static void on_time(void *arg)
{
    struct engine *engine = arg;
    struct store_upkeep *upkeep = store_op_new(OP_UPKEEP, on_done, engine);
    upkeep->retention_ms = engine->config->retention_ms;
    upkeep->audit_retention_ms = engine->config->audit_retention_ms;
    engine->has_upkeep = true;
    store_submit(engine->store, &upkeep->op);
}

void upkeep_soon(struct engine *engine)
{
    engine->is_upkeep_wanted = engine->has_upkeep;
    if (!engine->has_upkeep)
        loop_timer_set_ms(&engine->upkeep, 0);
}

void upkeep_init(struct engine *engine)
{
    loop_timer_init(&engine->upkeep, engine->loop, on_time, engine);
}

void upkeep_start(struct engine *engine)
{
    loop_timer_set_ms(&engine->upkeep, SOON_MS);
}

void upkeep_clear(struct engine *engine)
{
    loop_timer_clear(&engine->upkeep);
}
