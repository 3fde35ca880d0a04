/* The first assignments of a run go slowly (core/first.h): nothing more is leased until they are settled and were judged. Whether they were is stored with the run, in
 * the transaction that pauses it where they were not well; so a restart neither forgets to look nor looks twice, and who resumes goes on at full speed. What is
 * held back is the run's: its endpoint's pacer knows nothing of it, and other runs take what it leaves. Loop's thread. */
#include "dispatch/dispatch.h"

#include "core/first.h"
#include "store/query.h"

#include <inttypes.h>
#include <string.h>

enum { EXAMPLES = 3 };

static int64_t count_of(const struct run_entry *run, enum assignment_state state)
{
    return run->info.counts[COUNT_STATE + state];
}

/* By a model or a worker: what a person decided says nothing of the rest. */
static int64_t settled(const struct run_entry *run)
{
    int64_t answered = run->info.counts[COUNT_CLASS + OUTCOME_SUCCEEDED];
    return min_i64(count_of(run, ASSIGNMENT_SUCCEEDED), answered) + count_of(run, ASSIGNMENT_FAILED);
}

bool first_is_open(const struct run_entry *run)
{
    int64_t total = 0;
    if (!run->has_plan || run->plan.canary == FIRST_OFF || run->endpoint == NULL || run->info.counts[COUNT_FIRST_JUDGED] > 0)
        return false;
    for (int state = 0; state < ASSIGNMENT_STATE_COUNT; state++)
        total += count_of(run, (enum assignment_state)state);
    return first_is_wanted((enum first_mode)run->plan.canary, total);
}

int64_t first_places(const struct run_entry *run)
{
    int64_t under_way = count_of(run, ASSIGNMENT_LEASED) + run->dispatch->outside_claims; /* rows, not calls: a pack has several */
    return first_is_open(run) ? first_room(settled(run), under_way) : INT64_MAX;
}

int64_t first_settled(const struct run_entry *run)
{
    return min_i64(settled(run), FIRST_COUNT);
}

/* ---- what they came to ---- */

static void on_judged(struct store_op *op)
{
    struct engine *engine = op->arg;
    struct run_entry *run = registry_run_by_id(&engine->registry, ((struct store_run_pause *)op)->run);
    if (run != NULL && run->dispatch != NULL)
        run->dispatch->has_first = false;
    if (run != NULL && op->code == 0 && op->seq_first != 0)
        notice_run(engine, run, "run_canary_passed", op->seq_first);
    store_op_free(op);
    engine_turn(engine);
}

static void pass(struct engine *engine, const struct run_entry *run)
{
    struct store_run_pause *judged = store_op_new(OP_RUN_PAUSE, on_judged, engine);
    judged->run = run->info.id;
    judged->is_first_judged = true;
    engine_submit(engine, &judged->op);
}

/* "; e.g. LAN1: rejected, the provider's words; LAN2: …" */
static void examples_add(struct buf *text, const struct store_read *read)
{
    for (size_t i = 0; i < read->ret_row_count; i++) {
        const char *key = read_text(read, i, ASSIGNMENT_KEY), *code = read_text(read, i, ASSIGNMENT_CODE), *message = read_text(read, i, ASSIGNMENT_MESSAGE);
        buf_add_fmt(text, "%s%.60s: %s%s%.100s", i == 0 ? "; e.g. " : "; ", key ? key : "?", code ? code : "succeeded", message ? ", " : "", message ? message : "");
    }
}

static void verdict_add(struct buf *text, const struct run_entry *run, const struct config *config)
{
    int64_t failed = count_of(run, ASSIGNMENT_FAILED), all = settled(run), cost = run->info.counts[COUNT_COST_MICROS];
    if ((double)failed > config->canary_failures * (double)all)
        buf_add_fmt(text, "%" PRId64 " of the first %" PRId64 " failed, and canary_failures lets %.0f %% pass", failed, all, config->canary_failures * 100);
    else
        buf_add_fmt(text, "each of the first %" PRId64 " cost %.6f on average, and canary_cost lets %.6f pass", all, (double)cost / (double)max_i64(all, 1) / 1e6,
                    (double)config->canary_cost_micros / 1e6);
}

static void on_examples(struct store_op *op)
{
    struct engine *engine = op->arg;
    const struct store_read *read = (struct store_read *)op;
    struct run_entry *run = registry_run_by_id(&engine->registry, read->run);
    if (run != NULL && run->dispatch != NULL) {
        struct buf text = BUF_EMPTY;
        verdict_add(&text, run, engine->config);
        if (op->code == 0)
            examples_add(&text, read);
        run->dispatch->has_first = false;
        run_pause(engine, run, PAUSE_FIRST, buf_text(&text));
        buf_clear(&text);
    }
    store_op_free(op);
}

static void fail(struct engine *engine, const struct run_entry *run, enum first_verdict verdict)
{
    struct store_read *read = store_op_new(OP_READ, on_examples, engine);
    read->query = QUERY_ASSIGNMENTS;
    read->run = run->info.id;
    read->limit = EXAMPLES;
    read->selector.states = 1u << (verdict == FIRST_FAILS ? ASSIGNMENT_FAILED : ASSIGNMENT_SUCCEEDED);
    store_submit(engine->store, &read->op);
}

void first_look(struct engine *engine, struct run_entry *run)
{
    struct run_dispatch *d = run->dispatch;
    if (d->has_first || d->pausing != 0 || settled(run) < FIRST_COUNT || !first_is_open(run))
        return;
    const int64_t *counts = run->info.counts;
    const struct first_sums sums = {settled(run), count_of(run, ASSIGNMENT_FAILED), counts[COUNT_COST_UNKNOWN] > 0 ? -1 : counts[COUNT_COST_MICROS]};
    enum first_verdict verdict = first_judge(&sums, engine->config->canary_failures, engine->config->canary_cost_micros);
    d->has_first = true;
    if (verdict == FIRST_WELL)
        pass(engine, run);
    else
        fail(engine, run, verdict);
}
