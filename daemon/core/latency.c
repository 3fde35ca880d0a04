/* See latency.h. */
#include "core/latency.h"

#include <stdlib.h>
#include <string.h>

enum { COUNT_EVERY = 16 }; /* a sort of 256 costs some microseconds */

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t at_share(const int64_t *sorted, size_t count, double share)
{
    size_t at = (size_t)(share * (double)count);
    return sorted[at < count ? at : count - 1];
}

int64_t latency_quantile(int64_t *values, size_t count, double share)
{
    qsort(values, count, sizeof *values, by_value);
    return at_share(values, count, share);
}

void latency_add(struct latency *latency, int64_t us)
{
    latency->last_us[latency->count++ % LATENCY_KEPT] = us;
    if (latency->count > COUNT_EVERY && latency->count % COUNT_EVERY != 0)
        return;
    int64_t sorted[LATENCY_KEPT];
    size_t count = latency->count < LATENCY_KEPT ? latency->count : LATENCY_KEPT;
    memcpy(sorted, latency->last_us, count * sizeof *sorted);
    latency->p50_us = latency_quantile(sorted, count, 0.5);
    latency->p95_us = at_share(sorted, count, 0.95);
    latency->p99_us = at_share(sorted, count, 0.99);
}
