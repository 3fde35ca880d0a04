/* Making a database, and bringing an old one to the present schema. Either is whole or not there: a new one is made beside its place and renamed,
 * an old one is copied first and then changed in one transaction. */
#include "store/sqlite_open.h"

#include "store/file.h"
#include "store/sqlite.h"

#include <unistd.h>

int sqlite_schema_latest(const struct sqlite_migration *migrations)
{
    int latest = 0;
    for (; migrations->version != 0; migrations++)
        latest = migrations->version;
    return latest;
}

int sqlite_schema_digest(sqlite3 *db, char ret_hex[DIGEST_HEX])
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name",
                                -1, &stmt, NULL);
    struct digest *digest = digest_new();
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        for (int i = 0; i < 4; i++)
            digest_add(digest, sqlite3_column_blob(stmt, i), (size_t)sqlite3_column_bytes(stmt, i));
        digest_add(digest, "\n", 1);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(stmt);
    unsigned char bytes[DIGEST_BYTES];
    digest_end(digest, bytes);
    digest_hex(bytes, ret_hex);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* ---- the marker ---- */
char *sqlite_marker_path(const char *path)
{
    return xasprintf("%s.id", path);
}

static int marker_write(const char *marker, const char *store_id, struct galloc_error *error)
{
    char *made = xasprintf("%s.new", marker);
    int fd = -1;
    int rc = file_make(made, &fd, error);
    if (rc == 0 && (write(fd, store_id, strlen(store_id)) != (ssize_t)strlen(store_id) || write(fd, "\n", 1) != 1))
        rc = file_fail(made, "it cannot be written", error);
    if (fd >= 0)
        close(fd);
    if (rc == 0)
        rc = file_place(made, marker, error);
    free(made);
    return rc;
}

int sqlite_marker_keep(const char *path, sqlite3 *db, struct galloc_error *error)
{
    char *marker = sqlite_marker_path(path);
    int rc = 0;
    sqlite3_stmt *stmt = NULL;
    if (access(marker, F_OK) < 0) {
        const char *id = "";
        if (sqlite3_prepare_v2(db, "SELECT value FROM meta WHERE name = 'store_id'", -1, &stmt, NULL) == SQLITE_OK &&
            sqlite3_step(stmt) == SQLITE_ROW)
            id = (const char *)sqlite3_column_text(stmt, 0);
        rc = marker_write(marker, id, error);
        sqlite3_finalize(stmt);
    }
    free(marker);
    return rc;
}

/* ---- schema ---- */
static int run_sql(sqlite3 *db, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *sql = sqlite3_vmprintf(fmt, args);
    va_end(args);
    int rc = sql == NULL ? SQLITE_NOMEM : sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_free(sql);
    return rc;
}

/* Is a row pointing nowhere after a migration? */
static int keys_check(sqlite3 *db)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA foreign_key_check", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc == SQLITE_ROW ? SQLITE_CONSTRAINT_FOREIGNKEY : rc;
}

/* What is newer than `from_version`, in one transaction, with the schema's new number and digest. */
static int apply_from(sqlite3 *db, int from_version, const struct sqlite_migration *migrations)
{
    int rc = run_sql(db, "BEGIN IMMEDIATE");
    for (const struct sqlite_migration *at = migrations; rc == SQLITE_OK && at->version != 0; at++)
        if (at->version > from_version)
            rc = sqlite3_exec(db, at->sql, NULL, NULL, NULL);
    char digest[DIGEST_HEX];
    if (rc == SQLITE_OK)
        rc = sqlite_schema_digest(db, digest);
    if (rc == SQLITE_OK)
        rc = run_sql(db, "INSERT INTO meta(name, value) VALUES('schema_sha256', %Q) ON CONFLICT(name) DO UPDATE SET value = excluded.value", digest);
    if (rc == SQLITE_OK && from_version == 0) {
        unsigned long long id[2];
        random_bytes(id, sizeof id);
        rc = run_sql(db, "INSERT INTO meta(name, value) VALUES('store_id', '%016llx%016llx'), ('incarnation', 1)", id[0], id[1]);
    }
    if (rc == SQLITE_OK)
        rc = run_sql(db, "PRAGMA application_id = %d; PRAGMA user_version = %d", SQLITE_APPLICATION_ID, sqlite_schema_latest(migrations));
    if (rc == SQLITE_OK)
        rc = keys_check(db);
    return rc == SQLITE_OK ? run_sql(db, "COMMIT") : rc;
}

