/* What a failure of SQLite means for us: a full disk (which SQLite tells as FULL or as an I/O error), a failed medium, or something else. */
#include "store/sqlite.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/statvfs.h>

#define SPACE_LEAST_BYTES (1 << 20) /* an I/O error with less than this left is a full disk */

static bool is_space_gone(const char *path)
{
    struct statvfs fs;
    return statvfs(path, &fs) == 0 && ((uint64_t)fs.f_bavail * fs.f_frsize < SPACE_LEAST_BYTES || (fs.f_files > 0 && fs.f_favail == 0));
}

static bool is_io(int sqlite_code)
{
    return (sqlite_code & 0xff) == SQLITE_IOERR;
}

/* Ours, not the disk's: a row that a CHECK refuses, a statement that is wrong. Only the operation falls. */
static bool is_bug(int sqlite_code)
{
    int code = sqlite_code & 0xff;
    return code == SQLITE_CONSTRAINT || code == SQLITE_MISMATCH || code == SQLITE_ERROR || code == SQLITE_MISUSE || code == SQLITE_RANGE ||
           code == SQLITE_TOOBIG;
}

static int last_errno_of(sqlite3 *db, int which_file)
{
    sqlite3_file *file = NULL;
    int number = 0;
    if (sqlite3_file_control(db, "main", which_file, &file) != SQLITE_OK || file == NULL || file->pMethods == NULL || file->pMethods->xFileControl == NULL || /* a journal in memory */
        file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &number) != SQLITE_OK)
        return 0;
    return number;
}

/* SQLite remembers errno for most failures, but not for that of a COMMIT: there each file remembers its own. */
static int os_error_of(sqlite3 *db)
{
    int number = db == NULL ? 0 : sqlite3_system_errno(db);
    if (number == 0 && db != NULL)
        number = last_errno_of(db, SQLITE_FCNTL_JOURNAL_POINTER); /* the log */
    if (number == 0 && db != NULL)
        number = last_errno_of(db, SQLITE_FCNTL_FILE_POINTER);
    return number;
}

int sqlite_code_of(sqlite3 *db, const char *path, int sqlite_code)
{
    int os_error = os_error_of(db);
    if (is_bug(sqlite_code))
        return -GALLOC_INTERNAL;
    if ((sqlite_code & 0xff) == SQLITE_FULL)
        return -GALLOC_DISK_FULL;
    if (is_io(sqlite_code) && (os_error == ENOSPC || os_error == EDQUOT || is_space_gone(path)))
        return -GALLOC_DISK_FULL;
    if (is_io(sqlite_code) && os_error == EIO)
        return -GALLOC_D_STORE_IO;
    return -GALLOC_STORE_UNAVAILABLE;
}

int sqlite_fault(struct sqlite_store *store, int sqlite_code, const char *doing)
{
    if (store->fault < 0)
        return store->fault;
    int os_error = os_error_of(store->db), primary = sqlite_code & 0xff;
    store->is_corrupt = store->is_corrupt || primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB;
    int code = sqlite_code_of(store->db, store->path, sqlite_code);
    const char *words = store->db == NULL ? sqlite3_errstr(sqlite_code) : sqlite3_errmsg(store->db);
    bool has_cause = is_io(sqlite_code) && os_error != 0;
    store->fault = galloc_fail(&store->fault_error, -code, "%s: %s%s%s (SQLite %d, at: %.80s)", store->path, words, has_cause ? ": " : "",
                               has_cause ? strerror(os_error) : "", sqlite_code, doing);
    return store->fault;
}

int sqlite_refuse(struct store_op *op, int code, const char *fmt, ...)
{
    char message[sizeof op->error.message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    return galloc_fail(&op->error, code, "%s", message);
}
