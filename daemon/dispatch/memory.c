/* Which runs are in memory: those that are open, with plan and pool, and of the ended ones the latest LIMIT_RUNS_KEPT as they are shown. What else is asked
 * for comes from the store, with all that any verb needs, and leaves again within the second when it is not open by then; so a daemon that has made a
 * hundred thousand runs is as small as one that was just started. Nobody keeps an entry over a turn of the loop but by the run's id, or by what run_end()
 * looks at. Loop's thread. */
#include "dispatch/dispatch.h"

#include "base/log.h"
#include "core/limits.h"

#include <inttypes.h>
#include <string.h>

static bool is_open(const struct run_entry *run)
{
    return run->info.state == RUN_IMPORTING || run->info.state == RUN_RUNNING;
}

/* ---- from the store ---- */

/* What was read, into memory. What memory has of it is at least as new, but for a summary that came before the run was here. */
static struct run_entry *take(struct engine *engine, struct store_read *read)
{
    struct registry *registry = &engine->registry;
    struct store_run *loaded = &read->ret_runs[0];
    struct run_entry *run = registry_run_by_id(registry, loaded->id);
    bool is_stale = run != NULL && run->info.seq > loaded->seq; /* places may have moved since: the pool is read again where it is needed */
    if (read->ret_pool != NULL && !is_stale && registry_pool_by_id(registry, read->ret_pool->id) == NULL)
        registry_put_pool(registry, read->ret_pool);
    if (run == NULL) {
        run = registry_add_run(registry, loaded);
        for (int kind = 0; kind < COUNT_KIND_END; kind++)
            registry->forgotten_counts[run->info.state][kind] -= run->info.counts[kind];
    } else {
        if (run->info.plan == NULL) {
            run->info.plan = loaded->plan;
            loaded->plan = NULL;
        }
        if (loaded->seq > run->info.seq)
            run_take_summary(engine, run, loaded);
    }
    run_begin(engine, run);
    return run;
}

static struct store_read *read_new(void (*done)(struct store_op *op), void *arg)
{
    struct store_read *read = store_op_new(OP_READ, done, arg);
    read->query = QUERY_RUN;
    read->with_pool = true;
    read->limit = 1;
    return read;
}

static void on_loaded(struct store_op *op)
{
    struct engine *engine = op->arg;
    struct store_read *read = (struct store_read *)op;
    struct run_entry *run = registry_run_by_id(&engine->registry, read->run);
    if (run != NULL)
        run->is_loading = false;
    if (op->code == 0 && read->ret_row_count > 0)
        take(engine, read);
    else if (op->code < 0)
        log_event(LOG_LEVEL_WARNING, "run_not_loaded", "run=%" PRId64 " text=\"%s\"", read->run, op->error.message); /* tried again in a second */
    store_op_free(op);
    engine_turn(engine);
}

void memory_load_run(struct engine *engine, int64_t id)
{
    struct run_entry *run = registry_run_by_id(&engine->registry, id);
    if (run != NULL && run->is_loading)
        return;
    if (run != NULL)
        run->is_loading = true;
    struct store_read *read = read_new(on_loaded, engine);
    read->run = id;
    store_submit(engine->store, &read->op);
}

/* Who waits for a run. */
struct finder {
    struct engine *engine;
    engine_run_found *then;
    void *arg;
};

static void on_found(struct store_op *op)
{
    struct finder finder = *(struct finder *)op->arg;
    struct store_read *read = (struct store_read *)op;
    free(op->arg);
    struct run_entry *run = NULL;
    bool is_sure = true;
    if (op->code == 0 && read->ret_row_count == 0)
        op->code = galloc_fail(&op->error, GALLOC_NOT_FOUND, "there is no such run (gallocctl runs lists them)");
    if (op->code == 0)
        run = take(finder.engine, read);
    else
        run = registry_find_run(&finder.engine->registry, read->key, &is_sure, NULL); /* without its plan, which could not be read */
    finder.then(is_sure ? run : NULL, &op->error, finder.arg);
    store_op_free(op);
}

void engine_find_run(struct engine *engine, const char *reference, bool with_plan, engine_run_found *then, void *arg)
{
    struct galloc_error error;
    bool is_sure;
    struct run_entry *run = registry_find_run(&engine->registry, reference, &is_sure, &error);
    if (is_sure && (run == NULL || !with_plan || run->info.plan != NULL)) {
        then(run, &error, arg);
        return;
    }
    struct finder *finder = xmalloc(sizeof *finder);
    *finder = (struct finder){engine, then, arg};
    struct store_read *read = read_new(on_found, finder);
    read->key = xstrdup(run != NULL && is_sure ? run->info.run_id : reference);
    store_submit(engine->store, &read->op);
}

/* ---- out of memory ---- */

/* The pool of a run alone (a standing one has a name) that no open run has. */
static bool is_needless(const struct registry *registry, const struct pool_entry *pool)
{
    if (pool->name != NULL || pool->in_flight > 0)
        return false;
    for (const struct run_entry *run = registry->runs; run != NULL; run = run->next)
        if (run->info.pool == pool->id && (is_open(run) || run->dispatch != NULL))
            return false;
    return true;
}

static void forget_pools(struct registry *registry)
{
    for (struct pool_entry *pool = registry->pools, *next; pool != NULL; pool = next) {
        next = pool->next;
        if (!is_needless(registry, pool))
            continue;
        for (struct run_entry *run = registry->runs; run != NULL; run = run->next)
            if (run->pool == pool)
                run->pool = NULL;
        registry_forget_pool(registry, pool);
    }
}

/* Nothing of it is on its way, and nothing is to come. */
static bool is_at_rest(const struct run_entry *run)
{
    return !is_open(run) && run->dispatch == NULL && !run->is_loading && run->info.counts[COUNT_OUTSIDE] == 0;
}

/* What it counted stays in the figures that never fall. Those that tell what there is fall with a run that was purged: its rows go. */
static void forget_run(struct registry *registry, struct run_entry *run)
{
    int64_t *counts = run->info.is_purged ? registry->purged_counts : registry->forgotten_counts[run->info.state];
    for (int kind = 0; kind < COUNT_KIND_END; kind++)
        counts[kind] += run->info.counts[kind];
    registry->is_partial = registry->is_partial || !run->info.is_purged;
    registry_forget_run(registry, run);
}

void memory_drop_purged(struct engine *engine, struct run_entry *run)
{
    struct registry *registry = &engine->registry;
    run_end(run);
    registry->is_last_unsure = registry->is_last_unsure || registry->is_partial;
    if (is_at_rest(run))
        forget_run(registry, run);
}

void memory_tidy(struct engine *engine)
{
    struct registry *registry = &engine->registry;
    int64_t ended_count = 0;
    for (struct run_entry *run = registry->runs; run != NULL; run = run->next)
        ended_count += !is_open(run);
    for (struct run_entry *run = registry->runs, *next; run != NULL; run = next) {
        next = run->next;
        if (!is_at_rest(run))
            continue;
        free(run->info.plan);
        run->info.plan = NULL;
        if (ended_count <= LIMIT_RUNS_KEPT && !run->info.is_purged)
            continue;
        ended_count--;
        forget_run(registry, run);
    }
    forget_pools(registry);
}
