/* What commits mean for memory: counters and states of runs as they were written, and the effect of each operation that an operator sent. */
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <string.h>

/* ---- runs ---- */

static bool is_ended(const struct store_run *run)
{
    return run->state == RUN_DONE || run->state == RUN_CANCELLED;
}

static int64_t at_rest(const int64_t *counts)
{
    return counts[COUNT_STATE + ASSIGNMENT_SUCCEEDED] + counts[COUNT_STATE + ASSIGNMENT_FAILED];
}

static void log_end(const struct run_entry *run)
{
    const int64_t *counts = run->info.counts; /* of a run that is cancelled: its rows follow in steps, this is the first one's count */
    int64_t cancelled = counts[COUNT_STATE + ASSIGNMENT_CANCELLED] + counts[COUNT_STATE + ASSIGNMENT_PENDING] + counts[COUNT_STATE + ASSIGNMENT_LEASED];
    log_event(LOG_LEVEL_NOTICE, run->info.state == RUN_DONE ? "run_done" : "run_cancelled",
              "run=%s succeeded=%" PRId64 " failed=%" PRId64 " cancelled=%" PRId64 " calls=%" PRId64 " retries_spent=%" PRId64, run->info.run_id,
              counts[COUNT_STATE + ASSIGNMENT_SUCCEEDED], counts[COUNT_STATE + ASSIGNMENT_FAILED], cancelled, counts[COUNT_CALLS], counts[COUNT_RETRIES]);
}

static void on_state_changed(struct engine *engine, struct run_entry *run, enum run_state before, int64_t seq)
{
    static const char *const types[] = {[RUN_IMPORTING] = "run_created", [RUN_RUNNING] = "run_started", [RUN_DONE] = "run_done", [RUN_CANCELLED] = "run_cancelled"};
    if (run->info.state == RUN_RUNNING) {
        run_begin(engine, run);
        eta_restart(&run->eta, clock_mono_ms());
        if (before == RUN_IMPORTING)
            log_event(LOG_LEVEL_NOTICE, "run_started", "run=%s assignments=%" PRId64 " endpoint=%s profile=%s", run->info.run_id,
                      run->info.counts[COUNT_STATE + ASSIGNMENT_PENDING], run->info.endpoint, run->info.profile);
    } else {
        log_end(run);
        run_end(run);
    }
    notice_run(engine, run, types[run->info.state], seq);
}

/* Outside workers took or gave up so many rows: places of the ledger that nobody else may have meanwhile. */
static void take_outside(struct run_entry *run, int64_t change)
{
    if (run->pool != NULL && change != 0) {
        run->pool->outside += change;
        run->pool->generation++; /* who waits for a place looks again */
    }
}

/* It is gone for everybody; its rows follow. */
static void take_purged(struct engine *engine, struct run_entry *run, const struct store_run *summary)
{
    log_event(LOG_LEVEL_NOTICE, "run_purged", "run=%s succeeded=%" PRId64 " failed=%" PRId64 " cancelled=%" PRId64, run->info.run_id,
              summary->counts[COUNT_STATE + ASSIGNMENT_SUCCEEDED], summary->counts[COUNT_STATE + ASSIGNMENT_FAILED],
              summary->counts[COUNT_STATE + ASSIGNMENT_CANCELLED]);
    notice_run(engine, run, "run_purged", summary->seq);
    run->info.is_purged = true;
    memory_drop_purged(engine, run);
}

/* The summary carries no strings: ours stay. */
void run_take_summary(struct engine *engine, struct run_entry *run, const struct store_run *summary)
{
    enum run_state state = run->info.state;
    unsigned pauses = run->info.pauses;
    bool has_more = summary->counts[COUNT_STATE + ASSIGNMENT_PENDING] > run->info.counts[COUNT_STATE + ASSIGNMENT_PENDING];
    int64_t completed = at_rest(summary->counts) - at_rest(run->info.counts);
    bool first_success = run->info.counts[COUNT_CLASS + OUTCOME_SUCCEEDED] == 0 && summary->counts[COUNT_CLASS + OUTCOME_SUCCEEDED] > 0;
    for (int at = COUNT_STATE; at < COUNT_STATE + ASSIGNMENT_STATE_COUNT; at++)
        engine->registry.undone_counts[at - COUNT_STATE] += max_i64(run->info.counts[at] - summary->counts[at], 0);
    take_outside(run, summary->counts[COUNT_OUTSIDE] - run->info.counts[COUNT_OUTSIDE]);
    memcpy(run->info.counts, summary->counts, sizeof run->info.counts);
    run->info.state = summary->state;
    run->info.pauses = summary->pauses;
    bool was_open = run->info.is_open;
    run->info.is_open = summary->is_open;
    if (run->info.parts != summary->parts)
        run->born_mono_ms = clock_mono_ms(); /* max_age counts for what was added too */
    run->info.parts = summary->parts;
    run->info.priority = summary->priority;
    run->info.started_at_ms = summary->started_at_ms;
    run->info.finished_at_ms = summary->finished_at_ms;
    run->info.seq = summary->seq;
    if (has_more && run->dispatch != NULL)
        run->dispatch->dry_until_us = 0; /* also by a sweep of a former life, which nobody here waits for */
    if (completed > 0)
        eta_completed(&run->eta, completed, clock_mono_ms());
    if (was_open && !summary->is_open && summary->state != RUN_CANCELLED)
        notice_run(engine, run, "run_closed", summary->seq);
    if (state != summary->state)
        on_state_changed(engine, run, state, summary->seq);
    if (pauses != summary->pauses) {
        eta_restart(&run->eta, clock_mono_ms());
        if (run->dispatch != NULL)
            run->dispatch->dry_until_us = 0;
        notice_run(engine, run, summary->pauses ? "run_paused" : "run_resumed", summary->seq);
    }
    if (first_success && run->dispatch != NULL && run->info.counts[COUNT_CLASS + OUTCOME_REJECTED] > 0)
        run_sweep(engine, run, SWEEP_FAIL_HELD);
}

