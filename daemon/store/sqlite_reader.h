/* The SQLite engine's readers inside: a connection that cannot write, its statements, and what a read that takes several turns remembers.
 * One thread at a time, but for the interrupt. */
#ifndef GALLOC_STORE_SQLITE_READER_H
#define GALLOC_STORE_SQLITE_READER_H

#include "store/sqlite.h"
#include "store/sqlite_columns.h"
#include "store/sqlite_page.h"
#include "store/sqlite_select.h"

#include <stdatomic.h>

#define READ_SNAPSHOT_MS 2000 /* a read that holds its snapshot for longer is ended: the log cannot be emptied meanwhile */

/* clang-format off */
#define READ_STATEMENTS(X)                                                                                                                       \
    X(READ_META, "SELECT value FROM meta WHERE name = ?1")                                                                                     \
    X(READ_RUNS, "SELECT " SQLITE_RUN_COLUMNS "WHERE r.id < ?1 AND r.id NOT IN (SELECT run FROM purge) ORDER BY r.id DESC")                                                            \
    X(READ_RUN, "SELECT " SQLITE_RUN_COLUMNS "WHERE r.id = ?1 AND r.id NOT IN (SELECT run FROM purge)")                                                                                \
    X(READ_IS_THERE, "SELECT 1 FROM run WHERE id = ?1 AND id NOT IN (SELECT run FROM purge)")                                                                          \
    X(READ_RUN_BY_ID, "SELECT id FROM run WHERE run_id = ?1 AND id NOT IN (SELECT run FROM purge)")                                                                                  \
    X(READ_RUN_BY_NAME, "SELECT max(id), count(*) FROM run WHERE name = ?1 AND id NOT IN (SELECT run FROM purge)")                                                                   \
    X(READ_RUN_LAST, "SELECT max(id) FROM run WHERE id NOT IN (SELECT run FROM purge)")                                                                                                \
    X(READ_POOL, SQLITE_POOL)                                                                                                                  \
    X(READ_AGENTS, SQLITE_AGENTS_OF_POOL)                                                                                                      \
    X(READ_COUNTS, "SELECT kind, value FROM run_count WHERE run = ?1")                                                                         \
    X(READ_PARTS, "SELECT part, sha256, row_count, answer FROM import_part WHERE run = ?1 AND part > ?2 ORDER BY part")                        \
    X(READ_KEY, "SELECT id FROM assignment WHERE run = ?1 AND key = ?2")                                                                       \
    X(READ_ROW, "SELECT a.key, a.row, a.state, a.class, a.attempts, a.retries_spent, a.hold, g.agent_id, a.not_before_ms, "                    \
                "r.body, r.sha256, r.finished_at_ms, p.fields, p.sha256 FROM assignment a LEFT JOIN agent g ON g.id = a.agent "                \
                "LEFT JOIN result r ON r.assignment = a.id LEFT JOIN payload p ON ?2 AND p.assignment = a.id WHERE a.id = ?1")                 \
    X(READ_SPENT, /* a sum with something unknown in it is unknown: see price_is_unknown() */                                                   \
      "SELECT iif(max(t.tokens_in IS NULL AND c.http_status BETWEEN 200 AND 299), NULL, sum(t.tokens_in)), "                                     \
      "iif(max(t.tokens_out IS NULL AND c.http_status BETWEEN 200 AND 299), NULL, sum(t.tokens_out)), "                                          \
      "iif(max(t.cost_micros IS NULL AND c.http_status BETWEEN 200 AND 299), NULL, sum(t.cost_micros)), max(c.currency) "                                         \
      "FROM attempt t LEFT JOIN call c ON c.id = t.call WHERE t.assignment = ?1")                                                                \
    X(READ_TROUBLE, "SELECT t.message, c.http_status FROM attempt t LEFT JOIN call c ON c.id = t.call WHERE t.assignment = ?1 "                \
                    "AND t.class IS NOT NULL ORDER BY t.n DESC LIMIT 1")                                                                       \
    X(READ_ATTEMPTS, "SELECT t.n, t.class, t.started_at_ms, t.ended_at_ms, g.agent_id, x.agent_id, t.message, t.token_cap, t.lease, " \
                     "coalesce(l.worker, CASE WHEN t.call IS NULL AND l.number IS NULL AND t.class IS NOT NULL AND t.uid IS NULL THEN 'outside' END), " \
                     "t.call, c.endpoint, c.sent_at_ms, c.http_status, c.latency_ms, c.local_port, t.tokens_in, "                              \
                     "c.tokens_cached / c.attempt_count, t.tokens_out - coalesce(c.tokens_thought / c.attempt_count, 0), "                     \
                     "c.tokens_thought / c.attempt_count, c.tokens_tool / c.attempt_count, t.cost_micros, c.currency, "                        \
                     "coalesce(c.state = 2, 0), t.raw, t.uid, t.decision, c.attempt_count "                                                    \
                     "FROM attempt t LEFT JOIN call c ON c.id = t.call LEFT JOIN agent g ON g.id = t.agent "                                   \
                     "LEFT JOIN agent x ON x.id = t.excluded LEFT JOIN lease l ON l.number = t.lease "                                         \
                     "WHERE t.assignment = ?1 AND t.n > ?2 ORDER BY t.n")                                                                      \
    X(READ_LOAD, "SELECT g.agent_id, g.capacity, l.base, l.held, NULL, g.is_available, g.until_at_ms, g.is_listed, g.attributes, g.id "        \
                 "FROM ledger_agent l JOIN agent g ON g.id = l.agent WHERE l.ledger = ?1 AND (g.is_listed = 1 OR l.held > 0) "                       \
                 "ORDER BY g.agent_id")                                                                                                        \
    X(READ_LEDGER_OF_RUN, "SELECT coalesce(ledger, 0) FROM run WHERE id = ?1")                                                                 \
    X(READ_LEDGER_OF_POOL, "SELECT min(id) FROM ledger WHERE pool = ?1")                                                                       \
    X(READ_LEDGER_RUNS, "SELECT count(*) FROM (SELECT 1 FROM run WHERE ledger = ?1 LIMIT 2)")                                                  \
    X(READ_TAKEN, "SELECT id, agent, resets FROM assignment INDEXED BY assignment_run WHERE run = ?1 AND id > ?2 ORDER BY id")                         \
    X(READ_HOLDER, "SELECT d.id, g.id, d.resets, coalesce(l.held - l.base, 0) FROM ledger d JOIN agent g ON g.pool = d.pool "                  \
                   "LEFT JOIN ledger_agent l ON l.ledger = d.id AND l.agent = g.id WHERE d.pool = ?1 AND g.agent_id = ?2")                       \
    X(READ_LEDGER_RUN_BEFORE, "SELECT max(id) FROM run INDEXED BY run_ledger WHERE ledger = ?1 AND id < ?2 AND id NOT IN (SELECT run FROM purge)") \
    X(READ_HOLDING_RUN, "SELECT run_id, name, state FROM run WHERE id = ?1 AND id NOT IN (SELECT run FROM purge)")                              \
    X(READ_PAIRS, "SELECT a.id, a.key, a.state, a.agent, ra.body, ra.sha256, b.state, b.agent, rb.body, rb.sha256, p.fields, p.sha256 "         \
                  "FROM assignment a INDEXED BY assignment_run LEFT JOIN assignment b ON b.run = ?2 AND b.key = a.key "                       \
                  "LEFT JOIN result ra ON ra.assignment = a.id LEFT JOIN result rb ON rb.assignment = b.id "                                  \
                  "LEFT JOIN payload p ON ?4 AND p.assignment = a.id WHERE a.run = ?1 AND a.id > ?3 ORDER BY a.id")                           \
    X(READ_AGENT_ID, "SELECT agent_id FROM agent WHERE id = ?1")                                                                                \
    X(READ_FIRST_FIELDS, "SELECT p.fields, p.sha256 FROM assignment a INDEXED BY assignment_run JOIN payload p ON p.assignment = a.id "        \
                         "WHERE a.run = ?1 ORDER BY a.id LIMIT ?2")                                                                            \
    X(READ_FAILURE, "SELECT a.class, a.key, r.body, r.sha256, r.finished_at_ms FROM assignment a LEFT JOIN result r ON r.assignment = a.id "   \
                    "WHERE a.id = ?1 AND a.state = 3")                                                                                         \
    X(READ_AUDIT, "SELECT id, at_ms, uid, pid, verb, target, detail, seq FROM audit WHERE id < ?1 ORDER BY id DESC")                           \
