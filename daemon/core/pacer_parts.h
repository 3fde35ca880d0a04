/* What a pacer is made of, for its two files: pacer.c (asks and outcomes) and pacer_view.c (what it tells). Not for others. */
#ifndef GALLOC_CORE_PACER_PARTS_H
#define GALLOC_CORE_PACER_PARTS_H

#include "core/inflight.h"
#include "core/pace.h"
#include "core/pacer.h"

#include <math.h>

enum { PACER_EVENTS = 16 };

struct pacer_told { /* by the last events */
    enum pace_mode mode;
    double window_calls;
    bool is_blocked;
};

struct pacer {
    struct pacer_limits limits;
    struct allowance allowance;
    struct pace pace;
    struct inflight inflight;
    struct latency latency;
    struct breaker breaker;
    struct rng rng;
    int64_t asked_in_flight;   /* when it was asked last */
    int64_t asked_tokens;      /* of the call that it was asked for last */
    int64_t day_until_at_ms;   /* wall: when the day's quota that blocks begins anew */
    enum pacer_wait last_wait; /* what held the last refused ask back: "limited by" */
    struct pacer_told told;
    struct pacer_event events[PACER_EVENTS]; /* a ring */
    size_t events_first, events_count;
};

static inline int64_t paced_us(const struct pacer *pacer, int64_t mono_us)
{
    return pacer->limits.time_scale == 1 ? mono_us : (int64_t)((double)mono_us / pacer->limits.time_scale);
}

static inline int64_t paced_ms(const struct pacer *pacer, int64_t mono_us)
{
    return paced_us(pacer, mono_us) / 1000;
}

/* A wait of paced time on the clock; never 0 for one that is none. */
static inline int64_t real_us(const struct pacer *pacer, int64_t wait_us)
{
    return wait_us <= 0 || pacer->limits.time_scale == 1 ? wait_us : (int64_t)ceil((double)wait_us * pacer->limits.time_scale) + 1;
}

static inline struct pace_now pace_now(const struct pacer *pacer, struct pacer_now now)
{
    int64_t wall_us = (int64_t)((double)now.wall_ms * 1000 / pacer->limits.time_scale);
    return (struct pace_now){.us = paced_us(pacer, now.mono_us), .minute_us = wall_us % WINDOW_US};
}

void pacer_add_event(struct pacer *pacer, enum pacer_event_kind kind, double before, double after);
void pacer_events_told(struct pacer *pacer); /* what is so now is no news */

#endif