void engine_on_commit(const struct store_commit *commit, void *arg)
{
    struct engine *engine = arg;
    events_tell(engine->events); /* of the commit before: all of its operations have come back */
    engine->registry.seq = max_i64(engine->registry.seq, commit->seq);
    events_set_seq(engine->events, commit->seq);
    places_take(engine, commit);
    for (size_t i = 0; i < commit->run_count; i++) {
        struct run_entry *run = registry_run_by_id(&engine->registry, commit->runs[i].id);
        if (run != NULL && commit->runs[i].is_purged)
            take_purged(engine, run, &commit->runs[i]);
        else if (run != NULL)
            run_take_summary(engine, run, &commit->runs[i]);
        else if (commit->runs[i].id <= engine->registry.last_run && !is_ended(&commit->runs[i]))
            memory_load_run(engine, commit->runs[i].id); /* left memory while an operation on it waited; a new one comes with its operation */
    }
    engine_turn(engine);
}

void engine_on_health(enum store_health health, const char *text, void *arg)
{
    static const char *const events[] = {[STORE_WELL] = "store_well", [STORE_DISK_LOW] = "store_disk_low", [STORE_DISK_FULL] = "store_disk_full", [STORE_FAILED] = "store_failed"};
    struct engine *engine = arg;
    engine->health = health;
    snprintf(engine->health_text, sizeof engine->health_text, "%s", text ? text : "");
    log_event(health == STORE_WELL ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERROR, events[health], "text=\"%s\"", engine->health_text);
    if (health == STORE_FAILED && engine->cfg.fatal != NULL)
        engine->cfg.fatal(galloc_code_row(GALLOC_D_STORE_IO)->exit_status, engine->health_text, engine->cfg.arg);
    engine_turn(engine);
}

/* ---- operations of operators: what memory takes over before the sender hears ---- */

/* A pool as it stood at the event `seq` of the last commit. */
static struct pool_entry *took_pool(struct engine *engine, struct store_pool *pool, int64_t seq)
{
    struct pool_entry *entry = registry_put_pool(&engine->registry, pool);
    places_take_late(engine, entry, seq);
    return entry;
}

static void took_run_create(struct engine *engine, struct store_op *op)
{
    struct store_run_create *create = (struct store_run_create *)op;
    if (create->ret_how != RUN_NEW)
        return;
    int64_t id = create->ret_run.id;
    char run_id[RUN_ID_BYTES];
    memcpy(run_id, create->ret_run.run_id, sizeof run_id);
    struct pool_entry *pool = create->ret_pool.id != 0 ? took_pool(engine, &create->ret_pool, op->seq_first) : NULL; /* NULL: it asks a question */
    struct run_entry *run = registry_add_run(&engine->registry, &create->ret_run);
    create->ret_run.id = id; /* the content is the registry's now; the ids stay readable */
    memcpy(create->ret_run.run_id, run_id, sizeof run_id);
    run->pool = pool;
    run_begin(engine, run);
    notice_run(engine, run, "run_created", op->seq_first);
}

static void took_run_set(struct engine *engine, struct store_op *op)
{
    struct store_run_set *set = (struct store_run_set *)op;
    struct run_entry *run = registry_run_by_id(&engine->registry, set->run);
    if (run == NULL)
        return;
    const struct {
        char *from, **to;
    } texts[] = {{set->name, &run->info.name}, {set->endpoint, &run->info.endpoint}, {set->profile, &run->info.profile}, {set->plan, &run->info.plan}};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        if (texts[i].from == NULL)
            continue;
        free(*texts[i].to);
        *texts[i].to = xstrdup(texts[i].from);
    }
    if (set->priority != INT64_MIN)
        run->info.priority = set->priority;
    if (set->clear != 0 && run->info.pauses == 0) {
        free(run->info.pause_text);
        run->info.pause_text = NULL;
    }
    if (set->plan != NULL && run->has_plan) {
        plan_clear(&run->plan);
        run->has_plan = false;
    }
    ready_release(run); /* they were leased for the former endpoint */
    if (set->endpoint != NULL && run->endpoint != NULL)
        held_drop(run->endpoint, run->info.id); /* and shall not wait until that one is judged */
    if (set->endpoint != NULL && run->dispatch != NULL)
        run->dispatch->share = (struct share){0}; /* what it was given was the former endpoint's */
    eta_restart(&run->eta, clock_mono_ms());
    run_begin(engine, run);
    money_cover(engine);
}

