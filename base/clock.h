/* The one door to time. Elapsed time is CLOCK_BOOTTIME (it counts a laptop's sleep and never jumps); the wall clock is for
 * the calendar and for what people read. Tests put a fake in place. */
#ifndef GALLOC_BASE_CLOCK_H
#define GALLOC_BASE_CLOCK_H

#include "base/util.h"

int64_t clock_mono_us(void); /* since boot; never backwards */
int64_t clock_mono_ms(void);
int64_t clock_wall_ms(void); /* since the epoch; may jump */

/* From now on both clocks give these values until clock_real(). Tests only; not while other threads run. */
void clock_fake(int64_t mono_us, int64_t wall_ms);
void clock_fake_advance_ms(int64_t ms);
void clock_real(void);

/* This boot's id (36 characters and a NUL), or "" where the system has none. Any thread. */
void clock_boot_id(char ret_id[37]);

#define CLOCK_TEXT_MAX 32
/* RFC 3339 UTC with milliseconds, "2026-11-23T08:00:00.000Z". Returns ret_text. */
const char *clock_rfc3339(int64_t wall_ms, char ret_text[CLOCK_TEXT_MAX]);

/* The first midnight in America/Los_Angeles after `wall_ms`, by the rule of the United States since 2007: daylight time from the
 * second Sunday of March 02:00 to the first Sunday of November 02:00 (15 U.S.C. 260a). Needs no zone database. */
int64_t clock_next_pacific_midnight_ms(int64_t wall_ms);

#endif
