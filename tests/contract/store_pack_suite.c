/* Calls that carry several attempts: how a claim packs rows, what the call's row and the sums hold of them, what a new life and a purge make of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/contract/store_purge_bed.h"

#include <string.h>

static struct store_claim *claim_packs(struct bed *bed, int64_t run, int max, int max_calls, int pack, int64_t pack_bytes)
{
    struct store_claim *claim = make_claim(run, max, NULL, NULL);
    claim->max_calls = max_calls;
    claim->pack = pack;
    claim->pack_bytes = pack_bytes;
    assert_int_equal(bed_do(bed, &claim->op), 0);
    return claim;
}

/* The sizes of the claim's calls, as "3+3+1"; fails where the rows of a call do not stand together. */
static const char *sizes_of(const struct store_claim *claim)
{
    static char text[256];
    size_t at = 0;
    text[0] = '\0';
    for (size_t from = 0, to; from < claim->ret_count; from = to) {
        for (to = from; to < claim->ret_count && claim->ret_rows[to].call == claim->ret_rows[from].call; to++)
            ;
        for (size_t i = to; i < claim->ret_count; i++)
            assert_int_not_equal(claim->ret_rows[i].call, claim->ret_rows[from].call);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%zu", from > 0 ? "+" : "", to - from);
    }
    return text;
}

/* Ends the claim's rows as one call's, with so many of its tokens and so much of its cost. */
static struct store_settle *settle_pack(const struct store_claim *claim, enum settle_move move, enum outcome_class class, const struct store_pool *pool)
{
    struct store_settle *settle = make_settle(claim, 0, claim->ret_count, move, class, pool, NULL, NULL);
    for (size_t i = 0; i < settle->count; i++) {
        settle->items[i].part = (int32_t)i;
        settle->items[i].part_count = (int32_t)settle->count;
        settle->items[i].call_class = OUTCOME_SUCCEEDED;
        settle->items[i].tokens[TOKEN_IN] = 1000;
        settle->items[i].tokens[TOKEN_OUT] = 50;
        settle->items[i].tokens[TOKEN_THOUGHT] = 3;
        settle->items[i].cost_micros = 70;
    }
    return settle;
}

static void test_claim(void **state)
{
    (void)state;
    static const struct {
        int max, max_calls, pack;
        int64_t pack_bytes;
        const char *sizes;
    } rows[] = {
        {7, 0, 0, 0, "1+1+1+1+1+1+1"}, {7, 0, 1, 0, "1+1+1+1+1+1+1"}, {7, 0, 3, 0, "3+3+1"}, {10, 2, 3, 0, "3+3"}, {4, 9, 3, 0, "3+1"},
        {10, 1, 100, 0, "10"},         {7, 0, 3, 1, "1+1+1+1+1+1+1"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct bed bed;
        bed_begin(&bed, bed_engine);
        int64_t run = bed_run(&bed, 10, 1, -1, NULL);
        struct store_claim *claim = claim_packs(&bed, run, rows[i].max, rows[i].max_calls, rows[i].pack, rows[i].pack_bytes);
        assert_string_equal(sizes_of(claim), rows[i].sizes);
        bed_check(&bed);
        store_op_free(&claim->op);
        bed_end(&bed);
    }
}

/* Two fit into a call and three do not. */
static void test_claim_by_bytes(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 6, 1, -1, NULL);
    struct store_claim *one = bed_claim(&bed, run, 1);
    int64_t bytes = (int64_t)(strlen(one->ret_rows[0].key) + strlen(one->ret_rows[0].fields));
    struct store_claim *claim = claim_packs(&bed, run, 5, 0, 5, 2 * bytes + bytes / 2);
    assert_string_equal(sizes_of(claim), "2+2+1");
    store_op_free(&one->op);
    store_op_free(&claim->op);
    bed_end(&bed);
}

