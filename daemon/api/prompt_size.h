/* How large a run's prompts get, known before any is made: the roster and the candidates are in every one of them. Pure but for reading the pool. */
#ifndef GALLOC_API_PROMPT_SIZE_H
#define GALLOC_API_PROMPT_SIZE_H

#include "dispatch/engine.h"

/* Can the endpoints of these names be asked what the plan asks? 0, -NOT_FOUND, or -INVALID_INPUT. */
int create_check_endpoints(struct engine *engine, const struct plan *plan, const char *names, struct galloc_error *error) MUST_CHECK;

/* What a plan names is found: the default endpoint filled in, the standing pool (NULL for agents of its own, nobody's of a question). 0, or -NOT_FOUND with the
 * nearest name, -INVALID_INPUT. */
int create_resolve(struct engine *engine, struct plan *plan, struct pool_entry **ret_pool, struct galloc_error *error) MUST_CHECK;

/* Bytes of a prompt's constant part, as near as it can be told, and how many agents it names. With `match` alone nobody knows before the assignment: 0. */
void prompt_size(const struct plan *plan, const struct pool_entry *pool, const struct store_agents *agents, int64_t *ret_bytes, int64_t *ret_agents);

/* 0, or -INVALID_INPUT with the way out. `pool` NULL: `agents`. */
int prompt_size_check(const struct plan *plan, const struct pool_entry *pool, const struct store_agents *agents, struct galloc_error *error) MUST_CHECK;

#endif
