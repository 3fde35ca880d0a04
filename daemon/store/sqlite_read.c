/* Pages: one function a query, in a table. A turn of a read is one short transaction on the reader's connection, so
 * what a page shows is of one moment. A reader's thread. */
#include "store/sqlite_reader.h"

#include "base/clock.h"
#include "core/compare.h"
#include "core/limits.h"
#include "store/sqlite_admin.h"

#include <stdlib.h>

/* ---- runs ---- */
static int counts_of(struct store_reader *reader, struct store_run *run)
{
    sqlite3_stmt *row = NULL;
    int rc = read_find(reader, READ_COUNTS, &row, "i", run->id);
    for (; rc > 0; rc = read_next(reader, row)) {
        int kind = sqlite3_column_int(row, 0);
        if (kind >= 0 && kind < COUNT_KIND_END)
            run->counts[kind] = sqlite3_column_int64(row, 1);
    }
    return rc;
}

static int read_runs(struct store_reader *reader, struct page *page)
{
    struct store_read *read = page->read;
    int64_t before = read->after > 0 ? read->after : INT64_MAX, last = 0;
    sqlite3_stmt *row = NULL;
    read->ret_runs = xcalloc((size_t)read->limit, sizeof(*read->ret_runs));
    int rc = read_find(reader, READ_RUNS, &row, "i", before);
    for (; rc > 0; rc = read_next(reader, row)) {
        if (last && page_is_full(page)) {
            read->ret_next = last;
            break;
        }
        last = sqlite3_column_int64(row, 0);
        if (read->selector.states && !((read->selector.states >> sqlite3_column_int(row, 9)) & 1))
            continue;
        struct store_run *run = &read->ret_runs[read->ret_row_count++];
        sqlite_run_row(row, false, run);
        int counted = counts_of(reader, run);
        if (counted < 0) {
            rc = counted;
            break;
        }
    }
    sqlite3_reset(row);
    return rc < 0 ? rc : 0;
}

/* The run that `run` or `key` means. 0 or a refusal. */
static int run_meant(struct store_reader *reader, const struct store_read *read, int64_t *ret_id)
{
    const char *key = read->key;
    if (key == NULL) {
        *ret_id = read->run;
        return 0;
    }
    if (strcmp(key, "@last") == 0) {
        int rc = read_number(reader, READ_RUN_LAST, ret_id, "");
        return rc < 0 ? rc : *ret_id ? 0 : read_refuse(reader, GALLOC_NOT_FOUND, "there is no run yet; make one: gallocctl enqueue FILE --agents FILE");
    }
    int rc = read_number(reader, READ_RUN_BY_ID, ret_id, "t", key);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    sqlite3_stmt *row = NULL;
    int64_t named = 0;
    rc = read_find(reader, READ_RUN_BY_NAME, &row, "t", key);
    if (rc > 0) {
        *ret_id = sqlite3_column_int64(row, 0);
        named = sqlite3_column_int64(row, 1);
        sqlite3_reset(row);
    }
    if (rc >= 0 && named == 0)
        return read_refuse(reader, GALLOC_NOT_FOUND, "there is no run \"%.128s\" (gallocctl runs lists them)", key);
    if (rc >= 0 && named > 1)
        return read_refuse(reader, GALLOC_CONFLICT, "%lld runs are named '%.128s': tell it by its id (gallocctl runs)",
                           (long long)named, key);
    return rc < 0 ? rc : 0;
}

/* The run's pool with its agents. 0, or the operation's negative code. */
static int pool_of(struct store_reader *reader, int64_t id, struct store_pool **ret_pool)
{
    sqlite3_stmt *row = NULL;
    int rc = read_find(reader, READ_POOL, &row, "i", id);
    if (rc <= 0)
        return rc;
    *ret_pool = xcalloc(1, sizeof(**ret_pool));
    sqlite_pool_row(row, *ret_pool);
    sqlite3_reset(row);
    rc = read_find(reader, READ_AGENTS, &row, "ii", id, (*ret_pool)->ledger);
    for (; rc > 0; rc = read_next(reader, row))
        sqlite_agents_row(row, &(*ret_pool)->agents);
    return rc;
}

