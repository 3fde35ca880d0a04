/* A way to drive an endpoint: the daemon's own pacer is one row, its rivals are the others. A policy is asked whether the next assignment may go, hears of what
 * was sent and of what came back, and says what becomes of the assignment. Times are microseconds of the world's clock. One thread. */
#ifndef GALLOC_TESTS_SIM_POLICY_H
#define GALLOC_TESTS_SIM_POLICY_H

#include "tests/sim/server.h"

struct world;
struct world_item;
struct world_call;

enum policy_move { POLICY_DONE, POLICY_FAIL, POLICY_RETRY, POLICY_HOLD }; /* HOLD: the policy calls world_return() or world_fail() later */
struct policy_verdict {
    enum policy_move move;
    int64_t delay_us; /* of RETRY */
    bool is_late;     /* behind those that were never tried; else before them */
};

struct policy {
    const char *name, *text;
    bool is_oracle; /* its calls arrive at once */
    void *(*start)(struct world *world, uint64_t seed); /* its state; freed by end */
    void (*end)(void *state);
    /* May `item`, the first of the queue, go? 0: now; else ask again after so long; -1: after the next answer. */
    int64_t (*ask)(void *state, const struct world_item *item);
    void (*sent)(void *state, struct world_call *call);
    int64_t (*timeout_us)(void *state, const struct world_call *call);
    struct policy_verdict (*answered)(void *state, struct world_call *call, const struct server_answer *answer); /* status 0: timed out */
    /* Of what follows, NULL is "never". */
    bool (*wants_test)(void *state, int64_t *ret_wait_us); /* a test request is to be sent now; else look again after (-1: not by time) */
    /* A call to be doubled when the queue is empty; NULL: none now, look again after. */
    struct world_call *(*hedge)(void *state, int64_t *ret_wait_us);
    void (*restart)(void *state);  /* killed: what was in flight is lost, what was learned too unless it was saved */
    void (*describe)(void *state, char *text, size_t size); /* its mind, for --trace: a line that stays the same while that does */
};

extern const struct policy policy_galloc, policy_oracle, policy_seed, policy_pool5, policy_pool64, policy_aimd, policy_aws;

#endif
