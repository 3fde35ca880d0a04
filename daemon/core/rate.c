/* See rate.h. */
#include "core/rate.h"

#include <math.h>

/*      constant               value    unit      meaning                                                     source: the design's simulation, section 5 */
#define START_PER_S            32.0  /* calls/s   at the start of the ramp                                    S: rho = 32/s */
#define START_CREDIT           4.0   /* calls     that leave at once at the very start                        S: depth 4 */
#define START_DOUBLING_S       0.5   /* s         in which the ramp doubles                                   S */
#define START_ANSWERS          5     /* answers   in which it doubles where they come faster: what is refused is known    ours: docs/pacing.md
                                     sooner, and no more calls are under way when it is */
#define START_DOUBLING_MIN_S   0.02  /* s                                                                     ours */
#define RAMP_STEP              0.693 /*           of every send, over the doubling: ln 2                      S */
#define RAMP_LEAD              2.0   /* times     the rate really sent, at most: an idle ramp learns nothing  S */
#define RAMP_SENDS             32    /* calls     over which that is measured                                 S */
#define RAMP_FREE_SENDS        8     /* calls     before it is                                                S */
#define CUBIC_START            0.97  /* times     the measured rate: where the cubic begins                   R */
#define CUBIC_SCALE            0.4   /*           of the cubic: 1.4 times the rate one span after the flat    R */
#define CUBIC_REST             0.985 /* times     a printed rate, while nothing is tried                      R, printed limit */
#define SPAN_CALLS             300.0 /* calls     in a span, times the confidence                             R: Wc */
#define SPAN_MIN_S             8.0   /* s                                                                     R: Wc */
#define SPAN_MAX_S             600.0 /* s         at full confidence                                          R: Wc */
#define MEASURED_MIN_PER_S     (1 / 120.0) /* calls/s  slower ones are probed like this                       R */
#define LAST_MIN               5     /* calls     over which a rate is measured, at least                     m = clamp(a/2, 5, 30) */
#define LAST_MAX               30    /* calls     and at most                                                 m */
#define LAST_MIN_S             0.25  /* s         shorter spans tell nothing                                  rec */

void rate_init(struct rate *rate)
{
    *rate = (struct rate){.per_s = START_PER_S, .credit = START_CREDIT, .doubling_s = START_DOUBLING_S, .confidence = 0.25};
}

void rate_answers_take(struct rate *rate, int64_t us)
{
    rate->doubling_s = fmin(START_DOUBLING_S, fmax(START_DOUBLING_MIN_S, START_ANSWERS * in_s(us)));
}

void rate_fill(struct rate *rate, int64_t now_us, double depth)
{
    if (now_us <= rate->credit_us)
        return;
    rate->credit = fmin(depth, rate->credit + in_s(now_us - rate->credit_us) * rate->per_s);
    rate->credit_us = now_us;
}

int64_t rate_wait_us(const struct rate *rate)
{
    return rate->credit >= 1 - 1e-9 ? 0 : max_i64(in_us((1 - rate->credit) / rate->per_s) + 1, 1000);
}

/* The moment of the n-th send from the last; n from 1, at most what is kept. */
static int64_t sent_before_us(const struct rate *rate, size_t n)
{
    return rate->last_us[(rate->sent_count - n) % RATE_LAST_SENDS];
}

void rate_sent(struct rate *rate, int64_t now_us, double cost)
{
    rate->credit -= cost;
    rate->last_us[rate->sent_count++ % RATE_LAST_SENDS] = now_us;
}

void rate_ramp(struct rate *rate, int64_t now_us, bool is_startup)
{
    size_t n = rate->sent_count < RAMP_SENDS ? rate->sent_count : RAMP_SENDS;
    if (is_startup && n >= RAMP_FREE_SENDS && rate->per_s >= RAMP_LEAD * (double)n / (in_s(now_us - sent_before_us(rate, n)) + 1e-3))
        return;
    rate->per_s = fmin(RATE_MAX_PER_S, rate->per_s + RAMP_STEP / rate->doubling_s);
}

void rate_set_cubic(struct rate *rate, int64_t now_us, double measured_per_s, double rest_s)
{
    double rm = fmax(measured_per_s, MEASURED_MIN_PER_S), confidence = rate->confidence;
    rate->measured_per_s = rm;
    rate->cubic_us = now_us + in_us(rest_s);
    rate->span_s = fmax(SPAN_MIN_S, fmin(SPAN_MAX_S * confidence * confidence, confidence * SPAN_CALLS * (1 + 0.1 * rm) / rm));
    rate->flat_s = rate->span_s * cbrt((1 - CUBIC_START) / CUBIC_SCALE);
    rate->per_s = CUBIC_START * rm;
}

void rate_follow_cubic(struct rate *rate, int64_t now_us)
{
    double x = (in_s(now_us - rate->cubic_us) - rate->flat_s) / rate->span_s;
    rate->per_s = now_us < rate->cubic_us ? CUBIC_REST * rate->measured_per_s : fmin(RATE_MAX_PER_S, rate->measured_per_s * (1 + CUBIC_SCALE * x * x * x));
}

double rate_of_last(const struct rate *rate, int64_t since_us, int64_t until_us, double accepted)
{
    size_t kept = rate->sent_count < RATE_LAST_SENDS ? rate->sent_count : RATE_LAST_SENDS, skipped = 0, within = 0;
    while (skipped < kept && sent_before_us(rate, skipped + 1) > until_us)
        skipped++;
    while (skipped + within < kept && sent_before_us(rate, skipped + within + 1) >= since_us)
        within++;
    size_t m = (size_t)fmax(LAST_MIN, fmin(LAST_MAX, floor(accepted / 2)));
    if (within > m)
        return (double)m / fmax(LAST_MIN_S, in_s(until_us - sent_before_us(rate, skipped + m + 1)));
    return (accepted + 1) / fmax(LAST_MIN_S, in_s(until_us - since_us));
}
