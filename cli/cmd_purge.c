/* gallocctl purge: runs that ended are gone, with everything that is stored of them. */
#include "base/clock.h"
#include "base/json_out.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/out.h"

#include <stdlib.h>

/* Which runs are to go. */
struct goal {
    char *run; /* owned; NULL: those that are older */
    int64_t older_than_ms;
};

static int post_purge(struct cli *cli, const struct goal *goal, bool is_dry, struct response *response, struct galloc_error *error)
{
    struct buf body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    json_out_begin(&out, '{');
    if (goal->run != NULL)
        json_out_member_str(&out, "run", goal->run);
    else
        json_out_member_int(&out, "older_than_ms", goal->older_than_ms);
    json_out_member_bool(&out, "release", args_has(&cli->args, "release"));
    json_out_member_bool(&out, "dry_run", is_dry);
    json_out_end(&out, '}');
    response_clear(response);
    int rc = client_post(cli->client, &body, response, error, "/v1/purge");
    buf_clear(&body);
    return rc;
}

static const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

/* "run r-… (1,000 assignments)", "3 runs (12,000 assignments)". Owned. */
static char *words_of(struct json_object *answer)
{
    int64_t runs = json_get_i64(answer, "runs", 0), rows = json_get_i64(answer, "assignments", 0);
    const char *id = json_get_str(json_array_at(json_get(answer, "items"), 0), "id", "?");
    if (runs == 1)
        return xasprintf("run %s (%s assignment%s)", id, text_count(rows).text, plural(rows));
    return xasprintf("%s runs (%s assignment%s)", text_count(runs).text, text_count(rows).text, plural(rows));
}

static void print_answer(struct json_object *answer)
{
    bool is_dry = json_get_bool(answer, "dry_run", false);
    if (json_get_i64(answer, "runs", 0) == 0) {
        out_line("no run ended so long ago: nothing to purge");
        return;
    }
    char *words = words_of(answer);
    out_line("%s %s%s", words, is_dry ? "would be purged" : "purged", json_get_bool(answer, "released", false) ? "; the places are given back" : "");
    struct json_object *items = json_get(answer, "items");
    for (size_t i = 0; is_dry && i < json_array_len(items); i++) {
        struct json_object *item = json_array_at(items, i);
        struct buf when = BUF_EMPTY;
        show_time(&when, json_get_str(item, "finished_at", ""));
        out_line("  %s  %-9s  %s  %s", json_get_str(item, "id", "?"), json_get_str(item, "state", "?"), buf_text(&when), text_count(json_get_i64(item, "assignments", 0)).text);
        buf_clear(&when);
    }
    free(words);
}

/* What was told is what goes: not the run that is the last one by now, nor those that have become old enough while nobody answered. */
static void goal_hold(struct goal *goal, struct json_object *told, int64_t asked_mono_ms)
{
    if (json_get_i64(told, "runs", 0) == 1) {
        free(goal->run);
        goal->run = xstrdup(json_get_str(json_array_at(json_get(told, "items"), 0), "id", ""));
    }
    goal->older_than_ms += clock_mono_ms() - asked_mono_ms;
}

/* Tells what would go, and asks. -CANCELLED: no. */
static int confirm(struct cli *cli, struct goal *goal, struct response *response, struct galloc_error *error)
{
    int64_t asked_mono_ms = clock_mono_ms();
    int rc = post_purge(cli, goal, true, response, error);
    if (rc < 0 || json_get_i64(response->json, "runs", 0) == 0)
        return rc;
    char *words = words_of(response->json);
    char *question = xasprintf("Purge %s for good, with decisions, calls and costs%s?", words, args_has(&cli->args, "release") ? ", and give the places back" : "");
    rc = ask_yes(cli, question) ? 0 : galloc_fail(error, GALLOC_CANCELLED, "nothing was purged");
    goal_hold(goal, response->json, asked_mono_ms);
    free(question);
    free(words);
    return rc;
}

int command_purge(struct cli *cli, int count, char **words)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    struct goal goal = {count > 0 ? xstrdup(words[0]) : NULL, args_number(&cli->args, "older-than", 0)};
    bool is_dry = args_has(&cli->args, "dry-run");
    int rc = 0;
    if ((goal.run != NULL) == args_has(&cli->args, "older-than"))
        rc = galloc_fail(&error, GALLOC_USAGE, "give either RUN or --older-than DUR");
    else if (!is_dry && !cli->is_yes)
        rc = confirm(cli, &goal, &response, &error);
    if (rc == 0)
        rc = post_purge(cli, &goal, is_dry, &response, &error);
    if (rc == 0 && !out_answer(cli, &response) && !cli->is_quiet)
        print_answer(response.json);
    response_clear(&response);
    free(goal.run);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}
