/* A histogram as Prometheus has it: how many values were at most so large, bound by bound. Pure. */
#ifndef GALLOC_BASE_HISTOGRAM_H
#define GALLOC_BASE_HISTOGRAM_H

#include "base/util.h"

enum { HISTOGRAM_BOUNDS_MAX = 16 };

/* Zeroed: nothing yet. The bounds stand beside it, `bound_count` of them, rising. */
struct histogram {
    int64_t at_most[HISTOGRAM_BOUNDS_MAX]; /* cumulative */
    int64_t count, sum;
};

static inline void histogram_add(struct histogram *histogram, const int64_t *bounds, size_t bound_count, int64_t value)
{
    histogram->count++;
    histogram->sum += value;
    for (size_t i = 0; i < bound_count; i++)
        histogram->at_most[i] += value <= bounds[i];
}

#endif
