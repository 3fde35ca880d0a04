/* See hedge.h. */
#include "core/hedge.h"

/*      constant        value    unit    meaning                                                  source: the design's section 5, "Hedge" */
#define TIMES_P95       1.5   /* times   the 95th percentile of latencies, and                    1.5 p95 */
#define TIMES_P50       2.5   /* times   the median: older calls are stragglers                   2.5 p50 */
#define SHARE           0.05  /*         of a run's assignments are asked twice, at most,         5 % of n */
#define LEAST           4     /* calls   but at least so many may be                              max(4, ...) */
#define KNOWN           8     /* answers before that no latency is known                          >= 8 successes */

int64_t hedge_wait_us(const struct latency *latency, int64_t now_us, const struct hedge_tail *tail)
{
    if (tail->oldest_sent_us < 0 || latency->count < KNOWN || tail->hedged >= max_i64(LEAST, (int64_t)(SHARE * (double)tail->assignments)))
        return -1;
    int64_t due_us = tail->oldest_sent_us + max_i64((int64_t)(TIMES_P95 * (double)latency->p95_us), (int64_t)(TIMES_P50 * (double)latency->p50_us));
    return max_i64(due_us - now_us, 0);
}
