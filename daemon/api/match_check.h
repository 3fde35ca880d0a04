/* Whether the agents of a new run have what its --match rules ask for. Pure but for reading the pool. */
#ifndef GALLOC_API_MATCH_CHECK_H
#define GALLOC_API_MATCH_CHECK_H

#include "dispatch/engine.h"

/* An attribute that no listed agent has would match nobody, and every assignment would fail. 0, or -INVALID_INPUT with the nearest name. `pool` NULL: `agents`. */
int match_check(const struct plan *plan, const struct pool_entry *pool, const struct store_agents *agents, struct galloc_error *error) MUST_CHECK;

#endif
