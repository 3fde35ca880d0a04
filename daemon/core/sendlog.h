/* The sends of the last while, in order of time: a ring that grows up to a cap. What they add up to is kept by its owner (allowance.c: the configured limits;
 * window.c: what the endpoint was seen to take). Pure. */
#ifndef GALLOC_CORE_SENDLOG_H
#define GALLOC_CORE_SENDLOG_H

#include "base/util.h"

#define SENDLOG_MAX 65536 /* sends of a minute that are held to the call; of more the oldest go */

struct sendlog_entry {
    int64_t at_us;
    int64_t tokens;
    bool counts; /* the owner's: not refused, not taken back */
};

struct sendlog {
    struct sendlog_entry *entries; /* owned */
    size_t cap, first, count;
};

static inline struct sendlog_entry *sendlog_at(const struct sendlog *log, size_t i)
{
    return &log->entries[(log->first + i) & (log->cap - 1)]; /* the cap is a power of two */
}

static inline bool sendlog_is_full(const struct sendlog *log)
{
    return log->count == SENDLOG_MAX;
}

void sendlog_clear(struct sendlog *log);
/* Not when it is full: the owner takes the oldest out first, and what it added to the sums. */
void sendlog_add(struct sendlog *log, struct sendlog_entry entry);
void sendlog_remove_oldest(struct sendlog *log);
void sendlog_remove(struct sendlog *log, size_t at);
/* The first entry that was not sent before that moment; log->count when there is none. */
size_t sendlog_find(const struct sendlog *log, int64_t at_us);

#endif
