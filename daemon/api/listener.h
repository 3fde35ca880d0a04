/* The daemon's own socket, made so that at no moment others than its group can connect. At start, before the loop runs. */
#ifndef GALLOC_API_LISTENER_H
#define GALLOC_API_LISTENER_H

#include "base/code.h"

/* Where a socket shall be, and for whom. All is borrowed. */
struct listener_place {
    const char *path;
    int64_t mode;       /* like 0660 */
    const char *group;  /* "" or NULL: the process's own */
    const char *option, *group_setting; /* what sets path and group: for messages */
};

/* Makes and listens on a Unix socket. A stale one is removed when nobody answers there.
 * 0; -D_HELD: somebody answers; -D_CONFIG: the place is unsafe or cannot be (text says why and what to do). The caller closes *ret_fd and unlinks. */
int listener_open(const struct listener_place *place, int *ret_fd, struct galloc_error *error) MUST_CHECK;

/* Is `fd` a listening stream socket (as systemd hands it over)? Makes it non-blocking and close-on-exec. */
int listener_adopt(int fd, struct galloc_error *error) MUST_CHECK;

/* Does the name that a Unix socket was bound to still lead to a socket? One kept by the manager may have lost its name. */
bool listener_is_reachable(int fd);

#endif
