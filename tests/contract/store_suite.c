/* What every engine of the store keeps: the contract of daemon/store/contract.h and of imports, claims and lives, tried on each engine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/contract/store_bed.h"

#include <string.h>

static void test_parts_in_order(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
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
    bed_check_states(&bed, 15, 0, 0, 0);
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
    bed_begin(&bed, bed_engine);
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
    bed_check_states(&bed, 24, 0, 0, 0);
    assert_int_equal(bed_do_free(&bed, &make_commit(run, 3, NULL, NULL)->op), 0);
    struct store_claim *claim = bed_claim(&bed, run, 24);
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
    bed_begin(&bed, bed_engine);
    struct store_run_create *create = make_run(1, -1, NULL, NULL);
    assert_int_equal(bed_do(&bed, &create->op), 0);
    int64_t run = create->ret_run.id;
    store_op_free(&create->op);
    int steps = 0;
    struct store_import *part = make_part(run, 1, 1, 1000, 60, 0, NULL, NULL);
    assert_int_equal(bed_steps(&bed, &part->op, 0, &steps), 0);
    assert_true(steps > 10);
    bed_check_states(&bed, 1000, 0, 0, 0);
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
    bed_check_states(&bed, 1700, 0, 0, 0);
    assert_int_equal(bed.run.counts[COUNT_ACCEPTED], 1700);
    part = make_part(run, 3, 3600, 700, 60, 0, NULL, NULL); /* refused after many steps: all of them are taken back */
    part->on_duplicate = DUPLICATE_ERROR;
    assert_int_equal(bed_steps(&bed, &part->op, 0, &steps), -GALLOC_INVALID_INPUT);
    store_op_free(&part->op);
    bed_check_states(&bed, 1700, 0, 0, 0);
    bed_end(&bed);
}

static void test_claim_in_order(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 10, 2, -1, NULL);
    struct store_claim *a = bed_claim(&bed, run, 3), *b = bed_claim(&bed, run, 100);
    assert_int_equal(a->ret_count, 3);
    assert_int_equal(b->ret_count, 7);
    assert_string_equal(a->ret_rows[0].key, "K000001");
    assert_string_equal(b->ret_rows[0].key, "K000004");
    assert_true(b->ret_lease > a->ret_lease);
    assert_true(a->ret_rows[0].call > 0 && a->ret_rows[0].n == 1);
    assert_true(b->op.seq_first >= a->op.seq_first + 3);
    bed_check_states(&bed, 0, 10, 0, 0);
    struct store_claim *none = bed_claim(&bed, run, 5);
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
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 4, 2, -1, NULL);
    struct store_claim *claim = bed_claim(&bed, run, 3);
    struct store_settle *settle = make_settle(claim, 0, 3, MOVE_PENDING, OUTCOME_UNAVAILABLE, NULL, NULL, NULL);
    settle->items[0].is_late = true;
    settle->items[0].delay_ms = 100;
    settle->items[1].delay_ms = 1000;
    settle->items[2].delay_ms = 500;
    assert_int_equal(bed_do_free(&bed, &settle->op), 0);
    store_op_free(&claim->op);
    clock_fake_advance_ms(100);
    claim = bed_claim(&bed, run, 1);
    assert_string_equal(claim->ret_rows[0].key, "K000004"); /* the late one is due, but behind the fresh one */
    store_op_free(&claim->op);
    clock_fake_advance_ms(400);
    claim = bed_claim(&bed, run, 8);
    assert_int_equal(claim->ret_count, 2);
    assert_string_equal(claim->ret_rows[0].key, "K000003");
    assert_string_equal(claim->ret_rows[1].key, "K000001");
    assert_int_equal(claim->ret_rows[1].n, 2);
    store_op_free(&claim->op);
    claim = bed_claim(&bed, run, 8);
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
    bed_begin(&bed, bed_engine);
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

static void test_recovery(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 5, 1, -1, &pool);
    struct store_claim *claim = bed_claim(&bed, run, 3);
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
    struct store_claim *next = bed_claim(&bed, run, 9);
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
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 1, 1, -1, NULL);
    static const int64_t jumps_ms[] = {86400000, -86400000};
    for (size_t i = 0; i < ARRAY_COUNT(jumps_ms); i++) {
        struct store_claim *claim = bed_claim(&bed, run, 1);
        assert_int_equal(claim->ret_count, 1);
        struct store_settle *settle = make_settle(claim, 0, 1, MOVE_PENDING, OUTCOME_UNAVAILABLE, NULL, NULL, NULL);
        settle->items[0].delay_ms = 1000;
        assert_int_equal(bed_do_free(&bed, &settle->op), 0);
        bed_close(&bed);
        clock_fake(clock_mono_us() + 400000, clock_wall_ms() + jumps_ms[i]);
        bed_open(&bed);
        struct store_claim *early = bed_claim(&bed, run, 1);
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

static void test_rollback(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 4, 1, 2, &pool);
    struct store_claim *claim = bed_claim(&bed, run, 2), *lost = make_claim(run, 2, NULL, NULL);
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
    bed_check_states(&bed, 2, 0, 2, 0);
    assert_int_equal(bed_do(&bed, &lost->op), 0);
    assert_int_equal(lost->ret_count, 2);
    assert_true(lost->ret_lease > lost_lease);
    bed_check_states(&bed, 0, 2, 2, 0);
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
    bed_begin(&bed, bed_engine);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_in_order),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_part_in_steps),
        cmocka_unit_test(test_claim_in_order),
        cmocka_unit_test(test_claim_waiting_and_late),
        cmocka_unit_test(test_claim_sequential),
        cmocka_unit_test(test_recovery),
        cmocka_unit_test(test_clock_jumps),
        cmocka_unit_test(test_rollback),
        cmocka_unit_test(test_refused_in_group),
    };
    return bed_run_suite(tests, ARRAY_COUNT(tests));
}
