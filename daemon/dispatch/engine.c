/* See engine.h. Memory follows the store: what a commit changed comes through engine_on_commit() first, then the operations that changed it come back. */
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "base/log.h"

#include <string.h>

enum { EVENTS_KEPT = 16384, SECOND_MS = 1000, LEARNED_KEEP_MS = 60000 };

struct pacer_now engine_now(void)
{
    return (struct pacer_now){.mono_us = clock_mono_us(), .wall_ms = clock_wall_ms()};
}

bool engine_holds_calls(const struct engine *engine)
{
    return engine->is_one_at_a_time && engine->calls > 0;
}

void engine_call_settled(struct engine *engine)
{
    engine->calls--;
    engine->is_one_at_a_time = false; /* the machine is well enough */
}

static void check_drained(struct engine *engine);

/* Rows that were leased and may not go now are given back, so that nothing sits leased through a pause. */
static void release_idle(struct engine *engine)
{
    int64_t now_us = engine_now().mono_us;
    for (struct run_entry *run = engine->registry.runs; run != NULL; run = run->next) {
        if (run->dispatch == NULL || run->dispatch->ready == NULL)
            continue;
        int64_t wait_us;
        bool is_runnable = run_is_runnable(engine, run), is_shut = is_runnable && pacer_is_open(run->endpoint->pacer) && !in_turn_may_probe(run->endpoint, &wait_us);
        if (!is_runnable || is_shut)
            ready_release(run);
        else
            ready_release_stalled(run, now_us);
    }
}

static void on_turn(void *arg)
{
    struct engine *engine = arg;
    engine->ticks++;
    events_tell(engine->events);
    if (engine->store == NULL)
        return;
    for (struct endpoint *endpoint = engine->registry.endpoints; endpoint != NULL; endpoint = endpoint->next)
        settle_flush(endpoint); /* first: the writer is at it while prompts are made */
    if (engine->health == STORE_WELL || engine->health == STORE_DISK_LOW)
        release_idle(engine);
    pump(engine);
    outside_turn(engine);
    for (struct endpoint *endpoint = engine->registry.endpoints; endpoint != NULL; endpoint = endpoint->next)
        settle_flush(endpoint); /* what could not be sent */
    check_drained(engine);
}

void engine_turn(struct engine *engine)
{
    if (!loop_timer_is_set(&engine->turn))
        loop_timer_set_us(&engine->turn, 0);
}

/* Connections that are kept: one a call, and one for the test request of each endpoint. */
static int64_t pool_size(const struct engine *engine)
{
    int64_t connections = 0;
    for (struct endpoint *endpoint = engine->registry.endpoints; endpoint != NULL; endpoint = endpoint->next)
        connections += endpoint->values[SETTING_MAX_IN_FLIGHT] + 1;
    return max_i64(connections, 4);
}

static void keep_learned(struct engine *engine)
{
    engine->learned_mono_ms = clock_mono_ms() + LEARNED_KEEP_MS;
    for (struct endpoint *endpoint = engine->registry.endpoints; endpoint != NULL; endpoint = endpoint->next)
        learned_keep(endpoint);
}

/* Once a second: overrides that end, ages, dates of agents. */
static void on_second(void *arg)
{
    struct engine *engine = arg;
    int64_t wall_ms = clock_wall_ms();
    loop_timer_set_ms(&engine->second, SECOND_MS);
    if (engine->store == NULL)
        return;
    outside_second(engine);
    for (struct endpoint *endpoint = engine->registry.endpoints; endpoint != NULL; endpoint = endpoint->next) {
        endpoint_apply(endpoint, wall_ms);
        endpoint_look_at_token(engine, endpoint);
        endpoint_tell_mind(engine, endpoint);
    }
    rungs_look(engine);
    if (clock_mono_ms() >= engine->learned_mono_ms)
        keep_learned(engine);
    log_size_look(engine);
    net_set_pool_size(engine->net, pool_size(engine)); /* as `endpoint set` has it now */
    for (struct run_entry *run = engine->registry.runs; run != NULL; run = run->next) {
        struct run_dispatch *d = run->dispatch;
        if (run->info.state == RUN_DONE || run->info.state == RUN_CANCELLED)
            run_end(run); /* once the last that is on its way has come back */
        else if (d == NULL)
            run_begin(engine, run); /* what it lacked could not be read */
        if (d == NULL || run->info.state != RUN_RUNNING)
            continue;
        bool is_old = run->plan.max_age_ms > 0 && clock_mono_ms() - run->born_mono_ms > run->plan.max_age_ms;
        if (is_old && !d->has_sweep && run->info.counts[COUNT_STATE + ASSIGNMENT_PENDING] > 0 && engine->health == STORE_WELL)
            run_sweep(engine, run, SWEEP_EXPIRE);
    }
    run_abandon_left(engine);
    memory_tidy(engine);
    engine_turn(engine);
}

