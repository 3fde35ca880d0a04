/* A run in memory: what the dispatcher needs of it while it runs, and how it is shown. */
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
    LEFT_LOOK_MS = 600000, /* between two looks for imports that were left */
    PASSED_OVER_MS = 5000  /* for so long none of a run's rows went to the workers, who take others: it waits */
};

bool run_is_runnable(const struct engine *engine, const struct run_entry *run)
{
    return run->info.state == RUN_RUNNING && run->info.pauses == 0 && run->dispatch != NULL && run->dispatch->pausing == 0 && run->pool != NULL && run->endpoint != NULL &&
           !endpoint_is_down(run->endpoint) && !engine->is_draining && engine->health == STORE_WELL;
}

static void take_profile(struct engine *engine, struct run_entry *run)
{
    const struct profile *profile = config_profile(engine->config, run->info.profile);
    if (profile == NULL)
        profile = config_profile(engine->config, "adaptive"); /* the file's own profile is gone: the run goes on with the default */
    run->profile = *profile;
    run->profile.batch_size = profile->mode == MODE_SEQUENTIAL ? 1 : plan_batch_size(&run->plan, profile);
    run->profile.delay_ms = plan_delay_ms(&run->plan, profile);
    run->profile.max_retries = plan_max_retries(&run->plan, profile);
}

bool run_is_whole(const struct run_entry *run)
{
    return run->info.plan != NULL && (run->info.pool == 0 || run->pool != NULL);
}

static struct template *parse_template(const struct plan *plan)
{
    const char *text = plan->template != NULL ? plan->template : template_builtin();
    struct template *template = NULL;
    return template_parse(text, strlen(text), &template, NULL) == 0 ? template : NULL;
}

static struct schema *parse_schema(const struct plan *plan)
{
    struct schema *schema = NULL;
    return plan->schema != NULL && schema_parse(plan->schema, strlen(plan->schema), &schema, NULL) == 0 ? schema : NULL;
}

static struct pool_entry *pool_of(struct engine *engine, const struct run_entry *run)
{
    return run->info.pool == 0 ? &engine->registry.nobody : registry_pool_by_id(&engine->registry, run->info.pool);
}

/* Called when the run is known, when it is changed, and after a reload; a run that ended keeps nothing. */
void run_begin(struct engine *engine, struct run_entry *run)
{
    struct galloc_error error;
    rungs_take(engine, run);
    run->is_on_workers = plan_is_workers(run->info.endpoint);
    if (run->pool == NULL && (run->pool = pool_of(engine, run)) != NULL)
        run->pool->outside += run->info.counts[COUNT_OUTSIDE];
    if (run->info.state != RUN_IMPORTING && run->info.state != RUN_RUNNING)
        return;
    if (!run_is_whole(run)) { /* it had ended, and is open again */
        memory_load_run(engine, run->info.id);
        return;
    }
    if (!run->has_plan && run->info.plan != NULL) {
        if (plan_parse(run->info.plan, strlen(run->info.plan), &run->plan, &error) < 0) {
            log_event(LOG_LEVEL_ERROR, "plan_unreadable", "run=%s text=\"%s\"", run->info.run_id, error.message);
            return;
        }
        run->has_plan = true;
    }
    if (!run->has_plan)
        return;
    take_profile(engine, run);
    if (run->dispatch == NULL) {
        run->dispatch = xcalloc(1, sizeof *run->dispatch);
        run->dispatch->engine = engine;
        run->dispatch->ready_end = &run->dispatch->ready;
        run->dispatch->asked_mono_ms = run->dispatch->taken_mono_ms = clock_mono_ms(); /* workers have a moment to come */
        run->dispatch->template = parse_template(&run->plan);
        run->dispatch->schema = parse_schema(&run->plan);
    }
    run->dispatch->sends_all = plan_sends_all(&run->plan, engine->config->keep_back);
    run->dispatch->dry_until_us = 0;
}

void run_clear(struct run_entry *run)
{
    struct run_dispatch *d = run->dispatch;
    if (d == NULL)
        return;
    for (struct call *call = d->ready, *next; call != NULL; call = next) {
        next = call->next;
        call_free(call);
    }
    template_free(d->template);
    schema_free(d->schema);
    buf_clear(&d->system);
    buf_clear(&d->system_json);
    prompt_named_clear(&d->named);
    free(d->away.rows);
    free(d->away_due.rows);
    free(d);
    run->dispatch = NULL;
    plan_clear(&run->plan);
    run->has_plan = false;
}

