/* gallocd: wiring. Start: options, configuration, lock, store, engine, sockets, and only then "ready". Stop: no new calls, what is in flight may end, the
 * clients go, the store closes last. All on one thread but what the rooms start for themselves. */
#include "door.h"
#include "notify.h"
#include "options.h"
#include "reload.h"
#include "restore.h"
#include "start.h"

#include "api/api.h"
#include "dispatch/engine.h"
#include "ingest/ingest.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/negative.h"
#include "base/text.h"

#include <event2/event.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define BEAT_MS 1000
#define HURRY_MS 2000 /* after a second signal: as long as the store may take to write down what is lost */

enum { DOOR_OPERATORS, DOOR_WORKERS, DOOR_COUNT };

struct gallocd {
    struct options options;
    struct loop *loop;
    struct net *net;
    struct engine *engine;
    struct store *store;
    struct ingest *ingest;
    struct api *api;
    char *socket_path, *worker_socket_path, *state_dir; /* owned; as in force; worker_socket_path "": none */
    struct door doors[DOOR_COUNT]; /* their places borrow from above and from the configuration of the start */
    int lock_fd;
    int stops;                     /* signals to stop, so far */
    int exit_status;
    struct loop_signal term, interrupt, hangup;
    struct loop_timer beat, hurry;
    int64_t watchdog_ms, watchdog_due_mono_ms;
    int64_t engine_ticks, store_ticks; /* at the last sign of life */
    char status[256];
};

/* The status that a failure ends the process with; said once, for people and for the journal. */
static int fail(const struct galloc_error *error)
{
    log_event(LOG_LEVEL_ERROR, "start_failed", "code=%s text=\"%s\"", galloc_code_row(error->code)->name, error->message);
    notify_status(error->message);
    return galloc_code_row(error->code)->exit_status;
}

/* ---- what the service manager sees ---- */

static void describe(struct gallocd *daemon, char *text, size_t size)
{
    const char *health_text = NULL;
    enum store_health health = engine_health(daemon->engine, &health_text);
    const struct registry *registry = engine_registry(daemon->engine);
    int open = 0, running = 0;
    for (const struct run_entry *run = registry->runs; run != NULL; run = run->next) {
        open += run->info.state == RUN_IMPORTING || run->info.state == RUN_RUNNING;
        running += run->info.state == RUN_RUNNING;
    }
    int len = snprintf(text, size, "%s%d open runs (%d running), %" PRId64 " calls in flight", daemon->stops > 0 ? "stopping: " : "", open, running,
                       engine_in_flight(daemon->engine));
    for (const struct endpoint *endpoint = registry->endpoints; endpoint != NULL && len > 0 && (size_t)len < size; endpoint = endpoint->next)
        if (endpoint_is_down(endpoint))
            len += snprintf(text + len, size - (size_t)len, "; endpoint %s is down", endpoint->config->name);
    if (health != STORE_WELL && len > 0 && (size_t)len < size)
        snprintf(text + len, size - (size_t)len, "; %s", health_text ? health_text : "the store cannot be written");
}

/* A sign of life only when loop, writer and dispatcher all moved since the last one. */
static void feed_watchdog(struct gallocd *daemon)
{
    if (daemon->watchdog_ms == 0 || clock_mono_ms() < daemon->watchdog_due_mono_ms)
        return;
    struct store_stats stats;
    store_stats(daemon->store, &stats);
    int64_t engine = engine_ticks(daemon->engine);
    bool is_alive = engine != daemon->engine_ticks && stats.ticks != daemon->store_ticks;
    if (!is_alive) {
        log_event(LOG_LEVEL_WARNING, "watchdog_withheld", "dispatcher=%s writer=%s", engine != daemon->engine_ticks ? "moved" : "stuck",
                  stats.ticks != daemon->store_ticks ? "moved" : "stuck");
    } else {
        notify_alive();
        daemon->engine_ticks = engine;
        daemon->store_ticks = stats.ticks;
    }
    daemon->watchdog_due_mono_ms = clock_mono_ms() + daemon->watchdog_ms / 3;
}

static void on_beat(void *arg)
{
    struct gallocd *daemon = arg;
    char text[sizeof daemon->status];
    describe(daemon, text, sizeof text);
    if (strcmp(text, daemon->status) != 0) {
        memcpy(daemon->status, text, sizeof text);
        notify_status(text);
    }
    feed_watchdog(daemon);
    engine_turn(daemon->engine); /* so that one that lives has moved by the next beat */
    loop_timer_set_ms(&daemon->beat, BEAT_MS);
}

/* ---- signals ---- */

