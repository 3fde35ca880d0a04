/* The engine's transaction: every operation in a savepoint of its own inside one transaction, whose last writes are the books and the batch number.
 *
 *   begin -> apply … -> commit            all of it stands
 *                    -> rollback          nothing of it happened
 *                    -> commit fails      unknown: the handle is not used again; reopen() asks a new one for the batch number
 * The writer's thread; open and close before and after it. */
#include "store/sqlite.h"

#include "store/file.h"
#include "store/sqlite_open.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECKPOINT_PAGES (SQLITE_LOG_BYTES / SQLITE_PAGE_BYTES) /* of log, then it is moved into the database */
#define CHECKPOINT_IDLE_PAGES 64  /* the same when nothing else is to be done */
#define PAGE_IN_LOG_BYTES (4096 + 24) /* a page (sqlite_create) and its head in the log */
#define CHECKPOINT_LEAST_US 100000 /* between two, when readers hold the log */

struct apply_row {
    sqlite_apply *apply;
    bool changes_agents; /* reads or writes agent and ledger_agent by SQL of its own */
};

static const struct apply_row apply_rows[STORE_OP_KIND_COUNT] = {
    [OP_SETTLE] = {sqlite_apply_settle, false},
    [OP_JUDGE] = {sqlite_apply_judge, false},
    [OP_RELEASE] = {sqlite_apply_release, false},
    [OP_CALL_END] = {sqlite_apply_call_end, false},
    [OP_VERDICTS] = {sqlite_apply_verdicts, false},
    [OP_LEASE_END] = {sqlite_apply_lease_end, false},
    [OP_CLAIM] = {sqlite_apply_claim, false},
    [OP_HEDGE] = {sqlite_apply_hedge, false},
    [OP_RESERVE] = {sqlite_apply_reserve, false},
    [OP_CALL_BEGIN] = {sqlite_apply_call_begin, false},
    [OP_LEASE_RENEW] = {sqlite_apply_lease_renew, false},
    [OP_LEASE_EXPIRE] = {sqlite_apply_lease_expire, false},
    [OP_RUN_CREATE] = {sqlite_apply_run_create, true},
    [OP_RUN_COMMIT] = {sqlite_apply_run_commit, false},
    [OP_RUN_PAUSE] = {sqlite_apply_run_pause, false},
    [OP_RUN_CLOSE] = {sqlite_apply_run_close, false},
    [OP_RUN_SET] = {sqlite_apply_run_set, false},
    [OP_SWEEP] = {sqlite_apply_sweep, false},
    [OP_ASSIGN] = {sqlite_apply_assign, false},
    [OP_POOL_PUT] = {sqlite_apply_pool_put, true},
    [OP_POOL_RESET] = {sqlite_apply_pool_reset, true},
    [OP_AGENT_SET] = {sqlite_apply_agent_set, true},
    [OP_ENDPOINT_SET] = {sqlite_apply_endpoint_set, false},
    [OP_ENDPOINT_STATE] = {sqlite_apply_endpoint_state, false},
    [OP_PURGE] = {sqlite_apply_purge, false},
    [OP_AUDIT] = {sqlite_apply_audit, false},
    [OP_IMPORT] = {sqlite_apply_import, false},
    [OP_UPKEEP] = {sqlite_apply_upkeep, true},
};

static struct sqlite_store *self(struct store_engine *engine)
{
    return (struct sqlite_store *)(void *)engine;
}

static int fault_give(const struct sqlite_store *store, struct galloc_error *error)
{
    if (error != NULL)
        *error = store->fault_error;
    return store->fault;
}

/* ---- the transaction ---- */
static void engine_rollback(struct store_engine *engine)
{
    struct sqlite_store *store = self(engine);
    for (size_t i = 0; i < SQLITE_STATEMENT_COUNT; i++)
        sqlite3_reset(store->statements[i]);
    store->fault = 0;
    if (sqlite3_get_autocommit(store->db) == 0 && sqlite_do(store, STMT_ROLLBACK, "") < 0)
        store->is_broken = sqlite3_get_autocommit(store->db) == 0;
    store->fault = 0;
    store->batch--;
    books_forget(store);
}

