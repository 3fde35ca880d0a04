/* SETTLE, JUDGE, RELEASE: the ends of attempts. What was paid is always kept: the call and the attempt are filled even when the assignment has moved
 * on (its lease is another one, or it was cancelled), then as `dropped`. Only the current lease's number changes the assignment.
 *
 *   SETTLE   leased  -> succeeded | failed | pending | pending, held | leased anew | leased still, by another attempt
 *   JUDGE    pending, held as transient -> pending | failed
 *   RELEASE  leased  -> pending, as it stood before it was leased
 * The writer's thread. */
#include "store/sqlite_settle.h"

#include "base/negative.h"
#include "core/price.h"
#include "store/sqlite_call.h"
#include "store/sqlite_lease.h"

#define LEASES_MEMORABLE 8 /* of an operation; most name one */

/* One item on its way. */
struct settling {
    struct sqlite_store *store;
    struct settle_item *item;
    struct run_entry *entry;
    const char *endpoint;
    struct call_sums *sums; /* of the operation */
    bool is_outside;
    struct settle_row row;
    enum outcome_class class; /* as it is recorded */
    int64_t excluded, fulls_spent;
};

struct settle_row settle_row_of(sqlite3_stmt *stmt)
{
    return (struct settle_row){
        .run = sqlite3_column_int64(stmt, 0),
        .state = (enum assignment_state)sqlite3_column_int(stmt, 1),
        .lease = sqlite3_column_int64(stmt, 2),
        .attempts = sqlite3_column_int(stmt, 3),
        .hold = (enum assignment_hold)sqlite3_column_int(stmt, 4),
        .retries_spent = sqlite3_column_int(stmt, 5),
        .reasks_spent = sqlite3_column_int(stmt, 6),
        .fulls_spent = sqlite3_column_int(stmt, 7),
        .failures = sqlite3_column_int(stmt, 8),
        .token_cap = sqlite3_column_int64(stmt, 9),
        .id = sqlite3_column_int64(stmt, 10),
    };
}

static int row_read(sqlite3_stmt *stmt, int rc, struct settle_row *ret_row)
{
    if (rc <= 0)
        return rc;
    *ret_row = settle_row_of(stmt);
    sqlite_end(stmt);
    return 1;
}

int settle_row_get(struct sqlite_store *store, int64_t assignment, struct settle_row *ret_row)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite_find(store, STMT_ROW_GET, &stmt, "i", assignment);
    return row_read(stmt, rc, ret_row);
}

int settle_row_by_key(struct sqlite_store *store, int64_t run, const char *key, struct settle_row *ret_row)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite_find(store, STMT_ROW_BY_KEY, &stmt, "it", run, key);
    return row_read(stmt, rc, ret_row);
}

int settle_result_put(struct sqlite_store *store, int64_t assignment, const char *body)
{
    if (body == NULL)
        body = "{}";
    unsigned char digest[DIGEST_BYTES];
    size_t len = strlen(body);
    digest_of(body, len, digest);
    return sqlite_do(store, STMT_RESULT_PUT, "isbi", assignment, body, len, digest, sizeof digest, store->wall_ms);
}

/* ---- what was paid ---- */
static void tokens_count(struct settling *s)
{
    const struct settle_item *item = s->item;
    for (int i = 0; i < TOKEN_COUNT; i++)
        if (item->tokens[i] > 0)
            books_count(s->store, s->entry, COUNT_TOKEN + i, item->tokens[i]);
    if (item->cost_micros >= 0)
        books_count(s->store, s->entry, COUNT_COST_MICROS, item->cost_micros);
    else if (price_is_unknown(item->http_status, item->tokens[TOKEN_IN], item->cost_micros))
        books_count(s->store, s->entry, COUNT_COST_UNKNOWN, 1);
    if (item->http_status >= 200 && item->http_status < 300) {
        books_count(s->store, s->entry, COUNT_ANSWERED, 1);
        books_count(s->store, s->entry, COUNT_LATENCY_MS, item->latency_ms);
    }
    call_sums_add_usage(s->sums, item->http_status, item->tokens, item->cost_micros, item->currency);
}

