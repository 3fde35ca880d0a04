/* See cut.h. Elements are told apart by their brackets and quotes alone: whether one is JSON is found when it is checked. */
#include "ingest/cut.h"

#include "base/json_scan.h"

#include <string.h>

static const char list_name[] = "assignments";

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static char *skip_space(char *at, const char *end)
{
    while (at < end && is_space(*at))
        at++;
    return at;
}

/* The quote that ends the string which begins at `at`, or `end`. */
static char *string_end(char *at, char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at < end ? at : end;
}

/* The comma or bracket behind the element that begins at `at`, or `end`. */
static char *element_end(char *at, char *end)
{
    int64_t depth = 0;
    for (; at < end; at++) {
        if (*at == '"') {
            at = string_end(at, end);
            if (at == end)
                return end;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            if (depth-- == 0)
                return at;
        } else if (*at == ',' && depth == 0) {
            return at;
        }
    }
    return end;
}

/* The first byte behind "{"assignments":[", or NULL. */
static char *list_begin(char *text, const char *end)
{
    const char *const words[] = {"{", "\"", list_name, "\"", ":", "["};
    char *at = text;
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        size_t len = strlen(words[i]);
        if (i != 2 && i != 3) /* within the quotes white space counts */
            at = skip_space(at, end);
        if ((size_t)(end - at) < len || memcmp(at, words[i], len) != 0)
            return NULL;
        at += len;
    }
    return at;
}

/* Does the list that begins at `at` end, and the body with it? */
static bool is_whole(char *at, char *end)
{
    do
        at = element_end(at, end);
    while (at < end && *at++ == ',');
    if (at == end || at[-1] != ']')
        return false;
    at = skip_space(at, end);
    if (at == end || *at++ != '}')
        return false;
    return skip_space(at, end) == end;
}

/* What is wrong with a body that is not {"assignments":[…]}. */
static int fail_body(const char *text, size_t len, struct galloc_error *error)
{
    struct json_span body = {text, len}, name, value;
    int rc = json_check(text, len, error);
    if (rc < 0)
        return galloc_prefix(error, "the body");
    while (body.len > 0 && is_space(*body.at)) {
        body.at++;
        body.len--;
    }
    for (const char *at = NULL; json_span_kind(body) == JSON_OBJECT && json_next(body, &at, &name, &value);)
        if (!json_span_equals(name, list_name))
            return galloc_fail(error, GALLOC_INVALID_VALUE, "unknown member %.*s; the body has \"%s\" alone", (int)(name.len < 80 ? name.len : 80), name.at, list_name);
    return galloc_fail(error, GALLOC_INVALID_VALUE, "the body has to be an object with the list \"%s\": {\"%s\":[{\"key\":\"…\",\"fields\":{…}}]}", list_name, list_name);
}

int cut_begin(struct cut *cut, char *text, size_t len, bool is_json, struct galloc_error *error)
{
    *cut = (struct cut){.at = text, .end = text + len, .is_json = is_json};
    if (!is_json)
        return 0;
    cut->at = list_begin(text, cut->end);
    if (cut->at == NULL || !is_whole(cut->at, cut->end))
        return fail_body(text, len, error);
    char *first = skip_space(cut->at, cut->end);
    if (*first == ']')
        cut->end = first; /* an empty list */
    return 0;
}

static void trim(char *from, char *to, char **ret_text, size_t *ret_len)
{
    from = skip_space(from, to);
    while (to > from && is_space(to[-1]))
        to--;
    *ret_text = from;
    *ret_len = (size_t)(to - from);
}

static bool next_line(struct cut *cut, char **ret_text, size_t *ret_len)
{
    while (cut->at < cut->end) {
        char *line = cut->at, *line_end = memchr(line, '\n', (size_t)(cut->end - line));
        if (line_end == NULL)
            line_end = cut->end;
        cut->at = line_end < cut->end ? line_end + 1 : cut->end;
        cut->number++;
        trim(line, line_end, ret_text, ret_len);
        if (*ret_len > 0)
            return true;
    }
    return false;
}

static bool next_element(struct cut *cut, char **ret_text, size_t *ret_len)
{
    if (skip_space(cut->at, cut->end) == cut->end)
        return false;
    char *to = element_end(cut->at, cut->end);
    trim(cut->at, to, ret_text, ret_len);
    cut->number++;
    if (*to == ']')
        cut->end = to; /* of the list */
    cut->at = *to == ']' ? to : to + 1;
    return true;
}

bool cut_next(struct cut *cut, char **ret_text, size_t *ret_len)
{
    return cut->is_json ? next_element(cut, ret_text, ret_len) : next_line(cut, ret_text, ret_len);
}
