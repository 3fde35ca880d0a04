/* The store as the daemon has it: facade, threads and a loop, for tests, the crash driver and the bench. */
#ifndef GALLOC_TESTS_STORE_FRONT_H
#define GALLOC_TESTS_STORE_FRONT_H

#include "store/store.h"
#include "tests/contract/store_make.h"

#define FRONT_RUNS 8

struct front {
    struct loop *loop;
    struct store *store;
    struct store_image image;
    struct store_run runs[FRONT_RUNS]; /* the last summaries, by run id modulo FRONT_RUNS */
    enum store_health health;
    int health_changes, commits;
    struct loop_timer deadline;
    bool is_late; /* the deadline of front_wait() passed */
};

/* Opens the store at `path`. 0, or what store_open() gave. */
int front_open(struct front *front, const char *path, struct galloc_error *error) MUST_CHECK;
void front_close(struct front *front);

/* Runs the loop until *flag is set (by a done callback or front_done) or deadline_ms have passed. True: it was set. */
bool front_wait(struct front *front, const bool *flag, int64_t deadline_ms);

/* A done callback for operations whose arg is a `struct front_mark`: marks it, the operation stays the test's. */
struct front_mark {
    struct front *front;
    bool is_done;
    int order; /* the how-manieth that was done */
};
void front_done(struct store_op *op);

/* Submits and waits (10 s). Returns op->code. The operation stays the caller's. */
int front_do(struct front *front, struct store_op *op);
int front_do_free(struct front *front, struct store_op *op);

/* A run of `rows` rows that runs, and its pool (may be NULL). */
int64_t front_run(struct front *front, int64_t rows, int agents, struct store_pool *ret_pool);
const struct store_run *front_summary(const struct front *front, int64_t run);

#endif
