/* Who may go now. For every endpoint the runs that may run are taken by priority, then by who was given least (core/share.h); rows are claimed a little ahead, so that the
 * commit of a lease is hidden, and started as the pacer and the run's profile let them. What was claimed and not sent is given back when a pause comes (ready.c).
 *
 * Profiles: continuous fills every free slot; batch claims up to batch_size, starts them together, and claims the next batch when all of this one are settled
 * and the delay has passed; sequential is a batch of one, in the order of the run. */
#include "dispatch/dispatch.h"

#include "core/limits.h"

#include <math.h>
#include <string.h>

enum { SHORT_BLOCK_US = 2000000, CLAIM_WITHOUT_PLACES = 256, LONGEST_LOOK_MS = 60000 };

static void on_wake(void *arg)
{
    struct endpoint *endpoint = arg;
    engine_turn(endpoint->dispatch->engine);
}

/* Comes back after so long, unless something else comes before. */
void pump_wake_at(struct endpoint *endpoint, int64_t wait_us)
{
    static const int64_t longest_us = INT64_C(600000000);
    struct endpoint_dispatch *d = endpoint->dispatch;
    int64_t now_us = engine_now().mono_us;
    if (d->wake.event == NULL)
        loop_timer_init(&d->wake, d->engine->loop, on_wake, endpoint);
    wait_us = clamp_i64(wait_us, 200, longest_us);
    if (loop_timer_is_set(&d->wake) && d->wake_us <= now_us + wait_us)
        return;
    d->wake_us = now_us + wait_us;
    loop_timer_set_us(&d->wake, wait_us);
}

/* ---- claiming ---- */

static void on_claimed(struct store_op *op)
{
    struct store_claim *claim = (struct store_claim *)op;
    struct engine *engine = op->arg;
    struct run_entry *run = registry_run_by_id(&engine->registry, claim->run);
    struct run_dispatch *d = run->dispatch;
    int64_t now_us = engine_now().mono_us;
    d->has_claim = false;
    d->claim_count = 0;
    pool_give_places(run->pool, claim->max);
    engine->settles_pending--;
    if (op->code == 0)
        ready_add(run, claim);
    if (op->code < 0)
        d->dry_until_us = now_us + 500000;
    else if (claim->ret_count == 0)
        d->dry_until_us = claim->ret_next_due_ms < 0 ? INT64_MAX : now_us + max_i64(claim->ret_next_due_ms, 1) * 1000;
    if (op->code == 0 && claim->ret_count > 0) {
        d->has_batch = true;
        ahead_claimed(&d->ahead, run->endpoint != NULL ? run->endpoint->values[SETTING_MAX_IN_FLIGHT] : 0);
    }
    bool is_of_former = run->endpoint == NULL || strcmp(claim->endpoint, run->endpoint->config->name) != 0;
    store_op_free(op);
    if (is_of_former || !run_is_runnable(engine, run))
        ready_release(run);
    engine_turn(engine);
}

/* So many rows, in at most so many calls. */
static void submit_claim(struct engine *engine, struct run_entry *run, int64_t rows, int64_t calls)
{
    struct store_claim *claim = store_op_new(OP_CLAIM, on_claimed, engine);
    claim->run = run->info.id;
    claim->max = (int32_t)rows;
    claim->max_calls = (int32_t)calls;
    claim->pack = (int32_t)run_pack(run);
    claim->pack_bytes = LIMIT_PACK_BYTES;
    claim->in_order = run->profile.mode == MODE_SEQUENTIAL;
    claim->endpoint = xstrdup(run->endpoint->config->name);
    run->pool->in_flight += rows; /* spoken for: another run on the ledger may claim in the same turn */
    run->dispatch->has_claim = true;
    run->dispatch->claim_count = calls;
    engine->settles_pending++;
    store_submit(engine->store, &claim->op);
}

