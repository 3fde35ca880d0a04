/* The store's own threads (writer, readers, backup), made to take turns with the simulation: a thread runs only while it has the baton, gives it back where it would
 * wait for mail, and gets it again at an instant of virtual time. So the real writer with its group commit runs, and the same seed gives the same order of everything.
 * This room's fake_threads.c stands in the place of daemon/loop/mailbox.c. */
#ifndef GALLOC_TESTS_SIMULATION_FAKE_THREADS_H
#define GALLOC_TESTS_SIMULATION_FAKE_THREADS_H

#include "base/util.h"

/* After store_open(): returns when every thread stands at its mailbox. The simulation's thread. */
void threads_arrive(void);
bool threads_are_idle(void); /* none has mail, or is within a turn */

#endif
