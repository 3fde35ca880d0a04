/* What every engine keeps of outside workers' leases: what is taken, what is told of it, renewed and given back. The doctor recounts at each test's end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "core/limits.h"
#include "tests/contract/store_lease_bed.h"

#include <stdlib.h>
#include <string.h>

/* ---- taking ---- */
static void test_taken(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene, bed_engine, LIMIT_LEASE_ROWS + 50, 1, -1);
    struct store_claim *most = scene_lease(&scene, 5000, "w1", LIMIT_LEASE_ROWS), *rest = scene_lease(&scene, 10, "w2", 10);
    assert_true(rest->ret_lease > most->ret_lease);
    assert_string_equal(rest->ret_rows[0].key, "K001001");
    assert_int_equal(rest->ret_rows[0].n, 1);
    assert_true(rest->ret_rows[0].call == 0 && rest->ret_rows[0].fields != NULL);
    assert_int_equal(rest->op.seq_first, most->op.seq_first + LIMIT_LEASE_ROWS);
    scene_check_states(&scene, 40, LIMIT_LEASE_ROWS + 10, 0, 0);
    scene_check_attempt(&scene, "K001001", 0, "open", "w2", NULL);
    store_op_free(&most->op);
    store_op_free(&rest->op);
    scene_end(&scene);
}

/* Rows of 107 bytes, key and fields: as many as fit, and always one. */
static void test_max_bytes(void **state)
{
    (void)state;
    static const struct { int64_t max_bytes; size_t count; } rows[] = {{1, 1}, {107, 1}, {213, 1}, {214, 2}, {321, 3}, {400, 3}, {0, 5}};
    struct scene scene;
    scene_begin(&scene, bed_engine, 20, 1, -1);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct store_claim *claim = make_lease(scene.run, 5, "w", TTL_MS, NULL, NULL);
        claim->max_bytes = rows[i].max_bytes;
        assert_int_equal(bed_do(&scene.bed, &claim->op), 0);
        assert_int_equal(strlen(claim->ret_rows[0].key) + strlen(claim->ret_rows[0].fields), 107);
        assert_int_equal(claim->ret_count, rows[i].count);
        store_op_free(&claim->op);
    }
    scene_end(&scene);
}

/* ---- verdicts ---- */
static void test_verdicts_to_done(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene, bed_engine, 4, 2, -1);
    struct store_claim *claim = scene_lease(&scene, 10, "w1", 4);
    struct store_verdicts *well = scene_judge(&scene, claim, 0, 2, OUTCOME_SUCCEEDED);
    assert_true(well->ret_run == scene.run && well->ret_left_count == 2);
    for (size_t i = 0; i < 2; i++) {
        const struct verdict_item *item = &well->items[i];
        assert_int_equal(item->ret_verdict, VERDICT_OF_SUCCEEDED);
        assert_true(item->ret_is_final && item->ret_class == OUTCOME_SUCCEEDED && item->ret_n == 1);
        assert_int_equal(item->ret_assignment, claim->ret_rows[i].assignment);
        assert_int_equal(item->ret_seq, well->op.seq_first + 2 * (int64_t)i + 1);
    }
    scene_check_states(&scene, 0, 2, 2, 0);
    struct store_verdicts *gone = scene_judge(&scene, claim, 2, 2, OUTCOME_WORKER);
    assert_true(gone->items[0].ret_verdict == VERDICT_OF_FAILED && gone->items[0].ret_is_final && gone->ret_left_count == 0);
    scene_check_states(&scene, 0, 0, 2, 2);
    assert_int_equal(scene.bed.run.state, RUN_DONE);
    assert_int_equal(scene.bed.run.counts[COUNT_FAILED + OUTCOME_WORKER], 2);
    assert_int_equal(scene.bed.run.counts[COUNT_CLASS + OUTCOME_WORKER], 2);
    assert_int_equal(scene.bed.run.counts[COUNT_CLASS + OUTCOME_SUCCEEDED], 2);
    assert_int_equal(scene.bed.run.counts[COUNT_CALLS], 0);
    assert_int_equal(scene_renew(&scene, claim->ret_lease, 0, NULL), -GALLOC_LEASE_LOST); /* nothing is left in it */
    scene_check_attempt(&scene, "K000001", 0, "succeeded", "w1", NULL);
    scene_check_attempt(&scene, "K000003", 0, "worker", "w1", "it did not work");
    struct store_read *read = scene_read_key(&scene, QUERY_ASSIGNMENT, "K000001");
    assert_string_equal(read_text(read, 0, ASSIGNMENT_DECIDED_BY), "worker");
    assert_non_null(read_text(read, 0, ASSIGNMENT_AGENT_ID));
    store_op_free(&read->op);
    struct store_op *ops[] = {&claim->op, &well->op, &gone->op};
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
        store_op_free(ops[i]);
    scene_end(&scene);
}

