/* What every engine keeps when a run is purged: it is gone at once, nothing else is touched, every recount agrees after each step, places stay or are given back,
 * and a new life goes on with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/contract/store_purge_bed.h"

#include <string.h>

#define ROWS 300

/* ---- marked ---- */
static void test_gone_at_once(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_done_run(&bed, ROWS, NULL), other = bed_done_run(&bed, 10, NULL);
    char run_id[RUN_ID_BYTES];
    struct store_purge *op = bed_purge_op(run, false);
    assert_int_equal(bed_do(&bed, &op->op), 0);
    assert_true(bed.run.id == run && bed.run.is_purged);
    assert_int_equal(op->ret_count, 1);
    assert_int_equal(op->ret_runs[0].row_count, ROWS);
    memcpy(run_id, op->ret_runs[0].run_id, sizeof run_id);
    store_op_free(&op->op);
    static const enum store_query queries[] = {QUERY_RUN, QUERY_PARTS, QUERY_ASSIGNMENTS, QUERY_RESULTS, QUERY_FAILURES, QUERY_LOAD};
    for (size_t i = 0; i < ARRAY_COUNT(queries); i++)
        assert_int_equal(bed_read_code(&bed, queries[i], run, NULL), -GALLOC_NOT_FOUND);
    assert_int_equal(bed_read_code(&bed, QUERY_RUN, 0, run_id), -GALLOC_NOT_FOUND);
    struct store_read *last = bed_read(&bed, QUERY_RUN, 0, 0, "@last"), *list = bed_read(&bed, QUERY_RUNS, 0, 0, NULL);
    assert_int_equal(last->ret_runs[0].id, other);
    assert_int_equal(list->ret_row_count, 1);
    struct store_read *audit = bed_read(&bed, QUERY_AUDIT, 0, 0, run_id);
    assert_string_equal(read_text(audit, 0, AUDIT_VERB), "run_purge");
    assert_non_null(strstr(read_text(audit, 0, AUDIT_DETAIL), "\"succeeded\":150,\"failed\":150"));
    store_op_free(&last->op);
    store_op_free(&list->op);
    store_op_free(&audit->op);
    assert_int_equal(bed_purge(&bed, run, false), -GALLOC_NOT_FOUND);
    struct store_sweep *retry = store_op_new(OP_SWEEP, NULL, NULL);
    *retry = (struct store_sweep){.op = retry->op, .run = run, .verb = SWEEP_RETRY, .selector.is_all = true};
    assert_int_equal(bed_do_free(&bed, &retry->op), -GALLOC_NOT_FOUND);
    bed_check(&bed);
    bed_end(&bed);
}

static void check_refused(struct bed *bed, int64_t run, const char *words)
{
    struct store_purge *op = bed_purge_op(run, false);
    assert_int_equal(bed_do(bed, &op->op), -GALLOC_WRONG_STATE);
    if (strstr(op->op.error.message, words) == NULL)
        fail_msg("refused with: %s", op->op.error.message);
    store_op_free(&op->op);
}

static void cancel(struct bed *bed, int64_t run)
{
    struct store_sweep *op = store_op_new(OP_SWEEP, NULL, NULL);
    *op = (struct store_sweep){.op = op->op, .run = run, .verb = SWEEP_CANCEL, .selector.is_all = true, .is_by_person = true};
    assert_int_equal(bed_do_free(bed, &op->op), 0);
}

static void test_refused(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    assert_int_equal(bed_purge(&bed, 77, false), -GALLOC_NOT_FOUND);
    struct store_run_create *create = make_run(1, -1, NULL, NULL);
    assert_int_equal(bed_do(&bed, &create->op), 0);
    check_refused(&bed, create->ret_run.id, "gallocctl cancel");
    store_op_free(&create->op);
    int64_t run = bed_run(&bed, 20, 1, -1, NULL);
    struct store_claim *claim = bed_claim(&bed, run, 5);
    check_refused(&bed, run, "gallocctl wait");
    cancel(&bed, run);
    check_refused(&bed, run, "under way"); /* the answers of five calls are still to come, with their cost */
    assert_int_equal(bed_do_free(&bed, &make_settle(claim, 0, 5, MOVE_FAIL, OUTCOME_REJECTED, NULL, NULL, NULL)->op), 0);
    store_op_free(&claim->op);
    assert_int_equal(bed_purge(&bed, run, false), 0);
    assert_int_equal(bed_upkeep_all(&bed), 20);
    bed_check(&bed);
    bed_end(&bed);
}

