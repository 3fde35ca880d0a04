/* Negative controls: programs that break one promise on purpose, so that every fault harness (tests/crash) is seen to notice. They are there in builds made with
 * --enable-negative-controls alone, where the environment's GALLOC_BREAK names the promise; in all others BREAKS() is the constant false, and nothing of them is
 * left in the programs (lint: negative). Any thread. */
#ifndef GALLOC_BASE_NEGATIVE_H
#define GALLOC_BASE_NEGATIVE_H

#include "base/util.h"

/* The promises that can be broken: symbol, its name in GALLOC_BREAK, what happens then. */
#define NEGATIVE_CONTROLS(X)                                                                                  \
    X(ACK_BEFORE_COMMIT, "ack_before_commit", "answers go out, the commit comes a while later")               \
    X(SYNC_NORMAL, "sync_normal", "commits are not synced")                                                   \
    X(NO_FENCE, "no_fence", "an attempt's end changes its assignment whatever the lease's number says")       \
    X(CALL_BEFORE_ATTEMPT, "call_before_attempt", "a call leaves before its attempt is durable")              \
    X(FORGET_LOST, "forget_lost", "a start drops the attempts of the former life instead of telling them")    \
    X(NO_RESERVE, "no_reserve", "new work is taken on a disk that is nearly full")                            \
    X(FORGET_PURGE, "forget_purge", "a purge is answered, and its mark is not written")                       \
    X(LEAVE_POOL, "leave_pool", "a purge leaves the pool of its run, with what it holds")                     \
    X(CAPACITY, "capacity", "a decision stands although its agent is full")                                   \
    X(ASSIGN_OVER, "assign_over", "a person's assignment takes a place that a full agent does not have")     \
    X(WALL_CLOCK_LEASES, "wall_clock_leases", "the store's clock is the wall clock")                          \
    X(KEY_IN_LOG, "key_in_log", "a call's key is written to the log")                                         \
    X(NO_DIGEST, "no_digest", "content is served without a look at its digest")                               \
    X(POST_REPEATS, "post_repeats", "a call whose reused connection died is sent again by the library")       \
    X(NO_CONNECTION_CAP, "no_connection_cap", "one user may take every connection")                           \
    X(NO_DRAIN, "no_drain", "the first signal cuts the calls in flight")                                      \
    X(NO_DEADLINE, "no_deadline", "a client may take as long as it likes")                                    \
    X(OUTAGE_SPENDS, "outage_spends", "a failure that an outage explains spends a retry")                     \
    X(REFUSAL_SPENDS, "refusal_spends", "a call that was refused for the endpoint's sake spends a retry")     \
    X(LEASES_STAND, "leases_stand", "a lease of a worker that is gone never runs out")                        \
    X(GOES_TOGETHER, "goes_together", "what a worker was lost with goes out with others again")               \
    X(PLACES_PROMISED, "places_promised", "places that attempts under way may need are given again")          \
    X(DIES_OF_EMFILE, "dies_of_emfile", "a connection that finds no descriptor ends the daemon")              \
    X(OVER_LIMITS, "over_limits", "what is configured for an endpoint a minute and a day is not looked at")   \
    X(OVERSPENDS, "overspends", "calls go as long as the known costs are below the budget: nothing is reserved for those under way")

enum negative_control {
#define X(symbol, name, text) NEGATIVE_##symbol,
    NEGATIVE_CONTROLS(X)
#undef X
    NEGATIVE_COUNT
};

#ifdef GALLOC_NEGATIVE_CONTROLS
#define BREAKS(symbol) negative_breaks(NEGATIVE_##symbol)
bool negative_breaks(enum negative_control control);

/* What is broken, in words for the log; NULL: nothing. A name that is none of the table's is told as such. */
const char *negative_text(void);
#else
#define BREAKS(symbol) false
static inline const char *negative_text(void)
{
    return NULL;
}
#endif

#endif
