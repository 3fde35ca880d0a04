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

enum candidates_found candidates_find(const struct run_entry *run, struct pool_entry *pool, struct json_span fields, int64_t excluded, int64_t wall_ms,
                                      struct candidates *ret_candidates)
{
    const struct plan *plan = &run->plan;
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
