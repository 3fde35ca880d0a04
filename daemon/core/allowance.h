/* What the operator allows: rpm and tpm by a log of the trailing window, rpd by the day's count. Never exceeded, whoever asks and whatever is learned; refused calls
 * count like all others. Pure: microseconds of one monotonic clock and the wall clock's milliseconds go in, neither of them scaled. */
#ifndef GALLOC_CORE_ALLOWANCE_H
#define GALLOC_CORE_ALLOWANCE_H

#include "core/sendlog.h"

#define ALLOWANCE_WINDOW_US 60000000 /* a minute of the quota */
#define ALLOWANCE_GUARD_US 250000    /* after it, for the way to the server, which takes no less time where the minute is scaled */

/* A call that was sent in a former life, as its row tells. */
struct former_send {
    int64_t at_ms;   /* wall; not before it was sent */
    int64_t tokens;  /* that it used; -1: not told */
    bool is_refused; /* by a quota of the endpoint's; it counts in a configured one all the same */
};

struct allowance {
    int64_t rpm, tpm, rpd; /* 0: none */
    double time_scale;     /* of the window; a day is a day */
    struct sendlog log;    /* owned */
    int64_t log_tokens;
    int64_t day_count, day_ends_at_ms; /* wall */
};

enum allowance_limit { ALLOWANCE_FREE, ALLOWANCE_RPM, ALLOWANCE_TPM, ALLOWANCE_RPD };

void allowance_init(struct allowance *allowance, double time_scale);
void allowance_clear(struct allowance *allowance);
void allowance_set(struct allowance *allowance, int64_t rpm, int64_t tpm, int64_t rpd);

/* What holds a call of so many tokens back now, and for how long (microseconds). */
enum allowance_limit allowance_ask(struct allowance *allowance, int64_t now_us, int64_t wall_ms, int64_t tokens, int64_t *ret_wait_us);
/* How many such calls may start now, when one may. */
int64_t allowance_day_room(const struct allowance *allowance, int64_t wall_ms); /* calls left of the day's; INT64_MAX: no rpd */
int64_t allowance_room(const struct allowance *allowance, int64_t wall_ms, int64_t tokens);
void allowance_sent(struct allowance *allowance, int64_t now_us, int64_t wall_ms, int64_t tokens);
/* What was sent in former lives, sorted by time; `day_calls`: of the present day. */
void allowance_read_back(struct allowance *allowance, int64_t now_us, int64_t wall_ms, const struct sendlog_entry *entries, size_t count, int64_t day_calls);
/* Takes a send back that was counted at that moment and did not go out. */
void allowance_unsent(struct allowance *allowance, int64_t sent_us, int64_t sent_wall_ms);
void allowance_tokens_known(struct allowance *allowance, int64_t sent_us, int64_t tokens); /* the answer's usage corrects the estimate */

#endif
