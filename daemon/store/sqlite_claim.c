/* CLAIM: rows that wait and are due first, then fresh ones in order, then the late ones. Rows are read whole before the first is changed, since what
 * is changed leaves the index that is being read. And HEDGE, one more attempt at a row that is leased. The writer's thread. */
#include "store/sqlite_lease.h"
#include "store/sqlite_settle.h"

#include "base/negative.h"
#include "core/limits.h"

static void row_read(sqlite3_stmt *stmt, struct leased_row *row)
{
    *row = (struct leased_row){
        .assignment = sqlite3_column_int64(stmt, 0),
        .key = sqlite_text_copy(stmt, 1),
        .n = sqlite3_column_int(stmt, 2) + 1,
        .retries_spent = sqlite3_column_int(stmt, 3),
        .reasks_spent = sqlite3_column_int(stmt, 4),
        .fulls_spent = sqlite3_column_int(stmt, 5),
        .failures = sqlite3_column_int(stmt, 6),
        .token_cap = sqlite3_column_int64(stmt, 7),
        .pack_most = sqlite3_column_int(stmt, 11),
    };
    const char *fields = (const char *)sqlite3_column_text(stmt, 8);
    const void *kept = sqlite3_column_blob(stmt, 9);
    if (fields == NULL || kept == NULL || sqlite3_column_bytes(stmt, 9) != DIGEST_BYTES)
        return;
    size_t len = (size_t)sqlite3_column_bytes(stmt, 8);
    unsigned char digest[DIGEST_BYTES];
    digest_of(fields, len, digest);
    if (BREAKS(NO_DIGEST) || memcmp(digest, kept, DIGEST_BYTES) == 0)
        row->fields = xstrndup(fields, len);
}

/* The batch on its way. Its last call is open: more rows may go into it. */
struct batch {
    struct store_claim *claim;
    int64_t max, bytes;
    int32_t calls, max_calls;
    int32_t call_rows, call_most; /* of the last call: rows, and how many it bears */
    int64_t call_bytes;
    bool is_whole; /* nothing more goes into it */
};

/* Does an outside worker's batch take the row? One that a worker was lost with goes first and alone, or not into this one. */
static bool outside_takes(struct batch *batch, sqlite3_stmt *stmt, int64_t bytes)
{
    struct store_claim *claim = batch->claim;
    bool is_first = claim->ret_count == 0;
    bool goes_alone = sqlite3_column_int(stmt, 10) != 0 && !BREAKS(GOES_TOGETHER);
    if (goes_alone && !is_first)
        return false;
    batch->bytes += bytes;
    batch->is_whole = goes_alone || (claim->max_bytes > 0 && batch->bytes >= claim->max_bytes);
    return is_first || claim->max_bytes <= 0 || batch->bytes <= claim->max_bytes;
}

/* Does the row go into the last call, or into one more? */
static bool calls_take(struct batch *batch, sqlite3_stmt *stmt, int64_t bytes)
{
    const struct store_claim *claim = batch->claim;
    int32_t most = sqlite3_column_int(stmt, 11);
    if (most == 0 || most > claim->pack)
        most = claim->pack;
    bool has_pack = batch->call_most > 1;
    bool fits = batch->call_rows > 0 && batch->call_rows < min_i64(most, batch->call_most) &&
                (claim->pack_bytes <= 0 || batch->call_bytes + bytes <= claim->pack_bytes);
    if (!fits && has_pack && most <= 1)
        return false; /* it would part those who go together: a later claim begins with it */
    if (!fits && batch->calls == batch->max_calls) {
        batch->is_whole = true;
        return false;
    }
    batch->call_most = fits ? (int32_t)min_i64(most, batch->call_most) : most;
    batch->call_rows = fits ? batch->call_rows + 1 : 1;
    batch->call_bytes = fits ? batch->call_bytes + bytes : bytes;
    batch->calls += !fits;
    return true;
}

static int rows_take(struct sqlite_store *store, struct batch *batch, int rc, sqlite3_stmt *stmt)
{
    struct store_claim *claim = batch->claim;
    while (rc > 0) {
        int64_t bytes = sqlite3_column_bytes(stmt, 1) + sqlite3_column_bytes(stmt, 8);
        if (claim->worker != NULL ? outside_takes(batch, stmt, bytes) : calls_take(batch, stmt, bytes)) {
            struct leased_row *row = &claim->ret_rows[claim->ret_count++];
            row_read(stmt, row);
            row->call = batch->calls; /* its number, until that has a row */
        }
        if (batch->is_whole || (int64_t)claim->ret_count == batch->max) {
            sqlite_end(stmt);
            batch->is_whole = true;
            return 0;
        }
        rc = sqlite_next(store, stmt);
    }
    return rc;
}

