/* See agents.h. The rows come through the same reader as assignments do. */
#include "cli/agents.h"

#include "base/json_out.h"
#include "base/parse.h"
#include "cli/input.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct seen {
    char *id; /* owned */
    int64_t line;
};

struct agents {
    const char *path;
    struct json_out out;
    struct seen *seen;
    size_t count;
};

static int fail_at(const struct agents *agents, int64_t line, const char *column, const char *reason, struct galloc_error *error)
{
    return galloc_fail(error, GALLOC_INVALID_INPUT, "%s:%" PRId64 ": %s%s%s", agents->path, line, column ? column : "", column ? ": " : "", reason);
}

static int begin(void *arg, const struct input_info *info, struct galloc_error *error)
{
    (void)arg;
    (void)info;
    (void)error;
    return 0;
}

static int reject(void *arg, const struct input_reject *reject, struct galloc_error *error)
{
    return fail_at(arg, reject->line, reject->column, reject->reason, error);
}

/* The known columns, each with how its text becomes JSON. */
enum agent_column { AGENT_CAPACITY, AGENT_LOAD, AGENT_AVAILABLE, AGENT_UNTIL, AGENT_COLUMN_COUNT };
static const char *const column_names[AGENT_COLUMN_COUNT] = {"capacity", "load", "available", "until"};

static int write_known(struct agents *agents, enum agent_column column, const char *text, struct galloc_error *error)
{
    int64_t number;
    bool is_yes;
    int rc = 0;
    if (*text == '\0')
        return 0; /* an empty cell: the default */
    switch (column) {
    case AGENT_CAPACITY:
    case AGENT_LOAD:
        rc = parse_i64(text, 0, INT32_MAX, &number, error);
        if (rc == 0)
            json_out_member_int(&agents->out, column_names[column], number);
        break;
    case AGENT_AVAILABLE:
        rc = parse_bool(text, &is_yes, error);
        if (rc == 0)
            json_out_member_bool(&agents->out, "available", is_yes);
        break;
    case AGENT_UNTIL:
        rc = parse_time_ms(text, &number, error);
        if (rc == 0)
            json_out_member_time(&agents->out, "until", number);
        break;
    case AGENT_COLUMN_COUNT: break;
    }
    return rc;
}

static int column_of(struct json_span name, struct buf *scratch)
{
    char *text;
    buf_reset(scratch);
    json_span_string(name, scratch);
    text = (char *)buf_text(scratch);
    for (int c = 0; c < AGENT_COLUMN_COUNT; c++)
        if (input_find_column(&text, 1, column_names[c]) == 0)
            return c;
    return -1;
}

static int row(void *arg, const struct input_row *row, struct galloc_error *error)
{
    struct agents *agents = arg;
    struct buf scratch = BUF_EMPTY, text = BUF_EMPTY, attributes = BUF_EMPTY;
    struct json_out inner = JSON_OUT(&attributes);
    struct json_span name, value;
    int rc = 0;
    agents->seen = xreallocarray(agents->seen, agents->count + 1, sizeof *agents->seen);
    agents->seen[agents->count++] = (struct seen){xstrndup(row->key.at, row->key.len), row->line};
    json_out_begin(&agents->out, '{');
    json_out_name(&agents->out, "agent_id");
    json_out_text(&agents->out, row->key.at, row->key.len);
    json_out_begin(&inner, '{');
    for (const char *at = NULL; rc == 0 && json_next(row->fields, &at, &name, &value);) {
        int column = column_of(name, &scratch);
        if (column < 0) {
            json_out_raw(&inner, name.at, name.len);
            buf_add_char(&attributes, ':');
            buf_add(&attributes, value.at, value.len);
            continue;
        }
        buf_reset(&text);
        if (json_span_kind(value) == JSON_STRING)
            json_span_string(value, &text);
        else if (json_span_kind(value) != JSON_NULL)
            buf_add(&text, value.at, value.len);
        struct galloc_error why = {0};
        if (write_known(agents, (enum agent_column)column, buf_text(&text), &why) < 0)
            rc = fail_at(agents, row->line, column_names[column], why.message, error);
    }
    json_out_end(&inner, '}');
    json_out_name(&agents->out, "attributes");
    json_out_raw(&agents->out, buf_text(&attributes), attributes.len);
    json_out_end(&agents->out, '}');
    buf_clear(&scratch);
    buf_clear(&text);
    buf_clear(&attributes);
    return rc;
}

static int compare_seen(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    int order = strcmp(x->id, y->id);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

static int refuse_repeated(struct agents *agents, struct galloc_error *error)
{
    qsort(agents->seen, agents->count, sizeof *agents->seen, compare_seen);
    for (size_t i = 1; i < agents->count; i++)
        if (strcmp(agents->seen[i - 1].id, agents->seen[i].id) == 0)
            return galloc_fail(error, GALLOC_INVALID_INPUT, "%s:%" PRId64 ": agent_id: \"%s\" stands already in line %" PRId64, agents->path,
                               agents->seen[i].line, agents->seen[i].id, agents->seen[i - 1].line);
    return 0;
}

int agents_read(const char *path, struct buf *out, size_t *ret_count, struct galloc_error *error)
{
    static const char *const key_names[] = {"agent_id", "key", NULL};
    struct agents agents = {.path = path, .out = JSON_OUT(out)};
    struct input_options options = {.key_names = key_names, .what = "agents"};
    struct input_sink sink = {begin, row, reject, &agents};
    struct source *source = NULL;
    int rc = source_open(path, NULL, &source, error);
    if (rc < 0)
        return rc;
    json_out_begin(&agents.out, '[');
    rc = input_read(source, &options, &sink, error);
    json_out_end(&agents.out, ']');
    source_close(source);
    if (rc == 0 && agents.count == 0)
        rc = galloc_fail(error, GALLOC_INVALID_INPUT, "%s holds a header and no agent", path);
    if (rc == 0)
        rc = refuse_repeated(&agents, error);
    for (size_t i = 0; i < agents.count; i++)
        free(agents.seen[i].id);
    free(agents.seen);
    *ret_count = agents.count;
    return rc;
}