/* The part of a call's tokens or cost that one of its attempts is told to have used; -1: not told. */
static int64_t share_of(const struct settle_item *item, int64_t total)
{
    int64_t count = max_i64(item->part_count, 1);
    return total < 0 ? -1 : total / count + (item->part == 0 ? total % count : 0);
}

/* The call's own row, by the first of its items. It ends once; what comes later is passed over. A call of which there is nothing to tell was never sent. */
static int call_end(struct settling *s)
{
    struct sqlite_store *store = s->store;
    const struct settle_item *item = s->item;
    const int64_t *tokens = item->tokens;
    if (item->call == 0 || item->part > 0)
        return 0;
    enum call_state state = item->is_call_lost ? CALL_LOST : item->has_call_result ? CALL_DONE : CALL_RELEASED;
    int rc;
    if (item->has_call_result)
        rc = sqlite_do(store, STMT_CALL_END, "iiiizmmmmmmtmzi", item->call, (int64_t)state, store->wall_ms, (int64_t)item->call_class,
                       (int64_t)item->http_status, tokens[TOKEN_IN], tokens[TOKEN_CACHED], tokens[TOKEN_OUT], tokens[TOKEN_THOUGHT],
                       tokens[TOKEN_TOOL], item->cost_micros, item->currency[0] == '\0' ? NULL : item->currency, item->latency_ms,
                       (int64_t)item->local_port, max_i64(item->part_count, 1));
    else
        rc = sqlite_do(store, STMT_CALL_CLOSE, "iiii", item->call, (int64_t)state, store->wall_ms, (int64_t)item->class);
    if (rc < 0 || sqlite3_changes(store->db) == 0)
        return rc;
    rc = sqlite_reserve_end(store, s->entry, item->call, item->kept_micros);
    if (rc < 0)
        return rc;
    if (state != CALL_RELEASED)
        books_count(store, s->entry, COUNT_CALLS, 1);
    if (state != CALL_RELEASED)
        call_sums_add_call(s->sums, false, item->call_class);
    if (item->has_call_result)
        tokens_count(s);
    return 0;
}

/* 1: ended now; 0: it had ended before (a crash's recovery, a second answer), and nothing of it is counted again. */
static int attempt_end(struct settling *s)
{
    const struct settle_item *item = s->item;
    bool has_tokens = item->has_call_result && item->tokens[TOKEN_IN] >= 0;
    int64_t tokens_out = max_i64(item->tokens[TOKEN_OUT], 0) + max_i64(item->tokens[TOKEN_THOUGHT], 0);
    int rc = sqlite_do(s->store, STMT_ATTEMPT_END, "iiiizzmmmtit", item->assignment, (int64_t)item->n, item->lease, (int64_t)s->class, item->agent,
                       s->excluded, has_tokens ? share_of(item, item->tokens[TOKEN_IN]) : -1, has_tokens ? share_of(item, tokens_out) : -1,
                       item->has_call_result ? share_of(item, item->cost_micros) : -1, item->message, s->store->wall_ms, item->raw);
    if (rc < 0 || sqlite3_changes(s->store->db) == 0)
        return rc;
    books_count(s->store, s->entry, COUNT_CLASS + (int)s->class, 1);
    return 1;
}

int settle_attempt_close(struct sqlite_store *store, struct run_entry *entry, int64_t assignment, int64_t n, int64_t lease, enum outcome_class class,
                         const char *message)
{
    int rc = sqlite_do(store, STMT_ATTEMPT_CLOSE, "iiiiti", assignment, n, lease, (int64_t) class, message, store->wall_ms);
    if (rc < 0 || sqlite3_changes(store->db) == 0)
        return rc;
    books_count(store, entry, COUNT_CLASS + (int)class, 1);
    return 1;
}

/* ---- the moves, each from `leased` ---- */
static int row_move(struct settling *s, enum assignment_state to)
{
    return books_move_rows(s->store, s->entry, ASSIGNMENT_LEASED, to, false, 1);
}

/* `resets`: of the agent's ledger, whose place the row takes. */
static int row_final(struct settling *s, enum assignment_state to, int64_t agent, int64_t resets)
{
    const struct settle_item *item = s->item;
    int rc = row_move(s, to);
    if (rc == 0)
        rc = sqlite_do(s->store, STMT_ROW_FINAL, "iiiziiiii", item->assignment, (int64_t)to, (int64_t)s->class, agent,
                       (int64_t)item->retries_spent, (int64_t)item->reasks_spent, s->fulls_spent, (int64_t)item->failures, resets);
    return rc < 0 ? rc : settle_result_put(s->store, item->assignment, item->result);
}

