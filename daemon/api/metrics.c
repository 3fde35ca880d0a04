/* GET /metrics: Prometheus text format 0.0.4. A metric is a row of one table: its name, type and help, and the function that writes its samples from memory. */
#include "api/handler.h"

#include "base/clock.h"
#include "dispatch/outside.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct metric;
struct scrape {
    struct api *api;
    struct registry *registry;
    struct store_stats store;
    struct buf *out;
    const struct metric *metric; /* the row at hand */
};

struct metric {
    const char *name, *type, *help;
    void (*write)(struct scrape *scrape);
};

/* ---- samples ---- */

/* A label's value with what would end it made harmless. */
static void label(struct buf *out, const char *name, const char *value, bool is_first)
{
    buf_add_fmt(out, "%s%s=\"", is_first ? "{" : ",", name);
    for (const char *at = value; *at != '\0'; at++) {
        if (*at == '\\' || *at == '"')
            buf_add_char(out, '\\');
        if (*at == '\n')
            buf_add_str(out, "\\n");
        else
            buf_add_char(out, *at);
    }
    buf_add_char(out, '"');
}

static void sample(struct scrape *scrape, const char *name1, const char *value1, const char *name2, const char *value2, double number)
{
    struct buf *out = scrape->out;
    buf_add_str(out, scrape->metric->name);
    if (name1 != NULL)
        label(out, name1, value1, true);
    if (name2 != NULL)
        label(out, name2, value2, false);
    buf_add_fmt(out, "%s %.15g\n", name1 != NULL ? "}" : "", number);
}

static void plain(struct scrape *scrape, double number)
{
    sample(scrape, NULL, NULL, NULL, NULL, number);
}

static void sum_and_count(struct scrape *scrape, double sum, int64_t count)
{
    buf_add_fmt(scrape->out, "%s_sum %.9g\n%s_count %" PRId64 "\n", scrape->metric->name, sum, scrape->metric->name, count);
}

/* A histogram of microseconds, as seconds; `labels` is still open. */
static void seconds_of(struct scrape *scrape, const struct buf *labels, const struct histogram *histogram, const int64_t *bounds_us, size_t bound_count)
{
    struct buf *out = scrape->out;
    const char *name = scrape->metric->name;
    for (size_t i = 0; i < bound_count; i++)
        buf_add_fmt(out, "%s_bucket%s,le=\"%g\"} %" PRId64 "\n", name, labels->data, (double)bounds_us[i] / 1e6, histogram->at_most[i]);
    buf_add_fmt(out, "%s_bucket%s,le=\"+Inf\"} %" PRId64 "\n%s_sum%s} %.6f\n%s_count%s} %" PRId64 "\n", name, labels->data, histogram->count, name, labels->data,
                (double)histogram->sum / 1e6, name, labels->data, histogram->count);
}

/* ---- assignments ---- */

static void write_assignments(struct scrape *scrape)
{
    for (int run = 0; run < RUN_STATE_COUNT; run++)
        for (int state = 0; state < ASSIGNMENT_STATE_COUNT; state++)
            sample(scrape, "run_state", run_state_name((enum run_state)run), "state", assignment_state_name((enum assignment_state)state),
                   (double)registry_count(scrape->registry, (enum run_state)run, COUNT_STATE + state));
}

static void write_finished(struct scrape *scrape)
{
    static const enum assignment_state states[] = {ASSIGNMENT_SUCCEEDED, ASSIGNMENT_FAILED, ASSIGNMENT_CANCELLED};
    for (size_t i = 0; i < ARRAY_COUNT(states); i++)
        sample(scrape, "outcome", assignment_state_name(states[i]), NULL, NULL, (double)registry_came_to(scrape->registry, states[i]));
}

static void write_enqueued(struct scrape *scrape)
{
    plain(scrape, (double)registry_count_ever(scrape->registry, COUNT_ACCEPTED));
}

static void write_oldest(struct scrape *scrape)
{
    int64_t now_ms = clock_wall_ms(), oldest_ms = now_ms;
    for (const struct run_entry *run = scrape->registry->runs; run != NULL; run = run->next)
        if (run->info.state == RUN_RUNNING && run->info.counts[COUNT_STATE + ASSIGNMENT_PENDING] > 0)
            oldest_ms = min_i64(oldest_ms, run->info.created_at_ms);
    plain(scrape, (double)(now_ms - oldest_ms) / 1000);
}

