/* The doctor's recounts: what is kept as counters, of runs and of endpoints, against the rows that they count. Each recount is of one snapshot, as
 * counters move in the transaction that moves the rows. A reader's thread. */
#include "store/sqlite_doctor.h"

#include <stdlib.h>

_Static_assert(COUNT_STATE == 0 && COUNT_FAILED == 40 && COUNT_CLASS == 10 && COUNT_OUTSIDE == 97 && COUNT_TOKEN == 80 && COUNT_COST_MICROS == 90 &&
                   COUNT_COST_UNKNOWN == 91 && COUNT_CALLS == 92 && COUNT_TEST_CALLS == 98 &&
                   COUNT_COST_RESERVED == 99 && COUNT_ANSWERED == 100 && COUNT_LATENCY_MS == 101,
               "the numbers that stand in the SQL below");

/* ?1 the run. Each row has kinds, each before its value. */
static const char *const run_recounts[] = {
    "SELECT state, count(*) FROM assignment INDEXED BY assignment_run WHERE run = ?1 GROUP BY 1",
    "SELECT 40 + class, count(*) FROM assignment INDEXED BY assignment_failed WHERE run = ?1 AND state = 3 GROUP BY class",
    "SELECT 97, count(*) FROM lease l INDEXED BY lease_deadline JOIN assignment a INDEXED BY assignment_leased "
    "ON a.lease = l.number AND a.state = 1 WHERE l.worker IS NOT NULL AND l.ended_at_ms IS NULL AND a.run = ?1",
    "SELECT 10 + t.class, count(*) FROM assignment a INDEXED BY assignment_run "
    "JOIN attempt t ON t.assignment = a.id WHERE a.run = ?1 AND t.class IS NOT NULL GROUP BY t.class",
    "SELECT 92, count(*), 100, sum(c.http_status BETWEEN 200 AND 299), 101, sum(iif(c.http_status BETWEEN 200 AND 299, c.latency_ms, 0)), " SQLITE_CALL_USAGE
    " FROM call c WHERE c.state IN (1, 2) AND c.id IN (SELECT t.call FROM assignment a INDEXED BY assignment_run "
    "JOIN attempt t ON t.assignment = a.id WHERE a.run = ?1 AND t.call IS NOT NULL)",
    "SELECT 99, sum(micros) FROM reserve INDEXED BY reserve_run WHERE run = ?1",
};

/* Kinds with their words; one that has no row here is not recounted. */
static const struct kind_row {
    int first, count;
    const char *words; /* of several: each begins with the name of its state or class */
} recounted[] = {
    {COUNT_STATE, ASSIGNMENT_STATE_COUNT, "assignments"},
    {COUNT_CLASS, OUTCOME_CLASS_COUNT, "attempts"},
    {COUNT_FAILED, OUTCOME_CLASS_COUNT, "as the cause of failed assignments"},
    {COUNT_TOKEN + TOKEN_IN, 1, "tokens in"},
    {COUNT_TOKEN + TOKEN_CACHED, 1, "cached tokens"},
    {COUNT_TOKEN + TOKEN_OUT, 1, "tokens out"},
    {COUNT_TOKEN + TOKEN_THOUGHT, 1, "tokens of thinking"},
    {COUNT_TOKEN + TOKEN_TOOL, 1, "tokens of tools"},
    {COUNT_COST_MICROS, 1, "micros of cost"},
    {COUNT_COST_UNKNOWN, 1, "calls of unknown cost"},
    {COUNT_CALLS, 1, "calls"},
    {COUNT_ANSWERED, 1, "calls that were answered"},
    {COUNT_LATENCY_MS, 1, "ms of these"},
    {COUNT_OUTSIDE, 1, "assignments in outside workers' hands"},
    {COUNT_TEST_CALLS, 1, "test requests"},
    {COUNT_COST_RESERVED, 1, "micros reserved"},
};

static void compare(struct check *check, const char *what, const char *name, const int64_t *kept, const int64_t *counted)
{
    for (size_t i = 0; i < ARRAY_COUNT(recounted); i++) {
        const struct kind_row *row = &recounted[i];
        for (int at = 0; at < row->count; at++) {
            int64_t is = kept[row->first + at], rows = counted[row->first + at];
            const char *which = row->count == 1 ? "" : row->first == COUNT_STATE ? assignment_state_name((enum assignment_state)at) : outcome_row((enum outcome_class)at)->name;
            if (is != rows)
                doctor_found(check, "%s %.128s: %lld %s%s%s kept, %lld counted (%+lld)", what, name, (long long)is, which, which[0] ? " " : "", row->words, (long long)rows,
                             (long long)(is - rows));
        }
    }
}

/* Adds the kinds and values of a row, from `column` on. */
static void row_add(sqlite3_stmt *row, int column, int64_t counts[COUNT_KIND_END])
{
    for (; column + 1 < sqlite3_column_count(row); column += 2) {
        int kind = sqlite3_column_int(row, column);
        if (kind >= 0 && kind < COUNT_KIND_END)
            counts[kind] += sqlite3_column_int64(row, column + 1);
    }
}

