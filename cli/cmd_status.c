/* gallocctl status and runs: which daemon, its endpoints, its runs; or one run, beginning with when it ends and what it costs. */
#include "base/clock.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/out.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS_SHOWN = 20 };

/* Adds "label  text" with the text made by a function that adds to a buf. */
static void print_field(const char *label, struct buf *text)
{
    out_line("  %-11s %s", label, buf_text(text));
    buf_reset(text);
}

static void print_end_and_cost(struct json_object *run, struct buf *text)
{
    struct json_object *eta = json_get(run, "eta"), *cost = json_get(run, "cost"), *projected = json_get(cost, "projected_micros");
    const char *state = json_get_str(run, "state", ""), *started_at = json_get_str(run, "started_at", NULL);
    bool is_over = strcmp(state, "done") == 0 || strcmp(state, "cancelled") == 0;
    if (is_over) {
        show_time(text, json_get_str(run, "finished_at", NULL));
        int64_t took_s = seconds_between(started_at, json_get_str(run, "finished_at", NULL));
        if (took_s >= 0) {
            buf_add_str(text, ", after ");
            show_seconds(text, took_s);
        }
        print_field("ended", text);
    } else {
        const char *finish_at = json_get_str(eta, "finish_at", NULL);
        if (finish_at != NULL) {
            show_time(text, finish_at);
            buf_add_str(text, ", in ");
        }
        show_eta(text, run);
        show_limit(text, run);
        print_field("ends", text);
    }
    show_run_cost(text, run);
    if (json_is_object(projected) && !is_over && json_get_str(cost, "currency", NULL) != NULL) {
        buf_add_str(text, " so far, ");
        show_micros(text, json_get_str(cost, "currency", ""), json_get_i64(projected, "low", 0));
        buf_add_str(text, " to ");
        show_micros(text, json_get_str(cost, "currency", ""), json_get_i64(projected, "high", 0));
        buf_add_str(text, " in all");
    }
    show_budget(text, cost);
    print_field("costs", text);
}

static void print_hindrances(struct json_object *run, struct buf *text)
{
    struct json_object *waiting = json_get(run, "waiting"), *reasons = json_get(run, "reasons");
    if (json_is_object(waiting)) {
        show_waiting(text, waiting);
        print_field("waits", text);
    }
    if (json_array_len(reasons) == 0)
        return;
    for (size_t i = 0; i < json_array_len(reasons); i++)
        buf_add_fmt(text, "%s%s", i ? ", " : "", json_str(json_array_at(reasons, i), NULL));
    if (json_get_str(run, "text", NULL) != NULL)
        buf_add_fmt(text, ": %s", json_get_str(run, "text", NULL));
    print_field("paused", text);
}

static void add_counts(struct buf *text, struct json_object *counts)
{
    static const char *const rows[][2] = {{"succeeded", "allocated"}, {"failed", "failed"}, {"pending", "pending"}, {"leased", "in hand"},
                                          {"cancelled", "cancelled"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        buf_add_str(text, i ? ", " : "");
        show_count(text, json_get_i64(counts, rows[i][0], 0));
        buf_add_fmt(text, " %s", rows[i][1]);
    }
    buf_add_str(text, " of ");
    show_count(text, json_get_i64(counts, "total", 0));
}

static void add_retries(struct buf *text, struct json_object *retries)
{
    static const struct {
        const char *name, *words;
        bool is_always;
    } rows[] = {{"throttled", "throttled", true},
                {"invalid_answer", "invalid answers", true},
                {"lost", "lost (possibly billed)", true},
                {"agent_full", "for a full agent", false},
                {"unavailable", "unavailable", false},
                {"unfinished", "for the rest of an answer", false}};
    buf_add_fmt(text, "%s transient (%s spent)", text_count(json_get_i64(retries, "transient", 0)).text, text_count(json_get_i64(retries, "spent", 0)).text);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        int64_t count = json_get_i64(retries, rows[i].name, 0);
        if (rows[i].is_always || count > 0)
            buf_add_fmt(text, ", %s %s", text_count(count).text, rows[i].words);
    }
}

