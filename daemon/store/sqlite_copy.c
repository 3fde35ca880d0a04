/* Copies of the store, by SQLite's backup from a connection that can only read: the writer and the readers go on.
 *
 * The source has its transaction open from the first page to the last, so that every page is of one instant and the copy never begins anew, whatever is
 * committed meanwhile (without it, a copy in steps starts over at each commit). In steps all the same: between two it looks whether anybody still wants it,
 * and whether there is room, since the log cannot be emptied before it ends.
 * The copy's file needs no syncs on the way: it counts when it is whole. The thread of backups. */
#include "store/sqlite.h"

#include "store/file.h"
#include "store/sqlite_open.h"

#include "base/json.h"
#include "core/limits.h"

#include <fcntl.h>
#include <unistd.h>

#define STEP_PAGES 2048   /* 8 MiB: some ten milliseconds */
#define LOG_PART 4        /* the log grows by at most a quarter of what is copied meanwhile: a copy of 389 MiB under full load took 7.5 s and 46 MiB of log (two busy cores) */

struct copying {
    const char *to;
    const atomic_bool *ends;
    sqlite3 *source, *made; /* owned */
    int fd;                 /* of the file that is made; -1: not yet */
    int64_t bytes;
    struct galloc_error *error;
};

static int fail_room(const struct copying *copying, int64_t needs_bytes, int64_t free_bytes)
{
    return galloc_fail(copying->error, GALLOC_DISK_FULL,
                       "the backup needs %lld MiB beside the database while it is made, with what is written meanwhile, and %lld MiB are left: make room, then try again",
                       (long long)(needs_bytes >> 20) + 1, (long long)(free_bytes >> 20));
}

static int fail_sqlite(const struct copying *copying, sqlite3 *db, int rc, const char *doing)
{
    if ((rc & 0xff) == SQLITE_CORRUPT || rc == SQLITE_NOTADB)
        return galloc_fail(copying->error, GALLOC_CORRUPT, "%s: %s; next: gallocctl doctor --full", doing, sqlite3_errstr(rc));
    int code = sqlite_code_of(db, copying->to, rc);
    return galloc_fail(copying->error, -code, "%s: %s%s", doing, sqlite3_errstr(rc), code == -GALLOC_DISK_FULL ? ": make room, then try again" : "");
}

/* The snapshot, and whether there is room for all of it. */
static int source_open(struct copying *copying, const char *path)
{
    int rc = sqlite_open_readonly(path, &copying->source, copying->error);
    if (rc < 0)
        return rc;
    int read = sqlite3_exec(copying->source, "BEGIN", NULL, NULL, NULL);
    if (read == SQLITE_OK)
        sqlite_number_in(copying->source, "SELECT count(*) FROM meta", &read); /* reads: the snapshot stands */
    int64_t pages = read == SQLITE_OK ? sqlite_number_in(copying->source, "PRAGMA page_count", &read) : 0;
    int64_t page_bytes = read == SQLITE_OK ? sqlite_number_in(copying->source, "PRAGMA page_size", &read) : 0;
    if (read != SQLITE_OK)
        return fail_sqlite(copying, copying->source, read, "the store cannot be read");
    copying->bytes = pages * page_bytes;
    int64_t free_bytes = file_free_bytes(path), needs = copying->bytes + copying->bytes / LOG_PART + LIMIT_WAL_WARN_BYTES + LIMIT_RESERVE_BYTES;
    return free_bytes < needs ? fail_room(copying, needs, free_bytes) : 0;
}

