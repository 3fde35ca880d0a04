/* Between the files of the pace: pace.c (the gate), canary.c (when a blocked endpoint is tried again), lesson.c (what a block taught). Not for others. */
#ifndef GALLOC_CORE_PACE_PARTS_H
#define GALLOC_CORE_PACE_PARTS_H

#include "core/pace.h"

#define PACE_WINDOW_CALLS 8.0 /* in a minute, at least, to speak of a window: the design's section 5, "Canary accepted", 5. */
#define PACE_SMALL_CALLS 75.0 /* a minute that takes fewer: each call that is refused on trial is more than 1.3 % of it */

void canary_schedule(struct pace *pace, struct pace_now now, const struct pace_refusal *refusal); /* when the next may go */
void lesson_learn(struct pace *pace, struct pace_now now); /* the canary was taken: the block is over */
/* Takes the refusal of a call that met its budget: True: it only moved the budget. */
bool lesson_moves_budget(struct pace *pace, struct pace_now now, const struct pace_refusal *refusal);
void lesson_reset_proved(struct pace *pace, struct pace_now now);
void pace_enter(struct pace *pace, enum pace_mode mode);
void pace_at_budget_rate(struct pace *pace); /* the rate that uses the budget in ten seconds */

#endif
