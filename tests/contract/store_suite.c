/* What every engine of the store keeps: the contract of daemon/store/contract.h and of the operations, tried on each of the list below. A second
 * engine passes it unchanged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/contract/store_bed.h"

#include <string.h>

static const struct store_ops *const engines[] = {&sqlite_ops};
static const struct store_ops *engine;

static int64_t state_count(const struct bed *bed, enum assignment_state state)
{
    return bed->run.counts[COUNT_STATE + state];
}

static void check_states(const struct bed *bed, int64_t pending, int64_t leased, int64_t succeeded, int64_t failed)
{
    assert_int_equal(state_count(bed, ASSIGNMENT_PENDING), pending);
    assert_int_equal(state_count(bed, ASSIGNMENT_LEASED), leased);
    assert_int_equal(state_count(bed, ASSIGNMENT_SUCCEEDED), succeeded);
    assert_int_equal(state_count(bed, ASSIGNMENT_FAILED), failed);
}

static struct store_claim *claim_of(struct bed *bed, int64_t run, int max)
{
    struct store_claim *claim = make_claim(run, max, NULL, NULL);
    assert_int_equal(bed_do(bed, &claim->op), 0);
    return claim;
}

/* ---- import ---- */
static void test_parts_in_order(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, engine);
    struct store_run_create *create = make_run(2, -1, NULL, NULL);
    assert_int_equal(bed_do(&bed, &create->op), 0);
    int64_t run = create->ret_run.id;
    store_op_free(&create->op);
    assert_int_equal(bed_do_free(&bed, &make_part(run, 2, 1, 10, 60, 0, NULL, NULL)->op), -GALLOC_PART_OUT_OF_ORDER);
    struct store_import *first = make_part(run, 1, 1, 10, 60, 0, NULL, NULL);
    assert_int_equal(bed_do(&bed, &first->op), 0);
    assert_non_null(strstr(buf_text(&first->ret_answer), "\"accepted\":10"));
    bed_close(&bed);
    bed_open(&bed);
    struct store_import *again = make_part(run, 1, 1, 10, 60, 0, NULL, NULL);
    assert_int_equal(bed_do(&bed, &again->op), 0);
    assert_string_equal(buf_text(&again->ret_answer), buf_text(&first->ret_answer));
    assert_int_equal(bed_do_free(&bed, &make_part(run, 1, 1, 11, 60, 0, NULL, NULL)->op), -GALLOC_PART_DIFFERS);
    assert_int_equal(bed_do_free(&bed, &make_part(run, 3, 1, 10, 60, 0, NULL, NULL)->op), -GALLOC_PART_OUT_OF_ORDER);
    assert_int_equal(bed_do_free(&bed, &make_part(run + 7, 1, 1, 10, 60, 0, NULL, NULL)->op), -GALLOC_NOT_FOUND);
    assert_int_equal(bed_do_free(&bed, &make_part(run, 2, 11, 5, 60, 0, NULL, NULL)->op), 0);
    assert_int_equal(bed.run.counts[COUNT_ACCEPTED], 15);
    assert_int_equal(bed.run.parts, 2);
    check_states(&bed, 15, 0, 0, 0);
    assert_int_equal(bed_do_free(&bed, &make_commit(run, 2, NULL, NULL)->op), 0);
    assert_int_equal(bed.run.state, RUN_RUNNING);
    assert_int_equal(bed_do_free(&bed, &make_part(run, 3, 16, 1, 60, 0, NULL, NULL)->op), -GALLOC_WRONG_STATE);
    store_op_free(&first->op);
    store_op_free(&again->op);
    bed_end(&bed);
}

