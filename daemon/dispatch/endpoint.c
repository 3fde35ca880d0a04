/* See endpoint.h. */
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/resource.h>

const int64_t endpoint_duration_bounds[ENDPOINT_DURATION_BOUNDS] = {50000, 100000, 250000, 500000, 1000000, 2000000, 4000000, 8000000, 15000000, 30000000, 60000000, 120000000};

enum { STATE_AGAIN_MS = 500, STATE_AGAIN_MOST_MS = 10000 }; /* between tries to store a state: soon after a hiccup, seldom while a disk is full */

static const struct endpoint_setting_row rows[ENDPOINT_SETTING_COUNT] = {
    [SETTING_RPM] = {"rpm", 0, 10000000, ENDPOINT_NUMBER, false, "requests a minute, never exceeded; 0: learn it"},
    [SETTING_TPM] = {"tpm", 0, INT64_C(1000000000000), ENDPOINT_NUMBER, false, "tokens a minute, never exceeded; 0: learn it"},
    [SETTING_RPD] = {"rpd", 0, INT64_C(1000000000), ENDPOINT_NUMBER, false, "requests a day (Pacific time), never exceeded; 0: learn it"},
    [SETTING_MAX_IN_FLIGHT] = {"max_in_flight", 1, 1024, ENDPOINT_NUMBER, false, "calls under way at once, at most"},
    [SETTING_MAX_OUTPUT_TOKENS] = {"max_output_tokens", 16, 65536, ENDPOINT_NUMBER, true, "tokens of an answer, thinking included"},
    [SETTING_REQUEST_TIMEOUT] = {"request_timeout", 1000, 3600000, ENDPOINT_DURATION, false, "the longest that one call may take"},
    [SETTING_MAX_COST_PER_DAY] = {"max_cost_per_day", 0, PRICE_AMOUNT_MAX_MICROS, ENDPOINT_AMOUNT, false, "what its calls may cost a day (Pacific time), never exceeded; 0: no limit"},
    [SETTING_PRICE] = {"price", 0, PRICE_AMOUNT_MAX_MICROS, ENDPOINT_PRICE, false, "what a million tokens cost; it takes the place of the configuration's"},
};

bool endpoint_setting_applies(const struct endpoint *endpoint, enum endpoint_setting setting)
{
    return !rows[setting].of_prompts || endpoint->provider->takes_prompt;
}

const struct endpoint_setting_row *endpoint_setting_rows(void)
{
    return rows;
}

/* Where the file has it; 0: that is not kept, or the file does not have it. */
static int line_of(const struct endpoint_config *endpoint, enum provider_setting setting)
{
    switch (setting) {
    case PROVIDER_BASE_URL: return endpoint->base_url_line;
    case PROVIDER_TEST_PATH: return endpoint->test_path_line;
    case PROVIDER_PROJECT: return endpoint->project_line;
    case PROVIDER_LOCATION: return endpoint->location_line;
    case PROVIDER_API_VERSION:
    case PROVIDER_MODEL:
    default: return 0;
    }
}

/* The line of the setting that is wrong, 0 where none is known, comes back too. */
static int check_endpoint(const struct endpoint_config *endpoint, int *ret_line, struct galloc_error *error)
{
    const struct provider_ops *provider = provider_by_name(endpoint->provider);
    const struct provider_wire wire = endpoint_config_wire(endpoint);
    enum provider_setting wrong = PROVIDER_BASE_URL;
    int rc = 0;
    *ret_line = 0;
    if (provider == NULL)
        return galloc_fail(error, GALLOC_D_CONFIG, "provider: \"%s\" is not known", endpoint->provider);
    if ((rc = net_check_url(endpoint->base_url, endpoint->allow_plain_http, error)) < 0) {
        *ret_line = line_of(endpoint, PROVIDER_BASE_URL);
        return galloc_prefix(error, "base_url");
    }
    if ((rc = provider->check(&wire, &wrong, error)) < 0) {
        *ret_line = line_of(endpoint, wrong);
        return rc;
    }
    return net_check_proxy(endpoint->proxy, error) < 0 ? galloc_prefix(error, "proxy") : 0;
}

int endpoint_load_config(const char *path, struct config **ret_config, struct galloc_error *error)
{
    struct config *config = NULL;
    int rc = config_load(path, &config, error);
    for (size_t i = 0; rc == 0 && i < config->endpoint_count; i++) {
        int line;
        struct galloc_error problem;
        if (check_endpoint(&config->endpoints[i], &line, &problem) == 0)
            continue;
        char where[32] = "";
        if (line > 0)
            snprintf(where, sizeof where, ":%d", line);
        rc = galloc_fail(error, GALLOC_D_CONFIG, "%s%s: endpoint \"%s\": %s", config->path ? config->path : "defaults", where, config->endpoints[i].name, problem.message);
    }
    if (rc < 0) {
        config_free(config);
        if (error != NULL)
            error->code = GALLOC_D_CONFIG;
        return -GALLOC_D_CONFIG;
    }
    *ret_config = config;
    return 0;
}

