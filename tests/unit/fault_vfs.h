/* A SQLite VFS over the system's that fails on purpose, for tests: the how-manieth write or sync of a file fails, once or from then on, with an errno
 * of choice; or syncs wait at a gate. Settings may be changed at any time, from any thread. */
#ifndef GALLOC_TESTS_FAULT_VFS_H
#define GALLOC_TESTS_FAULT_VFS_H

#include <stdbool.h>

enum fault_call { FAULT_WRITE, FAULT_SYNC, FAULT_TRUNCATE, FAULT_CALL_COUNT };

void fault_vfs_register(void); /* as the default of this process; before any store is opened */

/* The `nth` (from 1) call of this kind from now on, on files whose name ends in `suffix`, fails with SQLITE_IOERR_… (ENOSPC on a write: SQLITE_FULL). */
void fault_vfs_arm(enum fault_call call, const char *suffix, int nth, bool is_sticky, int error_number);
/* Syncs that do not fail are not done: for tests in which no machine loses its power. Before any store is opened. */
void fault_vfs_spare_disk(void);
void fault_vfs_clear(void);
int fault_vfs_failures(void); /* since arming */

/* From now on syncs of files whose name ends in `suffix` wait until the gate is opened. */
void fault_vfs_gate_close(const char *suffix);
void fault_vfs_gate_open(void);
bool fault_vfs_gate_wait(int deadline_ms); /* until somebody stands at the gate */

#endif