static void test_duplicates(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, engine);
    struct store_run_create *create = make_run(1, -1, NULL, NULL);
    assert_int_equal(bed_do(&bed, &create->op), 0);
    int64_t run = create->ret_run.id;
    store_op_free(&create->op);
    assert_int_equal(bed_do_free(&bed, &make_part(run, 1, 1, 10, 60, 0, NULL, NULL)->op), 0);
    struct store_import *skip = make_part(run, 2, 6, 10, 60, 0, NULL, NULL);
    skip->rejected = xstrdup("[{\"row\":7,\"column\":null,\"code\":\"invalid_row\",\"message\":\"x\"}]");
    skip->rejected_count = 1;
    assert_int_equal(bed_do(&bed, &skip->op), 0);
    const char *answer = buf_text(&skip->ret_answer);
    assert_non_null(strstr(answer, "\"accepted\":5,\"duplicates\":5"));
    const char *sixth = strstr(answer, "\"row\":6"), *seventh = strstr(answer, "\"code\":\"invalid_row\""), *eighth = strstr(answer, "\"row\":8");
    assert_true(sixth != NULL && seventh > sixth && eighth > seventh);
    assert_int_equal(bed.run.counts[COUNT_DUPLICATES], 5);
    assert_int_equal(bed.run.counts[COUNT_REJECTED], 1);
    struct store_import *refused = make_part(run, 3, 15, 10, 60, 0, NULL, NULL);
    refused->on_duplicate = DUPLICATE_ERROR;
    assert_int_equal(bed_do(&bed, &refused->op), -GALLOC_INVALID_INPUT);
    assert_non_null(strstr(buf_text(&refused->ret_answer), "\"row\":15"));
    struct store_import *replaced = make_part(run, 3, 15, 10, 90, 0, NULL, NULL);
    replaced->on_duplicate = DUPLICATE_REPLACE;
    assert_int_equal(bed_do(&bed, &replaced->op), 0);
    assert_non_null(strstr(buf_text(&replaced->ret_answer), "\"accepted\":9,\"duplicates\":1,\"replaced\":1"));
    check_states(&bed, 24, 0, 0, 0);
    assert_int_equal(bed_do_free(&bed, &make_commit(run, 3, NULL, NULL)->op), 0);
    struct store_claim *claim = claim_of(&bed, run, 24);
    assert_int_equal(claim->ret_count, 24);
    assert_int_equal(strlen(claim->ret_rows[14].fields), 90); /* row 15's input is the later one, in its old place */
    assert_string_equal(claim->ret_rows[14].key, "K000015");
    store_op_free(&skip->op);
    store_op_free(&refused->op);
    store_op_free(&replaced->op);
    store_op_free(&claim->op);
    bed_end(&bed);
}

/* A part in many steps; what a crash between two of them left does not stand beside the part's new content. */
static void test_part_in_steps(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, engine);
    struct store_run_create *create = make_run(1, -1, NULL, NULL);
    assert_int_equal(bed_do(&bed, &create->op), 0);
    int64_t run = create->ret_run.id;
    store_op_free(&create->op);
    int steps = 0;
    struct store_import *part = make_part(run, 1, 1, 1000, 60, 0, NULL, NULL);
    assert_int_equal(bed_steps(&bed, &part->op, 0, &steps), 0);
    assert_true(steps > 10);
    check_states(&bed, 1000, 0, 0, 0);
    store_op_free(&part->op);
    part = make_part(run, 2, 2001, 1000, 60, 0, NULL, NULL); /* two steps of it, then its client is gone */
    bool has_more = false;
    struct store_commit commit;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(bed.ops->begin(bed.engine, 0, NULL), 0);
        assert_int_equal(bed.ops->apply(bed.engine, &part->op, &has_more, NULL), 0);
        assert_int_equal(bed.ops->commit(bed.engine, &commit, NULL), 0);
        assert_true(has_more);
    }
    store_op_free(&part->op);
    bed_close(&bed);
    bed_open(&bed);
    assert_int_equal(bed_do_free(&bed, &make_commit(run, 1, NULL, NULL)->op), -GALLOC_PART_OUT_OF_ORDER);
    part = make_part(run, 2, 3001, 700, 60, 0, NULL, NULL);
    assert_int_equal(bed_steps(&bed, &part->op, 0, &steps), 0);
    store_op_free(&part->op);
    check_states(&bed, 1700, 0, 0, 0);
    assert_int_equal(bed.run.counts[COUNT_ACCEPTED], 1700);
    part = make_part(run, 3, 3600, 700, 60, 0, NULL, NULL); /* refused after many steps: all of them are taken back */
    part->on_duplicate = DUPLICATE_ERROR;
    assert_int_equal(bed_steps(&bed, &part->op, 0, &steps), -GALLOC_INVALID_INPUT);
    store_op_free(&part->op);
    check_states(&bed, 1700, 0, 0, 0);
    bed_end(&bed);
}

