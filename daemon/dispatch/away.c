/* Rows whose matching agents are full or away until a date. Nobody asks for them again and again: they lie in the store, pending under a hold that is not due,
 * and become due when the pool changes or the date has come. What is noted here goes with the daemon's life; a start makes every hold due. */
#include "dispatch/dispatch.h"

enum { RELEASE_ROWS = 512 }; /* made due by one operation */

bool pool_is_away(const struct pool_entry *pool, int64_t wall_ms, int64_t *ret_until_at_ms)
{
    int64_t until_at_ms = INT64_MAX;
    for (size_t i = 0; i < pool->agent_count; i++) {
        const struct store_agent *agent = &pool->agents[i].info;
        if (agent_room(agent->capacity, agent->held, 0, agent->is_listed, agent->is_available, agent->until_at_ms, wall_ms) == ROOM_AWAY_UNTIL)
            until_at_ms = min_i64(until_at_ms, agent->until_at_ms);
    }
    if (until_at_ms == INT64_MAX)
        return false;
    *ret_until_at_ms = until_at_ms;
    return true;
}

static void list_add(struct away_list *list, struct away_row row)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 64;
        list->rows = xreallocarray(list->rows, list->cap, sizeof *list->rows);
    }
    list->rows[list->count++] = row;
}

void away_add(struct run_entry *run, struct away_row row, int64_t changes, int64_t until_at_ms)
{
    struct run_dispatch *d = run->dispatch;
    if (changes != d->away_changes) { /* the pool was changed while the row was on its way */
        list_add(&d->away_due, row);
        return;
    }
    d->away_until_at_ms = d->away.count > 0 ? min_i64(d->away_until_at_ms, until_at_ms) : until_at_ms;
    list_add(&d->away, row);
}

static void on_released(struct store_op *op)
{
    struct engine *engine = op->arg;
    struct run_entry *run = registry_run_by_id(&engine->registry, ((struct store_judge *)op)->items[0].run);
    run->dispatch->has_judge = false;
    run->dispatch->dry_until_us = 0;
    store_op_free(op);
}

void away_release(struct engine *engine, struct run_entry *run, int64_t wall_ms)
{
    struct run_dispatch *d = run->dispatch;
    if (run->pool->changes != d->away_changes || (d->away.count > 0 && wall_ms >= d->away_until_at_ms)) {
        for (size_t i = 0; i < d->away.count; i++)
            list_add(&d->away_due, d->away.rows[i]);
        d->away.count = 0;
        d->away_changes = run->pool->changes;
    }
    if (d->away_due.count == 0 || d->has_judge)
        return;
    size_t count = d->away_due.count < RELEASE_ROWS ? d->away_due.count : RELEASE_ROWS;
    struct judge_item *items = xcalloc(count, sizeof *items);
    for (size_t i = 0; i < count; i++) {
        struct away_row row = d->away_due.rows[--d->away_due.count];
        items[i] = (struct judge_item){.run = run->info.id, .assignment = row.assignment, .n = row.n};
    }
    d->has_judge = true;
    struct store_judge *judge = store_op_new(OP_JUDGE, on_released, engine);
    judge->items = items;
    judge->count = count;
    owed_submit(engine, &judge->op);
}