/* ---- the rows ---- */
/* Step by step, with the doctor after each; nothing of another run moves. */
static void test_steps(void **state)
{
    (void)state;
    struct bed bed;
    struct store_upkeep *upkeep = bed_upkeep_op();
    clock_fake(5000000, WALL_MS);
    bed_begin(&bed, bed_engine);
    int64_t run = bed_done_run(&bed, ROWS, NULL), other = bed_done_run(&bed, 10, NULL), rows = 0;
    assert_int_equal(bed_purge(&bed, run, false), 0);
    int steps = 0;
    for (; bed_upkeep_once(&bed, upkeep, 0); steps++) {
        assert_true(upkeep->ret_row_count <= 64);
        rows += upkeep->ret_row_count;
        bed_check(&bed);
        if (upkeep->ret_gone[0] != '\0')
            assert_int_equal(rows, ROWS);
    }
    assert_true(steps >= 3);
    assert_int_equal(rows, ROWS);
    store_op_free(&upkeep->op);
    struct store_read *results = bed_read(&bed, QUERY_RESULTS, other, 0, NULL);
    assert_int_equal(results->ret_row_count, 10);
    store_op_free(&results->op);
    bed_check(&bed);
    bed_end(&bed);
    clock_real();
}

/* However short a step's time is, room that is free goes back to the file system, all of it. */
static void test_room_is_given_back(void **state)
{
    (void)state;
    struct bed bed;
    struct store_upkeep *upkeep = bed_upkeep_op();
    int64_t given = 0;
    clock_fake(5000000, WALL_MS);
    bed_begin(&bed, bed_engine);
    assert_int_equal(bed_purge(&bed, bed_done_run(&bed, 5000, NULL), false), 0);
    while (bed_upkeep_once(&bed, upkeep, 0))
        given += upkeep->ret_pages_given;
    given += upkeep->ret_pages_given;
    assert_true(given > 100);
    assert_false(bed_upkeep_once(&bed, upkeep, INT64_MAX));
    assert_int_equal(upkeep->ret_pages_given, 0);
    store_op_free(&upkeep->op);
    bed_end(&bed);
    clock_real();
}

/* A daemon that ends between two steps; one whose transaction is undone. */
static void test_goes_on(void **state)
{
    (void)state;
    struct bed bed;
    bool has_more;
    struct store_upkeep *upkeep = bed_upkeep_op();
    bed_begin(&bed, bed_engine);
    int64_t run = bed_done_run(&bed, ROWS, NULL), other = bed_done_run(&bed, 10, NULL);
    struct store_purge *undone = bed_purge_op(run, false);
    assert_int_equal(bed.ops->begin(bed.engine, INT64_MAX, NULL), 0);
    assert_int_equal(bed.ops->apply(bed.engine, &undone->op, &has_more, NULL), 0);
    assert_int_equal(bed.ops->apply(bed.engine, &upkeep->op, &has_more, NULL), 0); /* marked in this very transaction: it waits */
    assert_int_equal(upkeep->ret_row_count, 0);
    assert_true(upkeep->ret_has_more);
    bed.ops->rollback(bed.engine);
    assert_int_equal(bed_read_code(&bed, QUERY_RUN, run, NULL), 0);
    assert_int_equal(bed_upkeep_all(&bed), 0);
    assert_int_equal(bed_do(&bed, &undone->op), 0); /* the same operation anew, as after a failed commit */
    assert_int_equal(undone->ret_count, 1);
    store_op_free(&undone->op);
    assert_true(bed_upkeep_once(&bed, upkeep, 0));
    int64_t rows = upkeep->ret_row_count;
    bed_close(&bed);
    bed_open(&bed);
    assert_int_equal(bed.image.run_count, 1);
    assert_int_equal(bed.image.runs[0].id, other);
    assert_false(bed.image.has_more_runs);
    assert_int_equal(rows + bed_upkeep_all(&bed), ROWS);
    bed_check(&bed);
    store_op_free(&upkeep->op);
    bed_end(&bed);
}

/* The same input may be enqueued again, and the same Idempotency-Key makes another run; numbers never come back. */
static void test_made_again(void **state)
{
    (void)state;
    struct bed bed;
    int64_t last = 0, pool = 0;
    bed_begin(&bed, bed_engine);
    for (int time = 0; time < 3; time++) {
        struct store_run_create *create = make_run(1, -1, NULL, NULL);
        create->run.source_sha256 = xstrdup("s");
        create->idempotency_key = xstrdup("k");
        create->request_sha256 = xstrdup("r");
        assert_int_equal(bed_do(&bed, &create->op), 0);
        assert_int_equal(create->ret_how, RUN_NEW);
        assert_true(create->ret_run.id > last && create->ret_pool.id > pool);
        last = create->ret_run.id;
        pool = create->ret_pool.id;
        store_op_free(&create->op);
        cancel(&bed, last);
        assert_int_equal(bed_purge(&bed, last, false), 0);
        if (time > 0)
            bed_upkeep_all(&bed);
    }
    bed_check(&bed);
    bed_end(&bed);
}