static int rows_collect(struct sqlite_store *store, struct batch *batch)
{
    const struct store_claim *claim = batch->claim;
    sqlite3_stmt *stmt = NULL;
    int rc = 0;
    for (int pass = 0; rc == 0 && pass < 3 && !batch->is_whole; pass++) {
        int64_t left = batch->max - (int64_t)claim->ret_count;
        int64_t is_late = pass == 2;
        rc = pass == 1 ? sqlite_find(store, STMT_CLAIM_FRESH, &stmt, "ii", claim->run, left)
                       : sqlite_find(store, STMT_CLAIM_WAITING, &stmt, "iiii", claim->run, is_late, store->now_ms, left);
        rc = rows_take(store, batch, rc, stmt);
    }
    return rc;
}

/* `sequential`: the first row that is neither final nor held as rejected; while it is leased or not due, it holds the run. */
static int row_in_order(struct sqlite_store *store, struct batch *batch, const struct run_entry *entry)
{
    struct store_claim *claim = batch->claim;
    if (entry->now.counts[COUNT_STATE + ASSIGNMENT_LEASED] > 0)
        return 0;
    int64_t fresh = 0, waiting = 0, due_ms = 0;
    int rc = sqlite_number(store, STMT_ORDER_FRESH, &fresh, "i", claim->run);
    sqlite3_stmt *stmt = NULL;
    if (rc >= 0)
        rc = sqlite_find(store, STMT_ORDER_WAITING, &stmt, "i", claim->run);
    if (rc > 0) {
        waiting = sqlite3_column_int64(stmt, 0);
        due_ms = sqlite3_column_int64(stmt, 1);
        sqlite_end(stmt);
    }
    if (rc < 0)
        return rc;
    bool is_waiting_first = waiting > 0 && (fresh == 0 || waiting < fresh);
    if (is_waiting_first && due_ms > store->now_ms) {
        claim->ret_next_due_ms = due_ms == STORE_NEVER_MS ? -1 : due_ms - store->now_ms;
        return 0;
    }
    int64_t first = is_waiting_first ? waiting : fresh;
    if (first == 0)
        return 0;
    rc = sqlite_find(store, STMT_CLAIM_ONE, &stmt, "i", first);
    return rows_take(store, batch, rc, stmt);
}

static int next_due(struct sqlite_store *store, struct store_claim *claim)
{
    int64_t due_ms = STORE_NEVER_MS;
    for (int64_t is_late = 0; is_late < 2; is_late++) {
        int64_t first_ms = STORE_NEVER_MS;
        int rc = sqlite_number(store, STMT_NEXT_DUE, &first_ms, "ii", claim->run, is_late);
        if (rc < 0)
            return rc;
        due_ms = min_i64(due_ms, first_ms);
    }
    claim->ret_next_due_ms = due_ms == STORE_NEVER_MS ? -1 : max_i64(due_ms - store->now_ms, 0);
    return 0;
}

static int call_make(struct sqlite_store *store, const char *endpoint, int64_t attempt_count, int64_t *ret_call)
{
    int rc = sqlite_do(store, STMT_CALL_INSERT, "tiiii", endpoint, (int64_t)0, store->node, store->wall_ms, attempt_count);
    *ret_call = sqlite3_last_insert_rowid(store->db);
    return rc;
}

/* The call of the rows that stand together from `from` on. */
static int rows_call(struct sqlite_store *store, struct store_claim *claim, size_t from, size_t *ret_to)
{
    struct leased_row *rows = claim->ret_rows;
    int64_t call = 0, number = rows[from].call;
    size_t to = from;
    while (to < claim->ret_count && rows[to].call == number)
        to++;
    int rc = claim->endpoint != NULL ? call_make(store, claim->endpoint, (int64_t)(to - from), &call) : 0;
    for (size_t i = from; i < to; i++)
        rows[i].call = call;
    *ret_to = to;
    return rc;
}

/* Of one that is asked again, wherever it was asked before. */
static int problem_read(struct sqlite_store *store, struct leased_row *row)
{
    sqlite3_stmt *stmt = NULL;
    int rc = row->reasks_spent > 0 ? sqlite_find(store, STMT_ATTEMPT_PROBLEM, &stmt, "iii", row->assignment, (int64_t)row->n - 1, (int64_t)OUTCOME_INVALID_ANSWER) : 0;
    if (rc > 0) {
        row->problem = sqlite_text_copy(stmt, 0);
        sqlite_end(stmt);
    }
    return min_i64(rc, 0);
}

