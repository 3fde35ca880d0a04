/* What of a plan is about money: its tier and its budget, against what the daemon has. Loop's thread. */
#ifndef GALLOC_API_BUDGET_CHECK_H
#define GALLOC_API_BUDGET_CHECK_H

#include "dispatch/engine.h"

/* Can calls be asked for at the plan's tier, and can its budget be kept: is the price known, in the budget's currency, and does one call fit? `pool`, or `agents` where
 * it is NULL: as for prompt_size(). 0, or -GALLOC_INVALID_INPUT with what would be right. */
int budget_check(struct engine *engine, const struct plan *plan, const struct pool_entry *pool, const struct store_agents *agents, struct galloc_error *error) MUST_CHECK;

#endif