/* ---- places ---- */
static void test_places_stay(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    int64_t base;
    bed_begin(&bed, bed_engine);
    bed_pool(&bed, &pool);
    int64_t run = bed_pool_run(&bed, ROWS, &pool), other = bed_pool_run(&bed, 100, &pool);
    assert_int_equal(bed_places(&bed, pool.id, &base), 200);
    assert_int_equal(base, 0);
    assert_int_equal(bed_purge(&bed, run, false), 0);
    assert_int_equal(bed_places(&bed, pool.id, &base), 200);
    assert_int_equal(bed_upkeep_all(&bed), ROWS);
    assert_int_equal(bed_places(&bed, pool.id, &base), 200);
    assert_int_equal(base, 150); /* of rows that are gone */
    bed_check(&bed);
    assert_int_equal(bed_purge(&bed, other, true), 0);
    struct store_upkeep *upkeep = bed_upkeep_op();
    bed_upkeep_once(&bed, upkeep, INT64_MAX);
    int64_t freed = 0;
    for (size_t i = 0; i < upkeep->ret_freed_count; i++) {
        assert_int_equal(upkeep->ret_freed[i].ledger, pool.ledger);
        freed += upkeep->ret_freed[i].count;
    }
    assert_int_equal(freed, 50);
    assert_int_equal(bed_places(&bed, pool.id, &base), 150);
    assert_int_equal(base, 150);
    store_op_free(&upkeep->op);
    bed_check(&bed);
    bed_close(&bed);
    bed_open(&bed);
    assert_int_equal(bed.image.pool_count, 1);
    store_pool_clear(&pool);
    bed_end(&bed);
}

static void pool_reset(struct bed *bed, const struct store_pool *pool)
{
    struct store_pool_reset *reset = store_op_new(OP_POOL_RESET, NULL, NULL);
    reset->pool = pool->id;
    assert_int_equal(bed_do_free(bed, &reset->op), 0);
}

/* What a reset gave back is not given back again, and nothing of a run that came after it. */
static void test_places_after_a_reset(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    int64_t base;
    bed_begin(&bed, bed_engine);
    bed_pool(&bed, &pool);
    int64_t run = bed_pool_run(&bed, 100, &pool);
    pool_reset(&bed, &pool);
    bed_check(&bed);
    int64_t later = bed_pool_run(&bed, 20, &pool);
    assert_int_equal(bed_places(&bed, pool.id, &base), 10);
    assert_int_equal(bed_purge(&bed, run, true), 0);
    assert_int_equal(bed_upkeep_all(&bed), 100);
    assert_int_equal(bed_places(&bed, pool.id, &base), 10);
    assert_int_equal(base, 0);
    bed_check(&bed);
    assert_int_equal(bed_purge(&bed, later, true), 0);
    assert_int_equal(bed_upkeep_all(&bed), 20);
    assert_int_equal(bed_places(&bed, pool.id, &base), 0);
    bed_check(&bed);
    store_pool_clear(&pool);
    bed_end(&bed);
}

/* A reset also gives back what rows that are gone had left taken; and rows that are still to go when it comes hold nothing. */
static void test_reset_amid_purges(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    int64_t base;
    clock_fake(5000000, WALL_MS);
    bed_begin(&bed, bed_engine);
    bed_pool(&bed, &pool);
    for (int is_release = 0; is_release < 2; is_release++) {
        struct store_upkeep *upkeep = bed_upkeep_op();
        int64_t run = bed_pool_run(&bed, ROWS, &pool);
        assert_int_equal(bed_purge(&bed, run, is_release), 0);
        assert_true(bed_upkeep_once(&bed, upkeep, 0));
        assert_true(upkeep->ret_row_count > 0 && upkeep->ret_row_count < ROWS);
        store_op_free(&upkeep->op);
        pool_reset(&bed, &pool);
        bed_check(&bed);
        run = bed_pool_run(&bed, 20, &pool);
        bed_upkeep_all(&bed);
        assert_int_equal(bed_places(&bed, pool.id, &base), 10);
        assert_int_equal(base, 0);
        bed_check(&bed);
        assert_int_equal(bed_purge(&bed, run, true), 0);
        bed_upkeep_all(&bed);
        assert_int_equal(bed_places(&bed, pool.id, &base), 0);
    }
    store_pool_clear(&pool);
    bed_end(&bed);
    clock_real();
}

/* A run's own pool goes with it. */
static void test_own_pool_goes(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool = {0};
    bed_begin(&bed, bed_engine);
    int64_t run = bed_done_run(&bed, 20, &pool);
    assert_int_equal(bed_purge(&bed, run, false), 0);
    bed_upkeep_all(&bed);
    struct store_agent_set *set = store_op_new(OP_AGENT_SET, NULL, NULL);
    set->pool = pool.id;
    set->agent_id = xstrdup("A1");
    set->capacity = 1;
    assert_int_equal(bed_do_free(&bed, &set->op), -GALLOC_NOT_FOUND);
    bed_check(&bed);
    store_pool_clear(&pool);
    bed_end(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gone_at_once),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_room_is_given_back),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_made_again),
        cmocka_unit_test(test_places_stay),
        cmocka_unit_test(test_places_after_a_reset),
        cmocka_unit_test(test_reset_amid_purges),
        cmocka_unit_test(test_own_pool_goes),
    };
    return bed_run_suite(tests, ARRAY_COUNT(tests));
}
