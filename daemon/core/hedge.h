/* Which call of a run's tail to ask a second time. A run's last stragglers hold it up, and nothing else is left to send; in its middle a second call gains nothing and
 * eats quota. So: with an empty queue alone, calls alone that take much longer than others, once each, few of them, never on an endpoint whose calls are dear. The first
 * answer wins. Pure. */
#ifndef GALLOC_CORE_HEDGE_H
#define GALLOC_CORE_HEDGE_H

#include "core/latency.h"

/* The tail of a run, as its dispatcher sees it. */
struct hedge_tail {
    int64_t oldest_sent_us; /* of the calls under way that were not asked twice; -1: none */
    int64_t hedged;         /* so far */
    int64_t assignments;    /* of the run */
};

/* How long until that oldest call is due for a second one, if it is not answered before: 0 now, -1 not at all. */
int64_t hedge_wait_us(const struct latency *latency, int64_t now_us, const struct hedge_tail *tail);

#endif
