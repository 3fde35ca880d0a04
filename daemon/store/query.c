/* See query.h: the table of what can be read. */
#include "store/query.h"

#define COLUMNS(list, kind_list) .columns = (list), .kinds = (kind_list), .column_count = ARRAY_COUNT(list)

static const char *const part_names[] = {"n", "sha256", "rows", "answer"};
static const enum cell_kind part_kinds[] = {CELL_INT, CELL_TEXT, CELL_INT, CELL_JSON};
_Static_assert(ARRAY_COUNT(part_names) == PART_COLUMN_COUNT && ARRAY_COUNT(part_kinds) == PART_COLUMN_COUNT,
               "a name and a kind for each column");

static const char *const assignment_names[] = {
    "key",        "row",         "state",      "code",        "attempts", "retries_spent", "hold",       "agent_id",
    "reason",     "confidence",  "answer",     "decided_by", "model",       "message",  "http_status",   "latency_ms", "tokens_in",
    "tokens_out", "cost_micros", "currency",   "not_before",  "finished_at", "corrupt",  "fields"};
static const enum cell_kind assignment_kinds[] = {CELL_TEXT, CELL_INT,  CELL_TEXT, CELL_TEXT, CELL_INT,  CELL_INT,
                                                  CELL_TEXT, CELL_TEXT, CELL_TEXT, CELL_REAL, CELL_JSON, CELL_TEXT, CELL_TEXT,
                                                  CELL_TEXT, CELL_INT,  CELL_INT,  CELL_INT,  CELL_INT,  CELL_INT,
                                                  CELL_TEXT, CELL_TIME, CELL_TIME, CELL_TEXT, CELL_JSON};
_Static_assert(ARRAY_COUNT(assignment_names) == ASSIGNMENT_COLUMN_COUNT &&
                   ARRAY_COUNT(assignment_kinds) == ASSIGNMENT_COLUMN_COUNT,
               "a name and a kind for each column");

static const char *const attempt_names[] = {
    "n",          "class",          "started_at",  "ended_at",    "agent_id",  "excluded",
    "message",    "token_cap",      "lease",       "worker",      "call",      "endpoint",
    "sent_at",    "http_status",    "latency_ms",  "local_port",  "tokens_in", "tokens_cached",
    "tokens_out", "tokens_thought", "tokens_tool", "cost_micros", "currency",  "is_possibly_billed",
    "raw",        "uid",            "decision",  "pack"};
static const enum cell_kind attempt_kinds[] = {CELL_INT,  CELL_TEXT, CELL_TIME, CELL_TIME, CELL_TEXT, CELL_TEXT,
                                               CELL_TEXT, CELL_INT,  CELL_INT,  CELL_TEXT, CELL_INT,  CELL_TEXT,
                                               CELL_TIME, CELL_INT,  CELL_INT,  CELL_INT,  CELL_INT,  CELL_INT,
                                               CELL_INT,  CELL_INT,  CELL_INT,  CELL_INT,  CELL_TEXT, CELL_BOOL,
                                               CELL_TEXT, CELL_INT,  CELL_JSON, CELL_INT};
_Static_assert(ARRAY_COUNT(attempt_names) == ATTEMPT_COLUMN_COUNT && ARRAY_COUNT(attempt_kinds) == ATTEMPT_COLUMN_COUNT,
               "a name and a kind for each column");

static const char *const failure_names[] = {"code",     "message", "http_status", "count",
                                            "first_at", "last_at", "example",     "is_rest"};
static const enum cell_kind failure_kinds[] = {CELL_TEXT, CELL_TEXT, CELL_INT,  CELL_INT,
                                               CELL_TIME, CELL_TIME, CELL_TEXT, CELL_BOOL};
_Static_assert(ARRAY_COUNT(failure_names) == FAILURE_COLUMN_COUNT && ARRAY_COUNT(failure_kinds) == FAILURE_COLUMN_COUNT,
               "a name and a kind for each column");

static const char *const load_names[] = {"agent_id",  "capacity", "base",      "held",      "in_run",
                                         "available", "until",    "is_listed", "attributes"};
static const enum cell_kind load_kinds[] = {CELL_TEXT, CELL_INT,  CELL_INT,  CELL_INT, CELL_INT,
                                            CELL_BOOL, CELL_TIME, CELL_BOOL, CELL_JSON};