static void on_drained(void *arg)
{
    struct gallocd *daemon = arg;
    loop_stop(daemon->loop);
}

/* The first signal: what is in flight may end. The second: calls under way are cut, and recorded as lost. The third: now. */
static void on_stop(int signal, void *arg)
{
    struct gallocd *daemon = arg;
    int64_t timeout_ms = daemon->stops == 0 && !BREAKS(NO_DRAIN) ? engine_configuration(daemon->engine)->drain_timeout_ms : 0;
    log_event(LOG_LEVEL_NOTICE, daemon->stops == 0 ? "stopping" : "stopping_now", "signal=%d in_flight=%" PRId64 " drain_timeout_ms=%" PRId64, signal,
              engine_in_flight(daemon->engine), timeout_ms);
    daemon->stops++;
    if (daemon->stops > 2) {
        loop_stop(daemon->loop);
        return;
    }
    if (daemon->stops == 2)
        loop_timer_set_ms(&daemon->hurry, HURRY_MS);
    notify_stopping("stopping: calls in flight may end");
    api_set_stopping(daemon->api);
    engine_drain(daemon->engine, timeout_ms, on_drained, daemon);
}

/* The settings, and of each endpoint's key its fingerprint: a key that was put in place is a change, too. */
static struct settings_seen *look(struct gallocd *daemon)
{
    const struct config *config = engine_configuration(daemon->engine);
    struct settings_seen *seen = settings_look(config);
    for (size_t i = 0; i < config->endpoint_count; i++) {
        const struct endpoint *endpoint = registry_endpoint(engine_registry(daemon->engine), config->endpoints[i].name);
        char fingerprint[17] = "";
        if (endpoint != NULL && endpoint->secret != NULL)
            secret_fingerprint(endpoint->secret, fingerprint);
        char *name = xasprintf("endpoint.%s.key", config->endpoints[i].name);
        settings_see(seen, name, fingerprint);
        free(name);
    }
    return seen;
}

static int reload(struct buf *changed, struct buf *needs_restart, struct galloc_error *error, void *arg)
{
    struct gallocd *daemon = arg;
    notify_reloading();
    struct settings_seen *before = look(daemon);
    int rc = engine_reload(daemon->engine, error);
    if (rc == 0) {
        struct settings_seen *after = look(daemon);
        settings_compare(before, after, changed, needs_restart);
        settings_seen_free(after);
    }
    settings_seen_free(before);
    notify_ready(daemon->status);
    return rc;
}

static void on_hangup(int signal, void *arg)
{
    (void)signal;
    struct buf changed = BUF_EMPTY, needs_restart = BUF_EMPTY;
    struct galloc_error error;
    if (reload(&changed, &needs_restart, &error, arg) < 0)
        log_event(LOG_LEVEL_ERROR, "reload_refused", "text=\"%s\" effect=\"nothing was changed\"", error.message);
    else
        log_event(LOG_LEVEL_NOTICE, "reload", "changed=[%s] needs_restart=[%s]", buf_text(&changed), buf_text(&needs_restart));
    buf_clear(&changed);
    buf_clear(&needs_restart);
}

/* The store failed for good: a supervisor starts us anew on what is on disk. */
static void on_fatal(int exit_status, const char *text, void *arg)
{
    struct gallocd *daemon = arg;
    log_event(LOG_LEVEL_ERROR, "fatal", "exit_status=%d text=\"%s\"", exit_status, text);
    notify_status(text);
    daemon->exit_status = exit_status;
    loop_stop(daemon->loop);
}

/* ---- start ---- */

static char *absolute(const char *path)
{
    char here[PATH_MAX];
    if (path[0] == '/' || getcwd(here, sizeof here) == NULL)
        return xstrdup(path);
    return xasprintf("%s/%s", here, strncmp(path, "./", 2) == 0 ? path + 2 : path);
}

/* The doors as the configuration and the command line have them. */
static void set_doors(struct gallocd *daemon, const struct config *config)
{
    daemon->doors[DOOR_OPERATORS] = (struct door){
        .name = "gallocd.sock", .role = ROLE_OPERATOR, .is_main = true,
        .place = {daemon->socket_path, config->socket_mode, config->socket_group, "--socket", "socket_group"}};
    daemon->doors[DOOR_WORKERS] = (struct door){
        .name = "worker.sock", .role = ROLE_WORKER,
        .place = {daemon->worker_socket_path, config->socket_mode, config->worker_socket_group, "--worker-socket", "worker_socket_group"}};
}

static int open_doors(struct gallocd *daemon, struct galloc_error *error)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < DOOR_COUNT; i++)
        rc = door_open(&daemon->doors[i], daemon->api, error);
    return rc;
}

