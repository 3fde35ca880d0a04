/* Backups: a copy of the whole store, made while work goes on, and given away piece by piece; and putting one back, offline. What holds for every operation
 * stands at the top of store.h; these have a thread of their own.
 *
 *   BACKUP -> BACKUP_READ … -> BACKUP_END        one at a time: another BACKUP is refused with -BUSY until the end of this one
 *   BACKUP fails: it is over, nothing is left
 *
 * The copy is a file in the store's folder for as long as it is made and checked (mode 0600, what a crash leaves goes at the next start); from then on it has
 * no name, and its room is given back with BACKUP_END, or with the process. */
#ifndef GALLOC_STORE_OP_BACKUP_H
#define GALLOC_STORE_OP_BACKUP_H

#include "store/op.h"

/* -DISK_FULL: refused before it begins where the copy, and what the log grows by meanwhile, would not leave LIMIT_RESERVE_BYTES; given up where room gets short
 * on the way. -CORRUPT: what was copied is not sound. -CANCELLED: store_backup_cut(). -BUSY: another one, or the store has to be opened anew. */
struct store_backup {
    struct store_op op;
    bool is_full; /* also every page, foreign key, counter and digest of the copy is checked; else what a start looks at */
    /* out */
    int64_t ret_at_ms; /* wall: all that was committed before it is in the copy */
    int64_t ret_bytes;
    char ret_sha256[DIGEST_HEX];
};

/* The copy's bytes from `at` on, `max_bytes` at most; none at its end. The loop itself never waits for a disk. */
struct store_backup_read {
    struct store_op op;
    int64_t at, max_bytes;
    struct buf ret_bytes;
};

/* RESTORE: a backup becomes the store; no daemon runs, the caller holds the state directory's lock. The backup is copied, checked in full, brought to the present
 * schema, and begins a new incarnation of the store: numbers of leases and events go on far behind all that were ever given, attempts and leases that stood in it
 * are told as lost, every open run is paused (PAUSE_RESTORED). Then it is put in place as a whole; the former database is kept beside it.
 * A crash at any point leaves the one or the other: what was decided and not ended, the next start ends. */
struct store_restore {
    const char *path;  /* borrowed: of the database */
    const char *name;  /* borrowed: of the backup, for words and the audit */
    int fd, log_fd;    /* borrowed, open for reading: the backup, and the log that lies beside it (a cold copy has one); -1: none */
    struct store_peer peer;
    /* out */
    int64_t ret_bytes;
    char ret_sha256[DIGEST_HEX];
    int64_t ret_at_ms;          /* wall, when the backup was made */
    int64_t ret_incarnation;
    int64_t ret_run_count;      /* open ones, paused now */
    int64_t ret_call_count;     /* under way in the backup: told as lost, possibly billed */
    int64_t ret_lease_count;    /* of outside workers, likewise */
    char *ret_kept;             /* owned: where the former database is now; NULL: there was none */
};

struct store;
/* Gives up the copy under way, if there is one: its operation comes back with -CANCELLED. Loop's thread. */
void store_backup_cut(struct store *store);

/* Blocks. 0; -D_STORE_REFUSED: the backup is not sound, nothing was touched; -D_STORE_IO: neither was anything else, unless the words say so. */
int store_restore(struct store_restore *restore, struct galloc_error *error) MUST_CHECK;

#endif
