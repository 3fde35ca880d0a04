/* JSON input: NDJSON, or an array of objects. The text is cut into elements without a tree, each is checked by itself, and its
 * members go out as their own source text: a key of 23 digits stays what it is. An element that is too long is skipped, not kept. */
#include "base/json_out.h"
#include "base/text.h"
#include "cli/input.h"

#include <stdlib.h>
#include <string.h>

/* Cuts a stream into elements. */
struct cutter {
    bool is_array;
    enum { BEFORE_ARRAY, BETWEEN, WITHIN, AFTER_ARRAY } state; /* NDJSON is always WITHIN */
    unsigned depth;
    bool in_string, is_escaped;
    bool is_skipping;
    struct buf element;
    int64_t line, element_line;
    /* An element, or NULL and 0 for one that was too long. 0 goes on. */
    int (*take)(void *arg, const char *text, size_t len, int64_t line);
    void *arg;
};

static int take_element(struct cutter *cutter)
{
    struct buf *element = &cutter->element;
    size_t from = 0, to = element->len;
    while (to > 0 && memchr(" \t\r\n", element->data[to - 1], 4) != NULL)
        to--;
    while (from < to && memchr(" \t\r\n", element->data[from], 4) != NULL)
        from++;
    int rc = 0;
    if (cutter->is_skipping)
        rc = cutter->take(cutter->arg, NULL, 0, cutter->element_line);
    else if (from < to)
        rc = cutter->take(cutter->arg, element->data + from, to - from, cutter->element_line);
    cutter->is_skipping = false;
    buf_reset(element);
    return rc;
}

static void add_bytes(struct cutter *cutter, const char *data, size_t len)
{
    if (cutter->is_skipping)
        return;
    if (cutter->element.len + len > INPUT_ROW_BYTES_MAX) {
        cutter->is_skipping = true;
        buf_clear(&cutter->element);
        return;
    }
    buf_add(&cutter->element, data, len);
}

static int cut_lines(struct cutter *cutter, const char *data, size_t len)
{
    int rc = 0;
    while (rc == 0 && len > 0) {
        const char *end = memchr(data, '\n', len);
        size_t piece = end ? (size_t)(end - data) : len;
        cutter->element_line = cutter->line;
        add_bytes(cutter, data, piece);
        if (end == NULL)
            break;
        rc = take_element(cutter);
        cutter->line++;
        data += piece + 1;
        len -= piece + 1;
    }
    return rc;
}

/* What a byte within an element changes. True when the element ends before it. */
static bool step_within(struct cutter *cutter, char c)
{
    if (cutter->in_string) {
        cutter->in_string = c != '"' || cutter->is_escaped;
        cutter->is_escaped = c == '\\' && !cutter->is_escaped;
        return false;
    }
    if (cutter->depth == 0 && (c == ',' || c == ']'))
        return true;
    cutter->in_string = c == '"';
    cutter->depth += c == '{' || c == '[';
    cutter->depth -= cutter->depth > 0 && (c == '}' || c == ']');
    return false;
}

static int cut_array(struct cutter *cutter, const char *data, size_t len)
{
    int rc = 0;
    size_t from = 0; /* of the element's bytes in this piece */
    for (size_t i = 0; rc == 0 && i < len; i++) {
        char c = data[i];
        cutter->line += c == '\n';
        bool is_space = c == ' ' || c == '\t' || c == '\r' || c == '\n';
        switch (cutter->state) {
        case BEFORE_ARRAY:
            if (c == '[')
                cutter->state = BETWEEN;
            break;
        case BETWEEN:
            if (c == ']')
                cutter->state = AFTER_ARRAY;
            else if (!is_space && c != ',') {
                cutter->state = WITHIN;
                cutter->element_line = cutter->line;
                cutter->depth = 0;
                from = i;
                step_within(cutter, c);
            }
            break;
        case WITHIN:
            if (!step_within(cutter, c))
                break;
            add_bytes(cutter, data + from, i - from);
            rc = take_element(cutter);
            cutter->state = c == ']' ? AFTER_ARRAY : BETWEEN;
            break;
        case AFTER_ARRAY:
            if (!is_space) { /* not ours: told as an element that is none */
                cutter->element_line = cutter->line;
                rc = cutter->take(cutter->arg, "after the array", 15, cutter->line);
                return rc < 0 ? rc : 1;
            }
            break;
        }
    }
    if (cutter->state == WITHIN && rc == 0)
        add_bytes(cutter, data + from, len - from);
    return rc;
}

