/* Who may be named for an assignment: the agents that match and have room, in the prompt's order; and an agent as JSON. */
#include "dispatch/dispatch.h"

#include "base/json_out.h"

#include <string.h>

static const struct candidates_way ways[] = {
    [CANDIDATES_SOME] = {OUTCOME_RELEASED, MOVE_PENDING, HOLD_NONE, 0, "it did not fit into the lease"},
    [CANDIDATES_NONE_MATCHES] = {OUTCOME_NO_CANDIDATE, MOVE_FAIL, HOLD_NONE, 0, "no agent of the pool matches this assignment"},
    [CANDIDATES_NO_CAPACITY] = {OUTCOME_NO_CAPACITY, MOVE_FAIL, HOLD_NONE, 0, "every agent who matches is full or away"},
    [CANDIDATES_WAIT] = {OUTCOME_RELEASED, MOVE_PENDING, HOLD_NONE, NO_PLACES_MS, "every place that is left is being decided upon; waits for it"},
    [CANDIDATES_AWAY] = {OUTCOME_RELEASED, MOVE_HOLD, HOLD_TRANSIENT, 0, "who matches is full or away until a date; waits for it"},
    [CANDIDATES_CORRUPT] = {OUTCOME_CORRUPT, MOVE_FAIL, HOLD_NONE, 0, "the stored input does not match its digest; restore it from a backup, or enqueue it again"},
};

const struct candidates_way *candidates_way(enum candidates_found found)
{
    return &ways[found];
}

bool plan_is_short_list(const struct plan *plan)
{
    return plan->match_count > 0 || plan->max_candidates > 0;
}

bool agent_matches(const struct plan *plan, const struct agent_entry *agent, struct json_span fields)
{
    for (size_t i = 0; i < plan->match_count; i++)
        if (!match_holds(fields, plan->match[i].field, agent->parsed, plan->match[i].attribute))
            return false;
    return true;
}

/* What an assignment's fields say where the plan's --match looks: read once, and held against each agent. */
struct wanted {
    struct buf *values; /* owned, beside the plan's rules */
    bool is_whole;      /* no field is missing, so somebody may match */
};

static struct wanted wanted_of(const struct plan *plan, struct json_span fields)
{
    struct wanted wanted = {xcalloc(plan->match_count, sizeof(struct buf)), true};
    for (size_t i = 0; wanted.is_whole && i < plan->match_count; i++)
        wanted.is_whole = match_field(fields, plan->match[i].field, &wanted.values[i]);
    return wanted;
}

static void wanted_clear(const struct plan *plan, struct wanted *wanted)
{
    for (size_t i = 0; i < plan->match_count; i++)
        buf_clear(&wanted->values[i]);
    free(wanted->values);
}

static bool is_wanted(const struct plan *plan, const struct wanted *wanted, const struct agent_entry *agent)
{
    for (size_t i = 0; wanted->is_whole && i < plan->match_count; i++)
        if (!match_value_holds(&wanted->values[i], agent->parsed, plan->match[i].attribute))
            return false;
    return wanted->is_whole;
}

static int64_t free_places(const struct agent_entry *agent)
{
    return agent->info.capacity < 0 ? INT64_MAX : agent->info.capacity - agent->info.held - agent->claimed;
}

/* Most free places, then fewest held, then by agent_id. */
static int by_room(const void *a, const void *b)
{
    const struct agent_entry *x = *(struct agent_entry *const *)a, *y = *(struct agent_entry *const *)b;
    int64_t free_x = free_places(x), free_y = free_places(y);
    if (free_x != free_y)
        return free_x > free_y ? -1 : 1;
    if (x->info.held != y->info.held)
        return x->info.held < y->info.held ? -1 : 1;
    return strcmp(x->info.agent_id, y->info.agent_id);
}

static int by_id(const void *a, const void *b)
{
    const struct agent_entry *x = *(struct agent_entry *const *)a, *y = *(struct agent_entry *const *)b;
    return strcmp(x->info.agent_id, y->info.agent_id);
}