void run_end(struct run_entry *run)
{
    const struct run_dispatch *d = run->dispatch;
    bool is_idle = d != NULL && d->in_flight == 0 && d->ready_count == 0 && !d->has_hedge && d->held_count == 0 && d->pausing == 0 && d->outside_claims == 0 &&
                   d->outside_settles == 0;
    if (is_idle && !d->has_claim && !d->has_first && !d->has_sweep && !d->has_judge)
        run_clear(run);
}

/* The commit has told the cause; without one it comes again by itself. */
static void on_paused(struct store_op *op)
{
    struct engine *engine = op->arg;
    const struct store_run_pause *pause = (struct store_run_pause *)op;
    struct run_entry *run = registry_run_by_id(&engine->registry, pause->run);
    if (run != NULL && run->dispatch != NULL)
        run->dispatch->pausing &= ~pause->set;
    store_op_free(op);
}

void run_pause(struct engine *engine, struct run_entry *run, enum pause_cause cause, const char *text)
{
    struct store_run_pause *pause = store_op_new(OP_RUN_PAUSE, on_paused, engine);
    pause->run = run->info.id;
    pause->set = PAUSE_BIT(cause);
    pause->is_first_judged = cause == PAUSE_FIRST;
    pause->text = xstrdup(text);
    run->dispatch->pausing |= PAUSE_BIT(cause); /* at once: nothing more is sent */
    log_event(LOG_LEVEL_WARNING, "run_paused", "run=%s reason=%s text=\"%.300s\"", run->info.run_id, pause_cause_name(cause), text);
    engine_submit(engine, &pause->op);
    engine_turn(engine);
}

static void on_swept(struct store_op *op)
{
    struct engine *engine = op->arg;
    struct store_sweep *sweep = (struct store_sweep *)op;
    struct run_entry *run = registry_run_by_id(&engine->registry, sweep->run);
    if (run != NULL && run->dispatch != NULL) {
        run->dispatch->has_sweep = false;
        run->dispatch->dry_until_us = op->code < 0 ? engine_now().mono_us + 1000000 : 0;
    }
    store_op_free(op);
    engine_turn(engine);
}

void run_sweep(struct engine *engine, struct run_entry *run, enum store_sweep_verb verb)
{
    struct store_sweep *sweep = store_op_new(OP_SWEEP, on_swept, engine);
    sweep->run = run->info.id;
    sweep->verb = verb;
    sweep->selector.is_all = true;
    run->dispatch->has_sweep = true;
    store_submit(engine->store, &sweep->op);
}

static void on_abandoned(struct store_op *op)
{
    struct engine *engine = op->arg;
    const struct store_sweep *sweep = (struct store_sweep *)op;
    const struct run_entry *run = registry_run_by_id(&engine->registry, sweep->run);
    if (op->code == 0 && run != NULL)
        log_event(LOG_LEVEL_NOTICE, "import_abandoned", "run=%s dropped=%" PRId64 " text=\"no part came for 24 h\"", run->info.run_id, sweep->ret_changed);
    store_op_free(op);
}

/* The store alone knows since when: it refuses those that are still being imported. */
void run_abandon_left(struct engine *engine)
{
    if (engine->imports_mono_ms > clock_mono_ms() || engine->health != STORE_WELL)
        return;
    engine->imports_mono_ms = clock_mono_ms() + LEFT_LOOK_MS;
    for (const struct run_entry *run = engine->registry.runs; run != NULL; run = run->next) {
        if (run->info.state != RUN_IMPORTING)
            continue;
        struct store_sweep *sweep = store_op_new(OP_SWEEP, on_abandoned, engine);
        sweep->run = run->info.id;
        sweep->verb = SWEEP_ABANDON;
        sweep->selector.is_all = true;
        store_submit(engine->store, &sweep->op);
    }
}

/* ---- how a run is shown ---- */

