/* The senders of runs, each going through its steps until it has a certain answer to each, and operators, who do now this and now that. What was answered is promised;
 * what had no answer may stand or not, and is sent again with the same key or number. */
#include "tests/simulation/world.h"

#include "core/plan.h"
#include "tests/contract/store_make.h"

#include <stdlib.h>
#include <string.h>

enum { AGAIN_LATEST_MS = 900, NEXT_LATEST_MS = 3000, FIELD_BYTES = 60, DAY_MS = 86400000 };

/* An operation on its way: whose, and of which life. */
struct errand {
    struct sim_run *run;
    unsigned life;
};

static struct errand *errand_new(struct sim_run *run)
{
    struct errand *errand = xmalloc(sizeof *errand);
    *errand = (struct errand){run, life_number()};
    return errand;
}

/* ---- answers ---- */
enum answer_sense { ANSWER_WELL, ANSWER_AGAIN, ANSWER_REFUSED };

/* An answer that comes while the daemon is dropped is one that nobody got. */
static enum answer_sense sense_of(const struct store_op *op)
{
    static const int again[] = {GALLOC_BUSY, GALLOC_STORE_UNAVAILABLE, GALLOC_OUTCOME_UNKNOWN, GALLOC_DISK_FULL, GALLOC_DRAINING};
    if (life_engine() == NULL)
        return ANSWER_AGAIN;
    for (size_t i = 0; i < ARRAY_COUNT(again); i++)
        if (op->code == -again[i])
            return ANSWER_AGAIN;
    return op->code == 0 ? ANSWER_WELL : ANSWER_REFUSED;
}

static void errand_trace(const struct store_op *op, const struct sim_run *run, const char *what)
{
    if (life_engine() != NULL)
        trace("%s run=%d %s", what, run->number, op->code == 0 ? "well" : galloc_code_row(op->code)->name);
}

/* ---- a sender ---- */
static void sender_wait(struct sim_run *run, int64_t latest_ms)
{
    run->is_waiting = false;
    sched_set_us(&run->next, dice(1, latest_ms) * 1000);
}

/* The step is done, refused for good (then there is nothing more to send), or to be tried again. Frees both. */
static enum answer_sense sender_answered(struct store_op *op, struct sim_run **ret_run, const char *what)
{
    struct errand *errand = op->arg;
    struct sim_run *run = *ret_run = errand->run;
    enum answer_sense sense = sense_of(op);
    errand_trace(op, run, what);
    free(errand);
    if (sense == ANSWER_REFUSED) {
        if (!run->is_cancelled)
            violate("run %d: %s was refused: %s", run->number, what, op->error.message);
        run->step = STEP_SENT;
    }
    sender_wait(run, sense == ANSWER_WELL ? NEXT_LATEST_MS : AGAIN_LATEST_MS);
    return sense;
}

static void on_created(struct store_op *op)
{
    struct sim_run *run;
    const struct store_run_create *create = (struct store_run_create *)op;
    if (sender_answered(op, &run, "create") == ANSWER_WELL) {
        if (run->id != 0 && run->id != create->ret_run.id)
            violate("run %d was made twice", run->number);
        run->id = create->ret_run.id;
        memcpy(run->run_id, create->ret_run.run_id, sizeof run->run_id);
        run->step = STEP_PARTS;
    }
    store_op_free(op);
}

static void send_create(struct sim_run *run)
{
    struct store_run_create *create = make_run(run->agents, run->capacity, on_created, errand_new(run));
    struct buf text = BUF_EMPTY;
    const struct plan plan = {.endpoint = (char *)(uintptr_t)run->endpoint, .profile = (char *)(uintptr_t)run->profile, .batch_size = -1, .delay_ms = -1, .max_retries = -1,
                              .template = (char *)(uintptr_t)"KEY={{key}};\n{{fields}}\n--- user\n{{roster}}\n{{loads}}\n", .workers_too = run->workers_too, .is_open = run->is_open};
    plan_to_json(&plan, &text);
    free(create->run.plan);
    free(create->run.endpoint);
    free(create->run.profile);
    create->run.plan = buf_take(&text);
    create->run.endpoint = xstrdup(run->endpoint);
    create->run.profile = xstrdup(run->profile);
    create->run.is_open = run->is_open;
    create->idempotency_key = xasprintf("create-%d", run->number);
    create->request_sha256 = xasprintf("%064d", run->number);
    engine_submit(life_engine(), &create->op);
}

/* Rows of a part: the first and how many. */
static int part_first(const struct sim_run *run, int part)
{
    return (part - 1) * run->rows_a_part;
}

