/* A reader's connection: opened so that it cannot write or checkpoint, its statements prepared at first use. Each turn
 * is a transaction of its own, bounded in time, so that no snapshot is held for long; a progress handler ends what
 * takes longer, or what nobody waits for any more. */
#include "store/sqlite_reader.h"

#include "base/clock.h"
#include "base/negative.h"

#include <stdarg.h>
#include <stdio.h>

#define STEPS_A_LOOK 4000 /* instructions of SQLite between two looks at the clock: well under a millisecond */

static const char *const statement_sql[READ_STATEMENT_COUNT] = {
#define X(symbol, sql) [symbol] = sql,
    READ_STATEMENTS(X)
#undef X
};

static int look(void *arg)
{
    struct store_reader *reader = arg;
    if (atomic_load_explicit(&reader->is_interrupted, memory_order_relaxed))
        return 1;
    reader->is_ended = reader->is_ended || atomic_load_explicit(reader->ends_reads, memory_order_relaxed);
    return reader->is_ended || (reader->snapshot_end_us != 0 && clock_mono_us() >= reader->snapshot_end_us);
}

int read_begin(struct store_reader *reader, struct store_op *op, int64_t snapshot_ms)
{
    reader->op = op;
    op->code = 0;
    reader->is_ended = false;
    reader->snapshot_end_us = snapshot_ms > 0 ? clock_mono_us() + snapshot_ms * 1000 : 0;
    int rc = read_check_ending(reader);
    int begun = rc < 0 ? SQLITE_OK : sqlite3_exec(reader->db, "BEGIN", NULL, NULL, NULL);
    if (begun != SQLITE_OK)
        rc = read_fault(reader, begun, "BEGIN");
    return rc;
}

void read_end(struct store_reader *reader)
{
    reader->snapshot_end_us = 0;
    if (!sqlite3_get_autocommit(reader->db))
        sqlite3_exec(reader->db, "ROLLBACK", NULL, NULL, NULL);
}

int sqlite_reader_open(const char *path, const atomic_bool *ends_reads, struct store_reader **ret_reader, struct galloc_error *error)
{
    sqlite3 *db = NULL;
    int rc = sqlite_open_readonly(path, &db, error);
    if (rc < 0)
        return rc;
    struct store_reader *reader = xcalloc(1, sizeof(*reader));
    reader->db = db;
    reader->path = path;
    reader->ends_reads = ends_reads;
    sqlite3_progress_handler(db, STEPS_A_LOOK, look, reader);
    *ret_reader = reader;
    return 0;
}

void sqlite_reader_close(struct store_reader *reader)
{
    if (reader == NULL)
        return;
    tallies_free(reader);
    for (size_t i = 0; i < READ_STATEMENT_COUNT; i++)
        sqlite3_finalize(reader->statements[i]);
    sqlite3_close(reader->db);
    free(reader);
}

void sqlite_reader_interrupt(struct store_reader *reader)
{
    atomic_store(&reader->is_interrupted, true);
}

/* ---- errors ---- */
int read_refuse(struct store_reader *reader, int code, const char *fmt, ...)
{
    char message[sizeof reader->op->error.message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    reader->op->code = galloc_fail(&reader->op->error, code, "%s", message);
    return reader->op->code;
}

int read_check_ending(struct store_reader *reader)
{
    return atomic_load(&reader->is_interrupted)
               ? read_refuse(reader, GALLOC_STORE_UNAVAILABLE, "the store is being closed")
               : 0;
}

int read_fault(struct store_reader *reader, int sqlite_code, const char *doing)
{
    int code = sqlite_code & 0xff;
    if (code == SQLITE_INTERRUPT && read_check_ending(reader) < 0)
        return reader->op->code;
    if (code == SQLITE_INTERRUPT && reader->is_ended)
        return read_refuse(reader, GALLOC_BUSY,
                           "the store's log had to be emptied, and it was in the way; try again when less is written");
    if (code == SQLITE_INTERRUPT)
        return read_refuse(reader, GALLOC_BUSY, "reading took longer than %d s and was ended; ask for less at once",
                           READ_SNAPSHOT_MS / 1000);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
        return read_refuse(reader, GALLOC_CORRUPT, "%s: %s; next: gallocctl doctor", reader->path,
                           sqlite3_errmsg(reader->db));
    return read_refuse(reader, -sqlite_code_of(reader->db, reader->path, sqlite_code), "%s: %s (SQLite %d, at: %.80s)",
                       reader->path, sqlite3_errmsg(reader->db), sqlite_code, doing);
}

/* ---- statements ---- */
int read_next(struct store_reader *reader, sqlite3_stmt *row)
{
    int rc = sqlite3_step(row);
    if (rc == SQLITE_ROW)
        return 1;
    int code = rc == SQLITE_DONE ? 0 : read_fault(reader, rc, sqlite3_sql(row));
    sqlite3_reset(row);
    return code;
}

static int find(struct store_reader *reader, enum read_statement statement, sqlite3_stmt **ret_row, const char *binds,
                va_list args)
{
    sqlite3_stmt **slot = &reader->statements[statement];
    int rc = SQLITE_OK;
    if (*slot == NULL)
        rc = sqlite3_prepare_v3(reader->db, statement_sql[statement], -1, SQLITE_PREPARE_PERSISTENT, slot, NULL);
    for (int at = 1; rc == SQLITE_OK && binds[at - 1] != '\0'; at++) {
        if (binds[at - 1] == 't')
            rc = sqlite3_bind_text(*slot, at, va_arg(args, const char *), -1, SQLITE_STATIC);
        else
            rc = sqlite3_bind_int64(*slot, at, va_arg(args, int64_t));
    }
    if (rc != SQLITE_OK)
        return read_fault(reader, rc, statement_sql[statement]);
    *ret_row = *slot;
    return read_next(reader, *slot);
}

int read_find(struct store_reader *reader, enum read_statement statement, sqlite3_stmt **ret_row, const char *binds,
              ...)
{
    va_list args;
    va_start(args, binds);
    int rc = find(reader, statement, ret_row, binds, args);
    va_end(args);
    return rc;
}

int read_number(struct store_reader *reader, enum read_statement statement, int64_t *ret_value, const char *binds, ...)
{
    va_list args;
    va_start(args, binds);
    sqlite3_stmt *row = NULL;
    int rc = find(reader, statement, &row, binds, args);
    va_end(args);
    if (rc > 0) {
        *ret_value = sqlite3_column_int64(row, 0);
        sqlite3_reset(row);
    }
    return rc;
}

/* ---- what is stored, checked ---- */
bool read_is_sound(sqlite3_stmt *row, int column)
{
    if (BREAKS(NO_DIGEST))
        return true;
    const void *text = sqlite3_column_text(row, column);
    size_t len = (size_t)sqlite3_column_bytes(row, column);
    unsigned char digest[DIGEST_BYTES];
    digest_of(text ? text : "", len, digest);
    return sqlite3_column_bytes(row, column + 1) == DIGEST_BYTES &&
           memcmp(digest, sqlite3_column_blob(row, column + 1), DIGEST_BYTES) == 0;
}

struct json_span read_member(struct json_span body, const char *name)
{
    const char *at = NULL;
    struct json_span member, value;
    while (json_next(body, &at, &member, &value))
        if (json_span_equals(member, name))
            return json_span_kind(value) == JSON_NULL ? (struct json_span){NULL, 0} : value;
    return (struct json_span){NULL, 0};
}