static const char *const waiting_names[] = {[WAITING_NOT] = NULL,        [WAITING_QUOTA_DAY] = "quota_day", [WAITING_THROTTLED] = "throttled",
                                            [WAITING_OUTAGE] = "outage", [WAITING_WORKERS] = "workers",     [WAITING_NO_PLACES] = "no_places",
                                            [WAITING_DISK] = "disk",     [WAITING_RETRY] = "retry",         [WAITING_DRAIN] = "drain",
                                            [WAITING_OPEN] = "open",     [WAITING_BUDGET] = "budget",
                                            [WAITING_RESTARTS] = "restarts"};

const char *waiting_name(enum waiting_code code)
{
    return waiting_names[code];
}

static void view_reasons(const struct run_entry *run, struct run_view *view)
{
    for (int cause = 0; cause < PAUSE_CAUSE_COUNT; cause++)
        if (run->info.pauses & PAUSE_BIT(cause))
            view->reasons[view->reason_count++] = pause_cause_name((enum pause_cause)cause);
    if (run->info.pauses == PAUSE_BIT(PAUSE_BUDGET) && run->info.pause_text != NULL) /* resumed as it is, it would pause at once again */
        snprintf(view->reason_text, sizeof view->reason_text, "%s", run->info.pause_text);
    else if (view->reason_count > 0)
        snprintf(view->reason_text, sizeof view->reason_text, "%s%sto go on: gallocctl resume %s", run->info.pause_text ? run->info.pause_text : "",
                 run->info.pause_text ? "; " : "", run->info.run_id);
    if (run->info.state != RUN_RUNNING)
        return;
    if (run->is_on_workers)
        return; /* there is no endpoint that could be down */
    if (run->endpoint == NULL) {
        view->reasons[view->reason_count++] = "config";
        if (view->reason_text[0] == '\0')
            snprintf(view->reason_text, sizeof view->reason_text, "the endpoint \"%s\" is not in the configuration; put it back, or: gallocctl set %s endpoint=NAME",
                     run->info.endpoint, run->info.run_id);
    } else if (endpoint_is_down(run->endpoint)) {
        int class = run->endpoint->state.down_class;
        int64_t until;
        view->reasons[view->reason_count++] = outcome_row(class >= 0 ? (enum outcome_class)class : OUTCOME_CREDENTIALS)->name;
        if (view->reason_text[0] == '\0')
            endpoint_text(run->endpoint, view->reason_text, sizeof view->reason_text, &until);
    }
}

static void set_waiting(struct run_view *view, enum waiting_code code, int64_t until_at_ms, const char *text)
{
    view->waiting = code;
    view->waiting_name = waiting_names[code];
    view->waiting_until_at_ms = until_at_ms;
    snprintf(view->waiting_text, sizeof view->waiting_text, "%s", text);
}

/* What keeps the run's endpoint from being called. */
static void view_endpoint(const struct run_entry *run, struct run_view *view, struct pacer_now now)
{
    char text[sizeof view->waiting_text];
    int64_t until;
    struct pacer_view pacer;
    pacer_view(run->endpoint->pacer, now, &pacer);
    endpoint_text(run->endpoint, text, sizeof text, &until);
    if (run->dispatch->in_flight == 0 && money_day_is_over(run->endpoint)) {
        money_day_text(run->endpoint, text, sizeof text, &until);
        set_waiting(view, WAITING_BUDGET, until, text);
    } else if (strcmp(pacer.mode, "open") == 0) {
        in_turn_text(run, text, sizeof text);
        set_waiting(view, WAITING_OUTAGE, until, text);
    } else if (strcmp(pacer.mode, "quota_day") == 0 || strcmp(pacer.limited_by, "rpd") == 0)
        set_waiting(view, WAITING_QUOTA_DAY, until, text);
    else if (strcmp(pacer.mode, "blocked") == 0) {
        if (run_is_refused(run))
            refused_text(run, text, sizeof text);
        set_waiting(view, WAITING_THROTTLED, until, text);
    } else if (run->dispatch->in_flight == 0 && endpoint_quota_is_used(&pacer))
        set_waiting(view, WAITING_THROTTLED, until, text);
}

/* When the first of the agents is back that all rows wait for alike; 0: they wait for something else. */
static int64_t all_away_until_ms(const struct run_entry *run, struct pacer_now now)
{
    int64_t until_at_ms;
    bool is_asked = run->pool != NULL && run->plan.match_count == 0 && pool_under_way(run->pool) == 0;
    return is_asked && pool_is_away(run->pool, now.wall_ms, &until_at_ms) ? until_at_ms : 0;
}

