/* When a run ends: remaining over completions a second, on a window of max(60 s, 5 median calls), without the start-up; none while paused or before
 * 3 windows' tenth or 1 %. Pure: time goes in. */
#ifndef GALLOC_CORE_ETA_H
#define GALLOC_CORE_ETA_H

#include "base/util.h"

#define ETA_SLOTS 64

struct eta {
    int64_t started_ms;             /* of the present stretch; 0: not started */
    int64_t slot_ms;                /* width of a slot */
    int64_t slot_at_ms;             /* start of the newest slot */
    int64_t slots[ETA_SLOTS];       /* completions in each, a ring */
    int newest;
    int64_t completions;            /* in this stretch */
};

struct eta_answer {
    bool is_known;
    int64_t seconds, low_seconds, high_seconds;
    const char *limited_by; /* rpm, tpm, rpd, concurrency, workers; filled by the caller */
};

void eta_restart(struct eta *eta, int64_t now_ms);                  /* at start, resume, or when a limit changes */
void eta_completed(struct eta *eta, int64_t count, int64_t now_ms); /* assignments that came to rest */
double eta_rate_per_second(const struct eta *eta, int64_t now_ms);  /* over the window; 0 when nothing happened */
void eta_answer(const struct eta *eta, int64_t remaining, int64_t total, int64_t now_ms, struct eta_answer *ret_answer);

#endif