static int row_pending(struct settling *s, enum assignment_hold hold, bool is_late, int64_t not_before_ms)
{
    const struct settle_item *item = s->item;
    int rc = row_move(s, ASSIGNMENT_PENDING);
    if (rc < 0)
        return rc;
    return sqlite_do(s->store, STMT_ROW_PENDING, "iiiiiiiiiii", item->assignment, (int64_t)hold, (int64_t)is_late, not_before_ms,
                     (int64_t)s->class, (int64_t)item->retries_spent, (int64_t)item->reasks_spent, s->fulls_spent,
                     (int64_t)item->failures, item->token_cap, (int64_t)item->pack_most);
}

static int move_succeed(struct settling *s)
{
    struct settle_item *item = s->item;
    struct seat *seat = NULL;
    if (item->agent == 0) /* an answer takes nobody's place */
        return row_final(s, ASSIGNMENT_SUCCEEDED, 0, 0);
    int rc = books_seat(s->store, item->ledger, item->agent, &seat);
    if (rc < 0)
        return rc;
    if (!books_seat_is_free(s->store, seat)) {
        item->ret_verdict = VERDICT_AGENT_FULL;
        s->fulls_spent++;
        s->class = OUTCOME_AGENT_FULL;
        s->excluded = item->agent;
        return row_pending(s, HOLD_NONE, false, 0);
    }
    int64_t resets = seat->resets;
    rc = books_held_add(s->store, item->ledger, item->agent, 1);
    return rc < 0 ? rc : row_final(s, ASSIGNMENT_SUCCEEDED, item->agent, resets);
}

static int move_fail(struct settling *s)
{
    int rc = row_final(s, ASSIGNMENT_FAILED, 0, 0);
    if (rc == 0)
        books_count(s->store, s->entry, COUNT_FAILED + (int)s->class, 1);
    return rc;
}

static int move_pending(struct settling *s)
{
    const struct settle_item *item = s->item;
    bool is_fresh = item->delay_ms <= 0 && !item->is_late;
    return row_pending(s, HOLD_NONE, item->is_late, is_fresh ? 0 : s->store->now_ms + max_i64(item->delay_ms, 0));
}

static int move_hold(struct settling *s)
{
    return row_pending(s, s->item->hold, s->item->is_late, STORE_NEVER_MS);
}

/* A new attempt at once, under a new lease of its own: the old number is stale from now on. */
static int move_reask(struct settling *s)
{
    struct sqlite_store *store = s->store;
    struct settle_item *item = s->item;
    item->ret_lease = sqlite_lease_next(store);
    item->ret_n = s->row.attempts + 1;
    item->ret_call = 0;
    int rc = row_move(s, ASSIGNMENT_LEASED);
    if (rc == 0)
        rc = sqlite_do(store, STMT_LEASE_INSERT, "iitzzii", item->ret_lease, s->row.run, NULL, (int64_t)0, (int64_t)0, (int64_t)1, store->node);
    if (rc == 0)
        rc = sqlite_do(store, STMT_ROW_REASK, "iiiiiiiii", item->assignment, item->ret_lease, (int64_t)item->ret_n, (int64_t)s->class,
                       (int64_t)item->retries_spent, (int64_t)item->reasks_spent, s->fulls_spent, (int64_t)item->failures,
                       item->token_cap);
    if (rc == 0 && s->endpoint != NULL) {
        rc = sqlite_do(store, STMT_CALL_INSERT, "tiiii", s->endpoint, (int64_t)0, store->node, store->wall_ms, (int64_t)1);
        item->ret_call = sqlite3_last_insert_rowid(store->db);
    }
    if (rc == 0)
        rc = sqlite_do(store, STMT_ATTEMPT_INSERT, "iiizzi", item->assignment, (int64_t)item->ret_n, item->ret_lease, item->ret_call,
                       item->token_cap, store->wall_ms);
    return rc;
}

static int move_stay(struct settling *s)
{
    (void)s;
    return 0;
}