/* What keeps its assignments from going out, whoever would take them. */
static void view_rows(const struct run_entry *run, struct run_view *view, struct pacer_now now)
{
    const struct run_dispatch *d = run->dispatch;
    char text[256];
    if (d->in_flight > 0 || run->info.counts[COUNT_OUTSIDE] > 0)
        return;
    if (d->no_places_until_us > now.mono_us || d->away.count > 0) {
        snprintf(text, sizeof text, "all free places are taken or their agents are away; see: gallocctl loads %s", run->info.run_id);
        set_waiting(view, WAITING_NO_PLACES, d->away.count > 0 ? d->away_until_at_ms : all_away_until_ms(run, now), text);
    } else if (d->ready_count == 0 && !d->has_claim && d->dry_until_us > now.mono_us && d->dry_until_us != INT64_MAX)
        set_waiting(view, WAITING_RETRY, now.wall_ms + (d->dry_until_us - now.mono_us) / 1000, "what is left waits to be tried again");
}

/* Which run has the workers that this one waits for: of those they work on, the first in their order. NULL: none, or not for long. */
static const struct run_entry *workers_elsewhere(const struct run_entry *run, struct pacer_now now)
{
    const struct run_entry *ahead = NULL;
    if (run->info.counts[COUNT_OUTSIDE] > 0 || now.mono_us / 1000 - run->dispatch->taken_mono_ms < PASSED_OVER_MS)
        return NULL;
    for (const struct run_entry *other = run->dispatch->engine->registry.runs; other != NULL; other = other->next)
        if (other != run && other->is_on_workers && other->info.counts[COUNT_OUTSIDE] > 0 && (ahead == NULL || other->info.priority > ahead->info.priority))
            ahead = other;
    return ahead;
}

static void view_workers(const struct run_entry *run, struct run_view *view, struct pacer_now now)
{
    char text[256];
    if (run->info.counts[COUNT_STATE + ASSIGNMENT_PENDING] == 0)
        return;
    const struct run_entry *ahead = workers_elsewhere(run, now);
    if (ahead != NULL) {
        snprintf(text, sizeof text, "the workers have their hands full with %s (priority %d, this one %d); start more of them, or: gallocctl set %s priority=N",
                 ahead->info.run_id, (int)ahead->info.priority, (int)run->info.priority, run->info.run_id);
        set_waiting(view, WAITING_WORKERS, 0, text);
        return;
    }
    if (outside_is_seen(run->dispatch->engine, run, now.mono_us / 1000))
        return;
    snprintf(text, sizeof text, "no worker asks for its work; start one: gallocctl work --run %s -- COMMAND, or give it to an endpoint: gallocctl set %s endpoint=NAME",
             run->info.run_id, run->info.run_id);
    set_waiting(view, WAITING_WORKERS, 0, text);
}

static bool has_work(const struct run_entry *run)
{
    return run->info.counts[COUNT_STATE + ASSIGNMENT_PENDING] > 0 || run->info.counts[COUNT_STATE + ASSIGNMENT_LEASED] > 0;
}

/* All that came is decided, and whoever feeds it may bring more. */
static void view_open(const struct run_entry *run, struct run_view *view)
{
    char text[128];
    snprintf(text, sizeof text, "open: more may come; when nothing does: gallocctl close %s", run->info.run_id);
    set_waiting(view, WAITING_OPEN, 0, text);
}

static void view_waiting(const struct run_entry *run, struct run_view *view, struct pacer_now now)
{
    const struct engine *engine = run->dispatch->engine;
    if (!has_work(run) && run->info.is_open)
        view_open(run, view);
    else if (engine->health != STORE_WELL)
        set_waiting(view, WAITING_DISK, 0, engine->health_text);
    else if (engine->is_draining)
        set_waiting(view, WAITING_DRAIN, 0, "the daemon is draining: no new calls; to go on: gallocctl undrain");
    else if (run->is_on_workers)
        view_workers(run, view, now);
    else if (engine_holds_calls(engine) && run->dispatch->in_flight == 0)
        set_waiting(view, WAITING_RESTARTS, 0, "the daemon has started three times within a minute: one call at a time until one has ended");
    else
        view_endpoint(run, view, now);
    if (view->waiting == WAITING_NOT)
        view_rows(run, view, now);
}