/* What failed in packs goes alone or with fewer: the store keeps it, also over a restart. */
static void test_pack_most(void **state)
{
    (void)state;
    static const int32_t most[] = {0, 1, 2, 2, 0, 0};
    struct bed bed;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 8, 1, -1, NULL);
    struct store_claim *claim = claim_packs(&bed, run, 6, 1, 6, 0);
    struct store_settle *settle = settle_pack(claim, MOVE_PENDING, OUTCOME_INVALID_ANSWER, NULL);
    for (size_t i = 0; i < settle->count; i++)
        settle->items[i].pack_most = most[i];
    assert_int_equal(bed_do_free(&bed, &settle->op), 0);
    store_op_free(&claim->op);
    bed_close(&bed);
    bed_open(&bed);
    claim = claim_packs(&bed, run, 8, 0, 6, 0); /* the second goes alone: a later claim's, as the first begins a pack */
    assert_string_equal(sizes_of(claim), "2+2+3");
    assert_int_equal(claim->ret_rows[1].pack_most, 2);
    assert_string_equal(claim->ret_rows[1].key, "K000003");
    store_op_free(&claim->op);
    claim = claim_packs(&bed, run, 8, 0, 6, 0);
    assert_string_equal(sizes_of(claim), "1");
    assert_int_equal(claim->ret_rows[0].pack_most, 1);
    bed_check(&bed);
    store_op_free(&claim->op);
    bed_end(&bed);
}

/* A figure of the row's first attempt. */
static int64_t figure_of(struct bed *bed, int64_t run, const char *key, enum attempt_column column)
{
    struct store_read *read = bed_read(bed, QUERY_ATTEMPTS, run, 0, key);
    assert_true(read->ret_row_count > 0);
    int64_t figure = read->ret_cells[column].integer;
    store_op_free(&read->op);
    return figure;
}

/* The call is counted once; its tokens and cost are split by floor, the remainder is the first's. */
static void test_settle(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 3, 1, -1, &pool);
    struct store_claim *claim = claim_packs(&bed, run, 3, 1, 3, 0);
    struct store_settle *settle = settle_pack(claim, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool);
    settle->items[1].move = MOVE_PENDING;
    settle->items[1].class = OUTCOME_INVALID_ANSWER;
    assert_int_equal(bed_do_free(&bed, &settle->op), 0);
    assert_int_equal(bed.run.counts[COUNT_CALLS], 1);
    assert_int_equal(bed.run.counts[COUNT_CLASS + OUTCOME_SUCCEEDED], 2);
    assert_int_equal(bed.run.counts[COUNT_CLASS + OUTCOME_INVALID_ANSWER], 1);
    assert_int_equal(bed.run.counts[COUNT_TOKEN + TOKEN_IN], 1000);
    assert_int_equal(bed.run.counts[COUNT_COST_MICROS], 70);
    for (size_t i = 0; i < 3; i++) {
        const char *key = claim->ret_rows[i].key;
        assert_int_equal(figure_of(&bed, run, key, ATTEMPT_TOKENS_IN), i == 0 ? 334 : 333);
        assert_int_equal(figure_of(&bed, run, key, ATTEMPT_TOKENS_OUT) + figure_of(&bed, run, key, ATTEMPT_TOKENS_THOUGHT), i == 0 ? 19 : 17);
        assert_int_equal(figure_of(&bed, run, key, ATTEMPT_COST_MICROS), i == 0 ? 24 : 23);
        assert_int_equal(figure_of(&bed, run, key, ATTEMPT_PACK), 3);
    }
    bed_check(&bed);
    bed_close(&bed);
    bed_open(&bed);
    assert_int_equal(bed.image.sums_count, 1);
    assert_int_equal(bed.image.sums[0].counts[COUNT_CALLS], 1);
    assert_int_equal(bed.image.sums[0].counts[COUNT_CLASS + OUTCOME_SUCCEEDED], 1);
    assert_int_equal(bed.image.sends[0].day_calls, 1);
    store_op_free(&claim->op);
    store_pool_clear(&pool);
    bed_end(&bed);
}

