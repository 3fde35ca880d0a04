/* The pacer of an endpoint: "may a call start now, and if not, when to ask again" and "this is what came back". One instance an endpoint; its parts are pace
 * (rates and quotas) and breaker (well or ill), beside the limit of calls in flight kept here. Pure: time goes in, no I/O. */
#ifndef GALLOC_CORE_PACER_H
#define GALLOC_CORE_PACER_H

#include "base/buf.h"
#include "core/breaker.h"
#include "core/outcome.h"
#include "core/pace.h"

struct json_object;
struct pacer;

#define PACER_TEST_TOKENS 100 /* of a test request, before it is made: no provider's has more */

struct pacer_limits {
    int64_t rpm, tpm, rpd;  /* 0: none */
    int64_t max_in_flight;  /* never exceeded */
    double time_scale;
};

/* A moment on both clocks. */
struct pacer_now {
    int64_t mono_us;
    int64_t wall_ms;
};

enum pacer_wait { PACER_GO, PACER_IN_FLIGHT, PACER_LIMIT_RPM, PACER_LIMIT_TPM, PACER_LIMIT_RPD, PACER_LIMIT_RATE, PACER_BLOCKED, PACER_QUOTA_DAY, PACER_BREAKER };

struct pacer_answer {
    enum pacer_wait wait;
    int64_t wait_us; /* ask again after; -1: after the next outcome */
};

struct pacer *pacer_new(const struct pacer_limits *limits, uint64_t seed);
void pacer_free(struct pacer *pacer); /* NULL is fine */
void pacer_set_limits(struct pacer *pacer, const struct pacer_limits *limits);

/* May a call of about `tokens` start? `in_flight`: calls of the endpoint under way, slots that wait for their settle included. `is_adaptive`: learned rate and
 * concurrency bind too. `keeps_slot`: a re-ask, which has its place already. */
struct pacer_answer pacer_ask(struct pacer *pacer, struct pacer_now now, int64_t tokens, int64_t in_flight, bool is_adaptive, bool keeps_slot);
/* How many such calls may start now; what waits for a slot is not leased before it can go. */
int64_t pacer_room(struct pacer *pacer, struct pacer_now now, int64_t tokens, int64_t in_flight, bool is_adaptive);
/* How long until a probe of about `tokens` may go, by quotas, hints and the canary alone: 0 now; microseconds; -1: after the next outcome. */
int64_t pacer_ask_test(struct pacer *pacer, struct pacer_now now, int64_t tokens);
/* By the configured limits alone, which nothing exceeds: neither a test that an operator asks for within a block, nor a prompt that is larger than was thought. */
struct pacer_answer pacer_ask_limits(struct pacer *pacer, struct pacer_now now, int64_t tokens);
void pacer_sent(struct pacer *pacer, struct pacer_now now, int64_t tokens);
/* What was sent in former lives, in any order, at least of the window; before the first call of this one. `day_calls`: of the present day (Pacific time). */
void pacer_read_back(struct pacer *pacer, struct pacer_now now, const struct pace_send *sends, size_t count, int64_t day_calls);
void pacer_unsent(struct pacer *pacer, struct pacer_now then); /* what was counted at that moment did not go out */

/* What came back. */
struct pacer_outcome {
    enum outcome_class class;
    int64_t sent_us;
    int64_t latency_us;
    int32_t local_port;
    bool is_test;          /* the endpoint's own test request */
    bool is_probe;         /* an assignment in its place, where there is none */
    bool is_first_attempt; /* numbered 1 */
    bool failed_before;    /* the assignment had a transient failure before */
    bool was_full;         /* sent with in_flight at the limit */
    int64_t in_flight;     /* now */
    bool is_capacity;      /* 503 */
    int64_t retry_after_ms, quota_value; /* -1: not told */
    bool quota_is_tokens, quota_is_spend;
    int64_t tokens;        /* used; -1: not told */
};
struct pacer_change {
    bool opened, closed;   /* the breaker */
    bool strikes_full;     /* the runs that failed are to pause */
    bool blocked;          /* a new block began */
};
void pacer_outcome(struct pacer *pacer, struct pacer_now now, const struct pacer_outcome *outcome, struct pacer_change *ret_change);

/* A held failure of a first attempt was confirmed. */
void pacer_confirmed_first(struct pacer *pacer, struct pacer_now now);
int64_t pacer_max_retries(const struct pacer *pacer, struct pacer_now now, int64_t max_retries);

/* The breaker is open and its probe is due; when not due, *ret_wait_us tells how long (-1: closed). */
bool pacer_wants_probe(const struct pacer *pacer, struct pacer_now now, int64_t *ret_wait_us);
bool pacer_is_open(const struct pacer *pacer);
void pacer_resume(struct pacer *pacer, struct pacer_now now); /* an operator's: forget the block, close the breaker, try */
int64_t pacer_in_flight_limit(const struct pacer *pacer, bool is_adaptive);
int64_t pacer_probe_timeout_ms(const struct pacer *pacer); /* clamp(2 p99, 5 s, 30 s) */

/* For people and metrics. */
struct pacer_view {
    const char *mode;            /* "unlimited", "rate", "blocked", "quota_day", "open" */
    double rate_per_min;         /* learned or configured; 0: unlimited */
    int64_t concurrency;         /* the limit in force */
    const char *limited_by;      /* rpm, tpm, rpd, rate, concurrency, quota_day, throttled, outage */
    const char *breaker;         /* "closed", "open" */
    int64_t next_us;             /* from now until it wakes; -1: nothing to wait for */
    int64_t quota_until_at_ms;   /* wall; 0 */
    int64_t latency_p50_us;      /* 0: unknown */
    int64_t open_us;             /* for how long the breaker has been open */
    int probes_failed;           /* since it opened */
};
void pacer_view(struct pacer *pacer, struct pacer_now now, struct pacer_view *ret_view);

#endif
