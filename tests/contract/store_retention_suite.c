/* What every engine keeps of what is purged, and for how long it keeps what has an age: calls, runs, the audit log, test requests, leases. On a clock of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/contract/store_lease_bed.h"
#include "tests/contract/store_purge_bed.h"

/* ---- calls ---- */
static size_t sends_count(const struct bed *bed)
{
    return bed->image.sends_count > 0 ? bed->image.sends[0].count : 0;
}

/* Limits look back on calls whose run is gone, and what they came to is kept for ever. */
static void test_calls(void **state)
{
    (void)state;
    struct bed bed;
    clock_fake(5000000000, WALL_MS);
    bed_begin(&bed, bed_engine);
    int64_t run = bed_done_run(&bed, 100, NULL);
    assert_int_equal(bed_purge(&bed, run, false), 0);
    bed_upkeep_all(&bed);
    bed_check(&bed);
    bed_close(&bed);
    bed_open(&bed);
    assert_int_equal(sends_count(&bed), 100);
    assert_int_equal(bed.image.sums[0].counts[COUNT_CALLS], 100);
    assert_int_equal(bed.image.sums[0].counts[COUNT_COST_MICROS], 700);
    clock_fake_advance_ms(STORE_SENDS_MS);
    bed_upkeep_all(&bed);
    bed_check(&bed);
    bed_close(&bed);
    bed_open(&bed);
    assert_int_equal(sends_count(&bed), 0);
    assert_int_equal(bed.image.sums[0].counts[COUNT_CALLS], 100);
    bed_end(&bed);
    clock_real();
}

/* ---- ages ---- */
static void test_by_age(void **state)
{
    (void)state;
    struct bed bed;
    clock_fake(5000000000, WALL_MS);
    bed_begin(&bed, bed_engine);
    int64_t old = bed_done_run(&bed, 4, NULL);
    int64_t open = bed_run(&bed, 4, 1, -1, NULL);
    clock_fake_advance_ms(DAY_MS);
    int64_t young = bed_done_run(&bed, 4, NULL);
    struct store_purge *op = bed_purge_op(0, false);
    op->older_than_ms = DAY_MS + 1;
    assert_int_equal(bed_do(&bed, &op->op), 0);
    assert_int_equal(op->ret_count, 0);
    clock_fake(5000000000 + DAY_MS * 1000, WALL_MS + 3650 * DAY_MS); /* the wall's clock alone is set far ahead: nothing is older for that */
    assert_int_equal(bed_do(&bed, &op->op), 0);
    assert_int_equal(op->ret_count, 0);
    clock_fake(5000000000 + DAY_MS * 1000, WALL_MS + DAY_MS);
    op->older_than_ms = DAY_MS;
    op->is_dry = true;
    assert_int_equal(bed_do(&bed, &op->op), 0);
    assert_int_equal(op->ret_count, 1);
    assert_int_equal(bed_read_code(&bed, QUERY_RUN, old, NULL), 0);
    op->is_dry = false;
    assert_int_equal(bed_do(&bed, &op->op), 0);
    assert_int_equal(op->ret_count, 1);
    assert_int_equal(op->ret_runs[0].run, old);
    assert_int_equal(op->ret_next, 0);
    assert_int_equal(bed_read_code(&bed, QUERY_RUN, old, NULL), -GALLOC_NOT_FOUND);
    assert_int_equal(bed_read_code(&bed, QUERY_RUN, open, NULL), 0);
    assert_int_equal(bed_read_code(&bed, QUERY_RUN, young, NULL), 0);
    store_op_free(&op->op);
    bed_end(&bed);
    clock_real();
}

/* More than go at once: who asked goes on where it ended. */
static void test_many_by_age(void **state)
{
    (void)state;
    struct bed bed;
    int64_t last = 0;
    clock_fake(5000000000, WALL_MS);
    bed_begin(&bed, bed_engine);
    for (int i = 0; i < PURGE_RUNS_MAX + 1; i++)
        last = bed_done_run(&bed, 1, NULL);
    struct store_purge *op = bed_purge_op(0, false);
    op->older_than_ms = 0;
    op->is_dry = true;
    for (int round = 0; round < 2; round++, op->is_dry = false) {
        op->after_run = 0;
        assert_int_equal(bed_do(&bed, &op->op), 0);
        assert_int_equal(op->ret_count, PURGE_RUNS_MAX);
        assert_int_equal(op->ret_next, op->ret_runs[PURGE_RUNS_MAX - 1].run);
        op->after_run = op->ret_next;
        assert_int_equal(bed_do(&bed, &op->op), 0);
        assert_int_equal(op->ret_count, 1);
        assert_int_equal(op->ret_runs[0].run, last);
        assert_int_equal(op->ret_next, 0);
    }
    store_op_free(&op->op);
    bed_end(&bed);
    clock_real();
}