static void took_run_pause(struct engine *engine, struct store_op *op)
{
    struct store_run_pause *pause = (struct store_run_pause *)op;
    struct run_entry *run = registry_run_by_id(&engine->registry, pause->run);
    if (run == NULL)
        return;
    if (run->dispatch != NULL && (pause->clear & PAUSE_BIT(PAUSE_FAILURE_RATIO)))
        run->dispatch->spares_pause = true;
    if (pause->set == 0 && run->info.pauses != 0)
        return;
    free(run->info.pause_text);
    run->info.pause_text = pause->set != 0 ? xstrdup(pause->text) : NULL;
}

static void took_pool_put(struct engine *engine, struct store_op *op)
{
    took_pool(engine, &((struct store_pool_put *)op)->ret_pool, op->seq_first);
}

static void took_pool_reset(struct engine *engine, struct store_op *op)
{
    took_pool(engine, &((struct store_pool_reset *)op)->ret_pool, op->seq_first);
}

static void took_agent_set(struct engine *engine, struct store_op *op)
{
    took_pool(engine, &((struct store_agent_set *)op)->ret_pool, op->seq_first);
}

static void took_endpoint_set(struct engine *engine, struct store_op *op)
{
    struct store_endpoint_set *set = (struct store_endpoint_set *)op;
    struct endpoint *endpoint = registry_endpoint(&engine->registry, set->setting.endpoint);
    if (endpoint == NULL)
        return;
    endpoint_set_override(endpoint, &set->setting, set->setting.value != NULL);
    notice_endpoint(engine, endpoint, "a setting was changed");
    money_cover(engine);
    for (struct run_entry *run = engine->registry.runs; run != NULL; run = run->next)
        if (run->endpoint == endpoint && run->dispatch != NULL)
            eta_restart(&run->eta, clock_mono_ms());
}

static void look_anew(struct run_entry *run)
{
    if (run == NULL || run->dispatch == NULL)
        return;
    run->dispatch->dry_until_us = 0;
    run->dispatch->away_changes = -1; /* rows that wait for an agent may be gone: they are looked at anew, so that nobody waits for them */
}

static void took_sweep(struct engine *engine, struct store_op *op)
{
    look_anew(registry_run_by_id(&engine->registry, ((struct store_sweep *)op)->run));
}

static void took_assign(struct engine *engine, struct store_op *op)
{
    const struct store_assign *assign = (struct store_assign *)op;
    struct run_entry *run = registry_run_by_id(&engine->registry, assign->run);
    if (run == NULL)
        return;
    look_anew(run);
    const struct assignment_notice notice = {.run = run, .key = assign->key, .seq = op->seq_first, .agent = assign->ret_agent, .agent_id = assign->agent_id, .is_by_person = true,
                                             .state = assign->ret_agent != 0 ? ASSIGNMENT_SUCCEEDED : ASSIGNMENT_CANCELLED};
    notice_assignment(engine, &notice);
}

static void took_purge(struct engine *engine, struct store_op *op)
{
    (void)op;
    upkeep_soon(engine);
}

static void (*const takers[STORE_OP_KIND_COUNT])(struct engine *engine, struct store_op *op) = {
    [OP_RUN_CREATE] = took_run_create, [OP_RUN_SET] = took_run_set,     [OP_RUN_PAUSE] = took_run_pause,       [OP_POOL_PUT] = took_pool_put,
    [OP_POOL_RESET] = took_pool_reset, [OP_AGENT_SET] = took_agent_set, [OP_ENDPOINT_SET] = took_endpoint_set, [OP_SWEEP] = took_sweep, [OP_ASSIGN] = took_assign, [OP_PURGE] = took_purge,
    [OP_LEASE_RENEW] = outside_took_renew, [OP_LEASE_END] = outside_took_end};

/* What the sender gave, kept while the operation is ours. */
struct sender {
    struct engine *engine;
    void (*done)(struct store_op *op);
    void *arg;
};

static void on_done(struct store_op *op)
{
    struct sender sender = *(struct sender *)op->arg;
    free(op->arg);
    op->done = sender.done;
    op->arg = sender.arg;
    if (op->code == 0 && takers[op->kind] != NULL)
        takers[op->kind](sender.engine, op);
    engine_turn(sender.engine);
    op->done(op);
}

void engine_submit(struct engine *engine, struct store_op *op)
{
    struct sender *sender = xmalloc(sizeof *sender);
    *sender = (struct sender){engine, op->done, op->arg};
    op->done = on_done;
    op->arg = sender;
    if (engine->is_draining && op->kind == OP_RUN_CREATE) {
        op->code = galloc_fail(&op->error, GALLOC_DRAINING, "the daemon is draining and takes no new work; to go on: gallocctl undrain");
        on_done(op);
        return;
    }
    store_submit(engine->store, op);
}
