/* See registry.h: lists in memory, small enough to walk (runs that are open and the last thousand that ended, tens of pools, a handful of endpoints). */
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/negative.h"

#include <string.h>

struct run_entry *registry_run_by_id(struct registry *registry, int64_t id)
{
    for (struct run_entry *run = registry->runs; run != NULL; run = run->next)
        if (run->info.id == id)
            return run;
    return NULL;
}

static struct run_entry *newest_run(struct registry *registry)
{
    struct run_entry *newest = NULL;
    for (struct run_entry *run = registry->runs; run != NULL; run = run->next)
        newest = run->info.is_purged ? newest : run;
    return newest;
}

static struct run_entry *find_last(struct registry *registry, struct galloc_error *error)
{
    struct run_entry *run = newest_run(registry); /* is here always: it is open, or among the latest that ended */
    if (run == NULL)
        galloc_fail(error, GALLOC_NOT_FOUND, "there is no run yet; make one: gallocctl enqueue FILE --agents FILE");
    return run;
}

struct run_entry *registry_find_run(struct registry *registry, const char *reference, bool *ret_is_sure, struct galloc_error *error)
{
    struct run_entry *named = NULL;
    int count = 0;
    *ret_is_sure = true;
    if (strcmp(reference, "@last") == 0) {
        *ret_is_sure = !registry->is_last_unsure;
        return find_last(registry, error);
    }
    for (struct run_entry *run = registry->runs; run != NULL; run = run->next) {
        if (run->info.is_purged)
            continue;
        if (strcmp(run->info.run_id, reference) == 0)
            return run;
        if (run->info.name != NULL && strcmp(run->info.name, reference) == 0) {
            named = run;
            count++;
        }
    }
    *ret_is_sure = count > 1 || !registry->is_partial;
    if (count > 1)
        galloc_fail(error, GALLOC_CONFLICT, "%d runs are named \"%s\": use the id (gallocctl runs)", count, reference);
    else if (count == 0)
        galloc_fail(error, GALLOC_NOT_FOUND, "there is no run \"%s\" (gallocctl runs lists them)", reference);
    return count == 1 ? named : NULL;
}

int64_t registry_count(const struct registry *registry, enum run_state state, int kind)
{
    int64_t count = registry->forgotten_counts[state][kind];
    for (const struct run_entry *run = registry->runs; run != NULL; run = run->next)
        count += run->info.state == state ? run->info.counts[kind] : 0;
    return count;
}

int64_t registry_count_ever(const struct registry *registry, int kind)
{
    int64_t count = registry->purged_counts[kind];
    for (int state = 0; state < RUN_STATE_COUNT; state++)
        count += registry_count(registry, (enum run_state)state, kind);
    return count;
}

int64_t registry_came_to(const struct registry *registry, enum assignment_state state)
{
    return registry_count_ever(registry, COUNT_STATE + (int)state) + registry->undone_counts[state];
}

struct pool_entry *registry_pool_by_name(struct registry *registry, const char *name)
{
    for (struct pool_entry *pool = registry->pools; pool != NULL; pool = pool->next)
        if (pool->name != NULL && strcmp(pool->name, name) == 0)
            return pool;
    return NULL;
}

struct pool_entry *registry_pool_by_id(struct registry *registry, int64_t id)
{
    for (struct pool_entry *pool = registry->pools; pool != NULL; pool = pool->next)
        if (pool->id == id)
            return pool;
    return NULL;
}

struct endpoint *registry_endpoint(struct registry *registry, const char *name)
{
    for (struct endpoint *endpoint = registry->endpoints; endpoint != NULL; endpoint = endpoint->next)
        if (strcmp(endpoint->config->name, name) == 0)
            return endpoint;
    return NULL;
}

static void agents_clear(struct pool_entry *pool)
{
    for (size_t i = 0; i < pool->agent_count; i++) {
        free(pool->agents[i].info.agent_id);
        free(pool->agents[i].info.attributes);
        json_free(pool->agents[i].parsed);
        buf_clear(&pool->agents[i].line.text);
        buf_clear(&pool->agents[i].line.json);
    }
    free(pool->agents);
    pool->agents = NULL;
    pool->agent_count = 0;
}

