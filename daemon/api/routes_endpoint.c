/* Endpoints: shown from memory, changed through the store. */
#include "api/handler.h"

#include "base/clock.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- shown ---- */

static void price_json(struct json_out *out, const struct price *price)
{
    if (price == NULL) {
        json_out_null(out);
        return;
    }
    json_out_begin(out, '{');
    json_out_member_str(out, "currency", price->currency);
    json_out_member_int(out, "in_micros", price->in_micros);
    json_out_member_int(out, "cached_in_micros", price->cached_in_micros);
    json_out_member_int(out, "out_micros", price->out_micros);
    json_out_end(out, '}');
}

/* "5.00": in the currency of the price. */
static void amount_json(struct json_out *out, int64_t micros)
{
    struct buf text = BUF_EMPTY;
    text_add_amount(&text, micros);
    json_out_str(out, buf_text(&text));
    buf_clear(&text);
}

/* A number, a duration or an amount as people write it, or a price. */
static void setting_value(struct json_out *out, const char *name, const struct endpoint_setting_row *row, int64_t value, const struct price *price)
{
    char text[32];
    json_out_name(out, name);
    switch (row->kind) {
    case ENDPOINT_NUMBER: json_out_int(out, value); break;
    case ENDPOINT_DURATION:
        snprintf(text, sizeof text, value % 1000 == 0 ? "%" PRId64 "s" : "%" PRId64 "ms", value % 1000 == 0 ? value / 1000 : value);
        json_out_str(out, text);
        break;
    case ENDPOINT_AMOUNT: amount_json(out, value); break;
    case ENDPOINT_PRICE: price_json(out, price); break;
    case ENDPOINT_SETTING_KIND_COUNT: break;
    }
}

static void settings_json(struct json_out *out, const struct endpoint *endpoint)
{
    const struct endpoint_setting_row *rows = endpoint_setting_rows();
    int64_t wall_ms = clock_wall_ms();
    const struct price_config *listed = endpoint_file_price(endpoint, TIER_STANDARD, wall_ms);
    json_out_name(out, "settings");
    json_out_begin(out, '[');
    for (int i = 0; i < ENDPOINT_SETTING_COUNT; i++) {
        const struct endpoint_override *override = &endpoint->overrides[i];
        if (!endpoint_setting_applies(endpoint, (enum endpoint_setting)i))
            continue;
        json_out_begin(out, '{');
        json_out_member_str(out, "name", rows[i].name);
        setting_value(out, "value", &rows[i], endpoint->values[i], endpoint_price(endpoint, TIER_STANDARD, wall_ms));
        setting_value(out, "file_value", &rows[i], endpoint_file_value(endpoint->config, (enum endpoint_setting)i), listed != NULL ? &listed->price : NULL);
        if (override->is_set) {
            char who[64];
            account_name(override->set_by, who, sizeof who);
            setting_value(out, "set_value", &rows[i], override->value, &override->price);
            json_out_member_time(out, "set_at", override->set_at_ms);
            json_out_member_str(out, "set_by", who);
            json_out_member_time(out, "until", override->until_at_ms);
        } else {
            json_out_member_null(out, "set_value");
            json_out_member_null(out, "set_at");
            json_out_member_null(out, "set_by");
            json_out_member_null(out, "until");
        }
        json_out_end(out, '}');
    }
    json_out_end(out, ']');
}

