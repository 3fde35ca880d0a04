/* The daemon's own pacer, driven as daemon/dispatch drives it: asked before each call, told of each send and each answer; retries by core/retry.h; transient failures
 * held until the endpoint is seen well or ill (dispatch/held.c); the endpoint's own test request as judge and as probe of an open breaker (dispatch/probe.c). Not
 * modelled: leases ahead, the time of a commit, the cost of a connection. */
#include "tests/sim/dice.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { REQUEST_TIMEOUT_MS = 60000, BACKOFF_MAX_MS = 8000, MAX_RETRIES = 3, RESUME_AFTER_US = 60000000, CANARY_LEAST_US = 200000, WINDOW_US = 61000000 };
enum { WARM_ITEMS = 2000, WARM_SEED = 50, SAVE_EVERY_US = 60000000 };

struct held {
    struct world_item *item; /* borrowed */
    int64_t sent_us, failed_us, due_us;
    bool is_first, is_late;
    struct held *next;
};

struct galloc {
    struct world *world;  /* borrowed */
    struct pacer *pacer;  /* owned */
    struct held *held;    /* owned */
    struct rng rng;
    uint64_t seed;
    struct pacer_learned saved; /* each minute, as the daemon does */
    int64_t saved_us;     /* when that was; -1: not yet */
    int64_t prompt_tokens; /* a mean, as dispatch has it */
    int64_t paused_until_us;
    int64_t canary_us;    /* when the last canary went */
    bool has_test, has_canary, was_blocked, run_has_success;
};

static struct pacer_now now_of(const struct galloc *g)
{
    return world_now(g->world);
}

static struct pacer *make_pacer(uint64_t seed)
{
    const struct pacer_limits limits = {.max_in_flight = WORLD_MAX_IN_FLIGHT, .time_scale = 1};
    return pacer_new(&limits, seed);
}

/* What was saved is of this program: it is always taken. */
static void warm_up(struct galloc *g)
{
    if (!pacer_warm(g->pacer, &g->saved))
        abort();
}

static void save_each_minute(struct galloc *g)
{
    if (g->saved_us >= 0 && world_now_us(g->world) - g->saved_us < SAVE_EVERY_US)
        return;
    g->saved_us = world_now_us(g->world);
    pacer_learned(g->pacer, &g->saved);
}

static void *galloc_start(struct world *world, uint64_t seed)
{
    struct galloc *g = xcalloc(1, sizeof *g);
    *g = (struct galloc){.world = world, .seed = seed, .saved_us = -1, .pacer = make_pacer(seed)};
    dice_init(&g->rng, seed, 1);
    const struct world_plan *plan = world_plan(world);
    if (!plan->is_warm)
        return g;
    struct world_plan before = *plan;
    before.is_warm = false;
    before.items = WARM_ITEMS;
    before.seed += WARM_SEED;
    struct world *other = world_new(&before);
    world_run(other);
    struct galloc *warm = world_policy(other);
    pacer_learned(warm->pacer, &g->saved); /* at its exit */
    world_free(other);
    warm_up(g);
    return g;
}

static void free_held(struct galloc *g)
{
    for (struct held *held = g->held, *next; held != NULL; held = next) {
        next = held->next;
        free(held);
    }
    g->held = NULL;
}

static void galloc_end(void *state)
{
    struct galloc *g = state;
    free_held(g);
    pacer_free(g->pacer);
    free(g);
}

static int64_t galloc_ask(void *state, const struct world_item *item)
{
    struct galloc *g = state;
    int64_t paused_us = g->paused_until_us - world_now_us(g->world);
    int64_t tokens = g->prompt_tokens > 0 ? g->prompt_tokens : (int64_t)item->estimate;
    if (paused_us > 0)
        return paused_us;
    if (pacer_is_open(g->pacer))
        return -1;
    struct pacer_answer answer = pacer_ask(g->pacer, now_of(g), tokens, world_in_flight(g->world), true, false);
    if (answer.wait == PACER_GO && (int64_t)item->estimate > tokens) /* it is made, and larger than was thought */
        answer = pacer_ask(g->pacer, now_of(g), (int64_t)item->estimate, world_in_flight(g->world), true, true);
    if (answer.wait == PACER_GO)
        return 0;
    g->was_blocked = answer.wait == PACER_BLOCKED || answer.wait == PACER_QUOTA_DAY;
    return answer.wait_us == 0 ? 1 : answer.wait_us;
}

/* One canary at a time: what goes first after a block is one, and nothing follows it before it is answered, or was not refused for so long that it counts as let in. */
static void watch_canary(struct galloc *g, struct world_call *call)
{
    int64_t now_us = world_now_us(g->world);
    if (g->has_canary && now_us - g->canary_us < CANARY_LEAST_US)
        world_counts(g->world)->canaries_at_once++;
    call->is_canary = g->was_blocked && !g->has_canary;
    g->has_canary = call->is_canary;
    if (call->is_canary)
        g->canary_us = now_us;
    g->was_blocked = false;
}

