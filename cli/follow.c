/* See follow.h. */
#include "cli/follow.h"

#include "base/clock.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUIET_MS_MAX = 5000, LINE_WAIT_MS = 1000, BAR_CELLS_MIN = 6, BAR_CELLS_MAX = 30 };

struct followed {
    char *id;                /* owned */
    struct json_object *run; /* its last snapshot, owned */
    bool is_over;
    int status;
    int64_t heard_mono_ms;
};

struct follower {
    struct cli *cli;
    enum follow_mode mode;
    struct followed *runs;
    size_t count;
    int64_t since; /* number of the last event seen */
    struct progress progress;
    bool is_waiting_for_daemon;
};

static void print_log(const char *at, const char *text)
{
    struct buf when = BUF_EMPTY;
    show_time(&when, at);
    out_line("%s %s", buf_text(&when), text);
    fflush(stdout);
    buf_clear(&when);
}

/* "r-… done: 680 allocated, 2 failed, in 12 min, 0.31 USD". */
static void tell_end(struct follower *follower, struct followed *followed)
{
    struct json_object *run = followed->run, *counts = json_get(run, "counts");
    struct buf line = BUF_EMPTY;
    buf_add_fmt(&line, "run %s %s: ", followed->id, json_get_str(run, "state", "?"));
    show_count(&line, json_get_i64(counts, "succeeded", 0));
    buf_add_str(&line, " allocated, ");
    show_count(&line, json_get_i64(counts, "failed", 0));
    buf_add_str(&line, " failed");
    if (json_get_i64(counts, "cancelled", 0) > 0) {
        buf_add_str(&line, ", ");
        show_count(&line, json_get_i64(counts, "cancelled", 0));
        buf_add_str(&line, " cancelled");
    }
    int64_t from = seconds_until(json_get_str(run, "started_at", NULL)), to = seconds_until(json_get_str(run, "finished_at", NULL));
    if (from != INT64_MIN && to != INT64_MIN) {
        buf_add_str(&line, ", in ");
        show_seconds(&line, to - from);
    }
    if (json_is_str(json_at(run, "cost.currency")) && json_is_i64(json_at(run, "cost.micros"))) {
        buf_add_str(&line, ", ");
        show_run_cost(&line, run);
    }
    progress_clear(follower->cli, &follower->progress);
    say(follower->cli, "%s", buf_text(&line));
    if (json_get_i64(counts, "failed", 0) > 0)
        say(follower->cli, "why: gallocctl failures %s", followed->id);
    buf_clear(&line);
}

static void finish(struct follower *follower, struct followed *followed, int status)
{
    followed->is_over = true;
    followed->status = status;
    if (status == EXIT_PAUSED) {
        const char *text = json_get_str(followed->run, "text", NULL);
        progress_clear(follower->cli, &follower->progress);
        say_always(follower->cli, "run %s is paused by the daemon: %s%s%s", followed->id, json_get_str(followed->run, "reason", "?"),
                   text ? "; " : "", text ? text : "");
        return;
    }
    tell_end(follower, followed);
}

/* Takes a run object over (owned from now on) and sees whether the run is at an end. */
static void take_snapshot(struct follower *follower, struct followed *followed, struct json_object *run)
{
    json_free(followed->run);
    followed->run = run;
    followed->heard_mono_ms = clock_mono_ms();
    const char *state = json_get_str(run, "state", ""), *reason = json_get_str(run, "reason", "operator");
    if (followed->is_over)
        return;
    if (strcmp(state, "done") == 0)
        finish(follower, followed, json_get_i64(json_get(run, "counts"), "failed", 0) > 0 ? EXIT_BAD_OUTCOME : EXIT_WELL);
    else if (strcmp(state, "cancelled") == 0)
        finish(follower, followed, EXIT_CANCELLED);
    else if (strcmp(state, "paused") == 0 && strcmp(reason, "operator") != 0 && follower->mode != FOLLOW_BAR)
        finish(follower, followed, EXIT_PAUSED);
}

