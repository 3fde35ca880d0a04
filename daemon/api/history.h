/* What earlier runs that asked alike came to: what an estimate is best made of. Loop's thread. */
#ifndef GALLOC_API_HISTORY_H
#define GALLOC_API_HISTORY_H

#include "dispatch/engine.h"

struct history {
    int64_t run_count, call_count; /* 0: there is none */
    bool is_of_pool;               /* of the same pool; else of runs with agents of their own */
    double tokens_in, tokens_cached, tokens_out; /* a call; out includes thinking */
    double calls_per_assignment;   /* re-asks and retries included */
    double latency_s;              /* a call that was answered; 0: not known */
};

/* Of the latest runs in memory on the plan's endpoint that made their prompts alike (plan_likeness()), of the standing pool, or (NULL) with agents of their own. */
void history_find(const struct registry *registry, const struct plan *plan, const struct pool_entry *pool, struct history *ret_history);
void history_add_text(struct buf *out, const struct history *history); /* "3 earlier runs of this pool and template (1,234 calls)" */

#endif