/* clang-format on */

enum read_statement {
#define X(symbol, sql) symbol,
    READ_STATEMENTS(X)
#undef X
    READ_STATEMENT_COUNT
};

struct tally;

struct store_reader {
    sqlite3 *db;      /* owned */
    const char *path; /* borrowed */
    sqlite3_stmt *statements[READ_STATEMENT_COUNT]; /* owned; prepared at first use */
    struct store_op *op;      /* borrowed: what is being done */
    int64_t snapshot_end_us;  /* clock_mono_us() at which a read is ended; 0: not by time (the doctor) */
    const atomic_bool *ends_reads; /* borrowed: the log has to be emptied */
    bool is_ended;            /* for that, the operation at hand */
    atomic_bool is_interrupted;
    struct tally *tallies;    /* owned list: reads that take several turns */
};

/* As their namesakes of the writer (sqlite.h): binds i and t. 1 a row, 0 none, negative: the operation's code and error are filled. */
int read_find(struct store_reader *reader, enum read_statement statement, sqlite3_stmt **ret_row, const char *binds, ...);
int read_next(struct store_reader *reader, sqlite3_stmt *row);
int read_number(struct store_reader *reader, enum read_statement statement, int64_t *ret_value, const char *binds, ...); /* NULL gives 0 */

/* Begins the operation's turn, with a snapshot of its own that is held for `snapshot_ms` at most (0: as long as it takes). 0 or the operation's negative
 * code; read_end() follows either way. */
