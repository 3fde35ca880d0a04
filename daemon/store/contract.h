/* The seam to a database: what the facade asks of an engine. One engine is one `struct store_ops`; tests/contract/store_suite.c is the suite that
 * each has to pass.
 *
 * Threads: open() and close() are called while no other thread of the store runs. begin() to tidy() are the writer thread's alone. A reader is
 * used by one thread at a time; readers and the writer run side by side. Engines neither log nor exit, and know nothing of lanes or of the loop.
 *
 * What every engine keeps: an operation is whole or nothing; a number of an event or a lease is never given twice, not even after a crash; commit()
 * returns 0 only when all of the group survives a power cut; `now` never goes backwards and does not follow the wall clock while open. */
#ifndef GALLOC_STORE_CONTRACT_H
#define GALLOC_STORE_CONTRACT_H

#include "store/store.h"

#include <stdatomic.h>

#define READ_BEGINNINGS_MAX 3

struct store_engine; /* an engine's own */
struct store_reader; /* an engine's own */

struct store_sizes {
    int64_t db_bytes, wal_bytes, free_bytes; /* the file, its log, and what the file system has left for us */
    int64_t reserve_bytes;                   /* of free_bytes: what the results that are owed may take, and the work of storing them */
};

enum store_tidy {
    TIDY_BETWEEN, /* two transactions: when the log is worth it */
    TIDY_IDLE,    /* nothing waits: a little is worth it */
    TIDY_EMPTY    /* no reader of ours is in the store: the log is emptied whole and its room given back, or left as it is when another process reads */
};

/* How a fault of the store is told, always negative: the transaction is over, and (but for a failed commit) nothing of it happened.
 *   -GALLOC_DISK_FULL          no space; it will work again
 *   -GALLOC_STORE_UNAVAILABLE  something else; may work again
 *   -GALLOC_D_STORE_IO         the medium failed (EIO); the process has to end */
struct store_ops {
    const char *name;

    /* Opens or makes the store, recovers what former lives left, fills *ret_image. `path` is borrowed for the engine's life.
     * 0, -GALLOC_D_STORE_REFUSED (touching no byte) or -GALLOC_D_STORE_IO, with path, cause, next step. */
    int (*open)(const char *path, struct store_engine **ret_engine, struct store_image *ret_image, struct galloc_error *error);
    void (*close)(struct store_engine *engine);

    /* Sweeps that a former life began: their ids, oldest first. The caller frees the array. 0 or a fault. */
    int (*open_sweeps)(struct store_engine *engine, int64_t **ret_ids, size_t *ret_count, struct galloc_error *error);

    /* A transaction. Its stepwise operations stop when clock_mono_us() has passed `deadline_mono_us`. 0 or a fault. */
    int (*begin)(struct store_engine *engine, int64_t deadline_mono_us, struct galloc_error *error);

    /* Does one operation, or its next step (*ret_has_more: call again with it in a later transaction). op->code 0: done; negative: refused, nothing of
     * this step happened, op->error is filled. Returns 0 or a fault; after a fault the operation may be applied anew in a later transaction. */
    int (*apply)(struct store_engine *engine, struct store_op *op, bool *ret_has_more, struct galloc_error *error);

    /* 0: durable, and *ret_commit tells what changed (borrowed until the next begin). Else a fault, and whether the group stands is unknown:
     * reopen() has to tell. The engine never tries a second commit or sync on a handle whose commit failed. */
    int (*commit)(struct store_engine *engine, struct store_commit *ret_commit, struct galloc_error *error);

    /* Ends the transaction: nothing of it happened. Never fails; when it cannot be known, the next begin() gives a fault. */
    void (*rollback)(struct store_engine *engine);

    /* After a fault: opens the store anew. *ret_landed: does the last group stand, durably? Then *ret_commit is as after commit(). 0 or a fault:
     * then still unknown, to be called again. */
    int (*reopen)(struct store_engine *engine, bool *ret_landed, struct store_commit *ret_commit, struct galloc_error *error);

    /* Housekeeping outside a transaction, after the answers went out: checkpoints. *ret_log_bytes: what the log still holds. 0 or a fault. */
    int (*tidy)(struct store_engine *engine, enum store_tidy how, int64_t *ret_log_bytes, struct galloc_error *error);

    void (*sizes)(struct store_engine *engine, struct store_sizes *ret_sizes); /* the writer's thread */

    /* Readers. read() and check() fill op.code and what they return; they never fault. interrupt() ends what a reader does, for good; any thread.
     * A read takes about 50 ms; true: it needs more turns, call again with the same operation (others may go first).
     * While *ends_reads (borrowed) is true the log has to be emptied: what is under way ends at once. A read wants to begin anew, READ_BEGINNINGS_MAX times in
     * all, then it is refused with -BUSY, as a check is. */
    int (*reader_open)(const char *path, const atomic_bool *ends_reads, struct store_reader **ret_reader, struct galloc_error *error);
    bool (*read)(struct store_reader *reader, struct store_read *read);
    void (*check)(struct store_reader *reader, struct store_doctor *doctor);
    void (*interrupt)(struct store_reader *reader);
    void (*reader_close)(struct store_reader *reader);

    /* Backups; a thread of their own, beside the writer and the readers. copy() makes the file `to` (mode 0600, synced): the store as it stood at one instant, all
     * that was committed before *ret_at_ms (wall) in it. It may hold the log for as long as it takes, and looks that the file system keeps room for results.
     * copy_check() looks at such a file as a start would, and with `is_full` at all of it. Both give up soon when *ends becomes true, with any failure.
     * 0 or negative: -DISK_FULL, -CORRUPT or -D_STORE_REFUSED (not sound), -D_STORE_IO, -STORE_UNAVAILABLE; then copy() leaves no file. */
    int (*copy)(const char *path, const char *to, const atomic_bool *ends, int64_t *ret_at_ms, struct galloc_error *error);
    int (*copy_check)(const char *copy, bool is_full, const atomic_bool *ends, struct galloc_error *error);

    /* Puts a copy in place of the store, which is closed; see store_restore() in op_backup.h. */
    int (*restore)(struct store_restore *restore, struct galloc_error *error);
};

extern const struct store_ops sqlite_ops;

#endif
