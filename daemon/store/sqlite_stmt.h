/* Every statement of the writer's connection, in tables: a row is a name and its SQL. Prepared once, at first use. The hot path's are here, those of
 * operators' commands in sqlite_stmt_admin.h, of outside workers' leases in sqlite_stmt_lease.h, of purge and upkeep in sqlite_stmt_purge.h. */
#ifndef GALLOC_STORE_SQLITE_STMT_H
#define GALLOC_STORE_SQLITE_STMT_H

#include "store/sqlite_stmt_admin.h"
#include "store/sqlite_stmt_lease.h"
#include "store/sqlite_stmt_purge.h"

/* clang-format off */
#define ADD_TO_DAY "ON CONFLICT(endpoint, ends_at_ms) DO UPDATE SET calls = calls + excluded.calls, cost_micros = cost_micros + excluded.cost_micros"
#define ADD_TO_CLASS "ON CONFLICT(endpoint, class) DO UPDATE SET calls = calls + excluded.calls"
#define OPEN_CALLS                                                                                                                              \
    "SELECT DISTINCT c.id, c.endpoint, 0 AS is_test FROM attempt t INDEXED BY attempt_open JOIN call c ON c.id = t.call WHERE t.class IS NULL AND c.state = 0 " \
    "UNION ALL SELECT id, endpoint, 1 FROM call INDEXED BY call_open_test WHERE state = 0 AND kind = 1"
#define CLAIM_COLUMNS "a.id, a.key, a.attempts, a.retries_spent, a.reasks_spent, a.fulls_spent, a.failures, a.token_cap, p.fields, p.sha256, a.goes_alone, a.pack_most"

