/* For how long an endpoint's next call was held back, by what held it: the figures behind "what would make it faster". Pure: time goes in. */
#ifndef GALLOC_CORE_WAITS_H
#define GALLOC_CORE_WAITS_H

#include "core/pacer.h"

/* Zeroed: nothing was held back yet. */
struct waits {
    int64_t us[PACER_WAIT_COUNT];
    enum pacer_wait kind; /* what holds the next call back now; PACER_GO: nothing, or there is none */
    int64_t since_us;     /* mono */
};

/* In all, what goes on now included. */
static inline int64_t waits_us(const struct waits *waits, enum pacer_wait kind, int64_t now_us)
{
    return waits->us[kind] + (kind == waits->kind ? max_i64(now_us - waits->since_us, 0) : 0);
}

static inline void waits_note(struct waits *waits, enum pacer_wait kind, int64_t now_us)
{
    waits->us[waits->kind] = waits_us(waits, waits->kind, now_us);
    waits->kind = kind;
    waits->since_us = now_us;
}

#endif
