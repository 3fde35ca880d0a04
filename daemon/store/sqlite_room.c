/* The doctor's look at what makes the store smaller, and at the room there is. A reader's thread. */
#include "store/sqlite_doctor.h"

#include "base/text.h"
#include "store/file.h"

#include <stdlib.h>
#include <sys/stat.h>

/* The first column of a statement's only row. 1, or the operation's negative code. */
static int number(struct check *check, const char *sql, int64_t *ret_value)
{
    sqlite3_stmt *row = doctor_ask(check, sql, 0, 0);
    int rc = row ? read_next(check->reader, row) : check->reader->op->code;
    if (rc > 0)
        *ret_value = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return rc;
}

int doctor_check_purge(struct check *check)
{
    int64_t runs = 0, rows = 0;
    int rc = number(check, "SELECT count(*) FROM purge", &runs);
    if (rc > 0)
        rc = number(check, "SELECT coalesce(sum(row_count), 0) FROM purge", &rows);
    if (rc > 0 && runs > 0)
        doctor_note(check, "%s purged run%s still to be deleted: %s assignments are left of them", text_count(runs).text, runs == 1 ? " is" : "s are", text_count(rows).text);
    return rc < 0 ? rc : 0;
}

static int64_t log_bytes(const char *path)
{
    struct stat st;
    char *log = xasprintf("%s-wal", path);
    int64_t bytes = stat(log, &st) == 0 ? st.st_size : 0;
    free(log);
    return bytes;
}

int doctor_check_space(struct check *check)
{
    int64_t pages = 0, free_pages = 0, page_bytes = 0, owed = 0;
    int rc = number(check, "PRAGMA page_count", &pages);
    if (rc > 0)
        rc = number(check, "PRAGMA freelist_count", &free_pages);
    if (rc > 0)
        rc = number(check, "PRAGMA page_size", &page_bytes);
    if (rc > 0)
        rc = number(check, SQLITE_OWED, &owed);
    int64_t free_bytes = file_free_bytes(check->reader->path), reserve_bytes = sqlite_reserve_bytes(owed, log_bytes(check->reader->path), free_pages);
    if (rc > 0 && free_bytes < reserve_bytes)
        doctor_found(check, "%s MiB are free on the file system, and %s MiB are kept for results that are owed: no new work is taken in. Next: make room "
                     "(gallocctl purge, or other files)", text_count(free_bytes >> 20).text, text_count(reserve_bytes >> 20).text);
    if (rc > 0)
        doctor_note(check, "%s MiB, of which %s MiB are free pages%s", text_count(pages * page_bytes >> 20).text, text_count(free_pages * page_bytes >> 20).text,
                    free_pages * page_bytes >> 20 > 1 ? ": new rows take them, and while nothing else is done they are given back" : "");
    return rc < 0 ? rc : 0;
}
