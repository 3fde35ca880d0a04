/* What is to happen, in order of time; what falls on the same moment, in the order it was added. One thread. */
#ifndef GALLOC_TESTS_SIM_EVENTS_H
#define GALLOC_TESTS_SIM_EVENTS_H

#include "base/util.h"

struct event {
    int64_t at_us;
    uint64_t order; /* set by events_add() */
    int kind;       /* the caller's */
    int status;
    void *of;       /* the caller's */
};

struct events {
    struct event *heap; /* owned */
    size_t count, cap;
    uint64_t added;
};

void events_add(struct events *events, struct event event);
bool events_take(struct events *events, struct event *ret_event); /* the first; false: none is left */
void events_clear(struct events *events);

#endif
