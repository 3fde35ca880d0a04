/* What a call costs: by the day of the wall clock, the model that answered, and a price set at run time that ends by itself. */
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "base/parse.h"
#include "config/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static const int64_t tokens[TOKEN_COUNT] = {[TOKEN_IN] = 1000000, [TOKEN_OUT] = 0, [TOKEN_CACHED] = 0};

static int64_t wall_of(const char *text)
{
    int64_t wall_ms = 0;
    assert_int_equal(parse_time_ms(text, &wall_ms, NULL), 0);
    return wall_ms;
}

/* An engine of nothing but prices: the model's own from 2027 on, and a later version's. */
static int set_up(void **state)
{
    struct engine *engine = xcalloc(1, sizeof *engine);
    engine->loop = loop_new();
    engine->config = config_new();
    struct config *config = engine->config;
    config->price_count = 2;
    config->prices = xcalloc(2, sizeof *config->prices);
    config->prices[0] = (struct price_config){xstrdup(config->endpoints[0].model), xstrdup("standard"), wall_of("2027-01-01"), {"USD", 1000000, 1000000, 2000000}, false};
    config->prices[1] = (struct price_config){xstrdup("gemini-later"), xstrdup("standard"), 0, {"USD", 5000000, 5000000, 6000000}, false};
    clock_fake(1000000, wall_of("2026-12-31T23:59:59Z"));
    engine->registry.endpoints = endpoint_new(engine, &config->endpoints[0]);
    *state = engine;
    return 0;
}

static int tear_down(void **state)
{
    struct engine *engine = *state;
    endpoint_free(engine->registry.endpoints);
    config_free(engine->config);
    loop_free(engine->loop);
    free(engine);
    return 0;
}

static int64_t cost(struct engine *engine, const char *model, char ret_currency[4])
{
    const struct price_terms terms = endpoint_terms(engine->registry.endpoints, TIER_STANDARD, clock_wall_ms());
    return price_of_call(engine->registry.endpoints, &terms, model, tokens, ret_currency);
}

static void set_price(struct endpoint *endpoint, const char *text, int64_t until_at_ms)
{
    char name[] = "price", value[120] = "";
    snprintf(value, sizeof value, "%s", text ? text : "");
    struct store_setting setting = {.name = name, .value = text ? value : NULL, .until_at_ms = until_at_ms};
    endpoint_set_override(endpoint, &setting, text != NULL);
}

static void test_a_price_begins_with_its_day(void **state)
{
    struct engine *engine = *state;
    struct endpoint *endpoint = engine->registry.endpoints;
    char currency[4] = "";
    assert_int_equal(cost(engine, endpoint->config->model, currency), -1);
    assert_string_equal(endpoint->currency, "");
    clock_fake_advance_ms(1000);
    endpoint_apply(endpoint, clock_wall_ms()); /* as once a second */
    assert_int_equal(cost(engine, endpoint->config->model, currency), 1000000);
    assert_string_equal(currency, "USD");
    assert_string_equal(endpoint->currency, "USD"); /* so that sums are shown without a reload */
}

static void test_the_model_that_answered_has_its_price(void **state)
{
    struct engine *engine = *state;
    char currency[4] = "";
    assert_int_equal(cost(engine, "gemini-later", currency), 5000000);
    clock_fake_advance_ms(1000);
    assert_int_equal(cost(engine, "gemini-unheard-of", currency), 1000000); /* else that of the endpoint's model */
    set_price(engine->registry.endpoints, "price_in=7.00 price_cached_in=7.00 price_out=9.00 currency=EUR", 0);
    assert_int_equal(cost(engine, "gemini-later", currency), 7000000);
    assert_string_equal(currency, "EUR");
}

static void test_a_price_set_for_a_while(void **state)
{
    struct engine *engine = *state;
    struct endpoint *endpoint = engine->registry.endpoints;
    char currency[4] = "";
    set_price(endpoint, "price_in=7.00 price_cached_in=7.00 price_out=9.00 currency=USD", clock_wall_ms() + 500);
    assert_int_equal(cost(engine, endpoint->config->model, currency), 7000000);
    assert_string_equal(endpoint->currency, "USD");
    clock_fake_advance_ms(499);
    assert_int_equal(cost(engine, endpoint->config->model, currency), 7000000);
    clock_fake_advance_ms(1); /* to the millisecond, not only with the next second's look */
    assert_int_equal(cost(engine, endpoint->config->model, currency), -1);
    assert_null(endpoint_price(endpoint, TIER_STANDARD, clock_wall_ms()));
}

