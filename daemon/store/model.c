/* Freeing what the store's model owns. Any thread. */
#include "store/model.h"

#include <stdlib.h>

void store_run_clear(struct store_run *run)
{
    free(run->name);
    free(run->endpoint);
    free(run->profile);
    free(run->pause_text);
    free(run->source_name);
    free(run->source_sha256);
    free(run->plan);
    free(run->pool_name);
    *run = (struct store_run){0};
}

void store_agents_clear(struct store_agents *agents)
{
    for (size_t i = 0; i < agents->count; i++) {
        free(agents->items[i].agent_id);
        free(agents->items[i].attributes);
    }
    free(agents->items);
    *agents = (struct store_agents){0};
}

void store_pool_clear(struct store_pool *pool)
{
    free(pool->name);
    store_agents_clear(&pool->agents);
    *pool = (struct store_pool){0};
}
