/* ASSIGN: a person decides one assignment, or takes its decision back. One transaction moves the row, the places and the counters and writes the audit row.
 *
 *   pending, leased, failed, cancelled -> succeeded   the agent takes a place; an answer on its way is stale, since the row's lease is over
 *   succeeded -> succeeded                            the former agent's place is free, the other takes one; confirmed with the same, it stays
 *   succeeded -> cancelled                            the place is free (unassign)
 *
 * What was decided stays with its attempt; a person's decision is an attempt of its own, without a call, of class `person`. The writer's thread. */
#include "store/sqlite_decide.h"

#include "base/negative.h"
#include "core/result_body.h"
#include "store/sqlite_admin.h"
#include "store/sqlite_lease.h"
#include "store/sqlite_settle.h"

#include <inttypes.h>

struct deciding {
    struct sqlite_store *store;
    struct store_assign *assign;
    struct run_entry *entry;
    struct decided_row row;
    enum assignment_state state;
    int class; /* of its last attempt; -1: none */
    int64_t lease, attempts; /* lease 0: none */
    char *agent_id; /* owned; whom it went to; NULL: nobody */
};

/* Of the ledger that the run allocates into; the place that a row took before the last reset is nobody's. */
static int holds_place(struct sqlite_store *store, const struct run_entry *entry, const struct decided_row *row)
{
    struct seat *seat = NULL;
    if (row->agent == 0)
        return 0;
    int rc = books_seat(store, entry->now.ledger, row->agent, &seat);
    return rc < 0 ? rc : seat->is_known && seat->resets == row->resets;
}

static int decision_keep(struct sqlite_store *store, int64_t assignment, const char *words)
{
    return sqlite_do(store, STMT_DECIDE_KEEP, "itii", assignment, words, (int64_t)OUTCOME_SUCCEEDED, (int64_t)OUTCOME_PERSON);
}

int decision_take_back(struct sqlite_store *store, const struct run_entry *entry, const struct decided_row *row, const char *words)
{
    int rc = decision_keep(store, row->id, words);
    if (rc == 0)
        rc = holds_place(store, entry, row);
    if (rc > 0)
        rc = books_place_move(store, entry->now.ledger, row->agent, -1);
    return min_i64(rc, 0);
}

char *decision_words(const char *verb, const struct store_peer *peer, const char *reason)
{
    return xasprintf("%s by uid %" PRIu32 "%s%s", verb, peer->uid, reason ? ": " : "", reason ? reason : "");
}

/* ---- may it be ---- */
static int row_find(struct deciding *d)
{
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(d->store, STMT_DECIDE_ROW, &row, "it", d->assign->run, d->assign->key);
    if (rc == 0)
        return sqlite_refuse(&d->assign->op, GALLOC_NOT_FOUND, "run %s has no assignment \"%.256s\" (gallocctl list %s shows them)", d->entry->now.run_id,
                             d->assign->key, d->entry->now.run_id);
    if (rc < 0)
        return rc;
    d->row = (struct decided_row){.id = sqlite3_column_int64(row, 0), .agent = sqlite3_column_int64(row, 5), .resets = sqlite3_column_int64(row, 6)};
    d->state = (enum assignment_state)sqlite3_column_int(row, 1);
    d->class = sqlite3_column_type(row, 2) == SQLITE_NULL ? -1 : sqlite3_column_int(row, 2);
    d->lease = sqlite3_column_int64(row, 3);
    d->attempts = sqlite3_column_int64(row, 4);
    d->agent_id = sqlite_text_copy(row, 7);
    sqlite_end(row);
    return 0;
}

static int run_check(const struct deciding *d)
{
    const struct store_run *run = &d->entry->now;
    if (run->state == RUN_IMPORTING)
        return sqlite_refuse(&d->assign->op, GALLOC_WRONG_STATE, "run %s is still importing: decide when all of it is there", run->run_id);
    if (run->ledger == 0)
        return sqlite_refuse(&d->assign->op, GALLOC_WRONG_STATE, "run %s has no agents: nothing of it can be assigned", run->run_id);
    return 0;
}

