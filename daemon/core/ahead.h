/* How many assignments of a run are leased before there is a slot for them, so that the commit of a lease is hidden. Learned as a file's read-ahead is: by whether
 * slots stood empty for want of a row, and by how many rows went out between two claims. It needs neither the commit's time nor the rate, which is itself
 * held down by every slot that waits for a lease. Pure. */
#ifndef GALLOC_CORE_AHEAD_H
#define GALLOC_CORE_AHEAD_H

#include "base/util.h"

/* Of a run. Zeroed: nothing is leased ahead yet. */
struct ahead {
    int64_t count;      /* rows to have leased and unsent besides those that fill the free slots */
    int64_t sent_count; /* since the last claim came back */
    bool has_run_dry;   /* since then: a slot was free, and no row was there for it */
};

/* A claim is back. Run dry before it: twice as many from now on, at most `most_count`. Else down, by an eighth a claim, to twice what went out meanwhile. */
static inline void ahead_claimed(struct ahead *ahead, int64_t most_count)
{
    int64_t too_many = ahead->count - 2 * ahead->sent_count;
    if (ahead->has_run_dry)
        ahead->count = clamp_i64(2 * ahead->count, 1, most_count);
    else if (too_many > 0)
        ahead->count -= (too_many + 7) / 8;
    ahead->sent_count = 0;
    ahead->has_run_dry = false;
}

#endif