static void write_runs(struct scrape *scrape)
{
    int64_t count = 0;
    for (const struct run_entry *run = scrape->registry->runs; run != NULL; run = run->next)
        count++;
    plain(scrape, (double)count);
}

static void write_leases(struct scrape *scrape)
{
    int64_t all = registry_count_ever(scrape->registry, COUNT_STATE + ASSIGNMENT_LEASED), outside = registry_count_ever(scrape->registry, COUNT_OUTSIDE);
    sample(scrape, "worker_kind", "builtin", NULL, NULL, (double)(all - outside));
    sample(scrape, "worker_kind", "outside", NULL, NULL, (double)outside);
}

static void write_expired(struct scrape *scrape)
{
    plain(scrape, (double)outside_expired_count(scrape->api->config.engine));
}

/* ---- endpoints ---- */

static void write_attempts(struct scrape *scrape)
{
    for (const struct endpoint *endpoint = scrape->registry->endpoints; endpoint != NULL; endpoint = endpoint->next)
        for (int class = 0; class < OUTCOME_CLASS_COUNT; class++)
            sample(scrape, "endpoint", endpoint->config->name, "class", outcome_row((enum outcome_class)class)->name, (double)endpoint->counts[class]);
}

static void write_in_flight(struct scrape *scrape)
{
    for (const struct endpoint *endpoint = scrape->registry->endpoints; endpoint != NULL; endpoint = endpoint->next)
        sample(scrape, "endpoint", endpoint->config->name, NULL, NULL, (double)endpoint->in_flight);
}

static void write_durations(struct scrape *scrape)
{
    for (const struct endpoint *endpoint = scrape->registry->endpoints; endpoint != NULL; endpoint = endpoint->next) {
        struct buf labels = BUF_EMPTY;
        label(&labels, "endpoint", endpoint->config->name, true);
        seconds_of(scrape, &labels, &endpoint->durations, endpoint_duration_bounds, ENDPOINT_DURATION_BOUNDS);
        buf_clear(&labels);
    }
}

static void write_waits(struct scrape *scrape)
{
    int64_t now_us = clock_mono_us();
    for (const struct endpoint *endpoint = scrape->registry->endpoints; endpoint != NULL; endpoint = endpoint->next)
        for (int kind = PACER_GO + 1; kind < PACER_WAIT_COUNT; kind++)
            sample(scrape, "endpoint", endpoint->config->name, "kind", pacer_wait_name((enum pacer_wait)kind),
                   (double)waits_us(&endpoint->waits, (enum pacer_wait)kind, now_us) / 1e6);
}

static void write_calls(struct scrape *scrape)
{
    for (const struct endpoint *endpoint = scrape->registry->endpoints; endpoint != NULL; endpoint = endpoint->next) {
        sample(scrape, "endpoint", endpoint->config->name, "kind", "attempt", (double)endpoint->calls);
        sample(scrape, "endpoint", endpoint->config->name, "kind", "test", (double)endpoint->test_calls);
    }
}

static void write_tokens(struct scrape *scrape)
{
    static const char *const directions[TOKEN_COUNT] = {
        [TOKEN_IN] = "in", [TOKEN_CACHED] = "cached", [TOKEN_OUT] = "out", [TOKEN_THOUGHT] = "thinking", [TOKEN_TOOL] = "tool"};
    for (const struct endpoint *endpoint = scrape->registry->endpoints; endpoint != NULL; endpoint = endpoint->next)
        for (int token = 0; token < TOKEN_COUNT; token++)
            sample(scrape, "endpoint", endpoint->config->name, "direction", directions[token], (double)endpoint->tokens[token]);
}

static void write_cost(struct scrape *scrape)
{
    for (const struct endpoint *endpoint = scrape->registry->endpoints; endpoint != NULL; endpoint = endpoint->next)
        if (endpoint->currency[0] != '\0')
            sample(scrape, "endpoint", endpoint->config->name, "currency", endpoint->currency, (double)endpoint->cost_micros);
}

static void write_cost_unknown(struct scrape *scrape)
{
    for (const struct endpoint *endpoint = scrape->registry->endpoints; endpoint != NULL; endpoint = endpoint->next)
        sample(scrape, "endpoint", endpoint->config->name, NULL, NULL, (double)endpoint->cost_unknown_calls);
}

