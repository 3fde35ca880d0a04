/* gallocctl list, show, attempts, failures and loads: a run from the inside. */
#include "base/text.h"
#include "cli/command.h"
#include "cli/out.h"
#include "cli/selector.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

enum { ROWS_SHOWN = 100 };

static const struct column assignment_columns[] = {
    {"KEY", "key", CELL_TEXT, false},
    {"STATE", "state", CELL_STATE, false},
    {"AGENT", "agent_id", CELL_TEXT, false},
    {"CONFIDENCE", "confidence", CELL_NUMBER, false},
    {"TRIES", "attempts", CELL_COUNT, false},
    {"ERROR", "error.code", CELL_TEXT, false},
    {"NOT BEFORE", "not_before", CELL_TIME, false},
    {"ENDED", "finished_at", CELL_TIME, false},
    {"REASON", "reason", CELL_TEXT, true},
    {"MESSAGE", "error.message", CELL_TEXT, true},
};
static const struct column attempt_columns[] = {
    {"N", "n", CELL_COUNT, false},
    {"STARTED", "started_at", CELL_TIME, false},
    {"CLASS", "class", CELL_TEXT, false},
    {"STATUS", "http_status", CELL_TEXT, false},
    {"TIME", "latency_ms", CELL_MS, false},
    {"ENDPOINT", "endpoint", CELL_TEXT, false},
    {"TOKENS IN", "tokens.in", CELL_COUNT, false},
    {"CACHED", "tokens.cached", CELL_COUNT, false},
    {"OUT", "tokens.out", CELL_COUNT, false},
    {"THINKING", "tokens.thinking", CELL_COUNT, false},
    {"COST", "cost_micros", CELL_MICROS, false},
    {"WORKER", "worker", CELL_TEXT, false},
    {"AGENT", "agent_id", CELL_TEXT, false},
    {"MAYBE BILLED", "is_possibly_billed", CELL_YES, false},
    {"MESSAGE", "message", CELL_TEXT, true},
};
static const struct column failure_columns[] = {
    {"COUNT", "count", CELL_COUNT, false}, {"CODE", "code", CELL_TEXT, false},         {"STATUS", "http_status", CELL_TEXT, false},
    {"FIRST", "first_at", CELL_TIME, false}, {"LAST", "last_at", CELL_TIME, false},    {"EXAMPLE", "example", CELL_TEXT, false},
    {"MESSAGE", "message", CELL_TEXT, true}, {"TO TRY AGAIN", "retry", CELL_COMMAND, false},
};
static const struct column load_columns[] = {
    {"AGENT", "agent_id", CELL_TEXT, false},   {"CAPACITY", "capacity", CELL_LIMIT, false}, {"HELD", "held", CELL_COUNT, false},
    {"FREE", "free", CELL_LIMIT, false},       {"IN FLIGHT", "in_flight", CELL_COUNT, false}, {"AVAILABLE", "available", CELL_YES, false},
    {"UNTIL", "until", CELL_TIME, false},      {"BY THIS RUN", "in_run", CELL_COUNT, false},
};
static const struct column pool_load_columns[] = {
    {"AGENT", "agent_id", CELL_TEXT, false}, {"CAPACITY", "capacity", CELL_LIMIT, false},   {"HELD", "held", CELL_COUNT, false},
    {"FREE", "free", CELL_LIMIT, false},     {"AVAILABLE", "available", CELL_YES, false}, {"UNTIL", "until", CELL_TIME, false},
};

int command_list(struct cli *cli, int count, char **words)
{
    (void)count;
    struct buf path = BUF_EMPTY;
    char *run = client_segment(words[0]);
    buf_add_fmt(&path, "/v1/runs/%s/assignments", run);
    selector_query(&cli->args, &path);
    int64_t shown;
    int status = out_pages(cli, buf_text(&path), args_number(&cli->args, "limit", ROWS_SHOWN), assignment_columns, ARRAY_COUNT(assignment_columns), "key", &shown);
    struct galloc_error error;
    if (status == EXIT_WELL && shown == 0 && selector_explain_none(cli, run, &error) < 0)
        status = say_error(cli, &error);
    else if (status == EXIT_WELL && shown == 0)
        say(cli, "no assignment of run %s %s", words[0], buf_text(&path)[strcspn(buf_text(&path), "?")] != '\0' ? "is meant by that" : "is there yet");
    free(run);
    buf_clear(&path);
    return status;
}