struct engine *engine_new(const struct engine_config *config)
{
    struct engine *engine = xcalloc(1, sizeof *engine);
    uint64_t seed;
    random_bytes(&seed, sizeof seed);
    rng_seed(&engine->rng, seed);
    engine->cfg = *config;
    engine->loop = config->loop;
    engine->net = config->net;
    engine->config = config->config;
    engine->events = events_new(EVENTS_KEPT);
    outside_init(engine);
    loop_timer_init(&engine->turn, engine->loop, on_turn, engine);
    loop_timer_init(&engine->second, engine->loop, on_second, engine);
    upkeep_init(engine);
    return engine;
}

void engine_free(struct engine *engine)
{
    if (engine == NULL)
        return;
    owed_clear(engine);
    outside_clear(engine);
    registry_clear(&engine->registry);
    events_free(engine->events);
    loop_timer_clear(&engine->turn);
    loop_timer_clear(&engine->second);
    upkeep_clear(engine);
    loop_timer_clear(&engine->drain_timer);
    config_free(engine->config);
    free(engine->places);
    free(engine);
}

struct registry *engine_registry(struct engine *engine)
{
    return &engine->registry;
}

struct store *engine_store(struct engine *engine)
{
    return engine->store;
}

const struct config *engine_configuration(struct engine *engine)
{
    return engine->config;
}

struct events *engine_events(struct engine *engine)
{
    return engine->events;
}

enum store_health engine_health(const struct engine *engine, const char **ret_text)
{
    if (ret_text != NULL)
        *ret_text = engine->health_text;
    return engine->health;
}

bool engine_is_draining(const struct engine *engine)
{
    return engine->is_draining;
}

int64_t engine_in_flight(const struct engine *engine)
{
    return engine->in_flight;
}

int64_t engine_ticks(const struct engine *engine)
{
    return engine->ticks;
}

/* ---- endpoints ---- */

/* Brings the list in line with the configuration: new endpoints are made, known ones take the new settings. */
static void take_endpoints(struct engine *engine)
{
    struct endpoint **end = &engine->registry.endpoints;
    while (*end != NULL)
        end = &(*end)->next;
    for (size_t i = 0; i < engine->config->endpoint_count; i++) {
        const struct endpoint_config *config = &engine->config->endpoints[i];
        struct endpoint *endpoint = registry_endpoint(&engine->registry, config->name);
        if (endpoint == NULL) {
            endpoint = endpoint_new(engine, config);
            *end = endpoint;
            end = &endpoint->next;
        }
        endpoint->config = config;
        endpoint->provider = provider_by_name(config->provider);
        endpoint_apply(endpoint, clock_wall_ms());
    }
    net_set_pool_size(engine->net, pool_size(engine));
}

static void load_endpoints(struct engine *engine, struct store_image *image)
{
    for (size_t i = 0; i < image->setting_count; i++) {
        struct endpoint *endpoint = registry_endpoint(&engine->registry, image->settings[i].endpoint);
        if (endpoint != NULL)
            endpoint_set_override(endpoint, &image->settings[i], true);
    }
    for (size_t i = 0; i < image->endpoint_count; i++) {
        struct endpoint *endpoint = registry_endpoint(&engine->registry, image->endpoints[i].endpoint);
        if (endpoint == NULL)
            continue;
        if (image->endpoints[i].down_class == OUTCOME_CREDENTIALS) { /* the key may have been changed while the daemon was away: it is tried anew */
            endpoint->state.learned = image->endpoints[i].learned;
            image->endpoints[i].learned = NULL;
            continue;
        }
        endpoint->state = image->endpoints[i];
        image->endpoints[i] = (struct store_endpoint_state){0};
    }
    for (size_t i = 0; i < image->sums_count; i++) {
        struct endpoint *endpoint = registry_endpoint(&engine->registry, image->sums[i].endpoint);
        if (endpoint == NULL)
            continue;
        memcpy(endpoint->sums_before, image->sums[i].counts, sizeof endpoint->sums_before);
        if (endpoint->currency[0] == '\0' || endpoint->sums_before[COUNT_COST_MICROS] > 0) /* whatever a price is in by now */
            memcpy(endpoint->currency, image->sums[i].currency, sizeof endpoint->currency);
    }
    for (struct endpoint *endpoint = engine->registry.endpoints; endpoint != NULL; endpoint = endpoint->next) {
        endpoint_read_key(engine, endpoint);
        learned_take(endpoint);
        endpoint_tell_currency(endpoint);
    }
    for (size_t i = 0; i < image->sends_count; i++) {
        struct endpoint *endpoint = registry_endpoint(&engine->registry, image->sends[i].endpoint);
        if (endpoint != NULL)
            endpoint_read_back(endpoint, &image->sends[i]);
    }
}

