/* See budget.h. */
#include "core/budget.h"

#include "base/negative.h"

static int64_t sum_of(int64_t a, int64_t b)
{
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

int64_t budget_call_most(const struct price *price, int64_t body_bytes, int64_t earlier_tokens, int64_t output_tokens)
{
    struct price dearest = *price; /* whatever a cache has of it */
    dearest.in_micros = dearest.cached_in_micros = max_i64(price->in_micros, price->cached_in_micros);
    const int64_t tokens[5] = {sum_of(max_i64(body_bytes, 0), max_i64(earlier_tokens, 0)), 0, max_i64(output_tokens, 0), 0, 0};
    return price_of_tokens(&dearest, tokens);
}

int64_t budget_needed(const struct budget *budget, int64_t micros)
{
    return sum_of(sum_of(budget->spent_micros, budget->reserved_micros), micros);
}

bool budget_fits(const struct budget *budget, int64_t micros)
{
    if (BREAKS(OVERSPENDS))
        return budget->max_micros < 0 || budget->spent_micros < budget->max_micros;
    return budget->max_micros < 0 || budget_needed(budget, micros) <= budget->max_micros;
}

int64_t budget_kept(int64_t reserved_micros, int64_t cost_micros, bool was_sent, int http_status)
{
    bool was_refused = http_status != 0 && (http_status < 200 || http_status >= 300);
    return cost_micros >= 0 || !was_sent || was_refused ? 0 : reserved_micros;
}