/* Unsent, or left by some of its attempts before it was sent: the row of the call ends with the last of them, as released, and counts for nothing. */
static void test_release(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 3, 1, -1, &pool);
    struct store_claim *claim = claim_packs(&bed, run, 3, 1, 3, 0);
    struct store_settle *left = make_settle(claim, 0, 1, MOVE_FAIL, OUTCOME_NO_CANDIDATE, &pool, NULL, NULL);
    left->items[0].call = 0;
    left->items[0].has_call_result = false;
    assert_int_equal(bed_do_free(&bed, &left->op), 0);
    bed_check(&bed);
    struct store_release *release = store_op_new(OP_RELEASE, NULL, NULL);
    release->items = xcalloc(2, sizeof *release->items);
    release->count = 2;
    for (size_t i = 0; i < 2; i++)
        release->items[i] = (struct release_item){.run = run, .assignment = claim->ret_rows[i + 1].assignment, .lease = claim->ret_lease,
                                                  .call = claim->ret_rows[i + 1].call, .n = 1};
    assert_int_equal(bed_do_free(&bed, &release->op), 0);
    bed_check_states(&bed, 2, 0, 0, 1);
    assert_int_equal(bed.run.counts[COUNT_CALLS], 0);
    bed_check(&bed);
    store_op_free(&claim->op);
    store_pool_clear(&pool);
    bed_end(&bed);
}

/* A life that ends with packs under way: each of their calls is lost once. */
static void test_lost(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 8, 1, -1, NULL);
    struct store_claim *claim = claim_packs(&bed, run, 7, 0, 3, 0);
    assert_string_equal(sizes_of(claim), "3+3+1");
    bed_close(&bed);
    bed_open(&bed);
    assert_int_equal(bed.image.recovered_lost, 3);
    assert_int_equal(bed.image.runs[0].counts[COUNT_CALLS], 3);
    assert_int_equal(bed.image.runs[0].counts[COUNT_CLASS + OUTCOME_LOST], 7);
    assert_int_equal(bed.image.sums[0].counts[COUNT_CALLS], 3);
    assert_int_equal(bed.image.sums[0].counts[COUNT_CLASS + OUTCOME_LOST], 3);
    assert_int_equal(bed.image.sends[0].day_calls, 3);
    bed_check(&bed);
    store_op_free(&claim->op);
    bed_end(&bed);
}

/* A purge deletes rows in pieces: a call whose attempts stand in two of them is counted once, whether it is kept for the endpoint's limits or goes. */
static void test_purge(void **state)
{
    (void)state;
    for (int is_old = 0; is_old < 2; is_old++) {
        struct bed bed;
        struct store_pool pool;
        struct store_upkeep *upkeep = bed_upkeep_op();
        clock_fake(5000000, WALL_MS);
        bed_begin(&bed, bed_engine);
        int64_t run = bed_run(&bed, 100, 1, -1, &pool);
        struct store_claim *claim = claim_packs(&bed, run, 100, 0, 100, 0);
        assert_string_equal(sizes_of(claim), "100");
        assert_int_equal(bed_do_free(&bed, &settle_pack(claim, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool)->op), 0);
        clock_fake_advance_ms(is_old * DAY_MS);
        assert_int_equal(bed_purge(&bed, run, false), 0);
        int steps = 1;
        for (; bed_upkeep_once(&bed, upkeep, 0); steps++)
            bed_check(&bed);
        assert_true(steps > 2);
        bed_check(&bed);
        bed_close(&bed);
        bed_open(&bed);
        assert_int_equal(bed.image.sums[0].counts[COUNT_CALLS], 1);
        store_op_free(&upkeep->op);
        store_op_free(&claim->op);
        store_pool_clear(&pool);
        bed_end(&bed);
        clock_real();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claim), cmocka_unit_test(test_claim_by_bytes), cmocka_unit_test(test_pack_most), cmocka_unit_test(test_settle),
        cmocka_unit_test(test_release), cmocka_unit_test(test_lost), cmocka_unit_test(test_purge),
    };
    return bed_run_suite(tests, ARRAY_COUNT(tests));
}