static int cut(struct cutter *cutter, const char *data, size_t len)
{
    return cutter->is_array ? cut_array(cutter, data, len) : cut_lines(cutter, data, len);
}

struct json_input {
    struct source *source;
    const struct input_options *options;
    const struct input_sink *sink;
    struct galloc_error *error;
    struct input_info info;
    int64_t row_number;
    struct buf key, fields, order, name;
};

static int reject(struct json_input *in, int64_t line, const char *column, const char *reason, struct json_span raw)
{
    struct input_reject reject = {in->row_number, line, column, reason, raw};
    return in->sink->reject(in->sink->arg, &reject, in->error);
}

/* Finds the member that is the column; with `is_loose` by a folded name. */
static bool find_member(struct json_input *in, struct json_span object, const char *column, bool is_loose, struct json_span *ret_name,
                        struct json_span *ret_value)
{
    struct json_span name, value;
    for (const char *at = NULL; json_next(object, &at, &name, &value);) {
        bool is_it = json_span_equals(name, column);
        if (!is_it && is_loose) {
            buf_reset(&in->name);
            json_span_string(name, &in->name);
            char *text = (char *)buf_text(&in->name);
            is_it = input_find_column(&text, 1, column) == 0;
        }
        if (is_it) {
            *ret_name = name;
            *ret_value = value;
            return true;
        }
    }
    return false;
}

/* A scalar's text: a string decoded, anything else as it stands. */
static void scalar_text(struct json_span value, struct buf *ret_text)
{
    buf_reset(ret_text);
    if (json_span_kind(value) == JSON_STRING)
        json_span_string(value, ret_text);
    else if (json_span_kind(value) != JSON_NULL)
        buf_add(ret_text, value.at, value.len);
}

static const char *key_of(struct json_input *in, struct json_span object, struct json_span *ret_name)
{
    struct json_span value;
    if (!find_member(in, object, in->info.key, false, ret_name, &value) && !find_member(in, object, in->info.key, true, ret_name, &value))
        return "the key is missing";
    enum json_kind kind = json_span_kind(value);
    if (kind == JSON_NULL)
        return "the key is missing";
    if (kind != JSON_STRING && kind != JSON_INTEGER)
        return "the key is neither a string nor an integer";
    scalar_text(value, &in->key);
    return input_key_problem(buf_text(&in->key), in->key.len);
}

static void gather_fields(struct json_input *in, struct json_span object, struct json_span key_name)
{
    struct json_span name, value;
    buf_reset(&in->fields);
    buf_add_char(&in->fields, '{');
    for (const char *at = NULL; json_next(object, &at, &name, &value);) {
        if (name.at == key_name.at)
            continue;
        if (in->fields.len > 1)
            buf_add_char(&in->fields, ',');
        buf_add(&in->fields, name.at, name.len);
        buf_add_char(&in->fields, ':');
        buf_add(&in->fields, value.at, value.len);
    }
    buf_add_char(&in->fields, '}');
}

static int take_row(void *arg, const char *text, size_t len, int64_t line)
{
    struct json_input *in = arg;
    struct json_span raw = {text, len}, key_name, name, value;
    struct galloc_error problem;
    in->row_number++;
    if (text == NULL)
        return reject(in, line, NULL, "the row is over 256 KiB; not kept here", (struct json_span){"", 0});
    if (json_check_within(text, len, JSON_FIELDS_DEPTH_MAX, &problem) < 0)
        return reject(in, line, NULL, problem.message, raw);
    if (json_span_kind(raw) != JSON_OBJECT)
        return reject(in, line, NULL, "not a JSON object", raw);
    const char *why = key_of(in, raw, &key_name);
    if (why != NULL)
        return reject(in, line, in->info.key, why, raw);
    gather_fields(in, raw, key_name);
    struct input_row row = {.number = in->row_number,
                            .line = line,
                            .key = {in->key.data, in->key.len},
                            .fields = {in->fields.data, in->fields.len},
                            .raw = raw};
    if (in->options->order != NULL && find_member(in, raw, in->options->order, true, &name, &value)) {
        scalar_text(value, &in->order);
        row.order = (struct json_span){buf_text(&in->order), in->order.len};
    }
    return in->sink->row(in->sink->arg, &row, in->error);
}

