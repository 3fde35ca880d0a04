/* See selector.h. */
#include "cli/selector.h"

#include "base/json_out.h"

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
    json_out_end(&out, '}');
    return 0;
}
