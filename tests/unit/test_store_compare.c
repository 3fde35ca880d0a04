/* Two runs beside each other as the store reads them: pairs by key, over many turns, with what is corrupt left out; and the rows that differ, page by page. */
#include "tests/unit/store_rig.h"

#include "core/compare.h"

#include <math.h>
#include <stdlib.h>

static struct store_read *comparison(struct rig *rig, enum store_query query, int64_t a, int64_t b, const char *truth, int64_t after, int32_t limit)
{
    struct store_read *read = rig_op(OP_READ);
    read->query = query;
    read->run = a;
    read->other = b;
    read->truth = xstrdup(truth);
    read->after = after;
    read->limit = limit;
    rig_do(rig, &read->op);
    return read;
}

static void succeed(struct rig *rig, int64_t run, int count, int64_t agent_offset)
{
    int64_t ledger = 0, agent = 0;
    rig_seat(rig, run, &ledger, &agent);
    struct store_claim *claim = rig_claim(rig, run, count);
    assert_int_equal(rig_succeed(rig, claim, ledger, agent + agent_offset), VERDICT_DONE);
    store_op_free(&claim->op);
}

/* Of the same ten keys, A gives the first six to a0; B the first two to a1 and the next four to a0. */
static void two_runs(struct rig *rig, int64_t *ret_a, int64_t *ret_b)
{
    *ret_a = rig_run(rig, "a", 2, 50);
    *ret_b = rig_run(rig, "b", 2, 50);
    rig_import(rig, *ret_a, 1, "K", 10);
    rig_import(rig, *ret_b, 1, "K", 10);
    assert_int_equal(rig_commit(rig, *ret_a, 1), 0);
    assert_int_equal(rig_commit(rig, *ret_b, 1), 0);
    succeed(rig, *ret_a, 6, 0);
    succeed(rig, *ret_b, 2, 1);
    succeed(rig, *ret_b, 4, 0);
}

static void test_pairs(void **state)
{
    struct rig *rig = *state;
    int64_t a = 0, b = 0;
    two_runs(rig, &a, &b);
    struct store_read *read = comparison(rig, QUERY_COMPARE, a, b, "Region", 0, 100);
    assert_int_equal(read->op.code, 0);
    const struct compare_figures *figures = compare_finish(read->ret_compare);
    assert_int_equal(figures->common_count, 10);
    assert_int_equal(figures->only_a_count, 0);
    assert_int_equal(figures->both_count, 6);
    assert_int_equal(figures->same_count, 4);
    assert_int_equal(figures->neither_count, 4);
    assert_int_equal(figures->move_count, 1);
    assert_string_equal(figures->moves[0].from, "a0");
    assert_string_equal(figures->moves[0].to, "a1");
    assert_int_equal(figures->sides[SIDE_A].balance.load_highest, 6);
    assert_int_equal(figures->sides[SIDE_B].balance.load_highest, 4);
    assert_true(fabs(figures->sides[SIDE_A].confidence.mean - 0.75) < 1e-12);
    assert_int_equal(figures->truths.told_count, 10); /* "north" and "south": nobody's name */
    assert_int_equal(figures->truths.unknown_count, 10);
    assert_int_equal(read->ret_row_count, 2);
    assert_int_equal(read->ret_runs[1].counts[COUNT_STATE + ASSIGNMENT_SUCCEEDED], 6);
    store_op_free(&read->op);
}

/* Pages of one row each come to the same list, in order; a reason that does not match its digest is not shown. */
static void test_diff(void **state)
{
    struct rig *rig = *state;
    int64_t a = 0, b = 0, after = 0;
    two_runs(rig, &a, &b);
    rig_close(rig);
    rig_sql(rig, "UPDATE result SET body = replace(body, 'near', 'NEAR') WHERE assignment = (SELECT min(id) FROM assignment)");
    rig_open(rig);
    int count = 0;
    do {
        struct store_read *read = comparison(rig, QUERY_DIFF, a, b, NULL, after, 1);
        assert_int_equal(read->op.code, 0);
        for (size_t i = 0; i < read->ret_row_count; i++, count++) {
            char key[16];
            snprintf(key, sizeof key, "K%06d", count);
            assert_string_equal(read_text(read, i, DIFF_KEY), key);
            assert_string_equal(read_text(read, i, DIFF_AGENT_A), "a0");
            assert_string_equal(read_text(read, i, DIFF_AGENT_B), "a1");
            assert_string_equal(read_text(read, i, DIFF_REASON_B), "near \"north\"");
            if (count == 0) {
                assert_null(read_text(read, i, DIFF_REASON_A));
                assert_string_equal(read_text(read, i, DIFF_CORRUPT), "result");
            } else {
                assert_null(read_text(read, i, DIFF_CORRUPT));
            }
        }
        after = read->ret_next;
        store_op_free(&read->op);
    } while (after != 0);
    assert_int_equal(count, 2);
}

static void test_refused(void **state)
{
    struct rig *rig = *state;
    int64_t a = 0, b = 0;
    two_runs(rig, &a, &b);
    struct store_read *read = comparison(rig, QUERY_COMPARE, a, b, "regoin", 0, 100);
    assert_int_equal(read->op.code, -GALLOC_INVALID_INPUT);
    assert_non_null(strstr(read->op.error.message, "did you mean \"region\""));
    assert_null(read->ret_compare);
    store_op_free(&read->op);
    read = comparison(rig, QUERY_COMPARE, a, b + 77, NULL, 0, 100);
    assert_int_equal(read->op.code, -GALLOC_NOT_FOUND);
    store_op_free(&read->op);
    int64_t importing = rig_run(rig, "c", 2, 50);
    read = comparison(rig, QUERY_COMPARE, a, importing, NULL, 0, 100);
    assert_int_equal(read->op.code, -GALLOC_WRONG_STATE);
    store_op_free(&read->op);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pairs, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_diff, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(test_refused, rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests_name("store: compare", tests, NULL, NULL);
}
