/* See config.h: defaults, the file, the shipped prices, and what holds of them. */
#include "config/settings.h"

#include "base/text.h"

#include <grp.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE_GROUP "galloc"
#define SOCKET_PATH_BYTES 107 /* unix(7): sun_path without its NUL */

void profile_clear(struct profile *profile)
{
    free(profile->name);
    free(profile->text);
    *profile = (struct profile){0};
}

struct config *config_new(void)
{
    struct config *config = xcalloc(1, sizeof *config);
    settings_default(SECTION_DAEMON, config);
    config->endpoint_count = 1;
    config->endpoints = xcalloc(1, sizeof *config->endpoints);
    settings_default(SECTION_ENDPOINT, config->endpoints);
    config->endpoints[0].name = xstrdup("gemini");
    const struct profile *defaults = profile_defaults(&config->profile_count);
    config->profiles = xcalloc(config->profile_count, sizeof *config->profiles);
    for (size_t i = 0; i < config->profile_count; i++) {
        config->profiles[i] = defaults[i];
        config->profiles[i].name = xstrdup(defaults[i].name);
        config->profiles[i].text = xstrdup(defaults[i].text);
    }
    return config;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < config->endpoint_count; i++) {
        free(config->endpoints[i].name);
        settings_clear(SECTION_ENDPOINT, &config->endpoints[i]);
    }
    for (size_t i = 0; i < config->price_count; i++) {
        free(config->prices[i].model);
        settings_clear(SECTION_PRICE, &config->prices[i]);
    }
    for (size_t i = 0; i < config->profile_count; i++)
        profile_clear(&config->profiles[i]);
    settings_clear(SECTION_DAEMON, config);
    free(config->endpoints);
    free(config->prices);
    free(config->profiles);
    free(config->path);
    free(config);
}

const struct endpoint_config *config_endpoint(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->endpoint_count; i++)
        if (strcmp(config->endpoints[i].name, name) == 0)
            return &config->endpoints[i];
    return NULL;
}

const struct profile *config_profile(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->profile_count; i++)
        if (strcmp(config->profiles[i].name, name) == 0)
            return &config->profiles[i];
    return NULL;
}

/* ---- prices ---- */

static bool price_is_for(const struct price_config *price, const char *model)
{
    size_t len = strlen(price->model);
    if (len > 0 && price->model[len - 1] == '*')
        return strncmp(price->model, model, len - 1) == 0;
    return strcmp(price->model, model) == 0;
}

/* Is `a` the better of two that both hold? The file's own before shipped ones, a name before a prefix, a long prefix
 * before a short one, the later. */
static bool price_is_better(const struct price_config *a, const struct price_config *b)
{
    size_t len_a = strlen(a->model), len_b = strlen(b->model);
    bool exact_a = a->model[len_a - 1] != '*', exact_b = b->model[len_b - 1] != '*';
    if (a->is_shipped != b->is_shipped)
        return !a->is_shipped;
    if (exact_a != exact_b)
        return exact_a;
    return len_a != len_b ? len_a > len_b : a->from_at_ms >= b->from_at_ms;
}

const struct price_config *config_price(const struct config *config, const char *model, enum price_tier tier, int64_t wall_ms)
{
    const struct price_config *best = NULL;
    for (size_t i = 0; i < config->price_count; i++) {
        const struct price_config *price = &config->prices[i];
        if (price->from_at_ms <= wall_ms && strcmp(price->tier, price_tier_name(tier)) == 0 && price_is_for(price, model) &&
            (best == NULL || price_is_better(price, best)))
            best = price;
    }
    return best;
}

/* ---- loading ---- */

