/* What went out in the trailing minute: the learned limits' side of the send log. Refused calls do not count, so where an endpoint grants so many calls a minute this
 * log IS the state of its quota, and what is left of a minute is waited out instead of tried. Requests and tokens are kept side by side; sums are kept as entries come
 * and go, never counted anew for a question. Pure: microseconds of paced time (pace.h). */
#ifndef GALLOC_CORE_WINDOW_H
#define GALLOC_CORE_WINDOW_H

#include "core/sendlog.h"

#define WINDOW_US 60000000      /* the minute of a quota */
#define WINDOW_GUARD_US 250000  /* kept longer by the way to the server and its spread: 10-40 ms in the simulation, with room (pacing.md 5) */
#define WINDOW_NONE INT64_MIN   /* no such moment */

struct window_sum {
    double calls, tokens;
};

struct window {
    struct sendlog log;       /* owned */
    struct window_sum live;   /* not refused */
    struct window_sum counted; /* of them, those not before the floor: since the quota was last seen to begin anew */
    int64_t floor_us;         /* WINDOW_NONE: all count */
    size_t oldest;            /* no entry before this place in the log is counted */
};

void window_init(struct window *window);
void window_clear(struct window *window);
void window_sent(struct window *window, int64_t now_us, int64_t tokens, bool is_live);
void window_expire(struct window *window, int64_t now_us);
/* The call that was sent then was refused, or did not go out. */
void window_drop(struct window *window, int64_t sent_us);
void window_tokens_known(struct window *window, int64_t sent_us, int64_t tokens);
void window_set_floor(struct window *window, int64_t floor_us);
/* When the oldest that counts was sent; WINDOW_NONE when none does. */
int64_t window_oldest_us(struct window *window);
/* Sums over what was sent after `after_us`, up to and with `until_us`; these look at the log's entries, for the rare moments when something is learned. */
struct window_sum window_sum_live(const struct window *window, int64_t after_us, int64_t until_us);
struct window_sum window_sum_counted(const struct window *window, int64_t after_us, int64_t until_us);
/* When the live entry was sent that stands at this share (0..1) of them; WINDOW_NONE when there is none. */
int64_t window_share_us(const struct window *window, double share);

#endif
