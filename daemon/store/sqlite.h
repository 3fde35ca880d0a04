/* The SQLite engine inside: one writable connection that does every commit and every checkpoint (3.7.0 to 3.51.2 may corrupt a database when two
 * connections do so at one instant), its statements, and the books of the transaction that is open. The writer's thread.
 *
 * Rule for errors in all sqlite_*.c: a function returns 0 (find and next: 1 a row, 0 none) or a negative code. When SQLite failed, store->fault holds
 * that code and the words, and everybody just returns; a negative code without a fault is a refusal of this operation, made by sqlite_refuse(). */
#ifndef GALLOC_STORE_SQLITE_H
#define GALLOC_STORE_SQLITE_H

#include "base/clock.h"
#include "core/limits.h"
#include "store/contract.h"
#include "store/sqlite_books.h"
#include "store/sqlite_clock.h"
#include "store/sqlite_stmt.h"

#include <sqlite3.h>

struct sqlite_store {
    sqlite3 *db;
    const char *path; /* borrowed */
    sqlite3_stmt *statements[SQLITE_STATEMENT_COUNT]; /* prepared at first use */
    struct store_clock clock;
    int64_t now_ms;   /* of the store's clock; of the operation that is being done */
    int64_t wall_ms;  /* for what people read; likewise */
    int64_t node;     /* this life's row */
    int64_t deadline_mono_us; /* of the transaction: steps stop here */
    int64_t seq, lease, batch; /* the last ones given */
    int64_t owed_count;        /* rows that are leased, as of the last commit: a result is to come of each */
    struct books books;
    int fault;                 /* negative: SQLite failed; nothing more is done in this transaction */
    struct galloc_error fault_error;
    bool is_corrupt;           /* SQLite met what it cannot make sense of: no medium that failed, and no reason to try again */
    bool is_broken;            /* a commit failed: only reopen() helps */
    const char *lost_text;     /* static: why attempts of former lives ended without an answer */
    bool needs_recovery;       /* the first transaction that commits puts in order what former lives left */
    int64_t recovery_batch;    /* the transaction that did so */
    struct store_image *image; /* borrowed while opening: told what was recovered */
    int wal_pages;             /* in the log after the last commit */
    int64_t tidied_mono_us;
};

/* ---- statements (sqlite_stmt.c) ----
 * `binds` has a letter a parameter: i int64_t; z int64_t, NULL when 0; m int64_t, NULL when negative; t const char *, NULL stays NULL;
 * s const char *, size_t (text); b const void *, size_t (blob). Text and blobs have to live until the statement is done. */
int sqlite_do(struct sqlite_store *store, enum sqlite_statement statement, const char *binds, ...); /* no rows; 0 or a fault */

/* First row: 1 and *ret_row; 0: none. Read on with sqlite_next(); end early with sqlite_end(). */
int sqlite_find(struct sqlite_store *store, enum sqlite_statement statement, sqlite3_stmt **ret_row, const char *binds, ...);
int sqlite_next(struct sqlite_store *store, sqlite3_stmt *row);
void sqlite_end(sqlite3_stmt *row);

/* One row with one number: 1 and *ret_value (NULL gives 0), 0 none, or a fault. */
int sqlite_number(struct sqlite_store *store, enum sqlite_statement statement, int64_t *ret_value, const char *binds, ...);

void sqlite_finalize_all(struct sqlite_store *store);

char *sqlite_text_copy(sqlite3_stmt *row, int column); /* owned; NULL for NULL */