static void pacer_json(struct json_out *out, struct endpoint *endpoint)
{
    struct pacer_now now = {.mono_us = clock_mono_us(), .wall_ms = clock_wall_ms()};
    struct pacer_view view = {0};
    char text[512] = "";
    int64_t until_at_ms = 0;
    pacer_view(endpoint->pacer, now, &view);
    if (endpoint_is_down(endpoint))
        snprintf(text, sizeof text, "nothing goes out while the endpoint is down"); /* why stands in the endpoint's own text */
    else
        endpoint_text(endpoint, text, sizeof text, &until_at_ms);
    json_out_name(out, "pacer");
    json_out_begin(out, '{');
    json_out_member_str(out, "mode", view.mode);
    json_out_name(out, "rate_per_min");
    if (view.rate_per_min > 0)
        json_out_ratio(out, view.rate_per_min);
    else
        json_out_null(out);
    if (view.window_calls > 0)
        json_out_member_int(out, "window", llround(view.window_calls));
    else
        json_out_member_null(out, "window");
    json_out_member_int(out, "concurrency", view.concurrency);
    json_out_member_str(out, "limited_by", view.limited_by);
    json_out_member_str(out, "breaker", view.breaker);
    json_out_member_time(out, "next_at", until_at_ms != 0 ? until_at_ms : view.next_us > 0 ? now.wall_ms + view.next_us / 1000 : 0);
    json_out_member_str(out, "text", text);
    json_out_end(out, '}');
}

static void sums_json(struct json_out *out, const struct endpoint *endpoint, bool ever)
{
    static const char *const names[TOKEN_COUNT] = {
        [TOKEN_IN] = "in", [TOKEN_CACHED] = "cached", [TOKEN_OUT] = "out", [TOKEN_THOUGHT] = "thinking", [TOKEN_TOOL] = "tool"};
    int64_t sums[COUNT_KIND_END];
    endpoint_sums(endpoint, ever, sums);
    json_out_name(out, "counts");
    json_out_begin(out, '{');
    json_out_member_int(out, "calls", sums[COUNT_CALLS]);
    json_out_member_int(out, "test_calls", sums[COUNT_TEST_CALLS]);
    for (int i = 0; i < OUTCOME_CLASS_COUNT; i++)
        if (sums[COUNT_CLASS + i] > 0)
            json_out_member_int(out, outcome_row((enum outcome_class)i)->name, sums[COUNT_CLASS + i]);
    json_out_end(out, '}');
    json_out_name(out, "tokens");
    json_out_begin(out, '{');
    for (int i = 0; i < TOKEN_COUNT; i++)
        json_out_member_int(out, names[i], sums[COUNT_TOKEN + i]);
    json_out_end(out, '}');
    json_out_name(out, "cost");
    json_out_begin(out, '{');
    member_text_or_null(out, "currency", endpoint->currency);
    bool is_unknown = endpoint->currency[0] == '\0' || (sums[COUNT_COST_UNKNOWN] > 0 && sums[COUNT_COST_MICROS] == 0);
    member_int_or_null(out, "micros", is_unknown ? -1 : sums[COUNT_COST_MICROS]);
    json_out_member_int(out, "unknown_calls", sums[COUNT_COST_UNKNOWN]);
    json_out_end(out, '}');
}

void endpoint_json(struct json_out *out, struct engine *engine, struct endpoint *endpoint)
{
    const struct endpoint_config *config = endpoint->config;
    bool is_down = endpoint_is_down(endpoint);
    char text[512] = "";
    int64_t until_at_ms;
    if (is_down)
        endpoint_text(endpoint, text, sizeof text, &until_at_ms);
    json_out_begin(out, '{');
    json_out_member_str(out, "name", config->name);
    json_out_member_str(out, "provider", config->provider);
    json_out_member_str(out, "model", config->model);
    json_out_member_str(out, "base_url", config->base_url);
    json_out_member_bool(out, "has_key", endpoint->secret != NULL);
    json_out_member_bool(out, "needs_key", endpoint->provider->needs_key);
    json_out_member_bool(out, "has_test_request", endpoint_has_test(endpoint));
    json_out_member_bool(out, "is_default", strcmp(config->name, engine_configuration(engine)->default_endpoint) == 0);
    json_out_member_str(out, "state", is_down ? "down" : "up");
    int class = endpoint->state.down_class >= 0 ? endpoint->state.down_class : OUTCOME_CREDENTIALS;
    json_out_member_str(out, "reason", is_down ? outcome_row((enum outcome_class)class)->name : NULL);
    member_text_or_null(out, "text", text);
    json_out_member_time(out, "since", endpoint->state.down_at_ms);
    settings_json(out, endpoint);
    json_out_member_int(out, "in_flight", endpoint->in_flight);
    pacer_json(out, endpoint);
    sums_json(out, endpoint, true);
    json_out_name(out, "since_start");
    json_out_begin(out, '{');
    sums_json(out, endpoint, false);
    json_out_end(out, '}');
    json_out_end(out, '}');
}