static struct pacer_view view_of(const struct endpoint *endpoint)
{
    struct pacer_now now = {.mono_us = clock_mono_us(), .wall_ms = clock_wall_ms()};
    struct pacer_view view = {0};
    pacer_view(endpoint->pacer, now, &view);
    return view;
}

static void write_rate(struct scrape *scrape)
{
    for (const struct endpoint *endpoint = scrape->registry->endpoints; endpoint != NULL; endpoint = endpoint->next) {
        struct pacer_view view = view_of(endpoint);
        if (view.rate_per_min > 0)
            sample(scrape, "endpoint", endpoint->config->name, NULL, NULL, view.rate_per_min / 60);
    }
}

static void write_concurrency(struct scrape *scrape)
{
    for (const struct endpoint *endpoint = scrape->registry->endpoints; endpoint != NULL; endpoint = endpoint->next)
        sample(scrape, "endpoint", endpoint->config->name, NULL, NULL, (double)view_of(endpoint).concurrency);
}

static void write_breaker(struct scrape *scrape)
{
    for (const struct endpoint *endpoint = scrape->registry->endpoints; endpoint != NULL; endpoint = endpoint->next)
        sample(scrape, "endpoint", endpoint->config->name, NULL, NULL, pacer_is_open(endpoint->pacer));
}

static void write_up(struct scrape *scrape)
{
    for (const struct endpoint *endpoint = scrape->registry->endpoints; endpoint != NULL; endpoint = endpoint->next)
        sample(scrape, "endpoint", endpoint->config->name, NULL, NULL, !endpoint_is_down(endpoint));
}

/* ---- store ---- */

static void write_commits(struct scrape *scrape)
{
    sum_and_count(scrape, (double)scrape->store.commit_us_sum / 1e6, scrape->store.commits);
}

static void write_batches(struct scrape *scrape)
{
    sum_and_count(scrape, (double)scrape->store.ops_sum, scrape->store.commits);
}

static void write_db(struct scrape *scrape)
{
    plain(scrape, (double)scrape->store.db_bytes);
}

static void write_wal(struct scrape *scrape)
{
    plain(scrape, (double)scrape->store.wal_bytes);
}

static void write_free(struct scrape *scrape)
{
    plain(scrape, (double)scrape->store.free_bytes);
}

static void write_reserve(struct scrape *scrape)
{
    plain(scrape, (double)scrape->store.reserve_bytes);
}

static void write_reads_ended(struct scrape *scrape)
{
    plain(scrape, (double)scrape->store.reads_ended);
}

static void write_queue(struct scrape *scrape)
{
    plain(scrape, (double)scrape->store.queue_count);
}

/* ---- the server and the process ---- */

static void write_http(struct scrape *scrape)
{
    for (const struct route_stat *stat = scrape->api->stats; stat != NULL; stat = stat->next) {
        char code[16];
        struct buf labels = BUF_EMPTY;
        snprintf(code, sizeof code, "%d", stat->status);
        label(&labels, "route", stat->route ? stat->route->pattern : "none", true);
        label(&labels, "code", code, false);
        seconds_of(scrape, &labels, &stat->took_us, duration_bucket_us, DURATION_BUCKETS);
        buf_clear(&labels);
    }
}

static void write_event_clients(struct scrape *scrape)
{
    plain(scrape, (double)scrape->api->stream_count);
}

static void write_event_dropped(struct scrape *scrape)
{
    plain(scrape, (double)scrape->api->dropped_count);
}

static void write_connections(struct scrape *scrape)
{
    plain(scrape, (double)scrape->api->connection_count);
}

static void write_lag(struct scrape *scrape)
{
    plain(scrape, (double)loop_take_lag_us(scrape->api->config.loop) / 1e6);
}

static void write_build(struct scrape *scrape)
{
    sample(scrape, "version", PACKAGE_VERSION, NULL, NULL, 1);
}

