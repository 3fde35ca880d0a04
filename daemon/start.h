/* What is done before the daemon opens anything: rights given up, limits set, the state directory made, checked and locked. Once, before other threads. */
#ifndef GALLOC_DAEMON_START_H
#define GALLOC_DAEMON_START_H

#include "base/code.h"

/* umask, no core dumps, not traceable, descriptors up to the hard limit, SIGPIPE ignored, the allocator's arenas bounded. */
void start_harden(void);

/* Makes the folder (0700) where it is missing, checks owner and mode, and locks it for as long as the process lives. 0; -D_CONFIG: unsafe or impossible, with what
 * to do; -D_HELD: another daemon has it, with its process and socket. *ret_fd stays open. `socket_path` is written into the lock for the next one's message. */
int start_lock_state(const char *state_dir, const char *socket_path, int *ret_fd, struct galloc_error *error) MUST_CHECK;

/* Run by root on the state directory of another user (the service's): goes on as that user for good, so that what is made is his. Nothing where the folder is not
 * there yet. 0 or -D_CONFIG. */
int start_become_owner(const char *state_dir, struct galloc_error *error) MUST_CHECK;

/* Makes the socket's folder where it is missing: the user's alone, or with `group` open to that group. `option` sets its path: for messages. */
int start_make_socket_folder(const char *socket_path, const char *group, const char *option, struct galloc_error *error) MUST_CHECK;

#endif
