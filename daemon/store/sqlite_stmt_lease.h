/* Statements on leases of outside workers and their verdicts: rows for sqlite_stmt.h. */
#ifndef GALLOC_STORE_SQLITE_STMT_LEASE_H
#define GALLOC_STORE_SQLITE_STMT_LEASE_H

/* clang-format off */
#define STANDING_LEASES "lease INDEXED BY lease_deadline WHERE worker IS NOT NULL AND ended_at_ms IS NULL"

#define SQLITE_LEASE_STATEMENTS(X)                                                                                                                \
    X(STMT_LEASE_INSERT, "INSERT INTO lease(number, run, worker, ttl_ms, deadline_ms, row_count, node) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")       \
    X(STMT_LEASE_GET, "SELECT run, ttl_ms, ended_at_ms IS NOT NULL, deadline_ms <= ?2, row_count FROM lease WHERE number = ?1 "                   \
                      "AND worker IS NOT NULL")                                                                                                   \
    X(STMT_LEASE_RENEW, "UPDATE lease SET deadline_ms = ?2 WHERE number = ?1")                                                                    \
    X(STMT_LEASE_LEFT, "SELECT count(*) FROM assignment INDEXED BY assignment_leased WHERE lease = ?1 AND state = 1")                             \
    X(STMT_LEASE_END, "UPDATE lease SET ended_at_ms = ?2 WHERE number = ?1 AND ended_at_ms IS NULL")                                              \
    X(STMT_LEASES_DUE, "SELECT number, run, worker, row_count FROM " STANDING_LEASES " AND deadline_ms <= ?1 ORDER BY deadline_ms LIMIT ?2")      \
    X(STMT_LEASE_NEXT_DUE, "SELECT deadline_ms FROM " STANDING_LEASES " ORDER BY deadline_ms LIMIT 1")                                            \
    X(STMT_LEASE_STANDING, "SELECT number, run FROM " STANDING_LEASES " LIMIT 1")                                                                   \
    X(STMT_LEASE_ROW, "SELECT id, lost_alone FROM assignment INDEXED BY assignment_leased WHERE lease = ?1 AND state = 1 LIMIT 1")                \
    X(STMT_LEASE_ATTEMPTS_END, "UPDATE attempt SET class = ?2, message = ?3, ended_at_ms = ?4 WHERE (assignment, n) IN "                          \
                               "(SELECT id, attempts FROM assignment INDEXED BY assignment_leased WHERE lease = ?1 AND state = 1) "               \
                               "AND lease = ?1 AND class IS NULL")                                                                                \
    X(STMT_LEASE_ROWS_BACK, "UPDATE assignment INDEXED BY assignment_leased SET state = 0, lease = NULL, class = ?2, "                            \
                            "not_before_ms = coalesce(?3, not_before_ms), goes_alone = max(goes_alone, ?4), lost_alone = lost_alone + ?5 "        \
                            "WHERE lease = ?1 AND state = 1")                                                                                     \
    X(STMT_LOST_ALONE_BY, "SELECT coalesce(l.worker, '?'), t.lease FROM attempt t LEFT JOIN lease l ON l.number = t.lease "                       \
                          "WHERE t.assignment = ?1 AND t.class = ?2 AND t.call IS NULL ORDER BY t.n DESC LIMIT ?3")                             \
    X(STMT_ROW_BY_KEY, "SELECT run, state, lease, attempts, hold, retries_spent, reasks_spent, fulls_spent, failures, token_cap, id "             \
                       "FROM assignment WHERE run = ?1 AND key = ?2")                                                                             \
    X(STMT_ROWS_OF_LEASE, "SELECT run, state, lease, attempts, hold, retries_spent, reasks_spent, fulls_spent, failures, token_cap, id, key "     \
                          "FROM assignment INDEXED BY assignment_leased WHERE lease = ?1 AND state = 1")                                          \
    X(STMT_ATTEMPT_OF_LEASE, "SELECT class FROM attempt WHERE assignment = ?1 AND lease = ?2 AND class IS NOT NULL LIMIT 1")                      \
    X(STMT_ATTEMPT_CLOSE, "UPDATE attempt SET class = ?4, message = ?5, ended_at_ms = ?6 WHERE assignment = ?1 AND n = ?2 AND lease = ?3 "        \
                          "AND class IS NULL")                                                                                                    \
    X(STMT_RECOVER_OUTSIDE, "UPDATE lease SET deadline_ms = max(deadline_ms, ?1 + min(ttl_ms, ?2)) WHERE worker IS NOT NULL "                     \
                            "AND ended_at_ms IS NULL")                                                                                            \
    X(STMT_IMAGE_LEASES, "SELECT number, run, worker, ttl_ms, deadline_ms, (SELECT count(*) FROM assignment INDEXED BY assignment_leased "       \
                         "WHERE lease = number AND state = 1) FROM " STANDING_LEASES " ORDER BY number")                                          \
/* END OF LEASES */
/* clang-format on */

#endif
