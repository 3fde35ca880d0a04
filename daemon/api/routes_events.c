/* GET /v1/events: what happens, as NDJSON. Events come from the ring, numbered by the store's transactions, so a reader that comes back with its last number
 * misses nothing or is told `reset`. Between them go snapshots ("progress"), at most four a second a run, for whoever only wants to see a bar move. */
#include "api/handler.h"

#include "core/limits.h"

#include "base/clock.h"

#include <string.h>

#define PROGRESS_MS 250  /* between two snapshots of a run */
#define LIFE_MS 10000    /* an empty line at least so often: gone clients and daemons are noticed by it */
#define BATCH_BYTES (64 << 10)

/* What a stream last told of a run. */
struct seen {
    int64_t run, seq;
    char waiting[24];
};

struct stream {
    struct request *request;
    struct events_reader *reader;
    int64_t run;               /* 0: all */
    char run_id[RUN_ID_BYTES];
    int64_t since;             /* -1: from now on */
    bool with_assignments, follows;
    struct loop_timer tick;    /* progress and signs of life */
    int64_t silent_since_ms;
    struct seen *seen;         /* owned */
    size_t seen_count, seen_cap;
    struct loop_timer send;    /* events of one turn of the loop go out together */
};

static void stream_free(void *state)
{
    struct stream *stream = state;
    loop_timer_clear(&stream->tick);
    loop_timer_clear(&stream->send);
    events_reader_free(stream->reader);
    free(stream->seen);
    free(stream);
}

/* ---- snapshots ---- */

static struct seen *seen_of(struct stream *stream, int64_t run)
{
    for (size_t i = 0; i < stream->seen_count; i++)
        if (stream->seen[i].run == run)
            return &stream->seen[i];
    if (stream->seen_count == stream->seen_cap) {
        stream->seen_cap = stream->seen_cap ? stream->seen_cap * 2 : 8;
        stream->seen = xreallocarray(stream->seen, stream->seen_cap, sizeof *stream->seen);
    }
    stream->seen[stream->seen_count] = (struct seen){.run = run, .seq = -1};
    return &stream->seen[stream->seen_count++];
}

static void progress_line(struct buf *buf, const struct run_entry *run)
{
    struct json_out out = JSON_OUT(buf);
    json_out_begin(&out, '{');
    json_out_member_int(&out, "seq", run->info.seq);
    json_out_member_time(&out, "at", clock_wall_ms());
    json_out_member_str(&out, "type", "progress");
    json_out_member_str(&out, "run", run->info.run_id);
    json_out_name(&out, "snapshot");
    run_json(&out, run);
    json_out_end(&out, '}');
    buf_add_char(buf, '\n');
}

static bool is_open(const struct run_entry *run)
{
    return run->info.state == RUN_IMPORTING || run->info.state == RUN_RUNNING;
}

/* A line for each run of the stream about which something changed since the last one; `all`: for each open one, changed or not. */
static void add_progress(struct stream *stream, struct buf *buf, bool all)
{
    struct registry *registry = engine_registry(stream->request->api->config.engine);
    for (const struct run_entry *run = registry->runs; run != NULL; run = run->next) {
        if (stream->run != 0 ? run->info.id != stream->run : !is_open(run))
            continue;
        struct seen *seen = seen_of(stream, run->info.id);
        struct run_view view = {0};
        run_view(run, &view);
        const char *waiting = view.waiting_name ? view.waiting_name : "";
        if (!all && seen->seq == run->info.seq && strncmp(seen->waiting, waiting, sizeof seen->waiting - 1) == 0)
            continue;
        seen->seq = run->info.seq;
        snprintf(seen->waiting, sizeof seen->waiting, "%s", waiting);
        progress_line(buf, run);
    }
}

/* ---- events ---- */

/* An event of a run carries the run as it is now. */
static void add_event(struct stream *stream, struct buf *buf, const struct event *event)
{
    struct registry *registry = engine_registry(stream->request->api->config.engine);
    const struct run_entry *run = event->kind == EVENT_RUN ? registry_run_by_id(registry, event->run) : NULL;
    if (run == NULL || event->len < 2) {
        buf_add(buf, event->json, event->len);
    } else {
        struct json_out out = {.buf = buf, .needs_comma = true};
        buf_add(buf, event->json, event->len - 1);
        json_out_name(&out, "snapshot");
        run_json(&out, run);
        json_out_end(&out, '}');
        struct seen *seen = seen_of(stream, run->info.id);
        seen->seq = run->info.seq;
    }
    buf_add_char(buf, '\n');
}

