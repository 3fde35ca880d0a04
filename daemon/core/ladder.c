/* See ladder.h. */
#include "core/ladder.h"

#include "core/plan.h"

#include <stdlib.h>
#include <string.h>

/* The classes that move a run on, and whether they pass by themselves. None else does: a minute's quota is waited out, and what is the assignment's or the answer's
 * (rejected, invalid_answer, agent_full) would be decided by another model because the first one's decision was not liked. */
static const struct {
    enum outcome_class class;
    enum ladder_state state;
} movers[] = {
    {OUTCOME_CREDENTIALS, LADDER_DOWN}, {OUTCOME_BILLING, LADDER_DOWN},      {OUTCOME_CONFIG, LADDER_DOWN},
    {OUTCOME_QUOTA_DAY, LADDER_WAITS},  {OUTCOME_UNAVAILABLE, LADDER_WAITS},
};

static enum ladder_state state_of(enum outcome_class class)
{
    for (size_t i = 0; i < ARRAY_COUNT(movers); i++)
        if (movers[i].class == class)
            return movers[i].state;
    return LADDER_WELL;
}

enum ladder_state ladder_judge(const struct ladder_seen *seen, enum outcome_class *ret_class)
{
    enum outcome_class class;
    if (!seen->is_known)
        class = OUTCOME_CONFIG;
    else if (seen->down_class >= 0)
        class = (enum outcome_class)seen->down_class;
    else if (seen->has_no_day)
        class = OUTCOME_QUOTA_DAY;
    else if (seen->open_ms >= LADDER_OUTAGE_MS)
        class = OUTCOME_UNAVAILABLE;
    else
        return LADDER_WELL;
    enum ladder_state state = state_of(class);
    if (state != LADDER_WELL)
        *ret_class = class;
    return state;
}

size_t ladder_choose(const struct ladder_seen *seen, size_t count)
{
    enum outcome_class class;
    enum ladder_state best = LADDER_DOWN;
    size_t choice = 0;
    for (size_t i = 0; i < count; i++) {
        enum ladder_state state = ladder_judge(&seen[i], &class);
        if (state >= best)
            continue;
        best = state;
        choice = i;
    }
    return choice;
}

static int check_name(char *const *names, size_t count, const char *text, struct galloc_error *error)
{
    const char *name = names[count - 1];
    if (name[0] == '\0')
        return galloc_fail(error, GALLOC_INVALID_VALUE, "endpoint: \"%.200s\" has an empty name in it; names are parted by one comma, as in A,B", text);
    if (count > LADDER_MOST)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "endpoint: at most %d endpoints in order", LADDER_MOST);
    for (size_t i = 0; i + 1 < count; i++)
        if (strcmp(names[i], name) == 0)
            return galloc_fail(error, GALLOC_INVALID_VALUE, "endpoint: \"%.200s\" is named twice; each has one place in the order", name);
    for (size_t i = 0; count > 1 && i < count; i++)
        if (plan_is_workers(names[i]))
            return galloc_fail(error, GALLOC_INVALID_VALUE,
                               "endpoint: \"%s\" cannot stand among others: nobody could tell when workers are well; to let them lease beside an endpoint: --workers-too",
                               PLAN_WORKERS);
    return 0;
}

int ladder_names(const char *text, char ***ret_names, struct galloc_error *error)
{
    char **names = NULL;
    size_t count = 0;
    int rc = 0;
    for (const char *at = text; rc == 0; at++) {
        size_t len = strcspn(at, ",");
        names = xreallocarray(names, count + 2, sizeof *names);
        names[count++] = xstrndup(at, len);
        names[count] = NULL;
        rc = check_name(names, count, text, error);
        at += len;
        if (*at == '\0')
            break;
    }
    if (rc < 0) {
        ladder_names_free(names);
        return rc;
    }
    *ret_names = names;
    return 0;
}

void ladder_names_free(char **names)
{
    for (char **at = names; at != NULL && *at != NULL; at++)
        free(*at);
    free(names);
}
