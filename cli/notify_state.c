/* See notify_state.h. */
#include "cli/notify_state.h"

#include "base/clock.h"
#include "base/json_out.h"
#include "cli/atomic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 16 << 20 };

static bool is_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* ---- runs ---- */

struct notify_run *notify_run_find(struct notify_state *state, const char *id)
{
    for (size_t i = 0; i < state->run_count; i++)
        if (strcmp(state->runs[i].id, id) == 0)
            return &state->runs[i];
    return NULL;
}

struct notify_run *notify_run_open(struct notify_state *state, const char *id)
{
    struct notify_run *run = notify_run_find(state, id);
    if (run != NULL)
        return run;
    state->runs = xreallocarray(state->runs, state->run_count + 1, sizeof *state->runs);
    state->runs[state->run_count] = (struct notify_run){.id = xstrdup(id)};
    state->is_changed = true;
    return &state->runs[state->run_count++];
}

static void run_clear(struct notify_run *run)
{
    free(run->id);
    free(run->paused);
    free(run->waiting);
}

void notify_run_close(struct notify_state *state, const char *id)
{
    struct notify_run *run = notify_run_find(state, id);
    if (run == NULL)
        return;
    run_clear(run);
    *run = state->runs[--state->run_count];
    state->is_changed = true;
}

void notify_run_set_paused(struct notify_state *state, const char *id, const char *reason)
{
    struct notify_run *run = notify_run_open(state, id);
    if (is_same(run->paused, reason))
        return;
    free(run->paused);
    run->paused = xstrdup(reason);
    state->is_changed = true;
}

void notify_run_set_waiting(struct notify_state *state, const char *id, const char *code)
{
    struct notify_run *run = notify_run_open(state, id);
    if (is_same(run->waiting, code))
        return;
    free(run->waiting);
    run->waiting = xstrdup(code);
    run->has_told_waiting = false;
    run->waiting_since_mono_ms = clock_mono_ms();
    state->is_changed = true;
}

/* ---- endpoints ---- */

static struct notify_endpoint *endpoint_find(const struct notify_state *state, const char *name)
{
    for (size_t i = 0; i < state->endpoint_count; i++)
        if (strcmp(state->endpoints[i].name, name) == 0)
            return &state->endpoints[i];
    return NULL;
}

const char *notify_endpoint_reason(const struct notify_state *state, const char *name)
{
    const struct notify_endpoint *endpoint = endpoint_find(state, name);
    return endpoint != NULL ? endpoint->reason : NULL;
}

void notify_endpoint_set(struct notify_state *state, const char *name, const char *reason)
{
    struct notify_endpoint *endpoint = endpoint_find(state, name);
    if (is_same(endpoint != NULL ? endpoint->reason : NULL, reason))
        return;
    if (endpoint == NULL) {
        state->endpoints = xreallocarray(state->endpoints, state->endpoint_count + 1, sizeof *state->endpoints);
        endpoint = &state->endpoints[state->endpoint_count++];
        *endpoint = (struct notify_endpoint){.name = xstrdup(name)};
    }
    free(endpoint->reason);
    endpoint->reason = xstrdup(reason);
    state->is_changed = true;
    if (reason != NULL)
        return;
    free(endpoint->name);
    *endpoint = state->endpoints[--state->endpoint_count];
}

/* ---- the file ---- */

static void take_lists(struct notify_state *state, struct json_object *runs, struct json_object *endpoints)
{
    for (size_t i = 0; i < json_array_len(runs); i++) {
        struct json_object *from = json_array_at(runs, i);
        const char *id = json_get_str(from, "run", ""), *waiting = json_get_str(from, "waiting", NULL);
        notify_run_set_paused(state, id, json_get_str(from, "paused", NULL));
        notify_run_set_waiting(state, id, waiting);
        notify_run_open(state, id)->has_told_waiting = waiting != NULL;
    }
    for (size_t i = 0; i < json_array_len(endpoints); i++)
        notify_endpoint_set(state, json_get_str(json_array_at(endpoints, i), "endpoint", ""), json_get_str(json_array_at(endpoints, i), "reason", "?"));
}

