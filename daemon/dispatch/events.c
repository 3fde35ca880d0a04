/* See events.h. A ring of the newest events; what a commit brings is put in order beside it first. Readers keep the position of the next one, counted from the ring's start of time. */
#include "dispatch/events.h"

#include "base/clock.h"

#include <string.h>

struct events_reader {
    struct events_reader *next;
    struct events *events; /* borrowed */
    int64_t position;      /* of the next event to look at */
    int64_t since;         /* what is not behind it the reader has */
    int64_t run;           /* 0: all */
    bool with_assignments;
    bool is_asleep;        /* next() gave none: wake it at the next event */
    bool is_behind;        /* told reset at the next look */
    void (*wake)(void *arg);
    void *arg;
};

struct events {
    struct event *ring; /* owned */
    size_t cap;
    int64_t count;      /* ever added; the ring holds the last `cap` of them */
    int64_t last_seq;
    int64_t floor_seq;  /* what is not behind it is not known here */
    bool is_begun;      /* the floor stands */
    struct event *added; /* owned: not yet told, by their numbers */
    size_t added_count, added_cap;
    struct events_reader *readers;
};

struct events *events_new(size_t cap_count)
{
    struct events *events = xcalloc(1, sizeof *events);
    events->ring = xcalloc(cap_count, sizeof *events->ring);
    events->cap = cap_count;
    return events;
}

void events_free(struct events *events)
{
    if (events == NULL)
        return;
    for (size_t i = 0; i < events->cap; i++)
        free(events->ring[i].json);
    for (size_t i = 0; i < events->added_count; i++)
        free(events->added[i].json);
    free(events->added);
    free(events->ring);
    free(events);
}

int64_t events_last_seq(const struct events *events)
{
    return events->last_seq;
}

void events_set_seq(struct events *events, int64_t seq)
{
    events->last_seq = max_i64(events->last_seq, seq);
    if (!events->is_begun) /* what was before this life is not known here; what comes is, from the first on */
        events->floor_seq = seq;
    events->is_begun = true;
}

static void wake_readers(struct events *events)
{
    for (struct events_reader *reader = events->readers, *next; reader != NULL; reader = next) {
        next = reader->next;
        if (reader->is_asleep) {
            reader->is_asleep = false;
            reader->wake(reader->arg);
        }
    }
}

void events_add(struct events *events, enum event_kind kind, const char *type, int64_t run, const char *run_id, int64_t seq, char *json)
{
    if (events->added_count == events->added_cap) {
        events->added_cap = events->added_cap == 0 ? 64 : events->added_cap * 2;
        events->added = xreallocarray(events->added, events->added_cap, sizeof *events->added);
    }
    size_t at = events->added_count++;
    for (; at > 0 && events->added[at - 1].seq > seq; at--)
        events->added[at] = events->added[at - 1];
    struct event *event = &events->added[at];
    *event = (struct event){.seq = seq, .at_ms = clock_wall_ms(), .kind = kind, .type = type, .run = run, .json = json, .len = strlen(json)};
    if (run_id != NULL)
        memcpy(event->run_id, run_id, strnlen(run_id, RUN_ID_BYTES - 1));
}

void events_tell(struct events *events)
{
    for (size_t i = 0; i < events->added_count; i++) {
        struct event *event = &events->ring[events->count++ % (int64_t)events->cap];
        if (event->json != NULL)
            events->floor_seq = event->seq;
        free(event->json);
        *event = events->added[i];
        events->last_seq = max_i64(events->last_seq, event->seq);
    }
    bool has_told = events->added_count > 0;
    events->added_count = 0;
    if (has_told)
        wake_readers(events);
}

static int64_t oldest_position(const struct events *events)
{
    return max_i64(0, events->count - (int64_t)events->cap);
}

struct events_reader *events_reader_new(struct events *events, int64_t since, int64_t run, bool with_assignments, void (*wake)(void *arg), void *arg)
{
    struct events_reader *reader = xcalloc(1, sizeof *reader);
    *reader = (struct events_reader){.events = events, .since = since, .run = run, .with_assignments = with_assignments, .wake = wake, .arg = arg};
    reader->position = events->count;
    if (since >= 0) {
        reader->is_behind = since < events->floor_seq || since > events->last_seq;
        int64_t oldest = oldest_position(events);
        while (!reader->is_behind && reader->position > oldest && events->ring[(reader->position - 1) % (int64_t)events->cap].seq > since)
            reader->position--;
    }
    reader->next = events->readers;
    events->readers = reader;
    return reader;
}

void events_reader_free(struct events_reader *reader)
{
    if (reader == NULL)
        return;
    for (struct events_reader **at = &reader->events->readers; *at != NULL; at = &(*at)->next) {
        if (*at == reader) {
            *at = reader->next;
            break;
        }
    }
    free(reader);
}

const struct event *events_reader_next(struct events_reader *reader, bool *ret_is_reset)
{
    struct events *events = reader->events;
    *ret_is_reset = reader->is_behind || reader->position < oldest_position(events);
    if (*ret_is_reset) {
        reader->is_behind = false;
        reader->position = events->count;
        reader->since = events->last_seq; /* the number that it is told with the reset */
        return NULL;
    }
    while (reader->position < events->count) {
        const struct event *event = &events->ring[reader->position++ % (int64_t)events->cap];
        bool is_detail = event->kind == EVENT_ASSIGNMENT || event->kind == EVENT_ATTEMPT;
        if (event->seq > reader->since && (reader->run == 0 || event->run == reader->run || event->run == 0) && (!is_detail || reader->with_assignments))
            return event;
    }
    reader->is_asleep = true;
    return NULL;
}
