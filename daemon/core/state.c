/* See state.h: the drawing there is this table. */
#include "core/state.h"

#include <string.h>

static const char *const assignment_names[ASSIGNMENT_STATE_COUNT] = {"pending", "leased", "succeeded", "failed", "cancelled"};
static const char *const run_names[RUN_STATE_COUNT] = {"importing", "running", "done", "cancelled"};
static const char *const pause_names[PAUSE_CAUSE_COUNT] = {"operator", "budget", "failure_ratio", "rejected", "first", "restored"};

enum mover { NOBODY, DAEMON, PERSON };

static const enum mover assignment_moves[ASSIGNMENT_STATE_COUNT][ASSIGNMENT_STATE_COUNT] = {
    [ASSIGNMENT_PENDING] = {[ASSIGNMENT_LEASED] = DAEMON, [ASSIGNMENT_SUCCEEDED] = PERSON, [ASSIGNMENT_FAILED] = DAEMON, [ASSIGNMENT_CANCELLED] = PERSON},
    [ASSIGNMENT_LEASED] = {[ASSIGNMENT_PENDING] = DAEMON,
                           [ASSIGNMENT_LEASED] = DAEMON, /* a re-ask, under a new lease number */
                           [ASSIGNMENT_SUCCEEDED] = DAEMON,
                           [ASSIGNMENT_FAILED] = DAEMON,
                           [ASSIGNMENT_CANCELLED] = PERSON},
    [ASSIGNMENT_SUCCEEDED] = {[ASSIGNMENT_PENDING] = PERSON, [ASSIGNMENT_SUCCEEDED] = PERSON, [ASSIGNMENT_CANCELLED] = PERSON},
    [ASSIGNMENT_FAILED] = {[ASSIGNMENT_PENDING] = PERSON, [ASSIGNMENT_SUCCEEDED] = PERSON},
    [ASSIGNMENT_CANCELLED] = {[ASSIGNMENT_PENDING] = PERSON, [ASSIGNMENT_SUCCEEDED] = PERSON},
};

static const enum mover run_moves[RUN_STATE_COUNT][RUN_STATE_COUNT] = {
    [RUN_IMPORTING] = {[RUN_RUNNING] = DAEMON, [RUN_CANCELLED] = DAEMON},
    [RUN_RUNNING] = {[RUN_DONE] = DAEMON, [RUN_CANCELLED] = PERSON},
    [RUN_DONE] = {[RUN_RUNNING] = PERSON},
    [RUN_CANCELLED] = {[RUN_RUNNING] = PERSON},
};

static int index_of(const char *name, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

const char *assignment_state_name(enum assignment_state state)
{
    return assignment_names[state];
}

int assignment_state_by_name(const char *name)
{
    return index_of(name, assignment_names, ASSIGNMENT_STATE_COUNT);
}

const char *run_state_name(enum run_state state)
{
    return run_names[state];
}

const char *pause_cause_name(enum pause_cause cause)
{
    return pause_names[cause];
}

bool assignment_may_move(enum assignment_state from, enum assignment_state to, bool by_person)
{
    enum mover mover = assignment_moves[from][to];
    return mover == DAEMON || (mover == PERSON && by_person);
}

bool run_may_move(enum run_state from, enum run_state to, bool by_person)
{
    enum mover mover = run_moves[from][to];
    return mover == DAEMON || (mover == PERSON && by_person);
}
