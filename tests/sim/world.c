/* See world.h. Each event is followed by a pump: as in the daemon, everything that may go goes at once, and the time at which the policy wants to be asked again is
 * an event of its own. */
#include "tests/sim/world.h"
#include "tests/sim/dice.h"
#include "tests/sim/events.h"

#include <string.h>

enum { EVENT_ARRIVE, EVENT_ANSWER, EVENT_RETURN_FIRST, EVENT_RETURN_LATE, EVENT_RERUN, EVENT_RESTART, EVENT_WAKE };
enum { WAY_LOW_US = 10000, WAY_HIGH_US = 40000, WAKE_LEAST_US = 200, RERUN_AFTER_US = 60000000, RERUNS_MAX = 30, RESTART_US = 1000000, CALLS_MAX_FACTOR = 400 };
enum purpose { FOR_PHASE = 101, FOR_WAY, FOR_ESTIMATES, FOR_POLICY };

struct world {
    struct world_plan plan;
    struct server *server;   /* owned */
    void *policy;            /* owned: its state */
    struct world_item *items; /* owned */
    struct world_item **queue; /* owned: a ring of those that may go */
    size_t queue_first, queue_count;
    struct events events;
    struct world_call *calls, **calls_end;
    struct record record;
    struct world_counts counts;
    struct rng way;
    double start_wall_s;
    int64_t now_us, in_flight, left, parked, wake_us, kill_at_left, killed_us;
    int reruns;
    bool is_down, has_rerun;
    char mind[160];
};

static double phase_of(const struct world_plan *plan)
{
    struct rng rng;
    dice_init(&rng, plan->seed, FOR_PHASE);
    return plan->phase_s >= 0 ? plan->phase_s : rng_range(&rng, 0, 60);
}

struct world *world_new(const struct world_plan *plan)
{
    struct world *world = xcalloc(1, sizeof *world);
    struct rng rng;
    *world = (struct world){.plan = *plan, .left = plan->items, .wake_us = INT64_MAX, .killed_us = -1, .kill_at_left = -1};
    world->start_wall_s = WORLD_START_WALL_S + phase_of(plan);
    world->server = server_new(plan->server, plan->hints, world->start_wall_s, plan->seed);
    world->items = xcalloc((size_t)plan->items, sizeof *world->items);
    world->queue = xcalloc((size_t)plan->items, sizeof(struct world_item *));
    world->calls_end = &world->calls;
    if (plan->kill_share > 0)
        world->kill_at_left = (int64_t)((1 - plan->kill_share) * (double)plan->items);
    dice_init(&world->way, plan->seed, FOR_WAY);
    dice_init(&rng, plan->seed, FOR_ESTIMATES);
    for (int64_t i = 0; i < plan->items; i++) {
        double tokens = server_tokens(world->server, i);
        world->items[i] = (struct world_item){.number = i, .tokens = tokens, .estimate = tokens * exp(0.1 * dice_normal(&rng))};
        world->queue[world->queue_count++] = &world->items[i];
    }
    world->policy = plan->policy->start(world, plan->seed * 131 + FOR_POLICY);
    return world;
}

static void call_free(struct world *world, struct world_call *call)
{
    *call->at = call->next;
    if (call->next != NULL)
        call->next->at = call->at;
    else
        world->calls_end = call->at;
    free(call);
}

void world_free(struct world *world)
{
    if (world == NULL)
        return;
    world->plan.policy->end(world->policy);
    while (world->calls != NULL)
        call_free(world, world->calls);
    events_clear(&world->events);
    server_free(world->server);
    free(world->items);
    free(world->queue);
    record_clear(&world->record);
    free(world);
}

static void schedule(struct world *world, int64_t in_us, int kind, void *of)
{
    events_add(&world->events, (struct event){.at_us = world->now_us + in_us, .kind = kind, .of = of});
}

static void enqueue(struct world *world, struct world_item *item, bool is_late)
{
    size_t size = (size_t)world->plan.items;
    if (!is_late)
        world->queue_first = (world->queue_first + size - 1) % size;
    world->queue[is_late ? (world->queue_first + world->queue_count) % size : world->queue_first] = item;
    world->queue_count++;
}

static struct world_item *dequeue(struct world *world)
{
    struct world_item *item = world->queue[world->queue_first];
    world->queue_first = (world->queue_first + 1) % (size_t)world->plan.items;
    world->queue_count--;
    return item;
}

/* ---- sending ---- */

