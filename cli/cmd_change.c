/* gallocctl pause, resume, close, cancel, retry, redo, discard and set: changing a run. */
#include "base/json_out.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/out.h"
#include "cli/selector.h"
#include "cli/setting.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One run; prints what it is now. */
static int post_verb(struct cli *cli, const char *run, const char *verb)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    char *segment = client_segment(run);
    int rc = client_post(cli->client, NULL, &response, &error, "/v1/runs/%s/%s", segment, verb);
    if (rc == 0 && !out_answer(cli, &response) && !cli->is_quiet) {
        const char *text = json_get_str(response.json, "text", NULL);
        out_line("run %s is %s%s%s", json_get_str(response.json, "id", run), json_get_str(response.json, "state", "?"), text ? ": " : "", text ? text : "");
    }
    free(segment);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

/* All open runs, the pages gathered first since the verb changes what the list shows. */
static int post_verb_all(struct cli *cli, const char *verb)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    int status = EXIT_WELL;
    char **ids = NULL, *cursor = NULL;
    size_t count = 0;
    int rc;
    do {
        char *encoded = cursor ? client_segment(cursor) : NULL;
        response_clear(&response);
        rc = client_get(cli->client, &response, &error, "/v1/runs?state=running,paused&limit=500%s%s", encoded ? "&cursor=" : "", encoded ? encoded : "");
        free(encoded);
        free(cursor);
        cursor = rc == 0 ? xstrdup(json_get_str(response.json, "next", NULL)) : NULL;
        struct json_object *items = rc == 0 ? json_get(response.json, "items") : NULL;
        for (size_t i = 0; i < json_array_len(items); i++) {
            ids = xreallocarray(ids, count + 1, sizeof *ids);
            ids[count++] = xstrdup(json_get_str(json_array_at(items, i), "id", ""));
        }
    } while (cursor != NULL);
    response_clear(&response);
    if (rc < 0)
        status = say_error(cli, &error);
    else if (count == 0)
        say(cli, "no run is open");
    for (size_t i = 0; i < count; i++) {
        int one = post_verb(cli, ids[i], verb);
        status = one > status ? one : status;
        free(ids[i]);
    }
    free(ids);
    return status;
}

static int pause_or_resume(struct cli *cli, int count, char **words, const char *verb)
{
    bool is_all = args_has(&cli->args, "all");
    if (is_all == (count > 0))
        return say_failure(cli, GALLOC_USAGE, "give either RUN or --all");
    return is_all ? post_verb_all(cli, verb) : post_verb(cli, words[0], verb);
}

int command_pause(struct cli *cli, int count, char **words)
{
    return pause_or_resume(cli, count, words, "pause");
}

int command_resume(struct cli *cli, int count, char **words)
{
    return pause_or_resume(cli, count, words, "resume");
}

int command_close(struct cli *cli, int count, char **words)
{
    (void)count;
    return post_verb(cli, words[0], "close");
}

/* What is tried again while nobody has a place fails again. */
static void tell_no_room(struct cli *cli, const char *run_segment)
{
    struct response response = RESPONSE_EMPTY;
    int rc = client_get(cli->client, &response, NULL, "/v1/runs/%s/load", run_segment);
    struct json_object *agents = rc == 0 ? json_get(response.json, "items") : NULL;
    bool has_room = json_array_len(agents) == 0;
    for (size_t i = 0; i < json_array_len(agents) && !has_room; i++) {
        struct json_object *agent = json_array_at(agents, i), *places = json_get(agent, "free");
        has_room = json_get_bool(agent, "available", true) && (places == NULL || json_i64(places, 0) > 0);
    }
    if (!has_room)
        say(cli, "note: no agent has a free place, so they will fail again; make room: gallocctl pool set %s AGENT capacity=N", run_segment);
    response_clear(&response);
}