/* How many calls a continuous run should have leased and unsent: what fits now, and what will fit until the next claim is back. */
static int64_t wanted_ready(const struct run_entry *run, int64_t room)
{
    return max_i64(room, 0) + (run->dispatch->has_stalled ? 0 : run->dispatch->ahead.count);
}

/* A ledger never has more attempts under way than it has free places. */
int64_t pump_ledger_room(struct run_entry *run, int64_t now_us, int64_t wall_ms)
{
    struct run_dispatch *d = run->dispatch;
    struct pool_entry *pool = run->pool;
    if (d->no_places_until_us > now_us && d->no_places_generation == pool->generation)
        return 0;
    d->no_places_until_us = 0;
    int64_t places = pool_free_places(pool, wall_ms), until_at_ms;
    if (places == INT64_MAX)
        return places;
    int64_t under_way = pool_under_way(pool);
    if (places - under_way > 0)
        return places - under_way;
    if (under_way > 0) {
        d->no_places_until_us = now_us + 1000 * NO_PLACES_MS;
        d->no_places_generation = pool->generation;
        return 0;
    }
    if (run->plan.match_count == 0 && pool_is_away(pool, wall_ms, &until_at_ms)) { /* all rows wait for the same */
        d->no_places_until_us = now_us + min_i64(until_at_ms - wall_ms, LONGEST_LOOK_MS) * 1000;
        d->no_places_generation = pool->generation;
        return 0;
    }
    return CLAIM_WITHOUT_PLACES; /* nothing is under way and nothing is free: those that are left are told so */
}

int64_t run_pack(const struct run_entry *run)
{
    if (!run->endpoint->provider->takes_prompt || run->profile.mode == MODE_SEQUENTIAL || run->dispatch->schema != NULL || run->plan.pack == 1)
        return 1;
    return run->plan.pack > 0 ? run->plan.pack : pack_auto_size(&run->dispatch->pack);
}

/* May rows be asked for; is one due? */
static bool may_claim(struct run_entry *run, struct pacer_now now)
{
    const struct run_dispatch *d = run->dispatch;
    bool waits_for_tokens = d->ready != NULL && d->ready->tokens > 0; /* what is leased now would wait behind it */
    if (d->has_claim || d->has_sweep || waits_for_tokens || money_holds(run))
        return false;
    if (d->dry_until_us <= now.mono_us)
        return true;
    if (d->dry_until_us != INT64_MAX)
        pump_wake_at(run->endpoint, d->dry_until_us - now.mono_us);
    return false;
}

static void claim_more(struct engine *engine, struct run_entry *run, struct pacer_now now, int64_t room)
{
    struct run_dispatch *d = run->dispatch;
    int64_t count;
    d->ahead.has_run_dry |= room > d->ready_count;
    if (!may_claim(run, now))
        return;
    if (run->profile.mode == MODE_CONTINUOUS) {
        count = wanted_ready(run, room) - d->ready_count;
    } else {
        if (d->ready_count > 0 || d->in_flight > 0 || room <= 0)
            return;
        if (d->batch_next_us > now.mono_us) {
            pump_wake_at(run->endpoint, d->batch_next_us - now.mono_us);
            return;
        }
        count = min_i64(run->profile.batch_size, room);
    }
    count = min_i64(count, 512);
    if (engine->is_one_at_a_time)
        count = engine->calls == 0 ? min_i64(count, 1) : 0;
    if (count <= 0)
        return;
    int64_t rows = min_i64(min_i64(count * run_pack(run), LIMIT_CLAIM_ROWS), first_places(run));
    if (rows > 0)
        rows = min_i64(rows, pump_ledger_room(run, now.mono_us, now.wall_ms));
    if (rows > 0)
        submit_claim(engine, run, rows, min_i64(count, rows));
}

/* ---- starting ---- */