/* Which of several endpoints in order it is on, since when, and why not on those before. */
static void print_endpoints(struct json_object *run, struct buf *text)
{
    struct json_object *endpoints = json_get(run, "endpoints");
    const char *present = json_get_str(run, "endpoint", "?");
    bool is_before = true;
    for (size_t i = 0; i < json_array_len(endpoints); i++) {
        struct json_object *endpoint = json_array_at(endpoints, i);
        const char *name = json_get_str(endpoint, "name", "?"), *words = json_get_str(endpoint, "text", NULL);
        bool is_present = strcmp(name, present) == 0;
        buf_add_fmt(text, "%s%s", i > 0 ? "; " : "", name);
        if (is_present) {
            buf_add_str(text, ": on it since ");
            show_time(text, json_get_str(endpoint, "since", NULL));
        } else if (words != NULL) {
            buf_add_fmt(text, ": %s", words);
            if (json_get_str(endpoint, "until", NULL) != NULL) {
                buf_add_str(text, ", until ");
                show_time(text, json_get_str(endpoint, "until", NULL));
            }
        } else {
            buf_add_str(text, is_before ? ": well again" : ": in reserve");
        }
        is_before = is_before && !is_present;
    }
    if (json_array_len(endpoints) > 0)
        print_field("endpoints", text);
}

/* "12,034 in (3,000 cached), 900 out, 120 thinking" */
static void add_tokens(struct buf *text, struct json_object *tokens)
{
    int64_t cached = json_get_i64(tokens, "cached", 0), thinking = json_get_i64(tokens, "thinking", 0);
    buf_add_fmt(text, "%s in", text_count(json_get_i64(tokens, "in", 0)).text);
    if (cached > 0)
        buf_add_fmt(text, " (%s cached)", text_count(cached).text);
    buf_add_fmt(text, ", %s out", text_count(json_get_i64(tokens, "out", 0)).text);
    if (thinking > 0)
        buf_add_fmt(text, ", %s thinking", text_count(thinking).text);
}

static void print_run(const struct cli *cli, struct json_object *run)
{
    struct buf text = BUF_EMPTY;
    const char *name = json_get_str(run, "name", NULL), *pool = json_get_str(run, "pool", NULL);
    show_percent(&text, json_get_double(run, "progress", 0));
    out_title(cli, "run %s%s%s%s: %s%s, %s", json_get_str(run, "id", "?"), name ? " (" : "", name ? name : "", name ? ")" : "",
              json_get_str(run, "state", "?"), json_get_bool(run, "open", false) ? ", open" : "", buf_text(&text));
    buf_reset(&text);
    print_end_and_cost(run, &text);
    print_hindrances(run, &text);
    add_counts(&text, json_get(run, "counts"));
    print_field("assignments", &text);
    if (json_get_double(run, "rate_per_min", 0) > 0) {
        show_count(&text, llround(json_get_double(run, "rate_per_min", 0)));
        buf_add_str(&text, " a minute");
        print_field("rate", &text);
    }
    add_retries(&text, json_get(run, "retries"));
    print_field("retries", &text);
    add_tokens(&text, json_get(run, "tokens"));
    print_field("tokens", &text);
    buf_add_fmt(&text, "endpoint %s, profile %s, ", json_get_str(run, "endpoint", "?"), json_get_str(run, "profile", "?"));
    if (json_get_bool(run, "question", false))
        buf_add_str(&text, "asks a question, ");
    else
        buf_add_fmt(&text, "pool %s, ", pool ? pool : "of its own");
    buf_add_fmt(&text, "priority %" PRId64, json_get_i64(run, "priority", 0));
    print_field("plan", &text);
    print_endpoints(run, &text);
    buf_add_str(&text, "created ");
    show_time(&text, json_get_str(run, "created_at", NULL));
    buf_add_str(&text, ", started ");
    show_time(&text, json_get_str(run, "started_at", NULL));
    print_field("times", &text);
    if (json_get_i64(json_get(run, "counts"), "failed", 0) > 0)
        out_line("  %-11s gallocctl failures %s", "why failed", json_get_str(run, "id", "?"));
    buf_clear(&text);
}