void pool_changed(struct pool_entry *pool)
{
    free(pool->roster);
    pool->roster = NULL;
    free(pool->by_name);
    free(pool->by_number);
    pool->by_name = pool->by_number = NULL;
    pool->generation++;
    pool->changes++;
}

/* What is decided and on its way to the store survives a change of the list. */
static void carry_claims(const struct pool_entry *from, struct pool_entry *to)
{
    for (size_t i = 0; i < from->agent_count; i++) {
        bool is_busy = from->agents[i].claimed > 0 || from->agents[i].named > 0;
        struct agent_entry *agent = is_busy ? pool_agent(to, from->agents[i].info.id) : NULL;
        if (agent == NULL)
            continue;
        agent->claimed = from->agents[i].claimed;
        agent->named = from->agents[i].named;
    }
}

struct pool_entry *registry_put_pool(struct registry *registry, struct store_pool *pool)
{
    struct pool_entry fresh = {.agent_count = pool->agents.count};
    fresh.agents = xcalloc(pool->agents.count, sizeof *fresh.agents);
    for (size_t i = 0; i < pool->agents.count; i++) {
        fresh.agents[i].info = pool->agents.items[i];
        if (json_parse(fresh.agents[i].info.attributes, strlen(fresh.agents[i].info.attributes), &fresh.agents[i].parsed, NULL) < 0)
            fresh.agents[i].parsed = NULL; /* matches nobody, which doctor would name */
    }
    free(pool->agents.items);
    pool->agents = (struct store_agents){NULL, 0};
    struct pool_entry *entry = registry_pool_by_id(registry, pool->id);
    if (entry == NULL) {
        entry = xcalloc(1, sizeof *entry);
        entry->id = pool->id;
        entry->next = registry->pools;
        registry->pools = entry;
    }
    carry_claims(entry, &fresh);
    free(fresh.by_number); /* made to find those */
    agents_clear(entry);
    entry->agents = fresh.agents;
    entry->agent_count = fresh.agent_count;
    entry->ledger = pool->ledger;
    free(entry->name);
    entry->name = pool->name;
    pool->name = NULL;
    pool_changed(entry);
    return entry;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = (*(struct agent_entry *const *)a)->info.id, y = (*(struct agent_entry *const *)b)->info.id;
    return (x > y) - (x < y);
}

static void make_by_number(struct pool_entry *pool)
{
    pool->by_number = xcalloc(pool->agent_count, sizeof(struct agent_entry *));
    for (size_t i = 0; i < pool->agent_count; i++)
        pool->by_number[i] = &pool->agents[i];
    qsort(pool->by_number, pool->agent_count, sizeof(struct agent_entry *), by_number);
}

