/* Statements of operators' commands, sweeps and opening: rows for sqlite_stmt.h. */
#ifndef GALLOC_STORE_SQLITE_STMT_ADMIN_H
#define GALLOC_STORE_SQLITE_STMT_ADMIN_H

/* clang-format off */
#define SQLITE_ADMIN_STATEMENTS(X)                                                                                                                  \
    X(STMT_SWEEP_COUNT_OF_RUN, "SELECT count(*) FROM sweep WHERE run = ?1")
/* clang-format on */

#endif
