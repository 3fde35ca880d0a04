/* Runs that end, their purge and the upkeep, a line each, for the suites of what makes the store smaller. */
#ifndef GALLOC_TESTS_STORE_PURGE_BED_H
#define GALLOC_TESTS_STORE_PURGE_BED_H

#include "store/query.h"
#include "tests/contract/store_bed.h"

#define DAY_MS INT64_C(86400000)
#define WALL_MS INT64_C(1795448640000)

/* ---- the operations ---- */
struct store_purge *bed_purge_op(int64_t run, bool is_release); /* by a person; not done */
int bed_purge(struct bed *bed, int64_t run, bool is_release);   /* done: its code */
struct store_upkeep *bed_upkeep_op(void);                       /* alone in its transaction */
bool bed_upkeep_once(struct bed *bed, struct store_upkeep *upkeep, int64_t step_us); /* one step; true: there is more to do */
int64_t bed_upkeep_all(struct bed *bed); /* until nothing is left to be done; the assignments that went */

/* ---- runs that are done: half of the rows succeeded, half failed ---- */
int64_t bed_done_run(struct bed *bed, int64_t rows, struct store_pool *ret_pool); /* with agents of its own; ret_pool may be NULL */
void bed_pool(struct bed *bed, struct store_pool *ret_pool); /* a standing pool of two agents */
int64_t bed_pool_run(struct bed *bed, int64_t rows, const struct store_pool *pool);

/* ---- reading: the page and its code are the caller's to look at ---- */
struct store_read *bed_read(struct bed *bed, enum store_query query, int64_t run, int64_t pool, const char *key);
int bed_read_code(struct bed *bed, enum store_query query, int64_t run, const char *key);
/* Places taken in a standing pool, and what of them no row holds. */
int64_t bed_places(struct bed *bed, int64_t pool, int64_t *ret_base);

#endif
