/* What two runs are compared by. The formulas are held against figures that stand in print; the sums over pairs against a case small
 * enough to be counted by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* To the digits that the source prints. */
static void assert_near(double value, double wanted, double within)
{
    if (!(fabs(value - wanted) <= within))
        fail_msg("%.12g is not %.12g", value, wanted);
}

/* R. G. Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3. */
static void test_wilson(void **state)
{
    (void)state;
    static const struct {
        int64_t hits, count;
        double low, high;
    } printed[] = {{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0.0000, 0.1611}, {1, 29, 0.0061, 0.1718}};
    struct stat_interval interval = {-1, -1};
    for (size_t i = 0; i < ARRAY_COUNT(printed); i++) {
        assert_true(stat_wilson(printed[i].hits, printed[i].count, &interval));
        assert_near(interval.low, printed[i].low, 0.00005);
        assert_near(interval.high, printed[i].high, 0.00005);
    }
    assert_true(stat_wilson(20, 20, &interval));
    assert_near(interval.low, 1 - 0.1611, 0.00005);
    assert_true(interval.high == 1);
    assert_false(stat_wilson(0, 0, &interval));
    assert_true(interval.high == 1); /* untouched */
}

/* J. L. Fleiss, J. Cohen, B. S. Everitt 1969, Psychological Bulletin 72:323-327: 200 cases, three categories, kappa .429. */
static void test_kappa(void **state)
{
    (void)state;
    static const int64_t rows[] = {120, 60, 20}, columns[] = {130, 50, 20}, all[] = {200, 0, 0};
    assert_near(stat_kappa(106 + 28 + 6, rows, columns, 3, 200), 0.429, 0.0005);
    assert_near(stat_kappa(200, rows, rows, 3, 200), 1, 1e-15);
    assert_true(isnan(stat_kappa(200, all, all, 3, 200)));
    assert_near(stat_kappa(120, rows, all, 3, 200), 0, 1e-15);
    assert_true(isnan(stat_kappa(0, rows, rows, 3, 0)));
}

/* The ten incomes of the manual of R's package ineq (A. Zeileis): ineq(x) is 0.4620911. */
static void test_gini(void **state)
{
    (void)state;
    double incomes[] = {22261, 541, 1463, 11904, 2445, 3438, 8304, 4437, 5401, 6392}, alike[] = {7, 7, 7}, one[] = {0, 0, 0, 5};
    double nothing[] = {0, 0};
    assert_near(stat_gini(incomes, 10), 0.4620911, 0.00000005);
    assert_near(stat_gini(alike, 3), 0, 1e-15);
    assert_near(stat_gini(one, 4), 0.75, 1e-15);
    assert_true(isnan(stat_gini(nothing, 2)));
    assert_true(isnan(stat_gini(nothing, 0)));
}

/* 40 and 12, as R's mcnemar.test() has it: chi-squared 14.019, p 0.000181. The exact ones are sums of binomial coefficients over 2^n. */
static void test_mcnemar(void **state)
{
    (void)state;
    struct stat_mcnemar test = stat_mcnemar(40, 12);
    assert_int_equal(test.method, STAT_CHI_SQUARE);
    assert_near(test.chi_square, 14.019, 0.0005);
    assert_near(test.p, 0.000181, 0.0000005);
    assert_near(stat_mcnemar(12, 40).p, test.p, 0);
    test = stat_mcnemar(1, 11);
    assert_int_equal(test.method, STAT_EXACT);
    assert_true(isnan(test.chi_square));
    assert_near(test.p, 2. * (1 + 12) / 4096, 1e-15);
    assert_near(stat_mcnemar(10, 2).p, 2. * (1 + 12 + 66) / 4096, 1e-15);
    assert_near(stat_mcnemar(3, 3).p, 1, 0);
    assert_int_equal(stat_mcnemar(12, 12).method, STAT_EXACT);
    assert_int_equal(stat_mcnemar(12, 13).method, STAT_CHI_SQUARE);
    assert_near(stat_mcnemar(13, 13).p, 1, 0); /* the correction takes nothing below 0 */
    assert_int_equal(stat_mcnemar(0, 0).method, STAT_NO_TEST);
    assert_near(stat_mcnemar(0, 0).p, 1, 0);
}

