/* A scenario for its real form: the settings of a gallocsim that is that server, what changes while it runs, and the bar. One thread. */
#ifndef GALLOC_TESTS_SIM_EXPORT_H
#define GALLOC_TESTS_SIM_EXPORT_H

#include "base/buf.h"
#include "tests/sim/scenarios.h"

/* One JSON object, without its end of line. Of `settings` and `changes` every time is `scale` of the scenario's (gallocsim's own time_scale does it for windows and
 * hints), all else is as the scenario has it; oracle_s is by `seed`. */
void export_scenario(const struct scenario *scenario, double scale, uint64_t seed, struct buf *out);

#endif
