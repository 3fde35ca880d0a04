/* Runs: created (once, whatever is sent twice), committed, paused and resumed, changed. Counters, state, causes and
 * times are moved in the books; names and the plan are the row's own. Every change by a person leaves an audit row with
 * the old value. The writer's thread. */
#include "store/sqlite_admin.h"

#include "base/text.h"
#include "core/plan.h"

/* ---- reading a run as a whole ---- */
void sqlite_run_row(sqlite3_stmt *row, bool with_plan, struct store_run *ret_run)
{
    *ret_run = (struct store_run){
        .id = sqlite3_column_int64(row, 0),
        .name = sqlite_text_copy(row, 2),
        .endpoint = sqlite_text_copy(row, 3),
        .profile = sqlite_text_copy(row, 4),
        .pause_text = sqlite_text_copy(row, 5),
        .source_name = sqlite_text_copy(row, 6),
        .source_sha256 = sqlite_text_copy(row, 7),
        .pool_name = sqlite_text_copy(row, 8),
        .state = (enum run_state)sqlite3_column_int(row, 9),
        .pauses = (unsigned)sqlite3_column_int(row, 10),
        .is_open = sqlite3_column_int(row, 11) != 0,
        .pool = sqlite3_column_int64(row, 12),
        .ledger = sqlite3_column_int64(row, 13),
        .priority = sqlite3_column_int64(row, 14),
        .parts = sqlite3_column_int64(row, 15),
        .created_at_ms = sqlite3_column_int64(row, 16),
        .started_at_ms = sqlite3_column_int64(row, 17),
        .finished_at_ms = sqlite3_column_int64(row, 18),
        .seq = sqlite3_column_int64(row, 19),
        .plan = with_plan ? sqlite_text_copy(row, 20) : NULL,
        .likeness = plan_likeness((const char *)sqlite3_column_text(row, 20)),
    };
    snprintf(ret_run->run_id, sizeof ret_run->run_id, "%s", (const char *)sqlite3_column_text(row, 1));
}

int sqlite_run_load(struct sqlite_store *store, int64_t id, bool with_plan, struct store_run *ret_run)
{
    struct run_entry *entry = NULL;
    int rc = books_run(store, id, &entry);
    if (rc <= 0)
        return rc;
    sqlite3_stmt *row = NULL;
    rc = sqlite_find(store, STMT_RUN_GET, &row, "i", id);
    if (rc <= 0)
        return rc;
    store_run_clear(ret_run);
    sqlite_run_row(row, with_plan, ret_run);
    sqlite_end(row);
    const struct store_run *now = &entry->now;
    ret_run->state = now->state;
    ret_run->pauses = now->pauses;
    ret_run->is_open = now->is_open;
    ret_run->priority = now->priority;
    ret_run->parts = now->parts;
    ret_run->started_at_ms = now->started_at_ms;
    ret_run->finished_at_ms = now->finished_at_ms;
    ret_run->seq = now->seq;
    memcpy(ret_run->counts, now->counts, sizeof ret_run->counts);
    return 1;
}

/* The entry of an operation's run, or a refusal. */
static int run_need(struct sqlite_store *store, struct store_op *op, int64_t id, struct run_entry **ret_entry)
{
    int rc = books_run(store, id, ret_entry);
    return rc == 0 ? sqlite_refuse(op, GALLOC_NOT_FOUND, "there is no such run (any more)") : rc < 0 ? rc : 0;
}

void sqlite_pauses_out(struct json_out *out, const char *name, unsigned pauses)
{
    json_out_name(out, name);
    json_out_begin(out, '[');
    for (int cause = 0; cause < PAUSE_CAUSE_COUNT; cause++)
        if (pauses & PAUSE_BIT(cause))
            json_out_str(out, pause_cause_name((enum pause_cause)cause));
    json_out_end(out, ']');
}

