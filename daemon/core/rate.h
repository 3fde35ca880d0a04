/* How many calls a second: a bucket that fills at the present rate, and the two ways in which that rate grows. A ramp doubles it again and again while calls leave; the
 * cubic creeps around a rate that was measured, long near it and then away from it (Ha, Rhee, Xu 2008, "CUBIC"). Pure: microseconds of paced time (pace.h). */
#ifndef GALLOC_CORE_RATE_H
#define GALLOC_CORE_RATE_H

#include "base/util.h"

#define RATE_MAX_PER_S 20000.0 /* of a ramp that meets no limit: more than one daemon settles, so that the machine is what binds */
#define RATE_LAST_SENDS 64

struct rate {
    double per_s;
    double credit; /* calls that may leave at once */
    int64_t credit_us;
    double doubling_s;     /* of the ramp */
    double measured_per_s; /* what the cubic goes around; 0: nothing was measured */
    double confidence;     /* in it, 1/4..1: how far apart the probes are */
    int64_t cubic_us;      /* when the present cubic began */
    double span_s, flat_s; /* its width, and when it comes through the measured rate */
    int64_t last_us[RATE_LAST_SENDS]; /* a ring: the moments of the last sends */
    size_t sent_count;
};

static inline double in_s(int64_t us)
{
    return (double)us / 1e6;
}

static inline int64_t in_us(double s)
{
    return (int64_t)(s * 1e6);
}

void rate_init(struct rate *rate);
void rate_answers_take(struct rate *rate, int64_t us); /* at the start: how fast the ramp may be */
/* Fills the bucket up to `depth` calls. */
void rate_fill(struct rate *rate, int64_t now_us, double depth);
/* How long until a call may leave, when the bucket was filled now. */
int64_t rate_wait_us(const struct rate *rate);
/* A call left that costs so many. */
void rate_sent(struct rate *rate, int64_t now_us, double cost);
/* Takes one step of the ramp, as every send does; `is_startup`: never past twice what is really sent. */
void rate_ramp(struct rate *rate, int64_t now_us, bool is_startup);
/* Measured: goes on at a little below it and probes above after a while. `rest_s`: no probe for so long, and just below it. */
void rate_set_cubic(struct rate *rate, int64_t now_us, double measured_per_s, double rest_s);
void rate_follow_cubic(struct rate *rate, int64_t now_us);
/* Of `accepted` calls sent from `since_us` to `until_us`, the rate of the last. */
double rate_of_last(const struct rate *rate, int64_t since_us, int64_t until_us, double accepted);

#endif
