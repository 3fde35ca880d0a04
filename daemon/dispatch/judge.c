/* See judge.h. */
#include "dispatch/judge.h"

#include "base/negative.h"
#include "dispatch/dispatch.h"

static bool is_named(const struct attempt *attempt, int64_t agent)
{
    for (size_t i = 0; i < attempt->candidate_count; i++)
        if (attempt->candidates[i] == agent)
            return true;
    return false;
}

/* Could the model know him as a candidate for it? A pack's prompt names the candidates of all that it asks together: one who stands there for another, and matches,
 * is one too. Whether he has room is another question. */
static bool was_candidate(const struct attempt *attempt, const struct agent_entry *agent)
{
    const struct call *call = attempt->call;
    if (is_named(attempt, agent->info.id))
        return true;
    bool is_named_there = false;
    for (size_t i = 0; i < call->count; i++)
        is_named_there |= is_named(&call->attempts[i], agent->info.id);
    return is_named_there && agent_matches(&call->run->plan, agent, (struct json_span){attempt->fields, attempt->fields_len});
}

/* Against what was asked and what is free now. */
static enum outcome_class judge_allocation(struct attempt *attempt, struct json_span text, struct judged *judged, struct settle_item *item, struct galloc_error *error)
{
    struct alloc_answer *answer = &judged->allocation;
    if (alloc_answer_read(text.at, text.len, answer, error) < 0)
        return OUTCOME_INVALID_ANSWER;
    struct agent_entry *agent = pool_agent_by_name(attempt->call->run->pool, answer->agent_id);
    if (agent == NULL || !was_candidate(attempt, agent)) {
        galloc_fail(error, GALLOC_INVALID_INPUT, "the answer names \"%s\", who is not a candidate", answer->agent_id);
        return OUTCOME_INVALID_ANSWER;
    }
    item->agent = agent->info.id;
    enum agent_room room = agent_room(agent->info.capacity, agent->info.held, agent->claimed, agent->info.is_listed, agent->info.is_available,
                                      agent->info.until_at_ms, engine_now().wall_ms);
    if (room != ROOM_FREE && !BREAKS(CAPACITY)) {
        galloc_fail(error, GALLOC_INVALID_INPUT, "%s has no room left", agent->info.agent_id);
        item->excluded = agent->info.id;
        return OUTCOME_AGENT_FULL;
    }
    agent->claimed++;
    attempt->chosen = agent->info.id;
    return OUTCOME_SUCCEEDED;
}

enum outcome_class judge_answer(struct attempt *attempt, struct json_span text, struct judged *judged, struct settle_item *item, struct galloc_error *error)
{
    const struct schema *schema = attempt->call->run->dispatch->schema;
    if (schema == NULL)
        return judge_allocation(attempt, text, judged, item, error);
    return schema_answer_read(schema, text.at, text.len, &judged->answer, error) < 0 ? OUTCOME_INVALID_ANSWER : OUTCOME_SUCCEEDED;
}

char *judged_body(const struct judged *judged, struct result_call call)
{
    const struct alloc_answer *allocation = &judged->allocation;
    if (judged->answer.len > 0)
        return result_body_answer(judged->answer.data, judged->answer.len, DECIDED_BY_MODEL, call);
    return result_body_decision(allocation->reason, allocation->confidence, DECIDED_BY_MODEL, call);
}

void judged_clear(struct judged *judged)
{
    free(judged->allocation.reason);
    buf_clear(&judged->answer);
    *judged = JUDGED_EMPTY;
}
