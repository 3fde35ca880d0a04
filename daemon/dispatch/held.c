/* Transient failures that are not yet judged. A failure waits (in the store: pending under a hold) until the endpoint is seen well or ill: the next success
 * of a call sent after it confirms it, and it spends a retry; a failed test request drops all that are held, and nothing is spent. */
#include "dispatch/dispatch.h"

#include "base/log.h"
#include "base/negative.h"
#include "core/result_body.h"

static void held_free(struct held *held)
{
    free(held->message);
    free(held);
}

void held_free_all(struct endpoint *endpoint)
{
    for (struct held *held = endpoint->dispatch->held, *next; held != NULL; held = next) {
        next = held->next;
        held_free(held);
    }
    endpoint->dispatch->held = NULL;
}

void held_add(struct endpoint *endpoint, struct run_entry *run, struct held *held)
{
    if (run->endpoint != endpoint || endpoint_is_down(endpoint))
        held->judgement = HELD_DROPPED; /* nobody would judge it in time */
    run->dispatch->held_count++;
    held->next = endpoint->dispatch->held;
    endpoint->dispatch->held = held;
}

bool held_wants_test(const struct endpoint *endpoint, int64_t now_us, int64_t *ret_wait_us)
{
    int64_t oldest_us = INT64_MAX;
    for (const struct held *held = endpoint->dispatch->held; held != NULL; held = held->next)
        if (held->judgement == HELD_OPEN)
            oldest_us = min_i64(oldest_us, held->failed_us);
    int64_t hold_us = (int64_t)(BREAKER_HOLD_TEST_MS * 1000 * endpoint->config->time_scale);
    *ret_wait_us = oldest_us == INT64_MAX ? -1 : max_i64(0, oldest_us + hold_us - now_us);
    return *ret_wait_us == 0;
}

static void on_judged(struct store_op *op)
{
    struct endpoint *endpoint = op->arg;
    struct engine *engine = endpoint->dispatch->engine;
    const struct store_judge *judge = (struct store_judge *)op;
    endpoint->dispatch->judges--;
    for (size_t i = 0; i < judge->count; i++) {
        struct run_entry *run = registry_run_by_id(&engine->registry, judge->items[i].run);
        if (run == NULL || run->dispatch == NULL)
            continue;
        run->dispatch->dry_until_us = 0;
        run->dispatch->held_count--;
    }
    store_op_free(op);
}

static struct judge_item judge(struct engine *engine, struct endpoint *endpoint, const struct held *held)
{
    struct pacer_now now = engine_now();
    struct run_entry *run = registry_run_by_id(&engine->registry, held->run);
    int64_t max_retries = pacer_max_retries(endpoint->pacer, now, run != NULL && run->has_plan ? run->profile.max_retries : 3);
    struct judge_item item = {.run = held->run, .assignment = held->assignment, .n = held->n, .is_spent = held->judgement == HELD_CONFIRMED,
                              .delay_ms = max_i64(0, (held->due_us - now.mono_us) / 1000)};
    item.fails = item.is_spent && held->is_alone && held->retries_spent + 1 > max_retries;
    if (item.fails)
        item.result = result_body_failure(held->message, NULL, (struct result_call){.http_status = held->http_status, .latency_ms = -1});
    return item;
}

/* Submits what is judged and stored. */
static void submit_judged(struct endpoint *endpoint)
{
    struct engine *engine = endpoint->dispatch->engine;
    size_t count = 0;
    for (struct held *held = endpoint->dispatch->held; held != NULL; held = held->next)
        count += held->is_stored && held->judgement != HELD_OPEN;
    if (count == 0)
        return;
    struct judge_item *items = xcalloc(count, sizeof *items);
    count = 0;
    for (struct held **at = &endpoint->dispatch->held; *at != NULL;) {
        struct held *held = *at;
        if (!held->is_stored || held->judgement == HELD_OPEN) {
            at = &held->next;
            continue;
        }
        items[count++] = judge(engine, endpoint, held);
        *at = held->next;
        held_free(held);
    }
    struct store_judge *op = store_op_new(OP_JUDGE, on_judged, endpoint);
    endpoint->dispatch->judges++;
    op->items = items;
    op->count = count;
    owed_submit(engine, &op->op);
}

void held_stored(struct endpoint *endpoint, int64_t assignment, int32_t n)
{
    for (struct held *held = endpoint->dispatch->held; held != NULL; held = held->next)
        if (held->assignment == assignment && held->n == n)
            held->is_stored = true;
    submit_judged(endpoint);
}

void held_confirm(struct endpoint *endpoint, int64_t success_sent_us)
{
    bool some = false;
    for (struct held *held = endpoint->dispatch->held; held != NULL; held = held->next) {
        if (held->judgement != HELD_OPEN || held->sent_us >= success_sent_us)
            continue;
        held->judgement = HELD_CONFIRMED;
        some = true;
        if (held->is_first)
            pacer_confirmed_first(endpoint->pacer, engine_now());
    }
    if (some)
        submit_judged(endpoint);
}

void held_drop(struct endpoint *endpoint, int64_t run)
{
    for (struct held *held = endpoint->dispatch->held; held != NULL; held = held->next)
        if (held->judgement == HELD_OPEN && (run == 0 || held->run == run))
            held->judgement = BREAKS(OUTAGE_SPENDS) ? HELD_CONFIRMED : HELD_DROPPED;
    submit_judged(endpoint);
}

void held_drop_but(struct endpoint *endpoint, int64_t call)
{
    for (struct held *held = endpoint->dispatch->held; held != NULL; held = held->next)
        if (held->judgement == HELD_OPEN && held->call != call)
            held->judgement = HELD_DROPPED;
    submit_judged(endpoint);
}

bool held_drop_oldest(struct endpoint *endpoint)
{
    struct held *oldest = NULL;
    for (struct held *held = endpoint->dispatch->held; held != NULL; held = held->next)
        if (held->judgement == HELD_OPEN && held->is_stored && (oldest == NULL || held->failed_us < oldest->failed_us))
            oldest = held;
    if (oldest == NULL)
        return false;
    oldest->judgement = HELD_DROPPED;
    submit_judged(endpoint);
    return true;
}
