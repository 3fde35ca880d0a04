/* The store's clock: its high-water mark in `meta` plus CLOCK_BOOTTIME since opening. The wall clock is read once, at opening, and only when the
 * machine was booted since the mark was written; it can only move the clock forward. So a jump of the wall clock changes no lease and no wait. */
#ifndef GALLOC_STORE_SQLITE_CLOCK_H
#define GALLOC_STORE_SQLITE_CLOCK_H

#include "base/util.h"

struct store_clock {
    int64_t base_ms;         /* now at opening */
    int64_t opened_mono_us;  /* CLOCK_BOOTTIME at opening */
    int64_t last_ms;         /* the highest value given */
    char boot_id[37];
};

/* `stored_ms`, `stored_mono_ms`, `stored_boot_id`: the mark that was kept with the last commit; 0, 0, "" for a new store. */
void store_clock_open(struct store_clock *clock, int64_t stored_ms, int64_t stored_mono_ms, const char *stored_boot_id);
int64_t store_clock_now_ms(struct store_clock *clock); /* never lower than before */

#endif
