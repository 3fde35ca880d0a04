/* The event ring: what happened, numbered by the store's transactions; readers follow it, and one that fell behind is told `reset`. Loop's thread. */
#ifndef GALLOC_DISPATCH_EVENTS_H
#define GALLOC_DISPATCH_EVENTS_H

#include "base/buf.h"
#include "base/random.h"

struct events;
struct events_reader;

enum event_kind { EVENT_RUN /* created, started, paused, resumed, done, cancelled */, EVENT_ASSIGNMENT /* a row's state */, EVENT_ATTEMPT, EVENT_ENDPOINT };

struct event {
    int64_t seq, at_ms;        /* wall */
    enum event_kind kind;
    const char *type;          /* static: "run_started", …; a server adds the run's snapshot to an EVENT_RUN */
    int64_t run;               /* 0: of no run */
    char run_id[RUN_ID_BYTES]; /* "" */
    char *json;                /* owned by the ring: the event's whole JSON object, without a newline */
    size_t len;
};

struct events *events_new(size_t cap_count);
void events_free(struct events *events);
/* Adds one; takes json over. It waits for events_tell(), which comes when all of a commit's are there: an operation is answered before or after others whose
 * numbers are lower, and what readers get only rises. */
void events_add(struct events *events, enum event_kind kind, const char *type, int64_t run, const char *run_id, int64_t seq, char *json);
void events_tell(struct events *events);
int64_t events_last_seq(const struct events *events);
void events_set_seq(struct events *events, int64_t seq); /* at start: what was before is gone */

/* A reader gets events of `run` (0: all) behind `since` (-1: from now on). `wake` is called once when there is something new after next() gave none. */
struct events_reader *events_reader_new(struct events *events, int64_t since, int64_t run, bool with_assignments, void (*wake)(void *arg), void *arg);
void events_reader_free(struct events_reader *reader);
/* The next event, borrowed until the next call; NULL: none now. *ret_is_reset: what was asked for is no longer in the ring; the reader goes on from the newest. */
const struct event *events_reader_next(struct events_reader *reader, bool *ret_is_reset);

#endif