static void galloc_sent(void *state, struct world_call *call)
{
    struct galloc *g = state;
    watch_canary(g, call);
    if (call->item == NULL) {
        g->has_test = true;
        pacer_sent(g->pacer, now_of(g), (int64_t)SERVER_TEST_TOKENS);
        return;
    }
    int64_t tokens = (int64_t)call->item->estimate;
    g->prompt_tokens += g->prompt_tokens == 0 ? tokens : (tokens - g->prompt_tokens) / 8;
    call->was_full = world_in_flight(g->world) >= pacer_in_flight_limit(g->pacer, true);
    pacer_sent(g->pacer, now_of(g), tokens);
}

static int64_t galloc_timeout_us(void *state, const struct world_call *call)
{
    struct galloc *g = state;
    int64_t timeout_ms = call->item == NULL ? min_i64(pacer_probe_timeout_ms(g->pacer), REQUEST_TIMEOUT_MS) : REQUEST_TIMEOUT_MS;
    return timeout_ms * 1000;
}

static enum outcome_class class_of(const struct server_answer *answer)
{
    switch (answer->status) {
    case 200: return OUTCOME_SUCCEEDED;
    case 429: return answer->is_day ? OUTCOME_QUOTA_DAY : OUTCOME_THROTTLED;
    case 503: return OUTCOME_UNAVAILABLE;
    default: return OUTCOME_TRANSIENT;
    }
}

/* ---- held failures, as dispatch/held.c has them ---- */

static void hold(struct galloc *g, const struct world_call *call, const struct retry_decision *decision)
{
    struct held *held = xcalloc(1, sizeof *held);
    int64_t now_us = world_now_us(g->world);
    *held = (struct held){.item = call->item, .sent_us = call->sent_us, .failed_us = now_us, .due_us = now_us + decision->delay_ms * 1000,
                          .is_first = call->attempt == 0, .is_late = decision->is_late, .next = g->held};
    g->held = held;
}

static void judge(struct galloc *g, const struct held *held, bool is_spent)
{
    struct world_item *item = held->item;
    if (item->is_done)
        return;
    if (is_spent) {
        if (held->is_first)
            pacer_confirmed_first(g->pacer, now_of(g));
        item->budget.retries_spent++;
        world_counts(g->world)->charged++;
    }
    if (is_spent && item->budget.retries_spent > pacer_max_retries(g->pacer, now_of(g), MAX_RETRIES))
        world_fail(g->world, item);
    else
        world_return(g->world, item, max_i64(0, held->due_us - world_now_us(g->world)), held->is_late);
}

/* Those of calls sent before then are judged; INT64_MAX: all. */
static void judge_held(struct galloc *g, int64_t sent_before_us, bool is_spent)
{
    for (struct held **at = &g->held; *at != NULL;) {
        struct held *held = *at;
        if (held->sent_us >= sent_before_us) {
            at = &held->next;
            continue;
        }
        *at = held->next;
        judge(g, held, is_spent);
        free(held);
    }
}

static int64_t oldest_failed_us(const struct galloc *g)
{
    int64_t oldest_us = INT64_MAX;
    for (const struct held *held = g->held; held != NULL; held = held->next)
        oldest_us = min_i64(oldest_us, held->failed_us);
    return oldest_us;
}

static bool galloc_wants_test(void *state, int64_t *ret_wait_us)
{
    struct galloc *g = state;
    int64_t oldest_us = oldest_failed_us(g), held_us = -1;
    bool wants_probe = pacer_wants_probe(g->pacer, now_of(g), ret_wait_us);
    if (!pacer_is_open(g->pacer) && oldest_us != INT64_MAX)
        held_us = max_i64(0, oldest_us + BREAKER_HOLD_TEST_MS * 1000 - world_now_us(g->world));
    if (g->has_test || g->paused_until_us > world_now_us(g->world)) {
        *ret_wait_us = -1;
        return false;
    }
    if (wants_probe || held_us == 0) {
        *ret_wait_us = pacer_ask_test(g->pacer, now_of(g), PACER_TEST_TOKENS);
        return *ret_wait_us == 0;
    }
    if (held_us > 0)
        *ret_wait_us = held_us;
    return false;
}

/* ---- answers ---- */

static void tell_pacer(struct galloc *g, const struct world_call *call, const struct server_answer *answer)
{
    const struct world_item *item = call->item;
    int64_t now_us = world_now_us(g->world);
    struct pacer_outcome outcome = {.class = class_of(answer),
                                    .sent_us = call->sent_us,
                                    .latency_us = now_us - call->sent_us,
                                    .is_test = item == NULL,
                                    .is_first_attempt = item != NULL && call->attempt == 0,
                                    .failed_before = item != NULL && item->budget.failures > 0,
                                    .was_full = call->was_full,
                                    .in_flight = world_in_flight(g->world),
                                    .is_capacity = answer->status == 503,
                                    .retry_after_ms = answer->retry_after_ms,
                                    .quota_value = answer->quota_value,
                                    .quota_is_tokens = answer->is_tokens,
                                    .quota_is_requests = answer->quota_value >= 0 && !answer->is_tokens,
                                    .tokens = answer->status != 200 ? -1 : (int64_t)(item != NULL ? item->tokens : SERVER_TEST_TOKENS)};
    struct pacer_change change;
    pacer_outcome(g->pacer, now_of(g), &outcome, &change);
    if (change.strikes_full) /* the run pauses; its operator looks a minute later */
        g->paused_until_us = now_us + RESUME_AFTER_US;
}

