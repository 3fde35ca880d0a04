/* How fast calls may leave, as the endpoint itself teaches: a state machine over the send log (window.h) and a bucket (rate.h).
 *
 *             429, taken again at once            429                        429: measured
 *   STARTUP ------------------------> GROWTH -------------> RATE <------------------------.
 *      |                                                    |  ^                          |
 *      | 429, and a wait for the minute                     |  | taken again at once,     |
 *      v                                                    |  | three times, or more     |
 *   VERIFY <------------------------------------------------'  | than N went through      |
 *      |  ^  the wait is long: so many a minute                |                          |
 *      |  | taken although the minute is full                  |                          |
 *      v  |                                                    |                          |
 *   WINDOW ----------------------------------------------------'       (RATE again) ------'
 *
 * STARTUP  the rate doubles every half second; no budget
 * GROWTH   the endpoint limits a rate: it doubles slowly until the next refusal
 * RATE     cruises at the rate that was measured, and probes past it by a cubic
 * VERIFY   the endpoint limits the calls of a minute, N of them were seen: the rate doubles until that is confirmed
 * WINDOW   cruises at a budget of N in the trailing minute, and probes past it with single calls that successes pay for
 *
 * A refusal of a call sent since the last recovery begins a block: nothing leaves but one canary at a time (canary.c); when one is taken, the length of the block and the
 * counts before it tell what kind of limit it was (lesson.c). In VERIFY and WINDOW a refusal near the budget only moves the budget: the log tells when to go on.
 * A call that was not refused within about two and a half of the usual refusals' times counts as accepted: an answer takes seconds, a refusal a moment.
 * Pure. Times are microseconds of paced time: the monotonic clock's over time_scale. */
#ifndef GALLOC_CORE_PACE_H
#define GALLOC_CORE_PACE_H

#include "core/rate.h"
#include "core/rng.h"
#include "core/window.h"

#define PACE_MINUTE_S 60.0

enum pace_mode { PACE_STARTUP, PACE_GROWTH, PACE_RATE, PACE_VERIFY, PACE_WINDOW };

struct pace_now {
    int64_t us;
    int64_t minute_us; /* into the wall clock's minute: where many a quota begins anew */
};

/* What the trailing minute may hold. Calls and tokens side by side, each moved by its own refusals alone; one of them binds. */
struct pace_budget {
    double calls, tokens; /* INFINITY: not known */
    bool by_tokens;       /* tokens bind: what is counted is in calls of unit_tokens each */
    double unit_tokens;
    bool is_printed;      /* the endpoint told the number itself */
};

/* From a refusal to the canary that is taken. */
struct pace_block {
    bool is_on;
    int64_t began_us, refused_us; /* when the refusal came, and when the call was sent that it met */
    int64_t canary_at_us;         /* when the next may go */
    int64_t canary_us;            /* when the one in flight was sent; WINDOW_NONE */
    int refused;                  /* canaries */
    bool is_hinted, is_day, is_spend, by_tokens;
    double printed;               /* the limit that the last refusal told; 0: none */
    double accepted, span_s;      /* calls of the epoch that it ended, and how long that was */
    double last_per_s;            /* rate of the last of them */
};

/* Single calls past the budget: does the endpoint take more than it did? */
struct pace_probe {
    double credit;   /* earned by successes; 1 buys one that is refused */
    int64_t sent_us; /* the one in flight; WINDOW_NONE */
    int64_t at_us, for_us; /* the next goes then, chosen when this was the oldest entry */
    int good;        /* taken in a row */
};

/* A fixed window begins anew at once, a sliding one call by call. */
struct pace_reset {
    int64_t suspected_us; /* a call was taken although the minute was full; WINDOW_NONE */
    double slack;         /* so many more prove it */
    int64_t seen_us;      /* the last one proved; WINDOW_NONE */
    int aligned;          /* how often they fell on the wall clock's minute, less how often not */
};

struct pace {
    enum pace_mode mode;
    struct window window;
    struct rate rate;
    struct pace_budget budget;
    struct pace_block block;
    struct pace_probe probe;
    struct pace_reset reset;
    struct rng rng;
    int64_t epoch_us;      /* the last recovery */
    double epoch_sent;     /* calls since */
    double refusal_s;      /* a refusal's time, smoothed */
    int64_t accept_us;     /* not refused for so long: accepted */
    int64_t hold_us;       /* nothing before, after a refusal that only moved the budget */
    int64_t moved_us;      /* when that was */
    int64_t short_us;      /* a block ended at once */
    int shorts;            /* in a row, each within a minute of the one before */
    double mean_tokens;    /* of the first thousand calls */
    int64_t sized;
    int growths;           /* early refusals in GROWTH */
    double grown;          /* calls accepted in it */
    int64_t growth_us;     /* since then */
    double first_calls, first_s; /* of STARTUP: how much went before the first block, and when that was over */
    double warm_calls;     /* STARTUP after a former life: so many may go at once; 0: cold */
    double disproved;      /* a printed limit that was refused below; 0: none */
    int printed_refusals;  /* below a printed one, in a row */
    bool was_scarce;       /* a block lasted more than two minutes: calls are dear, no duplicates */
};

enum pace_gate { PACE_FREE, PACE_BLOCKED, PACE_QUOTA_DAY, PACE_FULL, PACE_PACED };

void pace_init(struct pace *pace, uint64_t seed);
void pace_clear(struct pace *pace);
/* What holds a call of so many tokens back now, and for how long (-1: until an outcome comes). `with_learned`: what was learned binds too; a block binds everybody. */
enum pace_gate pace_ask(struct pace *pace, struct pace_now now, int64_t tokens, bool with_learned, int64_t *ret_wait_us);
/* How many such calls may start now. */
int64_t pace_room(struct pace *pace, struct pace_now now, int64_t tokens, bool with_learned);
/* `is_probe`: into an open breaker, and of no meaning for the pace. */
void pace_sent(struct pace *pace, struct pace_now now, int64_t tokens, bool is_probe);
void pace_unsent(struct pace *pace, int64_t sent_us);
void pace_tokens_known(struct pace *pace, int64_t sent_us, int64_t tokens);
void pace_answers_take(struct pace *pace, int64_t us); /* so long, the median */
void pace_answered(struct pace *pace, struct pace_now now, int64_t sent_us);
/* A call ended and told nothing of a quota: as a canary, the next one may go after a second. */
void pace_told_nothing(struct pace *pace, struct pace_now now, int64_t sent_us);

struct pace_refusal {
    int64_t sent_us, latency_us;
    int64_t retry_after_us;      /* -1: no hint */
    double printed;              /* the limit; 0: not told */
    bool of_tokens, of_requests; /* neither: not told */
    bool is_day, is_spend;
    int64_t day_reset_us;        /* from now to the day's end */
    bool is_day_over;            /* the end that a block waited for has come */
};
/* True: a block began. */
bool pace_refused(struct pace *pace, struct pace_now now, const struct pace_refusal *refusal);
/* After an outage: a new epoch. */
void pace_restart(struct pace *pace, int64_t now_us);
/* An operator's: forget the block. */
void pace_unblock(struct pace *pace);
/* What a former life learned; before the first call. */
struct pace_warm {
    enum pace_mode mode; /* STARTUP, RATE or WINDOW */
    struct pace_budget budget;
    double rate_per_s, confidence, burst_calls;
    int aligned;
};
void pace_warm(struct pace *pace, const struct pace_warm *warm);
/* The budget that binds, in calls; INFINITY. */
double pace_budget_calls(const struct pace *pace);

#endif