/* ---- claim ---- */
static void test_claim_in_order(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, engine);
    int64_t run = bed_run(&bed, 10, 2, -1, NULL);
    struct store_claim *a = claim_of(&bed, run, 3), *b = claim_of(&bed, run, 100);
    assert_int_equal(a->ret_count, 3);
    assert_int_equal(b->ret_count, 7);
    assert_string_equal(a->ret_rows[0].key, "K000001");
    assert_string_equal(b->ret_rows[0].key, "K000004");
    assert_true(b->ret_lease > a->ret_lease);
    assert_true(a->ret_rows[0].call > 0 && a->ret_rows[0].n == 1);
    assert_true(b->op.seq_first >= a->op.seq_first + 3);
    check_states(&bed, 0, 10, 0, 0);
    struct store_claim *none = claim_of(&bed, run, 5);
    assert_int_equal(none->ret_count, 0);
    assert_true(none->ret_next_due_ms == -1);
    store_op_free(&a->op);
    store_op_free(&b->op);
    store_op_free(&none->op);
    bed_end(&bed);
}

/* Rows that wait and are due first, then fresh ones, then those that failed twice. */
static void test_claim_waiting_and_late(void **state)
{
    (void)state;
    clock_fake(5000000000, 1795448640000);
    struct bed bed;
    bed_begin(&bed, engine);
    int64_t run = bed_run(&bed, 4, 2, -1, NULL);
    struct store_claim *claim = claim_of(&bed, run, 3);
    struct store_settle *settle = make_settle(claim, 0, 3, MOVE_PENDING, OUTCOME_UNAVAILABLE, NULL, NULL, NULL);
    settle->items[0].is_late = true;
    settle->items[0].delay_ms = 100;
    settle->items[1].delay_ms = 1000;
    settle->items[2].delay_ms = 500;
    assert_int_equal(bed_do_free(&bed, &settle->op), 0);
    store_op_free(&claim->op);
    clock_fake_advance_ms(100);
    claim = claim_of(&bed, run, 1);
    assert_string_equal(claim->ret_rows[0].key, "K000004"); /* the late one is due, but behind the fresh one */
    store_op_free(&claim->op);
    clock_fake_advance_ms(400);
    claim = claim_of(&bed, run, 8);
    assert_int_equal(claim->ret_count, 2);
    assert_string_equal(claim->ret_rows[0].key, "K000003");
    assert_string_equal(claim->ret_rows[1].key, "K000001");
    assert_int_equal(claim->ret_rows[1].n, 2);
    store_op_free(&claim->op);
    claim = claim_of(&bed, run, 8);
    assert_int_equal(claim->ret_count, 0);
    assert_true(claim->ret_next_due_ms == 500);
    store_op_free(&claim->op);
    bed_end(&bed);
    clock_real();
}