/* The agent's id, or a refusal: nobody of that name is in the pool. */
static int agent_find(struct deciding *d, int64_t *ret_agent)
{
    sqlite3_stmt *row = NULL;
    struct store_pool pool = {0};
    int rc = sqlite_find(d->store, STMT_AGENT_GET, &row, "it", d->entry->now.pool, d->assign->agent_id);
    if (rc > 0) {
        *ret_agent = sqlite3_column_int64(row, 0);
        bool is_listed = sqlite3_column_int(row, 4) != 0;
        sqlite_end(row);
        return is_listed ? 0
                         : sqlite_refuse(&d->assign->op, GALLOC_NOT_FOUND, "%s is no longer in the pool (gallocctl loads %s shows who is)", d->assign->agent_id,
                                         d->entry->now.run_id);
    }
    if (rc == 0)
        rc = sqlite_pool_load(d->store, d->entry->now.pool, &pool);
    if (rc >= 0)
        rc = sqlite_pool_refuse_agent(&d->assign->op, &pool, d->assign->agent_id);
    store_pool_clear(&pool);
    return rc;
}

/* A place with the agent for one more. */
static int place_check(const struct deciding *d, const struct seat *seat)
{
    const struct store_assign *assign = d->assign;
    if (assign->is_over_capacity || books_seat_is_free(d->store, seat) || BREAKS(ASSIGN_OVER))
        return 0;
    if (seat->capacity >= 0 && seat->held >= seat->capacity)
        return sqlite_refuse(&d->assign->op, GALLOC_CONFLICT,
                             "%s is full: has %" PRId64 " of %" PRId64 " places; gallocctl loads %s shows who has room; to assign all the same: --over-capacity",
                             assign->agent_id, seat->held, seat->capacity, d->entry->now.run_id);
    return sqlite_refuse(&d->assign->op, GALLOC_CONFLICT, "%s is away (gallocctl loads %s tells until when); to assign all the same: --over-capacity",
                         assign->agent_id, d->entry->now.run_id);
}

/* ---- the audit row ---- */
static int decision_audit(const struct deciding *d, const char *verb, enum assignment_state to)
{
    struct buf detail = BUF_EMPTY;
    struct json_out out = JSON_OUT(&detail);
    json_out_begin(&out, '{');
    json_out_name(&out, "before");
    json_out_begin(&out, '{');
    json_out_member_str(&out, "state", assignment_state_name(d->state));
    json_out_member_str(&out, "agent_id", d->agent_id);
    json_out_end(&out, '}');
    json_out_name(&out, "after");
    json_out_begin(&out, '{');
    json_out_member_str(&out, "state", assignment_state_name(to));
    json_out_member_str(&out, "agent_id", d->assign->agent_id);
    json_out_member_bool(&out, "over_capacity", d->assign->is_over_capacity);
    json_out_end(&out, '}');
    json_out_member_str(&out, "reason", d->assign->reason);
    json_out_end(&out, '}');
    char *target = xasprintf("%s/%s", d->entry->now.run_id, d->assign->key);
    int rc = sqlite_audit(d->store, &d->assign->op, &d->assign->peer, verb, target, &detail);
    free(target);
    buf_clear(&detail);
    return rc;
}

/* ---- the moves ---- */
/* Takes the former decision back, if there is one, and what the counters say of it. */
static int former_end(struct deciding *d, const char *verb)
{
    int rc = 0;
    if (d->state == ASSIGNMENT_SUCCEEDED) {
        char *words = decision_words(verb, &d->assign->peer, d->assign->reason);
        rc = decision_take_back(d->store, d->entry, &d->row, words);
        free(words);
    } else if (d->state == ASSIGNMENT_FAILED && d->class >= 0) {
        books_count(d->store, d->entry, COUNT_FAILED + d->class, -1);
    }
    return rc;
}

static int attempt_add(struct deciding *d, int64_t agent)
{
    const struct store_assign *assign = d->assign;
    books_count(d->store, d->entry, COUNT_CLASS + OUTCOME_PERSON, 1);
    return sqlite_do(d->store, STMT_DECIDE_ATTEMPT, "iiiitii", d->row.id, d->attempts + 1, (int64_t)OUTCOME_PERSON, agent, assign->reason,
                     (int64_t)assign->peer.uid, d->store->wall_ms);
}