/* One line of what is shown of an assignment. Names of fields are people's own: they are as wide as they look, not as their bytes. */
static void print_field(const char *name, const char *value)
{
    enum { NAME_COLUMNS = 26 };
    wchar_t wide[NAME_COLUMNS + 1] = {0};
    size_t count = mbstowcs(wide, name, NAME_COLUMNS);
    int columns = count == (size_t)-1 ? -1 : wcswidth(wide, NAME_COLUMNS);
    out_line("  %s%*s %s", name, columns < 0 || columns > NAME_COLUMNS ? 0 : NAME_COLUMNS - columns, "", value);
}

static int print_member(const char *name, struct json_object *value, void *arg)
{
    (void)arg;
    struct buf text = BUF_EMPTY;
    if (json_is_str(value))
        buf_add_str(&text, json_str(value, NULL));
    else if (value != NULL)
        json_to_text(value, &text);
    print_field(name, buf_text(&text));
    buf_clear(&text);
    return 0;
}

static void print_assignment(const struct cli *cli, struct json_object *assignment)
{
    struct buf text = BUF_EMPTY;
    struct json_object *error = json_get(assignment, "error"), *prompt = json_get(assignment, "prompt");
    const char *state = json_get_str(assignment, "state", "?"), *agent = json_get_str(assignment, "agent_id", NULL);
    out_title(cli, "%s: %s%s%s", json_get_str(assignment, "key", "?"), strcmp(state, "succeeded") == 0 ? "allocated" : state, agent ? " to " : "",
              agent ? agent : "");
    if (json_get_str(assignment, "reason", NULL) != NULL)
        out_line("  %-26s %s", "reason", json_get_str(assignment, "reason", ""));
    if (json_get(assignment, "confidence") != NULL)
        out_line("  %-26s %.2f, by %s", "confidence", json_get_double(assignment, "confidence", 0), json_get_str(assignment, "decided_by", "?"));
    else if (json_get_str(assignment, "decided_by", NULL) != NULL)
        out_line("  %-26s %s", "decided by", json_get_str(assignment, "decided_by", "?"));
    if (json_is_object(error))
        out_line("  %-26s %s: %s", "error", json_get_str(error, "code", "?"), json_get_str(error, "message", ""));
    if (json_get_str(assignment, "not_before", NULL) != NULL) {
        show_time(&text, json_get_str(assignment, "not_before", NULL));
        out_line("  %-26s %s", "not before", buf_text(&text));
        buf_reset(&text);
    }
    show_time(&text, json_get_str(assignment, "finished_at", NULL));
    out_line("  %-26s %s; row %" PRId64 "; ended %s", "tries", text_count(json_get_i64(assignment, "attempts", 0)).text, json_get_i64(assignment, "row", 0),
             buf_text(&text));
    buf_clear(&text);
    if (json_is_object(json_get(assignment, "answer"))) {
        out_title(cli, "answer");
        json_each(json_get(assignment, "answer"), print_member, NULL);
    }
    out_title(cli, "fields");
    json_each(json_get(assignment, "fields"), print_member, NULL);
    static const char *const parts[] = {"system", "user"};
    for (size_t i = 0; json_is_object(prompt) && i < ARRAY_COUNT(parts); i++) {
        const char *words = json_get_str(prompt, parts[i], "");
        if (words[0] == '\0')
            continue; /* a template without that part, or data instead of a prompt */
        out_title(cli, "prompt, %s", parts[i]);
        out_bytes(&(struct cli){.is_stdout_terminal = true}, words, strlen(words));
        out_line("%s", "");
    }
}

