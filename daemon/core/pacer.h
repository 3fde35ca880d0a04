/* The pacer of an endpoint: "may a call start now, and if not, when to ask again" and "this is what came back". One instance an endpoint; it drives the endpoint as fast
 * as its unknown limits allow and wastes next to nothing on finding out. Its parts, each pure and in files of its own:
 *   allowance  what the operator configured: never exceeded
 *   pace       the rate, or the minute's budget, that the endpoint was seen to take, and its blocks: pace.c, canary.c, lesson.c over rate.c and window.c
 *   inflight   how many calls at once
 *   breaker    well or ill
 *   hedge      which straggler of a run's tail is asked twice
 * Pure: time and outcomes go in, decisions come out; no clock, no I/O. What is learned is learned in paced time, the monotonic clock's over time_scale. */
#ifndef GALLOC_CORE_PACER_H
#define GALLOC_CORE_PACER_H

#include "core/allowance.h"
#include "core/breaker.h"
#include "core/hedge.h"
#include "core/outcome.h"

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

enum pacer_wait { PACER_GO, PACER_IN_FLIGHT, PACER_LIMIT_RPM, PACER_LIMIT_TPM, PACER_LIMIT_RPD, PACER_LIMIT_RATE, PACER_LIMIT_WINDOW, PACER_BLOCKED, PACER_QUOTA_DAY, PACER_BREAKER, PACER_WAIT_COUNT };
const char *pacer_wait_name(enum pacer_wait wait); /* "rpm", …; also of "limited by" */

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
void pacer_read_back(struct pacer *pacer, struct pacer_now now, const struct former_send *sends, size_t count, int64_t day_calls);
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
    bool quota_is_tokens, quota_is_requests; /* what the refusal named, if it named one */
    bool quota_is_spend;
    int64_t tokens;        /* used; -1: not told */
};
struct pacer_change {
    bool opened, closed;   /* the breaker */
    bool strikes_full;     /* the runs that failed are to pause */
    bool blocked;          /* a new block began */
};
/* The outcome of every call that pacer_sent() was told of, or pacer_unsent(). */
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

/* How long until the oldest call of a run's tail is worth a second one: 0 now, when pacer_ask() lets it; -1 not, or not before the next outcome. */
int64_t pacer_ask_hedge(const struct pacer *pacer, struct pacer_now now, const struct hedge_tail *tail);

/* For people and metrics. */
struct pacer_view {
    const char *mode;            /* "startup", "growth", "rate", "verify", "window"; before them "open", "quota_day", "blocked" */
    double rate_per_min;         /* calls that a minute takes, learned or configured; 0: no limit was met yet */
    double window_calls, window_tokens; /* the learned budget of the trailing minute; 0: none */
    int64_t window_used;         /* calls of it */
    int64_t concurrency;         /* the limit in force */
    const char *limited_by;      /* rpm, tpm, rpd, rate, window, concurrency, quota_day, throttled, outage */
    const char *breaker;         /* "closed", "open" */
    int64_t next_us;             /* from now until it wakes; -1: nothing to wait for */
    int64_t quota_until_at_ms;   /* wall; 0 */
    int64_t day_room;            /* calls that the configured requests a day still let through today; INT64_MAX: none configured */
    int64_t latency_p50_us;      /* 0: unknown */
    int64_t open_us;             /* for how long the breaker has been open */
    int probes_failed;           /* since it opened */
};
void pacer_view(struct pacer *pacer, struct pacer_now now, struct pacer_view *ret_view);

/* What it changed its mind about since it was asked last; the oldest first. Of many the latest 16 are kept. */
enum pacer_event_kind { PACER_MODE_ENTERED, PACER_WINDOW_MOVED, PACER_BLOCK_BEGAN, PACER_BLOCK_ENDED, PACER_CONCURRENCY_CUT };
struct pacer_event {
    enum pacer_event_kind kind;
    const char *mode;     /* the present one */
    double before, after; /* of the window's budget and the concurrency: calls; of a rate: calls a minute; 0: none */
};
bool pacer_next_event(struct pacer *pacer, struct pacer_event *ret_event);

/* What an endpoint was found to take, for the next life. A plain value: no pointer, every field is valid for pacer_warm() or refused by it. */
struct pacer_learned {
    int64_t mode;                       /* enum pace_mode */
    double window_calls, window_tokens; /* 0: none */
    double unit_tokens;                 /* of a call, where tokens bind */
    double rate_per_s, confidence;      /* measured; 0: not */
    double burst_calls;                 /* went through at once before the rate bound */
    double concurrency, base_latency_us;
    bool by_tokens, is_printed;
    int64_t aligned;                    /* windows seen to begin with the wall clock's minute, less those that did not */
};
void pacer_learned(const struct pacer *pacer, struct pacer_learned *ret_learned);
/* Before the first call; what was sent in the last minute is read back beside it. False: not of this program, nothing is taken. */
MUST_CHECK bool pacer_warm(struct pacer *pacer, const struct pacer_learned *learned);

#endif
