/* See notify.h. Nothing is counted as dealt with before it was told: whatever breaks, it is told again. What was told of a run stands in the state, so that after a
 * gap neither is anything missed nor the same told twice. */
#include "cli/notify.h"

#include "base/clock.h"
#include "base/json_out.h"
#include "base/text.h"
#include "cli/follow.h"
#include "cli/out.h"

#include <stdlib.h>
#include <string.h>

enum { LOOK_RUNS = 1000 }; /* the newest; open ones that are older are asked for one by one */

const char *const notify_kinds[NOTIFY_KIND_COUNT] = {[NOTIFY_DONE] = "done", [NOTIFY_PAUSED] = "paused", [NOTIFY_FAILED] = "failed", [NOTIFY_WAITING] = "waiting"};

/* ---- one object ---- */

static int tell(struct notify *notify, enum notify_kind kind, struct json_object *event, const char *text, struct galloc_error *error)
{
    static const char *const passed[] = {"seq", "at", "type", "run", "endpoint", "state", "reason", "snapshot"};
    struct buf object = BUF_EMPTY;
    struct json_out out = JSON_OUT(&object);
    if (notify->is_silent)
        return 0;
    json_out_begin(&out, '{');
    json_out_member_str(&out, "on", notify_kinds[kind]);
    json_out_member_str(&out, "text", text);
    for (size_t i = 0; i < ARRAY_COUNT(passed); i++) {
        struct buf value = BUF_EMPTY;
        if (!json_has(event, passed[i]))
            continue;
        json_to_text(json_get(event, passed[i]), &value);
        json_out_name(&out, passed[i]);
        json_out_raw(&out, value.data, value.len);
        buf_clear(&value);
    }
    json_out_end(&out, '}');
    buf_add_char(&object, '\n');
    int rc = notify->tell(notify, text, &object, error);
    buf_clear(&object);
    return rc;
}

static void begin_text(struct buf *text, struct json_object *run)
{
    const char *id = json_get_str(run, "id", "?"), *name = json_get_str(run, "name", NULL);
    if (name != NULL)
        buf_add_fmt(text, "run %s (%s) ", name, id);
    else
        buf_add_fmt(text, "run %s ", id);
}

static int tell_end(struct notify *notify, struct json_object *event, struct galloc_error *error)
{
    struct json_object *run = json_get(event, "snapshot"), *counts = json_get(run, "counts");
    int64_t failed = json_get_i64(counts, "failed", 0);
    bool is_failure = failed > 0 && notify->wants[NOTIFY_FAILED];
    if (!is_failure && !notify->wants[NOTIFY_DONE])
        return 0;
    struct buf text = BUF_EMPTY;
    begin_text(&text, run);
    buf_add_fmt(&text, "is %s: ", strcmp(json_get_str(event, "type", ""), "run_cancelled") == 0 ? "cancelled" : "done");
    show_count(&text, json_get_i64(counts, "succeeded", 0));
    buf_add_str(&text, " allocated, ");
    show_count(&text, failed);
    buf_add_str(&text, " failed");
    if (json_get_i64(counts, "cancelled", 0) > 0) {
        buf_add_str(&text, ", ");
        show_count(&text, json_get_i64(counts, "cancelled", 0));
        buf_add_str(&text, " cancelled");
    }
    int rc = tell(notify, is_failure ? NOTIFY_FAILED : NOTIFY_DONE, event, buf_text(&text), error);
    buf_clear(&text);
    return rc;
}

static int tell_pause(struct notify *notify, struct json_object *event, struct galloc_error *error)
{
    struct json_object *run = json_get(event, "snapshot");
    struct buf text = BUF_EMPTY;
    int rc = 0;
    begin_text(&text, run);
    if (strcmp(json_get_str(run, "state", ""), "paused") != 0 || !show_hindrance(&text, run))
        buf_add_str(&text, "was paused, and goes on"); /* meanwhile */
    if (notify->wants[NOTIFY_PAUSED])
        rc = tell(notify, NOTIFY_PAUSED, event, buf_text(&text), error);
    buf_clear(&text);
    return rc;
}

/* ---- endpoints ---- */