/* The operation is undone. A fault of the store ends the transaction; a bug of ours (a CHECK that refuses) ends only the operation. */
static int op_undo(struct sqlite_store *store, struct store_op *op, int rc, struct galloc_error *error)
{
    if (store->fault == -GALLOC_INTERNAL && sqlite3_get_autocommit(store->db) == 0) {
        op->error = store->fault_error;
        store->fault = 0;
    }
    if (store->fault == 0 && sqlite_do(store, STMT_SAVEPOINT_UNDO, "") == 0)
        sqlite_do(store, STMT_SAVEPOINT_RELEASE, "");
    if (store->fault < 0)
        return fault_give(store, error);
    books_op_rollback(store);
    op->code = rc;
    op->seq_first = 0;
    if (op->error.code != -rc)
        galloc_fail(&op->error, -rc, "%s", galloc_code_row(rc)->text);
    return 0;
}

static int engine_apply(struct store_engine *engine, struct store_op *op, bool *ret_has_more, struct galloc_error *error)
{
    struct sqlite_store *store = self(engine);
    const struct apply_row *row = &apply_rows[op->kind];
    int64_t seq_before = store->seq;
    *ret_has_more = false;
    op->code = 0;
    op->seq_first = 0;
    store->now_ms = store_clock_now_ms(&store->clock);
    int rc = row->changes_agents ? books_seats_write(store) : 0;
    if (rc == 0)
        rc = sqlite_do(store, STMT_SAVEPOINT, "");
    if (rc < 0)
        return fault_give(store, error);
    rc = row->apply(store, op, ret_has_more);
    if (rc == 0 && store->fault == 0)
        rc = sqlite_do(store, STMT_SAVEPOINT_RELEASE, "");
    if (rc == 0)
        books_op_end(store, seq_before);
    else
        *ret_has_more = false;
    if (row->changes_agents)
        books_forget_seats(store);
    return rc == 0 ? 0 : op_undo(store, op, rc, error);
}

static int meta_put(struct sqlite_store *store, const char *name, int64_t value)
{
    return sqlite_do(store, STMT_META_PUT, "ti", name, value);
}

/* The numbers that a life hands to the next. */
static int meta_write(struct sqlite_store *store)
{
    int rc = meta_put(store, "batch", store->batch);
    if (rc == 0)
        rc = meta_put(store, "event_seq", store->seq);
    if (rc == 0)
        rc = meta_put(store, "lease_number", store->lease);
    if (rc == 0)
        rc = meta_put(store, "now_ms", store_clock_now_ms(&store->clock));
    return rc < 0 ? rc : meta_put(store, "boot_ms", clock_mono_ms());
}

static int engine_commit(struct store_engine *engine, struct store_commit *ret_commit, struct galloc_error *error)
{
    struct sqlite_store *store = self(engine);
    int rc = books_write(store);
    if (rc == 0)
        rc = meta_write(store);
    for (size_t i = 0; rc == 0 && i < SQLITE_STATEMENT_COUNT; i++)
        if (store->statements[i] != NULL && sqlite3_stmt_busy(store->statements[i]))
            sqlite3_reset(store->statements[i]);
    if (rc == 0)
        rc = sqlite_do(store, STMT_COMMIT, "");
    if (rc < 0) {
        store->is_broken = true;
        return fault_give(store, error);
    }
    store->needs_recovery = false;
    books_committed(store, ret_commit);
    return 0;
}

/* ---- after a failed commit ---- */
/* Moves the whole log into the database, on a new handle: what is read back is then known to be on the medium, and what did not land is gone. */
static int log_empty(struct sqlite_store *store)
{
    int rc = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (rc == SQLITE_BUSY)
        return galloc_fail(&store->fault_error, GALLOC_BUSY, "%s: a reader holds the log", store->path);
    return rc == SQLITE_OK ? 0 : sqlite_fault(store, rc, "checkpoint");
}

static void handle_close(struct sqlite_store *store)
{
    sqlite_finalize_all(store);
    if (store->db != NULL)
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL); /* no sync on a handle that failed */
    sqlite3_close(store->db);
    store->db = NULL;
}

