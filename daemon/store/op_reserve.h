/* Money that is spoken for before a call is sent. What holds for every operation stands at the top of store.h. */
#ifndef GALLOC_STORE_OP_RESERVE_H
#define GALLOC_STORE_OP_RESERVE_H

#include "store/op.h"

/* RESERVE: what calls may cost at most, one item a call. It stands until the call ends (store_settle, store_call_end), and for good where that end is not known: so it
 * is found again after a crash, in COUNT_COST_RESERVED of the run. A call that has ended meanwhile is passed over. */
struct reserve_item {
    int64_t run, call;
    int64_t micros; /* more than 0; in place of what was reserved for it before */
};
struct store_reserve {
    struct store_op op;
    struct reserve_item *items; /* owned */
    size_t count;
};

#endif
