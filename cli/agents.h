/* A file of agents, CSV or JSON, as the API's array: agent_id (or key), capacity (none: no limit), load (0), available (yes), until;
 * every other column is an attribute. One bad agent refuses the file: a pool with a hole in it is not what was meant. */
#ifndef GALLOC_CLI_AGENTS_H
#define GALLOC_CLI_AGENTS_H

#include "base/buf.h"
#include "base/code.h"

/* Adds the JSON array to `out`. 0, or -GALLOC_INVALID_INPUT with file, line and column, or I/O. *ret_count is the number of agents. */
int agents_read(const char *path, struct buf *out, size_t *ret_count, struct galloc_error *error) MUST_CHECK;

#endif