static int change(struct cli *cli, const char *run, const char *verb, const char *told)
{
    bool is_retry = strcmp(verb, "retry") == 0;
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    struct buf body = BUF_EMPTY;
    char *segment = client_segment(run);
    int rc = selector_body(&cli->args, &body, &error);
    if (rc == 0)
        rc = client_post(cli->client, &body, &response, &error, "/v1/runs/%s/%s", segment, verb);
    int64_t changed = rc == 0 ? json_get_i64(response.json, "changed", 0) : 0;
    if (rc == 0 && changed == 0)
        rc = selector_explain_none(cli, segment, &error);
    bool is_told = rc == 0 && !out_answer(cli, &response) && !cli->is_quiet;
    if (is_told && changed == 0)
        out_line("no assignment of run %s is meant by that: nothing is changed", run);
    else if (is_told)
        out_line("%s %s %s", text_counted(changed, "assignment").text, changed == 1 ? "is" : "are", told);
    if (rc == 0 && changed > 0 && is_retry)
        tell_no_room(cli, segment);
    free(segment);
    buf_clear(&body);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

/* Asks with the run's id, and gives it: @last or a name may be another run's by the time of the answer. `question` has a %s for the id. -CANCELLED: no. */
static int confirm(struct cli *cli, const char *run, const char *question, char **ret_id, struct galloc_error *error)
{
    struct response response = RESPONSE_EMPTY;
    char *segment = client_segment(run);
    int rc = client_get(cli->client, &response, error, "/v1/runs/%s", segment);
    if (rc == 0) {
        char *id = xstrdup(json_get_str(response.json, "id", run));
        struct buf asked = BUF_EMPTY;
        const char *hole = strstr(question, "%s");
        buf_add(&asked, question, (size_t)(hole - question));
        buf_add_str(&asked, id);
        buf_add_str(&asked, hole + 2);
        if (ask_yes(cli, buf_text(&asked)))
            *ret_id = id;
        else
            rc = galloc_fail(error, GALLOC_CANCELLED, "nothing was changed");
        if (rc < 0)
            free(id);
        buf_clear(&asked);
    }
    free(segment);
    response_clear(&response);
    return rc;
}

/* A change that --all makes of the whole run, which people at a terminal are asked about. */
static int change_asked(struct cli *cli, const char *run, const char *verb, const char *told, const char *question)
{
    struct galloc_error error;
    char *id = NULL;
    bool asks = args_has(&cli->args, "all") && !cli->is_yes && cli->is_stderr_terminal && !cli->is_no_input;
    if (asks && confirm(cli, run, question, &id, &error) < 0)
        return say_error(cli, &error);
    int status = change(cli, id != NULL ? id : run, verb, told);
    free(id);
    return status;
}

int command_cancel(struct cli *cli, int count, char **words)
{
    (void)count;
    return change_asked(cli, words[0], "cancel", "cancelled", "Cancel everything of run %s that has not ended?");
}

int command_retry(struct cli *cli, int count, char **words)
{
    (void)count;
    return change(cli, words[0], "retry", "pending again");
}

/* Decisions are taken back for a reason, which the audit log keeps. */
static int undo(struct cli *cli, const char *run, const char *verb, const char *told, const char *question)
{
    if (!args_has(&cli->args, "reason"))
        return say_failure(cli, GALLOC_USAGE, "why? Decisions are taken back with --reason TEXT");
    return change_asked(cli, run, verb, told, question);
}

int command_redo(struct cli *cli, int count, char **words)
{
    (void)count;
    return undo(cli, words[0], "redo", "pending again, places given back", "Have everything of run %s that is allocated decided again, and pay for it again?");
}

int command_discard(struct cli *cli, int count, char **words)
{
    (void)count;
    return undo(cli, words[0], "discard", "discarded, places given back", "Take back every allocation of run %s?");
}

const struct setting_row run_settings[] = {
    {"priority", "priority", SETTING_NUMBER, -100, 100, NULL, "N", "higher goes first, 0 is usual", NULL},
    {"pack", "pack", SETTING_NUMBER, 0, 100, NULL, "N", "so many assignments in one request; 0: as many as go well (auto)", NULL},
    {"endpoint", "endpoint", SETTING_TEXT, 0, 0, NULL, "ENDPOINT", "which API decides from now on; several in order: A,B", NULL},
    {"profile", "profile", SETTING_TEXT, 0, 0, NULL, "PROFILE", "how it is driven from now on", NULL},
    {"max_cost", "max_cost", SETTING_TEXT, 0, 0, NULL, "AMOUNT", "at most so much is spent, such as 12.50; none: no limit", NULL},
    {"name", "name", SETTING_TEXT, 0, 0, NULL, "NAME", "another name", NULL},
    {0},
};

/* What the run goes by from now on, and as it was given what the daemon does not tell of it. */
static void tell_settings(struct json_object *run, int count, char **given)
{
    static const char *const shown[] = {"priority=", "profile=", "name="};
    struct buf line = BUF_EMPTY;
    buf_add_fmt(&line, "run %s: priority %" PRId64 ", endpoint %s, profile %s, name %s", json_get_str(run, "id", "?"), json_get_i64(run, "priority", 0),
                json_get_str(run, "endpoint", "?"), json_get_str(run, "profile", "?"), json_get_str(run, "name", "-"));
    for (int i = 0; i < count; i++) {
        bool is_shown = false;
        for (size_t s = 0; s < ARRAY_COUNT(shown); s++)
            is_shown |= strncmp(given[i], shown[s], strlen(shown[s])) == 0;
        if (!is_shown)
            buf_add_fmt(&line, ", set %s", given[i]);
    }
    out_line("%s", buf_text(&line));
    buf_clear(&line);
}

int command_set(struct cli *cli, int count, char **words)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    struct buf body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    char *segment = client_segment(words[0]);
    char *path = xasprintf("/v1/runs/%s", segment);
    json_out_begin(&out, '{');
    int rc = setting_write(&out, run_settings, count - 1, words + 1, "a run", &error);
    json_out_end(&out, '}');
    struct request request = {.method = "PATCH", .path = path, .body = body.data, .body_len = body.len};
    if (rc == 0)
        rc = client_call(cli->client, &request, &response, &error);
    if (rc == 0 && !out_answer(cli, &response) && !cli->is_quiet)
        tell_settings(response.json, count - 1, words + 1);
    free(path);
    free(segment);
    buf_clear(&body);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}
