/* --state --error --agent --key --where: which assignments are meant, as a query for lists and as a body for verbs. One thread. */
#ifndef GALLOC_CLI_SELECTOR_H
#define GALLOC_CLI_SELECTOR_H

#include "cli/cli.h"

/* Adds "?state=…&…" to a path without a query. */
void selector_query(const struct args *args, struct buf *path);

/* Writes the body of cancel, retry, redo and discard: a selector, or {"all":true} with --all, and --reason. Neither, or both, is -GALLOC_USAGE: leaving out is never all. */
int selector_body(const struct args *args, struct buf *ret_body, struct galloc_error *error) MUST_CHECK;

/* After a selector that meant nothing of the run (its segment of a path): 0, or -GALLOC_INVALID_VALUE where no assignment of the run has a --where's
 * column, or -GALLOC_NOT_FOUND where the run has no such --agent; with the nearest there is. Asks the daemon. */
int selector_explain_none(struct cli *cli, const char *run_segment, struct galloc_error *error) MUST_CHECK;

#endif