static int open_store(struct gallocd *daemon, struct store_image *image, struct galloc_error *error)
{
    char *path = xasprintf("%s/galloc.db", daemon->state_dir);
    const struct store_config config = {.loop = daemon->loop, .path = path, .on_commit = engine_on_commit, .on_health = engine_on_health, .arg = daemon->engine};
    notify_status("opening the database");
    int rc = store_open(&config, &daemon->store, image, error);
    free(path);
    return rc;
}

static void take_signals(struct gallocd *daemon)
{
    loop_signal_init(&daemon->term, daemon->loop, SIGTERM, on_stop, daemon);
    loop_signal_init(&daemon->interrupt, daemon->loop, SIGINT, on_stop, daemon);
    loop_signal_init(&daemon->hangup, daemon->loop, SIGHUP, on_hangup, daemon);
}

/* Everything up to "ready". `config` is the engine's from here on. */
static int start(struct gallocd *daemon, struct config *config, struct galloc_error *error)
{
    daemon->loop = loop_new();
    daemon->net = net_new(daemon->loop);
    const struct engine_config engine = {.loop = daemon->loop, .config = config, .net = daemon->net, .config_path = daemon->options.config, .fatal = on_fatal, .arg = daemon};
    daemon->engine = engine_new(&engine);
    struct store_image image = {0};
    int rc = open_store(daemon, &image, error);
    if (rc < 0)
        return rc;
    take_signals(daemon);
    daemon->ingest = ingest_new(daemon->loop);
    const struct api_config api = {.loop = daemon->loop, .engine = daemon->engine, .ingest = daemon->ingest, .socket_path = daemon->socket_path,
                                   .state_dir = daemon->state_dir, .reload = reload, .arg = daemon};
    daemon->api = api_new(&api);
    engine_start(daemon->engine, daemon->store, &image);
    set_doors(daemon, engine_configuration(daemon->engine));
    rc = open_doors(daemon, error);
    if (rc < 0)
        return rc;
    loop_timer_init(&daemon->beat, daemon->loop, on_beat, daemon);
    loop_timer_init(&daemon->hurry, daemon->loop, on_drained, daemon);
    loop_timer_set_ms(&daemon->beat, BEAT_MS);
    daemon->watchdog_ms = notify_watchdog_ms();
    describe(daemon, daemon->status, sizeof daemon->status);
    notify_ready(daemon->status);
    log_event(LOG_LEVEL_NOTICE, "ready", "version=%s pid=%d socket=%s worker_socket=%s state_dir=%s config=%s", PACKAGE_VERSION, (int)getpid(), daemon->socket_path,
              daemon->worker_socket_path[0] ? daemon->worker_socket_path : "(none)", daemon->state_dir,
              config->path ? config->path : "(defaults)");
    return 0;
}

/* In the order that loses nothing: clients, parts that are being checked, what is on its way into the store, the store, all else. */
static void stop(struct gallocd *daemon)
{
    loop_timer_clear(&daemon->beat);
    loop_timer_clear(&daemon->hurry);
    api_close(daemon->api);
    for (int i = 0; i < DOOR_COUNT; i++)
        door_close(&daemon->doors[i]);
    ingest_free(daemon->ingest);
    event_base_loop(loop_base(daemon->loop), EVLOOP_NONBLOCK);
    store_close(daemon->store);
    net_free(daemon->net);
    engine_free(daemon->engine);
    api_free(daemon->api);
    loop_signal_clear(&daemon->term);
    loop_signal_clear(&daemon->interrupt);
    loop_signal_clear(&daemon->hangup);
    loop_free(daemon->loop);
}

/* Owned; "": none. */
static char *worker_socket(const struct gallocd *daemon, const struct config *config)
{
    const char *path = daemon->options.worker_socket ? daemon->options.worker_socket : config->worker_socket_path;
    return path[0] != '\0' ? absolute(path) : xstrdup("");
}

static int run(struct gallocd *daemon, struct config *config)
{
    struct galloc_error error;
    daemon->socket_path = absolute(daemon->options.socket ? daemon->options.socket : config->socket_path);
    daemon->worker_socket_path = worker_socket(daemon, config);
    daemon->state_dir = absolute(daemon->options.state_dir ? daemon->options.state_dir : config->state_dir);
    start_harden();
    int rc = start_lock_state(daemon->state_dir, daemon->socket_path, &daemon->lock_fd, &error);
    if (rc < 0) {
        config_free(config);
        return fail(&error);
    }
    rc = start(daemon, config, &error);
    if (rc < 0)
        daemon->exit_status = fail(&error);
    else
        loop_run(daemon->loop);
    stop(daemon);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "stopped", "exit_status=%d", daemon->exit_status);
    close(daemon->lock_fd);
    return daemon->exit_status;
}

