/* Ctrl-C for commands that only watch: the first one is noted, so that the command can say that the run goes on; a second ends at once. */
#ifndef GALLOC_CLI_INTERRUPT_H
#define GALLOC_CLI_INTERRUPT_H

#include <stdbool.h>

void interrupt_catch(void);   /* from now on SIGINT and SIGTERM are noted */
bool interrupt_pending(void); /* one came */
const char *interrupt_name(void); /* which, as people call it: "Ctrl-C", "SIGTERM" */
void interrupt_note(int signal_number); /* this one came, in another way than by interrupt_catch() */
void interrupt_die(void);     /* ends the process by the signal that came, so that a shell sees it; returns when none came */

#endif