int command_show(struct cli *cli, int count, char **words)
{
    (void)count;
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    char *run = client_segment(words[0]), *key = client_segment(words[1]);
    int rc = client_get(cli->client, &response, &error, "/v1/runs/%s/assignments/%s%s", run, key, args_has(&cli->args, "prompt") ? "?prompt=1" : "");
    if (rc == 0 && !out_answer(cli, &response))
        print_assignment(cli, response.json);
    const char *problem = rc == 0 ? json_get_str(json_get(response.json, "prompt"), "problem", NULL) : NULL;
    if (problem != NULL && cli->format == FORMAT_TABLE)
        say(cli, "no prompt: %s", problem);
    free(run);
    free(key);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

/* The answers as they came, one after another. */
static void print_raw(struct json_object *items)
{
    for (size_t i = 0; i < json_array_len(items); i++) {
        size_t len = 0;
        const char *raw = json_str(json_get(json_array_at(items, i), "raw"), &len);
        if (raw == NULL)
            continue;
        fwrite(raw, 1, len, stdout);
        fputc('\n', stdout);
    }
}

int command_attempts(struct cli *cli, int count, char **words)
{
    (void)count;
    bool is_raw = args_has(&cli->args, "raw");
    if (is_raw && cli->is_stdout_terminal)
        return say_failure(cli, GALLOC_USAGE, "--raw prints a model's words as they are, so not to a terminal: send it to a file or a pipe");
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    char *run = client_segment(words[0]), *key = client_segment(words[1]);
    int rc = client_get(cli->client, &response, &error, "/v1/runs/%s/assignments/%s/attempts%s", run, key, is_raw ? "?raw=1" : "");
    if (rc == 0 && is_raw && cli->format == FORMAT_TABLE)
        print_raw(json_get(response.json, "items"));
    else if (rc == 0)
        out_items(cli, attempt_columns, ARRAY_COUNT(attempt_columns), &response.body);
    if (rc == 0 && cli->format == FORMAT_TABLE && json_array_len(json_get(response.json, "items")) == 0)
        say(cli, "%s was not tried yet", words[1]);
    free(run);
    free(key);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

/* A list of a run that comes whole. *ret_is_empty tells that it has no item. */
static int print_whole(struct cli *cli, const char *path, const struct column *columns, size_t column_count, bool *ret_is_empty)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    int rc = client_get(cli->client, &response, &error, "%s", path);
    if (rc == 0) {
        out_items(cli, columns, column_count, &response.body);
        *ret_is_empty = json_array_len(json_get(response.json, "items")) == 0;
    }
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

/* Where a retry alone would fail again: what to change before it. */
static const char *const remedies[][2] = {
    {"no_capacity", "first make room: gallocctl pool set RUN AGENT capacity=N (or available=yes), RUN being the run's id or its pool; gallocctl loads RUN shows who is full"},
    {"no_candidate", "no agent has what --match asks for: compare the field with the agents' attribute; for a standing pool import the agents again, else enqueue anew"},
    {"template", "the template needs a field that these assignments do not have: enqueue them again with another --template"},
    {"expired", "they waited longer than the run's --max-age allows; enqueue them again without it if they are still wanted"},
    {"rejected", "the provider refused the content; send fewer columns (--send, --keep-back) if it happens again"},
};

static void tell_remedies(struct cli *cli, const char *run, const char *path)
{
    struct response response = RESPONSE_EMPTY;
    if (client_get(cli->client, &response, NULL, "%s", path) == 0) {
        struct json_object *items = json_get(response.json, "items");
        for (size_t r = 0; r < ARRAY_COUNT(remedies); r++)
            for (size_t i = 0; i < json_array_len(items); i++)
                if (strcmp(json_get_str(json_array_at(items, i), "code", ""), remedies[r][0]) == 0) {
                    say(cli, "%s: %s", remedies[r][0], remedies[r][1]);
                    break;
                }
    }
    response_clear(&response);
    say(cli, "these rows as they came, to be enqueued otherwise: gallocctl results %s --state failed --only-input -o failed.csv", run);
}

int command_failures(struct cli *cli, int count, char **words)
{
    bool is_empty = false;
    char *run = client_segment(count > 0 ? words[0] : "@last");
    char *path = xasprintf("/v1/runs/%s/failures", run);
    int status = print_whole(cli, path, failure_columns, ARRAY_COUNT(failure_columns), &is_empty);
    if (is_empty && cli->format == FORMAT_TABLE)
        say(cli, "nothing failed");
    else if (status == EXIT_WELL && cli->format == FORMAT_TABLE)
        tell_remedies(cli, count > 0 ? words[0] : "@last", path);
    free(path);
    free(run);
    return status;
}

/* A pool's agents in the shape of a list. */
static int print_pool_loads(struct cli *cli, const char *pool)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    char *segment = client_segment(pool);
    int rc = client_get(cli->client, &response, &error, "/v1/pools/%s", segment);
    if (rc == 0 && cli->format == FORMAT_JSON) {
        out_answer(cli, &response);
    } else if (rc == 0) {
        struct buf body = BUF_EMPTY;
        buf_add_str(&body, "{\"items\":");
        json_to_text(json_get(response.json, "agents"), &body);
        buf_add_char(&body, '}');
        out_items(cli, pool_load_columns, ARRAY_COUNT(pool_load_columns), &body);
        buf_clear(&body);
    }
    free(segment);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

int command_loads(struct cli *cli, int count, char **words)
{
    const char *pool = args_text(&cli->args, "pool");
    if ((pool != NULL) == (count > 0))
        return say_failure(cli, GALLOC_USAGE, "give either RUN or --pool POOL");
    if (pool != NULL)
        return print_pool_loads(cli, pool);
    bool is_empty = false;
    char *run = client_segment(words[0]);
    char *path = xasprintf("/v1/runs/%s/load", run);
    int status = print_whole(cli, path, load_columns, ARRAY_COUNT(load_columns), &is_empty);
    if (is_empty && cli->format == FORMAT_TABLE)
        say(cli, "no agents: the run asks a question (--schema), and nobody is to be chosen");
    free(path);
    free(run);
    return status;
}