/* A pool's order is mostly this one already. */
static void sort_by_id(struct agent_entry **agents, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (by_id(&agents[i - 1], &agents[i]) > 0) {
            qsort(agents, count, sizeof(struct agent_entry *), by_id);
            return;
        }
    }
}

/* ---- when few places are left ---- */

/* As many calls as may go beside each other until one comes back. */
static int64_t calls_to_come(const struct run_entry *run, const struct pool_entry *pool)
{
    int64_t most = run->profile.mode == MODE_CONTINUOUS ? pacer_in_flight_limit(run->endpoint->pacer, true) : run->profile.batch_size;
    return max_i64(most - pool->in_flight + run->dispatch->ready_count, 1);
}

static int64_t may_name(const struct run_entry *run, const struct agent_entry *agent)
{
    const int64_t *counts = run->info.counts;
    int64_t calls_a_place = alloc_calls_a_place(counts[COUNT_CLASS + OUTCOME_SUCCEEDED], counts[COUNT_CLASS + OUTCOME_AGENT_FULL]);
    return alloc_may_name(agent->info.capacity, agent->info.held + agent->claimed, agent->named, calls_a_place);
}

static bool is_shared_out(const struct run_entry *run)
{
    return run->dispatch != NULL && run->endpoint != NULL && run->profile.mode != MODE_SEQUENTIAL;
}

/* Whom the most calls may still name, then by agent_id. */
static int by_may_name(const void *a, const void *b)
{
    const struct agent_entry *x = *(struct agent_entry *const *)a, *y = *(struct agent_entry *const *)b;
    if (x->may_name != y->may_name)
        return x->may_name > y->may_name ? -1 : 1;
    return strcmp(x->info.agent_id, y->info.agent_id);
}

/* Leaves those out whose places calls under way may take, and as many more as the calls to come need for a choice of their own. Returns how many are left. */
static size_t share_out(const struct run_entry *run, const struct pool_entry *pool, struct agent_entry **agents, size_t count)
{
    int64_t calls = calls_to_come(run, pool), sum = 0;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t may = min_i64(may_name(run, agents[i]), calls);
        if (may == 0)
            continue;
        agents[i]->may_name = may;
        sum += may;
        agents[kept++] = agents[i];
    }
    size_t length = alloc_list_length(kept, sum, calls);
    if (length < kept)
        qsort(agents, kept, sizeof(struct agent_entry *), by_may_name);
    return length;
}

bool candidates_may_be_named(const struct run_entry *run, int64_t wall_ms)
{
    const struct pool_entry *pool = run->pool;
    bool some_room = false;
    for (size_t i = 0; is_shared_out(run) && run->plan.match_count == 0 && i < pool->agent_count; i++) {
        const struct agent_entry *agent = &pool->agents[i];
        const struct store_agent *info = &agent->info;
        if (agent_room(info->capacity, info->held, agent->claimed, info->is_listed, info->is_available, info->until_at_ms, wall_ms) != ROOM_FREE)
            continue;
        if (may_name(run, agent) > 0)
            return true;
        some_room = true;
    }
    return !some_room; /* nobody has room: the row is told so */
}

void candidates_keep(struct attempt *attempt, const struct candidates *candidates)
{
    attempt->candidates = xcalloc(candidates->count, sizeof *attempt->candidates);
    attempt->candidate_count = candidates->count;
    for (size_t i = 0; i < candidates->count; i++) {
        attempt->candidates[i] = candidates->agents[i]->info.id;
        candidates->agents[i]->named++;
    }
}

void candidates_leave(struct attempt *attempt)
{
    for (size_t i = 0; i < attempt->candidate_count; i++) {
        struct agent_entry *agent = pool_agent(attempt->call->run->pool, attempt->candidates[i]);
        if (agent != NULL)
            agent->named--;
    }
    free(attempt->candidates);
    attempt->candidates = NULL;
    attempt->candidate_count = 0;
}

