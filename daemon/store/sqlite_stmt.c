/* Statements: prepared at first use from the tables of sqlite_stmt.h, bound by a short format, always reset when they are done. The writer's thread. */
#include "store/sqlite.h"

#include <stdarg.h>

static const char *const statement_sql[SQLITE_STATEMENT_COUNT] = {
#define X(symbol, sql) [symbol] = sql,
    SQLITE_HOT_STATEMENTS(X) SQLITE_ADMIN_STATEMENTS(X) SQLITE_LEASE_STATEMENTS(X) SQLITE_PURGE_STATEMENTS(X)
#undef X
};

static sqlite3_stmt *statement_of(struct sqlite_store *store, enum sqlite_statement statement)
{
    sqlite3_stmt **slot = &store->statements[statement];
    if (*slot == NULL) {
        int rc = sqlite3_prepare_v3(store->db, statement_sql[statement], -1, SQLITE_PREPARE_PERSISTENT, slot, NULL);
        if (rc != SQLITE_OK) {
            sqlite_fault(store, rc, statement_sql[statement]);
            return NULL;
        }
    }
    return *slot;
}

static int bind_size(sqlite3_stmt *stmt, int at, char kind, const void *data, size_t size)
{
    if (data == NULL)
        return sqlite3_bind_null(stmt, at);
    return kind == 's' ? sqlite3_bind_text64(stmt, at, data, size, SQLITE_STATIC, SQLITE_UTF8)
                       : sqlite3_bind_blob64(stmt, at, data, size, SQLITE_STATIC);
}

static int bind_integer(sqlite3_stmt *stmt, int at, char kind, int64_t value)
{
    bool is_null = (kind == 'z' && value == 0) || (kind == 'm' && value < 0);
    return is_null ? sqlite3_bind_null(stmt, at) : sqlite3_bind_int64(stmt, at, value);
}

static int bind_all(sqlite3_stmt *stmt, const char *binds, va_list args)
{
    int rc = SQLITE_OK;
    for (int at = 1; rc == SQLITE_OK && binds[at - 1] != '\0'; at++) {
        char kind = binds[at - 1];
        if (kind == 's' || kind == 'b') {
            const void *data = va_arg(args, const void *);
            rc = bind_size(stmt, at, kind, data, va_arg(args, size_t));
        } else if (kind == 't') {
            const char *text = va_arg(args, const char *);
            rc = bind_size(stmt, at, 's', text, text == NULL ? 0 : strlen(text));
        } else {
            rc = bind_integer(stmt, at, kind, va_arg(args, int64_t));
        }
    }
    return rc;
}

/* Binds and takes the first step. 1 a row, 0 done, or a fault. */
static int start(struct sqlite_store *store, enum sqlite_statement statement, sqlite3_stmt **ret_stmt, const char *binds, va_list args)
{
    if (store->fault < 0)
        return store->fault;
    sqlite3_stmt *stmt = statement_of(store, statement);
    if (stmt == NULL)
        return store->fault;
    *ret_stmt = stmt;
    int rc = bind_all(stmt, binds, args);
    if (rc == SQLITE_OK)
        return sqlite_next(store, stmt);
    return sqlite_fault(store, rc, statement_sql[statement]);
}

int sqlite_next(struct sqlite_store *store, sqlite3_stmt *row)
{
    int rc = sqlite3_step(row);
    if (rc == SQLITE_ROW)
        return 1;
    if (rc == SQLITE_DONE) {
        sqlite3_reset(row);
        return 0;
    }
    int fault = sqlite_fault(store, rc, sqlite3_sql(row));
    sqlite3_reset(row);
    return fault;
}

void sqlite_end(sqlite3_stmt *row)
{
    sqlite3_reset(row);
}

int sqlite_do(struct sqlite_store *store, enum sqlite_statement statement, const char *binds, ...)
{
    va_list args;
    va_start(args, binds);
    sqlite3_stmt *stmt = NULL;
    int rc = start(store, statement, &stmt, binds, args);
    va_end(args);
    if (rc > 0)
        sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int sqlite_find(struct sqlite_store *store, enum sqlite_statement statement, sqlite3_stmt **ret_row, const char *binds, ...)
{
    va_list args;
    va_start(args, binds);
    int rc = start(store, statement, ret_row, binds, args);
    va_end(args);
    return rc;
}

int sqlite_number(struct sqlite_store *store, enum sqlite_statement statement, int64_t *ret_value, const char *binds, ...)
{
    va_list args;
    va_start(args, binds);
    sqlite3_stmt *stmt = NULL;
    int rc = start(store, statement, &stmt, binds, args);
    va_end(args);
    if (rc > 0) {
        *ret_value = sqlite3_column_int64(stmt, 0);
        sqlite3_reset(stmt);
    }
    return rc;
}

void sqlite_finalize_all(struct sqlite_store *store)
{
    for (size_t i = 0; i < SQLITE_STATEMENT_COUNT; i++) {
        sqlite3_finalize(store->statements[i]);
        store->statements[i] = NULL;
    }
}

char *sqlite_text_copy(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    return text == NULL ? NULL : xstrndup(text, (size_t)sqlite3_column_bytes(row, column));
}