/* ---- errors (sqlite_error.c) ---- */
/* Records that SQLite failed: maps its code (with errno and the space that is left) to a fault. Returns it. */
int sqlite_fault(struct sqlite_store *store, int sqlite_code, const char *doing);
int sqlite_code_of(sqlite3 *db, const char *path, int sqlite_code); /* the negative galloc code */
/* Refuses the operation: fills op->error. Returns -code. */
int sqlite_refuse(struct store_op *op, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* ---- numbers ---- */
static inline int64_t sqlite_seq_next(struct sqlite_store *store) /* an event's number */
{
    return ++store->seq;
}
static inline int64_t sqlite_lease_next(struct sqlite_store *store)
{
    return ++store->lease;
}
static inline bool sqlite_is_late(const struct sqlite_store *store) /* has the step's time run out? */
{
    return clock_mono_us() >= store->deadline_mono_us;
}

enum call_state { CALL_OPEN, CALL_DONE, CALL_LOST, CALL_RELEASED }; /* stored numbers of call.state */
/* What storing one result takes at the most: its words and its attempt's at their caps, as they lie in the file (tests/unit/test_store_room.c measures it). */
#define SQLITE_RESULT_BYTES 16384
#define SQLITE_PAGE_BYTES 4096 /* sqlite_create() */
#define SQLITE_LOG_BYTES (16 << 20) /* what the log grows to before it is moved into the database */
/* Of the file system: below it no new work. What the log has already it need not take, and free pages of the file are room for results too. */
static inline int64_t sqlite_reserve_bytes(int64_t owed_count, int64_t log_bytes, int64_t free_pages)
{
    return LIMIT_RESERVE_BYTES - min_i64(log_bytes, SQLITE_LOG_BYTES) + max_i64(owed_count * SQLITE_RESULT_BYTES - free_pages * SQLITE_PAGE_BYTES, 0);
}
int64_t sqlite_free_pages(struct sqlite_store *store); /* of the file; sqlite_upkeep.c */

#define STORE_NEVER_MS INT64_MAX /* not_before_ms of a row that is held */

/* ---- operations: one function a kind, called inside the operation's savepoint. 0, a refusal or a fault. ---- */
typedef int sqlite_apply(struct sqlite_store *store, struct store_op *op, bool *ret_has_more);
sqlite_apply sqlite_apply_settle, sqlite_apply_judge, sqlite_apply_release;                              /* sqlite_settle.c */
sqlite_apply sqlite_apply_call_begin, sqlite_apply_call_end;                                             /* sqlite_call.c */
sqlite_apply sqlite_apply_claim, sqlite_apply_hedge;                                                     /* sqlite_claim.c */
sqlite_apply sqlite_apply_reserve;                                                                       /* sqlite_reserve.c */
sqlite_apply sqlite_apply_verdicts;                                                                      /* sqlite_verdict.c */
sqlite_apply sqlite_apply_lease_renew, sqlite_apply_lease_end, sqlite_apply_lease_expire;                /* sqlite_lease.c */
sqlite_apply sqlite_apply_import;                                                                        /* sqlite_import.c */
sqlite_apply sqlite_apply_run_create, sqlite_apply_run_commit, sqlite_apply_run_pause, sqlite_apply_run_close, sqlite_apply_run_set; /* sqlite_run.c */
sqlite_apply sqlite_apply_purge;                                                                         /* sqlite_purge.c */
sqlite_apply sqlite_apply_upkeep;                                                                        /* sqlite_upkeep.c */
sqlite_apply sqlite_apply_assign;                                                                        /* sqlite_decide.c */
sqlite_apply sqlite_apply_sweep;                                                                         /* sqlite_sweep.c */
sqlite_apply sqlite_apply_pool_put, sqlite_apply_pool_reset, sqlite_apply_agent_set;                     /* sqlite_pool.c */
sqlite_apply sqlite_apply_endpoint_set, sqlite_apply_endpoint_state, sqlite_apply_audit;                 /* sqlite_endpoint.c */

/* Calls of this day (Pacific time) that have ended: those of a settle; those of former lives that are about to be told as lost (sqlite_call.c). 0 or a fault. */
int sqlite_day_count(struct sqlite_store *store, const struct store_settle *settle);
int sqlite_day_count_lost(struct sqlite_store *store);

/* ---- parts of opening ---- */
/* Looks, makes or migrates, connects, reads the numbers of the last life (sqlite_open.c). 0, -D_STORE_REFUSED or -D_STORE_IO. */
int sqlite_store_open(const char *path, struct sqlite_store **ret_store, struct galloc_error *error) MUST_CHECK;
int sqlite_open_writable(struct sqlite_store *store, struct galloc_error *error) MUST_CHECK; /* the connection alone, with its settings */
int sqlite_store_open_copy(const char *path, struct sqlite_store **ret_store, struct galloc_error *error) MUST_CHECK; /* one that is no store yet: neither looked at nor marked */
int sqlite_open_on_full_disk(struct sqlite_store *store, struct galloc_error *error) MUST_CHECK; /* to read alone; is_broken is set */
int sqlite_recover(struct sqlite_store *store, struct store_image *image);    /* sqlite_recover.c; inside the first transaction */
int sqlite_image_load(struct sqlite_store *store, struct store_image *image); /* sqlite_image.c; runs, pools, settings, endpoints, leases, seq */
int sqlite_sends_load(struct sqlite_store *store, struct store_image *image); /* sqlite_call.c; what was sent of late, and of this day */
int sqlite_sweeps_open(struct sqlite_store *store, int64_t **ret_ids, size_t *ret_count); /* sqlite_sweep.c; the caller frees */

/* ---- backups: of store_ops (sqlite_copy.c, sqlite_restore.c) ---- */
int sqlite_copy(const char *path, const char *to, const atomic_bool *ends, int64_t *ret_at_ms, struct galloc_error *error);
int sqlite_copy_check(const char *copy, bool is_full, const atomic_bool *ends, struct galloc_error *error);
int sqlite_check_all(const char *path, const char *shown, const atomic_bool *ends, struct galloc_error *error) MUST_CHECK; /* the doctor's; `shown`: what people know it by */
int sqlite_to_one_file(const char *path, struct galloc_error *error) MUST_CHECK; /* takes its log in, so that nothing lies beside it; nobody else has it open */
int sqlite_restore(struct store_restore *restore, struct galloc_error *error);

/* A connection that can only read, with the settings of a reader (sqlite_open.c). 0 or negative, error filled. */
int sqlite_open_readonly(const char *path, sqlite3 **ret_db, struct galloc_error *error);

/* ---- reading: the four of store_ops (sqlite_reader.c, sqlite_doctor.c) ---- */
int sqlite_reader_open(const char *path, const atomic_bool *ends_reads, struct store_reader **ret_reader, struct galloc_error *error);
bool sqlite_reader_read(struct store_reader *reader, struct store_read *read);
void sqlite_reader_check(struct store_reader *reader, struct store_doctor *doctor);
void sqlite_reader_interrupt(struct store_reader *reader);
void sqlite_reader_close(struct store_reader *reader);

#endif
