/* Who gets which rows: workers that ask stand in line, the oldest first, and each takes from the run that comes first by priority and fair share. A claim is with
 * the store for a commit; its lease is durable before the worker hears of it.
 *
 *   waits -> has a claim -> answered with the lease
 *     ^          | nothing was due, or nothing could go out
 *     +----------+                    waits -> answered without: its time is over, the daemon drains, the run is no longer there
 */
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "core/limits.h"

#include <inttypes.h>
#include <string.h>

enum { LONGEST_WAKE_MS = 60000, FAILED_CLAIM_MS = 500, LOOKS_A_CLAIM = 50000 };

int outside_check_run(const struct run_entry *run, struct galloc_error *error)
{
    if (plan_is_workers(run->info.endpoint) || (run->has_plan && run->plan.workers_too))
        return 0;
    if (run->info.state == RUN_DONE || run->info.state == RUN_CANCELLED)
        return galloc_fail(error, GALLOC_WRONG_STATE, "the run %s is %s: nothing is left in it", run->info.run_id, run_state_name(run->info.state));
    return galloc_fail(error, GALLOC_CONFLICT,
                       "the run %s is on the endpoint \"%s\", so the built-in worker has its work; to lease from it too, enqueue with --workers-too, or leave it to "
                       "workers: gallocctl set %s endpoint=" PLAN_WORKERS,
                       run->info.run_id, run->info.endpoint, run->info.run_id);
}

/* ---- which run ---- */

static bool is_leasable(const struct engine *engine, const struct run_entry *run)
{
    return run->info.state == RUN_RUNNING && run->info.pauses == 0 && run->dispatch != NULL && run->dispatch->pausing == 0 && run->pool != NULL &&
           (run->is_on_workers || run->plan.workers_too) && !engine->is_draining && engine->health == STORE_WELL;
}

static bool is_too_old(const struct run_entry *run)
{
    return run->plan.max_age_ms > 0 && clock_mono_ms() - run->born_mono_ms > run->plan.max_age_ms;
}

/* How many rows a claim of `max` may take from the run now; 0: none. *ret_next_us: when it may be worth another look (INT64_MAX: something has to change). */
static int64_t room_for(struct run_entry *run, int64_t max, struct pacer_now now, int64_t *ret_next_us)
{
    struct run_dispatch *d = run->dispatch;
    const int64_t *counts = run->info.counts;
    *ret_next_us = INT64_MAX;
    bool is_spoken_for = counts[COUNT_STATE + ASSIGNMENT_PENDING] <= d->outside_claims + d->claim_count;
    if (d->has_sweep || is_too_old(run) || is_spoken_for)
        return 0;
    bool is_sequential = run->profile.mode == MODE_SEQUENTIAL;
    if (is_sequential && (counts[COUNT_STATE + ASSIGNMENT_LEASED] > 0 || d->outside_claims > 0 || d->has_claim))
        return 0;
    if (d->dry_until_us > now.mono_us) {
        *ret_next_us = d->dry_until_us;
        return 0;
    }
    int64_t first = first_places(run);
    if (first == 0)
        return 0; /* what settles one of them turns the loop */
    int64_t room = min_i64(pump_ledger_room(run, now.mono_us, now.wall_ms), first);
    if (room == 0 && d->no_places_until_us > now.mono_us)
        *ret_next_us = d->no_places_until_us;
    if (is_sequential)
        return min_i64(room, 1);
    if (plan_is_short_list(&run->plan)) /* each row is held against each agent, while the loop stands */
        room = min_i64(room, max_i64(LOOKS_A_CLAIM / max_i64((int64_t)run->pool->agent_count, 1), 1));
    bool has_places = pool_free_places(run->pool, now.wall_ms) > pool_under_way(run->pool);
    return has_places ? min_i64(room, max) : room; /* without places nothing goes out: many rows at once are told so */
}

/* The one with the higher priority, then with fewer rows in outside hands, then the older. */
static bool comes_before(const struct run_entry *a, const struct run_entry *b)
{
    if (a->info.priority != b->info.priority)
        return a->info.priority > b->info.priority;
    int64_t held_a = a->info.counts[COUNT_OUTSIDE] + a->dispatch->outside_claims, held_b = b->info.counts[COUNT_OUTSIDE] + b->dispatch->outside_claims;
    return held_a != held_b ? held_a < held_b : a->info.id < b->info.id;
}

/* What a turn goes by: the runs that may be leased from are looked for once, however many workers wait. */
struct look {
    struct pacer_now now;
    struct run_entry **runs; /* owned */
    size_t count;
    bool has_nothing;        /* no run on the endpoint `workers` has work: who asks for any need not look again */
    int64_t wake_us;         /* when something may be due */
};

static void look_for_runs(struct engine *engine, struct look *look)
{
    size_t cap = 0;
    for (struct run_entry *run = engine->registry.runs; run != NULL; run = run->next) {
        if (!is_leasable(engine, run))
            continue;
        if (look->count == cap) {
            cap = cap ? 2 * cap : 16;
            look->runs = xreallocarray(look->runs, cap, sizeof(struct run_entry *));
        }
        look->runs[look->count++] = run;
    }
}

