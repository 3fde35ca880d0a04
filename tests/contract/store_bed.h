/* A bed for an engine: opens it on a folder of its own and does operations one after the other, without threads or a loop. */
#ifndef GALLOC_TESTS_STORE_BED_H
#define GALLOC_TESTS_STORE_BED_H

#include "store/contract.h"
#include "tests/contract/store_make.h"
#include "tests/unit/temp_dir.h"

struct bed {
    const struct store_ops *ops;
    struct store_engine *engine; /* NULL while closed */
    struct store_image image;    /* of the last opening */
    struct store_run run;        /* the summary that the last commit told, or zeroes */
    struct temp_dir dir;
    char path[80];
};

void bed_begin(struct bed *bed, const struct store_ops *ops);
void bed_end(struct bed *bed); /* closes, removes the folder */
void bed_open(struct bed *bed); /* again, after bed_close(): the end of one life and the start of the next */
void bed_close(struct bed *bed);

/* Does the operation in as many transactions as it wants; fails the test on a fault. Returns op->code. */
int bed_do(struct bed *bed, struct store_op *op);
int bed_steps(struct bed *bed, struct store_op *op, int64_t step_us, int *ret_steps); /* the same, with so long a time a step */

/* A run of `rows` rows and `agents` agents, imported and committed. *ret_pool (may be NULL) is the caller's to clear. */
int64_t bed_run(struct bed *bed, int64_t rows, int agents, int64_t capacity, struct store_pool *ret_pool);

/* Rows in a state by the last commit's summary; all four at once, failing the test where they differ. */
int64_t bed_state_count(const struct bed *bed, enum assignment_state state);
void bed_check_states(const struct bed *bed, int64_t pending, int64_t leased, int64_t succeeded, int64_t failed);
/* A claim of up to `max` rows, done; the caller frees it. */
struct store_claim *bed_claim(struct bed *bed, int64_t run, int max);

/* Done, freed, and the code. */
int bed_do_free(struct bed *bed, struct store_op *op);

/* Fails the test when the doctor finds anything: counters, ledgers, leases, digests. */
void bed_check(struct bed *bed);

/* Runs the tests on every engine of the list in store_bed.c; bed_engine is the one that is tried. The sum of failed tests. */
extern const struct store_ops *bed_engine;
struct CMUnitTest;
int bed_run_suite(const struct CMUnitTest *tests, size_t count);

#endif
