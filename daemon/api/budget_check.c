/* See budget_check.h. */
#include "api/budget_check.h"

#include "api/prompt_size.h"

#include "core/budget.h"

#include "base/clock.h"
#include "base/text.h"

#include <string.h>

/* The least that is known to be asked: the roster and the template, and room for the answer. */
static int check_one_call(const struct plan *plan, const struct endpoint *endpoint, const struct price *price, int64_t prompt_bytes, struct galloc_error *error)
{
    int64_t most = budget_call_most(price, prompt_bytes, 0, endpoint->values[SETTING_MAX_OUTPUT_TOKENS]);
    if (most <= plan->max_cost.micros)
        return 0;
    struct buf budget = BUF_EMPTY, call = BUF_EMPTY;
    text_add_amount(&budget, plan->max_cost.micros);
    text_add_amount(&call, most);
    int rc = galloc_fail(error, GALLOC_INVALID_INPUT,
                         "max_cost is %s %s, and one call may cost up to %s %s (%s bytes of prompt, a token a byte at most, and an answer of up to %s tokens): so nothing could be sent",
                         buf_text(&budget), price->currency, buf_text(&call), price->currency, text_count(prompt_bytes).text,
                         text_count(endpoint->values[SETTING_MAX_OUTPUT_TOKENS]).text);
    buf_clear(&budget);
    buf_clear(&call);
    return rc;
}

static int check_endpoint(const struct endpoint *endpoint, const struct plan *plan, const struct pool_entry *pool, const struct store_agents *agents, struct galloc_error *error)
{
    const struct provider_wire wire = endpoint_wire(endpoint);
    enum price_tier tier = (enum price_tier)plan->tier;
    if (!provider_takes_tier(endpoint->provider, &wire, tier))
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the endpoint \"%s\" has no tier \"%s\" (provider %s); leave it out", endpoint->config->name, price_tier_name(tier),
                           endpoint->provider->name);
    if (!plan->max_cost.is_set)
        return 0;
    const struct price *price = endpoint_price(endpoint, tier, clock_wall_ms());
    int rc = endpoint_check_budget(endpoint, &plan->max_cost, price, error);
    if (rc < 0)
        return galloc_prefix(error, "max_cost");
    int64_t bytes = 0, named;
    if (endpoint->provider->takes_prompt)
        prompt_size(plan, pool, agents, &bytes, &named);
    return check_one_call(plan, endpoint, price, bytes, error);
}

/* What a run costs is one sum, on whichever of its endpoints. */
static int check_one_currency(struct endpoint *const *endpoints, size_t count, struct galloc_error *error)
{
    for (size_t i = 1; i < count; i++)
        if (endpoints[0]->currency[0] != '\0' && endpoints[i]->currency[0] != '\0' && strcmp(endpoints[0]->currency, endpoints[i]->currency) != 0)
            return galloc_fail(error, GALLOC_INVALID_INPUT, "the price of %s is in %s, and that of %s in %s: what a run costs cannot be added up in two currencies",
                               endpoints[0]->config->name, endpoints[0]->currency, endpoints[i]->config->name, endpoints[i]->currency);
    return 0;
}

int budget_check(struct engine *engine, const struct plan *plan, const struct pool_entry *pool, const struct store_agents *agents, struct galloc_error *error)
{
    struct endpoint *endpoints[LADDER_MOST];
    size_t count = 0;
    int rc = engine_check_endpoints(engine, plan->endpoint, endpoints, &count, error);
    if (rc == 0 && count == 0 && (plan->max_cost.is_set || plan->tier != TIER_STANDARD))
        rc = galloc_fail(error, GALLOC_INVALID_INPUT, "outside workers decide: no API is called, so there is nothing for %s to hold; leave it out",
                         plan->max_cost.is_set ? "max_cost" : "tier");
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = check_endpoint(endpoints[i], plan, pool, agents, error);
    return rc < 0 ? rc : check_one_currency(endpoints, count, error);
}