static void part_mark(struct sim_run *run, int part, bool is_promised)
{
    for (int i = part_first(run, part); i < part_first(run, part + 1); i++) {
        run->key[i].is_asked = true;
        run->key[i].is_promised = run->key[i].is_promised || is_promised;
    }
}

static void on_part(struct store_op *op)
{
    struct sim_run *run;
    if (sender_answered(op, &run, "part") == ANSWER_WELL) {
        part_mark(run, run->part, true);
        run->part++;
        if (run->step == STEP_PARTS && run->part > run->parts)
            run->step = STEP_COMMIT;
    }
    store_op_free(op);
}

static void send_part(struct sim_run *run)
{
    bool is_append = run->step == STEP_FEED;
    struct store_import *import = make_part(run->id, run->part, run->number * KEY_RUN_FACTOR + part_first(run, run->part), run->rows_a_part, FIELD_BYTES, 0, on_part, errand_new(run));
    import->is_append = is_append;
    if (is_append)
        import->idempotency_key = xasprintf("append-%d-%d", run->number, run->part);
    part_mark(run, run->part, false);
    engine_submit(life_engine(), &import->op);
}

static void on_committed(struct store_op *op)
{
    struct sim_run *run;
    if (sender_answered(op, &run, "commit") == ANSWER_WELL)
        run->step = run->is_open ? STEP_FEED : STEP_SENT;
    store_op_free(op);
}

static void on_closed(struct store_op *op)
{
    struct sim_run *run;
    if (sender_answered(op, &run, "close") == ANSWER_WELL)
        run->step = STEP_SENT;
    store_op_free(op);
}

static void send_close(struct sim_run *run)
{
    struct store_run_close *close = store_op_new(OP_RUN_CLOSE, on_closed, errand_new(run));
    close->run = run->id;
    engine_submit(life_engine(), &close->op);
}

static void on_sender(void *arg)
{
    struct sim_run *run = arg;
    if (run->is_waiting || run->step == STEP_SENT)
        return;
    if (life_engine() == NULL) {
        sender_wait(run, AGAIN_LATEST_MS);
        return;
    }
    run->is_waiting = true;
    if (run->step == STEP_FEED && run->part > run->parts + run->appends)
        run->step = STEP_CLOSE;
    if (run->step == STEP_CREATE)
        send_create(run);
    else if (run->step == STEP_PARTS || run->step == STEP_FEED)
        send_part(run);
    else if (run->step == STEP_COMMIT)
        engine_submit(life_engine(), &make_commit(run->id, run->parts, on_committed, errand_new(run))->op);
    else
        send_close(run);
}

/* ---- operators ---- */
static void on_operated(struct store_op *op)
{
    struct errand *errand = op->arg;
    errand_trace(op, errand->run, "operator");
    free(errand);
    store_op_free(op);
}

static struct sim_run *run_draw(void)
{
    struct sim_run *run = &world.runs[dice(0, world.run_count - 1)];
    return run->id != 0 ? run : NULL;
}

static void run_pauses(struct sim_run *run, unsigned set, unsigned clear)
{
    struct store_run_pause *pause = store_op_new(OP_RUN_PAUSE, on_operated, errand_new(run));
    pause->run = run->id;
    pause->is_by_person = true;
    pause->set = set;
    pause->clear = clear;
    engine_submit(life_engine(), &pause->op);
}

static void run_pause_it(struct sim_run *run)
{
    run_pauses(run, PAUSE_BIT(PAUSE_OPERATOR), 0);
}

static void run_resume_it(struct sim_run *run)
{
    run_pauses(run, 0, (1u << PAUSE_CAUSE_COUNT) - 1);
}

static void run_sweep_it(struct sim_run *run, enum store_sweep_verb verb)
{
    struct store_sweep *sweep = store_op_new(OP_SWEEP, on_operated, errand_new(run));
    sweep->run = run->id;
    sweep->verb = verb;
    sweep->is_by_person = true;
    sweep->selector.is_all = verb == SWEEP_CANCEL;
    sweep->selector.states = verb == SWEEP_RETRY ? 1u << ASSIGNMENT_FAILED : 0;
    engine_submit(life_engine(), &sweep->op);
}

static void run_cancel_it(struct sim_run *run)
{
    if (!dice_percent(25))
        return;
    run->is_cancelled = true;
    run_sweep_it(run, SWEEP_CANCEL);
}

static void run_retry_it(struct sim_run *run)
{
    run->is_retried = true;
    run_sweep_it(run, SWEEP_RETRY);
}

