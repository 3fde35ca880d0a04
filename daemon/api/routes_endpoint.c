/* Endpoints: shown from memory, changed through the store. */
#include "api/handler.h"

#include "base/clock.h"
#include "base/parse.h"
#include "base/text.h"

#include <inttypes.h>
#include <string.h>

/* ---- shown ---- */

/* A number, or a duration as people write it. */
static void setting_value(struct json_out *out, const char *name, const struct endpoint_setting_row *row, int64_t value)
{
    json_out_name(out, name);
    if (!row->is_duration) {
        json_out_int(out, value);
        return;
    }
    char text[32];
    snprintf(text, sizeof text, value % 1000 == 0 ? "%" PRId64 "s" : "%" PRId64 "ms", value % 1000 == 0 ? value / 1000 : value);
    json_out_str(out, text);
}

static void settings_json(struct json_out *out, const struct endpoint *endpoint)
{
    const struct endpoint_setting_row *rows = endpoint_setting_rows();
    json_out_name(out, "settings");
    json_out_begin(out, '[');
    for (int i = 0; i < ENDPOINT_SETTING_COUNT; i++) {
        const struct endpoint_override *override = &endpoint->overrides[i];
        json_out_begin(out, '{');
        json_out_member_str(out, "name", rows[i].name);
        setting_value(out, "value", &rows[i], endpoint->values[i]);
        setting_value(out, "file_value", &rows[i], endpoint_file_value(endpoint->config, (enum endpoint_setting)i));
        if (override->is_set) {
            char who[64];
            account_name(override->set_by, who, sizeof who);
            setting_value(out, "set_value", &rows[i], override->value);
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
    endpoint_text(endpoint, text, sizeof text, &until_at_ms);
    json_out_name(out, "pacer");
    json_out_begin(out, '{');
    json_out_member_str(out, "mode", view.mode);
    json_out_name(out, "rate_per_min");
    if (view.rate_per_min > 0)
        json_out_ratio(out, view.rate_per_min);
    else
        json_out_null(out);
    json_out_member_null(out, "window");
    json_out_member_int(out, "concurrency", view.concurrency);
    json_out_member_str(out, "limited_by", view.limited_by);
    json_out_member_str(out, "breaker", view.breaker);
    json_out_member_time(out, "next_at", until_at_ms != 0 ? until_at_ms : view.next_us > 0 ? now.wall_ms + view.next_us / 1000 : 0);
    json_out_member_str(out, "text", text);
    json_out_end(out, '}');
}

static void sums_json(struct json_out *out, const struct endpoint *endpoint)
{
    static const char *const names[TOKEN_COUNT] = {
        [TOKEN_IN] = "in", [TOKEN_CACHED] = "cached", [TOKEN_OUT] = "out", [TOKEN_THOUGHT] = "thinking", [TOKEN_TOOL] = "tool"};
    json_out_name(out, "counts");
    json_out_begin(out, '{');
    json_out_member_int(out, "calls", endpoint->calls);
    json_out_member_int(out, "test_calls", endpoint->test_calls);
    for (int i = 0; i < OUTCOME_CLASS_COUNT; i++)
        if (endpoint->counts[i] > 0)
            json_out_member_int(out, outcome_row((enum outcome_class)i)->name, endpoint->counts[i]);
    json_out_end(out, '}');
    json_out_name(out, "tokens");
    json_out_begin(out, '{');
    for (int i = 0; i < TOKEN_COUNT; i++)
        json_out_member_int(out, names[i], endpoint->tokens[i]);
    json_out_end(out, '}');
    json_out_name(out, "cost");
    json_out_begin(out, '{');
    member_text_or_null(out, "currency", endpoint->currency);
    member_int_or_null(out, "micros", endpoint->currency[0] != '\0' ? endpoint->cost_micros : -1);
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
    json_out_member_bool(out, "is_default", strcmp(config->name, engine_configuration(engine)->default_endpoint) == 0);
    json_out_member_str(out, "state", is_down ? "down" : "up");
    int class = endpoint->state.down_class >= 0 ? endpoint->state.down_class : OUTCOME_CREDENTIALS;
    json_out_member_str(out, "reason", is_down ? outcome_row((enum outcome_class)class)->name : NULL);
    member_text_or_null(out, "text", text);
    json_out_member_time(out, "since", endpoint->state.down_at_ms);
    settings_json(out, endpoint);
    json_out_member_int(out, "in_flight", endpoint->in_flight);
    pacer_json(out, endpoint);
    sums_json(out, endpoint);
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
    json_out_end(&out, ']');
    json_out_member_null(&out, "next");
    json_out_end(&out, '}');
    request_reply(request, 200);
}

/* The endpoint of params[0]; NULL: the request was failed. */
static struct endpoint *find_endpoint(struct request *request)
{
    struct registry *registry = engine_registry(request->api->config.engine);
    struct endpoint *found = registry_endpoint(registry, request->params[0]);
    if (found != NULL)
        return found;
    const char *names[64];
    size_t count = 0;
    for (struct endpoint *endpoint = registry->endpoints; endpoint != NULL && count < ARRAY_COUNT(names); endpoint = endpoint->next)
        names[count++] = endpoint->config->name;
    const char *nearest = text_nearest(request->params[0], names, count);
    request_fail_fmt(request, GALLOC_NOT_FOUND, "there is no endpoint \"%.128s\"%s%s%s (gallocctl endpoint list)", request->params[0],
                     nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    return NULL;
}

static void reply_endpoint(struct request *request, const char *name)
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
    if (find_endpoint(request) != NULL)
        reply_endpoint(request, request->params[0]);
}

/* ---- set: a store operation a setting, one after the other ---- */

struct setting_change {
    const struct endpoint_setting_row *row;
    char *value; /* owned; NULL: unset */
};
struct setting_changes {
    struct setting_change items[ENDPOINT_SETTING_COUNT];
    size_t count, next;
    int64_t until_at_ms;
};

static void changes_free(void *state)
{
    struct setting_changes *changes = state;
    for (size_t i = 0; i < changes->count; i++)
        free(changes->items[i].value);
    free(changes);
}

struct read_settings {
    struct setting_changes *changes;
    struct galloc_error *error;
};

static int read_value(const struct endpoint_setting_row *row, struct json_object *value, char **ret_value, struct galloc_error *error)
{
    int64_t number;
    if (value == NULL) {
        *ret_value = NULL;
        return 0;
    }
    if (row->is_duration && json_is_str(value)) {
        int rc = parse_duration_ms(json_str(value, NULL), &number, error);
        if (rc < 0)
            return galloc_prefix(error, "\"%s\"", row->name);
    } else if (json_is_i64(value)) {
        number = json_i64(value, 0);
    } else {
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" has to be %s, or null", row->name, row->is_duration ? "a duration like \"60s\"" : "a whole number");
    }
    if (number < row->low || number > row->high)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" has to be from %" PRId64 " to %" PRId64 "%s (%s)", row->name, row->low, row->high,
                           row->is_duration ? " ms" : "", row->help);
    *ret_value = xasprintf(row->is_duration ? "%" PRId64 "ms" : "%" PRId64, number);
    return 0;
}