/* ---- runs ---- */
static int run_add(struct check *check, const char *sql, int64_t run, int64_t counts[COUNT_KIND_END])
{
    sqlite3_stmt *row = doctor_ask(check, sql, run, 0);
    int rc = row ? read_next(check->reader, row) : check->reader->op->code;
    for (; rc > 0; rc = read_next(check->reader, row))
        row_add(row, 0, counts);
    sqlite3_finalize(row);
    return rc;
}

static int run_recount(struct check *check, int64_t run, const char *run_id)
{
    int64_t kept[COUNT_KIND_END] = {0}, counted[COUNT_KIND_END] = {0};
    sqlite3_exec(check->reader->db, "BEGIN", NULL, NULL, NULL);
    int rc = run_add(check, "SELECT kind, value FROM run_count WHERE run = ?1", run, kept);
    for (size_t i = 0; i < ARRAY_COUNT(run_recounts) && rc == 0; i++)
        rc = run_add(check, run_recounts[i], run, counted);
    read_end(check->reader);
    if (rc == 0)
        compare(check, "run", run_id, kept, counted);
    return rc;
}

/* The runs are asked for one by one: recounting holds a snapshot of its own for each. */
int doctor_check_runs(struct check *check)
{
    int64_t run = 0;
    for (;;) {
        sqlite3_stmt *row = doctor_ask(check, "SELECT id, run_id FROM run WHERE id > ?1 AND id NOT IN (SELECT run FROM purge) ORDER BY id LIMIT 1", run, 0);
        int rc = row ? read_next(check->reader, row) : check->reader->op->code;
        char run_id[RUN_ID_BYTES] = "";
        if (rc > 0) {
            run = sqlite3_column_int64(row, 0);
            snprintf(run_id, sizeof run_id, "%s", (const char *)sqlite3_column_text(row, 1));
        }
        sqlite3_finalize(row);
        if (rc <= 0)
            return rc;
        rc = run_recount(check, run, run_id);
        if (rc < 0)
            return rc;
    }
}

/* ---- endpoints ---- */
struct endpoint_recount {
    char *endpoint; /* owned */
    int64_t kept[COUNT_KIND_END], counted[COUNT_KIND_END];
};
struct endpoint_recounts {
    struct endpoint_recount *items; /* owned; as many as there ever were endpoints */
    size_t count;
};

/* Each row has an endpoint's name, then kinds and values. */
static const struct {
    const char *sql;
    bool is_kept;
} endpoint_recounts[] = {
    {"SELECT endpoint, " SQLITE_ENDPOINT_SUMS " FROM endpoint_sum", true},
    {"SELECT endpoint, 10 + class, calls FROM endpoint_class", true},
    {"SELECT c.endpoint, 92, sum(c.kind = 0), 98, sum(c.kind = 1), " SQLITE_CALL_USAGE " FROM call c WHERE c.state IN (1, 2) AND c.kind < 2 "
     "GROUP BY 1", false},
    {"SELECT endpoint, 10 + class, count(*) FROM call WHERE state IN (1, 2) AND kind = 0 AND class IS NOT NULL GROUP BY endpoint, class", false},
    {"SELECT endpoint, kind, value FROM endpoint_gone", false},
};

static struct endpoint_recount *recount_of(struct endpoint_recounts *recounts, const char *endpoint)
{
    for (size_t i = 0; i < recounts->count; i++)
        if (strcmp(recounts->items[i].endpoint, endpoint) == 0)
            return &recounts->items[i];
    recounts->items = xreallocarray(recounts->items, recounts->count + 1, sizeof *recounts->items);
    recounts->items[recounts->count] = (struct endpoint_recount){.endpoint = xstrdup(endpoint)};
    return &recounts->items[recounts->count++];
}

static int endpoints_add(struct check *check, const char *sql, bool is_kept, struct endpoint_recounts *recounts)
{
    sqlite3_stmt *row = doctor_ask(check, sql, 0, 0);
    int rc = row ? read_next(check->reader, row) : check->reader->op->code;
    for (; rc > 0; rc = read_next(check->reader, row)) {
        struct endpoint_recount *recount = recount_of(recounts, (const char *)sqlite3_column_text(row, 0));
        row_add(row, 1, is_kept ? recount->kept : recount->counted);
    }
    sqlite3_finalize(row);
    return rc;
}

int doctor_check_endpoints(struct check *check)
{
    struct endpoint_recounts recounts = {0};
    int rc = 0;
    sqlite3_exec(check->reader->db, "BEGIN", NULL, NULL, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(endpoint_recounts) && rc == 0; i++)
        rc = endpoints_add(check, endpoint_recounts[i].sql, endpoint_recounts[i].is_kept, &recounts);
    read_end(check->reader);
    for (size_t i = 0; i < recounts.count; i++) {
        if (rc == 0)
            compare(check, "endpoint", recounts.items[i].endpoint, recounts.items[i].kept, recounts.items[i].counted);
        free(recounts.items[i].endpoint);
    }
    free(recounts.items);
    return rc;
}
