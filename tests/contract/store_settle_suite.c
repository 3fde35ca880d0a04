/* What every engine of the store keeps of settling: fences, places, budgets, costs, holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/contract/store_bed.h"

#include <string.h>

static void test_settle_to_done(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 6, 3, -1, &pool);
    struct store_claim *claim = bed_claim(&bed, run, 6);
    assert_int_equal(bed_do_free(&bed, &make_settle(claim, 0, 5, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL)->op), 0);
    assert_int_equal(bed.run.state, RUN_RUNNING);
    bed_check_states(&bed, 0, 1, 5, 0);
    struct store_settle *last = make_settle(claim, 5, 1, MOVE_FAIL, OUTCOME_NO_CANDIDATE, &pool, NULL, NULL);
    last->items[0].has_call_result = false;
    assert_int_equal(bed_do(&bed, &last->op), 0);
    assert_int_equal(last->items[0].ret_verdict, VERDICT_DONE);
    bed_check_states(&bed, 0, 0, 5, 1);
    assert_int_equal(bed.run.state, RUN_DONE);
    assert_true(bed.run.finished_at_ms > 0);
    assert_int_equal(bed.run.counts[COUNT_CLASS + OUTCOME_SUCCEEDED], 5);
    assert_int_equal(bed.run.counts[COUNT_FAILED + OUTCOME_NO_CANDIDATE], 1);
    assert_int_equal(bed.run.counts[COUNT_CALLS], 5); /* the sixth was never sent */
    assert_int_equal(bed.run.counts[COUNT_TOKEN + TOKEN_IN], 500);
    assert_int_equal(bed.run.counts[COUNT_COST_MICROS], 35);
    int64_t seq = bed.run.seq;
    bed_close(&bed);
    bed_open(&bed);
    assert_int_equal(bed.image.run_count, 1);
    assert_int_equal(bed.image.runs[0].state, RUN_DONE);
    assert_int_equal(bed.image.runs[0].counts[COUNT_STATE + ASSIGNMENT_SUCCEEDED], 5);
    assert_true(bed.image.seq >= seq);
    store_op_free(&claim->op);
    store_op_free(&last->op);
    store_pool_clear(&pool);
    bed_end(&bed);
}

