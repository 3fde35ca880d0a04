/* The five built-in profiles: one row each. Their numbers come from the system that galloc replaces. Pure; any thread.
 */
#include "core/plan.h"

#include <string.h>

static char name_adaptive[] = "adaptive", name_conservative[] = "conservative", name_balanced[] = "balanced",
            name_aggressive[] = "aggressive", name_sequential[] = "sequential";
static char text_adaptive[] = "continuous: a free slot takes the next assignment; rate and concurrency are learned";
static char text_conservative[] = "batches of 3, a second between them";
static char text_balanced[] = "batches of 5, half a second between them";
static char text_aggressive[] = "batches of 10, a fifth of a second between them, 2 retries";
static char text_sequential[] =
    "one at a time in the order of the input; each prompt sees the loads left by the one before";

/* The first row is the default. */
static const struct profile defaults[] = {
    {name_adaptive, MODE_CONTINUOUS, 0, 0, 3, 8000, text_adaptive},
    {name_conservative, MODE_BATCH, 3, 1000, 3, 8000, text_conservative},
    {name_balanced, MODE_BATCH, 5, 500, 3, 8000, text_balanced},
    {name_aggressive, MODE_BATCH, 10, 200, 2, 8000, text_aggressive},
    {name_sequential, MODE_SEQUENTIAL, 1, 0, 3, 8000, text_sequential},
};

static const char *const mode_names[] = {
    [MODE_CONTINUOUS] = "continuous", [MODE_BATCH] = "batch", [MODE_SEQUENTIAL] = "sequential"};

const struct profile *profile_defaults(size_t *ret_count)
{
    *ret_count = ARRAY_COUNT(defaults);
    return defaults;
}

const char *profile_mode_name(enum profile_mode mode)
{
    return mode_names[mode];
}

int profile_mode_by_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(mode_names); i++)
        if (strcmp(mode_names[i], name) == 0)
            return (int)i;
    return -1;
}
