/* States of assignments and runs, and who may move them. Every change of a state in the store asks this table. Pure; any thread.
 *
 *   assignment:  pending -> leased -> succeeded | failed | pending;  pending, leased -> cancelled
 *                by a person: failed, cancelled -> pending (retry); succeeded -> pending (redo) | cancelled (unassign, discard);
 *                             pending, leased, succeeded, failed, cancelled -> succeeded (assign)
 *   run:         importing -> running -> done | cancelled;  importing -> cancelled;  done -> running (retry, redo, append);  cancelled -> running (retry, redo)
 */
#ifndef GALLOC_CORE_STATE_H
#define GALLOC_CORE_STATE_H

#include "base/util.h"

enum assignment_state {
    ASSIGNMENT_PENDING,
    ASSIGNMENT_LEASED,
    ASSIGNMENT_SUCCEEDED,
    ASSIGNMENT_FAILED,
    ASSIGNMENT_CANCELLED,
    ASSIGNMENT_STATE_COUNT
};

enum run_state { RUN_IMPORTING, RUN_RUNNING, RUN_DONE, RUN_CANCELLED, RUN_STATE_COUNT };

/* Why a pending row is not to be leased although nothing is wrong with its time. */
enum assignment_hold { HOLD_NONE, HOLD_TRANSIENT, HOLD_REJECTED };

/* Causes of a pause that are stored in a run; a bit each. They are independent. Shown in this order. */
enum pause_cause { PAUSE_OPERATOR, PAUSE_BUDGET, PAUSE_FAILURE_RATIO, PAUSE_REJECTED, PAUSE_FIRST, PAUSE_RESTORED, PAUSE_CAUSE_COUNT };
#define PAUSE_BIT(cause) (1u << (cause))

const char *assignment_state_name(enum assignment_state state);
int assignment_state_by_name(const char *name); /* -1 when unknown */
const char *run_state_name(enum run_state state);
const char *pause_cause_name(enum pause_cause cause);

/* May an assignment (a run) go from one state to the other? `by_person` opens the ways that only an operator may take. */
bool assignment_may_move(enum assignment_state from, enum assignment_state to, bool by_person);
bool run_may_move(enum run_state from, enum run_state to, bool by_person);

#endif
