/* See match_check.h. Attributes are read as spans of their text: the first agent mostly has them all, and a long list costs no parsing. */
#include "api/match_check.h"

#include "base/json_scan.h"
#include "base/text.h"

#include <string.h>

#define NAMES_SHOWN_MAX 64 /* attributes of the first agent among which the nearest is looked for */

static const struct store_agent *agent_at(const struct pool_entry *pool, const struct store_agents *agents, size_t index)
{
    return pool != NULL ? &pool->agents[index].info : &agents->items[index];
}

static bool has_attribute(const struct store_agent *agent, const char *attribute)
{
    struct json_span value;
    return column_find((struct json_span){agent->attributes, strlen(agent->attributes)}, attribute, &value) && json_span_kind(value) != JSON_NULL;
}

/* The nearest attribute of an agent, or NULL. To be freed. */
static char *nearest_attribute(const struct store_agent *agent, const char *attribute)
{
    struct json_span object = {agent->attributes, strlen(agent->attributes)}, name, value;
    char *names[NAMES_SHOWN_MAX];
    size_t count = 0;
    for (const char *at = NULL; count < NAMES_SHOWN_MAX && json_next(object, &at, &name, &value);) {
        struct buf text = BUF_EMPTY;
        json_span_string(name, &text);
        names[count++] = buf_take(&text);
    }
    char *nearest = xstrdup(text_nearest(attribute, (const char *const *)names, count));
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    return nearest;
}

int match_check(const struct plan *plan, const struct pool_entry *pool, const struct store_agents *agents, struct galloc_error *error)
{
    size_t count = pool != NULL ? pool->agent_count : agents->count;
    for (size_t r = 0; r < plan->match_count && count > 0; r++) {
        const char *attribute = plan->match[r].attribute;
        bool is_found = false;
        for (size_t i = 0; i < count && !is_found; i++)
            is_found = agent_at(pool, agents, i)->is_listed && has_attribute(agent_at(pool, agents, i), attribute);
        if (is_found)
            continue;
        char *nearest = nearest_attribute(agent_at(pool, agents, 0), attribute);
        int rc = galloc_fail(error, GALLOC_INVALID_INPUT, "--match %s=%s: no agent%s%s has the attribute \"%s\"%s%s%s", plan->match[r].field, attribute,
                             plan->pool != NULL ? " of pool " : "", plan->pool != NULL ? plan->pool : "", attribute, nearest ? "; did you mean \"" : "",
                             nearest ? nearest : "", nearest ? "\"?" : "");
        free(nearest);
        return rc;
    }
    return 0;
}
