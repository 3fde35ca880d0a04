/* Places of agents as memory has them, where rows changed hands otherwise than by a settle: a person's decision, a sweep that takes decisions back, a purge that
 * gives places back. A commit tells such moves before the answers of its operations; one of these may bring a pool as it stood in the middle of the commit, so
 * the moves are kept until the next one. Loop's thread. */
#include "dispatch/dispatch.h"

#include <string.h>

static void move_in(struct pool_entry *pool, const struct store_place *place)
{
    struct agent_entry *agent = pool_agent(pool, place->agent);
    if (agent == NULL)
        return;
    agent->info.held = max_i64(agent->info.held + place->change, 0);
    pool_give_places(pool, 0); /* who waits for a place looks again */
    if (place->change < 0)
        pool->changes++; /* and those whose agents were full or away */
}

void places_move(struct engine *engine, const struct store_place *place)
{
    for (struct pool_entry *pool = engine->registry.pools; pool != NULL; pool = pool->next)
        if (pool->ledger == place->ledger)
            move_in(pool, place);
}

void places_take(struct engine *engine, const struct store_commit *commit)
{
    free(engine->places);
    engine->places = NULL;
    engine->place_count = commit->place_count;
    if (commit->place_count == 0)
        return;
    engine->places = xcalloc(commit->place_count, sizeof *engine->places);
    memcpy(engine->places, commit->places, commit->place_count * sizeof *engine->places);
    for (size_t i = 0; i < commit->place_count; i++)
        places_move(engine, &commit->places[i]);
}

void places_take_late(struct engine *engine, struct pool_entry *pool, int64_t seq)
{
    for (size_t i = 0; i < engine->place_count; i++)
        if (engine->places[i].ledger == pool->ledger && engine->places[i].seq >= seq)
            move_in(pool, &engine->places[i]);
}
