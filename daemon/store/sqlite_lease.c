/* Leases of outside workers: LEASE_RENEW, LEASE_END, LEASE_EXPIRE, and what else begins and ends one.
 *
 *   made (sqlite_claim.c) -> renewed … -> its last row has left it (sqlite_verdict.c, sqlite_sweep.c)
 *                                       | given back: attempts end as `released`, rows as they stood before
 *                                       | ran out: attempts end as `lost`, rows due at once, each alone from now on
 *
 * A lease that has ended has no row and no open attempt; its own row is kept for LEASE_KEPT_MS, so that a late result can be told from one that never was.
 * COUNT_OUTSIDE of a run is how many of its rows stand in such leases. The writer's thread. */
#include "store/sqlite_lease.h"

#include "base/negative.h"
#include "core/limits.h"
#include "core/result_body.h"
#include "store/sqlite_admin.h"
#include "store/sqlite_settle.h"

#define DUE_LEASES 500    /* ended by one operation; most have few rows left */

int lease_get(struct sqlite_store *store, int64_t number, struct outside_lease *ret_lease)
{
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_LEASE_GET, &row, "ii", number, store->now_ms);
    if (rc <= 0)
        return rc;
    *ret_lease = (struct outside_lease){
        .number = number,
        .run = sqlite3_column_int64(row, 0),
        .ttl_ms = sqlite3_column_int64(row, 1),
        .row_count = sqlite3_column_int64(row, 4),
        .has_ended = sqlite3_column_int(row, 2) != 0,
        .is_over = sqlite3_column_int(row, 2) != 0 || sqlite3_column_int(row, 3) != 0,
    };
    sqlite_end(row);
    return 1;
}

int lease_make(struct sqlite_store *store, const struct store_claim *claim, int64_t count)
{
    bool is_outside = claim->worker != NULL;
    return sqlite_do(store, STMT_LEASE_INSERT, "iitzzii", claim->ret_lease, claim->run, claim->worker, is_outside ? claim->ttl_ms : 0,
                     is_outside ? store->now_ms + claim->ttl_ms : 0, count, store->node);
}

int lease_end_if_empty(struct sqlite_store *store, int64_t number, int64_t *ret_left)
{
    int rc = sqlite_number(store, STMT_LEASE_LEFT, ret_left, "i", number);
    return rc < 0 || *ret_left > 0 ? min_i64(rc, 0) : sqlite_do(store, STMT_LEASE_END, "ii", number, store->wall_ms);
}

int lease_row_taken(struct sqlite_store *store, struct run_entry *entry, const struct taken_row *row, const char *message)
{
    struct outside_lease outside;
    int64_t left = 0;
    int rc = lease_get(store, row->lease, &outside);
    if (rc <= 0)
        return rc;
    books_count(store, entry, COUNT_OUTSIDE, -1);
    rc = settle_attempt_close(store, entry, row->assignment, row->n, row->lease, OUTCOME_DROPPED, message);
    return rc < 0 ? rc : lease_end_if_empty(store, row->lease, &left);
}

/* ---- rows that come back undecided ---- */
struct return_row {
    enum outcome_class class;
    bool is_due_now, goes_alone, was_alone; /* else the row is as it was before it was leased */
};

static int rows_return(struct sqlite_store *store, struct run_entry *entry, int64_t lease, const struct return_row *how, const char *message,
                       int64_t *ret_count)
{
    int rc = sqlite_do(store, STMT_LEASE_ATTEMPTS_END, "iiti", lease, (int64_t)how->class, message, store->wall_ms);
    if (rc < 0)
        return rc;
    books_count(store, entry, COUNT_CLASS + (int)how->class, sqlite3_changes(store->db));
    rc = sqlite_do(store, STMT_LEASE_ROWS_BACK, "iizii", lease, (int64_t)how->class, how->is_due_now ? store->now_ms : 0, (int64_t)how->goes_alone,
                   (int64_t)how->was_alone);
    if (rc < 0)
        return rc;
    *ret_count = sqlite3_changes(store->db);
    books_count(store, entry, COUNT_OUTSIDE, -*ret_count);
    rc = books_move_rows(store, entry, ASSIGNMENT_LEASED, ASSIGNMENT_PENDING, false, *ret_count);
    return rc < 0 ? rc : sqlite_do(store, STMT_LEASE_END, "ii", lease, store->wall_ms);
}

