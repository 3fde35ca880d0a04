/* What former lives left, put in order at the start of a new one: attempts in flight are told as lost (maybe sent, no answer: maybe billed), which
 * spends nothing, and their assignments are due again at once. Leases of outside workers run on. Inside a transaction, before any operation. */
#include "store/sqlite_call.h"
#include "store/sqlite_settle.h"

#include "base/negative.h"

#include <unistd.h>

#define PAGE_COUNT 1000 /* rows read before they are changed */
#define OUTSIDE_MORE_MS 30000 /* an outside lease has at least so long from the start on, or its ttl where that is less: its worker could not renew it */
#define STARTS_MS 60000

struct left_attempt {
    int64_t assignment, n, lease, call, run;
};

static int attempts_page(struct sqlite_store *store, struct left_attempt *page, size_t *ret_count)
{
    sqlite3_stmt *row = NULL;
    size_t count = 0;
    int rc = sqlite_find(store, STMT_RECOVER_ATTEMPTS, &row, "i", (int64_t)PAGE_COUNT);
    for (; rc > 0; rc = sqlite_next(store, row)) {
        page[count++] = (struct left_attempt){
            .assignment = sqlite3_column_int64(row, 0),
            .n = sqlite3_column_int64(row, 1),
            .lease = sqlite3_column_int64(row, 2),
            .call = sqlite3_column_int64(row, 3),
            .run = sqlite3_column_int64(row, 4),
        };
    }
    *ret_count = count;
    return rc;
}

static int attempt_lose(struct sqlite_store *store, const struct left_attempt *left, int64_t *lost_count)
{
    struct run_entry *entry = NULL;
    int rc = books_run(store, left->run, &entry);
    if (rc <= 0)
        return rc;
    rc = min_i64(settle_attempt_close(store, entry, left->assignment, left->n, left->lease, OUTCOME_LOST, store->lost_text), 0);
    if (rc == 0 && left->call != 0) {
        rc = sqlite_do(store, STMT_CALL_CLOSE, "iiii", left->call, (int64_t)CALL_LOST, store->wall_ms, (int64_t)OUTCOME_LOST);
        if (rc == 0 && sqlite3_changes(store->db) > 0) {
            books_count(store, entry, COUNT_CALLS, 1);
            ++*lost_count;
        }
    }
    return rc;
}

static int attempts_lose(struct sqlite_store *store, int64_t *lost_count)
{
    struct left_attempt *page = xcalloc(PAGE_COUNT, sizeof *page);
    size_t count = 0;
    int rc;
    do {
        rc = attempts_page(store, page, &count);
        for (size_t i = 0; rc == 0 && i < count; i++)
            rc = attempt_lose(store, &page[i], lost_count);
    } while (rc == 0 && count == PAGE_COUNT);
    free(page);
    return rc;
}

static int row_give_back(struct sqlite_store *store, int64_t assignment, int64_t run)
{
    struct run_entry *entry = NULL;
    int rc = books_run(store, run, &entry);
    if (rc > 0)
        rc = books_move_rows(store, entry, ASSIGNMENT_LEASED, ASSIGNMENT_PENDING, false, 1);
    return rc < 0 ? rc : sqlite_do(store, STMT_ROW_GIVE_BACK, "ii", assignment, (int64_t)OUTCOME_LOST);
}

static int rows_give_back(struct sqlite_store *store)
{
    int64_t(*page)[2] = xcalloc(PAGE_COUNT, sizeof *page);
    size_t count;
    int rc;
    do {
        sqlite3_stmt *row = NULL;
        count = 0;
        for (rc = sqlite_find(store, STMT_RECOVER_ROWS, &row, "i", (int64_t)PAGE_COUNT); rc > 0; rc = sqlite_next(store, row)) {
            page[count][0] = sqlite3_column_int64(row, 0);
            page[count++][1] = sqlite3_column_int64(row, 1);
        }
        for (size_t i = 0; rc == 0 && i < count; i++)
            rc = row_give_back(store, page[i][0], page[i][1]);
    } while (rc == 0 && count == PAGE_COUNT);
    free(page);
    return rc;
}

static int node_begin(struct sqlite_store *store)
{
    int64_t incarnation = 1;
    int rc = sqlite_number(store, STMT_META_GET, &incarnation, "t", "incarnation");
    if (rc >= 0)
        rc = sqlite_do(store, STMT_NODE_INSERT, "itiii", incarnation, store->clock.boot_id, (int64_t)getpid(), store->wall_ms, store->now_ms);
    store->node = sqlite3_last_insert_rowid(store->db);
    if (rc == 0)
        rc = sqlite_do(store, STMT_META_PUT, "tt", "boot_id", store->clock.boot_id);
    return rc < 0 ? rc : sqlite_do(store, STMT_NODE_PRUNE, "i", store->node);
}

int sqlite_recover(struct sqlite_store *store, struct store_image *image)
{
    int64_t lost_count = 0, starts_count = 1;
    int rc = node_begin(store);
    if (rc == 0)
        rc = sqlite_number(store, STMT_NODE_STARTS, &starts_count, "i", store->now_ms - STARTS_MS);
    if (rc >= 0)
        rc = sqlite_day_count_lost(store);
    if (rc == 0)
        rc = sqlite_call_sums_lost(store);
    if (rc == 0 && BREAKS(FORGET_LOST))
        rc = sqlite3_exec(store->db, "DELETE FROM attempt WHERE class IS NULL", NULL, NULL, NULL) == SQLITE_OK ? 0 : -GALLOC_INTERNAL;
    else if (rc == 0)
        rc = attempts_lose(store, &lost_count);
    if (rc == 0)
        rc = rows_give_back(store);
    if (rc == 0) /* failures that nobody judged: who held them is gone, so they are dropped, and nothing is spent */
        rc = sqlite_do(store, STMT_RECOVER_HELD, "i", store->now_ms);
    if (rc == 0)
        rc = sqlite_do(store, STMT_RECOVER_LEASES, "");
    if (rc == 0)
        rc = sqlite_do(store, STMT_RECOVER_TESTS, "ii", store->wall_ms, (int64_t)OUTCOME_LOST);
    if (rc == 0)
        rc = sqlite_do(store, STMT_RECOVER_OUTSIDE, "ii", store->now_ms, (int64_t)OUTSIDE_MORE_MS);
    if (rc == 0 && image != NULL) {
        image->recovered_lost = lost_count;
        image->starts_in_60_s = starts_count;
    }
    return rc;
}
