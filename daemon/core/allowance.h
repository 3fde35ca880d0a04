/* What the operator allows: rpm and tpm by a log of the trailing window, rpd by the day's count. Never exceeded, whoever asks and whatever is learned; refused calls
 * count like all others. Pure: microseconds of one monotonic clock and the wall clock's milliseconds go in, neither of them scaled. */
#ifndef GALLOC_CORE_ALLOWANCE_H
#define GALLOC_CORE_ALLOWANCE_H

#include "core/sendlog.h"

#define ALLOWANCE_WINDOW_US 60000000 /* a minute of the quota */
#define ALLOWANCE_GUARD_US 250000    /* after it, for the way to the server, which takes no less time where the minute is scaled */
#define ALLOWANCE_DAYS 4             /* that a wall clock which is set back and forth may be in within one; of more, the oldest counts with the newest */
#define ALLOWANCE_DAY_MOST_US INT64_C(90000000000) /* no day is longer: 25 h, the one on which summer time ends */

/* A call that was sent in a former life, as its row tells. */
struct former_send {
    int64_t at_ms;   /* wall; not before it was sent */
    int64_t tokens;  /* that it used; -1: not told */
    bool is_refused; /* by a quota of the endpoint's; it counts in a configured one all the same */
};

/* A Pacific day in which calls were sent. They count until it is over by both clocks: a wall clock that is set gives nobody a new day. */
struct allowance_day {
    int64_t count;
    int64_t from_at_ms, ends_at_ms; /* wall: the first known moment of it, and its midnight */
    int64_t ends_us, last_us;       /* monotonic: that midnight, as it was to come when the day was first seen; the last send */
};

struct allowance {
    int64_t rpm, tpm, rpd; /* 0: none */
    double time_scale;     /* of the window; a day is a day */
    struct sendlog log;    /* owned */
    int64_t log_tokens;
    struct allowance_day days[ALLOWANCE_DAYS]; /* count 0: free */
};

enum allowance_limit { ALLOWANCE_FREE, ALLOWANCE_RPM, ALLOWANCE_TPM, ALLOWANCE_RPD };

void allowance_init(struct allowance *allowance, double time_scale);
void allowance_clear(struct allowance *allowance);
void allowance_set(struct allowance *allowance, int64_t rpm, int64_t tpm, int64_t rpd);

/* What holds a call of so many tokens back now, and for how long (microseconds). */
enum allowance_limit allowance_ask(struct allowance *allowance, int64_t now_us, int64_t wall_ms, int64_t tokens, int64_t *ret_wait_us);
/* How many such calls may start now, when one may. */
int64_t allowance_room(const struct allowance *allowance, int64_t now_us, int64_t wall_ms, int64_t tokens);
/* Calls left of the day's; below 0 when rpd was lowered; INT64_MAX: no rpd. */
int64_t allowance_day_room(const struct allowance *allowance, int64_t now_us, int64_t wall_ms);
void allowance_sent(struct allowance *allowance, int64_t now_us, int64_t wall_ms, int64_t tokens);
/* What was sent in former lives, sorted by time; `day_calls`: of the present day. */
void allowance_read_back(struct allowance *allowance, int64_t now_us, int64_t wall_ms, const struct sendlog_entry *entries, size_t count, int64_t day_calls);
/* Takes a send back that was counted at that moment and did not go out. */
void allowance_unsent(struct allowance *allowance, int64_t sent_us, int64_t sent_wall_ms);
void allowance_tokens_known(struct allowance *allowance, int64_t sent_us, int64_t tokens); /* the answer's usage corrects the estimate */

#endif
