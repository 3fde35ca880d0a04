/* The thread that makes copies of the store, and reads them for whoever they are for. See op_backup.h. */
#ifndef GALLOC_STORE_BACKUP_H
#define GALLOC_STORE_BACKUP_H

#include "store/contract.h"
#include "store/gate.h"

struct backup;

/* Starts the thread; removes what a crash left of a copy. `path` and `gate` are borrowed. `on_answer` is called on that thread. */
struct backup *backup_new(const struct store_ops *ops, const char *path, struct gate *gate, void (*on_answer)(struct store_op *op, void *arg), void *arg);
bool backup_put(struct backup *backup, struct store_op *op) MUST_CHECK; /* false: another copy is under way, or it is closed. Loop's thread, as the next */
void backup_cut(struct backup *backup);
void backup_free(struct backup *backup); /* the copy under way is given up; what waits is answered */

#endif
