/* See section.h. Pure; any thread. */
#include "config/section.h"

#include "core/limits.h"

#include <stdlib.h>
#include <string.h>

#define MODEL_BYTES 256

void draft_clear(struct draft *draft)
{
    settings_clear(draft->kind, &draft->in);
    free(draft->name);
    free(draft->problem);
    *draft = (struct draft){0};
}

static bool is_given(const struct draft *draft, const char *name, enum setting_section section)
{
    for (size_t i = 0; i < setting_count; i++)
        if (settings[i].section == section && strcmp(settings[i].name, name) == 0)
            return draft->given >> i & 1;
    return false;
}

/* Names stand in paths, URLs and tables, so they are plain. */
static bool is_plain_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= LIMIT_NAME_BYTES && name[0] != '.' && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

/* Why a setting that was given, the row `index`, means nothing; owned by the draft. */
static const char *fail_row(struct draft *draft, size_t index, char *problem)
{
    draft->problem_line = draft->lines[index];
    draft->problem = problem;
    return problem;
}

static size_t index_of(const char *name)
{
    size_t index = 0;
    while (settings[index].section != SECTION_ENDPOINT || strcmp(settings[index].name, name) != 0)
        index++;
    return index;
}

/* What is given has to mean something to the provider. */
static const char *check_given(struct draft *draft)
{
    const struct endpoint_config *endpoint = &draft->in.endpoint;
    for (size_t i = 0; i < setting_count; i++) {
        const char *provider = settings[i].section == SECTION_ENDPOINT ? setting_provider(&settings[i]) : NULL;
        if (provider != NULL && (draft->given >> i & 1) && strcmp(provider, endpoint->provider) != 0)
            return fail_row(draft, i, xasprintf("%s means nothing to provider \"%s\" (it is for \"%s\"): leave it out", settings[i].name, endpoint->provider, provider));
    }
    if (strcmp(endpoint->provider, "http") == 0 && is_given(draft, "max_output_tokens", SECTION_ENDPOINT))
        return fail_row(draft, index_of("max_output_tokens"), xstrdup("max_output_tokens means nothing to provider \"http\", which takes no prompt: leave it out"));
    if (is_given(draft, "token_file", SECTION_ENDPOINT) && is_given(draft, "api_key_file", SECTION_ENDPOINT))
        return fail_row(draft, index_of("token_file"), xstrdup("token_file stands in the place of api_key_file: leave one of them out"));
    if (strcmp(endpoint->api_version, "v1beta1") == 0 && !endpoint->is_vertex)
        return fail_row(draft, index_of("api_version"), xstrdup("api_version v1beta1 is Vertex AI's: set vertex = yes, or use v1beta or v1"));
    return NULL;
}

static void put_text(char **place, char *text)
{
    free(*place);
    *place = text;
}

/* Where Vertex AI is (cloud.google.com/vertex-ai/docs/general/locations): a location has a host of its own, the multi-regions another kind, all else is the global one's. */
static void default_vertex(struct draft *draft)
{
    struct endpoint_config *endpoint = &draft->in.endpoint;
    const char *location = endpoint->location;
    bool is_multi = strcmp(location, "us") == 0 || strcmp(location, "eu") == 0;
    if (!is_given(draft, "api_version", SECTION_ENDPOINT))
        put_text(&endpoint->api_version, xstrdup("v1"));
    if (is_given(draft, "base_url", SECTION_ENDPOINT))
        return;
    if (location[0] == '\0' || strcmp(location, "global") == 0)
        put_text(&endpoint->base_url, xstrdup("https://aiplatform.googleapis.com"));
    else
        put_text(&endpoint->base_url, xasprintf(is_multi ? "https://aiplatform.%s.rep.googleapis.com" : "https://%s-aiplatform.googleapis.com", location));
}

/* What Gemini has a default for, another has to be told. */
static const char *check_provider(struct draft *draft)
{
    struct endpoint_config *endpoint = &draft->in.endpoint;
    bool is_openai = strcmp(endpoint->provider, "openai") == 0;
    const char *problem = check_given(draft);
    if (problem != NULL)
        return problem;
    if (strcmp(endpoint->provider, "gemini") == 0) {
        if (endpoint->is_vertex)
            default_vertex(draft);
        return NULL;
    }
    if (!is_given(draft, "base_url", SECTION_ENDPOINT))
        return is_openai ? "base_url has to be given: like https://api.openai.com/v1 or http://127.0.0.1:8000/v1" : "base_url has to be given: the whole URL of the service";
    if (is_openai && !is_given(draft, "model", SECTION_ENDPOINT))
        return "model has to be given: its name as the server knows it";
    if (!is_given(draft, "model", SECTION_ENDPOINT))
        endpoint->model[0] = '\0'; /* or it would be priced as the default one */
    return NULL;
}