static int engine_reopen(struct store_engine *engine, bool *ret_landed, struct store_commit *ret_commit, struct galloc_error *error)
{
    struct sqlite_store *store = self(engine);
    handle_close(store);
    store->is_broken = true;
    store->fault = 0;
    int64_t batch = 0;
    int rc = sqlite_open_writable(store, error);
    if (rc < 0)
        return rc;
    rc = log_empty(store);
    if (rc == 0 && sqlite_number(store, STMT_META_GET, &batch, "t", "batch") < 0)
        rc = store->fault;
    if (rc < 0) {
        if (error != NULL)
            *error = store->fault_error;
        return rc;
    }
    store->is_broken = false;
    *ret_landed = batch == store->batch;
    *ret_commit = (struct store_commit){.seq = store->seq};
    if (*ret_landed) {
        store->needs_recovery = store->needs_recovery && store->recovery_batch != batch;
        books_committed(store, ret_commit);
    } else {
        books_forget(store);
    }
    store->batch = batch;
    return 0;
}

/* ---- the beginning of a transaction ---- */
static int engine_begin(struct store_engine *engine, int64_t deadline_mono_us, struct galloc_error *error)
{
    struct sqlite_store *store = self(engine);
    if (store->is_broken) { /* opened on a full disk, or a rollback failed */
        struct store_commit ignored;
        bool has_landed;
        int rc = engine_reopen(engine, &has_landed, &ignored, error);
        if (rc < 0)
            return rc;
    }
    store->fault = 0;
    store->deadline_mono_us = deadline_mono_us;
    store->now_ms = store_clock_now_ms(&store->clock);
    store->wall_ms = clock_wall_ms();
    if (sqlite_do(store, STMT_BEGIN, "") < 0)
        return fault_give(store, error);
    store->batch++;
    if (!store->needs_recovery)
        return 0;
    if (sqlite_recover(store, store->image) < 0) {
        int rc = fault_give(store, error);
        engine_rollback(engine);
        return rc;
    }
    store->recovery_batch = store->batch;
    books_op_end(store, store->seq);
    return 0;
}

/* ---- housekeeping ---- */
static bool is_tidy(const struct sqlite_store *store, enum store_tidy how)
{
    static const int worth_pages[] = {[TIDY_BETWEEN] = CHECKPOINT_PAGES, [TIDY_IDLE] = CHECKPOINT_IDLE_PAGES, [TIDY_EMPTY] = 0};
    return store->is_broken || store->wal_pages < worth_pages[how] ||
           (how != TIDY_EMPTY && clock_mono_us() - store->tidied_mono_us < CHECKPOINT_LEAST_US);
}

/* The pages that the log holds are those of the last commit until SQLite begins it anew, which it does at a commit that finds all of it in the database
 * and no reader in it. */
static int engine_tidy(struct store_engine *engine, enum store_tidy how, int64_t *ret_log_bytes, struct galloc_error *error)
{
    struct sqlite_store *store = self(engine);
    *ret_log_bytes = store->wal_pages * (int64_t)PAGE_IN_LOG_BYTES;
    if (is_tidy(store, how))
        return 0;
    int log_pages = 0, done_pages = 0;
    if (how == TIDY_EMPTY)
        sqlite3_busy_timeout(store->db, 0); /* no wait for another process */
    int rc = sqlite3_wal_checkpoint_v2(store->db, NULL, how == TIDY_EMPTY ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, &log_pages, &done_pages);
    sqlite3_busy_timeout(store->db, SQLITE_BUSY_MS);
    store->tidied_mono_us = clock_mono_us();
    if (rc == SQLITE_OK && done_pages == log_pages)
        store->wal_pages = 0;
    *ret_log_bytes = store->wal_pages * (int64_t)PAGE_IN_LOG_BYTES;
    if (rc == SQLITE_OK || rc == SQLITE_BUSY)
        return 0;
    sqlite_fault(store, rc, "checkpoint");
    rc = fault_give(store, error);
    store->fault = 0;
    return rc;
}

static int64_t file_bytes(const char *path, const char *suffix)
{
    char *name = xasprintf("%s%s", path, suffix);
    struct stat st;
    int64_t bytes = stat(name, &st) == 0 ? st.st_size : 0;
    free(name);
    return bytes;
}