static int take_endpoint(struct notify *notify, struct json_object *event, struct galloc_error *error)
{
    const char *name = json_get_str(event, "endpoint", "?"), *reason = json_get_str(event, "reason", NULL), *words = json_get_str(event, "text", NULL);
    const char *told = notify_endpoint_reason(&notify->state, name);
    int rc = 0;
    if (strcmp(json_get_str(event, "state", ""), "down") != 0)
        reason = NULL;
    if (reason != NULL && (told == NULL || strcmp(told, reason) != 0) && notify->wants[NOTIFY_PAUSED]) {
        char *text = xasprintf("endpoint %s is down: %s%s%s; its runs wait", name, reason, words != NULL ? ": " : "", words != NULL ? words : "");
        rc = tell(notify, NOTIFY_PAUSED, event, text, error);
        free(text);
    }
    if (rc == 0)
        notify_endpoint_set(&notify->state, name, reason);
    return rc;
}

/* ---- events ---- */

/* A pause by its endpoint is told as the endpoint's. */
static const char *own_pause(struct json_object *run)
{
    static const char *const of_endpoints[] = {"credentials", "billing", "config"};
    const char *reason = json_get_str(run, "reason", "operator");
    if (strcmp(json_get_str(run, "state", ""), "paused") != 0)
        return NULL;
    for (size_t i = 0; i < ARRAY_COUNT(of_endpoints); i++)
        if (strcmp(reason, of_endpoints[i]) == 0)
            return NULL;
    return reason;
}

static bool is_over(struct json_object *run)
{
    const char *state = json_get_str(run, "state", "");
    return strcmp(state, "done") == 0 || strcmp(state, "cancelled") == 0;
}

static int on_end(struct notify *notify, const char *id, struct json_object *event, struct galloc_error *error)
{
    int rc = tell_end(notify, event, error);
    if (rc == 0)
        notify_run_close(&notify->state, id);
    return rc;
}

static int on_paused(struct notify *notify, const char *id, struct json_object *event, struct galloc_error *error)
{
    int rc = tell_pause(notify, event, error);
    if (rc == 0)
        notify_run_set_paused(&notify->state, id, json_get_str(json_get(event, "snapshot"), "reason", "operator"));
    return rc;
}

static int on_resumed(struct notify *notify, const char *id, struct json_object *event, struct galloc_error *error)
{
    (void)event;
    (void)error;
    notify_run_set_paused(&notify->state, id, NULL);
    return 0;
}

/* What a run waits for that somebody should hear of; NULL: nothing. An open run that has decided all that came is as it should be. */
static const char *waiting_code(struct json_object *run)
{
    const char *code = json_get_str(json_get(run, "waiting"), "code", NULL);
    return code != NULL && strcmp(code, "open") == 0 ? NULL : code;
}

static int take_run_event(struct notify *notify, const char *type, struct json_object *event, struct galloc_error *error)
{
    static const struct {
        const char *type;
        int (*take)(struct notify *notify, const char *id, struct json_object *event, struct galloc_error *error);
    } rows[] = {{"run_done", on_end}, {"run_cancelled", on_end}, {"run_paused", on_paused}, {"run_resumed", on_resumed}};
    const char *id = json_get_str(event, "run", NULL);
    struct json_object *run = json_get(event, "snapshot");
    int rc = 0;
    for (size_t i = 0; rc == 0 && id != NULL && i < ARRAY_COUNT(rows); i++)
        if (strcmp(type, rows[i].type) == 0)
            rc = rows[i].take(notify, id, event, error);
    if (rc == 0 && id != NULL && json_is_object(run) && !is_over(run))
        notify_run_set_waiting(&notify->state, id, waiting_code(run));
    return rc;
}

int notify_take_event(struct notify *notify, struct json_span text, struct galloc_error *error)
{
    struct json_object *event = NULL;
    if (text.len == 0)
        return 0; /* a sign of life */
    if (json_parse(text.at, text.len, &event, error) < 0)
        return galloc_prefix(error, "the daemon's events");
    const char *type = json_get_str(event, "type", "");
    int rc = 0;
    if (strcmp(type, "reset") == 0) {
        say(notify->cli, "events were missed: the daemon no longer has those after number %s; what changed meanwhile is seen from what is", text_count(notify->state.seq).text);
        rc = notify_look(notify, error);
    } else if (strcmp(type, "endpoint") == 0) {
        rc = take_endpoint(notify, event, error);
    } else {
        rc = take_run_event(notify, type, event, error);
    }
    int64_t seq = json_get_i64(event, "seq", 0);
    if (rc == 0 && strcmp(type, "progress") != 0 && seq > notify->state.seq) { /* a progress has the number of what it shows */
        notify->state.seq = seq;
        notify->state.is_changed = true;
    }
    json_free(event);
    return rc;
}