/* The end of a batch: all of it is settled. */
static void end_batch(struct run_entry *run, int64_t now_us)
{
    struct run_dispatch *d = run->dispatch;
    if (!d->has_batch || d->ready_count > 0 || d->in_flight > 0)
        return;
    d->has_batch = false;
    d->batch_next_us = run->profile.mode == MODE_BATCH ? now_us + run->profile.delay_ms * 1000 : 0;
}

/* What is leased is given back, nothing more is leased. */
static bool is_long_wait(const struct pacer_answer *answer)
{
    return answer->wait == PACER_BREAKER || answer->wait == PACER_QUOTA_DAY || answer->wait == PACER_LIMIT_RPD ||
           (answer->wait == PACER_BLOCKED && answer->wait_us > SHORT_BLOCK_US);
}

static void start_first(struct run_entry *run, bool is_probe)
{
    struct run_dispatch *d = run->dispatch;
    struct call *call = d->ready;
    d->ready = call->next;
    if (d->ready == NULL)
        d->ready_end = &d->ready;
    d->ready_count--;
    d->has_stalled = false;
    d->ahead.sent_count++;
    call->next = NULL;
    call->is_probe = is_probe;
    call_start(call);
}

/* Does the run's next call go, as far as the pacer lets it? *ret_wait tells what keeps it back. */
static bool start_next(struct run_entry *run, bool with_slot_only, enum pacer_wait *ret_wait)
{
    struct call *call = run->dispatch->ready;
    struct endpoint *endpoint = run->endpoint;
    *ret_wait = PACER_GO;
    if (call == NULL || (with_slot_only && !call->keeps_slot) || engine_holds_calls(endpoint->dispatch->engine) ||
        (!call->has_money && money_holds(run)))
        return false;
    if (!call->keeps_slot && !candidates_may_be_named(run, engine_now().wall_ms))
        return false; /* until a call comes back */
    struct pacer_answer answer = pacer_ask(endpoint->pacer, engine_now(), call_estimate(call), endpoint->in_flight,
                                           run->profile.mode == MODE_CONTINUOUS, call->keeps_slot);
    *ret_wait = answer.wait;
    if (answer.wait == PACER_GO) {
        start_first(run, endpoint->dispatch->next_is_probe);
        endpoint->dispatch->next_is_probe = false;
        return true;
    }
    if (answer.wait_us >= 0)
        pump_wake_at(endpoint, answer.wait_us);
    if (is_long_wait(&answer))
        ready_release(run);
    return false;
}

static int by_share(const void *a, const void *b)
{
    const struct run_entry *x = *(struct run_entry *const *)a, *y = *(struct run_entry *const *)b;
    if (x->info.priority != y->info.priority)
        return x->info.priority > y->info.priority ? -1 : 1;
    const struct share_clock *clock = &x->endpoint->dispatch->clock;
    double x_tag = share_tag(clock, &x->dispatch->share), y_tag = share_tag(clock, &y->dispatch->share);
    if (x_tag != y_tag)
        return x_tag < y_tag ? -1 : 1;
    return x->info.id < y->info.id ? -1 : 1;
}

/* Only rows held as rejected are left: the run had no success, so they fail for good. */
void pump_fail_held_if_alone(struct engine *engine, struct run_entry *run)
{
    const struct run_dispatch *d = run->dispatch;
    bool is_idle = d->in_flight == 0 && d->ready_count == 0 && !d->has_claim && d->outside_claims == 0 && run->info.counts[COUNT_OUTSIDE] == 0;
    bool only_held = d->dry_until_us == INT64_MAX && is_idle && d->held_count == 0 && d->away.count == 0 && d->away_due.count == 0 && !d->has_judge;
    if (only_held && !d->has_sweep && run->info.counts[COUNT_STATE + ASSIGNMENT_PENDING] > 0)
        run_sweep(engine, run, SWEEP_FAIL_HELD);
}

