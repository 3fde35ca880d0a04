/* How long answers take: the last 256 of them, and their quantiles, counted anew every 16 answers. Pure. */
#ifndef GALLOC_CORE_LATENCY_H
#define GALLOC_CORE_LATENCY_H

#include "base/util.h"

#define LATENCY_KEPT 256

struct latency {
    int64_t last_us[LATENCY_KEPT]; /* a ring */
    size_t count;                  /* ever */
    int64_t p50_us, p95_us, p99_us; /* 0: nothing was answered yet */
};

void latency_add(struct latency *latency, int64_t us);
/* Sorts values and returns the one at that share of them; at least one. */
int64_t latency_quantile(int64_t *values, size_t count, double share);

#endif
