/* See sqlite_clock.h. */
#include "store/sqlite_clock.h"

#include "base/clock.h"
#include "base/negative.h"

#include <string.h>

void store_clock_open(struct store_clock *clock, int64_t stored_ms, int64_t stored_mono_ms, const char *stored_boot_id)
{
    *clock = (struct store_clock){.opened_mono_us = clock_mono_us()};
    clock_boot_id(clock->boot_id);
    bool is_same_boot = clock->boot_id[0] != '\0' && strcmp(clock->boot_id, stored_boot_id) == 0;
    if (is_same_boot)
        clock->base_ms = stored_ms + max_i64(clock->opened_mono_us / 1000 - stored_mono_ms, 0);
    else
        clock->base_ms = max_i64(stored_ms, clock_wall_ms());
    clock->last_ms = clock->base_ms;
}

int64_t store_clock_now_ms(struct store_clock *clock)
{
    if (BREAKS(WALL_CLOCK_LEASES))
        return clock->last_ms = clock_wall_ms();
    int64_t now_ms = clock->base_ms + (clock_mono_us() - clock->opened_mono_us) / 1000;
    clock->last_ms = max_i64(clock->last_ms, now_ms);
    return clock->last_ms;
}