static void view_cost(const struct run_entry *run, struct run_view *view)
{
    const int64_t *counts = run->info.counts;
    view->cost_unknown_calls = counts[COUNT_COST_UNKNOWN];
    view->cost_micros = view->cost_unknown_calls > 0 && counts[COUNT_COST_MICROS] == 0 ? -1 : counts[COUNT_COST_MICROS];
    view->projected_low_micros = view->projected_high_micros = -1;
    int64_t done = counts[COUNT_STATE + ASSIGNMENT_SUCCEEDED] + counts[COUNT_STATE + ASSIGNMENT_FAILED];
    if (view->cost_unknown_calls > 0 || done < 10 || run->info.is_open) /* what is still to come has no price yet */
        return;
    double each = (double)view->cost_micros / (double)done;
    double left = (double)(counts[COUNT_STATE + ASSIGNMENT_PENDING] + counts[COUNT_STATE + ASSIGNMENT_LEASED]);
    double spread = 1 / sqrt((double)done);
    view->projected_low_micros = view->cost_micros + (int64_t)(each * left * (1 - spread));
    view->projected_high_micros = view->cost_micros + (int64_t)(each * left * (1 + spread));
}

/* All its endpoints count in one; the one that it is on may have no price. */
static const char *cost_currency(const struct run_entry *run)
{
    const char *currency = run->endpoint != NULL ? run->endpoint->currency : "";
    for (size_t i = 0; run->rungs != NULL && i < run->rungs->count && currency[0] == '\0'; i++)
        if (run->rungs->endpoints[i] != NULL)
            currency = run->rungs->endpoints[i]->currency;
    return currency;
}

static const char *limited_by(const struct run_entry *run, struct pacer_now now)
{
    if (run->is_on_workers)
        return PLAN_WORKERS;
    struct pacer_view pacer;
    pacer_view(run->endpoint->pacer, now, &pacer);
    return run->profile.mode == MODE_CONTINUOUS ? pacer.limited_by : "concurrency";
}

void run_view(const struct run_entry *run, struct run_view *ret_view)
{
    struct run_view *view = ret_view;
    *view = (struct run_view){.state = run_state_name(run->info.state)};
    const int64_t *counts = run->info.counts;
    struct pacer_now now = engine_now();
    int64_t total = 0;
    for (int state = 0; state < ASSIGNMENT_STATE_COUNT; state++)
        total += counts[COUNT_STATE + state];
    view->done_count = counts[COUNT_STATE + ASSIGNMENT_SUCCEEDED] + counts[COUNT_STATE + ASSIGNMENT_FAILED] + counts[COUNT_STATE + ASSIGNMENT_CANCELLED];
    view->progress = total > 0 ? (double)view->done_count / (double)total : run->info.state == RUN_DONE ? 1 : 0;
    view_reasons(run, view);
    view_cost(run, view);
    view->pack_size = run->endpoint != NULL && run->dispatch != NULL && run->has_plan ? run_pack(run) : 0;
    memcpy(view->currency, cost_currency(run), strlen(cost_currency(run)) + 1);
    if (view->reason_count > 0 && run->info.state == RUN_RUNNING)
        view->state = "paused"; /* one that is importing shows so until its commit, with the pause among its reasons */
    if (run->info.state != RUN_RUNNING || view->reason_count > 0 || run->dispatch == NULL)
        return;
    view_waiting(run, view, now);
    view->is_canary = first_is_open(run);
    view->canary_done = view->is_canary ? first_settled(run) : 0;
    view->rate_per_min = 60 * eta_rate_per_second(&run->eta, now.mono_us / 1000);
    /* While nothing goes out nobody knows: what it waits for and until when is told instead of a false time. */
    if (view->is_canary) /* it goes slowly on purpose, for now */
        return;
    if (run->info.is_open) /* its end is not in sight, whatever is left of what came */
        return;
    if (view->waiting == WAITING_NOT || (view->waiting == WAITING_THROTTLED && !run_is_refused(run)) || view->waiting == WAITING_RETRY)
        eta_answer(&run->eta, total - view->done_count, total, now.mono_us / 1000, &view->eta);
    view->eta.limited_by = limited_by(run, now);
}
