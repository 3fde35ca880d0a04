/* Between the files of the plan. Not for others. */
#ifndef GALLOC_CORE_PLAN_INSIDE_H
#define GALLOC_CORE_PLAN_INSIDE_H

#include "core/plan.h"

/* Does what was read go together? `has_agents`: the request brings agents of its own. 0, or a code with what is wrong and what would be right. */
int plan_check(const struct plan *plan, bool has_agents, const struct profile *profiles, size_t count, struct galloc_error *error) MUST_CHECK;

#endif
