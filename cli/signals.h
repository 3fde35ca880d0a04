/* Signals as a descriptor, for commands that wait for several things at once and end in an orderly way. One thread. */
#ifndef GALLOC_CLI_SIGNALS_H
#define GALLOC_CLI_SIGNALS_H

/* From now on SIGINT, SIGTERM, SIGHUP and SIGCHLD wait to be read here, and SIGPIPE is ignored. The descriptor becomes readable when one came; it is close-on-exec
 * and lives as long as the process. Never negative. */
int signals_open(void);

/* How many of SIGINT, SIGTERM and SIGHUP came since the last call; *ret_last is the last of them. */
unsigned signals_take(int fd, int *ret_last);

#endif