/* ---- LEASE_RENEW, LEASE_END ---- */
/* A lease that stands. 0, a refusal or a fault. */
static int lease_get_standing(struct sqlite_store *store, struct store_op *op, int64_t number, struct outside_lease *ret_lease)
{
    int rc = lease_get(store, number, ret_lease);
    if (rc == 0)
        return sqlite_refuse(op, GALLOC_LEASE_LOST, "there is no lease %lld, or it ended long ago", (long long)number);
    if (rc > 0 && ret_lease->is_over)
        return sqlite_refuse(op, GALLOC_LEASE_LOST, "lease %lld is over: its time ran out, it was given back, or nothing is left in it",
                             (long long)number);
    return min_i64(rc, 0);
}

int sqlite_apply_lease_renew(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_lease_renew *renew = CONTAINER_OF(op, struct store_lease_renew, op);
    struct outside_lease lease;
    int rc = lease_get_standing(store, op, renew->lease, &lease);
    if (rc < 0)
        return rc;
    renew->ret_run = lease.run;
    renew->ret_ttl_ms = renew->ttl_ms > 0 ? renew->ttl_ms : lease.ttl_ms;
    return sqlite_do(store, STMT_LEASE_RENEW, "ii", renew->lease, store->now_ms + renew->ret_ttl_ms);
}

int sqlite_apply_lease_end(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    static const struct return_row released = {.class = OUTCOME_RELEASED};
    struct store_lease_end *end = CONTAINER_OF(op, struct store_lease_end, op);
    struct outside_lease lease;
    struct run_entry *entry = NULL;
    int rc = lease_get_standing(store, op, end->lease, &lease);
    if (rc == 0)
        rc = books_run(store, lease.run, &entry);
    if (rc <= 0)
        return rc;
    op->seq_first = sqlite_seq_next(store);
    end->ret_run = lease.run;
    return rows_return(store, entry, end->lease, &released, NULL, &end->ret_released_count);
}

/* ---- LEASE_EXPIRE ---- */
/* "a (lease 3), b (lease 7)": who was lost with the row alone, the first one first. These are the last who were lost with it at all: after the first
 * loss it went to outside workers alone, and what the daemon itself lost was a call. */
static int lost_workers(struct sqlite_store *store, int64_t assignment, struct buf *ret_names)
{
    char *names[LEASE_LOST_ALONE_MAX];
    size_t count = 0;
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_LOST_ALONE_BY, &row, "iii", assignment, (int64_t)OUTCOME_LOST, (int64_t)LEASE_LOST_ALONE_MAX);
    for (; rc > 0; rc = sqlite_next(store, row))
        names[count++] = xasprintf("%s (lease %lld)", (const char *)sqlite3_column_text(row, 0), (long long)sqlite3_column_int64(row, 1));
    while (count > 0) {
        buf_add_str(ret_names, names[--count]);
        buf_add_str(ret_names, count > 0 ? ", " : "");
        free(names[count]);
    }
    return rc;
}

/* A row that is pending again was lost alone for the last time. */
static int row_poison(struct sqlite_store *store, struct run_entry *entry, int64_t assignment)
{
    struct buf names = BUF_EMPTY;
    int rc = lost_workers(store, assignment, &names);
    char *message = xasprintf("%d workers were lost on it, each with it alone: %s", LEASE_LOST_ALONE_MAX, buf_text(&names));
    char *body = result_body_failure(message, NULL, RESULT_NO_CALL);
    if (rc == 0)
        rc = books_move_rows(store, entry, ASSIGNMENT_PENDING, ASSIGNMENT_FAILED, false, 1);
    if (rc == 0)
        rc = sqlite_do(store, STMT_SWEEP_FAIL, "ii", assignment, (int64_t)OUTCOME_POISON);
    if (rc == 0)
        rc = settle_result_put(store, assignment, body);
    if (rc == 0)
        books_count(store, entry, COUNT_FAILED + OUTCOME_POISON, 1);
    free(message);
    free(body);
    buf_clear(&names);
    return rc;
}

/* The only row of a lease of one: has it been lost alone for the last time? *ret_row 0: not. */
static int lost_for_good(struct sqlite_store *store, int64_t lease, int64_t *ret_row)
{
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_LEASE_ROW, &row, "i", lease);
    if (rc <= 0)
        return rc;
    if (sqlite3_column_int64(row, 1) + 1 >= LEASE_LOST_ALONE_MAX)
        *ret_row = sqlite3_column_int64(row, 0);
    sqlite_end(row);
    return 0;
}