/* Is the run the first of its priority, and has one of those above it rows that it waits to send? Then every free slot is theirs. */
static bool is_kept_back(struct run_entry *const *runs, size_t run)
{
    if (run == 0 || runs[run]->info.priority == runs[run - 1]->info.priority)
        return false;
    for (size_t i = 0; i < run; i++)
        if (runs[i]->dispatch->has_claim || runs[i]->dispatch->ready_count > 0)
            return true;
    return false;
}

/* A run whose call went stands behind those that were given less now. */
static void sink(struct run_entry **runs, size_t count, size_t i)
{
    struct run_entry *run = runs[i];
    for (; i + 1 < count && by_share(&run, &runs[i + 1]) > 0; i++)
        runs[i] = runs[i + 1];
    runs[i] = run;
}

/* Call by call, each of the run whose turn it is. Who comes next and finds too few tokens left is waited for: behind smaller calls of others it would never find enough. Returns what holds
 * the first of them back; PACER_GO: nothing does. */
static enum pacer_wait start_in_line(struct run_entry **runs, size_t count)
{
    enum pacer_wait wait, held = PACER_GO;
    for (size_t i = 0; i < count && !is_kept_back(runs, i);) {
        bool has_gone = start_next(runs[i], false, &wait);
        held = held != PACER_GO ? held : wait;
        if (has_gone)
            sink(runs, count, i);
        else if (wait == PACER_LIMIT_TPM || wait == PACER_LIMIT_WINDOW)
            return held;
        else
            i++;
    }
    return held;
}

/* Of what its calls cost: the more, the fewer it gets at once. */
static double calls_per_token(const struct run_entry *run)
{
    double mean = run->dispatch->share.mean;
    return 1 / (mean > 0 ? mean : (double)max_i64(run->endpoint->dispatch->prompt_tokens, 1));
}

/* A run's part of the free slots: shared among those of its priority that are still to come, so that each has as many tokens. */
static int64_t share_of_room(struct run_entry *const *runs, size_t count, size_t i, int64_t room)
{
    double own = calls_per_token(runs[i]), all = own;
    if (room <= 0)
        return 0;
    for (size_t peer = i + 1; peer < count && runs[peer]->info.priority == runs[i]->info.priority; peer++)
        all += calls_per_token(runs[peer]);
    return (int64_t)ceil((double)room * (own / all));
}

/* Runs of an endpoint that may go, by priority and share. Returns how many; the caller frees the list (NULL: none). */
static size_t runs_of(struct engine *engine, const struct endpoint *endpoint, struct run_entry ***ret_runs)
{
    struct run_entry **runs = NULL;
    size_t count = 0, cap = 0;
    for (struct run_entry *run = engine->registry.runs; run != NULL; run = run->next) {
        if (run->endpoint != endpoint || !run_is_runnable(engine, run))
            continue;
        if (count == cap) {
            cap = cap ? 2 * cap : 16;
            runs = xreallocarray(runs, cap, sizeof(struct run_entry *));
        }
        runs[count++] = run;
    }
    if (count > 1)
        qsort(runs, count, sizeof(struct run_entry *), by_share);
    *ret_runs = runs;
    return count;
}