int read_whole_run(struct store_reader *reader, int64_t id, struct store_run *ret_run)
{
    sqlite3_stmt *row = NULL;
    int rc = read_find(reader, READ_RUN, &row, "i", id);
    if (rc == 0)
        return read_refuse(reader, GALLOC_NOT_FOUND, "there is no such run (any more)");
    if (rc < 0)
        return rc;
    sqlite_run_row(row, true, ret_run);
    sqlite3_reset(row);
    return counts_of(reader, ret_run);
}

static int read_run(struct store_reader *reader, struct page *page)
{
    struct store_read *read = page->read;
    int64_t id = 0;
    sqlite3_stmt *row = NULL;
    int rc = run_meant(reader, read, &id);
    if (rc == 0)
        rc = read_find(reader, READ_RUN, &row, "i", id);
    if (rc == 0)
        return read_refuse(reader, GALLOC_NOT_FOUND, "there is no such run");
    if (rc < 0)
        return rc;
    read->ret_runs = xcalloc(1, sizeof(*read->ret_runs));
    read->ret_row_count = 1;
    sqlite_run_row(row, true, &read->ret_runs[0]);
    sqlite3_reset(row);
    rc = counts_of(reader, &read->ret_runs[0]);
    return rc < 0 || !read->with_pool ? rc : pool_of(reader, read->ret_runs[0].pool, &read->ret_pool);
}

/* ---- rows as they come ---- */
/* Adds rows until the page is full; `cursor` is the column that goes on. */
static int rows_add(struct store_reader *reader, struct page *page, sqlite3_stmt *row, int rc, int cursor)
{
    int64_t last = 0;
    for (; rc > 0; rc = read_next(reader, row)) {
        if (last && page_is_full(page)) {
            page->read->ret_next = last;
            sqlite3_reset(row);
            return 0;
        }
        last = sqlite3_column_int64(row, cursor);
        page_whole_row(page, row);
    }
    return rc;
}

static int read_parts(struct store_reader *reader, struct page *page)
{
    sqlite3_stmt *row = NULL;
    int rc = read_find(reader, READ_PARTS, &row, "ii", page->read->run, page->read->after);
    return rows_add(reader, page, row, rc, PART_N);
}

static int read_attempts(struct store_reader *reader, struct page *page)
{
    struct store_read *read = page->read;
    int64_t id = 0, last = 0;
    sqlite3_stmt *row = NULL;
    int rc = read_id_of_key(reader, read, &id);
    if (rc == 0)
        rc = read_find(reader, READ_ATTEMPTS, &row, "ii", id, read->after);
    for (; rc > 0; rc = read_next(reader, row)) {
        if (last && page_is_full(page)) {
            read->ret_next = last;
            sqlite3_reset(row);
            return 0;
        }
        last = sqlite3_column_int64(row, ATTEMPT_N);
        page_whole_row(page, row);
        struct store_cell *class = &read->ret_cells[(read->ret_row_count - 1) * read->ret_column_count + ATTEMPT_CLASS];
        bool is_open = sqlite3_column_type(row, ATTEMPT_CLASS) == SQLITE_NULL;
        page_str(page, class,
                 is_open ? "open" : outcome_row((enum outcome_class)sqlite3_column_int(row, ATTEMPT_CLASS))->name);
    }
    return rc;
}

/* ---- the audit log ---- */
/* Was it done to the run (or to an agent of its own pool)? */
static bool is_target(const char *target, const char *run_id)
{
    size_t len = strlen(run_id);
    return strncmp(target, run_id, len) == 0 && (target[len] == '\0' || target[len] == '/');
}