static void test_claim_sequential(void **state)
{
    (void)state;
    clock_fake(5000000000, 1795448640000);
    struct bed bed;
    bed_begin(&bed, engine);
    int64_t run = bed_run(&bed, 3, 2, -1, NULL);
    struct store_claim *claim = make_claim(run, 5, NULL, NULL);
    claim->in_order = true;
    assert_int_equal(bed_do(&bed, &claim->op), 0);
    assert_int_equal(claim->ret_count, 1);
    struct store_claim *second = make_claim(run, 5, NULL, NULL);
    second->in_order = true;
    assert_int_equal(bed_do(&bed, &second->op), 0); /* the first is in flight: it holds the run */
    assert_int_equal(second->ret_count, 0);
    struct store_settle *settle = make_settle(claim, 0, 1, MOVE_PENDING, OUTCOME_UNAVAILABLE, NULL, NULL, NULL);
    settle->items[0].delay_ms = 700;
    assert_int_equal(bed_do_free(&bed, &settle->op), 0);
    assert_int_equal(bed_do(&bed, &second->op), 0);
    assert_int_equal(second->ret_count, 0);
    assert_true(second->ret_next_due_ms == 700);
    clock_fake_advance_ms(700);
    assert_int_equal(bed_do(&bed, &second->op), 0);
    assert_int_equal(second->ret_count, 1);
    assert_string_equal(second->ret_rows[0].key, "K000001");
    settle = make_settle(second, 0, 1, MOVE_HOLD, OUTCOME_REJECTED, NULL, NULL, NULL);
    settle->items[0].hold = HOLD_REJECTED;
    assert_int_equal(bed_do_free(&bed, &settle->op), 0);
    assert_int_equal(bed_do(&bed, &second->op), 0); /* held as rejected, it holds up no other */
    assert_int_equal(second->ret_count, 1);
    assert_string_equal(second->ret_rows[0].key, "K000002");
    store_op_free(&claim->op);
    store_op_free(&second->op);
    bed_end(&bed);
    clock_real();
}

