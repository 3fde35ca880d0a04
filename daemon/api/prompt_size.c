/* See prompt_size.h. */
#include "api/prompt_size.h"

#include "core/limits.h"
#include "core/template.h"

#include "base/text.h"

#include <string.h>

#define ROSTER_FRAME_BYTES 32 /* {"agent_id":"",…}\n around an agent's attributes */
#define LOADS_FRAME_BYTES 64  /* {"agent_id":"","capacity":…,"load":…}\n */

static const struct store_agent *agent_at(const struct pool_entry *pool, const struct store_agents *agents, size_t index)
{
    return pool != NULL ? &pool->agents[index].info : &agents->items[index];
}

void prompt_size(const struct plan *plan, const struct pool_entry *pool, const struct store_agents *agents, int64_t *ret_bytes, int64_t *ret_agents)
{
    size_t count = pool != NULL ? pool->agent_count : agents->count;
    bool is_short_list = plan->match_count > 0 || plan->max_candidates > 0;
    int64_t bytes = 0, largest = 0, named = 0;
    for (size_t i = 0; i < count; i++) {
        const struct store_agent *agent = agent_at(pool, agents, i);
        if (!agent->is_listed)
            continue;
        int64_t size = (int64_t)(2 * strlen(agent->agent_id) + strlen(agent->attributes)) + ROSTER_FRAME_BYTES + LOADS_FRAME_BYTES;
        bytes += size;
        largest = max_i64(largest, size);
        named++;
    }
    if (is_short_list) {
        named = plan->max_candidates > 0 ? min_i64(named, plan->max_candidates) : 0;
        bytes = min_i64(bytes, named * largest);
    }
    *ret_agents = named;
    *ret_bytes = bytes + (int64_t)strlen(plan->template ? plan->template : template_builtin());
}

int prompt_size_check(const struct plan *plan, const struct pool_entry *pool, const struct store_agents *agents, struct galloc_error *error)
{
    int64_t bytes, count;
    prompt_size(plan, pool, agents, &bytes, &count);
    if (count > LIMIT_PROMPT_AGENTS)
        return galloc_fail(error, GALLOC_INVALID_INPUT,
                           "every prompt would name %s agents; the most is %d. Narrow them with --match FIELD=ATTR, or with --max-candidates N", text_count(count).text,
                           LIMIT_PROMPT_AGENTS);
    if (bytes > LIMIT_PROMPT_BYTES)
        return galloc_fail(error, GALLOC_INVALID_INPUT,
                           "every prompt would have about %s KiB; the most is %d. Narrow the agents with --match FIELD=ATTR or --max-candidates N, or shorten their "
                           "attributes or the template",
                           text_count(bytes >> 10).text, LIMIT_PROMPT_BYTES >> 10);
    return 0;
}