static int fail_sqlite(sqlite3 *db, const char *path, const char *doing, int rc, struct galloc_error *error)
{
    int code = sqlite_code_of(db, path, rc);
    return galloc_fail(error, code == -GALLOC_INTERNAL ? GALLOC_D_STORE_REFUSED : GALLOC_D_STORE_IO, "%s: %s: %s. Next: %s", path, doing, db == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(db),
                       code == -GALLOC_DISK_FULL ? "make room on its file system" : "see that its folder can be written");
}

int sqlite_create(const char *path, const struct sqlite_migration *migrations, struct galloc_error *error)
{
    char *made = xasprintf("%s.new", path), *journal = xasprintf("%s-journal", made);
    unlink(journal);
    int rc = file_make(made, NULL, error);
    sqlite3 *db = NULL;
    if (rc == 0) {
        int sqlite_rc = sqlite3_open_v2(made, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
        if (sqlite_rc == SQLITE_OK)
            sqlite_rc = run_sql(db, "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL");
        if (sqlite_rc == SQLITE_OK)
            sqlite_rc = apply_from(db, 0, migrations);
        if (sqlite_rc != SQLITE_OK)
            rc = fail_sqlite(db, path, "the database cannot be made", sqlite_rc, error);
        sqlite3_close(db);
    }
    if (rc == 0)
        rc = file_place(made, path, error);
    free(journal);
    free(made);
    return rc;
}

/* PATH.v<version>: the database as it was, for the way back. */
static int copy_aside(sqlite3 *db, const char *path, int version, struct galloc_error *error)
{
    char *copy = xasprintf("%s.v%d", path, version), *made = xasprintf("%s.new", copy);
    int rc = file_make(made, NULL, error);
    if (rc == 0) {
        int sqlite_rc = run_sql(db, "VACUUM INTO %Q", made);
        rc = sqlite_rc == SQLITE_OK ? file_place(made, copy, error) : fail_sqlite(db, copy, "the old database cannot be copied", sqlite_rc, error);
    }
    if (rc != 0)
        unlink(made);
    free(made);
    free(copy);
    return rc;
}

static int migrate(const char *path, int from_version, const struct sqlite_migration *migrations, bool keeps_old, struct galloc_error *error)
{
    sqlite3 *db = NULL;
    int sqlite_rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (sqlite_rc == SQLITE_OK)
        sqlite_rc = run_sql(db, "PRAGMA synchronous = FULL");
    int rc = sqlite_rc == SQLITE_OK ? 0 : fail_sqlite(db, path, "it cannot be opened", sqlite_rc, error);
    if (rc == 0 && keeps_old)
        rc = copy_aside(db, path, from_version, error);
    if (rc == 0) {
        sqlite_rc = apply_from(db, from_version, migrations);
        if (sqlite_rc != SQLITE_OK)
            rc = fail_sqlite(db, path, "its schema cannot be brought up to date; it stands as it was", sqlite_rc, error);
    }
    sqlite3_close(db);
    return rc;
}

int sqlite_migrate(const char *path, int from_version, const struct sqlite_migration *migrations, struct galloc_error *error)
{
    return migrate(path, from_version, migrations, true, error);
}

int sqlite_migrate_copy(const char *path, int from_version, const struct sqlite_migration *migrations, struct galloc_error *error)
{
    return migrate(path, from_version, migrations, false, error);
}