/* `told->row_count` is what was handed out, and becomes what was lost. */
static int lease_expire(struct sqlite_store *store, struct expired_lease *told)
{
    const struct return_row lost = {.class = OUTCOME_LOST, .is_due_now = true, .goes_alone = true, .was_alone = told->row_count == 1};
    struct run_entry *entry = NULL;
    int64_t poisoned = 0;
    int rc = books_run(store, told->run, &entry);
    if (rc == 0)
        return sqlite_do(store, STMT_LEASE_END, "ii", told->lease, store->wall_ms); /* its run is gone */
    if (rc > 0)
        rc = lost.was_alone ? lost_for_good(store, told->lease, &poisoned) : 0;
    if (rc < 0)
        return rc;
    char *message = xasprintf("worker %s was lost: lease %lld ran out before it told of this one", told->worker, (long long)told->lease);
    rc = rows_return(store, entry, told->lease, &lost, message, &told->row_count);
    free(message);
    if (rc == 0 && poisoned != 0) {
        told->poisoned_count = 1;
        rc = row_poison(store, entry, poisoned);
    }
    return rc < 0 ? rc : books_finish_run(store, entry);
}

static void leases_drop(struct store_lease_expire *expire, size_t from)
{
    while (expire->ret_count > from)
        free(expire->ret_leases[--expire->ret_count].worker);
}

/* Those that are due, with what was handed out as their row_count. */
static int leases_due(struct sqlite_store *store, struct store_lease_expire *expire)
{
    sqlite3_stmt *row = NULL;
    leases_drop(expire, 0);
    free(expire->ret_leases);
    expire->ret_leases = xcalloc(DUE_LEASES, sizeof *expire->ret_leases);
    int rc = sqlite_find(store, STMT_LEASES_DUE, &row, "ii", BREAKS(LEASES_STAND) ? 0 : store->now_ms, (int64_t)DUE_LEASES);
    for (; rc > 0; rc = sqlite_next(store, row))
        expire->ret_leases[expire->ret_count++] = (struct expired_lease){
            .lease = sqlite3_column_int64(row, 0),
            .run = sqlite3_column_int64(row, 1),
            .worker = sqlite_text_copy(row, 2),
            .row_count = sqlite3_column_int64(row, 3),
        };
    return rc;
}

static int next_due(struct sqlite_store *store, struct store_lease_expire *expire)
{
    int64_t deadline_ms = 0;
    int rc = sqlite_number(store, STMT_LEASE_NEXT_DUE, &deadline_ms, "");
    expire->ret_next_ms = rc > 0 ? max_i64(deadline_ms - store->now_ms, 0) : -1;
    expire->ret_has_more = rc > 0 && deadline_ms <= store->now_ms;
    return min_i64(rc, 0);
}

int sqlite_apply_lease_expire(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_lease_expire *expire = CONTAINER_OF(op, struct store_lease_expire, op);
    int64_t rows = 0;
    int rc = leases_due(store, expire);
    for (size_t i = 0; rc == 0 && i < expire->ret_count; i++) {
        struct expired_lease *told = &expire->ret_leases[i];
        if (i > 0 && (rows + told->row_count > LIMIT_SWEEP_ROWS || sqlite_is_late(store))) {
            leases_drop(expire, i); /* the next operation's */
            break;
        }
        rows += told->row_count;
        rc = lease_expire(store, told);
    }
    if (rc == 0 && expire->ret_count > 0)
        op->seq_first = sqlite_seq_next(store);
    return rc < 0 ? rc : next_due(store, expire);
}

/* ---- leases of a former incarnation ---- */
static int lease_void(struct sqlite_store *store, int64_t lease, int64_t run, const char *message)
{
    static const struct return_row lost = {.class = OUTCOME_LOST, .is_due_now = true};
    struct run_entry *entry = NULL;
    int64_t rows = 0;
    int rc = books_run(store, run, &entry);
    if (rc == 0)
        return sqlite_do(store, STMT_LEASE_END, "ii", lease, store->wall_ms); /* its run is gone */
    return rc < 0 ? rc : rows_return(store, entry, lease, &lost, message, &rows);
}

int leases_void(struct sqlite_store *store, const char *message, int64_t *ret_count)
{
    *ret_count = 0;
    for (;; ++*ret_count) {
        sqlite3_stmt *row = NULL;
        int rc = sqlite_find(store, STMT_LEASE_STANDING, &row, "");
        if (rc <= 0)
            return rc;
        int64_t lease = sqlite3_column_int64(row, 0), run = sqlite3_column_int64(row, 1);
        sqlite_end(row);
        rc = lease_void(store, lease, run, message);
        if (rc < 0)
            return rc;
    }
}
