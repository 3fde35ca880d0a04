/* Looking at a database file before anything touches it: header, size, version, schema, root pages. Milliseconds, whatever its size; quick_check
 * belongs to the doctor. A file with no log beside it is opened as immutable, so that not even a lock is taken; one with a log read-only. */
#include "store/sqlite.h"

#include "store/sqlite_open.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define HEADER_BYTES 100 /* https://www.sqlite.org/fileformat.html, 1.3 */
#define COPY_HINT "give another file that 'gallocctl backup' made"

struct look {
    const char *path;
    const char *shown; /* what people know it by */
    bool is_copy;      /* a backup, not the store */
    struct galloc_error *error;
    int latest_version;
    bool has_log;
    off_t size_bytes;
    uint32_t page_bytes;
    int version;
};

static int refuse(struct look *look, const char *cause, const char *next_step)
{
    return galloc_fail(look->error, GALLOC_D_STORE_REFUSED, "%s: %s. Next: %s", look->shown, cause, look->is_copy ? COPY_HINT : next_step);
}

static int refuse_errno(struct look *look, const char *doing)
{
    return galloc_fail(look->error, GALLOC_D_STORE_IO, "%s: %s: %s. Next: see that the daemon's user owns the state directory and all in it",
                       look->shown, doing, strerror(errno));
}