/* ---- the command line ---- */

static int print(struct buf *text)
{
    int rc = fwrite(text->data, 1, text->len, stdout) == text->len && fflush(stdout) == 0 ? 0 : 74;
    buf_clear(text);
    return rc;
}

static int print_what(enum options_action action)
{
    struct buf text = BUF_EMPTY;
    if (action == ACTION_HELP)
        options_help(&text);
    else if (action == ACTION_PRINT_SETTINGS)
        config_print_settings(&text);
    else if (action == ACTION_PRINT_ROUTES)
        api_print_routes(&text);
    else
        buf_add_fmt(&text, "gallocd %s\n", PACKAGE_VERSION);
    return print(&text);
}

static void set_log_level(const struct options *options)
{
    if (options->quiet > 0)
        log_set_level(LOG_LEVEL_WARNING);
    else if (options->verbose > 0)
        log_set_level(LOG_LEVEL_DEBUG);
}

/* A key that cannot be read is told, and is no fault of the configuration: the daemon starts without it. Takes the configuration over. */
static int check_config(struct config *config)
{
    struct buf text = BUF_EMPTY;
    struct galloc_error error;
    buf_add_fmt(&text, "%s: well\n", config->path ? config->path : "(no configuration file: the defaults)");
    for (size_t i = 0; i < config->endpoint_count; i++) {
        const struct endpoint_config *endpoint = &config->endpoints[i];
        struct secret *secret = NULL;
        if (endpoint_find_key(endpoint, &secret, &error) < 0)
            buf_add_fmt(&text, "note: endpoint %s would be down: %s\n", endpoint->name, error.message);
        else if (secret == NULL)
            buf_add_fmt(&text, "note: endpoint %s has no key; its provider (%s) needs none\n", endpoint->name, endpoint->provider);
        const struct provider_wire wire = endpoint_config_wire(endpoint);
        if (!provider_has_test(provider_by_name(endpoint->provider), &wire))
            buf_add_fmt(&text, "note: endpoint %s has no test_path: after a failure waiting assignments find out whether the service is well\n", endpoint->name);
        secret_free(secret);
    }
    config_free(config);
    return print(&text);
}

/* The words may hold names out of a damaged file. */
static int fail_restore(const struct galloc_error *error)
{
    struct buf shown = BUF_EMPTY;
    text_escape(&shown, error->message, strlen(error->message));
    fprintf(stderr, "gallocd: %s\n", buf_text(&shown));
    buf_clear(&shown);
    return galloc_code_row(error->code)->exit_status;
}

/* Takes the configuration over: only its state directory counts. */
static int restore(struct gallocd *daemon, struct config *config)
{
    struct buf text = BUF_EMPTY;
    struct galloc_error error;
    daemon->state_dir = absolute(daemon->options.state_dir ? daemon->options.state_dir : config->state_dir);
    config_free(config);
    int rc = restore_run(daemon->options.restore, daemon->state_dir, daemon->options.quiet > 0, &text, &error);
    if (rc == 0) {
        rc = print(&text);
        if (rc != 0)
            fputs("gallocd: the backup is in place; what was done could not be written to standard output\n", stderr);
        return rc;
    }
    return fail_restore(&error);
}

int main(int argc, char **argv)
{
    struct gallocd daemon = {.lock_fd = -1};
    struct galloc_error error;
    if (options_read(argc, argv, &daemon.options, &error) < 0) {
        fprintf(stderr, "gallocd: %s\n", error.message);
        return galloc_code_row(error.code)->exit_status;
    }
    enum options_action action = daemon.options.action;
    if (action != ACTION_RUN && action != ACTION_CHECK_CONFIG && action != ACTION_RESTORE)
        return print_what(action);
    set_log_level(&daemon.options);
    if (negative_text() != NULL)
        log_event(LOG_LEVEL_WARNING, "promise_broken", "text=\"%s\"", negative_text());
    struct config *config = NULL;
    if (endpoint_load_config(daemon.options.config, &config, &error) < 0) {
        fprintf(stderr, "gallocd: %s\n", error.message);
        notify_status(error.message);
        return galloc_code_row(error.code)->exit_status;
    }
    if (action == ACTION_CHECK_CONFIG)
        return check_config(config);
    int status = action == ACTION_RESTORE ? restore(&daemon, config) : run(&daemon, config);
    free(daemon.socket_path);
    free(daemon.worker_socket_path);
    free(daemon.state_dir);
    return status;
}