struct provider_wire endpoint_config_wire(const struct endpoint_config *config)
{
    return (struct provider_wire){.base_url = config->base_url,
                                  .api_version = config->api_version,
                                  .model = config->model,
                                  .test_path = config->test_path,
                                  .token_limit = config->token_limit,
                                  .answer_format = config->answer_format,
                                  .is_vertex = config->is_vertex,
                                  .project = config->project,
                                  .location = config->location,
                                  .request_timeout_ms = config->request_timeout_ms};
}

struct provider_wire endpoint_wire(const struct endpoint *endpoint)
{
    struct provider_wire wire = endpoint_config_wire(endpoint->config);
    wire.request_timeout_ms = endpoint->values[SETTING_REQUEST_TIMEOUT];
    return wire;
}

bool endpoint_has_test(const struct endpoint *endpoint)
{
    const struct provider_wire wire = endpoint_wire(endpoint);
    return provider_has_test(endpoint->provider, &wire);
}

static void submit_state(void *arg);

struct endpoint *endpoint_new(struct engine *engine, const struct endpoint_config *config)
{
    struct endpoint *endpoint = xcalloc(1, sizeof *endpoint);
    endpoint->config = config;
    endpoint->provider = provider_by_name(config->provider);
    endpoint->state.down_class = -1;
    endpoint->dispatch = xcalloc(1, sizeof *endpoint->dispatch);
    endpoint->dispatch->engine = engine;
    endpoint->dispatch->endpoint = endpoint;
    loop_timer_init(&endpoint->dispatch->state_again, engine->loop, submit_state, endpoint);
    endpoint_apply(endpoint, clock_wall_ms());
    return endpoint;
}

void endpoint_free(struct endpoint *endpoint)
{
    if (endpoint == NULL)
        return;
    loop_timer_clear(&endpoint->dispatch->wake);
    loop_timer_clear(&endpoint->dispatch->state_again);
    held_free_all(endpoint);
    free(endpoint->dispatch->items);
    free(endpoint->dispatch->owners);
    free(endpoint->dispatch);
    secret_free(endpoint->secret);
    free(endpoint->key_problem);
    pacer_free(endpoint->pacer);
    free(endpoint->state.endpoint);
    free(endpoint->state.down_text);
    free(endpoint->state.learned);
    free(endpoint);
}

void endpoint_sums(const struct endpoint *endpoint, bool ever, int64_t ret_sums[COUNT_KIND_END])
{
    memset(ret_sums, 0, COUNT_KIND_END * sizeof *ret_sums);
    if (ever)
        memcpy(ret_sums, endpoint->sums_before, sizeof endpoint->sums_before);
    ret_sums[COUNT_CALLS] += endpoint->calls;
    ret_sums[COUNT_TEST_CALLS] += endpoint->test_calls;
    for (int class = 0; class < OUTCOME_CLASS_COUNT; class++)
        ret_sums[COUNT_CLASS + class] += endpoint->counts[class];
    for (int token = 0; token < TOKEN_COUNT; token++)
        ret_sums[COUNT_TOKEN + token] += endpoint->tokens[token];
    ret_sums[COUNT_COST_MICROS] += endpoint->cost_micros;
    ret_sums[COUNT_COST_UNKNOWN] += endpoint->cost_unknown_calls;
}

/* Connections that calls may hold: half of the process's descriptors, so that the store and people at the socket always find some. */
static int64_t connections_most(void)
{
    enum { OWN_DESCRIPTORS = 24 };
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return INT64_MAX;
    return max_i64(((int64_t)limit.rlim_cur - OWN_DESCRIPTORS) / 2, 1);
}

int64_t endpoint_file_value(const struct endpoint_config *config, enum endpoint_setting setting)
{
    const int64_t from_file[ENDPOINT_SETTING_COUNT] = {
        [SETTING_RPM] = config->rpm,
        [SETTING_TPM] = config->tpm,
        [SETTING_RPD] = config->rpd,
        [SETTING_MAX_COST_PER_DAY] = config->max_cost_per_day_micros,
        [SETTING_MAX_IN_FLIGHT] = config->max_in_flight,
        [SETTING_MAX_OUTPUT_TOKENS] = config->max_output_tokens,
        [SETTING_REQUEST_TIMEOUT] = config->request_timeout_ms,
    };
    return from_file[setting];
}

