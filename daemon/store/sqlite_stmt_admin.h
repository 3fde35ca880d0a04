/* Statements of operators' commands, sweeps and opening: rows for sqlite_stmt.h. */
#ifndef GALLOC_STORE_SQLITE_STMT_ADMIN_H
#define GALLOC_STORE_SQLITE_STMT_ADMIN_H

#include "store/sqlite_columns.h"

/* clang-format off */
#define SQLITE_ADMIN_STATEMENTS(X)                                                                                                                  \
    /* audit */                                                                                                                                   \
    X(STMT_AUDIT_ADD, "INSERT INTO audit(at_ms, uid, pid, verb, target, detail, seq) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")                         \
    /* pools */                                                                                                                                   \
    X(STMT_POOL_ADD, "INSERT INTO pool(name, created_at_ms) VALUES(?1, ?2)")                                                                      \
    X(STMT_POOL_GET, SQLITE_POOL)                                                                                                                     \
    X(STMT_POOL_BY_NAME, "SELECT id FROM pool WHERE name = ?1")                                                                                   \
    X(STMT_LEDGER_ADD, "INSERT INTO ledger(pool) VALUES(?1)")                                                                                     \
    X(STMT_AGENTS_OF_POOL, SQLITE_AGENTS_OF_POOL)                                                                                                     \
    X(STMT_AGENTS_UNLIST, "UPDATE agent SET is_listed = 0 WHERE pool = ?1 AND is_listed = 1")                                                     \
    X(STMT_AGENT_PUT, "INSERT INTO agent(pool, agent_id, capacity, is_available, until_at_ms, attributes) VALUES(?1, ?2, ?3, ?4, ?5, ?6) "        \
                      "ON CONFLICT(pool, agent_id) DO UPDATE SET is_listed = 1, capacity = excluded.capacity, "                                   \
                      "is_available = excluded.is_available, until_at_ms = excluded.until_at_ms, attributes = excluded.attributes")               \
    X(STMT_AGENT_GET, "SELECT id, capacity, is_available, until_at_ms, is_listed FROM agent WHERE pool = ?1 AND agent_id = ?2")                   \
    X(STMT_AGENT_SET, "UPDATE agent SET capacity = ?2, is_available = ?3, until_at_ms = ?4 WHERE id = ?1")                                        \
    X(STMT_LEDGER_AGENT_ADD, "INSERT INTO ledger_agent(ledger, agent, base, held) VALUES(?1, ?2, ?3, ?3) ON CONFLICT(ledger, agent) DO NOTHING")  \
    X(STMT_LEDGER_RESET, "UPDATE ledger SET resets = resets + 1 WHERE id = ?1")                                                                   \
    X(STMT_LEDGER_EMPTY, "UPDATE ledger_agent SET base = 0, held = 0 WHERE ledger = ?1 AND held <> 0")                                            \
    X(STMT_LEDGER_HELD, "SELECT coalesce(sum(held), 0) FROM ledger_agent WHERE ledger = ?1")                                                      \
    X(STMT_RUN_OF_LEDGER, "SELECT run_id FROM run WHERE ledger = ?1 LIMIT 1")                                                                     \
    X(STMT_POOL_NAMES, "SELECT name FROM pool WHERE name IS NOT NULL ORDER BY id DESC LIMIT 200")                                               \
    /* endpoints */                                                                                                                               \
    X(STMT_SETTING_GET, "SELECT value, until_at_ms FROM endpoint_setting WHERE endpoint = ?1 AND name = ?2")                                      \
    X(STMT_SETTING_PUT, "INSERT INTO endpoint_setting(endpoint, name, value, set_at_ms, set_by, until_at_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6) "     \
                        "ON CONFLICT(endpoint, name) DO UPDATE SET value = excluded.value, set_at_ms = excluded.set_at_ms, "                      \
                        "set_by = excluded.set_by, until_at_ms = excluded.until_at_ms")                                                           \
    X(STMT_SETTING_DROP, "DELETE FROM endpoint_setting WHERE endpoint = ?1 AND name = ?2")                                                        \
    X(STMT_ENDPOINT_GET, "SELECT down_class, down_text, down_at_ms FROM endpoint_state WHERE endpoint = ?1")                                      \
    X(STMT_ENDPOINT_PUT, "INSERT INTO endpoint_state(endpoint, down_class, down_text, down_at_ms, quota_until_at_ms, learned) "                   \
                         "VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(endpoint) DO UPDATE SET down_class = excluded.down_class, "                  \
                         "down_text = excluded.down_text, down_at_ms = excluded.down_at_ms, quota_until_at_ms = excluded.quota_until_at_ms, "     \
                         "learned = excluded.learned")                                                                                            \
    /* runs */                                                                                                                                    \
    X(STMT_RUN_ADD, "INSERT INTO run(run_id, name, state, pauses, pause_text, is_open, ledger, endpoint, profile, priority, plan, source_name, "  \
                    "source_sha256, plan_sha256, created_at_ms, created_by, event_seq, import_ms) "                                               \
                    "VALUES(?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) ON CONFLICT(run_id) DO NOTHING")       \
    X(STMT_RUN_GET, "SELECT " SQLITE_RUN_COLUMNS "WHERE r.id = ?1")                                                                               \
    X(STMT_RUNS_SAME, "SELECT id FROM run WHERE source_sha256 = ?1 AND plan_sha256 = ?2 AND created_at_ms > ?3 ORDER BY id DESC")                 \
    X(STMT_RUN_NAMES, "SELECT endpoint, profile, name FROM run WHERE id = ?1")                                                                    \
    X(STMT_RUN_SET, "UPDATE run SET endpoint = coalesce(?2, endpoint), profile = coalesce(?3, profile), plan = coalesce(?4, plan), "              \
                    "name = coalesce(?5, name) WHERE id = ?1")                                                                                    \
    X(STMT_RUN_PAUSE_TEXT, "UPDATE run SET pause_text = ?2 WHERE id = ?1")                                                                        \
    X(STMT_RUN_LAST_PART, "SELECT max(part) FROM import_part WHERE run = ?1")                                                                     \
    X(STMT_HELD_FREE, "UPDATE assignment SET hold = 0, not_before_ms = ?2 WHERE run = ?1 AND state = 0 AND hold = 2")                             \
    X(STMT_IDEMPOTENCY_GET, "SELECT sha256, run, coalesce(part, 0) FROM idempotency WHERE key = ?1 AND made_at_ms > ?2")                          \
    X(STMT_IDEMPOTENCY_PUT, "INSERT OR REPLACE INTO idempotency(key, sha256, run, part, made_at_ms) VALUES(?1, ?2, ?3, ?4, ?5)")                  \
    /* sweeps */                                                                                                                                  \
    X(STMT_SWEEP_GET, "SELECT run, verb, selector, after_id, changed, uid, reason FROM sweep WHERE id = ?1")                                                   \
    X(STMT_SWEEP_ADD, "INSERT INTO sweep(id, run, verb, selector, after_id, changed, uid, reason) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")                \
    X(STMT_SWEEP_KEEP, "UPDATE sweep SET after_id = ?2, changed = ?3 WHERE id = ?1")                                                              \
    X(STMT_SWEEP_DROP, "DELETE FROM sweep WHERE id = ?1")                                                                                         \
    X(STMT_SWEEPS_OPEN, "SELECT id FROM sweep ORDER BY id")                                                                                       \
    X(STMT_SWEEP_ROW, "SELECT state, class, lease, attempts, coalesce(agent, 0), resets FROM assignment WHERE id = ?1")                                                       \
    X(STMT_SWEEP_CANCEL, "UPDATE assignment SET state = 4, lease = NULL, hold = 0, is_late = 0, not_before_ms = 0, agent = NULL WHERE id = ?1")   \
    X(STMT_SWEEP_RETRY, "UPDATE assignment SET state = 0, lease = NULL, hold = 0, is_late = 0, not_before_ms = 0, failures = 0, "                 \
                        "retries_spent = 0, reasks_spent = 0, fulls_spent = 0, lost_alone = 0, token_cap = 0, pack_most = 0, class = NULL, agent = NULL WHERE id = ?1")\
    X(STMT_SWEEP_FAIL, "UPDATE assignment SET state = 3, lease = NULL, hold = 0, is_late = 0, not_before_ms = 0, class = ?2 WHERE id = ?1")       \
    X(STMT_LAST_WORDS, "SELECT t.message, c.http_status, c.latency_ms FROM attempt t LEFT JOIN call c ON c.id = t.call WHERE t.assignment = ?1 "  \
                       "AND t.class IS NOT NULL ORDER BY t.n DESC LIMIT 1")                                                                       \
    X(STMT_RESULT_DROP, "DELETE FROM result WHERE assignment = ?1")                                                                               \
    /* what persons decide */                                                                                                                     \
    X(STMT_DECIDE_ROW, "SELECT a.id, a.state, a.class, a.lease, a.attempts, coalesce(a.agent, 0), a.resets, g.agent_id FROM assignment a "        \
                       "LEFT JOIN agent g ON g.id = a.agent WHERE a.run = ?1 AND a.key = ?2")                                                     \
    X(STMT_DECIDE_KEEP, "UPDATE attempt SET decision = (SELECT body FROM result WHERE assignment = ?1), message = ?2 WHERE assignment = ?1 "      \
                        "AND n = (SELECT max(n) FROM attempt WHERE assignment = ?1 AND agent IS NOT NULL AND class IN (?3, ?4))")                 \
    X(STMT_DECIDE_ASSIGN, "UPDATE assignment SET state = 2, lease = NULL, hold = 0, is_late = 0, not_before_ms = 0, class = ?2, agent = ?3, "     \
                          "resets = ?4, attempts = ?5 WHERE id = ?1")                                                                             \
    X(STMT_DECIDE_ATTEMPT, "INSERT INTO attempt(assignment, n, lease, class, agent, message, uid, started_at_ms, ended_at_ms) "                   \
                           "VALUES(?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?7)")                                                                           \
    /* the image */                                                                                                                               \
    X(STMT_IMAGE_RUNS, "SELECT * FROM (SELECT id, 1 AS is_live FROM run WHERE state < 2 UNION ALL "                                               \
                       "SELECT * FROM (SELECT id, 0 FROM run WHERE state >= 2 AND id NOT IN (SELECT run FROM purge) ORDER BY id DESC "    \
                       "LIMIT ?1)) ORDER BY id")                           \
    X(STMT_RUNS_COUNT, "SELECT count(*) FROM run WHERE id NOT IN (SELECT run FROM purge)")                                                                                              \
    X(STMT_IMAGE_POOLS, "SELECT id FROM pool WHERE name IS NOT NULL UNION SELECT l.pool FROM run r JOIN ledger l ON l.id = r.ledger "             \
                        "WHERE r.state < 2 ORDER BY 1")                                                                                           \
    X(STMT_IMAGE_SETTINGS, "SELECT endpoint, name, value, set_at_ms, set_by, coalesce(until_at_ms, 0) FROM endpoint_setting ORDER BY 1, 2")       \
    X(STMT_IMAGE_SUMS, "SELECT endpoint, currency, " SQLITE_ENDPOINT_SUMS " FROM endpoint_sum ORDER BY 1")                                             \
    X(STMT_IMAGE_CLASSES, "SELECT endpoint, class, calls FROM endpoint_class ORDER BY 1, 2")                                                           \
    X(STMT_IMAGE_ENDPOINTS, "SELECT endpoint, coalesce(down_class, -1), down_text, coalesce(down_at_ms, 0), coalesce(quota_until_at_ms, 0), "     \
                            "learned FROM endpoint_state ORDER BY 1")                                                                             \
    X(STMT_IMAGE_DAYS, "SELECT endpoint, calls, cost_micros FROM endpoint_day WHERE ends_at_ms = ?1 ORDER BY 1")                                               \
    X(STMT_IMAGE_SENDS, "SELECT endpoint, state, coalesce(class, -1), sent_at_ms, coalesce(ended_at_ms, 0), coalesce(latency_ms, 0), "            \
                        "coalesce(tokens_in, -1) FROM call ORDER BY id DESC LIMIT ?1")                                                            \
    /* a restore */                                                                                                                               \
    X(STMT_RUNS_OPEN, "SELECT id FROM run WHERE state < 2 AND id > ?1 ORDER BY id LIMIT 1")                                                       \
    X(STMT_NODE_DROP, "DELETE FROM node WHERE id = ?1")                                                                                           \
    X(STMT_RUN_RESTORED, "UPDATE run SET pause_text = ?2 || coalesce('; before that: ' || substr(pause_text, 1, 160), '') WHERE id = ?1")         \
/* END OF ADMIN */
/* clang-format on */

#endif
