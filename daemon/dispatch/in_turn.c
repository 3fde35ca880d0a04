/* How an endpoint without a test request of its own is found well or ill: by waiting assignments, in turn.
 *
 *   open breaker      each probe is one assignment of a run that waits, the runs in turn, and those that were tried behind all others
 *   held failures     what else is sent judges them; when nothing else is left to send, the oldest is let go, and its next attempt is a probe
 *   a probe fails     the breaker opens, or its next probe is further away; the failures held before are dropped, and its own is held until the next probe
 *   a probe answers   the breaker closes, and the failures held before it are confirmed
 *
 * So an outage spends at most one retry of one assignment, and an assignment that always fails spends its own by the others that succeed. Only where nothing is
 * left but assignments that fail, nobody can tell them from an outage: they are tried on and on, the run says so, and after an hour it pauses: a person decides
 * (docs/decisions.md). Loop's thread. */
#include "dispatch/dispatch.h"

#include <inttypes.h>
#include <string.h>

enum { STUCK_MS = 3600000 }; /* an outage of an hour needs nobody */

bool in_turn_may_probe(struct endpoint *endpoint, int64_t *ret_wait_us)
{
    struct endpoint_dispatch *d = endpoint->dispatch;
    struct pacer_now now = engine_now();
    *ret_wait_us = -1;
    if (endpoint_has_test(endpoint) || d->has_turn || engine_holds_calls(d->engine) || !pacer_wants_probe(endpoint->pacer, now, ret_wait_us))
        return false;
    *ret_wait_us = pacer_ask_test(endpoint->pacer, now, d->prompt_tokens);
    return *ret_wait_us == 0;
}

/* Nothing is under way, and nothing will be due at a time that is known. */
static bool is_idle(const struct engine *engine, const struct endpoint *endpoint)
{
    size_t count = 0;
    for (const struct run_entry *run = engine->registry.runs; run != NULL; run = run->next) {
        if (run->endpoint != endpoint || !run_is_runnable(engine, run))
            continue;
        const struct run_dispatch *d = run->dispatch;
        if (d->ready_count > 0 || d->in_flight > 0 || d->has_claim || d->has_sweep || d->has_judge || d->dry_until_us != INT64_MAX)
            return false;
        count++;
    }
    return count > 0;
}

void in_turn_let_go(struct engine *engine, struct endpoint *endpoint)
{
    struct endpoint_dispatch *d = endpoint->dispatch;
    bool is_open = pacer_is_open(endpoint->pacer);
    int64_t wait_us;
    if (endpoint_has_test(endpoint) || endpoint_is_down(endpoint) || d->held == NULL || d->has_turn || d->judges > 0)
        return;
    bool is_due = is_open ? in_turn_may_probe(endpoint, &wait_us) : held_wants_test(endpoint, engine_now().mono_us, &wait_us);
    if (is_due && is_idle(engine, endpoint) && held_drop_oldest(endpoint))
        d->next_is_probe = !is_open;
}

/* How many probes that fail it takes until each assignment that is left has failed as often as one of its own fault may. */
static int64_t probes_until_stuck(const struct engine *engine, const struct endpoint *endpoint)
{
    int64_t probes = 0;
    for (const struct run_entry *run = engine->registry.runs; run != NULL; run = run->next) {
        if (run->endpoint != endpoint || !run_is_runnable(engine, run))
            continue;
        int64_t left = run->info.counts[COUNT_STATE + ASSIGNMENT_PENDING] + run->info.counts[COUNT_STATE + ASSIGNMENT_LEASED];
        if (run->profile.mode == MODE_SEQUENTIAL)
            left = min_i64(left, 1); /* the others wait behind it */
        probes += left * (run->profile.max_retries + 1);
    }
    return probes;
}

/* For how long, in ms; 0: it is not. */
static int64_t stuck_ms(const struct endpoint *endpoint)
{
    struct pacer_view view;
    if (endpoint_has_test(endpoint) || !pacer_is_open(endpoint->pacer))
        return 0;
    pacer_view(endpoint->pacer, engine_now(), &view);
    int64_t probes = probes_until_stuck(endpoint->dispatch->engine, endpoint);
    return probes > 0 && view.probes_failed >= probes ? max_i64(view.open_us / 1000, 1) : 0;
}

void in_turn_text(const struct run_entry *run, char *text, size_t size)
{
    size_t len = strlen(text);
    if (run->dispatch->last_problem[0] == '\0' || stuck_ms(run->endpoint) == 0)
        return;
    snprintf(text + len, size - len,
             "; all that is left has failed each time it was tried, last with: %.200s. It may be these assignments and not the service: see gallocctl list %s --state "
             "pending; to give them up: gallocctl cancel %s --state pending; with a test_path in the configuration the daemon can tell",
             run->dispatch->last_problem, run->info.run_id, run->info.run_id);
}

static void pause_if_stuck(struct engine *engine, struct endpoint *endpoint)
{
    int64_t ms = stuck_ms(endpoint);
    if (ms == 0 || (double)ms < STUCK_MS * endpoint->config->time_scale)
        return;
    runs_pause_failing(engine, endpoint, "all that is left fails each time it is tried, and has for an hour, so that nobody can tell these assignments from an outage");
}

bool in_turn_is_late(const struct call *call, enum outcome_class class)
{
    return (call->is_probe && !outcome_is_answer(class)) || (class == OUTCOME_UNAVAILABLE && !endpoint_has_test(call->endpoint));
}

void in_turn_answered(struct call *call, enum outcome_class class)
{
    struct endpoint *endpoint = call->endpoint;
    endpoint->dispatch->has_turn = false;
    if (outcome_is_answer(class) || class == OUTCOME_REJECTED)
        held_confirm(endpoint, call->sent_us);
    else if (class != OUTCOME_THROTTLED && class != OUTCOME_QUOTA_DAY)
        held_drop_but(endpoint, call->id);
    if (class == OUTCOME_TRANSIENT)
        pause_if_stuck(call->engine, endpoint);
}