static int (*const moves[])(struct settling *s) = {
    [MOVE_SUCCEED] = move_succeed, [MOVE_FAIL] = move_fail, [MOVE_PENDING] = move_pending, [MOVE_HOLD] = move_hold, [MOVE_REASK] = move_reask,
    [MOVE_STAY] = move_stay,
};

/* The row as the item says, where its fence holds; call and attempt always. */
static int item_end(struct settling *s, bool is_current)
{
    struct settle_item *item = s->item;
    int rc = 0;
    s->class = is_current || item->move == MOVE_STAY ? item->class : OUTCOME_DROPPED;
    s->excluded = item->excluded;
    s->fulls_spent = item->fulls_spent;
    item->ret_verdict = VERDICT_STALE;
    if (is_current) {
        item->ret_verdict = VERDICT_DONE;
        if (item->retries_spent > s->row.retries_spent)
            books_count(s->store, s->entry, COUNT_RETRIES, item->retries_spent - s->row.retries_spent);
        rc = moves[item->move](s);
    }
    if (rc >= 0)
        rc = call_end(s);
    if (rc >= 0)
        rc = attempt_end(s);
    return rc < 0 ? rc : 0;
}

int settle_row_now(struct sqlite_store *store, struct run_entry *entry, const struct settle_row *row, struct settle_item *item)
{
    struct settling s = {.store = store, .item = item, .entry = entry, .row = *row};
    return item_end(&s, true);
}

static int item_settle(struct settling *s)
{
    struct settle_item *item = s->item;
    struct sqlite_store *store = s->store;
    sqlite_seq_next(store);
    item->ret_seq = sqlite_seq_next(store);
    item->ret_verdict = VERDICT_STALE;
    int rc = settle_row_get(store, item->assignment, &s->row);
    if (rc <= 0)
        return rc; /* 0: the run was purged; nothing is left to fill */
    rc = books_run(store, s->row.run, &s->entry);
    if (rc <= 0)
        return rc;
    bool is_current = s->row.state == ASSIGNMENT_LEASED && s->row.lease == item->lease && s->row.run == item->run;
    if (BREAKS(NO_FENCE))
        is_current = s->row.run == item->run && s->row.state != ASSIGNMENT_SUCCEEDED;
    if (is_current && s->is_outside)
        books_count(store, s->entry, COUNT_OUTSIDE, -1);
    return item_end(s, is_current);
}

/* ---- after the items: leases that are empty, runs that are done ---- */
static int lease_drop_empty(struct sqlite_store *store, int64_t lease)
{
    int64_t ignored;
    int rc = sqlite_number(store, STMT_LEASE_IN_USE, &ignored, "i", lease);
    return rc == 0 ? sqlite_do(store, STMT_LEASE_DELETE, "i", lease) : rc < 0 ? rc : 0;
}

/* Leases seen in this operation, so that one that many items share is looked at once or nearly so. */
struct leases {
    int64_t numbers[LEASES_MEMORABLE];
    size_t count;
};

static int leases_flush(struct sqlite_store *store, struct leases *leases)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < leases->count; i++)
        rc = lease_drop_empty(store, leases->numbers[i]);
    leases->count = 0;
    return rc;
}

static int leases_note(struct sqlite_store *store, struct leases *leases, int64_t lease)
{
    for (size_t i = 0; i < leases->count; i++)
        if (leases->numbers[i] == lease)
            return 0;
    int rc = leases->count == LEASES_MEMORABLE ? leases_flush(store, leases) : 0;
    leases->numbers[leases->count++] = lease;
    return rc;
}

static int run_finish(struct sqlite_store *store, int64_t run)
{
    struct run_entry *entry = NULL;
    int rc = books_run(store, run, &entry);
    return rc <= 0 ? rc : books_finish_run(store, entry);
}

