/* What becomes of an attempt whose call has ended. Not for other rooms. */
#ifndef GALLOC_DISPATCH_DECIDE_H
#define GALLOC_DISPATCH_DECIDE_H

#include "dispatch/judge.h"

struct decision {
    struct attempt *attempt;    /* borrowed */
    struct settle_item item;    /* as it will be settled; what it owns goes with it */
    bool is_whole;              /* the outcome is that of the call as a whole, which says nothing of this assignment more than of the others */
    struct judged said;         /* what the model said, as far as it stands; owned */
};

/* Turns the outcome in `item` into the row's move, by what it spends (core/retry.h). */
void decide(struct decision *decision, const struct provider_verdict *verdict);

#endif
