/* The first assignments of a run (--canary): they go slowly, and when they are settled it is seen whether the run is worth going on with. A wrong template, a wrong file or
 * a model that does not understand the task then costs FIRST_COUNT assignments and not all. Pure; any thread.
 *
 * Twenty: where half of all fail, fewer than six of twenty do in one case of fifty; where one in twenty fails, more than five do in one of three thousand
 * (binomial). So a quarter as the bound tells the two apart. Four at once: that takes five answers' time. */
#ifndef GALLOC_CORE_FIRST_H
#define GALLOC_CORE_FIRST_H

#include "base/util.h"

#define FIRST_COUNT 20
#define FIRST_AT_ONCE 4
#define FIRST_AUTO_ABOVE 1000 /* assignments: with `auto`, smaller runs go at full speed at once */

enum first_mode { FIRST_AUTO, FIRST_ON, FIRST_OFF };

bool first_is_wanted(enum first_mode mode, int64_t total_count);

/* How many more may be begun now, `under_way` being leased. */
int64_t first_room(int64_t settled_count, int64_t under_way_count);

/* What they came to. */
struct first_sums {
    int64_t settled_count, failed_count;
    int64_t cost_micros; /* of all calls; -1: not known */
};
enum first_verdict { FIRST_WELL, FIRST_FAILS, FIRST_COSTS };
/* `failures` is the share that may fail, 0 to 1; `cost_micros` what one may cost, 0: any. */
enum first_verdict first_judge(const struct first_sums *sums, double failures, int64_t cost_micros);

#endif
