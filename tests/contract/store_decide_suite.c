/* What every engine keeps of persons' decisions: the moves, the places of a ledger that runs share, what was decided before, and who did it and why; the same
 * after steps, undone steps and a new life. The doctor recounts after each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/contract/store_purge_bed.h"

#include <string.h>

static const struct store_peer person = {1234, 42};

static struct store_assign *assign_op(int64_t run, const char *key, const char *agent_id)
{
    struct store_assign *assign = store_op_new(OP_ASSIGN, NULL, NULL);
    assign->peer = person;
    assign->run = run;
    assign->key = xstrdup(key);
    assign->agent_id = xstrdup(agent_id);
    assign->reason = xstrdup("knows the family");
    return assign;
}

static int assign(struct bed *bed, int64_t run, const char *key, const char *agent_id)
{
    return bed_do_free(bed, &assign_op(run, key, agent_id)->op);
}

static void check_refused(struct bed *bed, struct store_assign *op, int code, const char *words)
{
    assert_int_equal(bed_do(bed, &op->op), code);
    if (strstr(op->op.error.message, words) == NULL)
        fail_msg("refused with: %s", op->op.error.message);
    assert_int_equal(op->op.seq_first, 0);
    store_op_free(&op->op);
}

static struct store_sweep *undo_op(int64_t run, enum store_sweep_verb verb)
{
    struct store_sweep *sweep = store_op_new(OP_SWEEP, NULL, NULL);
    sweep->peer = person;
    sweep->run = run;
    sweep->verb = verb;
    sweep->is_by_person = true;
    sweep->selector.is_all = true;
    sweep->reason = xstrdup("on leave");
    return sweep;
}

/* The places that an agent holds in the ledger of a run. */
static int64_t held(struct bed *bed, int64_t run, const char *agent_id)
{
    struct store_read *read = bed_read(bed, QUERY_LOAD, run, 0, NULL);
    int64_t found = -1;
    for (size_t i = 0; i < read->ret_row_count; i++)
        if (strcmp(read_text(read, i, LOAD_AGENT_ID), agent_id) == 0)
            found = read_int(read, i, LOAD_HELD, 0);
    store_op_free(&read->op);
    return found;
}

static void settle(struct bed *bed, int64_t run, int count, enum settle_move move, const struct store_pool *pool)
{
    struct store_claim *claim = bed_claim(bed, run, count);
    enum outcome_class class = move == MOVE_SUCCEED ? OUTCOME_SUCCEEDED : OUTCOME_REJECTED;
    assert_int_equal(bed_do_free(bed, &make_settle(claim, 0, claim->ret_count, move, class, pool, NULL, NULL)->op), 0);
    store_op_free(&claim->op);
}

static struct store_read *attempts_of(struct bed *bed, int64_t run, const char *key)
{
    struct store_read *read = bed_read(bed, QUERY_ATTEMPTS, run, 0, key);
    assert_int_equal(read->op.code, 0);
    return read;
}

/* ---- one ---- */
static void test_to_another_agent(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    struct store_pool pool;
    int64_t run = bed_run(&bed, 1, 2, 5, &pool);
    settle(&bed, run, 1, MOVE_SUCCEED, &pool);
    assert_int_equal(bed.run.state, RUN_DONE);
    const char *before = held(&bed, run, "A1") == 1 ? "A1" : "A2", *after = strcmp(before, "A1") == 0 ? "A2" : "A1";
    assert_int_equal(assign(&bed, run, "K000001", after), 0);
    assert_int_equal(held(&bed, run, before), 0);
    assert_int_equal(held(&bed, run, after), 1);
    assert_int_equal(bed.run.counts[COUNT_CLASS + OUTCOME_PERSON], 1);
    bed_check_states(&bed, 0, 0, 1, 0);
    struct store_read *row = bed_read(&bed, QUERY_ASSIGNMENT, run, 0, "K000001");
    assert_string_equal(read_text(row, 0, ASSIGNMENT_AGENT_ID), after);
    assert_string_equal(read_text(row, 0, ASSIGNMENT_DECIDED_BY), "person");
    assert_string_equal(read_text(row, 0, ASSIGNMENT_REASON), "knows the family");
    store_op_free(&row->op);
    struct store_read *attempts = attempts_of(&bed, run, "K000001");
    assert_int_equal(attempts->ret_row_count, 2);
    assert_non_null(strstr(read_text(attempts, 0, ATTEMPT_DECISION), "lightest load"));
    assert_non_null(strstr(read_text(attempts, 0, ATTEMPT_MESSAGE), "uid 1234: knows the family"));
    assert_int_equal(read_int(attempts, 1, ATTEMPT_UID, -1), 1234);
    assert_string_equal(read_text(attempts, 1, ATTEMPT_CLASS), "person");
    assert_string_equal(read_text(attempts, 1, ATTEMPT_AGENT_ID), after);
    store_op_free(&attempts->op);
    struct store_read *audit = bed_read(&bed, QUERY_AUDIT, run, 0, NULL);
    assert_string_equal(read_text(audit, 0, AUDIT_VERB), "assign");
    assert_int_equal(read_int(audit, 0, AUDIT_UID, -1), 1234);
    assert_non_null(strstr(read_text(audit, 0, AUDIT_TARGET), "/K000001"));
    assert_non_null(strstr(read_text(audit, 0, AUDIT_DETAIL), "\"reason\":\"knows the family\""));
    store_op_free(&audit->op);
    store_pool_clear(&pool);
    bed_check(&bed);
    bed_end(&bed);
}

