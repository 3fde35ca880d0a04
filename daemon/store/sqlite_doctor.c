/* The doctor: recounts from the rows what is kept as numbers, looks for what points nowhere, and in full reads the
 * whole file and every digest. It only tells; it mends nothing. Each recount is of one snapshot, as counters move in
 * the transaction that moves the rows; what is slow (digests) goes in pages, so that the log can be emptied meanwhile.
 * A reader on a thread of its own. */
#include "store/sqlite_doctor.h"

#include "base/json_out.h"

#include <stdarg.h>
#include <stdlib.h>

#define TOLD_MOST 5      /* findings named in a detail; the rest is counted */
#define DIGEST_ROWS 2000 /* a page */

void doctor_found(struct check *check, const char *fmt, ...)
{
    if (check->found_count++ >= TOLD_MOST)
        return;
    char text[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (check->detail.len > 0)
        buf_add_str(&check->detail, "; ");
    buf_add_str(&check->detail, text);
}

void doctor_note(struct check *check, const char *fmt, ...)
{
    char text[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (check->found_count == 0)
        buf_add_str(&check->detail, text);
}

sqlite3_stmt *doctor_ask(struct check *check, const char *sql, int64_t first, int64_t second)
{
    sqlite3_stmt *row = NULL;
    if (read_check_ending(check->reader) < 0)
        return NULL;
    int rc = sqlite3_prepare_v2(check->reader->db, sql, -1, &row, NULL);
    if (rc != SQLITE_OK) {
        read_fault(check->reader, rc, sql);
        return NULL;
    }
    int parameters = sqlite3_bind_parameter_count(row);
    if (parameters > 0)
        sqlite3_bind_int64(row, 1, first);
    if (parameters > 1)
        sqlite3_bind_int64(row, 2, second);
    return row;
}

/* ---- findings by SQL: each row is one, as words in its first column ---- */
static int found_by(struct check *check, const char *sql)
{
    sqlite3_stmt *row = doctor_ask(check, sql, 0, 0);
    int rc = row ? read_next(check->reader, row) : check->reader->op->code;
    for (; rc > 0; rc = read_next(check->reader, row))
        doctor_found(check, "%s", (const char *)sqlite3_column_text(row, 0));
    sqlite3_finalize(row);
    return rc;
}

static int found_by_all(struct check *check, const char *const *queries, size_t count)
{
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = found_by(check, queries[i]);
    return rc;
}

static int check_ledgers(struct check *check)
{
    static const char *const queries[] = {
        "SELECT 'agent ' || g.agent_id || ' in ledger ' || l.ledger || ': ' || l.held || ' places kept, ' || "
        "(l.base + coalesce(c.n, 0)) || ' counted' "
        "FROM ledger_agent l JOIN agent g ON g.id = l.agent "
        "LEFT JOIN (SELECT r.ledger AS ledger, a.agent AS agent, count(*) AS n FROM assignment a "
        "JOIN run r ON r.id = a.run JOIN ledger d ON d.id = r.ledger AND d.resets = a.resets "
        "WHERE a.agent IS NOT NULL GROUP BY 1, 2) c "
        "ON c.ledger = l.ledger AND c.agent = l.agent WHERE l.held <> l.base + coalesce(c.n, 0)",
        "SELECT 'agent ' || a.agent || ' holds ' || count(*) || ' rows of run ' || r.run_id || "
        "' without a place in its ledger' FROM assignment a JOIN run r ON r.id = a.run WHERE a.agent IS NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM ledger_agent l WHERE l.ledger = r.ledger AND l.agent = a.agent) "
        "GROUP BY a.run, a.agent",
        "SELECT count(*) || ' rows of run ' || r.run_id || ' took places after a reset of their pool that never was' "
        "FROM assignment a JOIN run r ON r.id = a.run JOIN ledger l ON l.id = r.ledger WHERE a.agent IS NOT NULL "
        "AND a.resets > l.resets GROUP BY a.run",
    };
    return found_by_all(check, queries, ARRAY_COUNT(queries));
}

static int check_leases(struct check *check)
{
    static const char *const queries[] = {
        "SELECT 'assignment ' || id || ' is leased under ' || lease || ', which is no lease, or over' "
        "FROM assignment INDEXED BY assignment_leased WHERE state = 1 "
        "AND lease NOT IN (SELECT number FROM lease WHERE ended_at_ms IS NULL)",
        "SELECT 'lease ' || number || ' holds nothing' FROM lease WHERE ended_at_ms IS NULL "
        "AND number NOT IN (SELECT lease FROM assignment WHERE state = 1) "
        "AND number NOT IN (SELECT lease FROM attempt INDEXED BY attempt_open WHERE class IS NULL)",
        "SELECT 'assignment ' || a.id || ' is leased and has no attempt under way' "
        "FROM assignment a INDEXED BY assignment_leased WHERE a.state = 1 "
        "AND NOT EXISTS (SELECT 1 FROM attempt t WHERE t.assignment = a.id AND t.lease = a.lease AND t.class IS NULL)",
    };
    return found_by_all(check, queries, ARRAY_COUNT(queries));
}

static int check_orphans(struct check *check)
{
    static const char *const queries[] = {
        "SELECT 'assignment ' || id || ' has no input' FROM assignment "
        "WHERE id NOT IN (SELECT assignment FROM payload)",
        "SELECT 'assignment ' || id || ' is at rest and has no result' FROM assignment WHERE state IN (2, 3) "
        "AND NOT EXISTS (SELECT 1 FROM result r WHERE r.assignment = assignment.id)",
        "SELECT 'assignment ' || a.id || ' has a result and is neither allocated nor failed' "
        "FROM result r JOIN assignment a ON a.id = r.assignment WHERE a.state NOT IN (2, 3)",
        "SELECT 'call ' || id || ' is open and no attempt waits for it' FROM call WHERE state = 0 AND kind = 0 "
        "AND id NOT IN (SELECT call FROM attempt INDEXED BY attempt_open WHERE class IS NULL AND call IS NOT NULL)",
        "SELECT 'run ' || run_id || ' is done with work left' FROM run r WHERE state = 2 "
        "AND EXISTS (SELECT 1 FROM run_count c WHERE c.run = r.id AND c.kind IN (0, 1) AND c.value > 0)",
        "SELECT 'payload ' || assignment || ' belongs to no assignment' FROM payload "
        "WHERE assignment NOT IN (SELECT id FROM assignment)",
    };
    return found_by_all(check, queries, ARRAY_COUNT(queries));
}

/* ---- in full ---- */
static int check_file(struct check *check)
{
    sqlite3_stmt *row = doctor_ask(check, "PRAGMA quick_check(20)", 0, 0);
    int rc = row ? read_next(check->reader, row) : check->reader->op->code;
    for (; rc > 0; rc = read_next(check->reader, row)) {
        const char *words = (const char *)sqlite3_column_text(row, 0);
        if (words && strcmp(words, "ok") != 0)
            doctor_found(check, "%s", words);
    }
    sqlite3_finalize(row);
    return rc;
}

static int check_foreign_keys(struct check *check)
{
    return found_by(check,
                    "SELECT 'a row of ' || \"table\" || ' points at no ' || parent FROM pragma_foreign_key_check");
}

/* Every digest of a table, page by page. The statement gives id, text, digest, and the key for people. */
static int digests_of(struct check *check, const char *what, const char *sql)
{
    sqlite3_stmt *row = doctor_ask(check, sql, 0, DIGEST_ROWS);
    if (row == NULL)
        return check->reader->op->code;
    int64_t after = 0, before = -1;
    int rc = 0;
    while (rc == 0 && after != before && (rc = read_check_ending(check->reader)) == 0) {
        before = after;
        sqlite3_bind_int64(row, 1, after);
        for (rc = read_next(check->reader, row); rc > 0; rc = read_next(check->reader, row)) {
            after = sqlite3_column_int64(row, 0);
            if (!read_is_sound(row, 1))
                doctor_found(check, "the %s of '%.100s' (run %s) is not what was stored", what,
                      (const char *)sqlite3_column_text(row, 3), (const char *)sqlite3_column_text(row, 4));
        }
        sqlite3_reset(row);
    }
    sqlite3_finalize(row);
    return rc;
}

static int check_digests(struct check *check)
{
    static const char input_sql[] =
        "SELECT p.assignment, p.fields, p.sha256, a.key, r.run_id FROM payload p JOIN assignment a ON a.id = p.assignment "
        "JOIN run r ON r.id = a.run WHERE p.assignment > ?1 ORDER BY p.assignment LIMIT ?2";
    static const char result_sql[] =
        "SELECT p.assignment, p.body, p.sha256, a.key, r.run_id FROM result p JOIN assignment a ON a.id = p.assignment "
        "JOIN run r ON r.id = a.run WHERE p.assignment > ?1 ORDER BY p.assignment LIMIT ?2";
    int rc = digests_of(check, "input", input_sql);
    return rc < 0 ? rc : digests_of(check, "result", result_sql);
}

static const struct {
    const char *name;
    bool is_full; /* only in full */
    int (*run)(struct check *check);
    const char *well;
} checks[] = {
    {"run_counters", false, doctor_check_runs, "the counters of every run agree with its rows and calls"},
    {"endpoint_sums", false, doctor_check_endpoints, "calls, tokens and cost of every endpoint agree with its calls"},
    {"ledgers", false, check_ledgers, "places kept and places counted agree"},
    {"leases", false, check_leases, "every lease has its rows, every leased row its lease"},
    {"orphans", false, check_orphans, "every assignment has its input, and its result where it is at rest"},
    {"purge", false, doctor_check_purge, "no purged run is left to be deleted"},
    {"space", false, doctor_check_space, ""},
    {"integrity", true, check_file, "the file is sound"},
    {"foreign_keys", true, check_foreign_keys, "nothing points nowhere"},
    {"digests", true, check_digests, "every input and result is what was stored"},
};

static void check_out(struct json_out *out, const struct check *check, const char *name, const char *well)
{
    json_out_begin(out, '{');
    json_out_member_str(out, "name", name);
    json_out_member_bool(out, "ok", check->found_count == 0);
    json_out_member_int(out, "found", check->found_count);
    if (check->found_count == 0)
        json_out_member_str(out, "detail", check->detail.len > 0 ? buf_text(&check->detail) : well);
    else if (check->found_count <= TOLD_MOST)
        json_out_member_str(out, "detail", buf_text(&check->detail));
    else {
        char *text =
            xasprintf("%s; and %lld more", buf_text(&check->detail), (long long)(check->found_count - TOLD_MOST));
        json_out_member_str(out, "detail", text);
        free(text);
    }
    json_out_end(out, '}');
}

void sqlite_reader_check(struct store_reader *reader, struct store_doctor *doctor)
{
    struct buf list = BUF_EMPTY;
    struct json_out out = JSON_OUT(&list);
    bool is_well = true;
    int rc = read_begin(reader, &doctor->op, 0);
    read_end(reader); /* each check has a snapshot of its own */
    json_out_begin(&out, '[');
    for (size_t i = 0; i < ARRAY_COUNT(checks) && rc == 0; i++) {
        if (checks[i].is_full && !doctor->is_full)
            continue;
        struct check check = {.reader = reader};
        rc = checks[i].run(&check);
        is_well = is_well && check.found_count == 0;
        check_out(&out, &check, checks[i].name, checks[i].well);
        buf_clear(&check.detail);
    }
    json_out_end(&out, ']');
    if (rc == 0) {
        out = JSON_OUT(&doctor->ret_report);
        json_out_begin(&out, '{');
        json_out_member_bool(&out, "ok", is_well);
        json_out_name(&out, "checks");
        json_out_raw(&out, list.data, list.len);
        json_out_end(&out, '}');
    }
    buf_clear(&list);
    reader->op = NULL;
}
