/* VERDICTS: what an outside worker decided. Each item has a fence of its own: its row is leased under exactly this lease's number. A row that is still there is
 * settled as SETTLE does it (sqlite_settle.h), by the rules of core/retry.h for outside workers; else nothing changes, and the attempt tells whether this lease
 * has told of the key before. A deadline that has passed takes nothing from a worker while nobody has noticed: its rows are in no other hands yet.
 * The writer's thread. */
#include "store/op_lease.h"

#include "store/sqlite_lease.h"
#include "store/sqlite_settle.h"

#include "base/negative.h"

#include <stdlib.h>
#include <string.h>

enum { FEW = 4 }; /* results for less than one in so many of a lease's rows are looked up one by one */

/* What a lease still holds, by key: with random keys in a large run each look into the index by key is a page from the disk. */
struct lease_row {
    char *key; /* owned */
    struct settle_row row; /* id 0: a result has taken it */
};
struct lease_rows {
    struct lease_row *rows; /* owned, in the order of their keys */
    size_t count;
};

struct judging {
    struct lease_rows rows;
    struct sqlite_store *store;
    const struct store_verdicts *verdicts;
    const struct outside_lease *lease;
    struct run_entry *entry;
    struct rng rng;
};

/* Attempts that end so were ended by a worker's word. */
static bool is_of_verdict(enum outcome_class class)
{
    return class == OUTCOME_SUCCEEDED || class == OUTCOME_INVALID_ANSWER || class == OUTCOME_TRANSIENT || class == OUTCOME_WORKER ||
           class == OUTCOME_AGENT_FULL;
}

static int item_pass_over(struct judging *j, struct verdict_item *item, int64_t assignment)
{
    int64_t class = 0;
    int rc = sqlite_number(j->store, STMT_ATTEMPT_OF_LEASE, &class, "ii", assignment, j->lease->number);
    if (rc > 0 && is_of_verdict((enum outcome_class)class))
        item->ret_verdict = VERDICT_OF_DUPLICATE;
    return min_i64(rc, 0);
}

/* What it counts as: a success needs a place that is free now, but for an answer, which goes to nobody. */
static int item_class(struct judging *j, const struct verdict_item *item, enum outcome_class *ret_class)
{
    struct seat *seat = NULL;
    *ret_class = item->class;
    if (item->class != OUTCOME_SUCCEEDED || item->agent == 0)
        return 0;
    int rc = books_seat(j->store, j->verdicts->ledger, item->agent, &seat);
    if (rc >= 0 && !books_seat_is_free(j->store, seat))
        *ret_class = OUTCOME_AGENT_FULL;
    return min_i64(rc, 0);
}

static enum verdict verdict_of(enum retry_action action, enum outcome_class class)
{
    if (action == RETRY_SUCCEED)
        return VERDICT_OF_SUCCEEDED;
    if (action == RETRY_FAIL)
        return VERDICT_OF_FAILED;
    return class == OUTCOME_AGENT_FULL       ? VERDICT_OF_AGENT_FULL
           : class == OUTCOME_INVALID_ANSWER ? VERDICT_OF_INVALID_ANSWER
                                             : VERDICT_OF_RETRY;
}

static int item_settle(struct judging *j, struct verdict_item *item, const struct settle_row *row)
{
    struct sqlite_store *store = j->store;
    enum outcome_class class = item->class;
    int rc = item_class(j, item, &class);
    if (rc < 0)
        return rc;
    struct retry_budget budget = {row->retries_spent, row->reasks_spent, row->fulls_spent, row->failures, row->token_cap};
    struct retry_decision decision = retry_decide_outside(class, j->verdicts->max_retries, j->verdicts->backoff_max_ms, &budget, &j->rng);
    item->ret_verdict = verdict_of(decision.action, class);
    item->ret_class = class;
    item->ret_is_final = item->ret_verdict == VERDICT_OF_SUCCEEDED || item->ret_verdict == VERDICT_OF_FAILED;
    item->ret_assignment = row->id;
    item->ret_n = row->attempts;
    item->ret_retry_after_ms = item->ret_is_final ? 0 : decision.delay_ms;
    sqlite_seq_next(store); /* the attempt's */
    item->ret_seq = sqlite_seq_next(store);
    struct settle_item settled = {
        .run = row->run, .assignment = row->id, .lease = row->lease, .n = row->attempts, .class = class,
        .move = decision.action == RETRY_SUCCEED ? MOVE_SUCCEED : decision.action == RETRY_FAIL ? MOVE_FAIL : MOVE_PENDING,
        .is_late = decision.is_late, .delay_ms = decision.delay_ms,
        .retries_spent = budget.retries_spent, .reasks_spent = budget.reasks_spent, .fulls_spent = budget.fulls_spent, .failures = budget.failures,
        .token_cap = budget.token_cap, .ledger = j->verdicts->ledger, .agent = item->agent,
        .excluded = class == OUTCOME_AGENT_FULL ? item->agent : 0,
        .result = item->ret_is_final ? item->result : NULL, .message = item->message, /* both stay the verdict's */
    };
    books_count(store, j->entry, COUNT_OUTSIDE, -1);
    return settle_row_now(store, j->entry, row, &settled);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct lease_row *)a)->key, ((const struct lease_row *)b)->key);
}