/* A key that is told twice counts once: in one operation, in two, after the lease's end, and in another life. */
static void test_repeated(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene, bed_engine, 3, 1, -1);
    struct store_claim *claim = scene_lease(&scene, 3, "w1", 3);
    struct store_verdicts *twice = make_verdicts(claim, 0, 2, OUTCOME_TRANSIENT, &scene.pool, NULL, NULL);
    free(twice->items[1].key);
    twice->items[1].key = xstrdup(twice->items[0].key);
    twice->items[1].class = OUTCOME_SUCCEEDED;
    assert_int_equal(bed_do(&scene.bed, &twice->op), 0);
    assert_int_equal(twice->items[0].ret_verdict, VERDICT_OF_RETRY);
    assert_int_equal(twice->items[1].ret_verdict, VERDICT_OF_DUPLICATE);
    assert_true(twice->items[1].ret_seq == 0 && twice->ret_left_count == 2);
    scene_check_states(&scene, 1, 2, 0, 0);
    assert_int_equal(scene_verdict(&scene, claim, 0, OUTCOME_SUCCEEDED), VERDICT_OF_DUPLICATE);
    assert_int_equal(scene_verdict(&scene, claim, 1, OUTCOME_SUCCEEDED), VERDICT_OF_SUCCEEDED);
    assert_int_equal(scene_verdict(&scene, claim, 2, OUTCOME_SUCCEEDED), VERDICT_OF_SUCCEEDED);
    int64_t seq = scene.bed.run.seq;
    scene_reopen(&scene);
    struct store_verdicts *late = scene_judge(&scene, claim, 0, 3, OUTCOME_SUCCEEDED);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(late->items[i].ret_verdict, VERDICT_OF_DUPLICATE);
    assert_true(late->ret_run == scene.run && late->ret_left_count == 0 && late->op.seq_first == 0);
    scene_check_states(&scene, 1, 0, 2, 0);
    assert_int_equal(scene.bed.run.seq, seq);
    store_op_free(&claim->op);
    store_op_free(&twice->op);
    store_op_free(&late->op);
    scene_end(&scene);
}

/* Late writers change nothing: of a lease that ran out, was given back, never was, or is the built-in worker's; and of another's row. */
static void test_stale(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene, bed_engine, 8, 1, -1);
    struct store_claim *lost = scene_lease(&scene, 2, "w1", 2), *back = make_lease(scene.run, 2, "w2", 2 * TTL_MS, NULL, NULL);
    assert_int_equal(bed_do(&scene.bed, &back->op), 0);
    clock_fake_advance_ms(TTL_MS);
    store_op_free(&scene_expire(&scene, 1)->op);
    assert_int_equal(scene_give_back(&scene, back->ret_lease, NULL), 0);
    assert_int_equal(scene_verdict(&scene, lost, 0, OUTCOME_SUCCEEDED), VERDICT_OF_STALE);
    assert_int_equal(scene_verdict(&scene, back, 0, OUTCOME_SUCCEEDED), VERDICT_OF_STALE);
    struct store_claim *again = scene_lease(&scene, 1, "w1", 1); /* the same row, in the same worker's hands */
    assert_string_equal(again->ret_rows[0].key, lost->ret_rows[0].key);
    assert_int_equal(scene_verdict(&scene, lost, 0, OUTCOME_SUCCEEDED), VERDICT_OF_STALE);
    struct store_claim *built_in = make_claim(scene.run, 1, NULL, NULL);
    assert_int_equal(bed_do(&scene.bed, &built_in->op), 0);
    struct store_verdicts *foreign = scene_judge(&scene, built_in, 0, 1, OUTCOME_SUCCEEDED);
    assert_true(foreign->ret_run == 0 && foreign->items[0].ret_verdict == VERDICT_OF_STALE);
    assert_int_equal(scene_renew(&scene, built_in->ret_lease, 0, NULL), -GALLOC_LEASE_LOST);
    assert_int_equal(scene_give_back(&scene, built_in->ret_lease, NULL), -GALLOC_LEASE_LOST);
    back->ret_lease += 1000;
    struct store_verdicts *never = scene_judge(&scene, back, 0, 2, OUTCOME_SUCCEEDED);
    assert_true(never->ret_run == 0 && never->items[1].ret_verdict == VERDICT_OF_STALE);
    assert_int_equal(scene.bed.run.counts[COUNT_OUTSIDE], 1);
    assert_int_equal(scene.bed.run.counts[COUNT_STATE + ASSIGNMENT_LEASED], 2);
    assert_int_equal(scene.bed.run.counts[COUNT_STATE + ASSIGNMENT_PENDING], 6);
    struct store_op *ops[] = {&lost->op, &back->op, &again->op, &built_in->op, &foreign->op, &never->op};
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
        store_op_free(ops[i]);
    scene_end(&scene);
}

