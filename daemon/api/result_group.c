/* Columns that are the members of a JSON object a row: an answer's, an agent's attributes, the input's; see result_table.h. */
#include "api/result_group.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

void result_group_clear(struct result_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        free(group->names[i]);
        if (group->titles != NULL)
            free(group->titles[i]);
    }
    free(group->names);
    free(group->titles);
    *group = (struct result_group){.prefix = group->prefix, .always = group->always, .is_models = group->is_models};
}

void result_group_add(struct result_group *group, const char *name)
{
    if (group->count == group->cap) {
        group->cap = group->cap > 0 ? 2 * group->cap : 16;
        group->names = xreallocarray(group->names, group->cap, sizeof(char *));
    }
    group->names[group->count++] = xstrdup(name);
}

/* Rows mostly have the same members in the same order: the one behind the last that was found is looked at first. */
static size_t find(const struct result_group *group, struct json_span name, size_t *next)
{
    if (*next < group->count && json_span_equals(name, group->names[*next]))
        return (*next)++;
    for (size_t i = 0; i < group->count; i++) {
        if (json_span_equals(name, group->names[i])) {
            *next = i + 1;
            return i;
        }
    }
    return SIZE_MAX;
}

int result_group_take(struct result_group *group, struct json_span object, struct galloc_error *error)
{
    struct json_span name, value;
    size_t next = 0;
    for (const char *at = NULL; json_next(object, &at, &name, &value);) {
        if (find(group, name, &next) != SIZE_MAX)
            continue;
        if (group->count == RESULT_COLUMNS_MAX)
            return galloc_fail(error, GALLOC_TOO_LARGE, "the input has over %d columns: take format=ndjson", RESULT_COLUMNS_MAX);
        struct buf text = BUF_EMPTY;
        json_span_string(name, &text);
        result_group_add(group, buf_text(&text));
        next = group->count;
        buf_clear(&text);
    }
    return 0;
}

void result_group_name(struct result_group *group, bool (*is_taken)(const char *title, void *arg), void *arg)
{
    group->titles = xcalloc(group->count + 1, sizeof(char *));
    for (size_t i = 0; i < group->count; i++) {
        char *title = group->always ? xasprintf("%s%s", group->prefix, group->names[i]) : xstrdup(group->names[i]);
        while (is_taken(title, arg)) {
            char *other = xasprintf("%s%s", group->prefix, title);
            free(title);
            title = other;
        }
        group->titles[i] = title;
    }
}

/* A text as it reads, a number as it was written, a list or an object as JSON; null is empty. */
static void csv_json(struct buf *out, struct json_span value, bool is_guarded)
{
    enum json_kind kind = json_span_kind(value);
    if (kind == JSON_NULL)
        return;
    if (kind != JSON_STRING) {
        csv_text(out, value.at, value.len, false);
        return;
    }
    struct buf text = BUF_EMPTY;
    json_span_string(value, &text);
    csv_text(out, buf_text(&text), text.len, is_guarded);
    buf_clear(&text);
}

void result_group_csv(const struct result_group *group, const char *object, bool is_guarded, struct buf *out)
{
    struct json_span *values = xcalloc(group->count + 1, sizeof *values), name, value;
    struct json_span all = {object, object != NULL ? strlen(object) : 0};
    size_t next = 0;
    for (const char *at = NULL; object != NULL && json_next(all, &at, &name, &value);) {
        size_t index = find(group, name, &next);
        if (index != SIZE_MAX)
            values[index] = value;
    }
    for (size_t i = 0; i < group->count; i++) {
        buf_add_char(out, ',');
        if (values[i].at != NULL)
            csv_json(out, values[i], is_guarded || group->is_models);
    }
    free(values);
}
