/* One slot of `gallocctl work`; work.c turns them all. Not for others. */
#ifndef GALLOC_CLI_WORK_SLOT_H
#define GALLOC_CLI_WORK_SLOT_H

#include "cli/child.h"
#include "cli/exchange.h"
#include "cli/work.h"
#include "cli/work_batch.h"

struct work {
    struct cli *cli;                    /* borrowed */
    const struct work_options *options; /* borrowed */
    struct work_tally *tally;           /* borrowed */
    char *run;                          /* owned; which run is asked for: once @last has given a lease, that run's id. NULL: any */
    int64_t deadline_mono_ms;           /* of --timeout; INT64_MAX: none */
    bool is_draining;                   /* nothing more is leased */
    bool is_stopping;                   /* batches in hand are given back */
    bool has_asked;                     /* the first question does not wait, so that a pause is told at once */
    bool has_told_pause;                /* people know that the run is paused */
    int status;
};

enum slot_state { SLOT_IDLE, SLOT_ASKING, SLOT_WORKING, SLOT_TELLING, SLOT_RELEASING, SLOT_OVER };

struct slot {
    struct work *work; /* borrowed */
    int number;        /* from 1 */
    enum slot_state state;
    int64_t due_mono_ms;       /* of an idle one: when it asks */
    struct exchange exchange;  /* asks, tells or releases */
    struct exchange renewal;
    struct batch batch;
    struct buf output;         /* owned; the command's, while it is told */
    struct child child;
    int64_t started_mono_ms, renew_mono_ms;
    bool is_lost, has_timed_out, is_given_up; /* why the command was stopped */
    unsigned failures;         /* of commands, in a row */
    int64_t told[WORK_VERDICT_COUNT]; /* of this batch */
};

void slot_init(struct slot *slot, struct work *work, int number);
/* Does what can be done without waiting. */
void slot_turn(struct slot *slot);
int64_t slot_due(const struct slot *slot); /* when it wants a turn although nothing moved */
/* Why the daemon does not answer it, NULL when nothing stands in the way. */
const struct galloc_error *slot_trouble(const struct slot *slot);
void slot_clear(struct slot *slot);

/* Nothing more is leased; the first status that is not 0 stands. */
void work_end(struct work *work, int status);

#endif