/* A success needs a free place. */
static void test_agent_full(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene, bed_engine, 3, 1, 2);
    struct store_claim *claim = scene_lease(&scene, 3, "w1", 3);
    struct store_verdicts *verdicts = scene_judge(&scene, claim, 0, 3, OUTCOME_SUCCEEDED);
    assert_int_equal(verdicts->items[1].ret_verdict, VERDICT_OF_SUCCEEDED);
    assert_int_equal(verdicts->items[2].ret_verdict, VERDICT_OF_AGENT_FULL);
    assert_int_equal(verdicts->items[2].ret_class, OUTCOME_AGENT_FULL);
    assert_true(!verdicts->items[2].ret_is_final && verdicts->items[2].ret_retry_after_ms == 0);
    scene_check_states(&scene, 1, 0, 2, 0);
    store_op_free(&claim->op);
    claim = scene_lease(&scene, 3, "w1", 1);
    assert_int_equal(claim->ret_rows[0].fulls_spent, 1);
    struct store_read *read = scene_read_key(&scene, QUERY_ATTEMPTS, verdicts->items[2].key);
    assert_string_equal(read_text(read, 0, ATTEMPT_EXCLUDED), scene.pool.agents.items[0].agent_id);
    store_op_free(&read->op);
    store_op_free(&claim->op);
    store_op_free(&verdicts->op);
    scene_end(&scene);
}

/* Rows of a lease that nobody gets (their input is damaged) are settled like the built-in worker's. */
static void test_settled_unseen(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene, bed_engine, 3, 1, -1);
    struct store_claim *claim = scene_lease(&scene, 3, "w1", 3);
    for (size_t from = 0; from < 3; from += 2) {
        struct store_settle *settle = make_settle(claim, from, from == 0 ? 2 : 1, MOVE_FAIL, OUTCOME_CORRUPT, NULL, NULL, NULL);
        settle->is_outside = true;
        for (size_t i = 0; i < settle->count; i++)
            settle->items[i].has_call_result = false;
        assert_int_equal(bed_do_free(&scene.bed, &settle->op), 0);
        scene_check_states(&scene, 0, from == 0 ? 1 : 0, 0, from == 0 ? 2 : 3);
        assert_int_equal(scene_renew(&scene, claim->ret_lease, 0, NULL), from == 0 ? 0 : -GALLOC_LEASE_LOST);
    }
    assert_int_equal(scene.bed.run.state, RUN_DONE);
    store_op_free(&claim->op);
    scene_end(&scene);
}

/* Takes the run's one row for the `times`th time and tells `class`; the clock has passed what it has to wait. Returns the last verdict. */
static enum verdict tell_so_often(struct scene *scene, enum outcome_class class, int times)
{
    enum verdict verdict = VERDICT_OF_STALE;
    for (int i = 0; i < times; i++) {
        clock_fake_advance_ms(8000);
        struct store_claim *claim = scene_lease(scene, 1, "w1", 1);
        struct store_verdicts *verdicts = scene_judge(scene, claim, 0, 1, class);
        verdict = verdicts->items[0].ret_verdict;
        assert_true(verdicts->items[0].ret_retry_after_ms <= 8000);
        assert_int_equal(verdicts->items[0].ret_is_final, verdict == VERDICT_OF_FAILED);
        assert_int_equal(verdicts->items[0].ret_n, i + 1);
        store_op_free(&claim->op);
        store_op_free(&verdicts->op);
    }
    return verdict;
}

/* The row that a lease of one gets, told `class`. Its key. */
static char *tell_next(struct scene *scene, enum outcome_class class)
{
    struct store_claim *claim = scene_lease(scene, 1, "w1", 1);
    char *key = xstrdup(claim->ret_rows[0].key);
    scene_verdict(scene, claim, 0, class);
    store_op_free(&claim->op);
    return key;
}

/* From its second failure on a row waits behind those that failed once, also behind one whose wait ended later. */
static void test_a_row_that_fails_again_is_late(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene, bed_engine, 2, 1, -1);
    struct store_claim *first = scene_lease(&scene, 1, "w1", 1), *second = scene_lease(&scene, 1, "w2", 1);
    scene_verdict(&scene, first, 0, OUTCOME_TRANSIENT);
    clock_fake_advance_ms(8000);
    char *again = tell_next(&scene, OUTCOME_TRANSIENT);
    assert_string_equal(again, first->ret_rows[0].key);
    clock_fake_advance_ms(8000);
    scene_verdict(&scene, second, 0, OUTCOME_TRANSIENT);
    clock_fake_advance_ms(8000);
    char *before = tell_next(&scene, OUTCOME_SUCCEEDED), *behind = tell_next(&scene, OUTCOME_SUCCEEDED);
    assert_string_equal(before, second->ret_rows[0].key);
    assert_string_equal(behind, again);
    char *keys[] = {again, before, behind};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        free(keys[i]);
    store_op_free(&first->op);
    store_op_free(&second->op);
    scene_end(&scene);
}