enum candidates_found candidates_find(const struct run_entry *run, struct pool_entry *pool, struct json_span fields, int64_t excluded, int64_t wall_ms,
                                      struct candidates *ret_candidates)
{
    const struct plan *plan = &run->plan;
    if (pool->is_endless) { /* a question has an answer, and no candidates */
        *ret_candidates = (struct candidates){NULL, 0, INT64_MAX};
        return CANDIDATES_SOME;
    }
    struct agent_entry **agents = xcalloc(pool->agent_count, sizeof *agents);
    size_t count = 0;
    bool some_match = false, some_wait = false;
    int64_t away_until_at_ms = INT64_MAX;
    struct wanted wanted = wanted_of(plan, fields);
    for (size_t i = 0; i < pool->agent_count; i++) {
        struct agent_entry *agent = &pool->agents[i];
        if (!agent->info.is_listed || !is_wanted(plan, &wanted, agent))
            continue;
        some_match = true;
        enum agent_room room = agent_room(agent->info.capacity, agent->info.held, agent->claimed, true, agent->info.is_available, agent->info.until_at_ms, wall_ms);
        some_wait |= room == ROOM_COVERED;
        if (room == ROOM_AWAY_UNTIL)
            away_until_at_ms = min_i64(away_until_at_ms, agent->info.until_at_ms);
        if (room == ROOM_FREE)
            agents[count++] = agent;
    }
    wanted_clear(plan, &wanted);
    /* The agent that was full a moment ago is left out, unless he is all there is and has room again. */
    for (size_t i = 0; excluded != 0 && count > 1 && i < count; i++) {
        if (agents[i]->info.id == excluded) {
            agents[i] = agents[--count];
            break;
        }
    }
    if (count > 0 && is_shared_out(run)) {
        count = share_out(run, pool, agents, count);
        some_wait |= count == 0;
    }
    if (plan->max_candidates > 0 && (int64_t)count > plan->max_candidates) {
        qsort(agents, count, sizeof(struct agent_entry *), by_room);
        count = (size_t)plan->max_candidates;
    }
    sort_by_id(agents, count);
    *ret_candidates = (struct candidates){agents, count, away_until_at_ms};
    if (count > 0)
        return CANDIDATES_SOME;
    if (some_wait)
        return CANDIDATES_WAIT;
    return away_until_at_ms != INT64_MAX ? CANDIDATES_AWAY : some_match ? CANDIDATES_NO_CAPACITY : CANDIDATES_NONE_MATCHES;
}

void candidates_join(const struct pool_entry *pool, const struct candidates *lists, size_t count, struct candidates *ret_candidates)
{
    bool *is_named = xcalloc(pool->agent_count, sizeof *is_named);
    struct candidates joined = {.agents = xcalloc(pool->agent_count, sizeof *joined.agents)};
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < lists[i].count; k++)
            if (!is_named[lists[i].agents[k] - pool->agents]) {
                is_named[lists[i].agents[k] - pool->agents] = true;
                joined.agents[joined.count++] = lists[i].agents[k];
            }
    sort_by_id(joined.agents, joined.count);
    free(is_named);
    *ret_candidates = joined;
}

static void member_number(struct json_out *out, const char *name, int64_t value)
{
    if (value < 0)
        json_out_member_null(out, name);
    else
        json_out_member_int(out, name, value);
}

void agent_json(struct json_out *out, const struct agent_entry *agent)
{
    const struct store_agent *info = &agent->info;
    int64_t held = info->held + agent->claimed;
    json_out_begin(out, '{');
    json_out_member_str(out, "agent_id", info->agent_id);
    json_out_name(out, "attributes");
    json_out_raw(out, info->attributes, strlen(info->attributes));
    member_number(out, "capacity", info->capacity);
    json_out_member_int(out, "held", held);
    member_number(out, "free", info->capacity < 0 ? -1 : max_i64(info->capacity - held, 0));
    json_out_end(out, '}');
}
