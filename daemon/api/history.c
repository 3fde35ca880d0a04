/* See history.h. */
#include "api/history.h"

#include "base/text.h"

#include <string.h>

#define RUNS_MOST 5         /* the latest: prompts and models change */
#define DECIDED_LEAST 10    /* assignments of a run from which an average is taken */

static int64_t decided(const struct run_entry *run)
{
    return run->info.counts[COUNT_STATE + ASSIGNMENT_SUCCEEDED] + run->info.counts[COUNT_STATE + ASSIGNMENT_FAILED];
}

static bool is_alike(const struct run_entry *run, const struct plan *plan, uint64_t likeness, const struct pool_entry *pool)
{
    bool is_same_pool = pool == NULL ? run->info.pool_name == NULL : run->info.pool == pool->id;
    return is_same_pool && run->info.likeness == likeness && strcmp(run->info.endpoint, plan->endpoint) == 0 && decided(run) >= DECIDED_LEAST &&
           run->info.counts[COUNT_TOKEN + TOKEN_IN] > 0;
}

static void add_run(const struct run_entry *run, int64_t sums[COUNT_KIND_END], int64_t *decided_count)
{
    for (int kind = 0; kind < COUNT_KIND_END; kind++)
        sums[kind] += run->info.counts[kind];
    *decided_count += decided(run);
}

void history_find(const struct registry *registry, const struct plan *plan, const struct pool_entry *pool, struct history *ret_history)
{
    struct buf json = BUF_EMPTY;
    const struct run_entry *latest[RUNS_MOST];
    size_t count = 0;
    int64_t sums[COUNT_KIND_END] = {0}, decided_count = 0;
    plan_to_json(plan, &json);
    uint64_t likeness = plan_likeness(buf_text(&json));
    buf_clear(&json);
    for (const struct run_entry *run = registry->runs; run != NULL; run = run->next)
        if (is_alike(run, plan, likeness, pool))
            latest[count++ % RUNS_MOST] = run;
    for (size_t i = 0; i < count && i < RUNS_MOST; i++)
        add_run(latest[i], sums, &decided_count);
    *ret_history = (struct history){.run_count = min_i64((int64_t)count, RUNS_MOST), .is_of_pool = pool != NULL};
    if (count == 0)
        return;
    double calls = (double)max_i64(sums[COUNT_ANSWERED], 1);
    ret_history->call_count = sums[COUNT_ANSWERED];
    ret_history->tokens_in = (double)sums[COUNT_TOKEN + TOKEN_IN] / calls;
    ret_history->tokens_cached = (double)sums[COUNT_TOKEN + TOKEN_CACHED] / calls;
    ret_history->tokens_out = (double)(sums[COUNT_TOKEN + TOKEN_OUT] + sums[COUNT_TOKEN + TOKEN_THOUGHT]) / calls;
    ret_history->calls_per_assignment = calls / (double)decided_count;
    ret_history->latency_s = (double)sums[COUNT_LATENCY_MS] / 1000 / calls;
}

void history_add_text(struct buf *out, const struct history *history)
{
    buf_add_fmt(out, "%s %s template (%s)", text_counted(history->run_count, "earlier run").text, history->is_of_pool ? "of this pool and" : "with this",
                text_counted(history->call_count, "call").text);
}