static const struct column endpoint_columns[] = {
    {"ENDPOINT", "name", CELL_TEXT, false}, {"STATE", "state", CELL_ENDPOINT_STATE, false}, {"MODEL", "model", CELL_TEXT, true},
    {"IN FLIGHT", "in_flight", CELL_COUNT, false}, {"LIMIT/MIN", "pacer.rate_per_min", CELL_NUMBER, false}, {"LIMITED BY", "pacer.text", CELL_TEXT, true},
};
static const struct column run_columns[] = {
    {"RUN", "id", CELL_TEXT, false},
    {"NAME", "name", CELL_TEXT, true},
    {"STATE", "state", CELL_TEXT, false},
    {"OPEN", "open", CELL_YES, false},
    {"DONE", "progress", CELL_PERCENT, false},
    {"TOTAL", "counts.total", CELL_COUNT, false},
    {"ALLOCATED", "counts.succeeded", CELL_COUNT, false},
    {"FAILED", "counts.failed", CELL_COUNT, false},
    {"RATE/MIN", "rate_per_min", CELL_NUMBER, false},
    {"LEFT", "eta.seconds", CELL_SECONDS, false},
    {"REASON", "reason", CELL_TEXT, true},
    {"COST", "cost", CELL_MONEY, false},
    {"CREATED", "created_at", CELL_TIME, false},
};

static void print_list(const struct cli *cli, const struct column *columns, size_t column_count, struct json_object *items)
{
    struct buf body = BUF_EMPTY;
    buf_add_str(&body, "{\"items\":");
    json_to_text(items, &body);
    buf_add_char(&body, '}');
    out_items(cli, columns, column_count, &body);
    buf_clear(&body);
}

static bool is_any_down(struct json_object *endpoints)
{
    for (size_t i = 0; i < json_array_len(endpoints); i++)
        if (strcmp(json_get_str(json_array_at(endpoints, i), "state", "up"), "down") == 0)
            return true;
    return false;
}

static void print_endpoint_trouble(struct json_object *endpoints)
{
    for (size_t i = 0; i < json_array_len(endpoints); i++) {
        struct json_object *endpoint = json_array_at(endpoints, i);
        if (strcmp(json_get_str(endpoint, "state", "up"), "down") == 0)
            out_line("  %s is down (%s): %s", json_get_str(endpoint, "name", "?"), json_get_str(endpoint, "reason", "?"),
                     json_get_str(endpoint, "text", ""));
    }
}

/* Paused for the endpoint alone: that is told beside the endpoint. */
static bool is_endpoints_own(struct json_object *run)
{
    struct json_object *reasons = json_get(run, "reasons");
    const char *reason = json_str(json_array_at(reasons, 0), NULL);
    return json_array_len(reasons) == 1 && reason != NULL && (strcmp(reason, "credentials") == 0 || strcmp(reason, "billing") == 0 || strcmp(reason, "config") == 0);
}