/* ---- RUN_CREATE ---- */
/* The same Idempotency-Key: its run again, or a refusal. 1 answered, 0 go on. */
static int create_replay(struct sqlite_store *store, struct store_run_create *create)
{
    if (create->idempotency_key == NULL)
        return 0;
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_IDEMPOTENCY_GET, &row, "ti", create->idempotency_key, store->wall_ms - REPEAT_MS);
    if (rc <= 0)
        return rc;
    const char *request = create->request_sha256 ? create->request_sha256 : "";
    bool is_same = strcmp((const char *)sqlite3_column_text(row, 0), request) == 0 && sqlite3_column_int64(row, 2) == 0;
    int64_t run = sqlite3_column_int64(row, 1);
    sqlite_end(row);
    if (!is_same)
        return sqlite_refuse(&create->op, GALLOC_KEY_REUSED,
                             "the Idempotency-Key '%.64s' was sent with another request; a new request needs a new key",
                             create->idempotency_key);
    create->ret_how = RUN_REPLAYED;
    return sqlite_run_load(store, run, true, &create->ret_run);
}

/* The last run of the same source, pool and plan that was made within 7 days and is not cancelled. 1, 0 none, or a
 * fault. */
static int repeated_run(struct sqlite_store *store, const struct store_run_create *create, struct run_entry **ret_entry)
{
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_RUNS_SAME, &row, "tti", create->run.source_sha256,
                         create->plan_sha256 ? create->plan_sha256 : "", store->wall_ms - REPEAT_MS);
    for (; rc > 0; rc = sqlite_next(store, row)) {
        int found = books_run(store, sqlite3_column_int64(row, 0), ret_entry);
        if (found < 0 || (found > 0 && (*ret_entry)->now.state != RUN_CANCELLED)) {
            sqlite_end(row);
            return found;
        }
    }
    return rc;
}

/* A repeat: the run that still imports is given back, one that runs or ran is named in the refusal. 1 answered, 0 go
 * on. */
static int create_repeat(struct sqlite_store *store, struct store_run_create *create)
{
    if (create->run.source_sha256 == NULL || create->is_again)
        return 0;
    struct run_entry *entry = NULL;
    int rc = repeated_run(store, create, &entry);
    if (rc <= 0)
        return rc;
    snprintf(create->ret_existing, sizeof create->ret_existing, "%s", entry->now.run_id);
    rc = sqlite_run_load(store, entry->now.id, true, &create->ret_run);
    if (rc <= 0)
        return rc;
    if (create->ret_run.state == RUN_IMPORTING) {
        create->ret_how = RUN_STILL_IMPORTING;
        return 1;
    }
    return sqlite_refuse(&create->op, GALLOC_ALREADY_ENQUEUED,
                         "this input is run %s (%s); nothing enqueued; to run it again: --again", create->ret_existing,
                         run_state_name(create->ret_run.state));
}

static int no_such_pool(struct sqlite_store *store, struct store_op *op, const char *name)
{
    enum { NAMES_MAX = 200 };
    char *names[NAMES_MAX];
    size_t count = 0;
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_POOL_NAMES, &row, "");
    for (; rc > 0 && count < NAMES_MAX; rc = sqlite_next(store, row))
        names[count++] = sqlite_text_copy(row, 0);
    if (rc > 0)
        sqlite_end(row);
    if (rc >= 0) {
        const char *near = text_nearest(name, (const char *const *)names, count);
        if (near)
            rc = sqlite_refuse(op, GALLOC_NOT_FOUND, "there is no pool '%s'; did you mean '%s'?", name, near);
        else
            rc = sqlite_refuse(op, GALLOC_NOT_FOUND,
                               "there is no pool '%s'; make it with: gallocctl pool import %s FILE", name, name);
    }
    while (count > 0)
        free(names[--count]);
    return rc;
}

/* The pool and ledger of the new run: its own, a standing one, or none. */
static int create_ledger(struct sqlite_store *store, struct store_run_create *create, int64_t *ret_ledger)
{
    int64_t pool = 0, ledger = 0;
    int rc = 0;
    if (create->pool) {
        rc = sqlite_pool_by_name(store, create->pool, &pool);
        if (rc == 0)
            return no_such_pool(store, &create->op, create->pool);
    } else if (create->agents.count > 0) {
        rc = sqlite_pool_make(store, &create->op, NULL, &create->agents, &pool, &ledger);
    }
    if (rc < 0 || pool == 0)
        return rc < 0 ? rc : 0;
    rc = sqlite_pool_load(store, pool, &create->ret_pool);
    *ret_ledger = create->ret_pool.ledger;
    return rc < 0 ? rc : 0;
}