static int ask_for(struct follower *follower, struct followed *followed, const char *name, struct galloc_error *error)
{
    struct response response = RESPONSE_EMPTY;
    char *segment = client_segment(name);
    char *path = xasprintf("/v1/runs/%s", segment);
    struct request request = {.method = "GET", .path = path, .is_patient = true};
    int rc = client_call(follower->cli->client, &request, &response, error);
    free(path);
    free(segment);
    if (rc == 0) {
        if (followed->id == NULL) {
            int64_t seq = json_get_i64(response.json, "seq", 0);
            followed->id = xstrdup(json_get_str(response.json, "id", name));
            follower->since = follower->since < 0 ? seq : min_i64(follower->since, seq);
        }
        take_snapshot(follower, followed, response.json);
        response.json = NULL;
    }
    response_clear(&response);
    return rc;
}

static bool is_all_over(const struct follower *follower)
{
    for (size_t i = 0; i < follower->count; i++)
        if (!follower->runs[i].is_over)
            return false;
    return true;
}

/* The bar takes what the words leave of the line; it goes first where that is little. */
static int bar_cells(const struct follower *follower, struct json_object *run)
{
    struct buf words = BUF_EMPTY;
    show_run_line(&words, run, 0);
    int64_t left = (int64_t)progress_columns() - (int64_t)words.len - 4;
    buf_clear(&words);
    return !follower->cli->is_stderr_terminal || left < BAR_CELLS_MIN ? 0 : (int)min_i64(left, BAR_CELLS_MAX);
}

static void draw(struct follower *follower)
{
    if (!progress_is_due(follower->cli, &follower->progress))
        return;
    struct buf line = BUF_EMPTY;
    size_t left = 0;
    for (size_t i = 0; i < follower->count; i++) {
        if (follower->runs[i].is_over || follower->runs[i].run == NULL)
            continue;
        if (left++ > 0)
            buf_add_str(&line, " | ");
        show_run_line(&line, follower->runs[i].run, bar_cells(follower, follower->runs[i].run));
    }
    if (left > 0 && follower->mode != FOLLOW_LOG)
        progress_show(follower->cli, &follower->progress, "%s", buf_text(&line));
    buf_clear(&line);
}

/* What comes next: "retry 1/3 in 2.1 s", "again in 2.1 s", "asked again at once", "not again". */
static void add_next(struct buf *line, struct json_object *event)
{
    bool comes_again = json_is_i64(json_get(event, "retry_in_ms"));
    int64_t in_ms = json_get_i64(event, "retry_in_ms", 0), n = json_get_i64(event, "retry", 0), most = json_get_i64(event, "max_retries", 0);
    if (!comes_again) {
        buf_add_str(line, "not again");
    } else if (n > 0 && n <= most) {
        buf_add_fmt(line, "retry %d/%d in ", (int)n, (int)most);
        show_ms(line, in_ms);
    } else if (in_ms > 0) {
        buf_add_str(line, "again in ");
        show_ms(line, in_ms);
    } else {
        buf_add_str(line, "asked again at once");
    }
}

/* "retry 1/3 in 2.1 s, LAN…, 503 …"; an answer that came well and would not do is told by its reason alone. */
static void log_attempt(struct json_object *event)
{
    struct buf line = BUF_EMPTY;
    const char *class = json_get_str(event, "class", ""), *message = json_get_str(event, "message", NULL);
    int64_t status = json_get_i64(event, "http_status", 0);
    if (strcmp(class, "succeeded") == 0)
        return;
    add_next(&line, event);
    buf_add_fmt(&line, ", %s", json_get_str(event, "key", "?"));
    if (status != 0 && status != 200)
        buf_add_fmt(&line, ", %d %s", (int)status, class);
    else if (message == NULL || strcmp(class, "agent_full") != 0)
        buf_add_fmt(&line, ", %s", class);
    if (message != NULL)
        buf_add_fmt(&line, ": %s", message);
    print_log(json_get_str(event, "at", NULL), buf_text(&line));
    buf_clear(&line);
}

static void log_assignment(struct json_object *event)
{
    struct buf line = BUF_EMPTY;
    const char *state = json_get_str(event, "state", ""), *key = json_get_str(event, "key", "?");
    if (strcmp(state, "succeeded") == 0)
        buf_add_fmt(&line, "%s allocated to %s", key, json_get_str(event, "agent_id", "?"));
    else if (strcmp(state, "failed") == 0)
        buf_add_fmt(&line, "%s failed: %s", key, json_get_str(event, "code", "?"));
    else if (strcmp(state, "cancelled") == 0)
        buf_add_fmt(&line, "%s cancelled", key);
    if (line.len > 0)
        print_log(json_get_str(event, "at", NULL), buf_text(&line));
    buf_clear(&line);
}

