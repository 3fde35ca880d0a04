/* gallocctl health, doctor, drain, undrain, reload, audit, api and version: the daemon itself. */
#include "base/clock.h"
#include "base/json_out.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/out.h"
#include "cli/source.h"

#include <stdlib.h>
#include <string.h>

int command_health(struct cli *cli, int count, char **words)
{
    (void)count;
    (void)words;
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    bool is_ready = args_has(&cli->args, "ready");
    int rc = client_get(cli->client, &response, &error, is_ready ? "/readyz" : "/healthz");
    if (rc == 0 && !out_answer(cli, &response) && !cli->is_quiet) {
        const char *text = json_get_str(response.json, "text", NULL);
        out_line("%s%s%s", is_ready ? "ready" : "alive", text ? "; " : "", text ? text : "");
    }
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

static void print_checks(const struct cli *cli, struct json_object *checks)
{
    for (size_t i = 0; i < json_array_len(checks); i++) {
        struct json_object *check = json_array_at(checks, i);
        bool is_well = json_get_bool(check, "ok", false), is_warning = json_get_bool(check, "is_warning", false);
        if (is_well && cli->is_quiet)
            continue;
        out_line("%-8s %-16s %s", is_well ? "ok" : is_warning ? "warning" : "PROBLEM", json_get_str(check, "name", "?"), json_get_str(check, "text", ""));
    }
}

int command_doctor(struct cli *cli, int count, char **words)
{
    (void)count;
    (void)words;
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    struct buf body = BUF_EMPTY;
    int status = EXIT_WELL;
    struct json_out out = JSON_OUT(&body);
    json_out_begin(&out, '{');
    json_out_member_bool(&out, "full", args_has(&cli->args, "full"));
    json_out_end(&out, '}');
    int rc = client_post(cli->client, &body, &response, &error, "/v1/doctor");
    if (rc == 0) {
        if (!out_answer(cli, &response))
            print_checks(cli, json_get(response.json, "checks"));
        if (!json_get_bool(response.json, "ok", false))
            status = EXIT_BAD_OUTCOME;
    }
    buf_clear(&body);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : status;
}

/* Asks until nothing is in flight: each answer of /v1/drain tells how many are. */
static int wait_drained(struct cli *cli, int64_t in_flight)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    int rc = 0;
    for (unsigned attempt = 0; rc == 0 && in_flight > 0; attempt++) {
        if (!client_pause(cli->client, attempt)) {
            response_clear(&response);
            say_always(cli, "%s calls are still in flight", text_count(in_flight).text);
            return EXIT_STILL_GOING;
        }
        rc = client_post(cli->client, NULL, &response, &error, "/v1/drain");
        in_flight = rc == 0 ? json_get_i64(response.json, "in_flight", 0) : in_flight;
    }
    response_clear(&response);
    if (rc == 0 && cli->format == FORMAT_TABLE && !cli->is_quiet)
        out_line("drained: nothing is in flight");
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

static int drain_or_not(struct cli *cli, const char *path)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    int rc = client_post(cli->client, NULL, &response, &error, "%s", path);
    int64_t in_flight = rc == 0 ? json_get_i64(response.json, "in_flight", 0) : 0;
    bool is_draining = rc == 0 && json_get_bool(response.json, "draining", false);
    if (rc == 0 && !out_answer(cli, &response) && !cli->is_quiet)
        out_line("%s; %s in flight", is_draining ? "draining: no new calls, no new work ('gallocctl undrain' ends it)" : "calls go out",
                 text_counted(in_flight, "call").text);
    response_clear(&response);
    if (rc < 0)
        return say_error(cli, &error);
    return is_draining && args_has(&cli->args, "wait") ? wait_drained(cli, in_flight) : EXIT_WELL;
}

int command_drain(struct cli *cli, int count, char **words)
{
    (void)count;
    (void)words;
    return drain_or_not(cli, "/v1/drain");
}

int command_undrain(struct cli *cli, int count, char **words)
{
    (void)count;
    (void)words;
    return drain_or_not(cli, "/v1/undrain");
}

static void print_names(const char *title, struct json_object *names)
{
    struct buf all = BUF_EMPTY;
    for (size_t i = 0; i < json_array_len(names); i++)
        buf_add_fmt(&all, "%s%s", i ? ", " : "", json_str(json_array_at(names, i), NULL));
    if (all.len > 0)
        out_line("%s: %s", title, buf_text(&all));
    buf_clear(&all);
}

int command_reload(struct cli *cli, int count, char **words)
{
    (void)count;
    (void)words;
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    int rc = client_post(cli->client, NULL, &response, &error, "/v1/reload");
    struct json_object *problems = rc == 0 ? json_get(response.json, "problems") : NULL;
    int status = json_array_len(problems) > 0 ? EXIT_NOT_PERMITTED : EXIT_WELL;
    if (rc == 0 && !out_answer(cli, &response) && !cli->is_quiet) {
        if (json_array_len(json_get(response.json, "changed")) + json_array_len(json_get(response.json, "needs_restart")) == 0)
            out_line("%s", json_array_len(problems) > 0 ? "read again; no setting is different" : "read again; nothing is different");
        print_names("in effect now", json_get(response.json, "changed"));
        print_names("in effect after a restart", json_get(response.json, "needs_restart"));
    } else if (rc < 0) {
        struct json_object *errors = json_get(response.json, "errors");
        for (size_t i = 0; i < json_array_len(errors); i++) {
            const char *message = json_get_str(json_array_at(errors, i), "message", "");
            if (strstr(error.message, message) == NULL) /* that one is told below */
                say_always(cli, "%s", message);
        }
    }
    for (size_t i = 0; i < json_array_len(problems); i++)
        say_failure(cli, GALLOC_NOT_PERMITTED, "%s", json_str(json_array_at(problems, i), NULL));
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : status;
}