static int create_insert(struct sqlite_store *store, const struct store_run_create *create, int64_t ledger,
                         char run_id[RUN_ID_BYTES])
{
    const struct store_run *run = &create->run;
    do {
        random_run_id(run_id);
        int rc =
            sqlite_do(store, STMT_RUN_ADD, "ttitizttittttiiii", run_id, run->name, (int64_t)run->pauses, run->pause_text,
                      (int64_t)run->is_open, ledger, run->endpoint, run->profile, run->priority, run->plan,
                      run->source_name, run->source_sha256, create->plan_sha256 ? create->plan_sha256 : "",
                      store->wall_ms, (int64_t)create->peer.uid, create->op.seq_first, store->now_ms);
        if (rc < 0)
            return rc;
    } while (sqlite3_changes(store->db) == 0); /* the id was taken: one in 2^50 */
    return 0;
}

static int create_audit(struct sqlite_store *store, const struct store_run_create *create, const char *run_id)
{
    const struct store_run *run = &create->run;
    struct buf detail = BUF_EMPTY;
    struct json_out out = JSON_OUT(&detail);
    json_out_begin(&out, '{');
    json_out_name(&out, "after");
    json_out_begin(&out, '{');
    json_out_member_str(&out, "name", run->name);
    json_out_member_str(&out, "pool", create->pool);
    json_out_member_int(&out, "agents", (int64_t)create->agents.count);
    json_out_member_str(&out, "endpoint", run->endpoint);
    json_out_member_str(&out, "profile", run->profile);
    json_out_member_str(&out, "source", run->source_name);
    sqlite_pauses_out(&out, "pauses", run->pauses);
    json_out_end(&out, '}');
    json_out_end(&out, '}');
    int rc = sqlite_audit(store, &create->op, &create->peer, "run_create", run_id, &detail);
    buf_clear(&detail);
    return rc;
}

int sqlite_apply_run_create(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_run_create *create = CONTAINER_OF(op, struct store_run_create, op);
    int rc = create_replay(store, create);
    if (rc == 0)
        rc = create_repeat(store, create);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    char run_id[RUN_ID_BYTES];
    int64_t ledger = 0;
    create->ret_how = RUN_NEW;
    rc = create_ledger(store, create, &ledger);
    op->seq_first = sqlite_seq_next(store);
    if (rc == 0)
        rc = create_insert(store, create, ledger, run_id);
    if (rc < 0)
        return rc;
    int64_t id = sqlite3_last_insert_rowid(store->db);
    rc = create_audit(store, create, run_id);
    if (rc == 0 && create->idempotency_key)
        rc = sqlite_do(store, STMT_IDEMPOTENCY_PUT, "ttizi", create->idempotency_key,
                       create->request_sha256 ? create->request_sha256 : "", id, (int64_t)0, store->wall_ms);
    struct run_entry *entry = NULL;
    rc = rc < 0 ? rc : books_run(store, id, &entry);
    if (rc > 0) {
        books_run_touch(store, entry);
        rc = sqlite_run_load(store, id, true, &create->ret_run);
    }
    return rc < 0 ? rc : 0;
}

/* ---- RUN_COMMIT ---- */
static int64_t rows_of(const struct store_run *run)
{
    int64_t rows = 0;
    for (int state = 0; state < ASSIGNMENT_STATE_COUNT; state++)
        rows += run->counts[COUNT_STATE + state];
    return rows;
}

/* Rows of a part that was begun and never ended (a crash between two of its steps) must not run: nobody was told that
 * they stand. */
static int part_unfinished(struct sqlite_store *store, struct store_run_commit *commit)
{
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_IMPORT_NEWEST, &row, "i", commit->run);
    int64_t part = rc > 0 ? sqlite3_column_int64(row, 1) : 0;
    if (rc > 0)
        sqlite_end(row);
    if (rc < 0 || part <= commit->parts)
        return rc < 0 ? rc : 0;
    return sqlite_refuse(&commit->op, GALLOC_PART_OUT_OF_ORDER, "part %lld was begun and not ended: send it again",
                         (long long)part);
}