/* ---- settle ---- */
static void test_settle_to_done(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    bed_begin(&bed, engine);
    int64_t run = bed_run(&bed, 6, 3, -1, &pool);
    struct store_claim *claim = claim_of(&bed, run, 6);
    assert_int_equal(bed_do_free(&bed, &make_settle(claim, 0, 5, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL)->op), 0);
    assert_int_equal(bed.run.state, RUN_RUNNING);
    check_states(&bed, 0, 1, 5, 0);
    struct store_settle *last = make_settle(claim, 5, 1, MOVE_FAIL, OUTCOME_NO_CANDIDATE, &pool, NULL, NULL);
    last->items[0].has_call_result = false;
    assert_int_equal(bed_do(&bed, &last->op), 0);
    assert_int_equal(last->items[0].ret_verdict, VERDICT_DONE);
    check_states(&bed, 0, 0, 5, 1);
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
    bed_begin(&bed, engine);
    int64_t run = bed_run(&bed, 5, 1, 3, &pool);
    struct store_claim *claim = claim_of(&bed, run, 5);
    struct store_settle *settle = make_settle(claim, 0, 5, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    assert_int_equal(bed_do(&bed, &settle->op), 0);
    int full = 0;
    for (size_t i = 0; i < 5; i++)
        full += settle->items[i].ret_verdict == VERDICT_AGENT_FULL;
    assert_int_equal(full, 2);
    check_states(&bed, 2, 0, 3, 0);
    assert_int_equal(bed.run.counts[COUNT_CLASS + OUTCOME_AGENT_FULL], 2);
    assert_int_equal(bed.run.counts[COUNT_CALLS], 5);
    store_op_free(&claim->op);
    store_op_free(&settle->op);
    claim = claim_of(&bed, run, 5);
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
    bed_begin(&bed, engine);
    int64_t run = bed_run(&bed, 2, 2, -1, &pool);
    struct store_claim *claim = claim_of(&bed, run, 2);
    struct store_settle *reask = make_settle(claim, 0, 1, MOVE_REASK, OUTCOME_INVALID_ANSWER, &pool, NULL, NULL);
    reask->items[0].reasks_spent = 1;
    assert_int_equal(bed_do(&bed, &reask->op), 0);
    const struct settle_item *asked = &reask->items[0];
    assert_true(asked->ret_lease > claim->ret_lease && asked->ret_n == 2 && asked->ret_call > claim->ret_rows[0].call);
    check_states(&bed, 0, 2, 0, 0);
    struct store_settle *stale = make_settle(claim, 0, 1, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    assert_int_equal(bed_do(&bed, &stale->op), 0);
    assert_int_equal(stale->items[0].ret_verdict, VERDICT_STALE);
    check_states(&bed, 0, 2, 0, 0);
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
    check_states(&bed, 0, 1, 1, 0);
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
    bed_begin(&bed, engine);
    int64_t run = bed_run(&bed, 3, 1, -1, &pool);
    struct store_claim *claim = claim_of(&bed, run, 2);
    struct store_sweep *cancel = store_op_new(OP_SWEEP, NULL, NULL);
    cancel->run = run;
    cancel->verb = SWEEP_CANCEL;
    cancel->selector.is_all = true;
    cancel->is_by_person = true;
    assert_int_equal(bed_do_free(&bed, &cancel->op), 0);
    assert_int_equal(state_count(&bed, ASSIGNMENT_CANCELLED), 3);
    assert_int_equal(bed.run.state, RUN_CANCELLED);
    struct store_settle *late = make_settle(claim, 0, 2, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    assert_int_equal(bed_do(&bed, &late->op), 0);
    assert_int_equal(late->items[0].ret_verdict, VERDICT_STALE);
    assert_int_equal(state_count(&bed, ASSIGNMENT_CANCELLED), 3);
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
    bed_begin(&bed, engine);
    int64_t run = bed_run(&bed, 3, 1, -1, NULL);
    struct store_claim *claim = claim_of(&bed, run, 3);
    struct store_settle *settle = make_settle(claim, 0, 3, MOVE_HOLD, OUTCOME_TRANSIENT, NULL, NULL, NULL);
    for (size_t i = 0; i < 3; i++) {
        settle->items[i].hold = HOLD_TRANSIENT;
        settle->items[i].failures = 1;
    }
    assert_int_equal(bed_do_free(&bed, &settle->op), 0);
    check_states(&bed, 3, 0, 0, 0);
    clock_fake_advance_ms(86400000);
    struct store_claim *none = claim_of(&bed, run, 3);
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
    check_states(&bed, 2, 0, 0, 1);
    assert_int_equal(bed.run.counts[COUNT_RETRIES], 2);
    assert_int_equal(bed.run.counts[COUNT_FAILED + OUTCOME_TRANSIENT], 1);
    clock_fake_advance_ms(50);
    struct store_claim *due = claim_of(&bed, run, 3);
    assert_int_equal(due->ret_count, 2);
    assert_int_equal(due->ret_rows[0].retries_spent + due->ret_rows[1].retries_spent, 1);
    assert_int_equal(due->ret_rows[0].failures, 1);
    struct store_op *ops[] = {&claim->op, &none->op, &judge->op, &due->op};
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
        store_op_free(ops[i]);
    bed_end(&bed);
    clock_real();
}

static void test_release(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, engine);
    int64_t run = bed_run(&bed, 2, 1, -1, NULL);
    struct store_claim *claim = claim_of(&bed, run, 2);
    struct store_release *release = store_op_new(OP_RELEASE, NULL, NULL);
    release->items = xcalloc(1, sizeof *release->items);
    release->count = 1;
    release->items[0] = (struct release_item){.run = run, .assignment = claim->ret_rows[0].assignment, .lease = claim->ret_lease,
                                              .call = claim->ret_rows[0].call, .n = 1};
    assert_int_equal(bed_do_free(&bed, &release->op), 0);
    check_states(&bed, 1, 1, 0, 0);
    assert_int_equal(bed.run.counts[COUNT_CALLS], 0);
    struct store_claim *again = claim_of(&bed, run, 2);
    assert_int_equal(again->ret_count, 1);
    assert_string_equal(again->ret_rows[0].key, "K000001");
    assert_int_equal(again->ret_rows[0].n, 2);
    store_op_free(&claim->op);
    store_op_free(&again->op);
    bed_end(&bed);
}

/* ---- lives ---- */
static void test_recovery(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    bed_begin(&bed, engine);
    int64_t run = bed_run(&bed, 5, 1, -1, &pool);
    struct store_claim *claim = claim_of(&bed, run, 3);
    assert_int_equal(bed_do_free(&bed, &make_settle(claim, 0, 1, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL)->op), 0);
    int64_t seq = bed.run.seq;
    for (int life = 2; life <= 4; life++) {
        bed_close(&bed);
        bed_open(&bed);
        assert_int_equal(bed.image.starts_in_60_s, life);
        assert_int_equal(bed.image.recovered_lost, life == 2 ? 2 : 0);
    }
    const struct store_run *stands = &bed.image.runs[0];
    assert_int_equal(stands->counts[COUNT_STATE + ASSIGNMENT_PENDING], 4);
    assert_int_equal(stands->counts[COUNT_STATE + ASSIGNMENT_LEASED], 0);
    assert_int_equal(stands->counts[COUNT_CLASS + OUTCOME_LOST], 2);
    assert_int_equal(stands->counts[COUNT_CALLS], 3);
    struct store_settle *late = make_settle(claim, 1, 1, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    assert_int_equal(bed_do(&bed, &late->op), 0);
    assert_int_equal(late->items[0].ret_verdict, VERDICT_STALE);
    struct store_claim *next = claim_of(&bed, run, 9);
    assert_int_equal(next->ret_count, 4);
    assert_true(next->ret_lease > claim->ret_lease);
    assert_true(next->op.seq_first > seq);
    assert_int_equal(next->ret_rows[0].n, 2);
    assert_int_equal(next->ret_rows[0].retries_spent + next->ret_rows[0].failures, 0);
    store_op_free(&claim->op);
    store_op_free(&late->op);
    store_op_free(&next->op);
    store_pool_clear(&pool);
    bed_end(&bed);
}

/* A wall clock that jumps by a day, forth and back, between two lives of one boot: no wait is longer or shorter for it. */
static void test_clock_jumps(void **state)
{
    (void)state;
    clock_fake(5000000000, 1795448640000);
    struct bed bed;
    bed_begin(&bed, engine);
    int64_t run = bed_run(&bed, 1, 1, -1, NULL);
    static const int64_t jumps_ms[] = {86400000, -86400000};
    for (size_t i = 0; i < ARRAY_COUNT(jumps_ms); i++) {
        struct store_claim *claim = claim_of(&bed, run, 1);
        assert_int_equal(claim->ret_count, 1);
        struct store_settle *settle = make_settle(claim, 0, 1, MOVE_PENDING, OUTCOME_UNAVAILABLE, NULL, NULL, NULL);
        settle->items[0].delay_ms = 1000;
        assert_int_equal(bed_do_free(&bed, &settle->op), 0);
        bed_close(&bed);
        clock_fake(clock_mono_us() + 400000, clock_wall_ms() + jumps_ms[i]);
        bed_open(&bed);
        struct store_claim *early = claim_of(&bed, run, 1);
        assert_int_equal(early->ret_count, 0);
        assert_true(early->ret_next_due_ms == 600);
        clock_fake_advance_ms(600);
        assert_int_equal(bed_do(&bed, &early->op), 0);
        assert_int_equal(early->ret_count, 1);
        bed_close(&bed);
        bed_open(&bed); /* gives it back */
        store_op_free(&claim->op);
        store_op_free(&early->op);
    }
    bed_end(&bed);
    clock_real();
}

/* ---- transactions ---- */
static void test_rollback(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    bed_begin(&bed, engine);
    int64_t run = bed_run(&bed, 4, 1, 2, &pool);
    struct store_claim *claim = claim_of(&bed, run, 2), *lost = make_claim(run, 2, NULL, NULL);
    struct store_settle *settle = make_settle(claim, 0, 2, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    bool has_more;
    assert_int_equal(bed.ops->begin(bed.engine, INT64_MAX, NULL), 0);
    assert_int_equal(bed.ops->apply(bed.engine, &settle->op, &has_more, NULL), 0);
    assert_int_equal(bed.ops->apply(bed.engine, &lost->op, &has_more, NULL), 0);
    int64_t lost_lease = lost->ret_lease;
    bed.ops->rollback(bed.engine);
    /* Anew: with the same verdicts as if the first time had never been. */
    assert_int_equal(bed_do(&bed, &settle->op), 0);
    assert_int_equal(settle->items[0].ret_verdict, VERDICT_DONE);
    assert_int_equal(settle->items[1].ret_verdict, VERDICT_DONE);
    check_states(&bed, 2, 0, 2, 0);
    assert_int_equal(bed_do(&bed, &lost->op), 0);
    assert_int_equal(lost->ret_count, 2);
    assert_true(lost->ret_lease > lost_lease);
    check_states(&bed, 0, 2, 2, 0);
    store_op_free(&claim->op);
    store_op_free(&lost->op);
    store_op_free(&settle->op);
    store_pool_clear(&pool);
    bed_end(&bed);
}

/* A refused operation in the middle of a group leaves nothing, and its neighbours stand. */
static void test_refused_in_group(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, engine);
    int64_t run = bed_run(&bed, 4, 1, -1, NULL);
    struct store_claim *a = make_claim(run, 1, NULL, NULL), *b = make_claim(run, 1, NULL, NULL);
    struct store_import *refused = make_part(run, 2, 100, 3, 60, 0, NULL, NULL);
    bool has_more;
    struct store_commit commit;
    assert_int_equal(bed.ops->begin(bed.engine, INT64_MAX, NULL), 0);
    assert_int_equal(bed.ops->apply(bed.engine, &a->op, &has_more, NULL), 0);
    assert_int_equal(bed.ops->apply(bed.engine, &refused->op, &has_more, NULL), 0);
    assert_false(has_more);
    assert_int_equal(bed.ops->apply(bed.engine, &b->op, &has_more, NULL), 0);
    assert_int_equal(bed.ops->commit(bed.engine, &commit, NULL), 0);
    assert_int_equal(refused->op.code, -GALLOC_WRONG_STATE);
    assert_int_equal(refused->op.error.code, GALLOC_WRONG_STATE);
    assert_int_equal(a->ret_count + b->ret_count, 2);
    assert_int_equal(commit.run_count, 1);
    assert_int_equal(commit.runs[0].counts[COUNT_STATE + ASSIGNMENT_LEASED], 2);
    store_op_free(&a->op);
    store_op_free(&b->op);
    store_op_free(&refused->op);
    bed_end(&bed);
}

/* The endpoint's own test request: a call that belongs to no run; one in flight at the end of a life is lost. */
static void test_calls_without_attempt(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, engine);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_in_order),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_part_in_steps),
        cmocka_unit_test(test_claim_in_order),
        cmocka_unit_test(test_claim_waiting_and_late),
        cmocka_unit_test(test_claim_sequential),
        cmocka_unit_test(test_settle_to_done),
        cmocka_unit_test(test_agent_full),
        cmocka_unit_test(test_fence),
        cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_hold_and_judge),
        cmocka_unit_test(test_release),
        cmocka_unit_test(test_recovery),
        cmocka_unit_test(test_clock_jumps),
        cmocka_unit_test(test_rollback),
        cmocka_unit_test(test_refused_in_group),
        cmocka_unit_test(test_calls_without_attempt),
    };
    int failed = 0;
    for (size_t i = 0; i < ARRAY_COUNT(engines); i++) {
        engine = engines[i];
        failed += cmocka_run_group_tests_name(engine->name, tests, NULL, NULL);
    }
    return failed;
}