static void arrive(struct world *world, struct world_call *call)
{
    const struct policy *policy = world->plan.policy;
    const struct world_item *item = call->item;
    server_arrive(world->server, (double)world->now_us / 1e6, item ? item->number : SERVER_TEST, call->attempt, item ? item->tokens : SERVER_TEST_TOKENS, &call->answer);
    int status = call->answer.status;
    call->is_accepted = status == 200 || status == 500;
    if (call->is_accepted && item != NULL)
        record_time(&world->record.accepted, world->now_us);
    else if (status == 429 || status == 503)
        record_time(&world->record.rejected, world->now_us);
    if (call->is_dropped && call->is_accepted) {
        server_leave(world->server);
        call->is_accepted = false;
    }
    double left_us = (double)(call->sent_us + policy->timeout_us(world->policy, call) - world->now_us);
    bool is_late = call->answer.latency_s * 1e6 > left_us;
    events_add(&world->events, (struct event){.at_us = world->now_us + (int64_t)(is_late ? left_us : call->answer.latency_s * 1e6),
                                              .kind = EVENT_ANSWER, .status = is_late ? 0 : status, .of = call});
}

static void send_call(struct world *world, struct world_item *item, bool is_hedge)
{
    struct world_call *call = xcalloc(1, sizeof *call);
    *call = (struct world_call){.item = item, .sent_us = world->now_us, .is_hedge = is_hedge, .at = world->calls_end};
    *world->calls_end = call;
    world->calls_end = &call->next;
    world->counts.calls++;
    if (item != NULL) {
        call->attempt = item->tries++;
        item->live++;
        item->is_hedged |= is_hedge;
        world->in_flight++;
        world->counts.hedges += is_hedge;
    } else {
        world->counts.tests++;
    }
    record_sent(&world->record, call->sent_us);
    world->plan.policy->sent(world->policy, call);
    if (world->plan.policy->is_oracle)
        arrive(world, call);
    else
        schedule(world, (int64_t)rng_range(&world->way, WAY_LOW_US, WAY_HIGH_US), EVENT_ARRIVE, call);
}

/* ---- what comes back ---- */

/* The client gives the call up; its answer, if any, is not looked at. */
static void drop(struct world *world, struct world_call *call)
{
    if (call->is_dropped)
        return;
    call->is_dropped = true;
    if (call->item != NULL) {
        call->item->live--;
        world->in_flight--;
    }
    if (call->is_accepted)
        server_leave(world->server);
    call->is_accepted = false;
}

static void drop_doubles(struct world *world, const struct world_item *item)
{
    for (struct world_call *call = world->calls; call != NULL && item->live > 0; call = call->next)
        if (call->item == item && !call->is_dropped) {
            drop(world, call);
            world->counts.doubled++;
        }
}

static void count(struct world *world, const struct world_call *call, int status)
{
    struct world_counts *counts = &world->counts;
    counts->refused += status == 429;
    counts->unavailable += status == 503;
    counts->faults += status == 500;
    counts->timeouts += status == 0;
    counts->timeouts_in_outage += status == 0 && call->answer.status == 0;
}

void world_return(struct world *world, struct world_item *item, int64_t delay_us, bool is_late)
{
    if (delay_us <= 0)
        enqueue(world, item, is_late);
    else
        schedule(world, delay_us, is_late ? EVENT_RETURN_LATE : EVENT_RETURN_FIRST, item);
}

void world_fail(struct world *world, struct world_item *item)
{
    bool is_poisoned = server_is_poisoned(world->server, item->number);
    if (world->reruns == 0 || is_poisoned)
        world->counts.given_up++;
    if (is_poisoned || world->reruns >= RERUNS_MAX) {
        world->counts.abandoned += !is_poisoned;
        item->is_done = true;
        world->left--;
    } else {
        item->is_parked = true;
        world->parked++;
    }
}

/* What a policy gave up is run again by somebody who looks a minute later. */
static void rerun(struct world *world)
{
    world->reruns++;
    for (int64_t i = 0; i < world->plan.items; i++) {
        struct world_item *item = &world->items[i];
        if (!item->is_parked)
            continue;
        item->is_parked = false;
        item->failures = 0;
        item->budget = (struct retry_budget){0};
        enqueue(world, item, true);
    }
    world->parked = 0;
    world->has_rerun = false;
}

static void rerun_if_due(struct world *world)
{
    if (world->parked == 0 || world->left > world->parked || world->has_rerun)
        return;
    world->has_rerun = true;
    schedule(world, RERUN_AFTER_US, EVENT_RERUN, NULL);
}

static void answer(struct world *world, struct world_call *call, int status)
{
    struct world_item *item = call->item;
    bool was_dropped = call->is_dropped;
    drop(world, call);
    if (was_dropped || world->is_down) {
        call_free(world, call);
        return;
    }
    count(world, call, status);
    record_answered(&world->record, call->sent_us, status, status != 200 ? -1 : item != NULL ? (int64_t)item->tokens : (int64_t)SERVER_TEST_TOKENS);
    if (item != NULL && status == 200) {
        world->counts.answered_twice += item->is_done;
        world->left -= !item->is_done;
        item->is_done = true;
        drop_doubles(world, item);
    }
    struct server_answer told = call->answer;
    told.status = status;
    struct policy_verdict verdict = world->plan.policy->answered(world->policy, call, &told);
    if (item != NULL && !item->is_done && item->live == 0) {
        if (verdict.move == POLICY_FAIL)
            world_fail(world, item);
        else if (verdict.move == POLICY_RETRY)
            world_return(world, item, verdict.delay_us, verdict.is_late);
    }
    call_free(world, call);
}