static int row_assign(struct deciding *d, int64_t agent, int64_t resets)
{
    int rc = books_move_rows(d->store, d->entry, d->state, ASSIGNMENT_SUCCEEDED, true, 1);
    if (rc == 0)
        rc = sqlite_do(d->store, STMT_DECIDE_ASSIGN, "iiiii", d->row.id, (int64_t)OUTCOME_PERSON, agent, resets, d->attempts + 1);
    if (rc == 0)
        rc = attempt_add(d, agent);
    char *body = result_body_decision(d->assign->reason, -1, DECIDED_BY_PERSON, RESULT_NO_CALL);
    if (rc == 0)
        rc = settle_result_put(d->store, d->row.id, body);
    free(body);
    return rc;
}

static int assign_to(struct deciding *d)
{
    struct seat *seat = NULL;
    int64_t agent = 0, ledger = d->entry->now.ledger;
    int rc = agent_find(d, &agent);
    bool stays = rc == 0 && d->state == ASSIGNMENT_SUCCEEDED && agent == d->row.agent && holds_place(d->store, d->entry, &d->row) > 0;
    if (rc == 0)
        rc = books_seat(d->store, ledger, agent, &seat);
    if (rc < 0)
        return rc;
    int64_t resets = seat->resets;
    rc = stays ? 0 : place_check(d, seat);
    if (rc < 0)
        return rc;
    d->assign->op.seq_first = sqlite_seq_next(d->store);
    d->assign->ret_agent = agent;
    rc = former_end(d, "assigned anew");
    if (rc == 0)
        rc = books_place_move(d->store, ledger, agent, 1);
    if (rc == 0)
        rc = row_assign(d, agent, resets);
    if (rc == 0 && d->state == ASSIGNMENT_LEASED && d->entry->now.counts[COUNT_OUTSIDE] > 0)
        rc = lease_row_taken(d->store, d->entry, &(struct taken_row){d->row.id, d->attempts, d->lease}, "a person decided it while a worker had it");
    return rc < 0 ? rc : decision_audit(d, "assign", ASSIGNMENT_SUCCEEDED);
}

static int take_back(struct deciding *d)
{
    const struct store_run *run = &d->entry->now;
    if (d->state != ASSIGNMENT_SUCCEEDED)
        return sqlite_refuse(&d->assign->op, GALLOC_WRONG_STATE, "\"%.256s\" is %s: it is allocated to nobody; to take it out of the run: gallocctl cancel %s --key KEY",
                             d->assign->key, assignment_state_name(d->state), run->run_id);
    d->assign->op.seq_first = sqlite_seq_next(d->store);
    d->assign->ret_agent = 0;
    int rc = former_end(d, "unassigned");
    if (rc == 0)
        rc = books_move_rows(d->store, d->entry, ASSIGNMENT_SUCCEEDED, ASSIGNMENT_CANCELLED, true, 1);
    if (rc == 0)
        rc = sqlite_do(d->store, STMT_SWEEP_CANCEL, "i", d->row.id);
    if (rc == 0)
        rc = sqlite_do(d->store, STMT_RESULT_DROP, "i", d->row.id);
    return rc < 0 ? rc : decision_audit(d, "unassign", ASSIGNMENT_CANCELLED);
}

int sqlite_apply_assign(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct deciding d = {.store = store, .assign = CONTAINER_OF(op, struct store_assign, op)};
    int rc = books_run(store, d.assign->run, &d.entry);
    if (rc == 0)
        return sqlite_refuse(op, GALLOC_NOT_FOUND, "there is no such run (any more)");
    if (rc > 0)
        rc = run_check(&d);
    if (rc == 0)
        rc = row_find(&d);
    if (rc == 0)
        rc = d.assign->agent_id != NULL ? assign_to(&d) : take_back(&d);
    free(d.agent_id);
    return rc < 0 ? rc : books_finish_run(store, d.entry);
}