/* Some of what is decided, by whom it went to. */
static void run_undo(struct sim_run *run, enum store_sweep_verb verb)
{
    struct store_sweep *sweep = store_op_new(OP_SWEEP, on_operated, errand_new(run));
    sweep->run = run->id;
    sweep->verb = verb;
    sweep->is_by_person = true;
    sweep->reason = xstrdup("on leave");
    sweep->selector.agents = xcalloc(2, sizeof(char *));
    sweep->selector.agents[0] = xasprintf("A%d", (int)dice(1, run->agents));
    engine_submit(life_engine(), &sweep->op);
}

static void run_redo_it(struct sim_run *run)
{
    run->is_redone = true;
    run_undo(run, SWEEP_REDO);
}

static void run_discard_it(struct sim_run *run)
{
    if (!dice_percent(30))
        return;
    run->is_discarded = true;
    run_undo(run, SWEEP_DISCARD);
}

static void run_assign_it(struct sim_run *run)
{
    struct store_assign *assign = store_op_new(OP_ASSIGN, on_operated, errand_new(run));
    run->is_assigned = true;
    assign->run = run->id;
    assign->key = xasprintf("K%0*lld", KEY_DIGITS, (long long)(run->number * KEY_RUN_FACTOR + dice(0, run->keys - 1)));
    assign->agent_id = dice_percent(85) ? xasprintf("A%d", (int)dice(1, run->agents)) : NULL;
    run->is_discarded = run->is_discarded || assign->agent_id == NULL;
    assign->reason = xstrdup("knows the family");
    engine_submit(life_engine(), &assign->op);
}

static void run_prefer_it(struct sim_run *run)
{
    struct store_run_set *set = store_op_new(OP_RUN_SET, on_operated, errand_new(run));
    set->run = run->id;
    set->priority = dice(-2, 2);
    engine_submit(life_engine(), &set->op);
}

static void agent_set(struct sim_run *run, int agent, bool is_available)
{
    const struct run_entry *entry = registry_run_by_id(engine_registry(life_engine()), run->id);
    if (entry == NULL || entry->pool == NULL)
        return;
    struct store_agent_set *set = store_op_new(OP_AGENT_SET, on_operated, errand_new(run));
    set->pool = entry->pool->id;
    set->agent_id = xasprintf("A%d", agent);
    set->capacity = INT64_MIN;
    set->available = is_available;
    run->is_away = run->is_away || !is_available;
    set->until_at_ms = !is_available && dice_percent(70) ? entry->info.created_at_ms + dice(1, 400) * 1000 : 0;
    engine_submit(life_engine(), &set->op);
}

static void run_change_agent(struct sim_run *run)
{
    agent_set(run, (int)dice(1, run->agents), dice_percent(50));
}

static void run_bring_back(struct sim_run *run, const struct pool_entry *pool)
{
    for (size_t i = 0; pool != NULL && i < pool->agent_count; i++)
        if (!pool->agents[i].info.is_available)
            agent_set(run, (int)strtol(pool->agents[i].info.agent_id + 1, NULL, 10), true);
}

static struct endpoint *endpoint_draw(void)
{
    return registry_endpoint(engine_registry(life_engine()), dice_percent(50) ? "a" : "b");
}

static void on_tested(const struct endpoint_test_result *result, void *arg)
{
    (void)arg;
    if (life_engine() != NULL)
        trace("tested %s", outcome_row(result->class)->name);
}

static void endpoint_test_it(struct sim_run *run)
{
    (void)run;
    engine_endpoint_test(life_engine(), endpoint_draw(), on_tested, NULL);
}

static void endpoint_resume_it(struct sim_run *run)
{
    struct galloc_error error;
    (void)run;
    if (engine_endpoint_resume(life_engine(), endpoint_draw(), &error) < 0)
        violate("an endpoint cannot be resumed: %s", error.message);
}

static void daemon_reload(struct sim_run *run)
{
    struct galloc_error error;
    (void)run;
    if (engine_reload(life_engine(), &error) < 0)
        violate("the configuration cannot be read again: %s", error.message);
}

static void daemon_drain(struct sim_run *run)
{
    (void)run;
    if (engine_is_draining(life_engine()))
        engine_undrain(life_engine());
    else if (dice_percent(30))
        life_stop();
    else
        engine_drain(life_engine(), -1, NULL, NULL);
}

static void clock_jump(struct sim_run *run)
{
    static const int64_t jumps_ms[] = {-DAY_MS, -3600000, -1000, 1000, 3600000, DAY_MS};
    int64_t ms = jumps_ms[dice(0, (int64_t)ARRAY_COUNT(jumps_ms) - 1)];
    (void)run;
    trace("the wall clock jumps %lld ms", (long long)ms);
    sched_jump_wall_ms(ms);
    world.jumped_us = sched_now_us();
}

