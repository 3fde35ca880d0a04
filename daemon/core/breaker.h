/* Is the endpoint well or ill? Counts failures in the order of sending, opens after six in a row, probes, and keeps the share of first attempts that fail.
 *
 *    closed --6 in a row, or a failed test request--> open --a success of a call sent after the opening--> closed
 *
 * While open nothing is sent but the endpoint's own test request, after 1, 2, 4, 8, 15 s (60 s after half an hour), each +-10 %. Pure: time goes in, in
 * milliseconds of one monotonic clock. The rules and their figures are those of the design's section 6, tried by simulation on poisoned input, outages,
 * hangs and brown-outs. */
#ifndef GALLOC_CORE_BREAKER_H
#define GALLOC_CORE_BREAKER_H

#include "core/rng.h"

#define BREAKER_FAILURES 6
#define BREAKER_STRIKES 3           /* openings by count, first probe well, no success between: the run pauses */
#define BREAKER_HOLD_TEST_MS 2000   /* a failure held for so long asks for a test request */
#define BREAKER_EWMA_WEIGHT 0.02

struct breaker {
    bool is_open;
    bool opened_by_count;
    int64_t opened_ms;
    int failures;            /* in a row, in send order */
    int64_t first_sent_ms;   /* of the first of them: only a success sent after it ends the row */
    int32_t ports[BREAKER_FAILURES]; /* local ports of the failures: those that share one connection count once */
    int64_t closed_ms;       /* when it closed last: what was sent before and fails later tells of the outage that is over */
    int probes_failed;
    int64_t next_probe_ms;   /* while open */
    bool success_since_close; /* an assignment succeeded since the breaker closed last */
    int strikes;
    double first_failures;   /* EWMA */
    int64_t ill_until_ms;    /* the share was 10 % or more at some moment of the ten minutes before */
};

/* A call failed in a way that is about the endpoint. `counts` is false for a transient failure of an assignment that failed before. True: the breaker opened. */
bool breaker_failure(struct breaker *b, int64_t now_ms, int64_t sent_ms, int32_t local_port, bool counts, struct rng *rng);
/* A test request failed: opens (true when it was closed), or the next probe is further away. */
bool breaker_test_failure(struct breaker *b, int64_t now_ms, struct rng *rng);
/* The endpoint answered well. Only an assignment that succeeds ends the row of strikes; an answer that is of no use, or a full agent, tells of the endpoint alone. */
enum breaker_sign { BREAKER_TEST_WELL, BREAKER_ANSWERED, BREAKER_SUCCEEDED };
/* True: the breaker closed by it. *ret_strikes: the strikes are full (the run is to pause). */
bool breaker_success(struct breaker *b, int64_t now_ms, int64_t sent_ms, enum breaker_sign sign, bool *ret_strikes);
/* An operator's: closed, and nothing of before counts. */
void breaker_resume(struct breaker *b, int64_t now_ms);
/* An attempt numbered 1 succeeded, or its failure was confirmed. */
void breaker_first_attempt(struct breaker *b, int64_t now_ms, bool has_failed);
/* How many retries an assignment has: max_retries, four times as many while the endpoint is ill and for ten minutes after. */
int64_t breaker_max_retries(const struct breaker *b, int64_t now_ms, int64_t max_retries);
/* Is a probe due? While closed never. */
bool breaker_wants_probe(const struct breaker *b, int64_t now_ms);

#endif