/* Whatever a row was: pending, leased, failed and cancelled ones are assigned, and the run ends with its last. */
static void test_from_each_state(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    struct store_pool pool;
    int64_t run = bed_run(&bed, 4, 1, 10, &pool);
    settle(&bed, run, 1, MOVE_FAIL, &pool);
    struct store_sweep *cancel = undo_op(run, SWEEP_CANCEL);
    cancel->selector.is_all = false;
    cancel->selector.keys = xcalloc(2, sizeof(char *));
    cancel->selector.keys[0] = xstrdup("K000002");
    assert_int_equal(bed_do_free(&bed, &cancel->op), 0);
    struct store_claim *claim = bed_claim(&bed, run, 1); /* K000003 */
    assert_int_equal(assign(&bed, run, "K000001", "A1"), 0);
    assert_int_equal(assign(&bed, run, "K000002", "A1"), 0);
    assert_int_equal(assign(&bed, run, "K000003", "A1"), 0);
    assert_int_equal(bed.run.counts[COUNT_FAILED + OUTCOME_REJECTED], 0);
    assert_int_equal(bed.run.state, RUN_RUNNING);
    assert_int_equal(assign(&bed, run, "K000004", "A1"), 0);
    assert_int_equal(bed.run.state, RUN_DONE);
    bed_check_states(&bed, 0, 0, 4, 0);
    struct store_settle *late = make_settle(claim, 0, 1, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    assert_int_equal(bed_do(&bed, &late->op), 0);
    assert_int_equal(late->items[0].ret_verdict, VERDICT_STALE);
    store_op_free(&late->op);
    store_op_free(&claim->op);
    assert_int_equal(held(&bed, run, "A1"), 4);
    store_pool_clear(&pool);
    bed_check(&bed);
    bed_end(&bed);
}

/* A worker has it: his attempt ends, his lease with its last row, and what he tells is stale. */
static void test_from_a_worker(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    struct store_pool pool;
    int64_t run = bed_run(&bed, 1, 1, 10, &pool);
    struct store_claim *lease = make_lease(run, 1, "w1", 30000, NULL, NULL);
    assert_int_equal(bed_do(&bed, &lease->op), 0);
    assert_int_equal(bed.run.counts[COUNT_OUTSIDE], 1);
    assert_int_equal(assign(&bed, run, "K000001", "A1"), 0);
    assert_int_equal(bed.run.counts[COUNT_OUTSIDE], 0);
    bed_check(&bed);
    struct store_verdicts *late = make_verdicts(lease, 0, 1, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    assert_int_equal(bed_do(&bed, &late->op), 0);
    assert_int_equal(late->items[0].ret_verdict, VERDICT_OF_STALE);
    store_op_free(&late->op);
    store_op_free(&lease->op);
    assert_int_equal(held(&bed, run, "A1"), 1);
    store_pool_clear(&pool);
    bed_check(&bed);
    bed_end(&bed);
}

/* Nobody gets more than he has room for, unless that is said. */
static void test_full(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 3, 2, 1, NULL);
    assert_int_equal(assign(&bed, run, "K000001", "A1"), 0);
    check_refused(&bed, assign_op(run, "K000002", "A1"), -GALLOC_CONFLICT, "A1 is full: has 1 of 1 places");
    assert_int_equal(assign(&bed, run, "K000001", "A1"), 0); /* confirmed: the place is its own */
    assert_int_equal(held(&bed, run, "A1"), 1);
    struct store_assign *over = assign_op(run, "K000002", "A1");
    over->is_over_capacity = true;
    assert_int_equal(bed_do_free(&bed, &over->op), 0);
    assert_int_equal(held(&bed, run, "A1"), 2);
    check_refused(&bed, assign_op(run, "K000003", "A11"), -GALLOC_NOT_FOUND, "did you mean 'A1'");
    check_refused(&bed, assign_op(run, "K9", "A2"), -GALLOC_NOT_FOUND, "no assignment \"K9\"");
    check_refused(&bed, assign_op(run, "K000003", NULL), -GALLOC_WRONG_STATE, "is pending");
    check_refused(&bed, assign_op(77, "K000003", "A1"), -GALLOC_NOT_FOUND, "no such run");
    bed_check_states(&bed, 1, 0, 2, 0);
    bed_check(&bed);
    bed_end(&bed);
}

static void test_unassign(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    struct store_pool pool;
    int64_t run = bed_run(&bed, 1, 1, 5, &pool);
    settle(&bed, run, 1, MOVE_SUCCEED, &pool);
    assert_int_equal(assign(&bed, run, "K000001", NULL), 0);
    assert_int_equal(held(&bed, run, "A1"), 0);
    bed_check_states(&bed, 0, 0, 0, 0);
    assert_int_equal(bed_state_count(&bed, ASSIGNMENT_CANCELLED), 1);
    struct store_read *row = bed_read(&bed, QUERY_ASSIGNMENT, run, 0, "K000001"), *attempts = attempts_of(&bed, run, "K000001");
    assert_null(read_text(row, 0, ASSIGNMENT_AGENT_ID));
    assert_null(read_text(row, 0, ASSIGNMENT_DECIDED_BY));
    assert_non_null(strstr(read_text(attempts, 0, ATTEMPT_DECISION), "lightest load"));
    store_op_free(&row->op);
    store_op_free(&attempts->op);
    check_refused(&bed, assign_op(run, "K000001", NULL), -GALLOC_WRONG_STATE, "is cancelled");
    store_pool_clear(&pool);
    bed_check(&bed);
    bed_end(&bed);
}

/* ---- places of a standing pool ---- */
/* A place that a reset of the pool gave back is not given back again. */
static void test_after_a_reset(void **state)
{
    (void)state;
    struct bed bed;
    int64_t base;
    bed_begin(&bed, bed_engine);
    struct store_pool pool;
    bed_pool(&bed, &pool);
    int64_t first = bed_pool_run(&bed, 20, &pool);
    struct store_pool_reset *reset = store_op_new(OP_POOL_RESET, NULL, NULL);
    reset->pool = pool.id;
    assert_int_equal(bed_do_free(&bed, &reset->op), 0);
    int64_t second = bed_pool_run(&bed, 20, &pool); /* its ten hold places */
    assert_int_equal(bed_do_free(&bed, &undo_op(first, SWEEP_DISCARD)->op), 0);
    assert_int_equal(bed_places(&bed, pool.id, &base), 10);
    assert_int_equal(assign(&bed, first, "K000001", "A1"), 0);
    assert_int_equal(bed_places(&bed, pool.id, &base), 11);
    assert_int_equal(bed_do_free(&bed, &undo_op(second, SWEEP_REDO)->op), 0);
    assert_int_equal(bed_places(&bed, pool.id, &base), 1);
    assert_int_equal(bed.run.state, RUN_RUNNING);
    store_pool_clear(&pool);
    bed_check(&bed);
    bed_end(&bed);
}

/* What the commit tells of places adds up to what the ledger has, whatever was undone on the way. */
static void test_places_told(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    struct store_pool pool;
    int64_t run = bed_run(&bed, 3000, 3, -1, &pool), told = 0;
    for (int i = 0; i < 3; i++)
        settle(&bed, run, 1000, MOVE_SUCCEED, &pool);
    struct store_sweep *redo = undo_op(run, SWEEP_REDO);
    bool has_more = true;
    int turns = 0;
    for (; has_more; turns++) {
        struct store_commit commit = {0};
        assert_int_equal(bed.ops->begin(bed.engine, clock_mono_us(), NULL), 0);
        assert_int_equal(bed.ops->apply(bed.engine, &redo->op, &has_more, NULL), 0);
        if (turns % 3 == 1) {
            bed.ops->rollback(bed.engine);
            has_more = true;
            continue;
        }
        assert_int_equal(bed.ops->commit(bed.engine, &commit, NULL), 0);
        for (size_t i = 0; i < commit.place_count; i++) {
            assert_int_equal(commit.places[i].ledger, pool.ledger);
            told += commit.places[i].change;
        }
        bed.run = commit.runs[0];
    }
    assert_true(turns > 4);
    assert_int_equal(redo->ret_changed, 3000);
    assert_int_equal(told, -3000);
    bed_check_states(&bed, 3000, 0, 0, 0);
    store_op_free(&redo->op);
    assert_int_equal(held(&bed, run, "A1"), 0);
    store_pool_clear(&pool);
    bed_check(&bed);
    bed_end(&bed);
}

/* ---- many ---- */
/* A life ends in the middle; the next one goes on, and knows who asked and why. */
static void test_goes_on_after_a_restart(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    struct store_pool pool;
    int64_t run = bed_run(&bed, 2000, 2, -1, &pool), *ids = NULL;
    for (int i = 0; i < 2; i++)
        settle(&bed, run, 1000, MOVE_SUCCEED, &pool);
    struct store_sweep *discard = undo_op(run, SWEEP_DISCARD);
    struct store_commit commit;
    bool has_more = false;
    assert_int_equal(bed.ops->begin(bed.engine, clock_mono_us(), NULL), 0);
    assert_int_equal(bed.ops->apply(bed.engine, &discard->op, &has_more, NULL), 0);
    assert_int_equal(bed.ops->commit(bed.engine, &commit, NULL), 0);
    assert_true(has_more);
    store_op_free(&discard->op);
    bed_check(&bed);
    bed_close(&bed);
    bed_open(&bed);
    size_t count = 0;
    assert_int_equal(bed.ops->open_sweeps(bed.engine, &ids, &count, NULL), 0);
    assert_int_equal(count, 1);
    struct store_sweep *rest = store_op_new(OP_SWEEP, NULL, NULL);
    rest->sweep_id = ids[0];
    free(ids);
    assert_int_equal(bed_do_free(&bed, &rest->op), 0);
    assert_int_equal(bed_state_count(&bed, ASSIGNMENT_CANCELLED), 2000);
    assert_int_equal(bed.run.state, RUN_DONE);
    struct store_read *attempts = attempts_of(&bed, run, "K002000");
    assert_string_equal(read_text(attempts, 0, ATTEMPT_MESSAGE), "discarded by uid 1234: on leave");
    store_op_free(&attempts->op);
    struct store_read *audit = bed_read(&bed, QUERY_AUDIT, run, 0, NULL);
    assert_string_equal(read_text(audit, 0, AUDIT_VERB), "run_discard");
    assert_non_null(strstr(read_text(audit, 0, AUDIT_DETAIL), "\"reason\":\"on leave\""));
    store_op_free(&audit->op);
    store_pool_clear(&pool);
    bed_check(&bed);
    bed_end(&bed);
}

/* Redone ones are as new: budgets at 0, their places free, the run runs again; and what a run was purged of stays right. */
static void test_redo(void **state)
{
    (void)state;
    struct bed bed;
    int64_t base;
    bed_begin(&bed, bed_engine);
    struct store_pool pool;
    bed_pool(&bed, &pool);
    int64_t run = bed_pool_run(&bed, 20, &pool);
    assert_int_equal(bed_do_free(&bed, &undo_op(run, SWEEP_REDO)->op), 0);
    bed_check_states(&bed, 10, 0, 0, 10);
    assert_int_equal(bed_places(&bed, pool.id, &base), 0);
    bed_check(&bed);
    settle(&bed, run, 10, MOVE_SUCCEED, &pool);
    assert_int_equal(bed.run.state, RUN_DONE);
    assert_int_equal(assign(&bed, run, "K000020", "A2"), 0);
    assert_int_equal(bed_places(&bed, pool.id, &base), 11);
    assert_int_equal(bed_purge(&bed, run, false), 0);
    bed_upkeep_all(&bed);
    assert_int_equal(bed_places(&bed, pool.id, &base), 11);
    assert_int_equal(base, 11);
    store_pool_clear(&pool);
    bed_check(&bed);
    bed_end(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_to_another_agent), cmocka_unit_test(test_from_each_state), cmocka_unit_test(test_from_a_worker), cmocka_unit_test(test_full),
        cmocka_unit_test(test_unassign), cmocka_unit_test(test_after_a_reset), cmocka_unit_test(test_places_told),
        cmocka_unit_test(test_goes_on_after_a_restart), cmocka_unit_test(test_redo),
    };
    return bed_run_suite(tests, ARRAY_COUNT(tests));
}