static int commit_check(struct sqlite_store *store, struct store_run_commit *commit, const struct store_run *run)
{
    int64_t parts = 0;
    if (run->state == RUN_CANCELLED)
        return sqlite_refuse(&commit->op, GALLOC_WRONG_STATE, "run %s is cancelled", run->run_id);
    int rc = sqlite_number(store, STMT_RUN_LAST_PART, &parts, "i", commit->run);
    if (rc < 0)
        return rc;
    if (parts != commit->parts)
        return sqlite_refuse(&commit->op, GALLOC_CONFLICT, "run %s holds %lld parts, not %lld%s", run->run_id,
                             (long long)parts, (long long)commit->parts,
                             parts < commit->parts ? ": send the missing ones first" : "");
    if (run->state == RUN_IMPORTING && (rc = part_unfinished(store, commit)) < 0)
        return rc;
    if (run->state == RUN_IMPORTING && rows_of(run) == 0 && !run->is_open)
        return sqlite_refuse(&commit->op, GALLOC_EMPTY_RUN, "no assignment of run %s was accepted: nothing to run",
                             run->run_id);
    return 0;
}

int sqlite_apply_run_commit(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_run_commit *commit = CONTAINER_OF(op, struct store_run_commit, op);
    struct run_entry *entry = NULL;
    int rc = run_need(store, op, commit->run, &entry);
    if (rc == 0)
        rc = commit_check(store, commit, &entry->now);
    if (rc < 0 || entry->now.state != RUN_IMPORTING)
        return rc;
    rc = books_move_run(store, entry, RUN_RUNNING, false);
    op->seq_first = entry->now.seq;
    struct buf detail = BUF_EMPTY;
    struct json_out out = JSON_OUT(&detail);
    json_out_begin(&out, '{');
    json_out_name(&out, "before");
    json_out_begin(&out, '{');
    json_out_member_str(&out, "state", "importing");
    json_out_end(&out, '}');
    json_out_name(&out, "after");
    json_out_begin(&out, '{');
    json_out_member_str(&out, "state", "running");
    json_out_member_int(&out, "parts", commit->parts);
    json_out_member_int(&out, "assignments", rows_of(&entry->now));
    json_out_end(&out, '}');
    json_out_end(&out, '}');
    if (rc == 0)
        rc = sqlite_audit(store, op, &commit->peer, "run_commit", entry->now.run_id, &detail);
    buf_clear(&detail);
    return rc < 0 ? rc : books_finish_run(store, entry);
}

/* ---- RUN_CLOSE ---- */
int sqlite_apply_run_close(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_run_close *close = CONTAINER_OF(op, struct store_run_close, op);
    struct run_entry *entry = NULL;
    int rc = run_need(store, op, close->run, &entry);
    if (rc < 0 || !entry->now.is_open)
        return rc;
    struct buf detail = BUF_EMPTY;
    buf_add_str(&detail, "{\"before\":{\"open\":true},\"after\":{\"open\":false}}");
    op->seq_first = sqlite_seq_next(store);
    rc = sqlite_audit(store, op, &close->peer, "run_close", entry->now.run_id, &detail);
    buf_clear(&detail);
    books_run_touch(store, entry);
    entry->now.is_open = false;
    entry->now.seq = op->seq_first;
    return rc < 0 ? rc : books_finish_run(store, entry);
}

/* ---- RUN_PAUSE ---- */
static int pause_audit(struct sqlite_store *store, const struct store_run_pause *pause, const struct store_run *run,
                       unsigned pauses)
{
    struct buf detail = BUF_EMPTY;
    struct json_out out = JSON_OUT(&detail);
    json_out_begin(&out, '{');
    json_out_name(&out, "before");
    json_out_begin(&out, '{');
    sqlite_pauses_out(&out, "pauses", run->pauses);
    json_out_end(&out, '}');
    json_out_name(&out, "after");
    json_out_begin(&out, '{');
    sqlite_pauses_out(&out, "pauses", pauses);
    json_out_end(&out, '}');
    if (pause->text)
        json_out_member_str(&out, "reason", pause->text);
    json_out_end(&out, '}');
    int rc =
        sqlite_audit(store, &pause->op, &pause->peer, pause->set ? "run_pause" : "run_resume", run->run_id, &detail);
    buf_clear(&detail);
    return rc;
}