static int row_lease(struct sqlite_store *store, const struct store_claim *claim, struct leased_row *row)
{
    int rc = problem_read(store, row);
    if (rc == 0)
        rc = sqlite_do(store, STMT_ROW_LEASE, "iii", row->assignment, claim->ret_lease, (int64_t)row->n);
    if (rc == 0)
        rc = sqlite_do(store, STMT_ATTEMPT_INSERT, "iiizzi", row->assignment, (int64_t)row->n, claim->ret_lease, row->call, row->token_cap,
                       store->wall_ms);
    sqlite_seq_next(store);
    return rc;
}

static int rows_lease(struct sqlite_store *store, struct store_claim *claim, struct run_entry *entry)
{
    claim->ret_lease = sqlite_lease_next(store);
    claim->op.seq_first = store->seq + 1;
    int rc = lease_make(store, claim, (int64_t)claim->ret_count);
    for (size_t i = 0, to = 0; rc == 0 && i < claim->ret_count; i++) {
        if (i == to)
            rc = rows_call(store, claim, i, &to);
        if (rc == 0)
            rc = row_lease(store, claim, &claim->ret_rows[i]);
    }
    if (rc == 0)
        rc = books_move_rows(store, entry, ASSIGNMENT_PENDING, ASSIGNMENT_LEASED, false, (int64_t)claim->ret_count);
    if (rc == 0 && claim->worker != NULL)
        books_count(store, entry, COUNT_OUTSIDE, (int64_t)claim->ret_count);
    return rc;
}

/* A claim that is done anew after a failed commit starts from nothing. */
static void claim_reset(struct store_claim *claim)
{
    for (size_t i = 0; i < claim->ret_count; i++) {
        free(claim->ret_rows[i].key);
        free(claim->ret_rows[i].fields);
        free(claim->ret_rows[i].problem);
    }
    free(claim->ret_rows);
    claim->ret_rows = NULL;
    claim->ret_count = 0;
    claim->ret_lease = 0;
    claim->ret_next_due_ms = -1;
}

int sqlite_apply_claim(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_claim *claim = CONTAINER_OF(op, struct store_claim, op);
    claim_reset(claim);
    struct run_entry *entry = NULL;
    int rc = books_run(store, claim->run, &entry);
    if (rc <= 0)
        return rc < 0 ? rc : sqlite_refuse(op, GALLOC_NOT_FOUND, "there is no run %lld", (long long)claim->run);
    struct batch batch = {.claim = claim, .max = clamp_i64(claim->max, 0, claim->worker == NULL ? LIMIT_CLAIM_ROWS : LIMIT_LEASE_ROWS)};
    batch.max_calls = claim->max_calls > 0 ? claim->max_calls : (int32_t)batch.max;
    if (entry->now.state != RUN_RUNNING || entry->now.pauses != 0 || batch.max == 0)
        return 0;
    claim->ret_rows = xcalloc((size_t)batch.max, sizeof *claim->ret_rows);
    rc = claim->in_order ? row_in_order(store, &batch, entry) : rows_collect(store, &batch);
    if (rc == 0 && claim->ret_count > 0)
        return rows_lease(store, claim, entry);
    if (rc == 0 && !claim->in_order)
        rc = next_due(store, claim);
    return rc;
}

int sqlite_apply_hedge(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_hedge *hedge = CONTAINER_OF(op, struct store_hedge, op);
    struct settle_row row;
    hedge->ret_call = 0;
    int rc = settle_row_get(store, hedge->assignment, &row);
    if (rc <= 0 || row.state != ASSIGNMENT_LEASED || row.lease != hedge->lease || row.run != hedge->run)
        return min_i64(rc, 0);
    hedge->ret_n = row.attempts + 1;
    op->seq_first = sqlite_seq_next(store);
    rc = sqlite_do(store, STMT_ROW_HEDGE, "ii", hedge->assignment, (int64_t)hedge->ret_n);
    if (rc == 0)
        rc = call_make(store, hedge->endpoint, 1, &hedge->ret_call);
    if (rc == 0)
        rc = sqlite_do(store, STMT_ATTEMPT_INSERT, "iiizzi", hedge->assignment, (int64_t)hedge->ret_n, hedge->lease, hedge->ret_call, row.token_cap, store->wall_ms);
    return rc;
}