static struct policy_verdict answered_test(struct galloc *g, const struct world_call *call, enum outcome_class class)
{
    g->has_test = false;
    if (outcome_is_answer(class))
        judge_held(g, call->sent_us, true);
    else if (class != OUTCOME_THROTTLED && class != OUTCOME_QUOTA_DAY)
        judge_held(g, INT64_MAX, false);
    return (struct policy_verdict){.move = POLICY_DONE};
}

static struct policy_verdict galloc_answered(void *state, struct world_call *call, const struct server_answer *answer)
{
    struct galloc *g = state;
    enum outcome_class class = class_of(answer);
    if (call->is_canary)
        g->has_canary = false;
    if (call->is_canary || answer->status == 200 || answer->status == 500) /* if it blocks still, it says so at the next ask */
        g->was_blocked = false;
    tell_pacer(g, call, answer);
    save_each_minute(g);
    if (call->item == NULL)
        return answered_test(g, call, class);
    struct retry_input input = {.class = class, .n = call->attempt + 1, .run_has_success = g->run_has_success, .backoff_max_ms = BACKOFF_MAX_MS};
    struct retry_decision decision = retry_decide(&input, &call->item->budget, &g->rng);
    g->run_has_success |= class == OUTCOME_SUCCEEDED;
    switch (decision.action) {
    case RETRY_HOLD_TRANSIENT: hold(g, call, &decision); return (struct policy_verdict){.move = POLICY_HOLD};
    case RETRY_SUCCEED: judge_held(g, call->sent_us, true); return (struct policy_verdict){.move = POLICY_DONE};
    case RETRY_FAIL: return (struct policy_verdict){.move = POLICY_FAIL};
    case RETRY_ASK_NOW:
    case RETRY_HOLD_REJECTED:
    case RETRY_PENDING:
    default: return (struct policy_verdict){.move = POLICY_RETRY, .delay_us = decision.delay_ms * 1000, .is_late = decision.is_late};
    }
}

/* A new life of the daemon: the calls of the last minute are in the store. */
static void galloc_restart(void *state)
{
    struct galloc *g = state;
    size_t kept = 0, count = world_record(g->world)->send_count;
    const struct record_send *sends = world_record(g->world)->sends;
    struct former_send *back = xcalloc(count + 1, sizeof *back);
    struct pacer_now now = now_of(g);
    for (size_t i = 0; i < count; i++)
        if (sends[i].at_us > world_now_us(g->world) - WINDOW_US)
            back[kept++] = (struct former_send){.at_ms = now.wall_ms - (world_now_us(g->world) - sends[i].at_us) / 1000, .tokens = sends[i].tokens,
                                              .is_refused = sends[i].status == 429};
    pacer_free(g->pacer);
    g->pacer = make_pacer(++g->seed);
    if (g->saved_us >= 0)
        warm_up(g);
    pacer_read_back(g->pacer, now, back, kept, (int64_t)count);
    free(back);
    judge_held(g, INT64_MAX, false);
    g->has_test = g->has_canary = g->was_blocked = false;
}

static void galloc_describe(void *state, char *text, size_t size)
{
    struct galloc *g = state;
    struct pacer_view view;
    pacer_view(g->pacer, now_of(g), &view);
    snprintf(text, size, "%s, %.2g/min, %.2g at once, limited by %s", view.mode, view.rate_per_min, (double)view.concurrency, view.limited_by);
}

/* The oldest call that nobody asked twice. */
static struct world_call *galloc_hedge(void *state, int64_t *ret_wait_us)
{
    struct galloc *g = state;
    struct world_call *call = world_calls(g->world);
    while (call != NULL && (call->item == NULL || call->item->is_done || call->item->is_hedged || call->item->live > 1))
        call = call->next;
    *ret_wait_us = -1;
    if (call == NULL)
        return NULL;
    const struct hedge_tail tail = {.oldest_sent_us = call->sent_us, .hedged = world_counts(g->world)->hedges, .assignments = world_plan(g->world)->items};
    *ret_wait_us = pacer_ask_hedge(g->pacer, now_of(g), &tail);
    if (*ret_wait_us == 0)
        *ret_wait_us = galloc_ask(g, call->item);
    return *ret_wait_us == 0 ? call : NULL;
}

const struct policy policy_galloc = {.name = "galloc",
                                     .text = "the daemon's own pacer",
                                     .start = galloc_start,
                                     .end = galloc_end,
                                     .ask = galloc_ask,
                                     .sent = galloc_sent,
                                     .timeout_us = galloc_timeout_us,
                                     .answered = galloc_answered,
                                     .wants_test = galloc_wants_test,
                                     .hedge = galloc_hedge,
                                     .restart = galloc_restart,
                                     .describe = galloc_describe};