static int rows_load(struct judging *j)
{
    sqlite3_stmt *stmt = NULL;
    size_t cap = 0;
    int rc = sqlite_find(j->store, STMT_ROWS_OF_LEASE, &stmt, "i", j->lease->number);
    for (; rc > 0; rc = sqlite_next(j->store, stmt)) {
        if (j->rows.count == cap) {
            cap = cap ? 2 * cap : (size_t)j->lease->row_count + 1;
            j->rows.rows = xreallocarray(j->rows.rows, cap, sizeof *j->rows.rows);
        }
        j->rows.rows[j->rows.count++] = (struct lease_row){sqlite_text_copy(stmt, 11), settle_row_of(stmt)};
    }
    if (j->rows.count > 0)
        qsort(j->rows.rows, j->rows.count, sizeof *j->rows.rows, by_key);
    return rc;
}

static void rows_clear(struct lease_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        free(rows->rows[i].key);
    free(rows->rows);
}

/* Takes it from the rows of the lease, else looks for it in the run: a key that comes twice is found there as its first result left it. */
static int row_find(struct judging *j, char *key, struct settle_row *ret_row)
{
    const struct lease_row wanted = {.key = key};
    struct lease_row *found = j->rows.count > 0 ? bsearch(&wanted, j->rows.rows, j->rows.count, sizeof wanted, by_key) : NULL;
    if (found == NULL || found->row.id == 0)
        return settle_row_by_key(j->store, j->lease->run, key, ret_row);
    *ret_row = found->row;
    found->row.id = 0;
    return 1;
}

static int item_judge(struct judging *j, struct verdict_item *item)
{
    struct settle_row row;
    int rc = row_find(j, item->key, &row);
    if (rc <= 0)
        return rc;
    bool is_current = row.state == ASSIGNMENT_LEASED && row.lease == j->lease->number;
    if (BREAKS(NO_FENCE))
        is_current = row.state == ASSIGNMENT_LEASED;
    return is_current ? item_settle(j, item, &row) : item_pass_over(j, item, row.id);
}

static void verdicts_reset(struct store_verdicts *verdicts)
{
    verdicts->ret_run = verdicts->ret_left_count = 0;
    for (size_t i = 0; i < verdicts->count; i++) {
        struct verdict_item *item = &verdicts->items[i];
        item->ret_verdict = VERDICT_OF_STALE;
        item->ret_class = item->class;
        item->ret_is_final = false;
        item->ret_assignment = item->ret_retry_after_ms = item->ret_seq = 0;
        item->ret_n = 0;
    }
}

int sqlite_apply_verdicts(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_verdicts *verdicts = CONTAINER_OF(op, struct store_verdicts, op);
    struct outside_lease lease;
    struct judging j = {.store = store, .verdicts = verdicts, .lease = &lease};
    int64_t seq_before = store->seq;
    verdicts_reset(verdicts);
    rng_seed(&j.rng, verdicts->seed);
    int rc = lease_get(store, verdicts->lease, &lease);
    if (rc > 0)
        rc = books_run(store, lease.run, &j.entry);
    if (rc <= 0)
        return rc;
    verdicts->ret_run = lease.run;
    rc = (int64_t)verdicts->count * FEW >= lease.row_count ? rows_load(&j) : 0;
    for (size_t i = 0; rc == 0 && i < verdicts->count; i++)
        rc = item_judge(&j, &verdicts->items[i]);
    rows_clear(&j.rows);
    if (rc == 0 && !lease.has_ended)
        rc = lease_end_if_empty(store, lease.number, &verdicts->ret_left_count);
    if (store->seq > seq_before)
        op->seq_first = seq_before + 1;
    return rc < 0 ? rc : books_finish_run(store, j.entry);
}