static void pump_endpoint(struct engine *engine, struct endpoint *endpoint)
{
    struct run_entry **runs;
    size_t count = runs_of(engine, endpoint, &runs);
    struct pacer_now now = engine_now();
    int64_t spoken_for = 0; /* slots that claims of this turn will fill */
    enum pacer_wait wait;
    for (size_t i = 0; i < count; i++) {
        away_release(engine, runs[i], now.wall_ms);
        while (start_next(runs[i], true, &wait)) /* a re-ask has its slot already: kept back, it would keep that from those who wait for one */
            ;
    }
    enum pacer_wait held = start_in_line(runs, count);
    for (size_t i = 0; i < count && !is_kept_back(runs, i); i++) {
        struct run_entry *run = runs[i];
        bool is_adaptive = run->profile.mode == MODE_CONTINUOUS;
        end_batch(run, now.mono_us);
        struct pacer_answer answer = pacer_ask(endpoint->pacer, now, endpoint->dispatch->prompt_tokens, 0, is_adaptive, false);
        if (answer.wait != PACER_GO && answer.wait_us >= 0)
            pump_wake_at(endpoint, answer.wait_us);
        if (held == PACER_GO && run->info.counts[COUNT_STATE + ASSIGNMENT_PENDING] > 0)
            held = answer.wait;
        int64_t room = pacer_room(endpoint->pacer, now, endpoint->dispatch->prompt_tokens, endpoint->in_flight, is_adaptive) - spoken_for;
        if (room <= 0 && spoken_for == 0 && answer.wait != PACER_GO && answer.wait_us >= 0)
            room = 1; /* its lease is on disk when its time comes */
        int64_t share = share_of_room(runs, count, i, room);
        if (!is_long_wait(&answer) && answer.wait_us <= READY_MOST_US)
            claim_more(engine, run, now, share);
        spoken_for += min_i64(share, run->dispatch->claim_count + run->dispatch->ready_count); /* one that waits leaves its share to the others */
        hedge_look(engine, run, now);
        first_look(engine, run);
        money_look(engine, run);
        pump_fail_held_if_alone(engine, run);
    }
    waits_note(&endpoint->waits, held, now.mono_us);
    free(runs);
}

/* Brings the run's next assignment into the open breaker, or asks for one. False: it has none now. */
static bool probe_with(struct engine *engine, struct run_entry *run, struct pacer_now now)
{
    away_release(engine, run, now.wall_ms);
    if (money_holds(run))
        return false;
    if (run->dispatch->ready != NULL) {
        int64_t wait_us = pacer_ask_test(run->endpoint->pacer, now, call_estimate(run->dispatch->ready));
        if (wait_us == 0)
            start_first(run, true);
        else if (wait_us > 0)
            pump_wake_at(run->endpoint, wait_us);
        return true;
    }
    if (may_claim(run, now) && pump_ledger_room(run, now.mono_us, now.wall_ms) > 0)
        submit_claim(engine, run, 1, 1);
    return run->dispatch->has_claim;
}

/* The breaker is open, and waiting assignments are its probes: one at a time, of the runs in turn. */
static void pump_probe(struct engine *engine, struct endpoint *endpoint)
{
    struct endpoint_dispatch *d = endpoint->dispatch;
    struct pacer_now now = engine_now();
    struct run_entry **runs;
    int64_t wait_us;
    if (!in_turn_may_probe(endpoint, &wait_us)) {
        if (wait_us > 0)
            pump_wake_at(endpoint, wait_us);
        return;
    }
    size_t count = runs_of(engine, endpoint, &runs), i = 0;
    waits_note(&endpoint->waits, count > 0 ? PACER_BREAKER : PACER_GO, now.mono_us);
    while (i < count && !probe_with(engine, runs[(d->turn + i) % count], now))
        i++;
    for (size_t r = 0; r < count; r++)
        pump_fail_held_if_alone(engine, runs[r]);
    if (d->has_turn && count > 0)
        d->turn = (d->turn + i + 1) % count;
    free(runs);
}

void pump(struct engine *engine)
{
    if (engine->store == NULL || engine->is_draining || engine->health != STORE_WELL)
        return;
    for (struct endpoint *endpoint = engine->registry.endpoints; endpoint != NULL; endpoint = endpoint->next) {
        probe_if_due(engine, endpoint);
        if (endpoint_is_down(endpoint)) {
            waits_note(&endpoint->waits, PACER_GO, engine_now().mono_us);
            continue;
        }
        if (pacer_is_open(endpoint->pacer))
            pump_probe(engine, endpoint);
        else
            pump_endpoint(engine, endpoint);
        in_turn_let_go(engine, endpoint);
    }
}