static void change_weather(struct sim_run *run)
{
    (void)run;
    weather_change((int)dice(0, ENDPOINTS - 1));
}

static void kill_it(struct sim_run *run)
{
    (void)run;
    life_kill();
}

static void fail_disk(struct sim_run *run)
{
    (void)run;
    life_fail_disk();
}

static const struct deed {
    const char *name;
    int share; /* of all that is done */
    void (*act)(struct sim_run *run);
} deeds[] = {
    {"weather", 30, change_weather},       {"pause", 6, run_pause_it},     {"resume", 12, run_resume_it},  {"cancel", 6, run_cancel_it},
    {"retry", 5, run_retry_it},            {"prefer", 3, run_prefer_it},   {"agent", 6, run_change_agent}, {"test", 4, endpoint_test_it},
    {"resume endpoint", 12, endpoint_resume_it}, {"reload", 3, daemon_reload}, {"drain", 5, daemon_drain},     {"clock", 5, clock_jump},
    {"kill", 9, kill_it},                  {"disk", 6, fail_disk},        {"assign", 8, run_assign_it},   {"redo", 4, run_redo_it},
    {"discard", 4, run_discard_it},
};

void people_step(void)
{
    int all = 0;
    for (size_t i = 0; i < ARRAY_COUNT(deeds); i++)
        all += deeds[i].share;
    int64_t at = dice(0, all - 1);
    struct sim_run *run = run_draw();
    if (life_engine() == NULL || run == NULL)
        return;
    for (size_t i = 0; i < ARRAY_COUNT(deeds); i++) {
        at -= deeds[i].share;
        if (at < 0) {
            trace("deed %s run=%d", deeds[i].name, run->number);
            deeds[i].act(run);
            return;
        }
    }
}

void people_mend(void)
{
    static const char *const names[ENDPOINTS] = {"a", "b"};
    struct engine *engine = life_engine();
    if (engine == NULL)
        return;
    if (engine_is_draining(engine))
        engine_undrain(engine);
    for (int i = 0; i < ENDPOINTS; i++) {
        struct galloc_error error;
        struct endpoint *endpoint = registry_endpoint(engine_registry(engine), names[i]);
        if (endpoint_is_down(endpoint) && engine_endpoint_resume(engine, endpoint, &error) < 0)
            violate("endpoint %s cannot be resumed: %s", names[i], error.message);
    }
    for (int i = 0; i < world.run_count; i++) {
        const struct run_entry *entry = registry_run_by_id(engine_registry(engine), world.runs[i].id);
        if (entry == NULL)
            continue;
        if (entry->info.pauses != 0)
            run_resume_it(&world.runs[i]);
        run_bring_back(&world.runs[i], entry->pool);
    }
}

/* ---- what the seed draws ---- */
static void keys_draw(struct sim_run *run)
{
    int64_t poison_percent = dice_percent(30) ? 10 : 0;
    for (int i = 0; i < run->keys; i++)
        if (dice_percent(poison_percent))
            run->key[i].temper = (enum temper)dice(TEMPER_ALWAYS_FAILS, TEMPER_ALWAYS_INVALID);
}

static void run_begin_at(struct sim_run *run, int number)
{
    static const char *const profiles[] = {"adaptive", "adaptive", "conservative", "balanced", "aggressive", "sequential"};
    *run = (struct sim_run){.number = number, .part = 1, .next = {.fire = on_sender, .arg = run}};
    run->is_on_workers = dice_percent(30);
    run->workers_too = !run->is_on_workers && dice_percent(20);
    run->endpoint = run->is_on_workers ? PLAN_WORKERS : dice_percent(60) ? "a" : "b";
    run->profile = profiles[dice(0, (int64_t)ARRAY_COUNT(profiles) - 1)];
    run->is_open = dice_percent(30);
    run->parts = (int)dice(1, 3);
    run->appends = run->is_open ? (int)dice(0, 2) : 0;
    run->rows_a_part = (int)dice(1, KEYS_MAX / 5);
    run->keys = run->rows_a_part * (run->parts + run->appends);
    run->agents = (int)dice(1, AGENTS_MAX);
    run->capacity = dice_percent(30) ? -1 : (run->keys * dice(60, 160) / 100) / run->agents + 1;
    keys_draw(run);
    sched_set_us(&run->next, dice(1, 20000) * 1000);
}

void people_begin(void)
{
    world.run_count = (int)dice(1, RUNS_MAX);
    for (int i = 0; i < world.run_count; i++)
        run_begin_at(&world.runs[i], i + 1);
}