/* ---- the loop ---- */

/* kill -9: what was in flight is lost, and pending again when the next life begins. */
static void kill_client(struct world *world)
{
    world->killed_us = world->now_us;
    world->kill_at_left = -1;
    world->is_down = true;
    for (struct world_call *call = world->calls; call != NULL; call = call->next) {
        if (call->is_dropped)
            continue;
        if (call->item != NULL && call->item->live == 1 && !call->item->is_done)
            enqueue(world, call->item, false);
        drop(world, call);
    }
    schedule(world, RESTART_US, EVENT_RESTART, NULL);
}

static void wake_in(struct world *world, int64_t wait_us)
{
    if (wait_us < 0)
        return;
    int64_t at_us = world->now_us + max_i64(wait_us, world->plan.policy->is_oracle ? 1 : WAKE_LEAST_US);
    if (at_us >= world->wake_us)
        return;
    world->wake_us = at_us;
    events_add(&world->events, (struct event){.at_us = at_us, .kind = EVENT_WAKE});
}

/* The queue is empty: is a call of long ago to be doubled? */
static bool hedge(struct world *world)
{
    int64_t wait_us = -1;
    struct world_call *call = world->plan.policy->hedge == NULL ? NULL : world->plan.policy->hedge(world->policy, &wait_us);
    if (call == NULL)
        wake_in(world, wait_us);
    else
        send_call(world, call->item, true);
    return call != NULL;
}

static void pump(struct world *world)
{
    const struct policy *policy = world->plan.policy;
    int64_t wait_us = -1;
    if (world->is_down || world->left == 0)
        return;
    if (policy->wants_test != NULL && policy->wants_test(world->policy, &wait_us))
        send_call(world, NULL, false);
    else
        wake_in(world, wait_us);
    for (;;) {
        if (world->queue_count == 0) {
            if (!hedge(world))
                return;
            continue;
        }
        wait_us = policy->ask(world->policy, world->queue[world->queue_first]);
        if (wait_us != 0) {
            wake_in(world, wait_us);
            return;
        }
        send_call(world, dequeue(world), false);
    }
}

static void tell_mind(struct world *world)
{
    char mind[sizeof world->mind] = "";
    if (world->plan.trace == NULL || world->plan.policy->describe == NULL)
        return;
    world->plan.policy->describe(world->policy, mind, sizeof mind);
    if (strcmp(mind, world->mind) != 0)
        world->plan.trace(world, mind);
    memcpy(world->mind, mind, sizeof mind);
}

static void take_event(struct world *world, const struct event *event)
{
    switch (event->kind) {
    case EVENT_ARRIVE: arrive(world, event->of); break;
    case EVENT_ANSWER: answer(world, event->of, event->status); break;
    case EVENT_RETURN_FIRST:
    case EVENT_RETURN_LATE: enqueue(world, event->of, event->kind == EVENT_RETURN_LATE); break;
    case EVENT_RERUN: rerun(world); break;
    case EVENT_RESTART:
        world->is_down = false;
        if (world->plan.policy->restart != NULL)
            world->plan.policy->restart(world->policy);
        break;
    case EVENT_WAKE:
    default:
        if (event->at_us == world->wake_us)
            world->wake_us = INT64_MAX;
        break;
    }
}

bool world_run(struct world *world)
{
    struct event event;
    pump(world);
    while (world->left > 0 && world->counts.calls < world->plan.items * CALLS_MAX_FACTOR && events_take(&world->events, &event)) {
        world->now_us = event.at_us;
        take_event(world, &event);
        if (world->kill_at_left >= 0 && world->left <= world->kill_at_left)
            kill_client(world);
        rerun_if_due(world);
        pump(world);
        tell_mind(world);
    }
    return world->left == 0;
}

/* ---- what others see ---- */

const struct world_plan *world_plan(const struct world *world)
{
    return &world->plan;
}

void *world_policy(struct world *world)
{
    return world->policy;
}

int64_t world_now_us(const struct world *world)
{
    return world->now_us;
}

struct pacer_now world_now(const struct world *world)
{
    return (struct pacer_now){.mono_us = world->now_us, .wall_ms = (int64_t)(world->start_wall_s * 1000) + world->now_us / 1000};
}

int64_t world_in_flight(const struct world *world)
{
    return world->in_flight;
}

int64_t world_left(const struct world *world)
{
    return world->left;
}

struct server *world_server(struct world *world)
{
    return world->server;
}

struct world_call *world_calls(struct world *world)
{
    return world->calls;
}

struct world_counts *world_counts(struct world *world)
{
    return &world->counts;
}

const struct record *world_record(const struct world *world)
{
    return &world->record;
}

double world_makespan_s(const struct world *world)
{
    return (double)world->now_us / 1e6;
}

int64_t world_killed_us(const struct world *world)
{
    return world->killed_us;
}