static void print_status(const struct cli *cli, struct json_object *status)
{
    struct json_object *daemon = json_get(status, "daemon"), *store = json_get(daemon, "store");
    struct buf since = BUF_EMPTY;
    show_time(&since, json_get_str(daemon, "started_at", NULL));
    const char *text = json_get_str(daemon, "text", NULL), *detail = json_get_str(store, "detail", NULL);
    struct json_object *endpoints = json_get(status, "endpoints");
    const char *state = json_get_str(daemon, "state", "?");
    if (text != NULL && strcmp(state, "ready") == 0 && is_any_down(endpoints))
        text = NULL; /* told below, beside the endpoint */
    bool repeats = text != NULL && strncmp(text, state, strlen(state)) == 0;
    out_title(cli, "gallocd %s: %s%s%s", json_get_str(daemon, "version", "?"), repeats ? "" : state, text && !repeats ? ": " : "", text ? text : "");
    out_line("  socket %s, state in %s, since %s", json_get_str(daemon, "socket", "?"), json_get_str(daemon, "state_dir", "?"), buf_text(&since));
    bool is_told = text != NULL && detail != NULL && strcmp(text, detail) == 0;
    if (!is_told && (detail != NULL || strcmp(json_get_str(store, "state", "ok"), "ok") != 0))
        out_line("  store: %s%s%s", json_get_str(store, "state", "?"), detail ? ": " : "", detail ? detail : "");
    buf_clear(&since);
    out_line("%s", "");
    print_list(cli, endpoint_columns, ARRAY_COUNT(endpoint_columns), endpoints);
    print_endpoint_trouble(endpoints);
    struct json_object *open = json_get(status, "open"), *ended = json_get(status, "ended");
    out_line("%s", "");
    out_title(cli, json_array_len(open) > 0 ? "open runs" : "no open run");
    print_list(cli, run_columns, ARRAY_COUNT(run_columns), open);
    for (size_t i = 0; i < json_array_len(open); i++) {
        struct buf line = BUF_EMPTY;
        struct json_object *run = json_array_at(open, i);
        show_hindrance(&line, run);
        if (line.len > 0 && !is_endpoints_own(run))
            out_line("  %s %s", json_get_str(run, "id", "?"), buf_text(&line));
        buf_clear(&line);
    }
    if (json_array_len(ended) == 0)
        return;
    out_line("%s", "");
    out_title(cli, "ended last");
    print_list(cli, run_columns, ARRAY_COUNT(run_columns), ended);
}

static int status_of_runs(struct cli *cli, int count, char **words)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    int rc = 0;
    for (int i = 0; rc == 0 && i < count; i++) {
        char *segment = client_segment(words[i]);
        response_clear(&response);
        rc = client_get(cli->client, &response, &error, "/v1/runs/%s", segment);
        free(segment);
        if (rc < 0)
            break;
        if (i > 0 && cli->format == FORMAT_TABLE)
            out_line("%s", "");
        if (!out_answer(cli, &response))
            print_run(cli, response.json);
    }
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

int command_status(struct cli *cli, int count, char **words)
{
    if (cli->format == FORMAT_CSV)
        return say_failure(cli, GALLOC_USAGE, "status is no table: it can be had as --format table, json or ndjson; as CSV there are 'gallocctl runs --format csv' "
                                              "and 'gallocctl endpoint list --format csv'");
    if (count > 0)
        return status_of_runs(cli, count, words);
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    int rc = client_get(cli->client, &response, &error, "/v1/status");
    if (rc == 0 && !out_answer(cli, &response))
        print_status(cli, response.json);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

int command_runs(struct cli *cli, int count, char **words)
{
    (void)count;
    (void)words;
    struct buf path = BUF_EMPTY;
    const char *const *states;
    size_t state_count = args_texts(&cli->args, "state", &states);
    buf_add_str(&path, "/v1/runs");
    char separator = '?';
    for (size_t i = 0; i < state_count; i++) {
        char *state = client_segment(states[i]);
        buf_add_fmt(&path, i == 0 ? "?state=%s" : ",%s", state);
        separator = '&';
        free(state);
    }
    if (args_has(&cli->args, "since")) {
        char text[CLOCK_TEXT_MAX];
        buf_add_fmt(&path, "%csince=%s", separator, clock_rfc3339(args_number(&cli->args, "since", 0), text));
    }
    int64_t shown;
    int status = out_pages(cli, buf_text(&path), args_number(&cli->args, "limit", RUNS_SHOWN), run_columns, ARRAY_COUNT(run_columns), "id", &shown);
    if (status == EXIT_WELL && shown == 0)
        say(cli, state_count > 0 || args_has(&cli->args, "since") ? "no such run" : "no run yet; make one: gallocctl enqueue FILE --agents FILE");
    buf_clear(&path);
    return status;
}
