/* Operations as tests, the crash driver and the bench need them: runs of small assignments with keys K000001, K000002, … */
#ifndef GALLOC_TESTS_STORE_MAKE_H
#define GALLOC_TESTS_STORE_MAKE_H

#include "store/store.h"

typedef void make_done(struct store_op *op);

/* A run with agents A1 … An of its own. */
struct store_run_create *make_run(int agents, int64_t capacity, make_done *done, void *arg);

/* Part `part` with `count` rows, the first of number `first`; `field_bytes`: about so long is each row's input. `scatter` other than 0: keys in random order. */
struct store_import *make_part(int64_t run, int64_t part, int64_t first, int64_t count, int field_bytes, unsigned scatter, make_done *done, void *arg);
struct store_run_commit *make_commit(int64_t run, int64_t parts, make_done *done, void *arg);
struct store_claim *make_claim(int64_t run, int max, make_done *done, void *arg);

/* Settles `count` of the rows of a claim, from `from`, each as the move and class say; agents are given by turns. The claim stays the caller's. */
struct store_settle *make_settle(const struct store_claim *claim, size_t from, size_t count, enum settle_move move, enum outcome_class class,
                                 const struct store_pool *pool, make_done *done, void *arg);

/* A claim of up to `max` rows by an outside worker; verdicts of one class on `count` rows of what it got, from `from` (no ledger where pool is NULL). */
struct store_claim *make_lease(int64_t run, int max, const char *worker, int64_t ttl_ms, make_done *done, void *arg);
struct store_verdicts *make_verdicts(const struct store_claim *claim, size_t from, size_t count, enum outcome_class class, const struct store_pool *pool,
                                     make_done *done, void *arg);

#endif