/* The ledger is never above the capacity, whatever is settled side by side. */
static void test_agent_full(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 5, 1, 3, &pool);
    struct store_claim *claim = bed_claim(&bed, run, 5);
    struct store_settle *settle = make_settle(claim, 0, 5, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    assert_int_equal(bed_do(&bed, &settle->op), 0);
    int full = 0;
    for (size_t i = 0; i < 5; i++)
        full += settle->items[i].ret_verdict == VERDICT_AGENT_FULL;
    assert_int_equal(full, 2);
    bed_check_states(&bed, 2, 0, 3, 0);
    assert_int_equal(bed.run.counts[COUNT_CLASS + OUTCOME_AGENT_FULL], 2);
    assert_int_equal(bed.run.counts[COUNT_CALLS], 5);
    store_op_free(&claim->op);
    store_op_free(&settle->op);
    claim = bed_claim(&bed, run, 5);
    assert_int_equal(claim->ret_count, 2);
    assert_int_equal(claim->ret_rows[0].fulls_spent, 1);
    settle = make_settle(claim, 0, 2, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    settle->items[0].agent = 4711; /* nobody */
    assert_int_equal(bed_do(&bed, &settle->op), 0);
    assert_int_equal(settle->items[0].ret_verdict, VERDICT_AGENT_FULL);
    bed_close(&bed);
    bed_open(&bed);
    assert_int_equal(bed.image.pools[0].agents.items[0].held, 3);
    store_op_free(&claim->op);
    store_op_free(&settle->op);
    store_pool_clear(&pool);
    bed_end(&bed);
}

/* Only the current lease's number changes a row; what was paid is kept all the same, once. */
static void test_fence(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 2, 2, -1, &pool);
    struct store_claim *claim = bed_claim(&bed, run, 2);
    struct store_settle *reask = make_settle(claim, 0, 1, MOVE_REASK, OUTCOME_INVALID_ANSWER, &pool, NULL, NULL);
    reask->items[0].reasks_spent = 1;
    assert_int_equal(bed_do(&bed, &reask->op), 0);
    const struct settle_item *asked = &reask->items[0];
    assert_true(asked->ret_lease > claim->ret_lease && asked->ret_n == 2 && asked->ret_call > claim->ret_rows[0].call);
    bed_check_states(&bed, 0, 2, 0, 0);
    struct store_settle *stale = make_settle(claim, 0, 1, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    assert_int_equal(bed_do(&bed, &stale->op), 0);
    assert_int_equal(stale->items[0].ret_verdict, VERDICT_STALE);
    bed_check_states(&bed, 0, 2, 0, 0);
    assert_int_equal(bed.run.counts[COUNT_CALLS], 1); /* that attempt had ended: nothing is counted twice */
    struct store_settle *good = make_settle(claim, 0, 1, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    good->items[0].lease = asked->ret_lease;
    good->items[0].n = asked->ret_n;
    good->items[0].call = asked->ret_call;
    assert_int_equal(bed_do(&bed, &good->op), 0);
    assert_int_equal(good->items[0].ret_verdict, VERDICT_DONE);
    assert_int_equal(bed.run.counts[COUNT_CALLS], 2);
    struct store_settle *again = make_settle(claim, 0, 1, MOVE_FAIL, OUTCOME_TRANSIENT, &pool, NULL, NULL);
    again->items[0].lease = asked->ret_lease;
    again->items[0].n = asked->ret_n;
    again->items[0].call = asked->ret_call;
    assert_int_equal(bed_do(&bed, &again->op), 0);
    assert_int_equal(again->items[0].ret_verdict, VERDICT_STALE);
    bed_check_states(&bed, 0, 1, 1, 0);
    struct store_op *ops[] = {&claim->op, &reask->op, &stale->op, &good->op, &again->op};
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
        store_op_free(ops[i]);
    store_pool_clear(&pool);
    bed_end(&bed);
}

/* A cancelled row's late answer: recorded with its cost, its result dropped. */
static void test_dropped(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 3, 1, -1, &pool);
    struct store_claim *claim = bed_claim(&bed, run, 2);
    struct store_sweep *cancel = store_op_new(OP_SWEEP, NULL, NULL);
    cancel->run = run;
    cancel->verb = SWEEP_CANCEL;
    cancel->selector.is_all = true;
    cancel->is_by_person = true;
    assert_int_equal(bed_do_free(&bed, &cancel->op), 0);
    assert_int_equal(bed_state_count(&bed, ASSIGNMENT_CANCELLED), 3);
    assert_int_equal(bed.run.state, RUN_CANCELLED);
    struct store_settle *late = make_settle(claim, 0, 2, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    assert_int_equal(bed_do(&bed, &late->op), 0);
    assert_int_equal(late->items[0].ret_verdict, VERDICT_STALE);
    assert_int_equal(bed_state_count(&bed, ASSIGNMENT_CANCELLED), 3);
    assert_int_equal(bed.run.counts[COUNT_CLASS + OUTCOME_DROPPED], 2);
    assert_int_equal(bed.run.counts[COUNT_CALLS], 2);
    assert_int_equal(bed.run.counts[COUNT_COST_MICROS], 14);
    store_op_free(&claim->op);
    store_op_free(&late->op);
    store_pool_clear(&pool);
    bed_end(&bed);
}

static void test_hold_and_judge(void **state)
{
    (void)state;
    clock_fake(5000000000, 1795448640000);
    struct bed bed;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 3, 1, -1, NULL);
    struct store_claim *claim = bed_claim(&bed, run, 3);
    struct store_settle *settle = make_settle(claim, 0, 3, MOVE_HOLD, OUTCOME_TRANSIENT, NULL, NULL, NULL);
    for (size_t i = 0; i < 3; i++) {
        settle->items[i].hold = HOLD_TRANSIENT;
        settle->items[i].failures = 1;
    }
    assert_int_equal(bed_do_free(&bed, &settle->op), 0);
    bed_check_states(&bed, 3, 0, 0, 0);
    clock_fake_advance_ms(86400000);
    struct store_claim *none = bed_claim(&bed, run, 3);
    assert_int_equal(none->ret_count, 0);
    assert_true(none->ret_next_due_ms == -1);
    struct store_judge *judge = store_op_new(OP_JUDGE, NULL, NULL);
    judge->items = xcalloc(4, sizeof *judge->items);
    judge->count = 4;
    /* The first names an attempt that is not the row's last: of another failure, judged already or not yet. */
    judge->items[0] = (struct judge_item){.run = run, .assignment = claim->ret_rows[0].assignment, .n = 7, .is_spent = true};
    for (size_t i = 0; i < 3; i++)
        judge->items[1 + i] = (struct judge_item){.run = run, .assignment = claim->ret_rows[i].assignment, .n = 1, .delay_ms = 50};
    judge->items[1].is_spent = judge->items[2].is_spent = judge->items[2].fails = true;
    judge->items[2].result = xstrdup("{\"message\":\"500\"}");
    assert_int_equal(bed_do(&bed, &judge->op), 0);
    assert_true(!judge->items[0].ret_done && judge->items[1].ret_done && judge->items[2].ret_done && judge->items[3].ret_done);
    bed_check_states(&bed, 2, 0, 0, 1);
    assert_int_equal(bed.run.counts[COUNT_RETRIES], 1); /* of the two that were confirmed one failed for good: it is not tried again */
    assert_int_equal(bed.run.counts[COUNT_FAILED + OUTCOME_TRANSIENT], 1);
    clock_fake_advance_ms(50);
    struct store_claim *due = bed_claim(&bed, run, 3);
    assert_int_equal(due->ret_count, 2);
    assert_int_equal(due->ret_rows[0].retries_spent + due->ret_rows[1].retries_spent, 1);
    assert_int_equal(due->ret_rows[0].failures, 1);
    struct store_op *ops[] = {&claim->op, &none->op, &judge->op, &due->op};
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
        store_op_free(ops[i]);
    bed_end(&bed);
    clock_real();
}

/* A second attempt at the first leased row, beside the first. */
static struct store_hedge *hedge(struct bed *bed, const struct store_claim *claim)
{
    struct store_hedge *hedge = store_op_new(OP_HEDGE, NULL, NULL);
    hedge->run = claim->run;
    hedge->assignment = claim->ret_rows[0].assignment;
    hedge->lease = claim->ret_lease;
    hedge->endpoint = xstrdup("gemini");
    assert_int_equal(bed_do(bed, &hedge->op), 0);
    return hedge;
}

/* Settles the hedge, else the attempt it stands beside; returns the verdict. */
static enum settle_verdict settle_one(struct bed *bed, const struct store_claim *claim, const struct store_hedge *hedge, enum settle_move move,
                                      enum outcome_class class, const struct store_pool *pool)
{
    struct store_settle *settle = make_settle(claim, 0, 1, move, class, pool, NULL, NULL);
    if (hedge != NULL) {
        settle->items[0].n = hedge->ret_n;
        settle->items[0].call = hedge->ret_call;
    }
    assert_int_equal(bed_do(bed, &settle->op), 0);
    enum settle_verdict verdict = settle->items[0].ret_verdict;
    store_op_free(&settle->op);
    return verdict;
}

/* Two attempts at a row: the first that stands decides it, and the other is recorded and paid for. */
static void test_hedge(void **state)
{
    (void)state;
    for (int hedge_wins = 0; hedge_wins < 2; hedge_wins++) {
        struct bed bed;
        struct store_pool pool;
        bed_begin(&bed, bed_engine);
        int64_t run = bed_run(&bed, 1, 2, -1, &pool);
        struct store_claim *claim = bed_claim(&bed, run, 1);
        struct store_hedge *second = hedge(&bed, claim);
        assert_int_equal(second->ret_n, 2);
        assert_true(second->ret_call > claim->ret_rows[0].call);
        bed_check_states(&bed, 0, 1, 0, 0);
        assert_int_equal(settle_one(&bed, claim, hedge_wins ? second : NULL, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool), VERDICT_DONE);
        assert_int_equal(bed.run.state, RUN_DONE);
        assert_int_equal(settle_one(&bed, claim, hedge_wins ? NULL : second, MOVE_STAY, OUTCOME_LOST, &pool), VERDICT_STALE);
        bed_check_states(&bed, 0, 0, 1, 0);
        assert_int_equal(bed.run.counts[COUNT_CALLS], 2);
        assert_int_equal(bed.run.counts[COUNT_CLASS + OUTCOME_LOST], 1); /* and not as dropped */
        assert_int_equal(bed.run.counts[COUNT_TOKEN + TOKEN_IN], 200);
        struct store_hedge *late = hedge(&bed, claim); /* decided: nothing is made */
        assert_int_equal(late->ret_call, 0);
        struct store_op *ops[] = {&claim->op, &second->op, &late->op};
        for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
            store_op_free(ops[i]);
        store_pool_clear(&pool);
        bed_end(&bed);
    }
}

/* What fails while the other is under way moves nothing; a crash gives the row back once, and both calls are told as lost. */
static void test_hedge_fails(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 1, 2, -1, &pool);
    struct store_claim *claim = bed_claim(&bed, run, 1);
    struct store_hedge *second = hedge(&bed, claim);
    assert_int_equal(settle_one(&bed, claim, NULL, MOVE_STAY, OUTCOME_TRANSIENT, &pool), VERDICT_DONE);
    bed_check_states(&bed, 0, 1, 0, 0);
    assert_int_equal(bed.run.counts[COUNT_CLASS + OUTCOME_TRANSIENT], 1);
    struct store_hedge *third = hedge(&bed, claim);
    assert_int_equal(third->ret_n, 3);
    bed_close(&bed);
    bed_open(&bed);
    assert_int_equal(bed.image.runs[0].counts[COUNT_STATE + ASSIGNMENT_PENDING], 1);
    assert_int_equal(bed.image.runs[0].counts[COUNT_CLASS + OUTCOME_LOST], 2);
    assert_int_equal(bed.image.runs[0].counts[COUNT_CALLS], 3);
    assert_int_equal(settle_one(&bed, claim, second, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool), VERDICT_STALE);
    struct store_claim *again = bed_claim(&bed, run, 1);
    assert_int_equal(again->ret_rows[0].n, 4);
    struct store_op *ops[] = {&claim->op, &second->op, &third->op, &again->op};
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
        store_op_free(ops[i]);
    store_pool_clear(&pool);
    bed_end(&bed);
}

