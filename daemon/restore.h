/* gallocd --restore FILE: a backup is put in place of the database while no daemon runs. Instead of a daemon's life. */
#ifndef GALLOC_DAEMON_RESTORE_H
#define GALLOC_DAEMON_RESTORE_H

#include "base/buf.h"
#include "base/code.h"

/* Takes the state directory's lock, restores, adds to `out` what was done and what to do next. Blocks for as long as all of the backup is read. Root goes on as the
 * owner of the state directory, for good. 0; -D_STORE_REFUSED: the backup is not one, or not sound; -D_HELD; -D_STORE_IO; -D_CONFIG. Nothing was touched then, but
 * for what the words say. Unless is_quiet, standard error is told that it begins. */
int restore_run(const char *file, const char *state_dir, bool is_quiet, struct buf *out, struct galloc_error *error) MUST_CHECK;

#endif
