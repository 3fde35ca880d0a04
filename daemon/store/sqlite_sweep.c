/* Sweeps: changes of many rows of a run by one command, in steps that each are a transaction of at most
 * LIMIT_SWEEP_ROWS rows and the time that the writer gives. The first step marks the run and writes the audit row; what
 * is left after it stands in `sweep` with its cursor, so that a restart, or a step that has to be done anew, goes on
 * where the last commit was. Whoever reads a run sees the mark at once, the rows follow.
 *
 *   CANCEL     pending, leased -> cancelled; a leased row loses its lease, so that the answer that comes later is stale.
 *              An outside worker's attempt ends with it
 *   ABANDON    the same, of a run that was left importing
 *   RETRY      failed, cancelled -> pending, budgets back to 0, fresh in the order of the run
 *   REDO       succeeded -> pending, likewise: the place is free, the decision stays with its attempt
 *   DISCARD    succeeded -> cancelled, the same
 *   EXPIRE     pending -> failed (expired)
 *   FAIL_HELD  pending, held as rejected -> failed, with the provider's words
 *
 * A run is not done while a sweep of it is open. The writer's thread. */
#include "store/sqlite_sweep.h"

#include "core/limits.h"
#include "store/sqlite_admin.h"
#include "store/sqlite_decide.h"
#include "store/sqlite_lease.h"
#include "store/sqlite_select.h"

#include <stdlib.h>

#define PIECE_ROWS 256    /* rows chosen at once; the clock is looked at between pieces */
#define KEYED_ROWS 1000   /* changed in a step at least where keys are named: looking those up may take all its time */
#define AUDITED_ITEMS 100 /* of a list in the audit row */

struct sweeping {
    struct sqlite_store *store;
    struct store_sweep *sweep;
    struct run_entry *entry;
    bool is_resumed; /* its row stands */
    int64_t after, changed, step_changed;
    bool is_end;
    char *words; /* owned; of whom takes decisions back, and why; made at the first */
};

struct target { /* a row that is to be changed */
    int64_t id;
    enum assignment_state state;
    int class; /* -1: none */
    int64_t lease, attempts; /* lease 0: none */
    int64_t agent, resets;   /* agent 0: none */
};

/* ---- what a verb does to a row ---- */
static int row_cancel(struct sweeping *s, const struct target *row)
{
    int rc = sqlite_do(s->store, STMT_SWEEP_CANCEL, "i", row->id);
    bool may_be_outside = row->state == ASSIGNMENT_LEASED && s->entry->now.counts[COUNT_OUTSIDE] > 0;
    if (rc < 0 || !may_be_outside)
        return rc;
    return lease_row_taken(s->store, s->entry, &(struct taken_row){row->id, row->attempts, row->lease}, "it was cancelled while a worker had it");
}

static int row_retry(struct sweeping *s, const struct target *row)
{
    if (row->state == ASSIGNMENT_FAILED && row->class >= 0)
        books_count(s->store, s->entry, COUNT_FAILED + row->class, -1);
    int rc = sqlite_do(s->store, STMT_SWEEP_RETRY, "i", row->id);
    return rc < 0 ? rc : sqlite_do(s->store, STMT_RESULT_DROP, "i", row->id);
}

/* The decision is taken back; the row then goes the way of `statement`. */
static int row_undo(struct sweeping *s, const struct target *row, const char *verb, enum sqlite_statement statement)
{
    if (s->words == NULL)
        s->words = decision_words(verb, &s->sweep->peer, s->sweep->reason);
    int rc = decision_take_back(s->store, s->entry, &(struct decided_row){row->id, row->agent, row->resets}, s->words);
    if (rc == 0)
        rc = sqlite_do(s->store, statement, "i", row->id);
    return rc < 0 ? rc : sqlite_do(s->store, STMT_RESULT_DROP, "i", row->id);
}

static int row_redo(struct sweeping *s, const struct target *row)
{
    return row_undo(s, row, "to be decided anew", STMT_SWEEP_RETRY);
}