static void write_cpu(struct scrape *scrape)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    plain(scrape, (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

static void write_resident(struct scrape *scrape)
{
    char text[128] = "";
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return;
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    char *second = strchr(text, ' ');
    if (second != NULL)
        plain(scrape, (double)strtoll(second, NULL, 10) * (double)sysconf(_SC_PAGESIZE));
}

static void write_fds(struct scrape *scrape)
{
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL)
        return;
    int64_t count = -3; /* "." and "..", and the folder itself */
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    plain(scrape, (double)count);
}

static void write_started(struct scrape *scrape)
{
    plain(scrape, (double)scrape->api->started_at_ms / 1000);
}

static const struct metric metrics[] = {
    {"galloc_assignments", "gauge", "assignments by their run's and their own state, of runs in memory", write_assignments},
    {"galloc_assignments_finished_total", "counter", "how often an assignment came to rest, by outcome; one that is decided anew counts again", write_finished},
    {"galloc_assignments_enqueued_total", "counter", "assignments accepted", write_enqueued},
    {"galloc_oldest_pending_age_seconds", "gauge", "age of the oldest running run that has pending assignments", write_oldest},
    {"galloc_leases", "gauge", "assignments in a worker's hands", write_leases},
    {"galloc_leases_expired_total", "counter", "leases of outside workers that ran out, since the start", write_expired},
    {"galloc_runs_in_memory", "gauge", "runs that are open, and the latest that ended", write_runs},
    {"galloc_attempts_total", "counter", "calls that ended, by class, since the start; one for all attempts of a pack", write_attempts},
    {"galloc_calls_total", "counter", "requests sent to the endpoint since the start", write_calls},
    {"galloc_request_duration_seconds", "histogram", "how long calls took, from their start to the end of the answer, since the start", write_durations},
    {"galloc_requests_in_flight", "gauge", "calls under way", write_in_flight},
    {"galloc_tokens_total", "counter", "tokens as the provider counts them, since the start", write_tokens},
    {"galloc_cost_micros_total", "counter", "cost in millionths of the currency, since the start", write_cost},
    {"galloc_cost_unknown_calls_total", "counter", "calls that the cost leaves out, for want of a price or of the usage, since the start", write_cost_unknown},
    {"galloc_endpoint_up", "gauge", "1 while the endpoint is not down", write_up},
    {"galloc_pacer_rate_per_second", "gauge", "calls a second that the pacer lets through, where it limits them", write_rate},
    {"galloc_pacer_wait_seconds_total", "counter", "how long assignments waited for the next call to be let through, by what held it back, since the start", write_waits},
    {"galloc_pacer_concurrency", "gauge", "calls at once that the pacer lets through", write_concurrency},
    {"galloc_breaker_state", "gauge", "1 while the breaker is open", write_breaker},
    {"galloc_store_commit_duration_seconds", "summary", "how long commits took", write_commits},
    {"galloc_store_batch_size", "summary", "operations a commit", write_batches},
    {"galloc_store_queue", "gauge", "operations waiting for the writer", write_queue},
    {"galloc_db_size_bytes", "gauge", "size of the database", write_db},
    {"galloc_wal_size_bytes", "gauge", "size of its write-ahead log", write_wal},
    {"galloc_disk_free_bytes", "gauge", "what is left on the store's file system", write_free},
    {"galloc_disk_reserve_bytes", "gauge", "of that, kept for results that are owed: below it nothing new is begun", write_reserve},
    {"galloc_store_reads_ended_total", "counter", "reads ended because the log had to be emptied, since the start", write_reads_ended},
    {"galloc_http_request_duration_seconds", "histogram", "how long answers took", write_http},
    {"galloc_http_connections", "gauge", "connections of clients", write_connections},
    {"galloc_event_clients", "gauge", "streams that are open", write_event_clients},
    {"galloc_event_dropped_total", "counter", "streams cut because their reader was too slow", write_event_dropped},
    {"galloc_loop_lag_seconds", "gauge", "the longest turn of the loop since the last look", write_lag},
    {"galloc_build_info", "gauge", "1, with the version", write_build},
    {"process_cpu_seconds_total", "counter", "CPU time", write_cpu},
    {"process_resident_memory_bytes", "gauge", "resident memory", write_resident},
    {"process_open_fds", "gauge", "open descriptors", write_fds},
    {"process_start_time_seconds", "gauge", "start, in seconds since the epoch", write_started},
};

void handle_metrics(struct request *request)
{
    struct engine *engine = request->api->config.engine;
    struct scrape scrape = {.api = request->api, .registry = engine_registry(engine), .out = &request->out};
    store_stats(engine_store(engine), &scrape.store);
    for (size_t i = 0; i < ARRAY_COUNT(metrics); i++) {
        scrape.metric = &metrics[i];
        buf_add_fmt(&request->out, "# HELP %s %s\n# TYPE %s %s\n", metrics[i].name, metrics[i].help, metrics[i].name, metrics[i].type);
        metrics[i].write(&scrape);
    }
    request_reply_as(request, 200, "text/plain; version=0.0.4; charset=utf-8");
}
