/* The daemon's own socket, made so that at no moment others than its group can connect. At start, before the loop runs. */
#ifndef GALLOC_API_LISTENER_H
#define GALLOC_API_LISTENER_H

#include "base/code.h"

/* Makes and listens on a Unix socket of `mode` (like 0660) at `path`; `group` "" or NULL: the process's own. A stale socket is removed when nobody answers there.
 * 0; -D_HELD: somebody answers; -D_CONFIG: the place is unsafe or cannot be (text says why and what to do). The caller closes *ret_fd and unlinks. */
int listener_open(const char *path, int64_t mode, const char *group, int *ret_fd, struct galloc_error *error) MUST_CHECK;

/* Is `fd` a listening stream socket (as systemd hands it over)? Makes it non-blocking and close-on-exec. */
int listener_adopt(int fd, struct galloc_error *error) MUST_CHECK;

/* Does the name that a Unix socket was bound to still lead to a socket? One kept by the manager may have lost its name. */
bool listener_is_reachable(int fd);

#endif