void endpoint_apply(struct endpoint *endpoint, int64_t wall_ms)
{
    const struct endpoint_config *config = endpoint->config;
    for (int i = 0; i < ENDPOINT_SETTING_COUNT; i++) {
        struct endpoint_override *override = &endpoint->overrides[i];
        if (override->is_set && override->until_at_ms != 0 && override->until_at_ms <= wall_ms)
            override->is_set = false;
        endpoint->values[i] = override->is_set ? override->value : endpoint_file_value(config, (enum endpoint_setting)i);
    }
    endpoint->values[SETTING_MAX_IN_FLIGHT] = min_i64(endpoint->values[SETTING_MAX_IN_FLIGHT], connections_most());
    struct pacer_limits limits = {.rpm = endpoint->values[SETTING_RPM],
                                  .tpm = endpoint->values[SETTING_TPM],
                                  .rpd = endpoint->values[SETTING_RPD],
                                  .max_in_flight = endpoint->values[SETTING_MAX_IN_FLIGHT],
                                  .time_scale = config->time_scale};
    uint64_t seed;
    endpoint_apply_price(endpoint, wall_ms);
    if (endpoint->pacer == NULL) {
        random_bytes(&seed, sizeof seed);
        endpoint->pacer = pacer_new(&limits, seed);
    } else {
        pacer_set_limits(endpoint->pacer, &limits);
    }
}

static int read_override(const struct endpoint_setting_row *row, const char *text, struct endpoint_override *override)
{
    struct amount amount;
    int rc;
    switch (row->kind) {
    case ENDPOINT_AMOUNT:
        rc = amount_parse(text, &amount, NULL);
        override->value = rc == 0 ? amount.micros : 0;
        return rc;
    case ENDPOINT_NUMBER: return parse_i64(text, row->low, row->high, &override->value, NULL);
    case ENDPOINT_DURATION: return parse_duration_ms(text, &override->value, NULL);
    case ENDPOINT_PRICE: return price_parse(text, &override->price, NULL);
    case ENDPOINT_SETTING_KIND_COUNT: break;
    }
    return -GALLOC_INVALID_VALUE;
}

void endpoint_set_override(struct endpoint *endpoint, const struct store_setting *setting, bool is_set)
{
    for (int i = 0; i < ENDPOINT_SETTING_COUNT; i++) {
        if (strcmp(rows[i].name, setting->name) != 0)
            continue;
        struct endpoint_override override = {.is_set = is_set, .set_at_ms = setting->set_at_ms, .until_at_ms = setting->until_at_ms, .set_by = setting->set_by};
        int rc = is_set ? read_override(&rows[i], setting->value, &override) : 0;
        if (rc == 0)
            endpoint->overrides[i] = override;
    }
    endpoint_apply(endpoint, clock_wall_ms());
}

void endpoint_read_back(struct endpoint *endpoint, const struct store_sends *sends)
{
    int64_t tokens = 0, known = 0;
    for (size_t i = 0; i < sends->count; i++) {
        tokens += max_i64(sends->items[i].tokens, 0);
        known += sends->items[i].tokens > 0;
    }
    money_read_back(endpoint, sends->day_cost_micros);
    if (known > 0)
        endpoint->dispatch->prompt_tokens = tokens / known;
    pacer_read_back(endpoint->pacer, engine_now(), sends->items, sends->count, sends->day_calls);
}

bool endpoint_is_down(const struct endpoint *endpoint)
{
    return endpoint->state.down_class >= 0 || (endpoint->secret == NULL && endpoint->provider->needs_key);
}

int endpoint_find_key(const struct endpoint_config *config, struct secret **ret_secret, struct galloc_error *error)
{
    const struct provider_ops *provider = provider_by_name(config->provider);
    int rc = secret_read(config, ret_secret, error);
    if (rc != -GALLOC_NOT_FOUND || config->api_key_file[0] != '\0' || config->token_file[0] != '\0' || provider == NULL || provider->needs_key)
        return rc;
    *ret_secret = NULL; /* none was put anywhere, and none is needed */
    return 0;
}