/* An event in the log, by its type. */
static void log_event_of(struct follower *follower, const char *type, struct json_object *event, struct json_object *snapshot)
{
    struct buf line = BUF_EMPTY;
    if (strcmp(type, "attempt") == 0) {
        log_attempt(event);
    } else if (strcmp(type, "assignment") == 0) {
        log_assignment(event);
    } else if (strcmp(type, "endpoint") == 0) {
        buf_add_fmt(&line, "endpoint %s is %s%s%s", json_get_str(event, "endpoint", "?"), json_get_str(event, "state", "?"),
                    json_get_str(event, "text", NULL) ? ": " : "", json_get_str(event, "text", ""));
    } else if (strcmp(type, "run_endpoint") == 0) {
        buf_add_fmt(&line, "run is on endpoint %s now, no longer %s: %s", json_get_str(event, "endpoint", "?"), json_get_str(event, "from", "?"),
                    json_get_str(event, "text", ""));
    } else if (strncmp(type, "run_", 4) == 0) {
        buf_add_fmt(&line, "run %s", type + strlen("run_"));
        if (snapshot != NULL) {
            buf_add_str(&line, ": ");
            show_run_line(&line, snapshot, 0);
        }
    } else if (strcmp(type, "progress") == 0 && snapshot != NULL && progress_is_due(follower->cli, &follower->progress)) {
        follower->progress.next_mono_ms = clock_mono_ms() + 10000;
        show_run_line(&line, snapshot, 0);
    }
    if (line.len > 0)
        print_log(json_get_str(event, "at", NULL), buf_text(&line));
    buf_clear(&line);
}

static int take_event(struct follower *follower, struct json_span text, struct galloc_error *error)
{
    struct json_object *event = NULL, *snapshot;
    int rc = 0;
    if (text.len == 0)
        return 0; /* a sign of life */
    if (json_parse(text.at, text.len, &event, error) < 0)
        return galloc_prefix(error, "the daemon's events");
    const char *type = json_get_str(event, "type", ""), *id = json_get_str(event, "run", NULL);
    follower->since = max_i64(follower->since, json_get_i64(event, "seq", 0));
    snapshot = json_get(event, "snapshot");
    if (follower->mode == FOLLOW_LOG)
        log_event_of(follower, type, event, snapshot);
    for (size_t i = 0; rc == 0 && i < follower->count; i++) {
        struct followed *followed = &follower->runs[i];
        if (strcmp(type, "reset") == 0)
            rc = ask_for(follower, followed, followed->id, error);
        if (id == NULL || followed->is_over || strcmp(id, followed->id) != 0)
            continue;
        followed->heard_mono_ms = clock_mono_ms();
        if (json_is_object(snapshot))
            take_snapshot(follower, followed, json_share(snapshot));
    }
    json_free(event);
    return rc;
}

/* Runs that were not heard of for a while are asked for: an end is never missed. */
static int ask_silent(struct follower *follower, struct galloc_error *error)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < follower->count; i++) {
        struct followed *followed = &follower->runs[i];
        if (!followed->is_over && clock_mono_ms() - followed->heard_mono_ms > QUIET_MS_MAX)
            rc = ask_for(follower, followed, followed->id, error);
    }
    return rc;
}

static struct transfer *open_stream(struct follower *follower)
{
    char *path = xasprintf("/v1/events?since=%" PRId64 "%s%s%s", max_i64(follower->since, 0), follower->count == 1 ? "&run=" : "",
                           follower->count == 1 ? follower->runs[0].id : "", follower->mode == FOLLOW_LOG ? "&assignments=1" : "");
    struct transfer *transfer = transfer_start(follower->cli->client, &(struct request){.method = "GET", .path = path});
    free(path);
    return transfer;
}

/* One stream, until it breaks or all is over. */
static int read_stream(struct follower *follower, struct galloc_error *error)
{
    struct transfer *transfer = open_stream(follower);
    struct json_span line;
    int rc = 0;
    while (rc == 0 && !is_all_over(follower)) {
        int got = transfer_line(transfer, follower->is_waiting_for_daemon ? 200 : LINE_WAIT_MS, &line, error);
        if (got == STREAM_LINE)
            rc = take_event(follower, line, error);
        else if (got == STREAM_END)
            rc = galloc_fail(error, GALLOC_UNREACHABLE, "the daemon ended the stream of events");
        else if (got < 0)
            rc = got;
        if (rc == 0 && (got == STREAM_NOTHING || follower->count > 1))
            rc = ask_silent(follower, error);
        if (rc == 0 && got == STREAM_LINE)
            follower->is_waiting_for_daemon = false;
        draw(follower);
    }
    transfer_drop(transfer);
    return rc;
}