static int add_setting(const char *name, struct json_object *value, void *arg)
{
    struct read_settings *in = arg;
    const struct endpoint_setting_row *rows = endpoint_setting_rows();
    const char *names[ENDPOINT_SETTING_COUNT];
    for (int i = 0; i < ENDPOINT_SETTING_COUNT; i++) {
        names[i] = rows[i].name;
        if (strcmp(rows[i].name, name) != 0)
            continue;
        struct setting_change *change = &in->changes->items[in->changes->count];
        int rc = read_value(&rows[i], value, &change->value, in->error);
        if (rc < 0)
            return rc;
        change->row = &rows[i];
        in->changes->count++;
        return 0;
    }
    const char *nearest = text_nearest(name, names, ARRAY_COUNT(names));
    return galloc_fail(in->error, GALLOC_UNKNOWN_FIELD, "\"%.60s\" cannot be set at run time%s%s%s; URL, model, key and prices are in the configuration file", name,
                       nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

static void submit_next(struct request *request);

static void on_set(struct store_op *op)
{
    struct request *request = op->arg;
    if (op->code < 0)
        request_fail_op(request, op);
    else
        submit_next(request);
    store_op_free(op);
}

static void submit_next(struct request *request)
{
    struct setting_changes *changes = request->state;
    if (changes->next == changes->count) {
        reply_endpoint(request, request->params[0]);
        return;
    }
    struct setting_change *change = &changes->items[changes->next++];
    struct store_endpoint_set *set = handler_op(request, OP_ENDPOINT_SET, on_set);
    set->peer = request->peer;
    set->setting = (struct store_setting){.endpoint = xstrdup(request->params[0]), .name = xstrdup(change->row->name), .value = xstrdup(change->value),
                                          .set_at_ms = clock_wall_ms(), .until_at_ms = change->value ? changes->until_at_ms : 0, .set_by = request->peer.uid};
    handler_submit(request, &set->op);
}

void handle_endpoint_set(struct request *request)
{
    if (find_endpoint(request) == NULL)
        return;
    struct galloc_error error;
    struct setting_changes *changes = xcalloc(1, sizeof *changes);
    request->state = changes;
    request->state_free = changes_free;
    int64_t for_ms = json_get_i64(request->json, "for_ms", 0);
    changes->until_at_ms = for_ms > 0 ? clock_wall_ms() + for_ms : 0;
    struct read_settings in = {.changes = changes, .error = &error};
    int rc = json_each(json_get(request->json, "settings"), add_setting, &in);
    if (rc == 0 && changes->count == 0)
        rc = galloc_fail(&error, GALLOC_INVALID_VALUE, "nothing to set: \"settings\" is empty");
    if (rc < 0)
        request_fail(request, &error);
    else
        submit_next(request);
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
    struct endpoint *endpoint = find_endpoint(request);
    if (endpoint != NULL)
        engine_endpoint_test(request->api->config.engine, endpoint, on_tested, request);
}

void handle_endpoint_resume(struct request *request)
{
    struct endpoint *endpoint = find_endpoint(request);
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
    if (engine_endpoint_resume(request->api->config.engine, endpoint, &request->peer, &error) < 0) {
        request_fail(request, &error);
    } else {
        handler_audit(request, "endpoint_resume", endpoint->config->name, detail.data);
        reply_endpoint(request, request->params[0]);
    }
    buf_clear(&detail);
}