struct agent_entry *pool_agent(struct pool_entry *pool, int64_t id)
{
    if (pool->by_number == NULL)
        make_by_number(pool);
    size_t low = 0, high = pool->agent_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pool->by_number[middle]->info.id == id)
            return pool->by_number[middle];
        if (pool->by_number[middle]->info.id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static int by_agent_id(const void *a, const void *b)
{
    return strcmp((*(struct agent_entry *const *)a)->info.agent_id, (*(struct agent_entry *const *)b)->info.agent_id);
}

static void make_by_name(struct pool_entry *pool)
{
    pool->by_name = xcalloc(pool->agent_count, sizeof(struct agent_entry *));
    for (size_t i = 0; i < pool->agent_count; i++)
        pool->by_name[i] = &pool->agents[i];
    qsort(pool->by_name, pool->agent_count, sizeof(struct agent_entry *), by_agent_id);
}

struct agent_entry *pool_agent_by_name(struct pool_entry *pool, const char *agent_id)
{
    if (pool->by_name == NULL)
        make_by_name(pool);
    size_t low = 0, high = pool->agent_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(pool->by_name[middle]->info.agent_id, agent_id);
        if (order == 0)
            return pool->by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

int64_t pool_under_way(const struct pool_entry *pool)
{
    return BREAKS(PLACES_PROMISED) ? 0 : pool->in_flight + pool->outside;
}

void pool_give_places(struct pool_entry *pool, int64_t count)
{
    pool->in_flight -= count;
    pool->generation++;
}

int64_t pool_free_places(const struct pool_entry *pool, int64_t wall_ms)
{
    int64_t places = 0;
    if (pool->is_endless)
        return INT64_MAX;
    for (size_t i = 0; i < pool->agent_count; i++) {
        const struct store_agent *agent = &pool->agents[i].info;
        enum agent_room room = agent_room(agent->capacity, agent->held, 0, agent->is_listed, agent->is_available, agent->until_at_ms, wall_ms);
        if (room != ROOM_FREE)
            continue;
        if (agent->capacity < 0)
            return INT64_MAX;
        places += agent->capacity - agent->held;
    }
    return places;
}

int64_t pool_places_now(const struct pool_entry *pool)
{
    return pool_free_places(pool, clock_wall_ms());
}

struct run_entry *registry_add_run(struct registry *registry, struct store_run *run)
{
    struct run_entry *entry = xcalloc(1, sizeof *entry);
    entry->info = *run;
    *run = (struct store_run){0};
    entry->born_mono_ms = clock_mono_ms() - max_i64(clock_wall_ms() - entry->info.created_at_ms, 0);
    struct run_entry **at = &registry->runs;
    while (*at != NULL && (*at)->info.id < entry->info.id)
        at = &(*at)->next;
    entry->next = *at;
    *at = entry;
    if (entry->info.id > registry->last_run)
        registry->is_last_unsure = false;
    registry->last_run = max_i64(registry->last_run, entry->info.id);
    return entry;
}

void registry_forget_run(struct registry *registry, struct run_entry *run)
{
    struct run_entry **at = &registry->runs;
    while (*at != run)
        at = &(*at)->next;
    *at = run->next;
    run_clear(run);
    rungs_free(run->rungs);
    store_run_clear(&run->info);
    free(run);
}

void registry_forget_pool(struct registry *registry, struct pool_entry *pool)
{
    struct pool_entry **at = &registry->pools;
    while (*at != pool)
        at = &(*at)->next;
    *at = pool->next;
    pool_entry_free(pool);
}

void registry_load(struct registry *registry, struct store_image *image)
{
    registry->seq = image->seq;
    registry->is_partial = image->has_more_runs;
    registry->nobody.is_endless = true;
    for (size_t i = 0; i < image->pool_count; i++)
        registry_put_pool(registry, &image->pools[i]);
    for (size_t i = 0; i < image->run_count; i++)
        registry_add_run(registry, &image->runs[i]);
}

struct pool_entry *pool_entry_from_agents(const struct store_agents *agents)
{
    struct pool_entry *pool = xcalloc(1, sizeof *pool);
    pool->agents = xcalloc(agents->count, sizeof *pool->agents);
    pool->agent_count = agents->count;
    for (size_t i = 0; i < agents->count; i++) {
        struct agent_entry *agent = &pool->agents[i];
        agent->info = agents->items[i];
        agent->info.id = (int64_t)i + 1;
        agent->info.agent_id = xstrdup(agents->items[i].agent_id);
        agent->info.attributes = xstrdup(agents->items[i].attributes);
        agent->info.is_listed = true;
        if (json_parse(agent->info.attributes, strlen(agent->info.attributes), &agent->parsed, NULL) < 0)
            agent->parsed = NULL;
    }
    return pool;
}

void pool_entry_free(struct pool_entry *pool)
{
    if (pool == NULL)
        return;
    agents_clear(pool);
    free(pool->by_name);
    free(pool->by_number);
    free(pool->roster);
    free(pool->name);
    free(pool);
}

void registry_clear(struct registry *registry)
{
    while (registry->runs != NULL)
        registry_forget_run(registry, registry->runs);
    while (registry->pools != NULL)
        registry_forget_pool(registry, registry->pools);
    for (struct endpoint *endpoint = registry->endpoints, *next; endpoint != NULL; endpoint = next) {
        next = endpoint->next;
        endpoint_free(endpoint);
    }
    free(registry->nobody.by_name);
    free(registry->nobody.roster);
    *registry = (struct registry){0};
}
