/* See sendlog.h. */
#include "core/sendlog.h"

#include <stdlib.h>

enum { FIRST_CAP = 256 }; /* 6 KiB: what a small quota needs */

void sendlog_clear(struct sendlog *log)
{
    free(log->entries);
    *log = (struct sendlog){0};
}

static void grow(struct sendlog *log)
{
    size_t cap = log->cap ? 2 * log->cap : FIRST_CAP;
    struct sendlog_entry *entries = xreallocarray(NULL, cap, sizeof *entries);
    for (size_t i = 0; i < log->count; i++)
        entries[i] = *sendlog_at(log, i);
    free(log->entries);
    log->entries = entries;
    log->first = 0;
    log->cap = cap;
}

void sendlog_add(struct sendlog *log, struct sendlog_entry entry)
{
    if (log->count == log->cap)
        grow(log);
    log->count++;
    *sendlog_at(log, log->count - 1) = entry;
}

void sendlog_remove_oldest(struct sendlog *log)
{
    log->first = (log->first + 1) & (log->cap - 1);
    log->count--;
}

void sendlog_remove(struct sendlog *log, size_t at)
{
    for (log->count--; at < log->count; at++)
        *sendlog_at(log, at) = *sendlog_at(log, at + 1);
}

size_t sendlog_find(const struct sendlog *log, int64_t at_us)
{
    size_t low = 0, high = log->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (sendlog_at(log, mid)->at_us < at_us)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}
