/* See record.h. */
#include "tests/sim/record.h"

#include <stdlib.h>

void record_clear(struct record *record)
{
    free(record->sends);
    free(record->accepted.at_us);
    free(record->rejected.at_us);
    *record = (struct record){0};
}

void record_time(struct record_times *times, int64_t at_us)
{
    if (times->count == times->cap) {
        times->cap = times->cap ? 2 * times->cap : 1024;
        times->at_us = xreallocarray(times->at_us, times->cap, sizeof *times->at_us);
    }
    times->at_us[times->count++] = at_us;
}

void record_sent(struct record *record, int64_t at_us)
{
    if (record->send_count == record->send_cap) {
        record->send_cap = record->send_cap ? 2 * record->send_cap : 1024;
        record->sends = xreallocarray(record->sends, record->send_cap, sizeof *record->sends);
    }
    record->sends[record->send_count++] = (struct record_send){.at_us = at_us, .tokens = -1};
}

void record_answered(struct record *record, int64_t sent_us, int status, int64_t tokens)
{
    size_t low = 0, high = record->send_count;
    while (low < high) { /* the first of that moment */
        size_t mid = (low + high) / 2;
        if (record->sends[mid].at_us < sent_us)
            low = mid + 1;
        else
            high = mid;
    }
    while (low < record->send_count && record->sends[low].status != 0)
        low++;
    if (low == record->send_count || record->sends[low].at_us != sent_us)
        return;
    record->sends[low].status = status;
    record->sends[low].tokens = tokens;
}