static struct run_entry *choose_run(const struct outside_ask *ask, struct look *look, int64_t *ret_room)
{
    struct run_entry *best = NULL;
    for (size_t i = 0; i < look->count && (ask->run != 0 || !look->has_nothing); i++) {
        struct run_entry *run = look->runs[i];
        int64_t next_us, room;
        if (ask->run != 0 ? run->info.id != ask->run : !run->is_on_workers)
            continue;
        room = room_for(run, ask->max, look->now, &next_us);
        look->wake_us = min_i64(look->wake_us, next_us);
        if (room > 0 && (best == NULL || comes_before(run, best))) {
            best = run;
            *ret_room = room;
        }
    }
    look->has_nothing |= ask->run == 0 && best == NULL;
    return best;
}

/* ---- answering ---- */

/* A claim on its way. Its ask may be answered before it comes back: then what it has leased is given back. */
struct outside_claim {
    struct engine *engine;   /* borrowed */
    struct outside_ask *ask; /* borrowed; NULL: answered */
};

static void unlink_ask(struct outside *outside, struct outside_ask *ask)
{
    struct outside_ask **at = &outside->asks;
    while (*at != ask)
        at = &(*at)->next;
    *at = ask->next;
    if (outside->asks_end == &ask->next)
        outside->asks_end = at;
    ask->next = NULL;
}

static void answer(struct outside_ask *ask)
{
    if (ask->claim != NULL)
        ask->claim->ask = NULL;
    ask->claim = NULL;
    unlink_ask(&ask->engine->outside, ask);
    ask->done(ask);
}

static void answer_failure(struct outside_ask *ask, const struct galloc_error *error)
{
    ask->code = -error->code;
    ask->error = *error;
    answer(ask);
}

/* Why there will be no work for this ask, whatever its wait. 0: there may be. */
static int refusal(struct engine *engine, const struct outside_ask *ask, struct galloc_error *error)
{
    if (engine->is_draining)
        return galloc_fail(error, GALLOC_DRAINING, "the daemon is draining and leases nothing; to go on: gallocctl undrain");
    if (engine->health != STORE_WELL)
        return galloc_fail(error, engine->health == STORE_DISK_FULL || engine->health == STORE_DISK_LOW ? GALLOC_DISK_FULL : GALLOC_STORE_UNAVAILABLE, "nothing can be leased now: %.300s", engine->health_text);
    if (ask->run == 0)
        return 0;
    const struct run_entry *run = registry_run_by_id(&engine->registry, ask->run);
    if (run == NULL)
        return galloc_fail(error, GALLOC_WRONG_STATE, "the run has ended meanwhile: nothing is left in it");
    if (run->info.state == RUN_DONE || run->info.state == RUN_CANCELLED)
        return galloc_fail(error, run->info.state == RUN_DONE ? GALLOC_WRONG_STATE : GALLOC_CANCELLED, "the run %s is %s: nothing is left in it", run->info.run_id,
                           run_state_name(run->info.state));
    return outside_check_run(run, error);
}

/* The wait is over. Who asked for one run that is paused is told so: it is not idle. */
static void answer_empty(struct outside_ask *ask)
{
    struct galloc_error error;
    const struct run_entry *run = ask->run != 0 ? registry_run_by_id(&ask->engine->registry, ask->run) : NULL;
    if (run == NULL || run->info.state != RUN_RUNNING || run->info.pauses == 0) {
        answer(ask);
        return;
    }
    galloc_fail(&error, GALLOC_PAUSED, "the run %s is paused%s%.200s; to go on: gallocctl resume %s", run->info.run_id, run->info.pause_text ? ": " : "",
                run->info.pause_text ? run->info.pause_text : "", run->info.run_id);
    answer_failure(ask, &error);
}

/* ---- claims ---- */

/* The lease is durable: its rows go out, unless nobody is there any more to take them. */
static void take_lease(struct engine *engine, struct run_entry *run, struct outside_ask *ask, struct store_claim *claim)
{
    if (ask == NULL || ask->is_gone(ask)) {
        outside_give_back(engine, claim->ret_lease);
        if (ask != NULL)
            answer(ask);
        return;
    }
    ask->lease = claim->ret_lease;
    ask->leased_run = run;
    int64_t granted = outside_grant(engine, run, ask, claim);
    if (granted == 0) { /* none of the rows could go to anybody: it goes on waiting */
        ask->lease = 0;
        return;
    }
    outside_lease_add(engine, ask, granted);
    run->dispatch->taken_mono_ms = clock_mono_ms();
    answer(ask);
}