static void engine_sizes(struct store_engine *engine, struct store_sizes *ret_sizes)
{
    struct sqlite_store *store = self(engine);
    const char *path = store->path;
    *ret_sizes = (struct store_sizes){.db_bytes = file_bytes(path, ""), .wal_bytes = file_bytes(path, "-wal"), .free_bytes = file_free_bytes(path)};
    bool can_ask = store->db != NULL && !store->is_broken && store->fault == 0;
    ret_sizes->reserve_bytes = sqlite_reserve_bytes(store->owed_count, ret_sizes->wal_bytes, can_ask ? sqlite_free_pages(store) : 0);
}

static int engine_sweeps(struct store_engine *engine, int64_t **ret_ids, size_t *ret_count, struct galloc_error *error)
{
    struct sqlite_store *store = self(engine);
    store->fault = 0;
    return sqlite_sweeps_open(store, ret_ids, ret_count) < 0 ? fault_give(store, error) : 0;
}

static void engine_close(struct store_engine *engine)
{
    struct sqlite_store *store = self(engine);
    store->fault = 0;
    if (!store->is_broken && store->db != NULL) {
        sqlite_do(store, STMT_NODE_STOP, "ii", store->node, clock_wall_ms());
        sqlite_finalize_all(store);
        sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    }
    handle_close(store);
    books_clear(&store->books);
    free(store);
}

/* A commit met the full disk, and so did the emptying of the log: what stands can be read all the same, and the writer opens the store anew. */
static int reopen_at_start(struct store_engine *engine, struct galloc_error *error)
{
    struct sqlite_store *store = self(engine);
    struct store_commit ignored;
    bool has_landed;
    int rc = engine_reopen(engine, &has_landed, &ignored, error);
    if (rc != -GALLOC_DISK_FULL)
        return rc;
    books_forget(store); /* whether they landed is learned by then; what can be read counts */
    return store->db != NULL ? 0 : sqlite_open_on_full_disk(store, error);
}

/* The first transaction: recovery. A disk that is full puts it off to the writer's first one that commits. */
static int first_transaction(struct store_engine *engine, struct galloc_error *error)
{
    struct store_commit ignored;
    int rc = engine_begin(engine, INT64_MAX, error);
    if (rc == 0) {
        rc = engine_commit(engine, &ignored, error);
        if (rc == -GALLOC_DISK_FULL)
            return reopen_at_start(engine, error);
    }
    return rc == -GALLOC_DISK_FULL ? 0 : rc;
}

static int engine_open(const char *path, struct store_engine **ret_engine, struct store_image *ret_image, struct galloc_error *error)
{
    struct sqlite_store *store = NULL;
    struct galloc_error why;
    int rc = sqlite_store_open(path, &store, error);
    if (rc < 0)
        return rc;
    struct store_engine *engine = (struct store_engine *)(void *)store;
    store->image = ret_image;
    rc = store->is_broken ? 0 : first_transaction(engine, &why);
    store->image = NULL;
    if (rc == 0) {
        store->fault = 0; /* of what was put off */
        rc = sqlite_image_load(store, ret_image);
        if (rc < 0)
            why = store->fault_error;
    }
    if (rc == 0) {
        *ret_engine = engine;
        return 0;
    }
    bool is_corrupt = store->is_corrupt;
    store->is_broken = store->is_broken || is_corrupt; /* nothing is written to it on the way out */
    engine_close(engine);
    return is_corrupt ? galloc_fail(error, GALLOC_D_STORE_REFUSED, "%s. Next: " SQLITE_RESTORE_HINT, why.message)
                      : galloc_fail(error, GALLOC_D_STORE_IO, "%s", why.message);
}

const struct store_ops sqlite_ops = {
    .name = "sqlite",
    .open = engine_open,
    .close = engine_close,
    .open_sweeps = engine_sweeps,
    .begin = engine_begin,
    .apply = engine_apply,
    .commit = engine_commit,
    .rollback = engine_rollback,
    .reopen = engine_reopen,
    .tidy = engine_tidy,
    .sizes = engine_sizes,
    .reader_open = sqlite_reader_open,
    .read = sqlite_reader_read,
    .check = sqlite_reader_check,
    .interrupt = sqlite_reader_interrupt,
    .reader_close = sqlite_reader_close,
    .copy = sqlite_copy,
    .copy_check = sqlite_copy_check,
    .restore = sqlite_restore,
};
