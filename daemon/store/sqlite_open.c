/* Opening: look, make or migrate, connect with our settings, read what the last life handed on. Before any other thread of the store runs. */
#include "store/sqlite_open.h"

#include "store/sqlite.h"

#include "base/negative.h"

#include <errno.h>
#include <sys/stat.h>

static const char *const common_settings =
    "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;";

/* Checkpoints are the writer's own, after the answers went out, so that no commit waits for one. */
static const char *const writer_settings =
    "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-16384; PRAGMA journal_size_limit=67108864;";

static int journal_to_wal(sqlite3 *db)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA journal_mode=WAL", -1, &stmt, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        rc = strcmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0 ? SQLITE_OK : SQLITE_CANTOPEN;
    sqlite3_finalize(stmt);
    return rc;
}

int sqlite_settle_in(sqlite3 *db, bool is_writer)
{
    sqlite3_busy_timeout(db, SQLITE_BUSY_MS);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    int rc = sqlite3_exec(db, common_settings, NULL, NULL, NULL);
    if (rc == SQLITE_OK && is_writer)
        rc = journal_to_wal(db);
    if (rc == SQLITE_OK && is_writer)
        rc = sqlite3_exec(db, writer_settings, NULL, NULL, NULL);
    if (rc == SQLITE_OK && is_writer && BREAKS(SYNC_NORMAL))
        rc = sqlite3_exec(db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    return rc;
}

static int open_failed(sqlite3 *db, const char *path, int sqlite_code, struct galloc_error *error)
{
    int code = sqlite_code_of(db, path, sqlite_code);
    galloc_fail(error, code == -GALLOC_INTERNAL ? GALLOC_STORE_UNAVAILABLE : -code, "%s: it cannot be opened: %s", path,
                db == NULL ? sqlite3_errstr(sqlite_code) : sqlite3_errmsg(db));
    sqlite3_close(db);
    return code;
}

int sqlite_open_readonly(const char *path, sqlite3 **ret_db, struct galloc_error *error)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite_settle_in(db, false);
    if (rc != SQLITE_OK)
        return open_failed(db, path, rc, error);
    *ret_db = db;
    return 0;
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    ((struct sqlite_store *)arg)->wal_pages = pages;
    return SQLITE_OK;
}

int sqlite_open_writable(struct sqlite_store *store, struct galloc_error *error)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(store->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite_settle_in(db, true);
    if (rc != SQLITE_OK)
        return open_failed(db, store->path, rc, error);
    sqlite3_wal_hook(db, on_wal, store);
    store->db = db;
    store->wal_pages = 0;
    return 0;
}

/* ---- what the last life handed on ---- */
static int meta_read(struct sqlite_store *store)
{
    const struct {
        const char *name;
        int64_t *value;
    } numbers[] = {{"batch", &store->batch}, {"event_seq", &store->seq}, {"lease_number", &store->lease}};
    int64_t stored_ms = 0, stored_mono_ms = 0;
    int rc = 0;
    for (size_t i = 0; rc >= 0 && i < ARRAY_COUNT(numbers); i++)
        rc = sqlite_number(store, STMT_META_GET, numbers[i].value, "t", numbers[i].name);
    if (rc >= 0)
        rc = sqlite_number(store, STMT_META_GET, &stored_ms, "t", "now_ms");
    if (rc >= 0)
        rc = sqlite_number(store, STMT_META_GET, &stored_mono_ms, "t", "boot_ms");
    sqlite3_stmt *row = NULL;
    if (rc >= 0)
        rc = sqlite_find(store, STMT_META_GET, &row, "t", "boot_id");
    if (rc < 0)
        return rc;
    const char *boot_id = rc > 0 ? (const char *)sqlite3_column_text(row, 0) : "";
    store_clock_open(&store->clock, stored_ms, stored_mono_ms, boot_id);
    if (rc > 0)
        sqlite_end(row);
    return min_i64(sqlite_number(store, STMT_OWED, &store->owed_count, ""), 0);
}

static int file_prepare(const char *path, struct galloc_error *error)
{
    enum store_file file = STORE_FILE_NONE;
    int version = 0, latest = sqlite_schema_latest(sqlite_migrations);
    int rc = sqlite_swap_finish(path, NULL, error);
    if (rc < 0)
        return rc;
    rc = sqlite_look(path, latest, &file, &version, error);
    if (rc == 0 && file == STORE_FILE_NONE)
        return sqlite_create(path, sqlite_migrations, error);
    if (rc == 0 && chmod(path, 0600) < 0)
        return galloc_fail(error, GALLOC_D_STORE_REFUSED, "%s: its mode cannot be set to 0600: %s. Next: give it to the daemon's user (chown)", path,
                           strerror(errno));
    if (rc == 0 && version < latest)
        rc = sqlite_migrate(path, version, sqlite_migrations, error);
    return rc;
}

/* On a full disk not even the log's index may find room. Then one connection keeps it in its own memory (locking_mode=EXCLUSIVE) and only reads, so
 * that the daemon starts and tells; the first transaction that finds room opens the store as it should be. */
int sqlite_open_on_full_disk(struct sqlite_store *store, struct galloc_error *error)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(store->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA query_only=ON", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite_settle_in(db, false);
    if (rc != SQLITE_OK)
        return open_failed(db, store->path, rc, error);
    store->db = db;
    store->is_broken = true;
    return 0;
}

static int parts_open(struct sqlite_store *store, struct galloc_error *error)
{
    int rc = file_prepare(store->path, error);
    if (rc == 0)
        rc = sqlite_open_writable(store, error);
    if (rc == -GALLOC_DISK_FULL)
        rc = sqlite_open_on_full_disk(store, error);
    if (rc == 0 && meta_read(store) < 0) {
        *error = store->fault_error;
        rc = store->fault;
    }
    return rc < 0 || store->is_broken ? rc : sqlite_marker_keep(store->path, store->db, error);
}

static int copy_open(struct sqlite_store *store, struct galloc_error *error)
{
    int rc = sqlite_open_writable(store, error);
    if (rc == 0 && meta_read(store) < 0) {
        *error = store->fault_error;
        rc = store->fault;
    }
    return rc;
}

static int store_open_by(int (*open_parts)(struct sqlite_store *store, struct galloc_error *error), const char *path, struct sqlite_store **ret_store,
                         struct galloc_error *error)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* a lock and a count at every allocation that nobody reads; refused, harmlessly, when in use already */
    struct sqlite_store *store = xcalloc(1, sizeof *store);
    store->path = path;
    store->needs_recovery = true;
    store->lost_text = "the daemon ended before the answer came";
    struct galloc_error why;
    if (open_parts(store, &why) == 0) {
        *ret_store = store;
        return 0;
    }
    sqlite_finalize_all(store);
    sqlite3_close(store->db);
    free(store);
    return galloc_fail(error, why.code == GALLOC_D_STORE_REFUSED ? GALLOC_D_STORE_REFUSED : GALLOC_D_STORE_IO, "%s", why.message);
}

int sqlite_store_open(const char *path, struct sqlite_store **ret_store, struct galloc_error *error)
{
    return store_open_by(parts_open, path, ret_store, error);
}

int sqlite_store_open_copy(const char *path, struct sqlite_store **ret_store, struct galloc_error *error)
{
    return store_open_by(copy_open, path, ret_store, error);
}