static const char *end_endpoint(struct config *config, struct draft *draft)
{
    const char *problem = check_provider(draft);
    if (problem != NULL)
        return problem;
    if (!is_plain_name(draft->name))
        return "an endpoint's name has 1 to 128 letters, digits, dots, dashes and underscores, and begins with neither "
               "dot nor dash";
    if (plan_is_workers(draft->name))
        return "the name \"workers\" is taken: it means runs that are left to outside workers";
    struct endpoint_config *place = (struct endpoint_config *)config_endpoint(config, draft->name);
    if (place != NULL) {
        free(place->name);
        settings_clear(SECTION_ENDPOINT, place);
    } else {
        config->endpoints = xreallocarray(config->endpoints, config->endpoint_count + 1, sizeof *config->endpoints);
        place = &config->endpoints[config->endpoint_count++];
    }
    *place = draft->in.endpoint;
    place->name = xstrdup(draft->name);
    draft->in.endpoint = (struct endpoint_config){0};
    return NULL;
}

static const char *end_price(struct config *config, struct draft *draft)
{
    struct price_config *price = &draft->in.price;
    const char *star = strchr(draft->name, '*');
    size_t len = strlen(draft->name);
    if (len == 0 || len > MODEL_BYTES || (star != NULL && star[1] != '\0'))
        return "a price's name is that of a model, of 1 to 256 bytes, with a * at most at its end";
    if (!is_given(draft, "in", SECTION_PRICE) || !is_given(draft, "out", SECTION_PRICE))
        return "a price needs both \"in\" and \"out\" (per million tokens)";
    if (!is_given(draft, "cached_in", SECTION_PRICE))
        price->price.cached_in_micros = price->price.in_micros;
    config->prices = xreallocarray(config->prices, config->price_count + 1, sizeof *config->prices);
    price->model = xstrdup(draft->name);
    price->is_shipped = draft->is_shipped;
    config->prices[config->price_count++] = *price;
    *price = (struct price_config){0};
    return NULL;
}

static char *profile_text(const struct profile *profile)
{
    static const char *const ways[] = {[MODE_CONTINUOUS] = "continuous: a free slot takes the next assignment",
                                       [MODE_SEQUENTIAL] = "one at a time, in the order of the input"};
    if (profile->mode != MODE_BATCH)
        return xstrdup(ways[profile->mode]);
    return xasprintf("batches of %lld, %lld ms between them", (long long)profile->batch_size,
                     (long long)profile->delay_ms);
}

static const char *end_profile(struct config *config, struct draft *draft)
{
    struct profile *profile = &draft->in.profile;
    if (!is_plain_name(draft->name))
        return "a profile's name has 1 to 128 letters, digits, dots, dashes and underscores, and begins with neither "
               "dot nor dash";
    if (draft->known != NULL && profile->mode != draft->known->mode)
        return "the mode of a built-in profile stays as it is; make a profile of another name";
    if (draft->known == NULL && !is_given(draft, "mode", SECTION_PROFILE))
        return "a new profile needs a mode: continuous, batch or sequential";
    bool has_batch = is_given(draft, "batch_size", SECTION_PROFILE),
         has_delay = is_given(draft, "delay_between_batches", SECTION_PROFILE);
    if (profile->mode != MODE_BATCH && (has_batch || has_delay))
        return "batch_size and delay_between_batches are for profiles of mode batch alone";
    if (profile->mode == MODE_BATCH && draft->known == NULL && !has_batch)
        return "a batch profile needs a batch_size";
    if (profile->mode == MODE_SEQUENTIAL)
        profile->batch_size = 1;
    profile->name = xstrdup(draft->name);
    profile->text = profile_text(profile);
    if (draft->known != NULL) {
        struct profile *place = &config->profiles[draft->known - config->profiles];
        profile_clear(place);
        *place = *profile;
    } else {
        config->profiles = xreallocarray(config->profiles, config->profile_count + 1, sizeof *config->profiles);
        config->profiles[config->profile_count++] = *profile;
    }
    *profile = (struct profile){0};
    return NULL;
}

static const char *(*const section_ends[SECTION_COUNT])(struct config *config, struct draft *draft) = {
    [SECTION_ENDPOINT] = end_endpoint,
    [SECTION_PRICE] = end_price,
    [SECTION_PROFILE] = end_profile,
};

const char *draft_end(struct draft *draft, struct config *config)
{
    return section_ends[draft->kind](config, draft);
}