/* ---- pairs ---- */

static const struct compare_fact pending = {.state = ASSIGNMENT_PENDING, .confidence = NAN, .latency_ms = -1, .by = COMPARE_BY_OTHER};

static struct compare_fact given(int64_t agent, double confidence)
{
    return (struct compare_fact){ASSIGNMENT_SUCCEEDED, agent, confidence, 100, COMPARE_BY_MODEL};
}

static void add(struct compare *compare, struct compare_fact a, struct compare_fact b, const char *truth)
{
    compare_add_pair(compare, (struct compare_fact[SIDE_COUNT]){a, b}, (struct compare_truth){truth, truth ? strlen(truth) : 0});
}

/* The sides number their agents differently; "x" is of A's pool alone. */
static struct compare *two_pools(void)
{
    struct compare *compare = compare_new();
    static const struct {
        enum compare_side side;
        struct compare_agent agent;
    } agents[] = {
        {SIDE_A, {11, "ann", 10, 4, true, true}}, {SIDE_A, {12, "bob", 5, 5, true, true}},   {SIDE_A, {13, "x", 0, 0, true, true}},
        {SIDE_B, {23, "ann", 10, 2, true, true}}, {SIDE_B, {21, "bob", -1, 6, true, true}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(agents); i++)
        compare_add_agent(compare, agents[i].side, &agents[i].agent);
    return compare;
}

static void test_pairs(void **state)
{
    (void)state;
    struct compare *compare = two_pools();
    add(compare, given(11, 0.9), given(23, 0.8), "ann");
    add(compare, given(11, 0.7), given(21, NAN), "bob");
    add(compare, given(11, 0.5), given(21, 0.6), "nobody");
    add(compare, given(12, NAN), given(23, 0.4), NULL);
    add(compare, given(12, 0.3), pending, "bob");
    add(compare, pending, given(21, 1), NULL);
    add(compare, pending, pending, "ann");
    compare_add_lone(compare);
    const struct compare_figures *figures = compare_finish(compare);
    assert_int_equal(figures->common_count, 7);
    assert_int_equal(figures->only_a_count, 1);
    assert_int_equal(figures->both_count, 4);
    assert_int_equal(figures->same_count, 1);
    assert_int_equal(figures->only_allocated[SIDE_A], 1);
    assert_int_equal(figures->only_allocated[SIDE_B], 1);
    assert_int_equal(figures->neither_count, 1);
    assert_near(figures->agreement, 0.25, 1e-15);
    assert_near(figures->kappa, (0.25 - 0.5) / (1 - 0.5), 1e-15); /* both chose each agent: A 3 + 1, B 2 + 2 */
    assert_int_equal(figures->move_count, 2);
    assert_string_equal(figures->moves[0].from, "ann");
    assert_string_equal(figures->moves[0].to, "bob");
    assert_int_equal(figures->moves[0].count, 2);
    assert_string_equal(figures->moves[1].from, "bob");
    assert_int_equal(figures->common_agents, 2);
    assert_int_equal(figures->only_agents[SIDE_A], 1);
    assert_int_equal(figures->only_agents[SIDE_B], 0);
    const struct compare_side_figures *a = &figures->sides[SIDE_A], *b = &figures->sides[SIDE_B];
    assert_int_equal(a->states[ASSIGNMENT_SUCCEEDED], 5);
    assert_int_equal(b->states[ASSIGNMENT_PENDING], 2);
    assert_int_equal(a->by[COMPARE_BY_MODEL], 5);
    assert_int_equal(a->confidence.count, 4);
    assert_near(a->confidence.mean, 0.6, 1e-15);
    assert_near(a->confidence_different.mean, 0.6, 1e-15);
    assert_near(b->confidence_same.mean, 0.8, 1e-15);
    assert_int_equal(b->confidence_different.count, 2);
    assert_near(a->latency_ms.mean, 100, 1e-15);
    const struct compare_truths *truths = &figures->truths;
    assert_int_equal(truths->told_count, 5);
    assert_int_equal(truths->unknown_count, 1);
    assert_string_equal(truths->unknown_example, "nobody");
    assert_int_equal(truths->judged_count, 3);
    assert_int_equal(truths->right[SIDE_A], 1);
    assert_int_equal(truths->right[SIDE_B], 2);
    assert_int_equal(truths->right_both, 1);
    assert_int_equal(truths->right_only[SIDE_B], 1);
    assert_int_equal(truths->wrong_both, 1);
    compare_free(compare);
}

/* Who can be given nothing says nothing of fairness; who has no limit has no use. */
static void test_balance(void **state)
{
    (void)state;
    struct compare *compare = two_pools();
    const struct compare_figures *figures = compare_finish(compare);
    const struct compare_balance *a = &figures->sides[SIDE_A].balance, *b = &figures->sides[SIDE_B].balance;
    assert_int_equal(a->agent_count, 3);
    assert_int_equal(a->counted_count, 2); /* not "x" */
    assert_int_equal(a->zero_capacity_count, 1);
    assert_int_equal(a->full_count, 1);
    assert_int_equal(a->load_total, 9);
    assert_string_equal(a->highest_agent, "bob");
    assert_near(a->highest_to_mean, 5 / 4.5, 1e-15);
    assert_near(a->load_gini, 1. / 18, 1e-15); /* 4 and 5: (-4 + 5) / (2 * 9) */
    assert_near(a->use_gini, (1 - 0.4) / (2 * 1.4), 1e-15);
    assert_int_equal(a->capacity_left, 6);
    assert_int_equal(b->unlimited_count, 1);
    assert_int_equal(b->capacity_left, -1);
    assert_near(b->use_gini, 0, 1e-15); /* of one alone */
    assert_true(isnan(figures->agreement));
    assert_true(isnan(figures->kappa));
    compare_free(compare);
}

/* What others hold in a ledger that is shared is not this run's doing. */
static void test_shared_ledger(void **state)
{
    (void)state;
    struct compare *compare = two_pools();
    compare_share_ledger(compare, SIDE_A);
    add(compare, given(11, 1), given(23, 1), NULL);
    const struct compare_balance *a = &compare_finish(compare)->sides[SIDE_A].balance;
    assert_int_equal(a->load_total, 1);
    assert_int_equal(a->counted_count, 2);
    assert_int_equal(a->full_count, 0);
    assert_int_equal(a->capacity_left, -1);
    compare_free(compare);
}

/* More moves than the table begins with; none is lost or counted twice when it grows. */
static void test_many_moves(void **state)
{
    (void)state;
    enum { AGENTS = 120 };
    struct compare *compare = compare_new();
    for (int side = 0; side < SIDE_COUNT; side++)
        for (int i = AGENTS; i >= 1; i--) {
            char name[24];
            snprintf(name, sizeof name, "agent-%03d", i);
            compare_add_agent(compare, (enum compare_side)side, &(struct compare_agent){i, name, -1, 0, true, true});
        }
    for (int times = 0; times < 2; times++)
        for (int from = 1; from <= AGENTS; from++)
            for (int to = 1; to <= AGENTS; to++)
                add(compare, given(from, 1), given(to, 1), NULL);
    const struct compare_figures *figures = compare_finish(compare);
    assert_int_equal(figures->move_count, AGENTS * (AGENTS - 1));
    for (size_t i = 0; i < figures->move_count; i++)
        assert_int_equal(figures->moves[i].count, 2);
    assert_string_equal(figures->moves[0].from, "agent-001");
    assert_string_equal(figures->moves[0].to, "agent-002");
    assert_int_equal(figures->same_count, 2 * AGENTS);
    assert_near(figures->kappa, 0, 1e-12);
    compare_free(compare);
}

static void test_by(void **state)
{
    (void)state;
    for (int by = 0; by < COMPARE_BY_COUNT; by++)
        assert_int_equal(compare_by_of(compare_by_names[by], strlen(compare_by_names[by])), by);
    assert_int_equal(compare_by_of("modeling", 8), COMPARE_BY_OTHER);
    assert_int_equal(compare_by_of("model", 4), COMPARE_BY_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wilson),      cmocka_unit_test(test_kappa),      cmocka_unit_test(test_gini),
        cmocka_unit_test(test_mcnemar),     cmocka_unit_test(test_pairs),      cmocka_unit_test(test_balance),
        cmocka_unit_test(test_shared_ledger), cmocka_unit_test(test_many_moves), cmocka_unit_test(test_by),
    };
    return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