void endpoint_read_key(struct engine *engine, struct endpoint *endpoint)
{
    struct galloc_error error;
    struct secret *secret = NULL;
    secret_stamp(endpoint->config, &endpoint->dispatch->token_stamp); /* before it is read: what changes meanwhile is read again */
    free(endpoint->key_problem);
    endpoint->key_problem = NULL;
    if (endpoint_find_key(endpoint->config, &secret, &error) < 0) {
        endpoint->key_problem = xstrdup(error.message);
        if (endpoint->secret == NULL)
            endpoint_go_down(engine, endpoint, OUTCOME_CREDENTIALS, error.message);
        return;
    }
    char before[17] = "", after[17] = "";
    if (endpoint->secret != NULL)
        secret_fingerprint(endpoint->secret, before);
    if (secret != NULL)
        secret_fingerprint(secret, after);
    secret_free(endpoint->secret);
    endpoint->secret = secret;
    if (strcmp(before, after) == 0)
        return;
    endpoint->dispatch->up_us = engine_now().mono_us; /* a refusal that is still under way was of the former key */
    if (endpoint->state.down_class == OUTCOME_CREDENTIALS)
        endpoint_come_up(engine, endpoint, "the key has changed"); /* tried at once; refused again, it goes down again */
}

void endpoint_look_at_token(struct engine *engine, struct endpoint *endpoint)
{
    struct secret_stamp stamp;
    if (endpoint->config->token_file[0] == '\0')
        return;
    secret_stamp(endpoint->config, &stamp);
    if (!secret_stamp_is(&stamp, &endpoint->dispatch->token_stamp))
        endpoint_read_key(engine, endpoint);
}

/* ---- the state into the store: the newest, one at a time, until it is there ---- */

static void on_state_stored(struct store_op *op)
{
    struct endpoint *endpoint = op->arg;
    struct endpoint_dispatch *d = endpoint->dispatch;
    bool has_failed = op->code < 0;
    store_op_free(op);
    d->is_state_owed = has_failed && d->engine->health != STORE_FAILED; /* failed for good: the daemon is about to end */
    d->state_wait_ms = has_failed ? clamp_i64(2 * d->state_wait_ms, STATE_AGAIN_MS, STATE_AGAIN_MOST_MS) : 0;
    if (d->is_state_owed)
        loop_timer_set_ms(&d->state_again, d->state_wait_ms);
    else if (!has_failed && d->has_newer_state)
        submit_state(endpoint);
}

static void submit_state(void *arg)
{
    struct endpoint *endpoint = arg;
    struct endpoint_dispatch *d = endpoint->dispatch;
    d->is_state_owed = true;
    d->has_newer_state = false;
    struct store_endpoint_state_op *op = store_op_new(OP_ENDPOINT_STATE, on_state_stored, endpoint);
    op->state = (struct store_endpoint_state){.endpoint = xstrdup(endpoint->config->name),
                                              .down_class = endpoint->state.down_class,
                                              .down_text = xstrdup(endpoint->state.down_text),
                                              .down_at_ms = endpoint->state.down_at_ms,
                                              .learned = xstrdup(endpoint->state.learned)};
    store_submit(d->engine->store, &op->op);
}

/* Memory first: nothing more is sent from this turn on, whenever the row is on disk. */
void endpoint_store_state(struct endpoint *endpoint)
{
    if (endpoint->dispatch->engine->store == NULL)
        return;
    if (endpoint->dispatch->is_state_owed)
        endpoint->dispatch->has_newer_state = true;
    else
        submit_state(endpoint);
}

void endpoint_go_down(struct engine *engine, struct endpoint *endpoint, enum outcome_class class, const char *text)
{
    struct store_endpoint_state *state = &endpoint->state;
    if (state->down_class == (int)class)
        return; /* the first words stand */
    state->down_class = (int)class;
    free(state->down_text);
    state->down_text = xstrdup(text ? text : outcome_row(class)->text);
    state->down_at_ms = clock_wall_ms();
    log_event(LOG_LEVEL_WARNING, "endpoint_down", "endpoint=%s reason=%s text=\"%s\"", endpoint->config->name, outcome_row(class)->name, state->down_text);
    notice_endpoint(engine, endpoint, state->down_text);
    held_drop(endpoint, 0); /* it is seen ill; nobody tests it before it is mended, and a run may have gone elsewhere by then */
    endpoint_store_state(endpoint);
}

void endpoint_come_up(struct engine *engine, struct endpoint *endpoint, const char *text)
{
    struct store_endpoint_state *state = &endpoint->state;
    struct pacer_now now = engine_now();
    pacer_resume(endpoint->pacer, now);
    endpoint->dispatch->up_us = now.mono_us;
    if (state->down_class < 0)
        return;
    state->down_class = -1;
    free(state->down_text);
    state->down_text = NULL;
    state->down_at_ms = 0;
    log_event(LOG_LEVEL_NOTICE, "endpoint_up", "endpoint=%s text=\"%s\"", endpoint->config->name, text);
    notice_endpoint(engine, endpoint, text);
    endpoint_store_state(endpoint);
}