/* The built-in endpoint, which calls nothing: an Endpoint object like the others, with what it does not have empty. */
static void workers_json(struct json_out *out, struct engine *engine)
{
    static const char text[] = "built in: runs on it are left to outside workers (gallocctl work); it has no key, no limits and no costs of its own";
    static const char rest[] = "\"pacer\":{\"mode\":\"workers\",\"rate_per_min\":null,\"window\":null,\"concurrency\":null,\"limited_by\":\"workers\",\"breaker\":\"closed\","
                               "\"next_at\":null,\"text\":\"as fast as workers lease and decide\"},\"counts\":{\"calls\":0},"
                               "\"tokens\":{\"in\":0,\"cached\":0,\"out\":0,\"thinking\":0,\"tool\":0},\"cost\":{\"currency\":null,\"micros\":null,\"unknown_calls\":0}";
    int64_t in_hands = 0;
    for (const struct run_entry *run = engine_registry(engine)->runs; run != NULL; run = run->next)
        in_hands += run->info.counts[COUNT_OUTSIDE];
    json_out_begin(out, '{');
    json_out_member_str(out, "name", PLAN_WORKERS);
    json_out_member_bool(out, "is_built_in", true);
    json_out_member_str(out, "provider", PLAN_WORKERS);
    json_out_member_str(out, "model", "");
    json_out_member_str(out, "base_url", "");
    json_out_member_bool(out, "has_key", false);
    json_out_member_bool(out, "needs_key", false);
    json_out_member_bool(out, "has_test_request", false);
    json_out_member_bool(out, "is_default", plan_is_workers(engine_configuration(engine)->default_endpoint));
    json_out_member_str(out, "state", "up");
    json_out_member_null(out, "reason");
    json_out_member_str(out, "text", text);
    json_out_member_null(out, "since");
    json_out_name(out, "settings");
    json_out_raw(out, "[]", 2);
    json_out_member_int(out, "in_flight", in_hands);
    buf_add_char(out->buf, ',');
    buf_add_str(out->buf, rest);
    json_out_end(out, '}');
}

void handle_endpoint_list(struct request *request)
{
    struct engine *engine = request->api->config.engine;
    struct json_out out = JSON_OUT(&request->out);
    json_out_begin(&out, '{');
    json_out_name(&out, "items");
    json_out_begin(&out, '[');
    for (struct endpoint *endpoint = engine_registry(engine)->endpoints; endpoint != NULL; endpoint = endpoint->next)
        endpoint_json(&out, engine, endpoint);
    workers_json(&out, engine);
    json_out_end(&out, ']');
    json_out_member_null(&out, "next");
    json_out_end(&out, '}');
    request_reply(request, 200);
}

