/* See events.h. A binary heap. */
#include "tests/sim/events.h"

#include <stdlib.h>

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void events_add(struct events *events, struct event event)
{
    if (events->count == events->cap) {
        events->cap = events->cap ? 2 * events->cap : 256;
        events->heap = xreallocarray(events->heap, events->cap, sizeof *events->heap);
    }
    event.order = events->added++;
    size_t at = events->count++;
    for (; at > 0 && is_before(&event, &events->heap[(at - 1) / 2]); at = (at - 1) / 2)
        events->heap[at] = events->heap[(at - 1) / 2];
    events->heap[at] = event;
}

bool events_take(struct events *events, struct event *ret_event)
{
    if (events->count == 0)
        return false;
    *ret_event = events->heap[0];
    struct event last = events->heap[--events->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < events->count && is_before(&events->heap[child + 1], &events->heap[child]))
            child++;
        if (child >= events->count || !is_before(&events->heap[child], &last))
            break;
        events->heap[at] = events->heap[child];
        at = child;
    }
    events->heap[at] = last;
    return true;
}

void events_clear(struct events *events)
{
    free(events->heap);
    *events = (struct events){0};
}
