/* Every statement of the writer's connection, in tables: a row is a name and its SQL. Prepared once, at first use. The hot path's are here, those of
 * operators' commands in sqlite_stmt_admin.h. */
#ifndef GALLOC_STORE_SQLITE_STMT_H
#define GALLOC_STORE_SQLITE_STMT_H

#include "store/sqlite_stmt_admin.h"

/* clang-format off */
#define SQLITE_HOT_STATEMENTS(X)                                                                                                                    \
    X(STMT_BEGIN, "BEGIN IMMEDIATE")                                                                                                              \
    X(STMT_COMMIT, "COMMIT")                                                                                                                      \
    X(STMT_ROLLBACK, "ROLLBACK")                                                                                                                  \
    X(STMT_SAVEPOINT, "SAVEPOINT op")                                                                                                             \
    X(STMT_SAVEPOINT_RELEASE, "RELEASE op")                                                                                                       \
    X(STMT_SAVEPOINT_UNDO, "ROLLBACK TO op")                                                                                                      \
    X(STMT_META_GET, "SELECT value FROM meta WHERE name = ?1")                                                                                    \
    X(STMT_META_PUT, "INSERT INTO meta(name, value) VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value = excluded.value")                       \
/* END OF HOT */
/* clang-format on */

enum sqlite_statement {
#define X(symbol, sql) symbol,
    SQLITE_HOT_STATEMENTS(X) SQLITE_ADMIN_STATEMENTS(X)
#undef X
    SQLITE_STATEMENT_COUNT
};

#endif