static void test_what_was_counted_keeps_its_currency(void **state)
{
    struct engine *engine = *state;
    struct endpoint *endpoint = engine->registry.endpoints;
    set_price(endpoint, "price_in=7.00 price_cached_in=7.00 price_out=9.00 currency=EUR", 0);
    endpoint->cost_micros = 1;
    set_price(endpoint, NULL, 0);
    assert_string_equal(endpoint->currency, "EUR");
    endpoint->cost_micros = 0;
    endpoint_apply(endpoint, clock_wall_ms());
    assert_string_equal(endpoint->currency, "");
}

/* A sum has one currency, however the price came to be in another: by a day, a restart, a later model. */
static void test_a_price_in_another_currency_than_the_sums_is_none(void **state)
{
    struct engine *engine = *state;
    struct endpoint *endpoint = engine->registry.endpoints;
    char currency[4] = "";
    clock_fake_advance_ms(1000);
    endpoint_apply(endpoint, clock_wall_ms());
    assert_int_equal(cost(engine, endpoint->config->model, currency), 1000000);
    assert_null(endpoint_other_currency(endpoint, TIER_STANDARD, clock_wall_ms()));
    memcpy(engine->config->prices[1].price.currency, "EUR", 4);
    assert_int_equal(cost(engine, "gemini-later", currency), -1); /* nothing is counted yet, but the endpoint's own price is in USD */
    endpoint->cost_micros = 1;
    memcpy(engine->config->prices[0].price.currency, "EUR", 4);
    endpoint_apply(endpoint, clock_wall_ms());
    assert_string_equal(endpoint->currency, "USD");
    assert_null(endpoint_price(endpoint, TIER_STANDARD, clock_wall_ms()));
    assert_string_equal(endpoint_other_currency(endpoint, TIER_STANDARD, clock_wall_ms()), "EUR");
    assert_int_equal(cost(engine, endpoint->config->model, currency), -1);
    assert_int_equal(cost(engine, "gemini-later", currency), -1);
}

/* The day's price, and one that is set or unset, count from the next call on. */
static void test_a_call_costs_what_it_did_when_it_was_sent(void **state)
{
    struct engine *engine = *state;
    struct endpoint *endpoint = engine->registry.endpoints;
    char currency[4] = "";
    const struct price_terms before = endpoint_terms(endpoint, TIER_STANDARD, clock_wall_ms());
    clock_fake_advance_ms(1000); /* the price's first day */
    assert_int_equal(price_of_call(endpoint, &before, endpoint->config->model, tokens, currency), -1);
    const struct price_terms listed = endpoint_terms(endpoint, TIER_STANDARD, clock_wall_ms());
    set_price(endpoint, "price_in=7.00 price_cached_in=7.00 price_out=9.00 currency=USD", 0);
    assert_int_equal(price_of_call(endpoint, &listed, endpoint->config->model, tokens, currency), 1000000);
    assert_int_equal(price_of_call(endpoint, &listed, "gemini-later", tokens, currency), 5000000);
    const struct price_terms set = endpoint_terms(endpoint, TIER_STANDARD, clock_wall_ms());
    set_price(endpoint, NULL, 0);
    assert_int_equal(price_of_call(endpoint, &set, "gemini-later", tokens, currency), 7000000);
    assert_int_equal(price_of_call(endpoint, &(struct price_terms){.tier = TIER_FLEX}, endpoint->config->model, tokens, currency), -1); /* no price of that tier */
}

static void test_tokens_that_were_not_told_cost_nothing_known(void **state)
{
    struct engine *engine = *state;
    char currency[4] = "";
    const int64_t untold[TOKEN_COUNT] = {[TOKEN_IN] = -1};
    const struct price_terms terms = endpoint_terms(engine->registry.endpoints, TIER_STANDARD, clock_wall_ms());
    assert_int_equal(price_of_call(engine->registry.endpoints, &terms, "gemini-later", untold, currency), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_price_begins_with_its_day, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_model_that_answered_has_its_price, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_price_set_for_a_while, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_counted_keeps_its_currency, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_price_in_another_currency_than_the_sums_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_call_costs_what_it_did_when_it_was_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tokens_that_were_not_told_cost_nothing_known, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