static int row_discard(struct sweeping *s, const struct target *row)
{
    return row_undo(s, row, "discarded", STMT_SWEEP_CANCEL);
}

static int row_fail(struct sweeping *s, const struct target *row, enum outcome_class class, const struct buf *body)
{
    unsigned char digest[DIGEST_BYTES];
    digest_of(buf_text(body), body->len, digest);
    books_count(s->store, s->entry, COUNT_FAILED + (int)class, 1);
    int rc = sqlite_do(s->store, STMT_SWEEP_FAIL, "ii", row->id, (int64_t) class);
    if (rc < 0)
        return rc;
    return sqlite_do(s->store, STMT_RESULT_PUT, "isbi", row->id, buf_text(body), body->len, digest, sizeof digest,
                     s->store->wall_ms);
}

static int row_expire(struct sweeping *s, const struct target *row)
{
    struct buf body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    json_out_begin(&out, '{');
    json_out_member_str(&out, "message", "older than the run's max_age");
    json_out_end(&out, '}');
    int rc = row_fail(s, row, OUTCOME_EXPIRED, &body);
    buf_clear(&body);
    return rc;
}

static void number_out(struct json_out *out, const char *name, sqlite3_stmt *row, int column)
{
    if (sqlite3_column_type(row, column) == SQLITE_NULL)
        json_out_member_null(out, name);
    else
        json_out_member_int(out, name, sqlite3_column_int64(row, column));
}

static int row_fail_held(struct sweeping *s, const struct target *row)
{
    struct buf body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    sqlite3_stmt *words = NULL;
    json_out_begin(&out, '{');
    int rc = sqlite_find(s->store, STMT_LAST_WORDS, &words, "i", row->id);
    if (rc > 0) {
        json_out_member_str(&out, "message", (const char *)sqlite3_column_text(words, 0));
        number_out(&out, "http_status", words, 1);
        number_out(&out, "latency_ms", words, 2);
        sqlite_end(words);
    }
    json_out_end(&out, '}');
    if (rc >= 0)
        rc = row_fail(s, row, row->class >= 0 ? (enum outcome_class)row->class : OUTCOME_REJECTED, &body);
    buf_clear(&body);
    return rc;
}

static const struct verb_row {
    unsigned states; /* that may be changed */
    enum assignment_state to;
    int (*change)(struct sweeping *s, const struct target *row);
    const char *audit_verb;
    bool reopens; /* gives a run that ended new work */
} verbs[] = {
    [SWEEP_CANCEL] = {1u << ASSIGNMENT_PENDING | 1u << ASSIGNMENT_LEASED, ASSIGNMENT_CANCELLED, row_cancel,
                      "run_cancel", false},
    [SWEEP_RETRY] = {1u << ASSIGNMENT_FAILED | 1u << ASSIGNMENT_CANCELLED, ASSIGNMENT_PENDING, row_retry, "run_retry",
                     true},
    [SWEEP_EXPIRE] = {1u << ASSIGNMENT_PENDING, ASSIGNMENT_FAILED, row_expire, "run_expire", false},
    [SWEEP_FAIL_HELD] = {1u << ASSIGNMENT_PENDING, ASSIGNMENT_FAILED, row_fail_held, "run_fail_held", false},
    [SWEEP_REDO] = {1u << ASSIGNMENT_SUCCEEDED, ASSIGNMENT_PENDING, row_redo, "run_redo", true},
    [SWEEP_DISCARD] = {1u << ASSIGNMENT_SUCCEEDED, ASSIGNMENT_CANCELLED, row_discard, "run_discard", false},
    [SWEEP_ABANDON] = {1u << ASSIGNMENT_PENDING, ASSIGNMENT_CANCELLED, row_cancel, "run_abandon", false},
};

