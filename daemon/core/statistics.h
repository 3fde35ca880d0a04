/* The few statistics by which two runs are compared. Each says where its formula stands in print. Pure; any thread. */
#ifndef GALLOC_CORE_STATISTICS_H
#define GALLOC_CORE_STATISTICS_H

#include "base/util.h"

#include <stdbool.h>

struct stat_interval {
    double low, high;
};

/* The 95 % interval of a share of `hits` in `count`, by Wilson's score method: it stays within 0 and 1 and is sound for few
 * trials and for shares near 0 or 1, where the usual p ± 1.96·sqrt(p(1-p)/n) is not. E. B. Wilson 1927, "Probable inference,
 * the law of succession, and statistical inference", JASA 22:209-212; formula as in R. G. Newcombe 1998, Statistics in
 * Medicine 17:857-872, method 3. `hits` 0 to `count`. False, and nothing filled, where count is 0. */
bool stat_wilson(int64_t hits, int64_t count, struct stat_interval *ret_interval);

/* Cohen's kappa: agreement beyond what chance would give to two who choose independently, each with his own habits. 1: always
 * the same; 0: no more than chance. J. Cohen 1960, "A coefficient of agreement for nominal scales", Educational and
 * Psychological Measurement 20:37-46. `a` and `b` say how often each category was chosen by either side among `count` pairs, of which
 * `same` agree. NaN where it is not defined: no pairs, or both sides chose one and the same category throughout. */
double stat_kappa(int64_t same, const int64_t *a, const int64_t *b, size_t category_count, int64_t count);

/* Gini's coefficient of values that are not negative: 0, all alike; towards 1, one has all. Half the mean absolute difference
 * over the mean, by the sorted form of P. M. Dixon et al. 1987, "Bootstrapping the Gini coefficient of inequality", Ecology
 * 68:1548-1551: sum((2i - n - 1)·x_i) / (n·sum(x)), i from 1 in rising order. Sorts `values`. NaN without values or where all are 0. */
double stat_gini(double *values, size_t count);

/* McNemar's test of two who judged the same cases: do they err equally often? Only the cases count that one got right and the other did
 * not. Q. McNemar 1947, Psychometrika 12:153-157. With fewer than STAT_EXACT_BELOW such cases the exact two-sided
 * binomial test with 1/2 (A. Agresti, Categorical Data Analysis, 3rd ed. 2013, section 11.1); else chi-square of one degree of freedom
 * with A. L. Edwards' continuity correction (1948, Psychometrika 13:185-187): (|b - c| - 1)^2 / (b + c). */
#define STAT_EXACT_BELOW 25
enum stat_method { STAT_NO_TEST /* nobody was right alone */, STAT_EXACT, STAT_CHI_SQUARE };
struct stat_mcnemar {
    enum stat_method method;
    double chi_square; /* NaN but for STAT_CHI_SQUARE */
    double p;          /* that they differ so much by chance, where they err equally often; 1 for STAT_NO_TEST */
};
struct stat_mcnemar stat_mcnemar(int64_t only_a, int64_t only_b);

#endif