int read_begin(struct store_reader *reader, struct store_op *op, int64_t snapshot_ms);
void read_end(struct store_reader *reader);

/* Has it been told to end? Then the operation is refused: negative; else 0. */
int read_check_ending(struct store_reader *reader);

/* SQLite failed: fills the operation's error, returns its negative code. */
int read_fault(struct store_reader *reader, int sqlite_code, const char *doing);
/* Fills the operation's error, returns -code. */
int read_refuse(struct store_reader *reader, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Is it what the digest says? `column` holds the text, `column` + 1 the digest. */
bool read_is_sound(sqlite3_stmt *row, int column);

/* A member of a stored body; {NULL, 0} where it is missing or null. `body` is checked JSON. */
struct json_span read_member(struct json_span body, const char *name);

/* ---- queries, each 0 or the operation's negative code ---- */
int read_assignments(struct store_reader *reader, struct page *page); /* sqlite_read_rows.c */
int read_assignment(struct store_reader *reader, struct page *page);
int read_id_of_key(struct store_reader *reader, const struct store_read *read, int64_t *ret_id);

/* Reads of several turns (sqlite_tally.c): 1 there is more to do, 0 done. */
int read_failures(struct store_reader *reader, struct page *page);
int read_load(struct store_reader *reader, struct page *page);
int read_holdings(struct store_reader *reader, struct page *page); /* sqlite_holdings.c */
/* Two runs (sqlite_compare.c): 1 there is more to do, 0 done. What it has is in the operation. */
int read_compare(struct store_reader *reader, struct page *page);
int read_diff(struct store_reader *reader, struct page *page);
/* A run with its plan and counters; -NOT_FOUND. (sqlite_read.c) */
int read_whole_run(struct store_reader *reader, int64_t id, struct store_run *ret_run);
void tally_drop(struct store_reader *reader, const struct store_read *read); /* what it has of the operation, if anything */
void tallies_free(struct store_reader *reader);

#endif
