/* The pages that can be read from the store: one row a query, with the names and kinds of its columns. Whoever shows a page takes its cells by
 * the enums here; whoever reads it (an engine) fills them in that order. Static; any thread.
 *
 * Of every page: at most about 50 ms of work, so it may hold fewer rows than `limit`, even none: the end is where ret_next is 0.
 * What does not match its digest is never served: the cells that came from it are null and `corrupt` names it ("fields", "result", "fields, result").
 * A run that was purged is -NOT_FOUND, also between two pages.
 * QUERY_RUNS, QUERY_RUN fill store_read.ret_runs with ret_row_count runs instead of cells (QUERY_RUN with its plan). selector.states of QUERY_RUNS are bits
 * of enum run_state. QUERY_RUN is told by `run`, or by `key`: a run's id, a name that one run alone has, or "@last"; else -NOT_FOUND, -CONFLICT. */
#ifndef GALLOC_STORE_QUERY_H
#define GALLOC_STORE_QUERY_H

#include "store/store.h"

/* QUERY_PARTS: in order; the cursor is the part's number. */
enum part_column { PART_N, PART_SHA256, PART_ROWS, PART_ANSWER, PART_COLUMN_COUNT };

/* QUERY_ASSIGNMENTS, QUERY_ASSIGNMENT (by `key`; with fields), QUERY_RESULTS: the same columns, in the order of import; the cursor is the row's id.
 * QUERY_RESULTS without selector.states gives the rows that are at rest (succeeded, failed, cancelled).
 * Code, message and http_status of a pending row are those of its last trouble. Tokens are summed over the row's attempts; out includes thoughts. */
enum assignment_column {
    ASSIGNMENT_KEY, ASSIGNMENT_ROW, ASSIGNMENT_STATE, ASSIGNMENT_CODE, ASSIGNMENT_ATTEMPTS, ASSIGNMENT_RETRIES_SPENT, ASSIGNMENT_HOLD, ASSIGNMENT_AGENT_ID,
    ASSIGNMENT_REASON, ASSIGNMENT_CONFIDENCE, ASSIGNMENT_ANSWER, ASSIGNMENT_DECIDED_BY, ASSIGNMENT_MODEL, ASSIGNMENT_MESSAGE, ASSIGNMENT_HTTP_STATUS,
    ASSIGNMENT_LATENCY_MS, ASSIGNMENT_TOKENS_IN, ASSIGNMENT_TOKENS_OUT, ASSIGNMENT_COST_MICROS, ASSIGNMENT_CURRENCY, ASSIGNMENT_NOT_BEFORE, ASSIGNMENT_FINISHED_AT,
    ASSIGNMENT_CORRUPT, ASSIGNMENT_FIELDS, ASSIGNMENT_COLUMN_COUNT
};

/* QUERY_ATTEMPTS (by `key`): the first one first, each with its call; one that is under way has the class "open". */
enum attempt_column {
    ATTEMPT_N, ATTEMPT_CLASS, ATTEMPT_STARTED_AT, ATTEMPT_ENDED_AT, ATTEMPT_AGENT_ID, ATTEMPT_EXCLUDED, ATTEMPT_MESSAGE, ATTEMPT_TOKEN_CAP,
    ATTEMPT_LEASE, ATTEMPT_WORKER, /* null: the built-in one; "outside": of a lease that is no longer kept */
    ATTEMPT_CALL, ATTEMPT_ENDPOINT, ATTEMPT_SENT_AT, ATTEMPT_HTTP_STATUS, ATTEMPT_LATENCY_MS, ATTEMPT_LOCAL_PORT, /* null without a call */
    ATTEMPT_TOKENS_IN, ATTEMPT_TOKENS_CACHED, ATTEMPT_TOKENS_OUT, ATTEMPT_TOKENS_THOUGHT, ATTEMPT_TOKENS_TOOL, ATTEMPT_COST_MICROS, ATTEMPT_CURRENCY,
    ATTEMPT_IS_POSSIBLY_BILLED, ATTEMPT_RAW,
    ATTEMPT_UID, /* of a person's decision */ ATTEMPT_DECISION, /* as it was before a person changed it */
    ATTEMPT_PACK, /* attempts that the call carried */ ATTEMPT_COLUMN_COUNT
};