int sqlite_apply_run_pause(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_run_pause *pause = CONTAINER_OF(op, struct store_run_pause, op);
    struct run_entry *entry = NULL;
    int rc = run_need(store, op, pause->run, &entry);
    if (rc < 0)
        return rc;
    const struct store_run *run = &entry->now;
    unsigned pauses = (run->pauses & ~pause->clear) | pause->set;
    if (run->state == RUN_DONE || run->state == RUN_CANCELLED) {
        if (!pause->is_by_person || pauses == run->pauses)
            return 0; /* it ended meanwhile: nothing is left to be paused */
        return sqlite_refuse(op, GALLOC_WRONG_STATE, "run %s is %s", run->run_id, run_state_name(run->state));
    }
    bool is_first_judged = pause->is_first_judged && run->counts[COUNT_FIRST_JUDGED] == 0;
    if (is_first_judged)
        books_count(store, entry, COUNT_FIRST_JUDGED, 1);
    if (pauses == run->pauses && pause->text == NULL && !is_first_judged)
        return 0;
    op->seq_first = sqlite_seq_next(store);
    if (pause->is_by_person)
        rc = pause_audit(store, pause, run, pauses);
    if (rc == 0 && (pauses == 0 || pause->text))
        rc = sqlite_do(store, STMT_RUN_PAUSE_TEXT, "it", pause->run, pauses == 0 ? NULL : pause->text);
    if (rc == 0 && (run->pauses & pause->clear & PAUSE_BIT(PAUSE_REJECTED)))
        rc = sqlite_do(store, STMT_HELD_FREE, "ii", pause->run, store->now_ms);
    if (rc < 0)
        return rc;
    books_run_touch(store, entry);
    entry->now.pauses = pauses;
    entry->now.seq = op->seq_first;
    return 0;
}

/* ---- RUN_SET ---- */
static void change_out(struct json_out *out, const char *name, const char *asked, const char *value)
{
    if (asked)
        json_out_member_str(out, name, value);
}

/* The old values of what is to change, and the new ones. 0 or a fault. */
static int set_detail(struct sqlite_store *store, const struct store_run_set *set, const struct store_run *run,
                      struct buf *detail)
{
    sqlite3_stmt *row = NULL;
    struct json_out out = JSON_OUT(detail);
    bool has_priority = set->priority != INT64_MIN;
    json_out_begin(&out, '{');
    json_out_name(&out, "before");
    json_out_begin(&out, '{');
    int rc = sqlite_find(store, STMT_RUN_NAMES, &row, "i", set->run);
    if (rc > 0) {
        change_out(&out, "endpoint", set->endpoint, (const char *)sqlite3_column_text(row, 0));
        change_out(&out, "profile", set->profile, (const char *)sqlite3_column_text(row, 1));
        change_out(&out, "name", set->name, (const char *)sqlite3_column_text(row, 2));
        sqlite_end(row);
    }
    change_out(&out, "max_cost", set->max_cost, set->max_cost_before);
    if (has_priority)
        json_out_member_int(&out, "priority", run->priority);
    json_out_end(&out, '}');
    json_out_name(&out, "after");
    json_out_begin(&out, '{');
    change_out(&out, "endpoint", set->endpoint, set->endpoint);
    change_out(&out, "profile", set->profile, set->profile);
    change_out(&out, "name", set->name, set->name);
    change_out(&out, "max_cost", set->max_cost, set->max_cost);
    if (has_priority)
        json_out_member_int(&out, "priority", set->priority);
    json_out_end(&out, '}');
    json_out_end(&out, '}');
    return rc < 0 ? rc : 0;
}

int sqlite_apply_run_set(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_run_set *set = CONTAINER_OF(op, struct store_run_set, op);
    struct run_entry *entry = NULL;
    int rc = run_need(store, op, set->run, &entry);
    if (rc < 0)
        return rc;
    struct buf detail = BUF_EMPTY;
    op->seq_first = sqlite_seq_next(store);
    rc = set_detail(store, set, &entry->now, &detail);
    if (rc == 0)
        rc = sqlite_audit(store, op, &set->peer, "run_set", entry->now.run_id, &detail);
    buf_clear(&detail);
    if (rc == 0)
        rc = sqlite_do(store, STMT_RUN_SET, "itttt", set->run, set->endpoint, set->profile, set->plan, set->name);
    if (rc == 0 && set->clear != 0 && (entry->now.pauses & ~set->clear) == 0)
        rc = sqlite_do(store, STMT_RUN_PAUSE_TEXT, "it", set->run, NULL);
    if (rc < 0)
        return rc;
    books_run_touch(store, entry);
    if (set->priority != INT64_MIN)
        entry->now.priority = set->priority;
    entry->now.pauses &= ~set->clear;
    entry->now.seq = op->seq_first;
    return 0;
}
