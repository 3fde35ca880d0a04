/* See reload.h. */
#include "reload.h"

#include "base/json_out.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct seen {
    char *name, *value; /* owned */
    bool needs_restart;
};
struct settings_seen {
    struct seen *items; /* owned */
    size_t count;
};

/* Takes `name` over. */
static void add(struct settings_seen *seen, char *name, bool needs_restart, const char *value)
{
    seen->items = xreallocarray(seen->items, seen->count + 1, sizeof *seen->items);
    seen->items[seen->count++] = (struct seen){.name = name, .value = xstrdup(value ? value : ""), .needs_restart = needs_restart};
}

static void add_number(struct settings_seen *seen, char *name, bool needs_restart, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    add(seen, name, needs_restart, text);
}

static void look_daemon(struct settings_seen *seen, const struct config *config)
{
    add(seen, xstrdup("socket"), true, config->socket_path);
    add(seen, xstrdup("socket_group"), true, config->socket_group);
    add_number(seen, xstrdup("socket_mode"), true, config->socket_mode);
    add(seen, xstrdup("worker_socket"), true, config->worker_socket_path);
    add(seen, xstrdup("worker_socket_group"), true, config->worker_socket_group);
    add(seen, xstrdup("state_dir"), true, config->state_dir);
    add_number(seen, xstrdup("drain_timeout"), false, config->drain_timeout_ms);
    add_number(seen, xstrdup("retention"), false, config->retention_ms);
    add_number(seen, xstrdup("audit_retention"), false, config->audit_retention_ms);
    add(seen, xstrdup("default_endpoint"), false, config->default_endpoint);
    add_number(seen, xstrdup("connections_per_uid"), false, config->connections_per_uid);
    add_number(seen, xstrdup("requests_per_uid"), false, config->requests_per_uid);
    add_number(seen, xstrdup("workers_per_uid"), false, config->workers_per_uid);
    struct buf columns = BUF_EMPTY;
    for (char **at = config->keep_back; at != NULL && *at != NULL; at++)
        buf_add_fmt(&columns, "%s\n", *at);
    add(seen, xstrdup("keep_back"), false, buf_text(&columns));
    buf_clear(&columns);
}

static void look_endpoint(struct settings_seen *seen, const struct endpoint_config *endpoint)
{
    const struct {
        const char *name, *value;
    } texts[] = {{"provider", endpoint->provider}, {"base_url", endpoint->base_url}, {"api_version", endpoint->api_version}, {"model", endpoint->model}, {"test_path", endpoint->test_path},
                 {"token_limit", endpoint->token_limit}, {"answer_format", endpoint->answer_format}, {"project", endpoint->project}, {"location", endpoint->location},
                 {"api_key_file", endpoint->api_key_file}, {"token_file", endpoint->token_file}, {"proxy", endpoint->proxy}, {"ca_file", endpoint->ca_file}, {"hedge", endpoint->hedge}};
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"allow_plain_http", endpoint->allow_plain_http}, {"vertex", endpoint->is_vertex}, {"max_output_tokens", endpoint->max_output_tokens}, {"request_timeout", endpoint->request_timeout_ms},
                   {"max_in_flight", endpoint->max_in_flight}, {"rpm", endpoint->rpm}, {"tpm", endpoint->tpm}, {"rpd", endpoint->rpd},
                   {"max_cost_per_day", endpoint->max_cost_per_day_micros},
                   {"time_scale", (int64_t)(endpoint->time_scale * 1e6)}};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        add(seen, xasprintf("endpoint.%s.%s", endpoint->name, texts[i].name), false, texts[i].value);
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        add_number(seen, xasprintf("endpoint.%s.%s", endpoint->name, numbers[i].name), false, numbers[i].value);
}

static void look_prices(struct settings_seen *seen, const struct config *config)
{
    struct buf text = BUF_EMPTY;
    for (size_t i = 0; i < config->price_count; i++) {
        const struct price_config *price = &config->prices[i];
        buf_add_fmt(&text, "%s %s %" PRId64 " %s %" PRId64 " %" PRId64 " %" PRId64 "\n", price->model, price->tier, price->from_at_ms, price->price.currency,
                    price->price.in_micros, price->price.cached_in_micros, price->price.out_micros);
    }
    add(seen, xstrdup("price"), false, buf_text(&text));
    buf_clear(&text);
}

struct settings_seen *settings_look(const struct config *config)
{
    struct settings_seen *seen = xcalloc(1, sizeof *seen);
    look_daemon(seen, config);
    for (size_t i = 0; i < config->endpoint_count; i++)
        look_endpoint(seen, &config->endpoints[i]);
    look_prices(seen, config);
    for (size_t i = 0; i < config->profile_count; i++) {
        const struct profile *profile = &config->profiles[i];
        char text[160];
        snprintf(text, sizeof text, "%d %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64, (int)profile->mode, profile->batch_size, profile->delay_ms, profile->max_retries,
                 profile->backoff_max_ms);
        add(seen, xasprintf("profile.%s", profile->name), false, text);
    }
    return seen;
}

void settings_see(struct settings_seen *seen, const char *name, const char *value)
{
    add(seen, xstrdup(name), false, value);
}

void settings_seen_free(struct settings_seen *seen)
{
    if (seen == NULL)
        return;
    for (size_t i = 0; i < seen->count; i++) {
        free(seen->items[i].name);
        free(seen->items[i].value);
    }
    free(seen->items);
    free(seen);
}

static const struct seen *find(const struct settings_seen *seen, const char *name)
{
    for (size_t i = 0; i < seen->count; i++)
        if (strcmp(seen->items[i].name, name) == 0)
            return &seen->items[i];
    return NULL;
}

static void tell(const struct seen *item, struct buf *changed, struct buf *needs_restart)
{
    struct buf *out = item->needs_restart ? needs_restart : changed;
    if (out->len > 0)
        buf_add_char(out, ',');
    json_quote(out, item->name, strlen(item->name));
}

void settings_compare(const struct settings_seen *before, const struct settings_seen *after, struct buf *changed, struct buf *needs_restart)
{
    for (size_t i = 0; i < after->count; i++) {
        const struct seen *former = find(before, after->items[i].name);
        if (former == NULL || strcmp(former->value, after->items[i].value) != 0)
            tell(&after->items[i], changed, needs_restart);
    }
    for (size_t i = 0; i < before->count; i++)
        if (find(after, before->items[i].name) == NULL)
            tell(&before->items[i], changed, needs_restart);
}
