/* Statements of purge and upkeep: rows for sqlite_stmt.h. A piece of a run's rows is told by ?1 the run and ?2 the highest id. */
#ifndef GALLOC_STORE_SQLITE_STMT_PURGE_H
#define GALLOC_STORE_SQLITE_STMT_PURGE_H

#include "store/sqlite_columns.h"

/* clang-format off */
#define PURGED_ROWS "(SELECT id FROM assignment INDEXED BY assignment_run WHERE run = ?1 AND id <= ?2)"
#define PURGED_CALLS "(SELECT t.call FROM assignment a INDEXED BY assignment_run JOIN attempt t ON t.assignment = a.id " \
                    "WHERE a.run = ?1 AND a.id <= ?2 AND t.call IS NOT NULL)"
#define OLD_TESTS "FROM call c INDEXED BY call_loose WHERE c.kind > 0 AND c.kind = 1 AND c.state IN (1, 2) AND c.sent_at_ms <= ?1 AND c.id <= ?2"

#define SQLITE_PURGE_STATEMENTS(X)                                                                                                                  \
    /* marking */                                                                                                                                 \
    X(STMT_PURGE_MARK, "INSERT INTO purge(run, is_release, pool, row_count, seq) VALUES(?1, ?2, (SELECT p.id FROM ledger l JOIN pool p "          \
                       "ON p.id = l.pool WHERE l.id = ?3 AND p.name IS NULL), ?4, ?5)")                                                           \
    X(STMT_PURGE_OPEN, "SELECT 1 FROM attempt t INDEXED BY attempt_open CROSS JOIN assignment a ON a.id = t.assignment WHERE t.class IS NULL "    \
                       "AND a.run = ?1 LIMIT 1")                                                                                                  \
    X(STMT_PURGE_KEYS, "DELETE FROM idempotency WHERE run = ?1")                                                                                  \
    X(STMT_PURGE_OLD, "SELECT id FROM run INDEXED BY run_ended WHERE state >= 2 AND finished_at_ms <= ?1 AND id > ?2 "                            \
                      "AND id NOT IN (SELECT run FROM purge) ORDER BY id LIMIT ?3")                                                               \
    /* a run's rows */                                                                                                                            \
    X(STMT_PURGE_NEXT, "SELECT p.run, p.is_release, coalesce(p.pool, 0), coalesce(r.ledger, 0), r.run_id FROM purge p JOIN run r ON r.id = p.run " \
                       "ORDER BY p.seq LIMIT 1")                                                                                                  \
    X(STMT_PURGE_PIECE, "SELECT max(id), count(*) FROM (SELECT id FROM assignment INDEXED BY assignment_run WHERE run = ?1 ORDER BY id LIMIT ?2)") \
    X(STMT_PURGE_HELD, "SELECT agent, count(*) FROM assignment INDEXED BY assignment_run WHERE run = ?1 AND id <= ?2 AND agent IS NOT NULL "      \
                       "AND resets = (SELECT resets FROM ledger WHERE id = ?3) GROUP BY agent")                                                   \
    X(STMT_PURGE_KEEP, "UPDATE ledger_agent SET base = base + ?3 WHERE ledger = ?1 AND agent = ?2")                                               \
    X(STMT_PURGE_FREE, "UPDATE ledger_agent SET held = held - ?3 WHERE ledger = ?1 AND agent = ?2")                                               \
    X(STMT_PURGE_CALL_SUMS, "SELECT c.endpoint, 92, count(*), " SQLITE_CALL_USAGE " FROM call c WHERE c.kind = 0 AND c.state IN (1, 2) "          \
                            "AND c.id IN " PURGED_CALLS " GROUP BY 1")                                                                             \
    X(STMT_PURGE_CALL_CLASSES, "SELECT endpoint, 10 + class, count(*) FROM call WHERE kind = 0 AND state IN (1, 2) AND class IS NOT NULL "        \
                               "AND id IN " PURGED_CALLS " GROUP BY endpoint, class")                                                              \
    X(STMT_GONE_ADD, "INSERT INTO endpoint_gone(endpoint, kind, value) VALUES(?1, ?2, ?3) "                                                       \
                     "ON CONFLICT(endpoint, kind) DO UPDATE SET value = value + excluded.value")                                                  \
    X(STMT_PURGE_CALLS_KEEP, "UPDATE call SET kind = 2 WHERE sent_at_ms > ?3 AND kind = 0 AND id IN " PURGED_CALLS)                                \
    X(STMT_PURGE_CALLS, "DELETE FROM call WHERE kind = 0 AND id IN " PURGED_CALLS)                                                                 \
    X(STMT_PURGE_ATTEMPTS, "DELETE FROM attempt WHERE assignment IN " PURGED_ROWS)                                                                 \
    X(STMT_PURGE_RESULTS, "DELETE FROM result WHERE assignment IN " PURGED_ROWS)                                                                   \
    X(STMT_PURGE_PAYLOADS, "DELETE FROM payload WHERE assignment IN " PURGED_ROWS)                                                                 \
    X(STMT_PURGE_ROWS, "DELETE FROM assignment INDEXED BY assignment_run WHERE run = ?1 AND id <= ?2")                                            \
    X(STMT_PURGE_COUNT, "UPDATE purge SET row_count = max(row_count - ?2, 0) WHERE run = ?1")                                                     \
    /* what else it has: at most ?2 rows at once */                                                                                               \
    X(STMT_PURGE_PARTS, "DELETE FROM import_part WHERE run = ?1 AND part IN (SELECT part FROM import_part WHERE run = ?1 LIMIT ?2)")              \
    X(STMT_PURGE_LEASES, "DELETE FROM lease WHERE number IN (SELECT number FROM lease INDEXED BY lease_run WHERE run = ?1 LIMIT ?2)")             \
    X(STMT_PURGE_ROLLUPS, "DELETE FROM rollup WHERE run = ?1 AND minute IN (SELECT minute FROM rollup WHERE run = ?1 LIMIT ?2)")                  \
    X(STMT_PURGE_RESERVES, "DELETE FROM reserve INDEXED BY reserve_run WHERE run = ?1")                                                           \
    X(STMT_PURGE_COUNTS, "DELETE FROM run_count WHERE run = ?1")                                                                                  \
    X(STMT_PURGE_UNTIE, "UPDATE run SET ledger = NULL WHERE id = ?1")                                                                             \
    X(STMT_PURGE_SEATS, "DELETE FROM ledger_agent WHERE ledger IN (SELECT id FROM ledger WHERE pool = ?1) AND agent IN "                          \
                        "(SELECT s.agent FROM ledger_agent s JOIN ledger l ON l.id = s.ledger WHERE l.pool = ?1 LIMIT ?2)")                       \
    X(STMT_PURGE_AGENTS, "DELETE FROM agent WHERE id IN (SELECT id FROM agent WHERE pool = ?1 LIMIT ?2)")                                         \
    X(STMT_PURGE_LEDGER, "DELETE FROM ledger WHERE pool = ?1")                                                                                    \
    X(STMT_PURGE_POOL, "DELETE FROM pool WHERE id = ?1")                                                                                          \
    X(STMT_PURGE_DONE, "DELETE FROM purge WHERE run = ?1")                                                                                        \
    X(STMT_PURGE_RUN, "DELETE FROM run WHERE id = ?1")                                                                                            \
    /* what has ages of its own: at most ?2 rows at once */                                                                                       \
    X(STMT_PRUNE_AUDIT, "DELETE FROM audit WHERE id IN (SELECT id FROM audit ORDER BY id LIMIT ?2) AND at_ms <= ?1")                              \
    X(STMT_PRUNE_KEYS, "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency INDEXED BY idempotency_made WHERE made_at_ms <= ?1 "    \
                       "LIMIT ?2)")                                                                                                               \
    X(STMT_PRUNE_LEASES, "DELETE FROM lease WHERE number IN (SELECT number FROM lease INDEXED BY lease_ended WHERE ended_at_ms <= ?1 LIMIT ?2)")  \
    X(STMT_PRUNE_DAYS, "DELETE FROM endpoint_day WHERE ends_at_ms <> ?1 AND (SELECT count(*) FROM endpoint_day n "                                \
                       "WHERE n.endpoint = endpoint_day.endpoint AND n.ends_at_ms > endpoint_day.ends_at_ms) >= ?2")                              \
    X(STMT_PRUNE_CALLS, "DELETE FROM call WHERE id IN (SELECT id FROM call INDEXED BY call_loose WHERE kind > 0 AND kind = 2 AND sent_at_ms <= ?1 LIMIT ?2)")  \
    X(STMT_PRUNE_TESTS_PIECE, "SELECT max(id) FROM (SELECT id FROM call INDEXED BY call_loose WHERE kind > 0 AND kind = 1 AND sent_at_ms <= ?1 LIMIT ?2)")     \
    X(STMT_PRUNE_TEST_SUMS, "SELECT c.endpoint, 98, count(*), " SQLITE_CALL_USAGE " " OLD_TESTS " GROUP BY 1")                                    \
    X(STMT_PRUNE_TESTS, "DELETE FROM call WHERE id IN (SELECT c.id " OLD_TESTS ")")                                                               \
    /* free pages */                                                                                                                              \
    X(STMT_OWED, SQLITE_OWED)                                                                                                                     \
    X(STMT_FREE_PAGES, "PRAGMA freelist_count")                                                                                                   \
    X(STMT_GIVE_PAGES, "PRAGMA incremental_vacuum(64)" )                                                                                          \
/* END OF PURGE */
/* clang-format on */

#endif