/* ---- the first step: may it be, the run's mark, the audit row ---- */
static int check_cancel(struct sweeping *s)
{
    const struct store_run *run = &s->entry->now;
    struct store_op *op = &s->sweep->op;
    if (run->state == RUN_DONE)
        return sqlite_refuse(op, GALLOC_WRONG_STATE, "run %s is done: nothing is left to be cancelled", run->run_id);
    if (run->state == RUN_IMPORTING && !s->sweep->selector.is_all)
        return sqlite_refuse(op, GALLOC_WRONG_STATE,
                             "run %s is still importing: it can only be cancelled as a whole (--all)", run->run_id);
    return 0;
}

/* Of retry, redo, discard. */
static int check_ended(struct sweeping *s)
{
    const struct store_run *run = &s->entry->now;
    struct store_op *op = &s->sweep->op;
    if (run->state == RUN_IMPORTING)
        return sqlite_refuse(op, GALLOC_WRONG_STATE, "run %s is still importing: nothing has ended yet", run->run_id);
    if (run->state == RUN_CANCELLED && run->started_at_ms == 0)
        return sqlite_refuse(op, GALLOC_WRONG_STATE,
                             "run %s was cancelled while it was imported: enqueue its file again", run->run_id);
    return 0;
}

static int check_abandon(struct sweeping *s)
{
    const struct store_run *run = &s->entry->now;
    if (run->state == RUN_IMPORTING && s->store->now_ms - run->import_ms >= IMPORT_LEFT_MS)
        return 0;
    return sqlite_refuse(&s->sweep->op, GALLOC_WRONG_STATE, "run %s is not left importing", run->run_id);
}

static int sweep_check(struct sweeping *s)
{
    static int (*const checks[ARRAY_COUNT(verbs)])(struct sweeping *s) = {
        [SWEEP_CANCEL] = check_cancel, [SWEEP_RETRY] = check_ended, [SWEEP_REDO] = check_ended, [SWEEP_DISCARD] = check_ended, [SWEEP_ABANDON] = check_abandon};
    return checks[s->sweep->verb] ? checks[s->sweep->verb](s) : 0;
}

static int sweep_audit(struct sweeping *s)
{
    struct buf detail = BUF_EMPTY;
    struct json_out out = JSON_OUT(&detail);
    const struct store_run *run = &s->entry->now;
    json_out_begin(&out, '{');
    json_out_name(&out, "before");
    json_out_begin(&out, '{');
    json_out_member_str(&out, "state", run_state_name(run->state));
    for (int state = 0; state < ASSIGNMENT_STATE_COUNT; state++)
        json_out_member_int(&out, assignment_state_name((enum assignment_state)state),
                            run->counts[COUNT_STATE + state]);
    json_out_end(&out, '}');
    json_out_name(&out, "after");
    json_out_begin(&out, '{');
    json_out_name(&out, "selected");
    selector_out(&out, &s->sweep->selector, AUDITED_ITEMS);
    json_out_member_str(&out, "to", assignment_state_name(verbs[s->sweep->verb].to));
    json_out_end(&out, '}');
    if (s->sweep->reason != NULL)
        json_out_member_str(&out, "reason", s->sweep->reason);
    json_out_end(&out, '}');
    int rc =
        sqlite_audit(s->store, &s->sweep->op, &s->sweep->peer, verbs[s->sweep->verb].audit_verb, run->run_id, &detail);
    buf_clear(&detail);
    return rc;
}

static int sweep_begin(struct sweeping *s)
{
    struct store_sweep *sweep = s->sweep;
    int rc = sweep_check(s);
    if (rc < 0)
        return rc;
    sweep->op.seq_first = sqlite_seq_next(s->store);
    rc = sweep->is_by_person ? sweep_audit(s) : 0;
    bool is_whole = (sweep->verb == SWEEP_CANCEL || sweep->verb == SWEEP_ABANDON) && sweep->selector.is_all;
    if (rc == 0 && is_whole && s->entry->now.state != RUN_CANCELLED)
        rc = books_move_run(s->store, s->entry, RUN_CANCELLED, true);
    if (rc == 0 && is_whole)
        s->entry->now.is_open = false; /* one that is retried later ends by itself */
    return rc;
}