static int made_open(struct copying *copying)
{
    int rc = file_make(copying->to, &copying->fd, copying->error);
    if (rc < 0)
        return rc;
    int opened = sqlite3_open_v2(copying->to, &copying->made, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (opened == SQLITE_OK)
        opened = sqlite3_exec(copying->made, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF", NULL, NULL, NULL);
    return opened == SQLITE_OK ? 0 : fail_sqlite(copying, copying->made, opened, "the backup's file cannot be opened");
}

/* May it go on? What is owed to running work comes first. */
static int look_around(const struct copying *copying, int64_t left_bytes)
{
    if (atomic_load(copying->ends))
        return galloc_fail(copying->error, GALLOC_CANCELLED, "the backup was given up");
    int64_t free_bytes = file_free_bytes(copying->to);
    return free_bytes < left_bytes + LIMIT_RESERVE_BYTES ? fail_room(copying, left_bytes + LIMIT_RESERVE_BYTES, free_bytes) : 0;
}

static int pages_copy(struct copying *copying)
{
    sqlite3_backup *backup = sqlite3_backup_init(copying->made, "main", copying->source, "main");
    if (backup == NULL)
        return fail_sqlite(copying, copying->made, sqlite3_extended_errcode(copying->made), "the backup cannot be begun");
    int rc = 0, stepped = SQLITE_OK;
    int64_t page_bytes = sqlite_number_in(copying->source, "PRAGMA page_size", &stepped), left_bytes = copying->bytes;
    while (rc == 0 && stepped == SQLITE_OK) {
        rc = look_around(copying, left_bytes);
        if (rc < 0)
            break;
        stepped = sqlite3_backup_step(backup, STEP_PAGES);
        left_bytes = sqlite3_backup_remaining(backup) * page_bytes;
        sync_file_range(copying->fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* begun early, so that the writer's own syncs do not wait behind all of it */
    }
    if (rc == 0 && stepped != SQLITE_DONE)
        rc = fail_sqlite(copying, copying->made, stepped, "the backup cannot be written");
    sqlite3_backup_finish(backup);
    return rc;
}

/* Says of which moment it is, and has nothing lie beside it: whoever opens it makes no log. */
static int made_finish(struct copying *copying, int64_t at_ms)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_exec(copying->made, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(copying->made, "INSERT INTO meta(name, value) VALUES('backup_at_ms', ?1) ON CONFLICT(name) DO UPDATE SET value = excluded.value", -1,
                                &stmt, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(stmt, 1, at_ms);
        rc = sqlite3_step(stmt) == SQLITE_DONE ? SQLITE_OK : sqlite3_extended_errcode(copying->made);
    }
    sqlite3_finalize(stmt);
    if (rc != SQLITE_OK)
        return fail_sqlite(copying, copying->made, rc, "the backup cannot be written");
    sqlite3_close(copying->made);
    copying->made = NULL;
    return fsync(copying->fd) < 0 ? file_fail(copying->to, "the backup cannot be synced", copying->error) : 0;
}

int sqlite_copy(const char *path, const char *to, const atomic_bool *ends, int64_t *ret_at_ms, struct galloc_error *error)
{
    struct copying copying = {.to = to, .ends = ends, .fd = -1, .error = error};
    int64_t at_ms = clock_wall_ms();
    int rc = source_open(&copying, path);
    if (rc == 0)
        rc = made_open(&copying);
    if (rc == 0)
        rc = pages_copy(&copying);
    sqlite3_close(copying.source); /* the log is free from here on */
    if (rc == 0)
        rc = made_finish(&copying, at_ms);
    sqlite3_close(copying.made);
    if (copying.fd >= 0)
        close(copying.fd);
    if (rc == 0)
        *ret_at_ms = at_ms;
    else
        file_remove(to);
    return rc;
}

/* ---- checking one ---- */
/* What the doctor found, in words. */
static int fail_report(const struct store_doctor *doctor, const char *shown, struct galloc_error *error)
{
    struct json_object *report = NULL;
    struct buf found = BUF_EMPTY;
    if (json_parse(buf_text(&doctor->ret_report), doctor->ret_report.len, &report, error) < 0)
        return -error->code;
    struct json_object *checks = json_get(report, "checks");
    for (size_t i = 0; i < json_array_len(checks); i++) {
        struct json_object *check = json_array_at(checks, i);
        if (!json_get_bool(check, "ok", false))
            buf_add_fmt(&found, "%s%s: %s", found.len > 0 ? "; " : "", json_get_str(check, "name", "?"), json_get_str(check, "detail", "?"));
    }
    json_free(report);
    int rc = found.len == 0 ? 0 : galloc_fail(error, GALLOC_D_STORE_REFUSED, "%s: what is in it is not sound: %s", shown, buf_text(&found));
    buf_clear(&found);
    return rc;
}

int sqlite_check_all(const char *path, const char *shown, const atomic_bool *ends, struct galloc_error *error)
{
    struct store_reader *reader = NULL;
    int rc = sqlite_reader_open(path, ends, &reader, error);
    if (rc < 0)
        return rc;
    struct store_doctor *doctor = store_op_new(OP_DOCTOR, NULL, NULL);
    doctor->is_full = true;
    sqlite_reader_check(reader, doctor);
    sqlite_reader_close(reader);
    if (doctor->op.code == -GALLOC_CORRUPT)
        rc = galloc_fail(error, GALLOC_D_STORE_REFUSED, "%s: what is in it is not sound: pages are damaged", shown);
    else if (doctor->op.code < 0)
        rc = galloc_fail(error, -doctor->op.code, "%s: %s", shown, doctor->op.error.message);
    else
        rc = fail_report(doctor, shown, error);
    store_op_free(&doctor->op);
    return rc;
}

int sqlite_copy_check(const char *copy, bool is_full, const atomic_bool *ends, struct galloc_error *error)
{
    int version = 0;
    struct galloc_error why;
    int rc = sqlite_look_copy(copy, "the copy", sqlite_schema_latest(sqlite_migrations), &version, &why);
    if (rc == 0 && is_full)
        rc = sqlite_check_all(copy, "the copy", ends, &why);
    if (rc == -GALLOC_D_STORE_REFUSED)
        return galloc_fail(error, GALLOC_D_STORE_REFUSED, "%.400s. Next: gallocctl doctor --full tells whether the database itself is sound", why.message);
    return rc < 0 ? galloc_fail(error, -rc, "%s", why.message) : 0;
}

int sqlite_to_one_file(const char *path, struct galloc_error *error)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite_settle_in(db, false);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        galloc_fail(error, -sqlite_code_of(db, path, rc), "%s: its log cannot be taken in: %s", path, sqlite3_errstr(rc));
    int code = rc == SQLITE_OK ? 0 : -error->code;
    sqlite3_close(db);
    return code;
}
