/* See statistics.h, which names the sources. */
#include "core/statistics.h"

#include <math.h>
#include <stdlib.h>

#define Z_95 1.959963984540054 /* the normal distribution's 97.5 % point */

bool stat_wilson(int64_t hits, int64_t count, struct stat_interval *ret_interval)
{
    if (count <= 0)
        return false;
    double n = (double)count, p = (double)hits / n, z2 = Z_95 * Z_95;
    double middle = p + z2 / (2 * n), half = Z_95 * sqrt(p * (1 - p) / n + z2 / (4 * n * n)), scale = 1 + z2 / n;
    /* At the ends the formula gives 0 and 1 but for rounding. */
    ret_interval->low = hits == 0 ? 0 : (middle - half) / scale;
    ret_interval->high = hits == count ? 1 : (middle + half) / scale;
    return true;
}

double stat_kappa(int64_t same, const int64_t *a, const int64_t *b, size_t category_count, int64_t count)
{
    if (count <= 0)
        return NAN;
    double n = (double)count, expected = 0;
    for (size_t i = 0; i < category_count; i++) {
        if (a[i] == count && b[i] == count)
            return NAN; /* no choice was made that could have differed */
        expected += (double)a[i] / n * ((double)b[i] / n);
    }
    return ((double)same / n - expected) / (1 - expected);
}

static int compare_values(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

double stat_gini(double *values, size_t count)
{
    double sum = 0, weighted = 0;
    if (count == 0)
        return NAN;
    qsort(values, count, sizeof *values, compare_values);
    for (size_t i = 0; i < count; i++) {
        sum += values[i];
        weighted += (2 * (double)(i + 1) - (double)count - 1) * values[i];
    }
    return sum > 0 ? weighted / ((double)count * sum) : NAN;
}

/* Twice the smaller tail of the binomial distribution with 1/2, at most 1. `count` is small: 2^count is exact. */
static double two_sided_binomial(int64_t hits, int64_t count)
{
    double term = 1, tail = 1;
    for (int64_t i = 0; i < hits; i++) {
        term = term * (double)(count - i) / (double)(i + 1);
        tail += term;
    }
    return fmin(1, 2 * tail / ldexp(1, (int)count));
}

struct stat_mcnemar stat_mcnemar(int64_t only_a, int64_t only_b)
{
    int64_t count = only_a + only_b;
    struct stat_mcnemar test = {.method = STAT_NO_TEST, .chi_square = NAN, .p = 1};
    if (count == 0)
        return test;
    if (count < STAT_EXACT_BELOW) {
        test.method = STAT_EXACT;
        test.p = two_sided_binomial(min_i64(only_a, only_b), count);
        return test;
    }
    double distance = fmax(fabs((double)(only_a - only_b)) - 1, 0);
    test.method = STAT_CHI_SQUARE;
    test.chi_square = distance * distance / (double)count;
    test.p = erfc(sqrt(test.chi_square / 2)); /* the upper tail of chi-square with one degree of freedom */
    return test;
}