/* ---- a later step: where the last one ended ---- */
/* 1 goes on, 0 no such sweep, or negative. */
static int sweep_resume(struct sweeping *s)
{
    struct store_sweep *sweep = s->sweep;
    sqlite3_stmt *row = NULL;
    int rc = sweep->sweep_id == 0 ? 0 : sqlite_find(s->store, STMT_SWEEP_GET, &row, "i", sweep->sweep_id);
    if (rc <= 0)
        return rc;
    s->is_resumed = true;
    s->after = sqlite3_column_int64(row, 3);
    s->changed = sqlite3_column_int64(row, 4);
    if (sweep->run == 0) { /* from a former life: the operation knows its number alone */
        sweep->run = sqlite3_column_int64(row, 0);
        sweep->verb = (enum store_sweep_verb)sqlite3_column_int(row, 1);
        rc = selector_parse((const char *)sqlite3_column_text(row, 2), (size_t)sqlite3_column_bytes(row, 2),
                            &sweep->selector, &sweep->op.error);
        sweep->peer.uid = (uint32_t)sqlite3_column_int64(row, 5);
        sweep->reason = sqlite_text_copy(row, 6);
    }
    sqlite_end(row);
    return rc < 0 ? rc : 1;
}

/* ---- the rows of a step ---- */
static int row_change(struct sweeping *s, int64_t id)
{
    const struct verb_row *verb = &verbs[s->sweep->verb];
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite_find(s->store, STMT_SWEEP_ROW, &stmt, "i", id);
    if (rc <= 0)
        return rc;
    struct target row = {
        .id = id,
        .state = (enum assignment_state)sqlite3_column_int(stmt, 0),
        .class = sqlite3_column_type(stmt, 1) == SQLITE_NULL ? -1 : sqlite3_column_int(stmt, 1),
        .lease = sqlite3_column_int64(stmt, 2),
        .attempts = sqlite3_column_int64(stmt, 3),
        .agent = sqlite3_column_int64(stmt, 4),
        .resets = sqlite3_column_int64(stmt, 5),
    };
    sqlite_end(stmt);
    rc = books_move_rows(s->store, s->entry, row.state, verb->to, true, 1);
    if (rc == 0)
        rc = verb->change(s, &row);
    s->step_changed++;
    return rc;
}

static int selection_of(struct sweeping *s, struct selection *selection)
{
    const struct store_sweep *sweep = s->sweep;
    if (sweep->verb == SWEEP_FAIL_HELD)
        return selection_open_held(selection, s->store->db, sweep->run);
    return selection_open(selection, s->store->db, sweep->run, &sweep->selector, verbs[sweep->verb].states,
                          &s->sweep->op.error);
}

static int rows_change(struct sweeping *s)
{
    struct selection selection;
    int64_t ids[PIECE_ROWS];
    size_t count = 0;
    int chosen = selection_of(s, &selection); /* a SQLite code, or a refusal */
    int rc = chosen < 0 ? chosen : 0;
    bool has_time = true;
    while (chosen == SQLITE_OK && rc == 0 && !s->is_end && has_time && s->step_changed < LIMIT_SWEEP_ROWS) {
        chosen = selection_next(&selection, s->after, s->store->deadline_mono_us, ids, PIECE_ROWS, &count, &s->after,
                                &s->is_end);
        for (size_t i = 0; i < count && chosen == SQLITE_OK && rc == 0; i++)
            rc = row_change(s, ids[i]);
        has_time = !sqlite_is_late(s->store) || (selection.has_keys && s->step_changed < KEYED_ROWS);
    }
    selection_close(&selection);
    return chosen > 0 ? sqlite_fault(s->store, chosen, "choosing the rows of a sweep") : rc < 0 ? rc : 0;
}

