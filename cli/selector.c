/* See selector.h. */
#include "cli/selector.h"

#include "base/json_out.h"
#include "base/text.h"
#include "cli/input.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *option;
    const char *query;
    const char *member;
    bool is_joined; /* one parameter with commas; else the parameter is repeated */
} rows[] = {
    {"state", "state", "states", true}, {"error", "code", "codes", true},   {"agent", "agent", "agents", false},
    {"key", "key", "keys", false},      {"where", "where", "where", false},
};

/* People say "allocated" for succeeded. */
static const char *state_name(const char *option, const char *text)
{
    return strcmp(option, "state") == 0 && strcmp(text, "allocated") == 0 ? "succeeded" : text;
}

void selector_query(const struct args *args, struct buf *path)
{
    char separator = '?';
    for (size_t r = 0; r < ARRAY_COUNT(rows); r++) {
        const char *const *texts;
        size_t count = args_texts(args, rows[r].option, &texts);
        for (size_t i = 0; i < count; i++) {
            char *value = client_segment(state_name(rows[r].option, texts[i]));
            if (rows[r].is_joined && i > 0)
                buf_add_fmt(path, ",%s", value);
            else
                buf_add_fmt(path, "%c%s=%s", separator, rows[r].query, value);
            separator = '&';
            free(value);
        }
    }
}

int selector_body(const struct args *args, struct buf *ret_body, struct galloc_error *error)
{
    struct json_out out = JSON_OUT(ret_body);
    bool has_any = false;
    json_out_begin(&out, '{');
    for (size_t r = 0; r < ARRAY_COUNT(rows); r++) {
        const char *const *texts;
        size_t count = args_texts(args, rows[r].option, &texts);
        if (count == 0)
            continue;
        has_any = true;
        json_out_name(&out, rows[r].member);
        json_out_begin(&out, '[');
        for (size_t i = 0; i < count; i++) {
            if (strcmp(rows[r].option, "where") == 0 && strchr(texts[i], '=') == NULL)
                return galloc_fail(error, GALLOC_USAGE, "--where is FIELD=VALUE; \"%s\" is not", texts[i]);
            json_out_str(&out, state_name(rows[r].option, texts[i]));
        }
        json_out_end(&out, ']');
    }
    if (args_has(args, "all") && has_any)
        return galloc_fail(error, GALLOC_USAGE, "--all and a selector exclude each other");
    if (!args_has(args, "all") && !has_any)
        return galloc_fail(error, GALLOC_USAGE, "which assignments? Give --state, --error, --agent, --key or --where, or --all");
    if (!has_any)
        json_out_member_bool(&out, "all", true);
    if (args_has(args, "reason"))
        json_out_member_str(&out, "reason", args_text(args, "reason"));
    json_out_end(&out, '}');
    return 0;
}

/* ---- why nothing was meant ---- */

enum { ROWS_LOOKED_AT = 50 };

struct names {
    char **items; /* owned */
    size_t count;
};

static int add_name(const char *name, struct json_object *value, void *arg)
{
    struct names *names = arg;
    (void)value;
    if (input_find_column(names->items, names->count, name) < 0) {
        names->items = xreallocarray(names->items, names->count + 1, sizeof *names->items);
        names->items[names->count++] = xstrdup(name);
    }
    return 0;
}

static void names_clear(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
}

static int explain_where(struct cli *cli, const char *run_segment, const char *const *wheres, size_t count, struct galloc_error *error)
{
    struct response response = RESPONSE_EMPTY;
    struct names names = {0};
    int rc = client_get(cli->client, &response, error, "/v1/runs/%s/assignments?limit=%d&fields=1", run_segment, ROWS_LOOKED_AT);
    struct json_object *items = rc == 0 ? json_get(response.json, "items") : NULL;
    for (size_t i = 0; i < json_array_len(items); i++)
        json_each(json_get(json_array_at(items, i), "fields"), add_name, &names);
    for (size_t i = 0; rc == 0 && names.count > 0 && i < count; i++) {
        char *column = xstrndup(wheres[i], strcspn(wheres[i], "="));
        const char *nearest = text_nearest(column, (const char *const *)names.items, names.count);
        if (input_find_column(names.items, names.count, column) < 0)
            rc = galloc_fail(error, GALLOC_INVALID_VALUE, "--where: the run's assignments have no column \"%s\"%s%s%s", column, nearest ? "; did you mean \"" : "",
                             nearest ? nearest : "", nearest ? "\"?" : "");
        free(column);
    }
    names_clear(&names);
    response_clear(&response);
    return rc;
}

static int explain_agents(struct cli *cli, const char *run_segment, const char *const *agents, size_t count, struct galloc_error *error)
{
    struct response response = RESPONSE_EMPTY;
    int rc = client_get(cli->client, &response, error, "/v1/runs/%s/load", run_segment);
    struct json_object *items = rc == 0 ? json_get(response.json, "items") : NULL;
    size_t known = json_array_len(items);
    const char **ids = xcalloc(known + 1, sizeof *ids);
    for (size_t i = 0; i < known; i++)
        ids[i] = json_get_str(json_array_at(items, i), "agent_id", "");
    for (size_t a = 0; rc == 0 && a < count; a++) {
        bool is_known = false;
        for (size_t i = 0; i < known && !is_known; i++)
            is_known = strcmp(ids[i], agents[a]) == 0;
        const char *nearest = is_known ? NULL : text_nearest(agents[a], ids, known);
        if (!is_known)
            rc = galloc_fail(error, GALLOC_NOT_FOUND, "the run has no agent \"%s\"%s%s%s", agents[a], nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                             nearest ? "\"?" : "");
    }
    free(ids);
    response_clear(&response);
    return rc;
}

int selector_explain_none(struct cli *cli, const char *run_segment, struct galloc_error *error)
{
    const char *const *wheres, *const *agents;
    size_t where_count = args_texts(&cli->args, "where", &wheres), agent_count = args_texts(&cli->args, "agent", &agents);
    int rc = where_count > 0 ? explain_where(cli, run_segment, wheres, where_count, error) : 0;
    return rc == 0 && agent_count > 0 ? explain_agents(cli, run_segment, agents, agent_count, error) : rc;
}