/* ---- a look at what is ---- */

/* What is, in the shape of an event. */
static struct json_object *as_event(struct json_object *run)
{
    struct buf text = BUF_EMPTY, snapshot = BUF_EMPTY;
    struct json_out out = JSON_OUT(&text);
    struct json_object *event = NULL;
    bool is_cancelled = strcmp(json_get_str(run, "state", ""), "cancelled") == 0;
    json_to_text(run, &snapshot);
    json_out_begin(&out, '{');
    json_out_member_int(&out, "seq", json_get_i64(run, "seq", 0));
    json_out_member_time(&out, "at", clock_wall_ms());
    json_out_member_str(&out, "type", is_cancelled ? "run_cancelled" : is_over(run) ? "run_done" : own_pause(run) != NULL ? "run_paused" : "progress");
    json_out_member_str(&out, "run", json_get_str(run, "id", ""));
    json_out_name(&out, "snapshot");
    json_out_raw(&out, snapshot.data, snapshot.len);
    json_out_end(&out, '}');
    if (json_parse(text.data, text.len, &event, NULL) < 0)
        event = NULL; /* made above: it never is */
    buf_clear(&text);
    buf_clear(&snapshot);
    return event;
}

static int compare_run(struct notify *notify, struct json_object *run, int64_t known_seq, struct galloc_error *error)
{
    const char *id = json_get_str(run, "id", ""), *pause = own_pause(run);
    const struct notify_run *known = notify_run_find(&notify->state, id);
    if (is_over(run) && known == NULL && json_get_i64(run, "seq", 0) <= known_seq)
        return 0; /* it had ended before */
    if (pause == NULL && !is_over(run))
        notify_run_set_paused(&notify->state, id, NULL);
    bool has_told = pause != NULL && known != NULL && known->paused != NULL && strcmp(known->paused, pause) == 0;
    struct json_object *event = as_event(run);
    int rc = take_run_event(notify, has_told ? "progress" : json_get_str(event, "type", ""), event, error);
    json_free(event);
    return rc;
}

static int get(struct notify *notify, struct response *response, struct galloc_error *error, const char *path)
{
    return client_call(notify->cli->client, &(struct request){.method = "GET", .path = path}, response, error);
}

int notify_look_at_endpoints(struct notify *notify, struct galloc_error *error)
{
    struct response response = RESPONSE_EMPTY;
    int rc = get(notify, &response, error, "/v1/endpoints");
    struct json_object *items = json_get(response.json, "items");
    for (size_t i = 0; rc == 0 && i < json_array_len(items); i++) {
        struct json_object *item = json_array_at(items, i), *event = NULL;
        struct buf text = BUF_EMPTY;
        struct json_out out = JSON_OUT(&text);
        json_out_begin(&out, '{');
        json_out_member_time(&out, "at", clock_wall_ms());
        json_out_member_str(&out, "type", "endpoint");
        json_out_member_str(&out, "endpoint", json_get_str(item, "name", "?"));
        json_out_member_str(&out, "state", json_get_str(item, "state", "?"));
        json_out_member_str(&out, "reason", json_get_str(item, "reason", NULL));
        json_out_member_str(&out, "text", json_get_str(item, "text", NULL));
        json_out_end(&out, '}');
        rc = json_parse(text.data, text.len, &event, error);
        rc = rc == 0 ? take_endpoint(notify, event, error) : rc;
        json_free(event);
        buf_clear(&text);
    }
    response_clear(&response);
    return rc;
}

/* Open ones that are not among the newest. */
static int look_at_old(struct notify *notify, char **ids, size_t count, int64_t known_seq, struct galloc_error *error)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct response response = RESPONSE_EMPTY;
        char *path = xasprintf("/v1/runs/%s", ids[i]);
        rc = get(notify, &response, error, path);
        if (rc == 0)
            rc = compare_run(notify, response.json, known_seq, error);
        if (rc == -GALLOC_NOT_FOUND) {
            notify_run_close(&notify->state, ids[i]); /* purged, or of another store */
            rc = 0;
        }
        free(path);
        response_clear(&response);
    }
    return rc;
}

