/* See outcome.h. */
#include "core/outcome.h"

#include <string.h>

static const struct outcome_row rows[OUTCOME_CLASS_COUNT] = {
#define X(symbol, name, rule, is_down, text) {name, rule, is_down, text},
    OUTCOME_CLASSES(X)
#undef X
};

const struct outcome_row *outcome_row(enum outcome_class class)
{
    return &rows[class];
}

bool outcome_is_answer(enum outcome_class class)
{
    return rows[class].rule == RULE_SETTLE || rows[class].rule == RULE_REASK;
}

int outcome_class_by_name(const char *name)
{
    for (int i = 0; i < OUTCOME_CLASS_COUNT; i++)
        if (strcmp(rows[i].name, name) == 0)
            return i;
    return -1;
}
