/* What the files of this room share about outside workers. Not for other rooms.
 *
 *   outside.c          who gets which rows: asks that wait, claims on their way
 *   outside_grant.c    what of a claim goes out: candidates, agents, columns; rows that can go to nobody are settled
 *   outside_results.c  what a worker told, checked and stored
 *   outside_lease.c    leases that stand, renewed, given back, run out
 */
#ifndef GALLOC_DISPATCH_OUTSIDE_INSIDE_H
#define GALLOC_DISPATCH_OUTSIDE_INSIDE_H

#include "dispatch/outside.h"

#include "base/log.h"

#define OUTSIDE_SILENCE_MS 5000 /* no worker asks or holds a lease for so long: the run is shown as waiting for one */

struct outside {
    struct outside_ask *asks, **asks_end; /* the oldest first; each is the asker's until it is answered */
    struct loop_timer wake;               /* the next one's wait is over, or rows are due */
    struct outside_lease *leases;         /* owned; in order of their numbers */
    size_t lease_count, lease_cap;
    struct loop_timer expire;
    int64_t expire_at_mono_ms;            /* INT64_MAX: no lease stands */
    bool has_expire;                      /* an operation is with the store */
    int64_t expired_count;
    struct log_gate expired_gate;
    int64_t asked_mono_ms;                /* when a worker asked last for any run's work */
};

/* outside.c */
void outside_on_wake(void *engine);
void outside_turn(struct engine *engine); /* once a turn of the dispatcher: answers the asks that can be answered */
bool outside_is_seen(const struct engine *engine, const struct run_entry *run, int64_t now_mono_ms); /* has the run a worker, as far as one can tell? */

/* outside_grant.c: fills the ask's lists from what was claimed. How many rows go out; the others are on their way back. */
int64_t outside_grant(struct engine *engine, struct run_entry *run, struct outside_ask *ask, struct store_claim *claim);

/* outside_lease.c */
void outside_init(struct engine *engine);
void outside_clear(struct engine *engine);
void outside_load(struct engine *engine, struct store_image *image); /* takes the workers' names */
void outside_second(struct engine *engine);                          /* once a second: what ran out (a suspended machine's timers are late) or has no rows left */
void outside_lease_add(struct engine *engine, const struct outside_ask *ask, int64_t row_count);
struct outside_lease *outside_lease_find(struct engine *engine, int64_t lease);
void outside_lease_left(struct engine *engine, int64_t lease, int64_t row_count); /* 0: it is over */
void outside_give_back(struct engine *engine, int64_t lease);                     /* until the store has done it */
void outside_took_renew(struct engine *engine, struct store_op *op);
void outside_took_end(struct engine *engine, struct store_op *op);

#endif