/* Streams, one after another, as the daemon comes and goes. */
static int stay(struct follower *follower, struct galloc_error *error)
{
    int rc = 0;
    unsigned attempt = 0;
    while (!is_all_over(follower)) {
        rc = read_stream(follower, error);
        if (rc == 0 || !client_is_passing(rc))
            return rc;
        if (!follower->is_waiting_for_daemon) {
            progress_clear(follower->cli, &follower->progress);
            say(follower->cli, "%s; waiting for it (the run goes on when it is back)", error->message);
        }
        follower->is_waiting_for_daemon = true;
        if (!client_pause(follower->cli->client, attempt++)) {
            bool is_stopped = interrupt_pending();
            return galloc_fail(error, is_stopped ? GALLOC_CANCELLED : GALLOC_TIMED_OUT, is_stopped ? "stopped" : "time ran out (--timeout)");
        }
        for (size_t i = 0; rc < 0 && i < follower->count; i++) {
            struct followed *followed = &follower->runs[i];
            int asked = followed->is_over ? 0 : ask_for(follower, followed, followed->id, error);
            if (asked < 0)
                return asked;
        }
    }
    return 0;
}

static int conclude(struct follower *follower, int rc, const struct galloc_error *error)
{
    int status = EXIT_WELL;
    progress_clear(follower->cli, &follower->progress);
    if (rc == -GALLOC_CANCELLED && interrupt_pending()) {
        for (size_t i = 0; i < follower->count; i++)
            if (!follower->runs[i].is_over && follower->runs[i].id != NULL)
                say_always(follower->cli, "detached; run %s goes on. Watch it again: gallocctl watch %s", follower->runs[i].id, follower->runs[i].id);
        return EXIT_STILL_GOING;
    }
    if (rc == -GALLOC_TIMED_OUT) {
        for (size_t i = 0; i < follower->count; i++) {
            struct buf line = BUF_EMPTY;
            if (follower->runs[i].is_over || follower->runs[i].run == NULL)
                continue;
            show_run_line(&line, follower->runs[i].run, 0);
            say_always(follower->cli, "time ran out; %s", buf_text(&line));
            buf_clear(&line);
        }
        return EXIT_STILL_GOING;
    }
    if (rc < 0)
        return say_error(follower->cli, error);
    for (size_t i = 0; i < follower->count; i++)
        status = follower->runs[i].status > status ? follower->runs[i].status : status;
    return status;
}

/* A run that is open has no end of its own. */
static void tell_open(const struct follower *follower)
{
    for (size_t i = 0; i < follower->count; i++)
        if (!follower->runs[i].is_over && json_get_bool(follower->runs[i].run, "open", false))
            say(follower->cli, "run %s is open: it ends when somebody closes it (gallocctl close %s)", follower->runs[i].id,
                follower->runs[i].id);
}

/* A log of a run that stands still would say nothing: why it does is said first. */
static void tell_standstill(const struct follower *follower)
{
    for (size_t i = 0; follower->mode == FOLLOW_LOG && i < follower->count; i++) {
        struct buf line = BUF_EMPTY;
        if (follower->runs[i].run != NULL && !follower->runs[i].is_over && show_hindrance(&line, follower->runs[i].run))
            say(follower->cli, "run %s %s", follower->runs[i].id, buf_text(&line));
        buf_clear(&line);
    }
}

int follow_runs(struct cli *cli, char **runs, size_t count, enum follow_mode mode)
{
    struct follower follower = {.cli = cli, .mode = mode, .runs = xcalloc(count, sizeof *follower.runs), .count = count, .since = -1};
    struct galloc_error error = {0};
    int rc = 0;
    interrupt_catch();
    progress_init(cli, &follower.progress);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = ask_for(&follower, &follower.runs[i], runs[i], &error);
    if (rc == 0) {
        tell_open(&follower);
        tell_standstill(&follower);
        rc = stay(&follower, &error);
    }
    int status = conclude(&follower, rc, &error);
    for (size_t i = 0; i < count; i++) {
        free(follower.runs[i].id);
        json_free(follower.runs[i].run);
    }
    free(follower.runs);
    return status;
}