static void test_release(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 2, 1, -1, NULL);
    struct store_claim *claim = bed_claim(&bed, run, 2);
    struct store_release *release = store_op_new(OP_RELEASE, NULL, NULL);
    release->items = xcalloc(1, sizeof *release->items);
    release->count = 1;
    release->items[0] = (struct release_item){.run = run, .assignment = claim->ret_rows[0].assignment, .lease = claim->ret_lease,
                                              .call = claim->ret_rows[0].call, .n = 1};
    assert_int_equal(bed_do_free(&bed, &release->op), 0);
    bed_check_states(&bed, 1, 1, 0, 0);
    assert_int_equal(bed.run.counts[COUNT_CALLS], 0);
    struct store_claim *again = bed_claim(&bed, run, 2);
    assert_int_equal(again->ret_count, 1);
    assert_string_equal(again->ret_rows[0].key, "K000001");
    assert_int_equal(again->ret_rows[0].n, 2);
    store_op_free(&claim->op);
    store_op_free(&again->op);
    bed_end(&bed);
}

/* The endpoint's own test request: a call that belongs to no run; one in flight at the end of a life is lost. */
static void test_calls_without_attempt(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    struct store_call_begin *begin = store_op_new(OP_CALL_BEGIN, NULL, NULL);
    begin->endpoint = xstrdup("gemini");
    assert_int_equal(bed_do(&bed, &begin->op), 0);
    assert_true(begin->ret_call > 0);
    struct store_call_end *end = store_op_new(OP_CALL_END, NULL, NULL);
    end->call = begin->ret_call;
    end->class = OUTCOME_SUCCEEDED;
    end->cost_micros = -1;
    assert_int_equal(bed_do_free(&bed, &end->op), 0);
    store_op_free(&begin->op);
    bed_end(&bed);
}