static void add_reset(struct stream *stream, struct buf *buf)
{
    struct json_out out = JSON_OUT(buf);
    json_out_begin(&out, '{');
    json_out_member_int(&out, "seq", events_last_seq(engine_events(stream->request->api->config.engine)));
    json_out_member_time(&out, "at", clock_wall_ms());
    json_out_member_str(&out, "type", "reset");
    json_out_end(&out, '}');
    buf_add_char(buf, '\n');
    add_progress(stream, buf, true);
}

/* Sends what there is; false: the stream is over and freed. */
static bool send_events(struct stream *stream)
{
    struct request *request = stream->request;
    struct buf *buf = &request->out;
    for (bool is_reset = false;; is_reset = false) {
        const struct event *event = events_reader_next(stream->reader, &is_reset);
        if (is_reset)
            add_reset(stream, buf);
        if (event != NULL)
            add_event(stream, buf, event);
        if (event == NULL || buf->len >= BATCH_BYTES) {
            stream_write(request, buf->data, buf->len);
            stream->silent_since_ms = buf->len > 0 ? clock_mono_ms() : stream->silent_since_ms;
            buf_reset(buf);
        }
        if (event == NULL && !is_reset)
            break;
        if (stream_unsent(request) > LIMIT_UNSENT_BYTES) {
            stream_cut(request); /* it reads too slowly; it may come back with `since` */
            return false;
        }
    }
    return true;
}

static void on_wake(void *arg)
{
    struct stream *stream = arg;
    loop_timer_set_us(&stream->send, 0);
}

static void on_send(void *arg)
{
    send_events(arg);
}

static void on_tick(void *arg)
{
    struct stream *stream = arg;
    struct request *request = stream->request;
    if (!send_events(stream))
        return;
    add_progress(stream, &request->out, false);
    if (request->out.len == 0 && clock_mono_ms() - stream->silent_since_ms >= LIFE_MS)
        buf_add_char(&request->out, '\n');
    if (request->out.len > 0) {
        stream_write(request, request->out.data, request->out.len);
        stream->silent_since_ms = clock_mono_ms();
        buf_reset(&request->out);
    }
    if (stream_unsent(request) > LIMIT_UNSENT_BYTES)
        stream_cut(request);
    else
        loop_timer_set_ms(&stream->tick, PROGRESS_MS);
}

static void on_gone(struct request *request)
{
    stream_end(request);
}

static void begin(struct request *request)
{
    struct stream *stream = request->state;
    struct engine *engine = request->api->config.engine;
    stream_begin(request, 200, "application/x-ndjson");
    request->on_gone = on_gone;
    stream->silent_since_ms = clock_mono_ms();
    if (stream->since < 0)
        add_progress(stream, &request->out, true);
    stream_write(request, request->out.data, request->out.len);
    buf_reset(&request->out);
    stream->reader = events_reader_new(engine_events(engine), stream->since, stream->run, stream->with_assignments, on_wake, stream);
    if (!send_events(stream))
        return;
    if (!stream->follows) {
        stream_end(request);
        return;
    }
    loop_timer_set_ms(&stream->tick, PROGRESS_MS);
}

static void on_run(struct request *request, struct run_entry *run)
{
    struct stream *stream = request->state;
    stream->run = run->info.id;
    memcpy(stream->run_id, run->info.run_id, sizeof stream->run_id);
    if (request->connection == NULL)
        request_reply(request, 200); /* gone while it was looked up */
    else
        begin(request);
}

void handle_events(struct request *request)
{
    struct stream *stream = xcalloc(1, sizeof *stream);
    stream->request = request;
    request->state = stream;
    request->state_free = stream_free;
    loop_timer_init(&stream->tick, request->api->config.loop, on_tick, stream);
    loop_timer_init(&stream->send, request->api->config.loop, on_send, stream);
    struct galloc_error error;
    char *run = NULL;
    int rc = query_int(request, "since", 0, INT64_MAX, -1, &stream->since, &error);
    if (rc == 0)
        rc = query_bool(request, "assignments", false, &stream->with_assignments, &error);
    if (rc == 0)
        rc = query_bool(request, "follow", true, &stream->follows, &error);
    if (rc == 0)
        rc = http_query(&request->head, "run", 0, &run, &error);
    if (rc < 0)
        request_fail(request, &error);
    else if (run != NULL)
        handler_with_run(request, run, on_run);
    else
        begin(request);
    free(run);
}