static int parse(struct notify_state *state, const struct buf *text, struct galloc_error *error)
{
    struct json_object *value = NULL;
    int rc = json_parse(buf_text(text), text->len, &value, NULL);
    if (rc == 0 && json_is_i64(json_get(value, "seq"))) {
        state->seq = json_get_i64(value, "seq", -1);
        take_lists(state, json_get(value, "runs"), json_get(value, "endpoints"));
    } else {
        rc = galloc_fail(error, GALLOC_INVALID_INPUT, "%s is not a cursor of gallocctl notify; name another file, or take it away to begin with what comes", state->path);
    }
    json_free(value);
    return rc;
}

int notify_state_load(struct notify_state *state, const char *path, struct galloc_error *error)
{
    *state = (struct notify_state){.path = xstrdup(path), .seq = -1};
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    if (file == NULL && path != NULL && errno != ENOENT)
        return galloc_fail(error, GALLOC_LOCAL_IO, "%s cannot be read: %s", path, strerror(errno));
    if (file == NULL)
        return 0;
    struct buf text = BUF_EMPTY;
    for (size_t got = 1; got > 0 && text.len < FILE_BYTES_MAX;) {
        got = fread(buf_reserve(&text, 65536), 1, 65536, file);
        text.len += got;
    }
    bool is_bad = ferror(file) != 0;
    fclose(file);
    int rc = is_bad ? galloc_fail(error, GALLOC_LOCAL_IO, "%s cannot be read", path) : parse(state, &text, error);
    buf_clear(&text);
    state->is_changed = false;
    return rc;
}

static void print(const struct notify_state *state, struct buf *text)
{
    struct json_out out = JSON_OUT(text);
    json_out_begin(&out, '{');
    json_out_member_int(&out, "seq", state->seq);
    json_out_name(&out, "runs");
    json_out_begin(&out, '[');
    for (size_t i = 0; i < state->run_count; i++) {
        const struct notify_run *run = &state->runs[i];
        json_out_begin(&out, '{');
        json_out_member_str(&out, "run", run->id);
        json_out_member_str(&out, "paused", run->paused);
        json_out_member_str(&out, "waiting", run->has_told_waiting ? run->waiting : NULL);
        json_out_end(&out, '}');
    }
    json_out_end(&out, ']');
    json_out_name(&out, "endpoints");
    json_out_begin(&out, '[');
    for (size_t i = 0; i < state->endpoint_count; i++) {
        json_out_begin(&out, '{');
        json_out_member_str(&out, "endpoint", state->endpoints[i].name);
        json_out_member_str(&out, "reason", state->endpoints[i].reason);
        json_out_end(&out, '}');
    }
    json_out_end(&out, ']');
    json_out_end(&out, '}');
    buf_add_char(text, '\n');
}

int notify_state_save(struct notify_state *state, struct galloc_error *error)
{
    if (state->path == NULL || !state->is_changed)
        return 0;
    struct atomic_file file;
    struct buf text = BUF_EMPTY;
    int rc = atomic_open(&file, state->path, false, false, error);
    if (rc == 0) {
        print(state, &text);
        fwrite(text.data, 1, text.len, file.file);
        rc = atomic_commit(&file, error);
    }
    state->is_changed = rc < 0;
    atomic_clear(&file);
    buf_clear(&text);
    return rc;
}

void notify_state_clear(struct notify_state *state)
{
    for (size_t i = 0; i < state->run_count; i++)
        run_clear(&state->runs[i]);
    for (size_t i = 0; i < state->endpoint_count; i++) {
        free(state->endpoints[i].name);
        free(state->endpoints[i].reason);
    }
    free(state->runs);
    free(state->endpoints);
    free(state->path);
    *state = (struct notify_state){.seq = -1};
}