/* ---- the end of a step ---- */
static int sweep_keep(struct sweeping *s)
{
    struct store_sweep *sweep = s->sweep;
    if (s->is_resumed)
        return sqlite_do(s->store, STMT_SWEEP_KEEP, "iii", sweep->sweep_id, s->after, s->changed);
    struct buf selector = BUF_EMPTY;
    struct json_out out = JSON_OUT(&selector);
    selector_out(&out, &sweep->selector, SIZE_MAX);
    sweep->sweep_id = sqlite_seq_next(
        s->store); /* never given twice, also when this transaction is undone: so a row that is found is this sweep's */
    int rc = sqlite_do(s->store, STMT_SWEEP_ADD, "iiitiiit", sweep->sweep_id, sweep->run, (int64_t)sweep->verb,
                       buf_text(&selector), s->after, s->changed, (int64_t)sweep->peer.uid, sweep->reason);
    buf_clear(&selector);
    books_run_touch(s->store, s->entry);
    s->entry->open_sweeps++;
    return rc;
}

static int sweep_end(struct sweeping *s)
{
    int rc = s->is_resumed ? sqlite_do(s->store, STMT_SWEEP_DROP, "i", s->sweep->sweep_id) : 0;
    if (rc == 0 && s->is_resumed) {
        books_run_touch(s->store, s->entry);
        s->entry->open_sweeps--;
    }
    s->sweep->ret_changed = s->changed;
    return rc < 0 ? rc : books_finish_run(s->store, s->entry);
}

/* One step of a sweep whose run is known. */
static int sweep_step(struct sweeping *s)
{
    int rc = s->is_resumed ? 0 : sweep_begin(s);
    if (rc == 0)
        rc = rows_change(s);
    if (rc < 0)
        return rc;
    s->changed += s->step_changed;
    s->sweep->after_id = s->after;
    enum run_state state = s->entry->now.state;
    if (verbs[s->sweep->verb].reopens && s->step_changed > 0 && (state == RUN_DONE || state == RUN_CANCELLED))
        rc = books_move_run(s->store, s->entry, RUN_RUNNING, true);
    if (rc == 0)
        rc = s->is_end ? sweep_end(s) : sweep_keep(s);
    if (rc == 0 && s->is_resumed && s->step_changed > 0)
        s->sweep->op.seq_first = sqlite_seq_next(s->store);
    return rc;
}

int sqlite_apply_sweep(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    struct sweeping s = {.store = store, .sweep = CONTAINER_OF(op, struct store_sweep, op)};
    bool is_of_former_life = s.sweep->run == 0;
    int rc = sweep_resume(&s);
    if (rc == 0 && is_of_former_life)
        return 0; /* it has ended */
    if (rc == 0)
        s.sweep->sweep_id = 0; /* new, or its first step did not stand */
    if (rc >= 0)
        rc = books_run(store, s.sweep->run, &s.entry);
    if (rc == 0)
        return sqlite_refuse(op, GALLOC_NOT_FOUND, "there is no such run (any more)");
    if (rc < 0)
        return rc;
    if (!s.is_resumed && s.sweep->is_by_person && s.entry->open_sweeps > 0) {
        *ret_has_more = true; /* the run's sweeps are done one after the other */
        return 0;
    }
    rc = sweep_step(&s);
    free(s.words);
    *ret_has_more = rc == 0 && !s.is_end;
    return rc;
}

int sqlite_sweeps_open(struct sqlite_store *store, int64_t **ret_ids, size_t *ret_count)
{
    int64_t *ids = NULL;
    size_t count = 0, cap = 0;
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_SWEEPS_OPEN, &row, "");
    for (; rc > 0; rc = sqlite_next(store, row)) {
        if (count == cap) {
            cap = cap ? cap * 2 : 16;
            ids = xreallocarray(ids, cap, sizeof(*ids));
        }
        ids[count++] = sqlite3_column_int64(row, 0);
    }
    if (rc < 0) {
        free(ids);
        return rc;
    }
    *ret_ids = ids;
    *ret_count = count;
    return 0;
}
