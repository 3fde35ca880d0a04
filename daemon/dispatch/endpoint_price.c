/* What an endpoint's calls cost: the price set at run time where there is one, else the configuration's or the shipped list's of the day. A price is a whole:
 * what was set at run time never mixes with amounts of the file, and nothing known is nothing guessed. Loop's thread. */
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "base/log.h"

#include <string.h>

const struct price *endpoint_set_price(const struct endpoint *endpoint, int64_t wall_ms)
{
    const struct endpoint_override *override = &endpoint->overrides[SETTING_PRICE];
    bool holds = override->is_set && (override->until_at_ms == 0 || override->until_at_ms > wall_ms);
    return holds ? &override->price : NULL;
}

const struct price_config *endpoint_file_price(const struct endpoint *endpoint, enum price_tier tier, int64_t wall_ms)
{
    return config_price(endpoint->dispatch->engine->config, endpoint->config->model, tier, wall_ms);
}

/* What was set at run time is the standard tier's: what flex costs beside it, nobody has said. */
static const struct price *found_price(const struct endpoint *endpoint, enum price_tier tier, int64_t wall_ms)
{
    const struct price *set = tier == TIER_STANDARD ? endpoint_set_price(endpoint, wall_ms) : NULL;
    const struct price_config *listed = endpoint_file_price(endpoint, tier, wall_ms);
    return set != NULL ? set : listed != NULL ? &listed->price : NULL;
}

/* A sum has one currency: a price in another than what was counted so far is none. */
static bool is_of_the_sums(const struct endpoint *endpoint, const char *currency)
{
    bool is_counted = endpoint->cost_micros + endpoint->sums_before[COUNT_COST_MICROS] > 0;
    return !is_counted || strcmp(endpoint->currency, currency) == 0;
}

const struct price *endpoint_price(const struct endpoint *endpoint, enum price_tier tier, int64_t wall_ms)
{
    const struct price *price = found_price(endpoint, tier, wall_ms);
    return price != NULL && is_of_the_sums(endpoint, price->currency) ? price : NULL;
}

const char *endpoint_other_currency(const struct endpoint *endpoint, enum price_tier tier, int64_t wall_ms)
{
    const struct price *price = found_price(endpoint, tier, wall_ms);
    return price != NULL && !is_of_the_sums(endpoint, price->currency) ? price->currency : NULL;
}

int endpoint_check_currency(const struct registry *registry, const struct endpoint *endpoint, const struct config *fresh, struct galloc_error *error)
{
    const struct endpoint_config *config = config_endpoint(fresh, endpoint->config->name);
    int64_t counted = endpoint->cost_micros + endpoint->sums_before[COUNT_COST_MICROS], wall_ms = clock_wall_ms();
    for (const struct run_entry *run = registry->runs; run != NULL; run = run->next)
        counted += run->endpoint == endpoint ? run->info.counts[COUNT_COST_MICROS] : 0;
    for (int tier = 0; counted > 0 && config != NULL && tier < PRICE_TIER_COUNT; tier++) {
        const struct price_config *price = config_price(fresh, config->model, (enum price_tier)tier, wall_ms);
        if (price != NULL && endpoint->currency[0] != '\0' && strcmp(price->price.currency, endpoint->currency) != 0)
            return galloc_fail(error, GALLOC_D_CONFIG, "%s: endpoint \"%s\": its costs are counted in %s, and a price in %s cannot be added to them: give the price of %s in %s, or the "
                                                       "endpoint a new name", fresh->path ? fresh->path : "defaults", config->name, endpoint->currency, price->price.currency,
                               config->model, endpoint->currency);
    }
    return 0;
}

void endpoint_tell_currency(const struct endpoint *endpoint)
{
    const char *other = endpoint_other_currency(endpoint, TIER_STANDARD, clock_wall_ms());
    if (other != NULL)
        log_event(LOG_LEVEL_WARNING, "price_passed_over", "endpoint=%s currency=%s price_currency=%s text=\"costs so far are counted in the one, and a price in the other cannot be "
                                                          "added: costs are unknown from now on; give the price in the first, or the endpoint a new name\"",
                  endpoint->config->name, endpoint->currency, other);
}

/* What was counted before stays told in the currency it was counted in. */
void endpoint_apply_price(struct endpoint *endpoint, int64_t wall_ms)
{
    if (endpoint->cost_micros + endpoint->sums_before[COUNT_COST_MICROS] > 0)
        return;
    const struct price *price = found_price(endpoint, TIER_STANDARD, wall_ms);
    memcpy(endpoint->currency, price != NULL ? price->currency : "", price != NULL ? sizeof endpoint->currency : 1);
}

struct price_terms endpoint_terms(const struct endpoint *endpoint, enum price_tier tier, int64_t wall_ms)
{
    const struct price *price = endpoint_price(endpoint, tier, wall_ms);
    struct price_terms terms = {.tier = tier, .at_wall_ms = wall_ms, .is_known = price != NULL};
    if (price != NULL) {
        terms.price = *price;
        terms.is_set = tier == TIER_STANDARD && price == endpoint_set_price(endpoint, wall_ms);
    }
    return terms;
}

/* Of a model that answered in place of the endpoint's own, such as a later version of it. */
static const struct price *price_of_other(const struct endpoint *endpoint, const struct price_terms *terms, const char *model)
{
    const struct price *own = terms->is_known ? &terms->price : NULL;
    const struct price_config *listed = config_price(endpoint->dispatch->engine->config, model, terms->tier, terms->at_wall_ms);
    if (listed == NULL)
        return own;
    bool is_other = !is_of_the_sums(endpoint, listed->price.currency) || (own != NULL && strcmp(own->currency, listed->price.currency) != 0);
    return is_other ? NULL : &listed->price;
}

int64_t price_of_call(const struct endpoint *endpoint, const struct price_terms *terms, const char *model, const int64_t tokens[TOKEN_COUNT], char ret_currency[4])
{
    bool is_own = terms->is_set || strcmp(model, endpoint->config->model) == 0;
    const struct price *price = !is_own ? price_of_other(endpoint, terms, model) : terms->is_known ? &terms->price : NULL;
    if (price == NULL || !is_of_the_sums(endpoint, price->currency) || (tokens[TOKEN_IN] < 0 && !price_is_free(price)))
        return -1;
    memcpy(ret_currency, price->currency, sizeof price->currency);
    return price_of_tokens(price, tokens);
}

int endpoint_check_budget(const struct endpoint *endpoint, const struct amount *budget, const struct price *price, struct galloc_error *error)
{
    const char *name = endpoint->config->name, *model = endpoint->config->model[0] != '\0' ? endpoint->config->model : name;
    if (price == NULL)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "no price of %s is known, so a budget cannot be kept; tell it in the configuration (section price), or: gallocctl endpoint set %s "
                                                        "price_in=… price_out=…", model, name);
    if (!endpoint->provider->takes_prompt && !price_is_free(price))
        return galloc_fail(error, GALLOC_INVALID_INPUT, "what a decision of %s may cost is not known before it is made (provider %s tells its tokens afterwards), so a budget cannot be kept", name,
                           endpoint->provider->name);
    if (budget->currency[0] != '\0' && strcmp(budget->currency, price->currency) != 0)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the budget is in %s, and the price of %s in %s: give it in %s", budget->currency, model, price->currency, price->currency);
    return 0;
}
