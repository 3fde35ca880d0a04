/* gallocctl profile and template: what a run's plan may name. */
#include "base/json_out.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/out.h"
#include "cli/schema_file.h"
#include "cli/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct column profile_columns[] = {
    {"PROFILE", "name", CELL_TEXT, false},          {"MODE", "mode", CELL_TEXT, false},     {"BATCH SIZE", "batch_size", CELL_TEXT, false},
    {"DELAY", "delay_ms", CELL_MS, false},          {"RETRIES", "max_retries", CELL_COUNT, false}, {"BACKOFF TO", "backoff_max_ms", CELL_MS, false},
    {"DEFAULT", "is_default", CELL_YES, false},     {"HOW IT DRIVES", "text", CELL_TEXT, true},
};

static int list_profiles(struct cli *cli, int count, char **words)
{
    (void)count;
    (void)words;
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    int rc = client_get(cli->client, &response, &error, "/v1/profiles");
    if (rc == 0)
        out_items(cli, profile_columns, ARRAY_COUNT(profile_columns), &response.body);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

static int show_profile(struct cli *cli, int count, char **words)
{
    (void)count;
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    int rc = client_get(cli->client, &response, &error, "/v1/profiles");
    if (rc < 0) {
        response_clear(&response);
        return say_error(cli, &error);
    }
    struct json_object *items = json_get(response.json, "items"), *found = NULL;
    const char *names[64];
    size_t name_count = 0;
    for (size_t i = 0; i < json_array_len(items) && name_count < ARRAY_COUNT(names); i++) {
        struct json_object *item = json_array_at(items, i);
        names[name_count++] = json_get_str(item, "name", "");
        if (strcmp(names[name_count - 1], words[0]) == 0)
            found = item;
    }
    int status = EXIT_WELL;
    if (found == NULL) {
        const char *nearest = text_nearest(words[0], names, name_count);
        status = say_failure(cli, GALLOC_NOT_FOUND, "there is no profile \"%s\"%s%s%s", words[0], nearest ? "; did you mean " : "",
                             nearest ? nearest : "", nearest ? "?" : "; 'gallocctl profile list' shows all");
    } else {
        struct buf text = BUF_EMPTY;
        buf_add_str(&text, cli->format == FORMAT_JSON ? "" : "{\"items\":[");
        json_to_text(found, &text);
        buf_add_str(&text, cli->format == FORMAT_JSON ? "" : "]}");
        if (cli->format == FORMAT_JSON)
            out_json(cli, text.data, text.len);
        else
            out_items(cli, profile_columns, ARRAY_COUNT(profile_columns), &text);
        buf_clear(&text);
    }
    response_clear(&response);
    return status;
}

static int show_template(struct cli *cli, int count, char **words)
{
    (void)count;
    (void)words;
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    int rc = client_get(cli->client, &response, &error, "/v1/template");
    if (rc == 0 && !out_answer(cli, &response)) {
        const char *text = json_get_str(response.json, "template", "");
        out_bytes(cli, text, strlen(text));
        if (*text != '\0' && text[strlen(text) - 1] != '\n')
            out_line("%s", "");
    }
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

static int read_whole(const char *path, struct buf *ret_text, struct galloc_error *error)
{
    enum { BYTES_MAX = 256 << 10 };
    struct source *source;
    const char *data;
    size_t len = 1;
    int rc = source_open(path, NULL, &source, error);
    if (rc < 0)
        return rc;
    while (rc == 0 && len > 0) {
        rc = source_read(source, &data, &len, error);
        if (rc == 0)
            buf_add(ret_text, data, len);
        if (ret_text->len > BYTES_MAX)
            rc = galloc_fail(error, GALLOC_INVALID_INPUT, "%s: a template has at most 256 KiB", path);
    }
    source_close(source);
    if (rc == 0 && !text_is_utf8(buf_text(ret_text), ret_text->len))
        rc = galloc_fail(error, GALLOC_INVALID_INPUT, "%s is not UTF-8", path);
    return rc;
}

/* What the daemon found; the exit status. */
static int tell_verdict(struct cli *cli, const char *path, const char *schema_path, const char *schema, struct json_object *verdict)
{
    struct json_object *problems = json_get(verdict, "problems"), *names = json_get(verdict, "names");
    struct buf all = BUF_EMPTY;
    for (size_t i = 0; i < json_array_len(problems); i++) {
        struct json_object *problem = json_array_at(problems, i);
        int64_t line = json_get_i64(problem, "line", 0);
        const char *message = json_get_str(problem, "message", "");
        bool is_schema = strcmp(json_get_str(problem, "of", "template"), "schema") == 0;
        char *placed = is_schema ? schema_file_place(schema_path, schema, message, true) : NULL;
        if (placed != NULL)
            say_always(cli, "%s", placed);
        else if (line > 0)
            say_always(cli, "%s:%" PRId64 ": %s", path, line, message);
        else
            say_always(cli, "%s: %s", path, message);
        free(placed);
    }
    for (size_t i = 0; i < json_array_len(names); i++)
        buf_add_fmt(&all, "%s%s", i ? ", " : "", json_str(json_array_at(names, i), NULL));
    bool is_well = json_get_bool(verdict, "ok", false);
    if (is_well && cli->format == FORMAT_TABLE && !cli->is_quiet)
        out_line("%s is a good template%s%s%s; it names: %s", path, schema ? ", and " : "", schema ? schema_path : "", schema ? " a good schema" : "",
                 all.len ? buf_text(&all) : "nothing");
    buf_clear(&all);
    return is_well ? EXIT_WELL : EXIT_REJECTED;
}

static int check_template(struct cli *cli, int count, char **words)
{
    (void)count;
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    struct buf text = BUF_EMPTY, body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    int status = EXIT_WELL;
    const char *schema_path = args_text(&cli->args, "schema");
    char *schema = NULL;
    int rc = read_whole(words[0], &text, &error);
    if (rc == 0 && schema_path != NULL)
        rc = schema_file_read(schema_path, &schema, &error);
    if (rc == 0) {
        json_out_begin(&out, '{');
        json_out_name(&out, "template");
        json_out_text(&out, buf_text(&text), text.len);
        if (schema != NULL) {
            json_out_name(&out, "schema");
            json_out_raw(&out, schema, strlen(schema));
        }
        json_out_end(&out, '}');
        rc = client_post(cli->client, &body, &response, &error, "/v1/template");
    }
    if (rc == 0) {
        out_answer(cli, &response);
        status = tell_verdict(cli, words[0], schema_path, schema, response.json);
    }
    free(schema);
    buf_clear(&text);
    buf_clear(&body);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : status;
}

const struct verb profile_verbs[] = {
    {"list", "", "all profiles", 0, 0, list_profiles, NULL, false},
    {"show", "PROFILE", "one profile", 1, 1, show_profile, NULL, false},
    {0},
};
const struct verb template_verbs[] = {
    {"show", "", "the prompt that is used unless a run brings its own", 0, 0, show_template, NULL, false},
    {"check", "FILE", "whether a file is a good template", 1, 1, check_template, NULL, false},
    {0},
};