/* QUERY_FAILURES: the failed rows of a run grouped by code, message and HTTP status, the most frequent first, at most FAILURE_GROUPS. One page.
 * The counts of a code always add up to the run's own counter: where there are more rows or messages than are looked at
 * (FAILURE_ROWS_MAX rows, FAILURE_GROUPS groups), the rest of each code is one group more, with is_rest and without message and times. */
enum failure_column {
    FAILURE_CODE, FAILURE_MESSAGE, FAILURE_HTTP_STATUS, FAILURE_COUNT, FAILURE_FIRST_AT, FAILURE_LAST_AT, FAILURE_EXAMPLE, FAILURE_IS_REST,
    FAILURE_COLUMN_COUNT
};
#define FAILURE_GROUPS 100
#define FAILURE_ROWS_MAX 200000 /* about half a second of reading, in slices between other requests */

/* QUERY_LOAD: of a run's ledger (`run`) or a pool's (`pool`, then in_run is null), by agent_id. One page, whatever `limit` says. */
enum load_column {
    LOAD_AGENT_ID, LOAD_CAPACITY, /* null: no limit */
    LOAD_BASE, LOAD_HELD, LOAD_IN_RUN, LOAD_IS_AVAILABLE, LOAD_UNTIL, LOAD_IS_LISTED, LOAD_ATTRIBUTES, LOAD_COLUMN_COUNT
};

/* QUERY_HOLDINGS: the runs whose assignments hold places of an agent (`key`: his id) of a pool (`pool`), the newest first. One page, of at most LIMIT_PAGE_ROWS. */
enum holding_column { HOLDING_RUN, HOLDING_NAME, HOLDING_STATE, HOLDING_COUNT, HOLDING_COLUMN_COUNT };

/* QUERY_AUDIT: the newest first; with `run`, or with `key` (a run's id, which may be purged), what was done to that run. `target` is a run's id, a pool's name, "pool/agent_id", or an endpoint's name;
 * `detail` is {"before":{…},"after":{…},"reason":…} where they apply. */
enum audit_column { AUDIT_ID, AUDIT_AT, AUDIT_UID, AUDIT_PID, AUDIT_VERB, AUDIT_TARGET, AUDIT_DETAIL, AUDIT_SEQ, AUDIT_COLUMN_COUNT };

/* QUERY_COMPARE: all keys of `run` beside those of `other`, in turns, each in a snapshot of its own: ret_compare has the pairs (not yet finished), ret_runs the two
 * runs with their counters as of the last turn. One of them importing is -WRONG_STATE; a column `truth` that none of the first rows has is -INVALID_INPUT.
 * QUERY_DIFF: of the keys that both have, those that went to different agents or to an agent on one side alone, in the order of `run`; the cursor is
 * its row's id. The reason of one that failed is the message. */
enum diff_column {
    DIFF_KEY, DIFF_AGENT_A, DIFF_AGENT_B, DIFF_STATE_A, DIFF_STATE_B, DIFF_REASON_A, DIFF_REASON_B, DIFF_CONFIDENCE_A, DIFF_CONFIDENCE_B,
    DIFF_TRUTH, DIFF_CORRUPT, DIFF_COLUMN_COUNT
};
#define TRUTH_ROWS_LOOKED 1000 /* in which the column of the right agent is looked for */

struct query_row {
    const char *name;                 /* for messages and traces */
    const char *const *columns;       /* NULL: it gives runs */
    const enum cell_kind *kinds;      /* of each column, where it is not null */
    size_t column_count;
};

const struct query_row *query_row(enum store_query query);

/* The cell of a row and a column of a page that was read. Borrowed from it. */
const struct store_cell *read_cell(const struct store_read *read, size_t row, size_t column);

/* Its text (NUL-ended, borrowed from the page); NULL where it is null. Of TEXT and JSON cells. */
const char *read_text(const struct store_read *read, size_t row, size_t column);

/* Its number, or `missing` where it is null. Of INT, TIME and BOOL cells. */
int64_t read_int(const struct store_read *read, size_t row, size_t column, int64_t missing);

#endif
