/* What the service manager is told, and the sockets it hands over. Without libsystemd, or when nobody started us so, all of this does nothing. Loop's thread. */
#ifndef GALLOC_DAEMON_NOTIFY_H
#define GALLOC_DAEMON_NOTIFY_H

#include "base/util.h"

/* The listening socket handed over under the name (`or_unnamed`: or the only one, without a name); -1: none. Once, at start. */
int notify_take_socket(const char *name, bool or_unnamed);
/* Leaves a listening socket with the manager, so that neither a crash nor a restart loses it. True: the manager has it now. */
bool notify_keep_socket(int fd, const char *name);

void notify_status(const char *text);
void notify_ready(const char *text);
void notify_reloading(void);
void notify_stopping(const char *text);
void notify_alive(void);

/* How often the manager wants a sign of life, in ms; 0: never. */
int64_t notify_watchdog_ms(void);

#endif