static const struct column audit_columns[] = {
    {"WHEN", "at", CELL_TIME, false},  {"WHO", "who", CELL_TEXT, false},       {"ACTION", "action", CELL_TEXT, false}, {"RUN", "run", CELL_TEXT, false},
    {"OBJECT", "object", CELL_TEXT, false}, {"REASON", "reason", CELL_TEXT, true}, {"BEFORE", "before", CELL_TEXT, true}, {"AFTER", "after", CELL_TEXT, true},
};

int command_audit(struct cli *cli, int count, char **words)
{
    (void)count;
    (void)words;
    struct buf path = BUF_EMPTY;
    char separator = '?', text[CLOCK_TEXT_MAX];
    buf_add_str(&path, "/v1/audit");
    if (args_has(&cli->args, "run")) {
        char *run = client_segment(args_text(&cli->args, "run"));
        buf_add_fmt(&path, "?run=%s", run);
        separator = '&';
        free(run);
    }
    if (args_has(&cli->args, "since"))
        buf_add_fmt(&path, "%csince=%s", separator, clock_rfc3339(args_number(&cli->args, "since", 0), text));
    int64_t shown;
    int status = out_pages(cli, buf_text(&path), args_number(&cli->args, "limit", 100), audit_columns, ARRAY_COUNT(audit_columns), NULL, &shown);
    if (status == EXIT_WELL && shown == 0)
        say(cli, "nothing was done%s", args_has(&cli->args, "run") || args_has(&cli->args, "since") ? " that is meant by that" : " yet");
    buf_clear(&path);
    return status;
}

static int read_body(const char *data, struct buf *ret_body, struct galloc_error *error)
{
    enum { BYTES_MAX = 4 << 20 };
    if (data[0] != '@') {
        buf_add_str(ret_body, data);
        return 0;
    }
    struct source *source = NULL;
    const char *chunk;
    size_t len = 1;
    int rc = source_open(data + 1, NULL, &source, error);
    while (rc == 0 && len > 0) {
        rc = source_read(source, &chunk, &len, error);
        if (rc == 0)
            buf_add(ret_body, chunk, len);
        if (ret_body->len > BYTES_MAX)
            rc = galloc_fail(error, GALLOC_TOO_LARGE, "a request's body has at most 4 MiB");
    }
    source_close(source);
    return rc;
}

/* The answer, as it is: JSON for the eye or a pipe, streams as they come. */
static int print_api(struct cli *cli, const struct request *request, struct galloc_error *error)
{
    struct transfer *transfer = transfer_start(cli->client, request);
    struct buf chunk = BUF_EMPTY;
    char last = '\n';
    int rc;
    while ((rc = transfer_chunk(transfer, 1000, &chunk, error)) == STREAM_LINE || rc == STREAM_NOTHING) {
        if (chunk.len == 0)
            continue;
        out_bytes(cli, chunk.data, chunk.len);
        last = chunk.data[chunk.len - 1];
    }
    if (last != '\n')
        out_line("%s", "");
    buf_clear(&chunk);
    transfer_drop(transfer);
    return rc < 0 ? rc : 0;
}

int command_api(struct cli *cli, int count, char **words)
{
    (void)count;
    struct galloc_error error;
    struct buf body = BUF_EMPTY;
    char *method = xstrdup(words[0]);
    for (char *at = method; *at != '\0'; at++)
        *at = (char)(*at >= 'a' && *at <= 'z' ? *at - 32 : *at);
    int rc = 0;
    if (words[1][0] != '/')
        rc = galloc_fail(&error, GALLOC_USAGE, "the path begins with /, e.g. gallocctl api GET /v1/status");
    if (rc == 0 && args_has(&cli->args, "data"))
        rc = read_body(args_text(&cli->args, "data"), &body, &error);
    struct request request = {.method = method,
                              .path = words[1],
                              .body = body.data,
                              .body_len = body.len,
                              .content_type = args_text(&cli->args, "content-type")};
    if (rc == 0)
        rc = print_api(cli, &request, &error);
    free(method);
    buf_clear(&body);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

int command_version(struct cli *cli, int count, char **words)
{
    (void)count;
    (void)words;
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    if (cli->client == NULL) { /* --version: this program alone */
        out_line("gallocctl %s", PACKAGE_VERSION);
        return EXIT_WELL;
    }
    int rc = client_get(cli->client, &response, &error, "/v1/status");
    struct json_object *daemon = rc == 0 ? json_get(response.json, "daemon") : NULL;
    if (cli->format != FORMAT_TABLE) {
        struct buf text = BUF_EMPTY;
        struct json_out out = JSON_OUT(&text);
        json_out_begin(&out, '{');
        json_out_member_str(&out, "gallocctl", PACKAGE_VERSION);
        json_out_member_str(&out, "gallocd", daemon ? json_get_str(daemon, "version", "?") : NULL);
        json_out_end(&out, '}');
        out_json(cli, text.data, text.len);
        buf_clear(&text);
    } else {
        out_line("gallocctl %s", PACKAGE_VERSION);
        if (daemon != NULL)
            out_line("gallocd   %s on %s", json_get_str(daemon, "version", "?"), client_socket(cli->client));
        else
            say(cli, "gallocd   %s", error.message);
    }
    response_clear(&response);
    return EXIT_WELL;
}
