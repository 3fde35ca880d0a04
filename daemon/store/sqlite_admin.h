/* What the operators' commands and the image share: audit rows, pools as a whole, a run's row. Writer's thread, but for what says otherwise. */
#ifndef GALLOC_STORE_SQLITE_ADMIN_H
#define GALLOC_STORE_SQLITE_ADMIN_H

#include "base/json_out.h"
#include "store/sqlite.h"

#define REPEAT_MS (7LL * 24 * 3600 * 1000) /* the same input is a repeat, and an Idempotency-Key is kept, for so long */

/* An audit row with the event number of the operation. `detail` is a JSON object. 0 or a fault. */
int sqlite_audit(struct sqlite_store *store, const struct store_op *op, const struct store_peer *peer, const char *verb, const char *target,
                 const struct buf *detail);

/* A pool with its ledger and all agents (left ones too), by agent_id. 1 and *ret_pool, 0: no such pool, or a fault. */
int sqlite_pool_load(struct sqlite_store *store, int64_t pool, struct store_pool *ret_pool);
int sqlite_pool_by_name(struct sqlite_store *store, const char *name, int64_t *ret_pool); /* 1, 0, or a fault */

/* Refuses an operation that names an agent whom the pool does not have, with the name that is nearest. */
int sqlite_pool_refuse_agent(struct store_op *op, const struct store_pool *pool, const char *agent_id);

/* Makes a pool (name NULL: of a run) with its agents, and a ledger that starts from their load. 0, a refusal (an agent_id twice) or a fault. */
int sqlite_pool_make(struct sqlite_store *store, struct store_op *op, const char *name, const struct store_agents *agents, int64_t *ret_pool,
                     int64_t *ret_ledger);

/* A run with its strings; state, counters and times as they are in the open transaction. 1, 0: no such run, or a fault. */
int sqlite_run_load(struct sqlite_store *store, int64_t run, bool with_plan, struct store_run *ret_run);

/* A row of SQLITE_RUN_COLUMNS (sqlite_columns.h) as a run. Any connection's thread. */
void sqlite_run_row(sqlite3_stmt *row, bool with_plan, struct store_run *ret_run);

/* A row of SQLITE_POOL as a pool without its agents, and one of SQLITE_AGENTS_OF_POOL added to them. Any connection's thread. */
void sqlite_pool_row(sqlite3_stmt *row, struct store_pool *ret_pool);
void sqlite_agents_row(sqlite3_stmt *row, struct store_agents *agents);

/* The names of the causes in `pauses` as a JSON array. */
void sqlite_pauses_out(struct json_out *out, const char *name, unsigned pauses);

#endif
