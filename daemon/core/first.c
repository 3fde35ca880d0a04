/* See first.h. */
#include "core/first.h"

bool first_is_wanted(enum first_mode mode, int64_t total_count)
{
    return mode == FIRST_ON || (mode == FIRST_AUTO && total_count > FIRST_AUTO_ABOVE);
}

int64_t first_room(int64_t settled_count, int64_t under_way_count)
{
    return max_i64(min_i64(FIRST_AT_ONCE, FIRST_COUNT - settled_count) - under_way_count, 0);
}

enum first_verdict first_judge(const struct first_sums *sums, double failures, int64_t cost_micros)
{
    if ((double)sums->failed_count > failures * (double)sums->settled_count)
        return FIRST_FAILS;
    if (cost_micros > 0 && sums->cost_micros > cost_micros * sums->settled_count)
        return FIRST_COSTS;
    return FIRST_WELL;
}