struct endpoint *endpoint_of_path(struct request *request)
{
    if (plan_is_workers(request->params[0])) {
        request_fail_fmt(request, GALLOC_CONFLICT, "the endpoint \"" PLAN_WORKERS "\" is built in and calls nothing: there is nothing to set, to test or to resume");
        return NULL;
    }
    struct registry *registry = engine_registry(request->api->config.engine);
    struct endpoint *found = registry_endpoint(registry, request->params[0]);
    if (found != NULL)
        return found;
    const char *names[64] = {PLAN_WORKERS};
    size_t count = 1;
    for (struct endpoint *endpoint = registry->endpoints; endpoint != NULL && count < ARRAY_COUNT(names); endpoint = endpoint->next)
        names[count++] = endpoint->config->name;
    const char *nearest = text_nearest(request->params[0], names, count);
    request_fail_fmt(request, GALLOC_NOT_FOUND, "there is no endpoint \"%.128s\"%s%s%s (gallocctl endpoint list)", request->params[0],
                     nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    return NULL;
}

void endpoint_reply(struct request *request, const char *name)
{
    struct engine *engine = request->api->config.engine;
    struct endpoint *endpoint = registry_endpoint(engine_registry(engine), name);
    if (endpoint == NULL) {
        request_fail_fmt(request, GALLOC_NOT_FOUND, "the endpoint \"%.128s\" is no longer configured", name);
        return;
    }
    struct json_out out = JSON_OUT(&request->out);
    endpoint_json(&out, engine, endpoint);
    request_reply(request, 200);
}

void handle_endpoint_show(struct request *request)
{
    if (plan_is_workers(request->params[0])) {
        struct json_out out = JSON_OUT(&request->out);
        workers_json(&out, request->api->config.engine);
        request_reply(request, 200);
        return;
    }
    if (endpoint_of_path(request) != NULL)
        endpoint_reply(request, request->params[0]);
}

/* ---- test and resume ---- */

static void on_tested(const struct endpoint_test_result *result, void *arg)
{
    struct request *request = arg;
    struct endpoint *endpoint = registry_endpoint(engine_registry(request->api->config.engine), request->params[0]);
    char text[512] = "";
    int64_t until_at_ms;
    bool is_well = result->class == OUTCOME_SUCCEEDED;
    if (!is_well && endpoint != NULL)
        endpoint_text(endpoint, text, sizeof text, &until_at_ms);
    struct json_out out = JSON_OUT(&request->out);
    json_out_begin(&out, '{');
    json_out_member_str(&out, "name", request->params[0]);
    json_out_member_bool(&out, "ok", is_well);
    json_out_member_str(&out, "class", outcome_row(result->class)->name);
    member_int_or_null(&out, "http_status", result->http_status > 0 ? result->http_status : -1);
    member_int_or_null(&out, "latency_ms", result->latency_ms);
    member_text_or_null(&out, "model", result->model_version);
    member_text_or_null(&out, "message", result->message);
    member_text_or_null(&out, "text", text);
    json_out_end(&out, '}');
    request_reply(request, 200);
}

void handle_endpoint_test(struct request *request)
{
    struct endpoint *endpoint = endpoint_of_path(request);
    if (endpoint != NULL && !endpoint_has_test(endpoint))
        request_fail_fmt(request, GALLOC_CONFLICT,
                         "the endpoint %s has no test request: give it a test_path in the configuration, then: gallocctl reload; or try it with one assignment "
                         "(gallocctl enqueue FILE --endpoint %s --first 1)",
                         endpoint->config->name, endpoint->config->name);
    else if (endpoint != NULL)
        engine_endpoint_test(request->api->config.engine, endpoint, on_tested, request);
}

void handle_endpoint_resume(struct request *request)
{
    struct endpoint *endpoint = endpoint_of_path(request);
    if (endpoint == NULL)
        return;
    struct galloc_error error;
    struct buf detail = BUF_EMPTY;
    struct json_out out = JSON_OUT(&detail);
    json_out_begin(&out, '{');
    json_out_name(&out, "before");
    json_out_begin(&out, '{');
    json_out_member_str(&out, "state", endpoint_is_down(endpoint) ? "down" : "up");
    json_out_member_str(&out, "text", endpoint->state.down_text);
    json_out_end(&out, '}');
    json_out_end(&out, '}');
    if (engine_endpoint_resume(request->api->config.engine, endpoint, &error) < 0) {
        request_fail(request, &error);
    } else {
        handler_audit(request, "endpoint_resume", endpoint->config->name, detail.data);
        endpoint_reply(request, request->params[0]);
    }
    buf_clear(&detail);
}