void engine_start(struct engine *engine, struct store *store, struct store_image *image)
{
    engine->store = store;
    engine->is_one_at_a_time = image->starts_in_60_s >= 3;
    if (engine->is_one_at_a_time)
        log_event(LOG_LEVEL_WARNING, "restarting_often", "starts_in_60_s=%d text=\"one call at a time until one has settled\"", (int)image->starts_in_60_s);
    if (image->recovered_lost > 0)
        log_event(LOG_LEVEL_NOTICE, "recovered", "lost=%d text=\"calls of the former life whose end is unknown; possibly billed\"", (int)image->recovered_lost);
    registry_load(&engine->registry, image);
    events_set_seq(engine->events, image->seq);
    take_endpoints(engine);
    load_endpoints(engine, image);
    for (struct run_entry *run = engine->registry.runs; run != NULL; run = run->next)
        run_begin(engine, run);
    outside_load(engine, image);
    store_image_clear(image);
    loop_timer_set_ms(&engine->second, SECOND_MS);
    upkeep_start(engine);
    engine_turn(engine);
}

int engine_endpoint_resume(struct engine *engine, struct endpoint *endpoint, struct galloc_error *error)
{
    struct secret *secret = NULL;
    int rc = endpoint_find_key(endpoint->config, &secret, error);
    if (rc < 0)
        return rc;
    secret_free(endpoint->secret);
    endpoint->secret = secret;
    endpoint_come_up(engine, endpoint, "resumed by an operator");
    engine_turn(engine);
    return 0;
}

int engine_reload(struct engine *engine, struct galloc_error *error)
{
    struct config *fresh = NULL;
    int rc = endpoint_load_config(engine->cfg.config_path, &fresh, error);
    if (rc < 0)
        return rc;
    for (struct endpoint *endpoint = engine->registry.endpoints; endpoint != NULL; endpoint = endpoint->next) {
        if (config_endpoint(fresh, endpoint->config->name) == NULL)
            rc = galloc_fail(error, GALLOC_D_CONFIG, "the endpoint \"%s\" is no longer in the configuration; take it out with a restart", endpoint->config->name);
        else
            rc = endpoint_check_currency(&engine->registry, endpoint, fresh, error);
        if (rc < 0) {
            config_free(fresh);
            return rc;
        }
    }
    struct config *former = engine->config;
    engine->config = fresh;
    take_endpoints(engine);
    for (struct endpoint *endpoint = engine->registry.endpoints; endpoint != NULL; endpoint = endpoint->next)
        endpoint_read_key(engine, endpoint);
    for (struct run_entry *run = engine->registry.runs; run != NULL; run = run->next)
        run_begin(engine, run);
    config_free(former);
    log_event(LOG_LEVEL_NOTICE, "reloaded", "file=%s", fresh->path ? fresh->path : "(defaults)");
    engine_turn(engine);
    return 0;
}

/* ---- draining ---- */

static void check_drained(struct engine *engine)
{
    if (!engine->is_draining || engine->drain_done == NULL || engine->in_flight > 0 || engine->settles_pending > 0)
        return;
    void (*done)(void *arg) = engine->drain_done;
    engine->drain_done = NULL;
    loop_timer_stop(&engine->drain_timer);
    done(engine->drain_arg);
}

static void on_drain_timeout(void *arg)
{
    struct engine *engine = arg;
    for (struct call *call = engine->flying, *next; call != NULL; call = next) {
        next = call->fly_next;
        net_cancel(call->handle); /* its end is unknown: lost, and nothing is spent */
    }
}

void engine_drain(struct engine *engine, int64_t timeout_ms, void (*done)(void *arg), void *arg)
{
    engine->is_draining = true;
    engine->drain_done = done;
    engine->drain_arg = arg;
    if (engine->store != NULL)
        keep_learned(engine);
    if (engine->drain_timer.event == NULL)
        loop_timer_init(&engine->drain_timer, engine->loop, on_drain_timeout, engine);
    if (timeout_ms >= 0)
        loop_timer_set_ms(&engine->drain_timer, timeout_ms);
    engine_turn(engine);
}

void engine_undrain(struct engine *engine)
{
    engine->is_draining = false;
    engine->drain_done = NULL;
    loop_timer_stop(&engine->drain_timer);
    engine_turn(engine);
}
