/* What an endpoint's calls cost: the price set at run time where there is one, else the configuration's or the shipped list's of the day. A price is a whole:
 * what was set at run time never mixes with amounts of the file, and nothing known is nothing guessed. Loop's thread. */
#include "dispatch/dispatch.h"

#include "base/clock.h"

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
const struct price *endpoint_price(const struct endpoint *endpoint, enum price_tier tier, int64_t wall_ms)
{
    const struct price *set = tier == TIER_STANDARD ? endpoint_set_price(endpoint, wall_ms) : NULL;
    const struct price_config *listed = endpoint_file_price(endpoint, tier, wall_ms);
    return set != NULL ? set : listed != NULL ? &listed->price : NULL;
}

/* What was counted before stays told in the currency it was counted in. */
void endpoint_apply_price(struct endpoint *endpoint, int64_t wall_ms)
{
    const struct price *price = endpoint_price(endpoint, TIER_STANDARD, wall_ms);
    if (price != NULL)
        memcpy(endpoint->currency, price->currency, sizeof endpoint->currency);
    else if (endpoint->cost_micros + endpoint->sums_before[COUNT_COST_MICROS] == 0)
        endpoint->currency[0] = '\0';
}

int64_t price_of_call(struct engine *engine, const struct endpoint *endpoint, const char *model, enum price_tier tier, const int64_t tokens[TOKEN_COUNT],
                      char ret_currency[4])
{
    int64_t wall_ms = clock_wall_ms();
    const struct price_config *listed = config_price(engine->config, model, tier, wall_ms); /* of the model that answered, which may be a later version */
    const struct price *price = tier == TIER_STANDARD ? endpoint_set_price(endpoint, wall_ms) : NULL;
    if (price == NULL)
        price = listed != NULL ? &listed->price : endpoint_price(endpoint, tier, wall_ms);
    if (price == NULL || (tokens[TOKEN_IN] < 0 && !price_is_free(price)))
        return -1;
    memcpy(ret_currency, price->currency, sizeof price->currency);
    return price_of_tokens(price, tokens);
}