static size_t audit_count(struct bed *bed)
{
    struct store_read *audit = bed_read(bed, QUERY_AUDIT, 0, 0, NULL);
    size_t count = audit->ret_row_count;
    store_op_free(&audit->op);
    return count;
}

/* The configured ages: of runs, of the audit log; 0 is for ever. */
static void test_retention(void **state)
{
    (void)state;
    struct bed bed;
    struct store_upkeep *upkeep = bed_upkeep_op();
    clock_fake(5000000000, WALL_MS);
    bed_begin(&bed, bed_engine);
    int64_t run = bed_done_run(&bed, 4, NULL);
    clock_fake_advance_ms(30 * DAY_MS);
    assert_false(bed_upkeep_once(&bed, upkeep, INT64_MAX));
    assert_int_equal(bed_read_code(&bed, QUERY_RUN, run, NULL), 0);
    upkeep->retention_ms = upkeep->audit_retention_ms = 30 * DAY_MS + 1;
    assert_false(bed_upkeep_once(&bed, upkeep, INT64_MAX));
    clock_fake(5000000000 + 30 * DAY_MS * 1000, WALL_MS + 3650 * DAY_MS); /* the wall's clock alone is set far ahead */
    assert_false(bed_upkeep_once(&bed, upkeep, INT64_MAX));
    assert_int_equal(bed_read_code(&bed, QUERY_RUN, run, NULL), 0);
    clock_fake(5000000000 + 30 * DAY_MS * 1000, WALL_MS + 30 * DAY_MS);
    size_t audited = audit_count(&bed);
    upkeep->retention_ms = 30 * DAY_MS;
    assert_true(bed_upkeep_once(&bed, upkeep, INT64_MAX));
    assert_int_equal(upkeep->ret_marked_count, 1);
    assert_int_equal(bed_read_code(&bed, QUERY_RUN, run, NULL), -GALLOC_NOT_FOUND);
    assert_int_equal(audit_count(&bed), audited + 1); /* who reads the log finds who did it */
    while (bed_upkeep_once(&bed, upkeep, INT64_MAX))
        continue;
    upkeep->audit_retention_ms = 30 * DAY_MS;
    assert_true(bed_upkeep_once(&bed, upkeep, INT64_MAX));
    assert_int_equal(audit_count(&bed), 1);
    bed_check(&bed);
    store_op_free(&upkeep->op);
    bed_end(&bed);
    clock_real();
}

/* Rows of test requests are kept for a month; what they came to, for ever. */
static void test_test_requests(void **state)
{
    (void)state;
    struct bed bed;
    clock_fake(5000000000, WALL_MS);
    bed_begin(&bed, bed_engine);
    for (int i = 0; i < 3; i++) {
        struct store_call_begin *begin = store_op_new(OP_CALL_BEGIN, NULL, NULL);
        begin->endpoint = xstrdup("gemini");
        assert_int_equal(bed_do(&bed, &begin->op), 0);
        struct store_call_end *end = store_op_new(OP_CALL_END, NULL, NULL);
        *end = (struct store_call_end){.op = end->op, .call = begin->ret_call, .tokens = {9, -1, -1, -1, -1}, .cost_micros = 2, .currency = "USD"};
        store_op_free(&begin->op);
        assert_int_equal(bed_do_free(&bed, &end->op), 0);
        clock_fake_advance_ms(TEST_CALLS_KEPT_MS / 2);
        bed_upkeep_all(&bed);
        bed_check(&bed);
    }
    bed_close(&bed);
    bed_open(&bed);
    assert_int_equal(bed.image.sums[0].counts[COUNT_TEST_CALLS], 3);
    assert_int_equal(bed.image.sums[0].counts[COUNT_TOKEN + TOKEN_IN], 27);
    bed_end(&bed);
    clock_real();
}

/* Outside workers' leases of a purged run are as of one that never was. */
static void test_leases(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene, bed_engine, 4, 1, -1);
    struct store_claim *claim = scene_lease(&scene, 4, "w1", 4);
    store_op_free(&scene_judge(&scene, claim, 0, 4, OUTCOME_SUCCEEDED)->op);
    assert_int_equal(bed_purge(&scene.bed, scene.run, false), 0);
    for (int time = 0; time < 2; time++) {
        struct store_verdicts *late = scene_judge(&scene, claim, 0, 4, OUTCOME_SUCCEEDED);
        for (size_t i = 0; i < late->count; i++)
            assert_int_equal(late->items[i].ret_verdict, VERDICT_OF_STALE);
        store_op_free(&late->op);
        assert_int_equal(scene_give_back(&scene, claim->ret_lease, NULL), -GALLOC_LEASE_LOST);
        bed_upkeep_all(&scene.bed);
    }
    store_op_free(&claim->op);
    scene_end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_by_age),
        cmocka_unit_test(test_many_by_age),
        cmocka_unit_test(test_retention),
        cmocka_unit_test(test_test_requests),
        cmocka_unit_test(test_leases),
    };
    return bed_run_suite(tests, ARRAY_COUNT(tests));
}