static void test_budgets(void **state)
{
    (void)state;
    static const struct { enum outcome_class class; int times; enum verdict before; int64_t retries; } rows[] = {
        {OUTCOME_INVALID_ANSWER, 5, VERDICT_OF_INVALID_ANSWER, 0}, {OUTCOME_TRANSIENT, 4, VERDICT_OF_RETRY, 3},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct scene scene;
        scene_begin(&scene, bed_engine, 1, 1, -1);
        assert_int_equal(tell_so_often(&scene, rows[i].class, rows[i].times - 1), rows[i].before);
        scene_check_states(&scene, 1, 0, 0, 0);
        scene_end(&scene);
        scene_begin(&scene, bed_engine, 1, 1, -1);
        assert_int_equal(tell_so_often(&scene, rows[i].class, rows[i].times), VERDICT_OF_FAILED);
        scene_check_states(&scene, 0, 0, 0, 1);
        assert_int_equal(scene.bed.run.counts[COUNT_RETRIES], rows[i].retries);
        assert_int_equal(scene.bed.run.counts[COUNT_FAILED + (int)rows[i].class], 1);
        assert_int_equal(scene.bed.run.state, RUN_DONE);
        scene_end(&scene);
    }
}

/* ---- renewing, giving back ---- */
static void test_renew(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene, bed_engine, 2, 1, -1);
    struct store_claim *claim = scene_lease(&scene, 1, "w1", 1);
    int64_t ttl_ms = 0;
    clock_fake_advance_ms(TTL_MS - 1);
    assert_int_equal(scene_renew(&scene, claim->ret_lease, 0, &ttl_ms), 0);
    assert_int_equal(ttl_ms, TTL_MS);
    clock_fake_advance_ms(TTL_MS - 1);
    struct store_lease_expire *none = scene_expire(&scene, 0);
    assert_int_equal(none->ret_next_ms, 1);
    assert_int_equal(scene_renew(&scene, claim->ret_lease, 5000, &ttl_ms), 0);
    assert_int_equal(ttl_ms, 5000);
    clock_fake_advance_ms(5000); /* its time has run out, though nobody has noticed: it is not revived */
    assert_int_equal(scene_renew(&scene, claim->ret_lease, 0, NULL), -GALLOC_LEASE_LOST);
    assert_int_equal(scene_give_back(&scene, claim->ret_lease, NULL), -GALLOC_LEASE_LOST);
    scene_check_states(&scene, 1, 1, 0, 0);
    store_op_free(&scene_expire(&scene, 1)->op);
    assert_int_equal(scene_renew(&scene, claim->ret_lease, 0, NULL), -GALLOC_LEASE_LOST);
    assert_int_equal(scene_renew(&scene, 4711000, 0, NULL), -GALLOC_LEASE_LOST);
    scene_check_states(&scene, 2, 0, 0, 0);
    store_op_free(&claim->op);
    store_op_free(&none->op);
    scene_end(&scene);
}

/* What is given back is as it was before: in its place, and nothing spent. */
static void test_give_back(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene, bed_engine, 5, 1, -1);
    struct store_claim *claim = scene_lease(&scene, 4, "w1", 4);
    assert_int_equal(scene_verdict(&scene, claim, 1, OUTCOME_SUCCEEDED), VERDICT_OF_SUCCEEDED);
    int64_t count = 0;
    assert_int_equal(scene_give_back(&scene, claim->ret_lease, &count), 0);
    assert_int_equal(count, 3);
    scene_check_states(&scene, 4, 0, 1, 0);
    assert_int_equal(scene.bed.run.counts[COUNT_CLASS + OUTCOME_RELEASED], 3);
    scene_check_attempt(&scene, "K000001", 0, "released", "w1", NULL);
    assert_int_equal(scene_give_back(&scene, claim->ret_lease, NULL), -GALLOC_LEASE_LOST);
    struct store_claim *next = scene_lease(&scene, 9, "w2", 4);
    assert_string_equal(next->ret_rows[0].key, "K000001");
    assert_int_equal(next->ret_rows[0].n, 2);
    store_op_free(&claim->op);
    store_op_free(&next->op);
    scene_end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_max_bytes),
        cmocka_unit_test(test_verdicts_to_done),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_agent_full),
        cmocka_unit_test(test_settled_unseen),
        cmocka_unit_test(test_budgets),
        cmocka_unit_test(test_a_row_that_fails_again_is_late),
        cmocka_unit_test(test_renew),
        cmocka_unit_test(test_give_back),
    };
    return bed_run_suite(tests, ARRAY_COUNT(tests));
}
