/* A run whose rows outside workers lease, for the suites of leases: a bed on a fake clock, and the operations in a line each. What a lease or an operation
 * returns is the caller's to free. */
#ifndef GALLOC_TESTS_STORE_LEASE_BED_H
#define GALLOC_TESTS_STORE_LEASE_BED_H

#include "store/query.h"
#include "tests/contract/store_bed.h"

#define TTL_MS 60000

struct scene {
    struct bed bed;
    struct store_pool pool;
    int64_t run;
};

void scene_begin(struct scene *scene, const struct store_ops *engine, int64_t rows, int agents, int64_t capacity);
void scene_end(struct scene *scene); /* the doctor recounts all */
void scene_reopen(struct scene *scene); /* another life; bed.run is the run as it was found */

/* Those leased are all in outside workers' hands. */
void scene_check_states(const struct scene *scene, int64_t pending, int64_t leased, int64_t succeeded, int64_t failed);

/* Takes up to `max` rows for TTL_MS, and has to get `count`. */
struct store_claim *scene_lease(struct scene *scene, int max, const char *worker, size_t count);

/* Verdicts of one class on `count` rows of a lease from `from`; on one row alone, and only its verdict. */
struct store_verdicts *scene_judge(struct scene *scene, const struct store_claim *claim, size_t from, size_t count, enum outcome_class class);
enum verdict scene_verdict(struct scene *scene, const struct store_claim *claim, size_t at, enum outcome_class class);

/* Renewed, given back: the code. The last may be NULL. */
int scene_renew(struct scene *scene, int64_t lease, int64_t ttl_ms, int64_t *ret_ttl_ms);
int scene_give_back(struct scene *scene, int64_t lease, int64_t *ret_count);

struct store_lease_expire *scene_expire(struct scene *scene, size_t count); /* has to end `count` leases */
void scene_let_run_out(struct scene *scene, struct store_claim *claim);     /* the only one that is due; frees it */
void scene_sweep(struct scene *scene, enum store_sweep_verb verb);          /* of all rows, by a person */

struct store_read *scene_read_key(struct scene *scene, enum store_query query, const char *key);
/* The attempt of number at + 1: its class, its worker, and words of its message (NULL: it has none). */
void scene_check_attempt(struct scene *scene, const char *key, size_t at, const char *class, const char *worker, const char *words);

#endif
