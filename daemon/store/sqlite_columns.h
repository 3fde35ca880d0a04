/* Pieces of SQL that the writer's statements and the readers' share. */
#ifndef GALLOC_STORE_SQLITE_COLUMNS_H
#define GALLOC_STORE_SQLITE_COLUMNS_H

/* A run with the name of its pool, as sqlite_run_row() takes it. */
#define SQLITE_RUN_COLUMNS                                                                                                                   \
    "r.id, r.run_id, r.name, r.endpoint, r.profile, r.pause_text, r.source_name, r.source_sha256, p.name, r.state, r.pauses, r.is_open, "  \
    "coalesce(l.pool, 0), coalesce(r.ledger, 0), r.priority, r.parts, r.created_at_ms, coalesce(r.started_at_ms, 0), "                     \
    "coalesce(r.finished_at_ms, 0), r.event_seq, r.plan FROM run r LEFT JOIN ledger l ON l.id = r.ledger LEFT JOIN pool p ON p.id = l.pool "

/* The sums of a row of endpoint_sum, each after its kind (enum store_count_kind). */
#define SQLITE_ENDPOINT_SUMS                                                                                                                 \
    "92, calls, 98, test_calls, 80, tokens_in, 81, tokens_cached, 82, tokens_out, 83, tokens_thought, 84, tokens_tool, 90, cost_micros, "  \
    "91, cost_unknown_calls"

/* How many rows are leased. */
#define SQLITE_OWED "SELECT coalesce(sum(c.value), 0) FROM run r JOIN run_count c ON c.run = r.id AND c.kind = 1 WHERE r.state < 2"

/* Usage of the calls `c`; what stands in COUNT_COST_UNKNOWN is price_is_unknown() in SQL. */
#define SQLITE_CALL_USAGE                                                                                 \
    "80, coalesce(sum(c.tokens_in), 0), 81, coalesce(sum(c.tokens_cached), 0), 82, coalesce(sum(c.tokens_out), 0), "                            \
    "83, coalesce(sum(c.tokens_thought), 0), 84, coalesce(sum(c.tokens_tool), 0), 90, coalesce(sum(c.cost_micros), 0), "                        \
    "91, coalesce(sum(c.cost_micros IS NULL AND (coalesce(c.http_status, 0) BETWEEN 200 AND 299 OR c.tokens_in IS NOT NULL)), 0)"

/* A pool with its ledger (?1 the pool), and its agents with what they hold in a ledger (?1 the pool, ?2 the ledger), as sqlite_pool_row() and
 * sqlite_agents_row() take them. */
#define SQLITE_POOL "SELECT id, name, created_at_ms, coalesce((SELECT min(id) FROM ledger WHERE pool = ?1), 0) FROM pool WHERE id = ?1"
#define SQLITE_AGENTS_OF_POOL                                                                                                               \
    "SELECT a.id, a.agent_id, a.attributes, a.capacity, coalesce(l.held, 0), a.is_available, a.is_listed, a.until_at_ms "                  \
    "FROM agent a LEFT JOIN ledger_agent l ON l.ledger = ?2 AND l.agent = a.id WHERE a.pool = ?1 ORDER BY a.agent_id"

#endif