static void on_claimed(struct store_op *op)
{
    struct store_claim *claim = (struct store_claim *)op;
    struct outside_claim way = *(struct outside_claim *)op->arg;
    struct engine *engine = way.engine;
    struct run_entry *run = registry_run_by_id(&engine->registry, claim->run);
    struct run_dispatch *d = run->dispatch;
    int64_t now_us = engine_now().mono_us;
    free(op->arg);
    if (way.ask != NULL)
        way.ask->claim = NULL;
    engine->settles_pending--;
    d->outside_claims -= claim->max;
    pool_give_places(run->pool, claim->max);
    if (op->code < 0)
        d->dry_until_us = now_us + FAILED_CLAIM_MS * 1000;
    else if (claim->ret_count == 0)
        d->dry_until_us = claim->ret_next_due_ms < 0 ? INT64_MAX : now_us + max_i64(claim->ret_next_due_ms, 1) * 1000;
    else
        take_lease(engine, run, way.ask, claim);
    if (op->code < 0 && way.ask != NULL) {
        op->error.code = -op->code;
        answer_failure(way.ask, &op->error);
    }
    store_op_free(op);
    engine_turn(engine);
}

static void submit_claim(struct engine *engine, struct run_entry *run, struct outside_ask *ask, int64_t count)
{
    struct outside_claim *way = xmalloc(sizeof *way);
    *way = (struct outside_claim){engine, ask};
    struct store_claim *claim = store_op_new(OP_CLAIM, on_claimed, way);
    claim->run = run->info.id;
    claim->max = (int32_t)count;
    claim->in_order = run->profile.mode == MODE_SEQUENTIAL;
    claim->worker = xstrdup(ask->worker);
    claim->ttl_ms = ask->ttl_ms;
    claim->max_bytes = LIMIT_LEASE_BYTES;
    run->pool->in_flight += count; /* spoken for, as those of the built-in worker's claims */
    run->dispatch->outside_claims += count;
    ask->claim = way;
    engine->settles_pending++;
    store_submit(engine->store, &claim->op);
}

/* ---- a turn ---- */

static void try_ask(struct engine *engine, struct outside_ask *ask, struct look *look)
{
    struct galloc_error error;
    int64_t room = 0;
    if (refusal(engine, ask, &error) < 0) {
        answer_failure(ask, &error);
        return;
    }
    struct run_entry *run = choose_run(ask, look, &room);
    if (run != NULL)
        submit_claim(engine, run, ask, room);
    else if (ask->until_mono_us <= look->now.mono_us)
        answer_empty(ask);
    else
        look->wake_us = min_i64(look->wake_us, ask->until_mono_us);
}

void outside_turn(struct engine *engine)
{
    struct outside *outside = &engine->outside;
    struct look look = {.now = engine_now(), .wake_us = INT64_MAX};
    look_for_runs(engine, &look);
    for (size_t i = 0; i < look.count; i++) { /* what pump.c does for a run that has an endpoint */
        away_release(engine, look.runs[i], look.now.wall_ms);
        first_look(engine, look.runs[i]);
        if (look.runs[i]->is_on_workers)
            pump_fail_held_if_alone(engine, look.runs[i]);
    }
    for (struct outside_ask *ask = outside->asks, *next; ask != NULL; ask = next) {
        next = ask->next;
        if (ask->claim == NULL || engine->health != STORE_WELL) /* a store that fails may keep a claim for long */
            try_ask(engine, ask, &look);
    }
    if (look.wake_us != INT64_MAX)
        loop_timer_set_us(&outside->wake, clamp_i64(look.wake_us - look.now.mono_us, 1000, LONGEST_WAKE_MS * INT64_C(1000)));
    free(look.runs);
}

void outside_ask(struct engine *engine, struct outside_ask *ask)
{
    struct outside *outside = &engine->outside;
    struct run_entry *run = ask->run != 0 ? registry_run_by_id(&engine->registry, ask->run) : NULL;
    int64_t now_ms = clock_mono_ms();
    ask->engine = engine;
    ask->until_mono_us = clock_mono_us() + ask->wait_ms * 1000;
    ask->next = NULL;
    *outside->asks_end = ask;
    outside->asks_end = &ask->next;
    if (ask->run == 0)
        outside->asked_mono_ms = now_ms;
    else if (run != NULL && run->dispatch != NULL)
        run->dispatch->asked_mono_ms = now_ms;
    engine_turn(engine);
}

void outside_cancel(struct outside_ask *ask)
{
    answer(ask);
}

void outside_ask_clear(struct outside_ask *ask)
{
    free(ask->worker);
    buf_clear(&ask->agents);
    buf_clear(&ask->assignments);
}

void outside_on_wake(void *engine)
{
    engine_turn(engine);
}

bool outside_is_seen(const struct engine *engine, const struct run_entry *run, int64_t now_mono_ms)
{
    int64_t asked_ms = max_i64(run->dispatch->asked_mono_ms, run->is_on_workers ? engine->outside.asked_mono_ms : 0);
    if (run->info.counts[COUNT_OUTSIDE] > 0 || now_mono_ms - asked_ms < OUTSIDE_SILENCE_MS)
        return true;
    for (const struct outside_ask *ask = engine->outside.asks; ask != NULL; ask = ask->next)
        if (ask->run != 0 ? ask->run == run->info.id : run->is_on_workers)
            return true;
    return false;
}