static int fill_places(struct config *config, const struct places *places, struct galloc_error *error)
{
    if (config->state_dir == NULL)
        config->state_dir = places_state_dir(places);
    if (config->socket_path == NULL)
        config->socket_path = places_socket(places);
    if (config->state_dir == NULL || config->socket_path == NULL)
        return galloc_fail(error, GALLOC_D_CONFIG,
                           "this account has no home and XDG_STATE_HOME is not set: set socket and state_dir in the "
                           "configuration, or give --socket and "
                           "--state-dir");
    if (strlen(config->socket_path) > SOCKET_PATH_BYTES)
        return galloc_fail(error, GALLOC_D_CONFIG,
                           "the socket's path %s has more than %d bytes, which no socket can have; set a shorter one "
                           "(socket, or --socket)",
                           config->socket_path, SOCKET_PATH_BYTES);
    if (config->socket_group == NULL)
        config->socket_group = xstrdup(places->is_service && getgrnam(SERVICE_GROUP) != NULL ? SERVICE_GROUP : "");
    return 0;
}

static int check_default_endpoint(const struct config *config, int line, struct galloc_error *error)
{
    if (config_endpoint(config, config->default_endpoint) != NULL || plan_is_workers(config->default_endpoint))
        return 0;
    const char **names = xcalloc(config->endpoint_count, sizeof *names);
    for (size_t i = 0; i < config->endpoint_count; i++)
        names[i] = config->endpoints[i].name;
    const char *nearest = text_nearest(config->default_endpoint, names, config->endpoint_count);
    int rc =
        galloc_fail(error, GALLOC_D_CONFIG, "%s:%d: default_endpoint: there is no endpoint \"%s\"%s%s%s", config->path,
                    line, config->default_endpoint, nearest ? "; did you mean \"" : "; write a section for it",
                    nearest ? nearest : "", nearest ? "\"?" : "");
    free(names);
    return rc;
}

/* The first place that has a file; NULL when none has. Owned. */
static char *find_file(const struct places *places)
{
    char *path;
    for (int i = 0; (path = places_config_file(places, i)) != NULL; i++) {
        char *text = NULL;
        size_t len;
        int rc = file_load(path, &text, &len, NULL);
        free(text);
        if (rc != -GALLOC_NOT_FOUND)
            return path;
        free(path);
    }
    return NULL;
}

static int load_file(struct config *config, struct file_report *ret_report, struct galloc_error *error)
{
    char *text = NULL;
    size_t len = 0;
    if (config->path == NULL)
        return 0;
    int rc = file_load(config->path, &text, &len, error);
    if (rc < 0)
        return galloc_fail(error, GALLOC_D_CONFIG,
                           "%s: the configuration cannot be read; check the path and its rights", config->path);
    rc = file_read(config, config->path, text, len, false, ret_report, error);
    free(text);
    return rc;
}

/* The shipped prices may be missing (then costs are unknown); a file that was named may not. */
static int load_prices(struct config *config, int line, struct galloc_error *error)
{
    char *text = NULL;
    size_t len = 0;
    struct file_report ignored;
    if (config->prices_file[0] == '\0')
        return 0;
    int rc = file_load(config->prices_file, &text, &len, error);
    if (rc == -GALLOC_NOT_FOUND && line == 0)
        return 0;
    if (rc == -GALLOC_NOT_FOUND)
        return galloc_fail(error, GALLOC_D_CONFIG, "%s:%d: prices_file: there is no file %s", config->path, line,
                           config->prices_file);
    if (rc == 0)
        rc = file_read(config, config->prices_file, text, len, true, &ignored, error);
    free(text);
    return rc;
}

int config_load_at(const struct places *places, const char *path, struct config **ret_config,
                   struct galloc_error *error)
{
    struct config *config = config_new();
    struct file_report report = {0};
    config->path = path != NULL ? xstrdup(path) : find_file(places);
    int rc = load_file(config, &report, error);
    if (rc == 0)
        rc = check_default_endpoint(config, report.default_endpoint_line, error);
    if (rc == 0)
        rc = fill_places(config, places, error);
    if (rc == 0)
        rc = load_prices(config, report.prices_file_line, error);
    if (rc < 0) {
        config_free(config);
        return rc;
    }
    *ret_config = config;
    return 0;
}

int config_load(const char *path, struct config **ret_config, struct galloc_error *error)
{
    struct places places;
    places_of_process(&places);
    return config_load_at(&places, path, ret_config, error);
}