/* A run without agents asks a question: an answer takes nobody's place, from a model and from a worker alike. */
static void test_answers(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool nobody = {0};
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 3, 0, -1, NULL);
    assert_int_equal(bed.run.ledger, 0);
    struct store_claim *claim = bed_claim(&bed, run, 3);
    struct store_settle *settle = make_settle(claim, 0, 3, MOVE_FAIL, OUTCOME_SUCCEEDED, &nobody, NULL, NULL);
    for (size_t i = 0; i < 3; i++)
        settle->items[i].move = MOVE_SUCCEED;
    assert_int_equal(bed_do(&bed, &settle->op), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(settle->items[i].ret_verdict, VERDICT_DONE);
    bed_check_states(&bed, 0, 0, 3, 0);
    assert_int_equal(bed.run.state, RUN_DONE);
    bed_check(&bed);
    store_op_free(&claim->op);
    store_op_free(&settle->op);
    bed_end(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settle_to_done),
        cmocka_unit_test(test_agent_full),
        cmocka_unit_test(test_fence),
        cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_hold_and_judge),
        cmocka_unit_test(test_hedge),
        cmocka_unit_test(test_hedge_fails),
        cmocka_unit_test(test_release),
        cmocka_unit_test(test_calls_without_attempt),
        cmocka_unit_test(test_answers),
    };
    return bed_run_suite(tests, ARRAY_COUNT(tests));
}