#define SQLITE_HOT_STATEMENTS(X)                                        \
    X(STMT_BEGIN, "BEGIN IMMEDIATE")                                                                                                                       \
    X(STMT_COMMIT, "COMMIT")                                                                                                                               \
    X(STMT_ROLLBACK, "ROLLBACK")                                                                                                                           \
    X(STMT_SAVEPOINT, "SAVEPOINT op")                                                                                                                      \
    X(STMT_SAVEPOINT_RELEASE, "RELEASE op")                                                                                                                \
    X(STMT_SAVEPOINT_UNDO, "ROLLBACK TO op")                                                                                                               \
    X(STMT_META_GET, "SELECT value FROM meta WHERE name = ?1")                                                                                             \
    X(STMT_META_PUT, "INSERT INTO meta(name, value) VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value = excluded.value")                                \
    X(STMT_RUN_LOAD,                                                                                                                                       \
      "SELECT r.id, r.run_id, r.state, r.pauses, r.is_open, r.ledger, l.pool, r.priority, r.parts, r.created_at_ms, r.started_at_ms, "                     \
      "r.finished_at_ms, r.event_seq, r.import_ms, (SELECT count(*) FROM sweep s WHERE s.run = r.id), "                                                    \
      "EXISTS(SELECT 1 FROM purge p WHERE p.run = r.id) FROM run r LEFT JOIN ledger l ON l.id = r.ledger WHERE r.id = ?1")                                 \
    X(STMT_COUNTS_LOAD, "SELECT kind, value FROM run_count WHERE run = ?1")                                                                                \
    X(STMT_RUN_WRITE,                                                                                                                                      \
      "UPDATE run SET state = ?1, pauses = ?2, is_open = ?3, priority = ?4, parts = ?5, started_at_ms = ?6, finished_at_ms = ?7, "                         \
      "event_seq = ?8, import_ms = ?9 WHERE id = ?10")                                                                                                     \
    X(STMT_COUNT_WRITE,                                                                                                                                    \
      "INSERT INTO run_count(run, kind, value) VALUES(?1, ?2, ?3) ON CONFLICT(run, kind) DO UPDATE SET value = excluded.value")                            \
    X(STMT_SEAT_LOAD,                                                                                                                                      \
      "SELECT la.held, a.capacity, a.is_listed, a.is_available, a.until_at_ms, l.resets FROM agent a JOIN ledger l ON l.id = ?1 AND l.pool = a.pool "                \
      "LEFT JOIN ledger_agent la ON la.ledger = l.id AND la.agent = a.id WHERE a.id = ?2")                                                                 \
    X(STMT_HELD_WRITE,                                                                                                                                     \
      "INSERT INTO ledger_agent(ledger, agent, held) VALUES(?1, ?2, ?3) ON CONFLICT(ledger, agent) DO UPDATE SET held = excluded.held")                    \
    X(STMT_CLAIM_WAITING,                                                                                                                                  \
      "SELECT " CLAIM_COLUMNS " FROM assignment a INDEXED BY assignment_waiting LEFT JOIN payload p ON p.assignment = a.id WHERE a.run = ?1 "              \
      "AND a.state = 0 AND a.is_late = ?2 AND a.not_before_ms > 0 AND a.not_before_ms <= ?3 ORDER BY a.not_before_ms LIMIT ?4")                            \
    X(STMT_CLAIM_FRESH,                                                                                                                                    \
      "SELECT " CLAIM_COLUMNS " FROM assignment a INDEXED BY assignment_fresh LEFT JOIN payload p ON p.assignment = a.id WHERE a.run = ?1 "                \
      "AND a.state = 0 AND a.not_before_ms = 0 ORDER BY a.id LIMIT ?2")                                                                                    \
    X(STMT_CLAIM_ONE, "SELECT " CLAIM_COLUMNS " FROM assignment a LEFT JOIN payload p ON p.assignment = a.id WHERE a.id = ?1")                             \
    X(STMT_ORDER_FRESH,                                                                                                                                    \
      "SELECT id FROM assignment INDEXED BY assignment_fresh WHERE run = ?1 AND state = 0 AND not_before_ms = 0 ORDER BY id LIMIT 1")                      \
    X(STMT_ORDER_WAITING,                                                                                                                                  \
      "SELECT id, not_before_ms FROM assignment INDEXED BY assignment_waiting WHERE run = ?1 AND state = 0 AND not_before_ms > 0 "                         \
      "AND hold <> 2 ORDER BY id LIMIT 1")                                                                                                                 \
    X(STMT_NEXT_DUE,                                                                                                                                       \
      "SELECT not_before_ms FROM assignment INDEXED BY assignment_waiting WHERE run = ?1 AND state = 0 AND is_late = ?2 AND not_before_ms > 0 "            \
      "ORDER BY not_before_ms LIMIT 1")                                                                                                                    \
    X(STMT_LEASE_IN_USE, "SELECT 1 FROM assignment WHERE lease = ?1 AND state = 1 LIMIT 1")                                                                \
    X(STMT_LEASE_DELETE, "DELETE FROM lease WHERE number = ?1 AND worker IS NULL")                                                                         \
    X(STMT_ROW_LEASE, "UPDATE assignment SET state = 1, lease = ?2, attempts = ?3 WHERE id = ?1")                                                          \
    X(STMT_ROW_HEDGE, "UPDATE assignment SET attempts = ?2 WHERE id = ?1")                                                                                 \
    X(STMT_ROW_GET,                                                                                                                                        \
      "SELECT run, state, lease, attempts, hold, retries_spent, reasks_spent, fulls_spent, failures, token_cap, id FROM assignment WHERE id = ?1")         \
    X(STMT_ROW_FINAL,                                                                                                                                      \
      "UPDATE assignment SET state = ?2, lease = NULL, hold = 0, class = ?3, agent = ?4, retries_spent = ?5, reasks_spent = ?6, "                          \
      "fulls_spent = ?7, failures = ?8, resets = ?9 WHERE id = ?1")                                                                                        \
    X(STMT_ROW_PENDING,                                                                                                                                    \
      "UPDATE assignment SET state = 0, lease = NULL, hold = ?2, is_late = ?3, not_before_ms = ?4, class = ?5, retries_spent = ?6, "                       \
      "reasks_spent = ?7, fulls_spent = ?8, failures = ?9, token_cap = ?10, pack_most = ?11 WHERE id = ?1")                                                \
    X(STMT_ROW_REASK,                                                                                                                                      \
      "UPDATE assignment SET lease = ?2, attempts = ?3, class = ?4, retries_spent = ?5, reasks_spent = ?6, fulls_spent = ?7, failures = ?8, "              \
      "token_cap = ?9 WHERE id = ?1")                                                                                                                      \
    X(STMT_ROW_GIVE_BACK, "UPDATE assignment SET state = 0, lease = NULL, class = ?2 WHERE id = ?1")                                                       \
    X(STMT_ROW_JUDGE, "UPDATE assignment SET hold = 0, not_before_ms = ?2, retries_spent = ?3 WHERE id = ?1")                                              \
    X(STMT_ATTEMPT_PROBLEM, "SELECT message FROM attempt WHERE assignment = ?1 AND n = ?2 AND class = ?3")                                                  \
    X(STMT_ATTEMPT_INSERT, "INSERT INTO attempt(assignment, n, lease, call, token_cap, started_at_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                     \
    X(STMT_ATTEMPT_END,                                                                                                                                    \
      "UPDATE attempt SET class = ?4, agent = ?5, excluded = ?6, tokens_in = ?7, tokens_out = ?8, cost_micros = ?9, message = ?10, "                       \
      "ended_at_ms = ?11, raw = ?12 WHERE assignment = ?1 AND n = ?2 AND lease = ?3 AND class IS NULL")                                                  \
    X(STMT_CALL_INSERT, "INSERT INTO call(endpoint, state, kind, node, sent_at_ms, attempt_count) VALUES(?1, 0, ?2, ?3, ?4, ?5)")                        \
    X(STMT_CALL_END,                                                                                                                                       \
      "UPDATE call SET state = ?2, ended_at_ms = ?3, class = ?4, http_status = ?5, tokens_in = ?6, tokens_cached = ?7, tokens_out = ?8, "                  \
      "tokens_thought = ?9, tokens_tool = ?10, cost_micros = ?11, currency = ?12, latency_ms = ?13, local_port = ?14, "                            \
      "attempt_count = ?15 WHERE id = ?1 AND state = 0")                                                                                                   \
    X(STMT_CALL_CLOSE, "UPDATE call SET state = ?2, ended_at_ms = ?3, class = ?4 WHERE id = ?1 AND state = 0")                                             \
    X(STMT_DAY_COUNT, "INSERT INTO endpoint_day(endpoint, ends_at_ms, calls, cost_micros) VALUES(?1, ?2, ?3, ?4) " ADD_TO_DAY)                             \
    X(STMT_DAY_COUNT_TEST,                                                                                                                                 \
      "INSERT INTO endpoint_day(endpoint, ends_at_ms, calls, cost_micros) SELECT endpoint, ?2, 1, ?3 FROM call WHERE id = ?1 AND state = 0 " ADD_TO_DAY)   \
    X(STMT_DAY_COUNT_LOST,                                                                                                                             \
      "INSERT INTO endpoint_day(endpoint, ends_at_ms, calls) SELECT endpoint, ?1, count(*) FROM (" OPEN_CALLS ") WHERE true GROUP BY endpoint " ADD_TO_DAY)\
    X(STMT_DAY_COST_LOST,                                                                                                                              \
      "INSERT INTO endpoint_day(endpoint, ends_at_ms, calls, cost_micros) SELECT c.endpoint, ?1, 0, sum(r.micros) FROM reserve r JOIN call c "         \
      "ON c.id = r.call WHERE c.state = 0 GROUP BY c.endpoint " ADD_TO_DAY)                                                                            \
    X(STMT_RESERVE_GET, "SELECT micros FROM reserve WHERE call = ?1")                                                                                  \
    X(STMT_RESERVE_PUT, "INSERT INTO reserve(call, run, micros) VALUES(?1, ?2, ?3) ON CONFLICT(call) DO UPDATE SET micros = excluded.micros")          \
    X(STMT_RESERVE_DROP, "DELETE FROM reserve WHERE call = ?1")                                                                                        \
    X(STMT_RESERVE_DROP_TESTS, "DELETE FROM reserve WHERE run = 0")                                                                                    \
    X(STMT_CALL_ENDPOINT, "SELECT endpoint FROM call WHERE id = ?1 AND state = 0")                                                                     \
    X(STMT_ENDPOINT_SUM_ADD,                                                                                                                           \
      "INSERT INTO endpoint_sum(endpoint, currency, calls, test_calls, tokens_in, tokens_cached, tokens_out, tokens_thought, tokens_tool, cost_micros, "\
      "cost_unknown_calls) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT(endpoint) DO UPDATE SET "                                  \
      "currency = coalesce(excluded.currency, currency), calls = calls + excluded.calls, test_calls = test_calls + excluded.test_calls, "              \
      "tokens_in = tokens_in + excluded.tokens_in, tokens_cached = tokens_cached + excluded.tokens_cached, tokens_out = tokens_out + excluded.tokens_out, "\
      "tokens_thought = tokens_thought + excluded.tokens_thought, tokens_tool = tokens_tool + excluded.tokens_tool, "                                  \
      "cost_micros = cost_micros + excluded.cost_micros, cost_unknown_calls = cost_unknown_calls + excluded.cost_unknown_calls")                       \
    X(STMT_ENDPOINT_CLASS_ADD, "INSERT INTO endpoint_class(endpoint, class, calls) VALUES(?1, ?2, ?3) " ADD_TO_CLASS)                                  \
    X(STMT_ENDPOINT_SUM_LOST,                                                                                                                          \
      "INSERT INTO endpoint_sum(endpoint, calls, test_calls) SELECT endpoint, sum(is_test = 0), sum(is_test = 1) FROM (" OPEN_CALLS ") WHERE true "    \
      "GROUP BY endpoint ON CONFLICT(endpoint) DO UPDATE SET calls = calls + excluded.calls, test_calls = test_calls + excluded.test_calls")           \
    X(STMT_ENDPOINT_CLASS_LOST,                                                                                                                        \
      "INSERT INTO endpoint_class(endpoint, class, calls) SELECT endpoint, ?1, count(*) FROM (" OPEN_CALLS ") WHERE is_test = 0 GROUP BY endpoint "    \
      ADD_TO_CLASS)                                                                                                                                    \
    X(STMT_RESULT_PUT,                                                                                                                                     \
      "INSERT INTO result(assignment, body, sha256, finished_at_ms) VALUES(?1, ?2, ?3, ?4) ON CONFLICT(assignment) DO UPDATE SET "                         \
      "body = excluded.body, sha256 = excluded.sha256, finished_at_ms = excluded.finished_at_ms")                                                          \
    X(STMT_PART_GET, "SELECT sha256, answer FROM import_part WHERE run = ?1 AND part = ?2")                                                                \
    X(STMT_PART_INSERT, "INSERT INTO import_part(run, part, sha256, row_count, answer) VALUES(?1, ?2, ?3, ?4, ?5)")                                        \
    X(STMT_IMPORT_ROW, "INSERT INTO assignment(run, key, part, row, state) VALUES(?1, ?2, ?3, ?4, 0) ON CONFLICT(run, key) DO NOTHING")                    \
    X(STMT_IMPORT_PAYLOAD, "INSERT INTO payload(assignment, fields, sha256) VALUES(?1, ?2, ?3)")                                                           \
    X(STMT_IMPORT_STANDING, "SELECT id, state FROM assignment WHERE run = ?1 AND key = ?2")                                                                \
    X(STMT_IMPORT_REPLACE, "UPDATE payload SET fields = ?2, sha256 = ?3 WHERE assignment = ?1")                                                            \
    X(STMT_IMPORT_NEWEST, "SELECT id, part FROM assignment INDEXED BY assignment_run WHERE run = ?1 ORDER BY id DESC LIMIT 1")                             \
    X(STMT_IMPORT_UNDO_PAYLOAD, "DELETE FROM payload WHERE assignment = ?1")                                                                               \
    X(STMT_IMPORT_UNDO_ROW, "DELETE FROM assignment WHERE id = ?1")                                                                                        \
    X(STMT_NODE_INSERT, "INSERT INTO node(incarnation, boot_id, pid, started_at_ms, started_ms) VALUES(?1, ?2, ?3, ?4, ?5)")                               \
    X(STMT_NODE_STOP, "UPDATE node SET stopped_at_ms = ?2 WHERE id = ?1")                                                                                  \
    X(STMT_NODE_STARTS, "SELECT count(*) FROM node WHERE started_ms >= ?1")                                                                                \
    X(STMT_NODE_PRUNE, "DELETE FROM node WHERE id < ?1 - 1000 AND NOT EXISTS (SELECT 1 FROM lease WHERE lease.node = node.id)")                            \
    X(STMT_RECOVER_ATTEMPTS,                                                                                                                               \
      "SELECT t.assignment, t.n, t.lease, t.call, a.run FROM attempt t INDEXED BY attempt_open JOIN assignment a ON a.id = t.assignment "                  \
      "LEFT JOIN lease l ON l.number = t.lease WHERE t.class IS NULL AND (l.worker IS NULL OR l.ended_at_ms IS NOT NULL) LIMIT ?1")                        \
    X(STMT_RECOVER_ROWS,                                                                                                                                   \
      "SELECT id, run FROM assignment INDEXED BY assignment_leased WHERE state = 1 "                                                                       \
      "AND lease NOT IN (SELECT number FROM " STANDING_LEASES ") LIMIT ?1")                                                                                \
    X(STMT_RECOVER_TESTS, "UPDATE call SET state = 2, ended_at_ms = ?1, class = ?2 WHERE state = 0 AND kind = 1")                                       \
    X(STMT_RECOVER_HELD, "UPDATE assignment INDEXED BY assignment_unjudged SET hold = 0, not_before_ms = ?1 WHERE state = 0 AND hold = 1")                 \
    X(STMT_RECOVER_LEASES, "DELETE FROM lease WHERE worker IS NULL")
/* clang-format on */

enum sqlite_statement {
#define X(symbol, sql) symbol,
    SQLITE_HOT_STATEMENTS(X) SQLITE_ADMIN_STATEMENTS(X) SQLITE_LEASE_STATEMENTS(X) SQLITE_PURGE_STATEMENTS(X)
#undef X
    SQLITE_STATEMENT_COUNT
};

#endif
