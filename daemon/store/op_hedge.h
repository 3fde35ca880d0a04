/* A second attempt beside the first. What holds for every operation stands at the top of store.h. */
#ifndef GALLOC_STORE_OP_HEDGE_H
#define GALLOC_STORE_OP_HEDGE_H

#include "store/op.h"

/* HEDGE: one more attempt at a row that is leased, with a call of its own, beside the one under way and under the same lease: whichever is settled first moves the
 * row, and the other ends by MOVE_STAY. */
struct store_hedge {
    struct store_op op;
    int64_t run, assignment, lease; /* fence, as of a settle */
    char *endpoint;                 /* owned */
    int64_t ret_call;               /* 0: the fence did not hold, nothing was made */
    int32_t ret_n;
};

#endif