_Static_assert(ARRAY_COUNT(load_names) == LOAD_COLUMN_COUNT && ARRAY_COUNT(load_kinds) == LOAD_COLUMN_COUNT,
               "a name and a kind for each column");

static const char *const holding_names[] = {"run", "name", "state", "count"};
static const enum cell_kind holding_kinds[] = {CELL_TEXT, CELL_TEXT, CELL_TEXT, CELL_INT};
_Static_assert(ARRAY_COUNT(holding_names) == HOLDING_COLUMN_COUNT && ARRAY_COUNT(holding_kinds) == HOLDING_COLUMN_COUNT,
               "a name and a kind for each column");

static const char *const audit_names[] = {"id", "at", "uid", "pid", "verb", "target", "detail", "seq"};
static const enum cell_kind audit_kinds[] = {CELL_INT,  CELL_TIME, CELL_INT,  CELL_INT,
                                             CELL_TEXT, CELL_TEXT, CELL_JSON, CELL_INT};
_Static_assert(ARRAY_COUNT(audit_names) == AUDIT_COLUMN_COUNT && ARRAY_COUNT(audit_kinds) == AUDIT_COLUMN_COUNT,
               "a name and a kind for each column");

static const char *const diff_names[] = {"key",      "agent_a",      "agent_b",      "state_a", "state_b", "reason_a",
                                         "reason_b", "confidence_a", "confidence_b", "truth",   "corrupt"};
static const enum cell_kind diff_kinds[] = {CELL_TEXT, CELL_TEXT, CELL_TEXT, CELL_TEXT, CELL_TEXT, CELL_TEXT,
                                            CELL_TEXT, CELL_REAL, CELL_REAL, CELL_TEXT, CELL_TEXT};
_Static_assert(ARRAY_COUNT(diff_names) == DIFF_COLUMN_COUNT && ARRAY_COUNT(diff_kinds) == DIFF_COLUMN_COUNT,
               "a name and a kind for each column");

static const struct query_row rows[STORE_QUERY_COUNT] = {
    [QUERY_RUNS] = {.name = "runs"},
    [QUERY_RUN] = {.name = "run"},
    [QUERY_PARTS] = {.name = "parts", COLUMNS(part_names, part_kinds)},
    [QUERY_ASSIGNMENTS] = {.name = "assignments", COLUMNS(assignment_names, assignment_kinds)},
    [QUERY_ASSIGNMENT] = {.name = "assignment", COLUMNS(assignment_names, assignment_kinds)},
    [QUERY_ATTEMPTS] = {.name = "attempts", COLUMNS(attempt_names, attempt_kinds)},
    [QUERY_FAILURES] = {.name = "failures", COLUMNS(failure_names, failure_kinds)},
    [QUERY_LOAD] = {.name = "load", COLUMNS(load_names, load_kinds)},
    [QUERY_HOLDINGS] = {.name = "holdings", COLUMNS(holding_names, holding_kinds)},
    [QUERY_RESULTS] = {.name = "results", COLUMNS(assignment_names, assignment_kinds)},
    [QUERY_AUDIT] = {.name = "audit", COLUMNS(audit_names, audit_kinds)},
    [QUERY_COMPARE] = {.name = "compare"},
    [QUERY_DIFF] = {.name = "diff", COLUMNS(diff_names, diff_kinds)},
};

const struct query_row *query_row(enum store_query query)
{
    return &rows[query];
}

const struct store_cell *read_cell(const struct store_read *read, size_t row, size_t column)
{
    return &read->ret_cells[row * read->ret_column_count + column];
}

const char *read_text(const struct store_read *read, size_t row, size_t column)
{
    const struct store_cell *cell = read_cell(read, row, column);
    return cell->kind == CELL_TEXT || cell->kind == CELL_JSON ? buf_text(&read->ret_text) + cell->at : NULL;
}

int64_t read_int(const struct store_read *read, size_t row, size_t column, int64_t missing)
{
    const struct store_cell *cell = read_cell(read, row, column);
    return cell->kind == CELL_INT || cell->kind == CELL_TIME || cell->kind == CELL_BOOL ? cell->integer : missing;
}