static int read_audit(struct store_reader *reader, struct page *page)
{
    struct store_read *read = page->read;
    int64_t before = read->after > 0 ? read->after : INT64_MAX, last = 0;
    char run_id[RUN_ID_BYTES] = "";
    sqlite3_stmt *row = NULL;
    int rc = 0;
    if (read->key) {
        snprintf(run_id, sizeof run_id, "%s", read->key);
    } else if (read->run) {
        rc = read_find(reader, READ_RUN, &row, "i", read->run);
        if (rc == 0)
            return read_refuse(reader, GALLOC_NOT_FOUND, "there is no such run");
        if (rc < 0)
            return rc;
        snprintf(run_id, sizeof run_id, "%s", (const char *)sqlite3_column_text(row, 1));
        sqlite3_reset(row);
    }
    rc = read_find(reader, READ_AUDIT, &row, "i", before);
    for (; rc > 0; rc = read_next(reader, row)) {
        if (last && page_is_full(page)) {
            read->ret_next = last;
            sqlite3_reset(row);
            return 0;
        }
        last = sqlite3_column_int64(row, AUDIT_ID);
        if (run_id[0] == '\0' || is_target((const char *)sqlite3_column_text(row, AUDIT_TARGET), run_id))
            page_whole_row(page, row);
    }
    return rc;
}

/* ---- the table ---- */
static int (*const readers[STORE_QUERY_COUNT])(struct store_reader *reader, struct page *page) = {
    [QUERY_RUNS] = read_runs,
    [QUERY_RUN] = read_run,
    [QUERY_PARTS] = read_parts,
    [QUERY_ASSIGNMENTS] = read_assignments,
    [QUERY_ASSIGNMENT] = read_assignment,
    [QUERY_ATTEMPTS] = read_attempts,
    [QUERY_FAILURES] = read_failures,
    [QUERY_LOAD] = read_load,
    [QUERY_HOLDINGS] = read_holdings,
    [QUERY_RESULTS] = read_assignments,
    [QUERY_AUDIT] = read_audit,
    [QUERY_COMPARE] = read_compare,
    [QUERY_DIFF] = read_diff,
};

/* A page that failed shows nothing. */
static void page_drop(struct store_read *read)
{
    for (size_t i = 0; read->ret_runs && i < read->ret_row_count; i++)
        store_run_clear(&read->ret_runs[i]);
    if (read->ret_pool)
        store_pool_clear(read->ret_pool);
    free(read->ret_pool);
    read->ret_pool = NULL;
    free(read->ret_runs);
    free(read->ret_cells);
    compare_free(read->ret_compare);
    read->ret_compare = NULL;
    read->ret_runs = NULL;
    read->ret_cells = NULL;
    buf_clear(&read->ret_text);
    read->ret_row_count = 0;
    read->ret_next = 0;
}

/* A page of a run that was purged since the page before: its end would look like the end of the run. */
static int check_run(struct store_reader *reader, int64_t run)
{
    int64_t ignored;
    if (run == 0)
        return 0;
    int rc = read_number(reader, READ_IS_THERE, &ignored, "i", run);
    return rc == 0 ? read_refuse(reader, GALLOC_NOT_FOUND, "there is no such run (any more)") : (int)min_i64(rc, 0);
}

bool sqlite_reader_read(struct store_reader *reader, struct store_read *read)
{
    struct page page;
    read->limit = (int32_t)clamp_i64(read->limit, 1, LIMIT_PAGE_ROWS);
    page_begin(&page, read);
    int rc = read_begin(reader, &read->op, READ_SNAPSHOT_MS);
    if (rc == 0)
        rc = check_run(reader, read->run);
    if (rc == 0)
        rc = check_run(reader, read->other);
    if (rc == 0)
        rc = readers[read->query](reader, &page);
    read_end(reader);
    reader->op = NULL;
    if (rc >= 0)
        return rc > 0;
    page_drop(read);
    read->op.code = rc;
    if (!reader->is_ended || ++read->beginnings >= READ_BEGINNINGS_MAX)
        return false;
    tally_drop(reader, read);
    read->op.code = 0;
    return true; /* anew, in a snapshot that stands in nobody's way */
}
