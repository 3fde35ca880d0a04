/* What the pacer is tried on: a table of servers with their work and their bars. P1 to P18 are the contract (docs/pacing.md), the models beside them are many other
 * endpoints, the plain ones and the unlisted ones hold what was promised beyond the list. */
#ifndef GALLOC_TESTS_SIM_SCENARIOS_H
#define GALLOC_TESTS_SIM_SCENARIOS_H

#include "tests/sim/server.h"

/* What is held beside the ratio and the refusals. */
enum check {
    CHECK_NOTHING,
    CHECK_RISE,       /* P10: the first whole minute at 95 % of the raised quota begins at most 120 s after the rise */
    CHECK_RESUME,     /* P11: the first call let in is at most 17 s after the outage's end */
    CHECK_HEDGE,      /* P14: against the same policy without stragglers' doubles: at most 0.75 of its time, at most 20 doubles */
    CHECK_SPEEDUP,    /* P17: at most 11 s (median), and 7 times faster than the seed's loop */
    CHECK_FLOW        /* P18: after the restart, in no 60 s more sends than the quota and 3 % */
};

struct bar {
    double ratio;        /* at least; 0: none */
    bool is_median;      /* of the seeds; else the worst of them */
    int64_t refused;     /* at most, in any seed; -1: none */
    double wasted_share; /* at most, median; 0: none */
    bool charges_nothing;
    enum check check;
};

struct scenario {
    const char *name;
    const char *text;
    struct server_plan server;
    int64_t items;
    enum server_hints hints;
    double phase_s; /* into the minute; negative: by the seed */
    double kill_share;
    bool is_warm;
    struct bar bar;
    bool is_met; /* today: then it is held in every check (tests/sim/pacing --short) */
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

#endif