int sqlite_apply_settle(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_settle *settle = CONTAINER_OF(op, struct store_settle, op);
    struct leases leases = {.count = 0};
    struct call_sums sums = {0};
    int64_t ignored;
    op->seq_first = store->seq + 1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < settle->count; i++) {
        struct settling s = {.store = store, .item = &settle->items[i], .endpoint = settle->endpoint, .sums = &sums, .is_outside = settle->is_outside};
        rc = item_settle(&s);
        if (rc == 0)
            rc = leases_note(store, &leases, s.item->lease);
    }
    if (rc == 0)
        rc = leases_flush(store, &leases);
    if (rc == 0)
        rc = sqlite_day_count(store, settle);
    if (rc == 0 && settle->endpoint != NULL)
        rc = sqlite_call_sums_write(store, settle->endpoint, &sums);
    if (rc == 0 && settle->is_outside && settle->count > 0)
        rc = lease_end_if_empty(store, settle->items[0].lease, &ignored);
    for (size_t i = 0; rc == 0 && i < settle->count; i++)
        rc = run_finish(store, settle->items[i].run);
    return rc;
}

/* ---- JUDGE ---- */
static int item_judge(struct sqlite_store *store, struct judge_item *item)
{
    struct settle_row row;
    struct run_entry *entry = NULL;
    item->ret_done = false;
    sqlite_seq_next(store);
    int rc = settle_row_get(store, item->assignment, &row);
    if (rc <= 0 || row.state != ASSIGNMENT_PENDING || row.hold != HOLD_TRANSIENT || row.attempts != item->n || row.run != item->run)
        return rc < 0 ? rc : 0;
    rc = books_run(store, row.run, &entry);
    if (rc <= 0)
        return rc;
    item->ret_done = true;
    bool is_spent = item->is_spent && !item->fails; /* what fails is not tried again */
    int64_t retries_spent = row.retries_spent + is_spent;
    if (is_spent)
        books_count(store, entry, COUNT_RETRIES, 1);
    if (!item->fails)
        return sqlite_do(store, STMT_ROW_JUDGE, "iii", item->assignment, store->now_ms + max_i64(item->delay_ms, 0), retries_spent);
    books_count(store, entry, COUNT_FAILED + OUTCOME_TRANSIENT, 1);
    rc = books_move_rows(store, entry, ASSIGNMENT_PENDING, ASSIGNMENT_FAILED, false, 1);
    if (rc == 0)
        rc = sqlite_do(store, STMT_ROW_FINAL, "iiiziiiii", item->assignment, (int64_t)ASSIGNMENT_FAILED, (int64_t)OUTCOME_TRANSIENT, (int64_t)0,
                       retries_spent, (int64_t)row.reasks_spent, (int64_t)row.fulls_spent, (int64_t)row.failures, (int64_t)0);
    if (rc == 0)
        rc = settle_result_put(store, item->assignment, item->result);
    return rc < 0 ? rc : books_finish_run(store, entry);
}

int sqlite_apply_judge(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_judge *judge = CONTAINER_OF(op, struct store_judge, op);
    op->seq_first = store->seq + 1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < judge->count; i++)
        rc = item_judge(store, &judge->items[i]);
    return rc;
}

/* ---- RELEASE ---- */
static int item_release(struct sqlite_store *store, struct release_item *item)
{
    struct settle_item ended = {.run = item->run, .assignment = item->assignment, .lease = item->lease, .call = item->call, .n = item->n,
                                .class = OUTCOME_RELEASED};
    struct settling s = {.store = store, .item = &ended, .class = OUTCOME_RELEASED};
    sqlite_seq_next(store);
    int rc = settle_row_get(store, item->assignment, &s.row);
    if (rc > 0)
        rc = books_run(store, s.row.run, &s.entry);
    if (rc <= 0)
        return rc;
    rc = call_end(&s);
    if (rc == 0)
        rc = attempt_end(&s);
    if (rc >= 0 && s.row.state == ASSIGNMENT_LEASED && s.row.lease == item->lease) {
        rc = row_move(&s, ASSIGNMENT_PENDING);
        if (rc == 0)
            rc = sqlite_do(store, STMT_ROW_GIVE_BACK, "ii", item->assignment, (int64_t)OUTCOME_RELEASED);
    }
    return rc < 0 ? rc : 0;
}

int sqlite_apply_release(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_release *release = CONTAINER_OF(op, struct store_release, op);
    struct leases leases = {.count = 0};
    op->seq_first = store->seq + 1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < release->count; i++) {
        rc = item_release(store, &release->items[i]);
        if (rc == 0)
            rc = leases_note(store, &leases, release->items[i].lease);
    }
    return rc < 0 ? rc : leases_flush(store, &leases);
}
