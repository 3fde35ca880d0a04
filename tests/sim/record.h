/* What a run's calls were and came to: for the checks of the flow, for the time line, and for the pacer of a next life. One thread. */
#ifndef GALLOC_TESTS_SIM_RECORD_H
#define GALLOC_TESTS_SIM_RECORD_H

#include "base/util.h"

struct record_send {
    int64_t at_us, tokens; /* -1: not told */
    int status;            /* 0: not answered */
};

struct record_times {
    int64_t *at_us; /* owned */
    size_t count, cap;
};

struct record {
    struct record_send *sends; /* owned; in order of time */
    size_t send_count, send_cap;
    struct record_times accepted, rejected; /* arrivals of assignments that were let in; of any that were refused */
};

void record_clear(struct record *record);
void record_time(struct record_times *times, int64_t at_us); /* not before the last */
void record_sent(struct record *record, int64_t at_us);      /* not before the last */
void record_answered(struct record *record, int64_t sent_us, int status, int64_t tokens);

#endif
