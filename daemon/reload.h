/* What a reload changed: the settings before and after as texts, compared by name. Pure. */
#ifndef GALLOC_DAEMON_RELOAD_H
#define GALLOC_DAEMON_RELOAD_H

#include "config/config.h"

#include "base/buf.h"

struct settings_seen; /* the settings of a configuration, as "name" and "value" */

struct settings_seen *settings_look(const struct config *config);
/* Adds one that stands in no configuration: `name` and `value` are copied. */
void settings_see(struct settings_seen *seen, const char *name, const char *value);
void settings_seen_free(struct settings_seen *seen);

/* Adds the names of what differs as JSON strings with commas between: to `changed` what is in force now, to `needs_restart` what waits for one. */
void settings_compare(const struct settings_seen *before, const struct settings_seen *after, struct buf *changed, struct buf *needs_restart);

#endif