/* ---- where it lies ---- */
static const struct {
    unsigned long magic; /* linux/magic.h, and statfs(2) */
    const char *name;
} network_systems[] = {
    {0x6969, "NFS"},        {0xff534d42, "CIFS"},   {0xfe534d42, "SMB2"}, {0x517b, "SMB"},       {0x65735546, "FUSE"},
    {0x01021997, "9P"},     {0x00c36400, "Ceph"},   {0x5346414f, "AFS"},  {0x6b414653, "AFS"},   {0x7461636f, "OCFS2"},
    {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"},   {0x73757245, "Coda"}, {0x01161970, "GFS2"}, {0x564c, "NCP"},
};

static int look_file_system(struct look *look)
{
    char *copy = xstrdup(look->path);
    struct statfs fs;
    int rc = statfs(dirname(copy), &fs);
    free(copy);
    if (rc < 0)
        return refuse_errno(look, "its folder cannot be looked at");
    for (size_t i = 0; i < ARRAY_COUNT(network_systems); i++) {
        if ((unsigned long)fs.f_type == network_systems[i].magic) {
            char cause[160];
            snprintf(cause, sizeof cause, "it would lie on a network file system (%s), where locks and syncs cannot be relied on",
                     network_systems[i].name);
            return refuse(look, cause, "give a folder on a local disk (--state-dir DIR)");
        }
    }
    return 0;
}

static int64_t suffix_bytes(const char *path, const char *suffix) /* -1: no such file */
{
    char *name = xasprintf("%s%s", path, suffix);
    struct stat st;
    int64_t bytes = stat(name, &st) == 0 ? st.st_size : -1;
    free(name);
    return bytes;
}

/* Missing or of no bytes: a new store, unless something tells that there was one. */
static int look_nothing(struct look *look, const char *how)
{
    if (look->is_copy)
        return refuse(look, "it is empty", COPY_HINT);
    char *marker = sqlite_marker_path(look->path);
    bool has_marker = access(marker, F_OK) == 0;
    int rc = 0;
    if (has_marker || look->has_log) {
        rc = galloc_fail(look->error, GALLOC_D_STORE_REFUSED,
                         "%s: it is %s, but %s%s says that a store was here. Next: put the file or a backup back (gallocd --restore FILE); "
                         "to begin with an empty store, move that file away",
                         look->path, how, has_marker ? marker : look->path, has_marker ? "" : "-wal");
    }
    free(marker);
    return rc;
}

/* ---- the header ---- */
static uint32_t big_endian(const unsigned char *at, int bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static int look_version(struct look *look, uint32_t application_id, int version)
{
    char cause[200];
    if (application_id != SQLITE_APPLICATION_ID) {
        snprintf(cause, sizeof cause, "it is the database of another program (application_id 0x%08x)", application_id);
        return refuse(look, cause, "give the daemon a folder of its own (--state-dir DIR)");
    }
    if (version > look->latest_version) {
        snprintf(cause, sizeof cause, "it was written by a newer gallocd (schema %d; this one knows %d)", version, look->latest_version);
        return refuse(look, cause, "start that version, or put a backup of the older one in place");
    }
    if (version < 1)
        return refuse(look, "its schema has no number", SQLITE_RESTORE_HINT);
    look->version = version;
    return 0;
}

static int look_header(struct look *look, int fd)
{
    unsigned char header[HEADER_BYTES];
    ssize_t got = pread(fd, header, sizeof header, 0);
    if (got < 0)
        return refuse_errno(look, "it cannot be read");
    if (got < HEADER_BYTES || memcmp(header, "SQLite format 3", 16) != 0)
        return refuse(look, "it is not a database", "give the daemon a folder of its own (--state-dir DIR), or put a backup in place");
    uint32_t page = big_endian(header + 16, 2);
    look->page_bytes = page == 1 ? 65536 : page;
    bool is_sane = look->page_bytes >= 512 && (look->page_bytes & (look->page_bytes - 1)) == 0 && header[18] <= 2 && header[19] <= 2 &&
                   header[21] == 64 && header[22] == 32 && header[23] == 32;
    if (!is_sane)
        return refuse(look, "it is corrupt: its header cannot be", SQLITE_RESTORE_HINT);
    if (look->has_log) { /* the newest pages are in the log, and that header counts */
        look->version = (int)big_endian(header + 60, 4);
        return 0;
    }
    int64_t pages = big_endian(header + 28, 4);
    bool is_counted = big_endian(header + 24, 4) == big_endian(header + 92, 4) && pages > 0;
    int64_t told_bytes = is_counted ? pages * (int64_t)look->page_bytes : look->size_bytes - look->size_bytes % look->page_bytes;
    if (look->size_bytes < told_bytes || (look->is_copy && look->size_bytes > told_bytes)) { /* nobody reads what is behind: a sound copy has nothing there */
        char cause[200];
        snprintf(cause, sizeof cause, "%s: %lld bytes, and its header tells of %lld", look->size_bytes < told_bytes ? "it is cut off" : "more follows behind the database",
                 (long long)look->size_bytes, (long long)told_bytes);
        return refuse(look, cause, SQLITE_RESTORE_HINT);
    }
    return look_version(look, big_endian(header + 68, 4), (int)big_endian(header + 60, 4));
}

/* ---- the schema, through SQLite ---- */
static char *uri_of(const char *path)
{
    struct buf uri = BUF_EMPTY;
    buf_add_str(&uri, "file:");
    for (const char *at = path; *at != '\0'; at++) {
        if (strchr("?#%", *at) != NULL)
            buf_add_fmt(&uri, "%%%02X", (unsigned)(unsigned char)*at);
        else
            buf_add_char(&uri, *at);
    }
    buf_add_str(&uri, "?immutable=1");
    return buf_take(&uri);
}

static int corrupt(struct look *look, sqlite3 *db, int rc)
{
    if ((rc & 0xff) == SQLITE_IOERR || rc == SQLITE_CANTOPEN)
        return galloc_fail(look->error, GALLOC_D_STORE_IO, "%s: it cannot be read: %s", look->shown, sqlite3_errmsg(db));
    char cause[300];
    snprintf(cause, sizeof cause, "it is corrupt: %s", sqlite3_errmsg(db));
    return refuse(look, cause, SQLITE_RESTORE_HINT);
}

int64_t sqlite_number_in(sqlite3 *db, const char *sql, int *ret_rc)
{
    sqlite3_stmt *stmt = NULL;
    int64_t value = 0;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    *ret_rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
    return value;
}

static int look_digest(struct look *look, sqlite3 *db)
{
    char digest[DIGEST_HEX], kept[DIGEST_HEX] = "";
    int rc = sqlite_schema_digest(db, digest);
    sqlite3_stmt *stmt = NULL;
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "SELECT value FROM meta WHERE name = 'schema_sha256'", -1, &stmt, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        snprintf(kept, sizeof kept, "%s", (const char *)sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return corrupt(look, db, rc);
    if (strcmp(kept, digest) != 0)
        return refuse(look, "it is corrupt: its schema is not the one that was written", SQLITE_RESTORE_HINT);
    return 0;
}

/* Does each table and index begin with a page of a tree? Raw bytes only where no log may hold newer ones. */
static int look_root(struct look *look, int fd, int64_t root, int64_t pages)
{
    unsigned char kind = 0;
    off_t at = (root - 1) * (off_t)look->page_bytes + (root == 1 ? HEADER_BYTES : 0);
    if (root < 1 || root > pages || (!look->has_log && pread(fd, &kind, 1, at) != 1))
        return refuse(look, "it is corrupt: a table begins outside of the file", SQLITE_RESTORE_HINT);
    if (!look->has_log && kind != 2 && kind != 5 && kind != 10 && kind != 13)
        return refuse(look, "it is corrupt: a table's first page is damaged", SQLITE_RESTORE_HINT);
    return 0;
}

static int look_roots(struct look *look, sqlite3 *db, int fd)
{
    int sqlite_rc = SQLITE_OK;
    int64_t pages = sqlite_number_in(db, "PRAGMA page_count", &sqlite_rc);
    sqlite3_stmt *stmt = NULL;
    if (sqlite_rc == SQLITE_OK)
        sqlite_rc = sqlite3_prepare_v2(db, "SELECT rootpage, type, name FROM sqlite_schema WHERE rootpage > 0", -1, &stmt, NULL);
    int rc = 0;
    while (rc == 0 && sqlite_rc == SQLITE_OK && (sqlite_rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        rc = look_root(look, fd, sqlite3_column_int64(stmt, 0), pages);
        sqlite_rc = SQLITE_OK;
        if (rc != 0 || strcmp((const char *)sqlite3_column_text(stmt, 1), "table") != 0)
            continue;
        char *sql = sqlite3_mprintf("SELECT 1 FROM \"%w\" LIMIT 1", (const char *)sqlite3_column_text(stmt, 2));
        sqlite_number_in(db, sql, &sqlite_rc);
        sqlite3_free(sql);
    }
    sqlite3_finalize(stmt);
    return rc == 0 && sqlite_rc != SQLITE_DONE ? corrupt(look, db, sqlite_rc) : rc;
}

static int look_inside(struct look *look, int fd)
{
    char *uri = look->has_log ? xstrdup(look->path) : uri_of(look->path);
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | (look->has_log ? 0 : SQLITE_OPEN_URI);
    int sqlite_rc = sqlite3_open_v2(uri, &db, flags, NULL);
    free(uri);
    if (sqlite_rc == SQLITE_OK)
        sqlite_rc = sqlite_settle_in(db, false);
    int64_t application_id = sqlite_rc == SQLITE_OK ? sqlite_number_in(db, "PRAGMA application_id", &sqlite_rc) : 0;
    int64_t version = sqlite_rc == SQLITE_OK ? sqlite_number_in(db, "PRAGMA user_version", &sqlite_rc) : 0;
    if (sqlite_rc != SQLITE_OK && sqlite_code_of(db, look->path, sqlite_rc) == -GALLOC_DISK_FULL) {
        sqlite3_close(db); /* no room for the log's index: what the file's own header told has to do */
        return 0;
    }
    int rc = sqlite_rc == SQLITE_OK ? look_version(look, (uint32_t)application_id, (int)version) : corrupt(look, db, sqlite_rc);
    if (rc == 0)
        rc = look_digest(look, db);
    if (rc == 0)
        rc = look_roots(look, db, fd);
    sqlite3_close(db);
    return rc;
}

static int look_at(struct look given, enum store_file *ret_file, int *ret_version)
{
    struct look look = given;
    look.has_log = suffix_bytes(look.path, "-wal") > 0;
    int rc = look_file_system(&look);
    if (rc != 0)
        return rc;
    int fd = open(look.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno != ENOENT)
        return refuse_errno(&look, "it cannot be opened");
    struct stat st = {0};
    *ret_file = STORE_FILE_NONE;
    if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)) {
        rc = look_nothing(&look, fd < 0 ? "missing" : "empty");
    } else if (!S_ISREG(st.st_mode)) {
        rc = refuse(&look, "it is not a file", "move it away, or give another folder (--state-dir DIR)");
    } else {
        look.size_bytes = st.st_size;
        rc = look_header(&look, fd);
        if (rc == 0)
            rc = look_inside(&look, fd);
        *ret_file = STORE_FILE_USABLE;
        *ret_version = look.version;
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

int sqlite_look(const char *path, int latest_version, enum store_file *ret_file, int *ret_version, struct galloc_error *error)
{
    return look_at((struct look){.path = path, .shown = path, .error = error, .latest_version = latest_version}, ret_file, ret_version);
}

int sqlite_look_copy(const char *path, const char *shown, int latest_version, int *ret_version, struct galloc_error *error)
{
    enum store_file file;
    return look_at((struct look){.path = path, .shown = shown, .is_copy = true, .error = error, .latest_version = latest_version}, &file, ret_version);
}