static int look_at_runs(struct notify *notify, struct json_object *items, int64_t *highest_seq, struct galloc_error *error)
{
    int64_t known_seq = notify->state.seq;
    size_t old_count = 0;
    char **old = xcalloc(notify->state.run_count + 1, sizeof *old);
    for (size_t i = 0; i < notify->state.run_count; i++) {
        bool is_listed = false;
        for (size_t j = 0; !is_listed && j < json_array_len(items); j++)
            is_listed = strcmp(json_get_str(json_array_at(items, j), "id", ""), notify->state.runs[i].id) == 0;
        if (!is_listed)
            old[old_count++] = xstrdup(notify->state.runs[i].id);
    }
    int rc = look_at_old(notify, old, old_count, known_seq, error);
    for (size_t i = json_array_len(items); rc == 0 && i-- > 0;) { /* the oldest first */
        *highest_seq = max_i64(*highest_seq, json_get_i64(json_array_at(items, i), "seq", 0));
        rc = compare_run(notify, json_array_at(items, i), known_seq, error);
    }
    for (size_t i = 0; i < old_count; i++)
        free(old[i]);
    free(old);
    return rc;
}

int notify_look(struct notify *notify, struct galloc_error *error)
{
    struct response response = RESPONSE_EMPTY;
    char path[64];
    int64_t highest_seq = 0;
    snprintf(path, sizeof path, "/v1/runs?limit=%d", LOOK_RUNS);
    int rc = get(notify, &response, error, path);
    if (rc == 0)
        rc = look_at_runs(notify, json_get(response.json, "items"), &highest_seq, error);
    response_clear(&response);
    if (rc == 0)
        rc = notify_look_at_endpoints(notify, error);
    if (rc == 0 && notify->state.seq < 0) {
        notify->state.seq = highest_seq;
        notify->state.is_changed = true;
    }
    return rc;
}

/* ---- waits ---- */

int64_t notify_due(const struct notify *notify)
{
    int64_t due_mono_ms = INT64_MAX;
    for (size_t i = 0; notify->wants[NOTIFY_WAITING] && i < notify->state.run_count; i++) {
        const struct notify_run *run = &notify->state.runs[i];
        if (run->waiting != NULL && !run->has_told_waiting)
            due_mono_ms = min_i64(due_mono_ms, run->waiting_since_mono_ms + notify->patience_ms);
    }
    return due_mono_ms;
}

static int tell_wait(struct notify *notify, const char *id, struct galloc_error *error)
{
    struct response response = RESPONSE_EMPTY;
    char *path = xasprintf("/v1/runs/%s", id);
    int rc = get(notify, &response, error, path);
    free(path);
    const char *code = rc == 0 ? waiting_code(response.json) : NULL;
    if (rc == 0)
        notify_run_set_waiting(&notify->state, id, code);
    if (rc == -GALLOC_NOT_FOUND) {
        notify_run_close(&notify->state, id);
        rc = 0;
    }
    const struct notify_run *run = notify_run_find(&notify->state, id);
    if (rc == 0 && run != NULL && code != NULL && clock_mono_ms() - run->waiting_since_mono_ms >= notify->patience_ms) {
        struct buf text = BUF_EMPTY;
        struct json_object *event = as_event(response.json);
        begin_text(&text, response.json);
        show_hindrance(&text, response.json);
        rc = tell(notify, NOTIFY_WAITING, event, buf_text(&text), error);
        if (rc == 0)
            notify_run_open(&notify->state, id)->has_told_waiting = notify->state.is_changed = true;
        json_free(event);
        buf_clear(&text);
    }
    response_clear(&response);
    return rc;
}

int notify_tell_waits(struct notify *notify, struct galloc_error *error)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < notify->state.run_count; i++) {
        const struct notify_run *run = &notify->state.runs[i];
        if (run->waiting == NULL || run->has_told_waiting || clock_mono_ms() < run->waiting_since_mono_ms + notify->patience_ms)
            continue;
        char *id = xstrdup(run->id);
        rc = tell_wait(notify, id, error);
        free(id);
    }
    return rc;
}
