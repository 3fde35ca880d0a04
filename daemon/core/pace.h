/* How fast requests may leave: configured limits that are never exceeded (a log of the trailing window, and the day's count), a learned rate (additive increase,
 * multiplicative decrease), and the wait that a refusal asked for. Pure: microseconds of one monotonic clock go in. */
#ifndef GALLOC_CORE_PACE_H
#define GALLOC_CORE_PACE_H

#include "core/rng.h"

#define PACE_LOG_MAX 65536         /* sends that the log of a window holds; a higher rpm is spread evenly */
#define PACE_WINDOW_US 60000000    /* a minute of the quota */
#define PACE_GUARD_US 250000       /* after it, for the way to the server, which takes no less time where the minute is scaled */
#define PACE_DECREASE 0.7
#define PACE_RATE_MIN 0.05         /* calls a second */

/* A call that was sent in a former life, as its row tells. */
struct pace_send {
    int64_t at_ms;   /* wall; not before it was sent */
    int64_t tokens;  /* that it used; -1: not told */
    bool is_refused; /* by a quota of the endpoint's; it counts in a configured one all the same */
};

struct pace_entry {
    int64_t at_us;
    int64_t tokens;
};

struct pace {
    int64_t rpm, tpm, rpd;          /* 0: none */
    double time_scale;
    struct pace_entry *log;         /* a ring; owned */
    size_t log_cap, log_first, log_count;
    int64_t log_tokens;
    int64_t day_count, day_ends_at_ms; /* wall */
    double rate;                    /* calls a second; 0: not learned, unlimited */
    int64_t rate_set_us;            /* when it last fell */
    double credit;                  /* of the rate's bucket */
    int64_t credit_us;
    int64_t blocked_until_us;       /* by a refusal; 0: not blocked */
    int64_t block_ms;               /* length of the present block without a hint */
    bool needs_canary;              /* one call alone, to see whether the block is over */
    bool has_canary;
    int64_t quota_day_until_at_ms;  /* wall; 0: none */
    int64_t quota_probe_ms;         /* present distance of the probes of a day's quota */
};

enum pace_limit { PACE_FREE, PACE_RPM, PACE_TPM, PACE_RPD, PACE_RATE, PACE_BLOCKED, PACE_QUOTA_DAY };

void pace_init(struct pace *pace, double time_scale);
void pace_clear(struct pace *pace);
void pace_set_limits(struct pace *pace, int64_t rpm, int64_t tpm, int64_t rpd);

/* What holds a call of so many tokens back now, and for how long (microseconds; -1: until an outcome comes). `with_rate`: the learned rate binds too. */
enum pace_limit pace_ask(struct pace *pace, int64_t now_us, int64_t wall_ms, int64_t tokens, bool with_rate, int64_t *ret_wait_us);
/* The same by the configured limits alone, whatever blocks. */
enum pace_limit pace_ask_limits(struct pace *pace, int64_t now_us, int64_t wall_ms, int64_t tokens, int64_t *ret_wait_us);
/* How many such calls may start now. */
int64_t pace_room(struct pace *pace, int64_t now_us, int64_t wall_ms, int64_t tokens, bool with_rate);
void pace_sent(struct pace *pace, int64_t now_us, int64_t wall_ms, int64_t tokens);
void pace_read_back(struct pace *pace, int64_t now_us, int64_t wall_ms, const struct pace_send *sends, size_t count, int64_t day_calls);
/* Takes a send back that was counted at that moment and did not go out. */
void pace_unsent(struct pace *pace, int64_t sent_us, int64_t sent_wall_ms);
void pace_tokens_known(struct pace *pace, int64_t sent_us, int64_t tokens); /* the answer's usage corrects the estimate */
void pace_canary_failed(struct pace *pace, int64_t sent_us); /* a call ended and told nothing of the quota: the next one may go */
void pace_accepted(struct pace *pace, int64_t now_us, int64_t sent_us);

/* A refusal. retry_after_ms -1: no hint; quota_value -1: not printed. is_day: a day's quota, asleep until the next midnight Pacific. */
struct pace_refusal {
    int64_t sent_us, retry_after_ms, quota_value;
    bool is_day, is_tokens, is_spend;
};
void pace_refused(struct pace *pace, int64_t now_us, int64_t wall_ms, const struct pace_refusal *refusal, struct rng *rng);

#endif
