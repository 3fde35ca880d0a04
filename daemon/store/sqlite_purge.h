/* Purge inside: the step that deletes rows of a run that is marked. The writer's thread. */
#ifndef GALLOC_STORE_SQLITE_PURGE_H
#define GALLOC_STORE_SQLITE_PURGE_H

#include "store/sqlite_admin.h"

/* Marks runs that ended before a time (wall), those behind `after_run` alone, for the daemon itself. 0 or a fault. */
int sqlite_purge_mark_old(struct sqlite_store *store, struct store_op *op, int64_t ended_before_ms, int64_t *ret_count);

/* Deletes rows of the run that was marked first, until the step's time or LIMIT_SWEEP_ROWS are up. 1: something was done; 0: nothing is marked; or a fault. */
int sqlite_purge_step(struct sqlite_store *store, struct store_upkeep *upkeep);

/* Adds what calls came to whose rows are about to go: a statement with an endpoint, then kinds and values, that a first step was taken of. */
int sqlite_gone_add(struct sqlite_store *store, sqlite3_stmt *row, int rc);

#endif