/* Of the first bytes: the names of all members, each once. */
static int gather_names(void *arg, const char *text, size_t len, int64_t line)
{
    struct json_input *in = arg;
    struct json_span name, value, object = {text, len};
    (void)line;
    if (text == NULL || json_check(text, len, NULL) < 0 || json_span_kind(object) != JSON_OBJECT)
        return 0;
    for (const char *at = NULL; json_next(object, &at, &name, &value);) {
        buf_reset(&in->name);
        json_span_string(name, &in->name);
        bool is_known = false;
        for (size_t i = 0; i < in->info.column_count && !is_known; i++)
            is_known = strcmp(in->info.columns[i], buf_text(&in->name)) == 0;
        if (is_known || in->info.column_count >= 2000)
            continue;
        in->info.columns = xreallocarray(in->info.columns, in->info.column_count + 1, sizeof *in->info.columns);
        in->info.columns[in->info.column_count++] = xstrdup(buf_text(&in->name));
    }
    return 0;
}

static int begin(struct json_input *in, bool is_array)
{
    const char *data;
    size_t len;
    int rc = source_peek(in->source, &data, &len, in->error);
    if (rc < 0)
        return rc;
    struct cutter cutter = {.is_array = is_array, .state = is_array ? BEFORE_ARRAY : WITHIN, .line = 1, .take = gather_names, .arg = in};
    cut(&cutter, data, len);
    if (!is_array)
        take_element(&cutter); /* a last line without its end */
    buf_clear(&cutter.element);
    if (in->info.column_count == 0)
        return galloc_fail(in->error, GALLOC_INVALID_INPUT, "%s: no JSON object in its first %zu bytes; expected is %s", source_name(in->source), len,
                           is_array ? "an array of objects" : "an object a line (NDJSON)");
    int index = input_choose_key(in->options, in->info.columns, in->info.column_count, source_name(in->source), in->error);
    if (index < 0)
        return index;
    in->info.key = in->info.columns[index];
    in->info.header = (struct json_span){"", 0};
    return in->sink->begin(in->sink->arg, &in->info, in->error);
}

/* What is left when the source ends. */
static int finish(struct json_input *in, struct cutter *cutter)
{
    if (!cutter->is_array)
        return take_element(cutter);
    if (cutter->state == AFTER_ARRAY)
        return 0;
    struct json_span raw = {buf_text(&cutter->element), cutter->element.len};
    in->row_number++;
    return reject(in, cutter->line, NULL, "the array is never closed: the file was cut off here", raw);
}

int input_read_json(struct source *source, const struct input_options *options, bool is_array, const struct input_sink *sink,
                    struct galloc_error *error)
{
    struct json_input in = {.source = source, .options = options, .sink = sink, .error = error};
    in.info.format = is_array ? INPUT_JSON : INPUT_NDJSON;
    struct cutter cutter = {.is_array = is_array, .state = is_array ? BEFORE_ARRAY : WITHIN, .line = 1, .element_line = 1, .take = take_row, .arg = &in};
    const char *data;
    size_t len = 1;
    int rc = begin(&in, is_array);
    while (rc == 0 && len > 0) {
        rc = source_read(source, &data, &len, error);
        if (rc == 0)
            rc = len > 0 ? cut(&cutter, data, len) : finish(&in, &cutter);
    }
    struct buf *bufs[] = {&in.key, &in.fields, &in.order, &in.name, &cutter.element};
    for (size_t i = 0; i < ARRAY_COUNT(bufs); i++)
        buf_clear(bufs[i]);
    for (size_t i = 0; i < in.info.column_count; i++)
        free(in.info.columns[i]);
    free(in.info.columns);
    return rc > 0 ? 0 : rc;
}
