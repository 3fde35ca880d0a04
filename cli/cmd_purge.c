/* gallocctl purge: runs that ended are gone, with everything that is stored of them. */
#include "base/json_out.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/out.h"

#include <stdlib.h>

static int post_purge(struct cli *cli, const char *run, bool is_dry, struct response *response, struct galloc_error *error)
{
    struct buf body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    json_out_begin(&out, '{');
    if (run != NULL)
        json_out_member_str(&out, "run", run);
    else
        json_out_member_int(&out, "older_than_ms", args_number(&cli->args, "older-than", 0));
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

/* Tells what would go, and asks. -CANCELLED: no. */
static int confirm(struct cli *cli, const char *run, struct response *response, struct galloc_error *error)
{
    int rc = post_purge(cli, run, true, response, error);
    if (rc < 0 || json_get_i64(response->json, "runs", 0) == 0)
        return rc;
    char *words = words_of(response->json);
    char *question = xasprintf("Purge %s for good, with decisions, calls and costs%s?", words, args_has(&cli->args, "release") ? ", and give the places back" : "");
    rc = ask_yes(cli, question) ? 0 : galloc_fail(error, GALLOC_CANCELLED, "nothing was purged");
    free(question);
    free(words);
    return rc;
}

int command_purge(struct cli *cli, int count, char **words)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    const char *run = count > 0 ? words[0] : NULL;
    if ((run != NULL) == args_has(&cli->args, "older-than"))
        return say_failure(cli, GALLOC_USAGE, "give either RUN or --older-than DUR");
    bool is_dry = args_has(&cli->args, "dry-run");
    int rc = is_dry || cli->is_yes ? 0 : confirm(cli, run, &response, &error);
    if (rc == 0)
        rc = post_purge(cli, run, is_dry, &response, &error);
    if (rc == 0 && !out_answer(cli, &response) && !cli->is_quiet)
        print_answer(response.json);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}
