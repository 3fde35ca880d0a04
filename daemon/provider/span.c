/* See span.h. */
#include "provider/span.h"

#include "base/parse.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct json_span span_root(const char *text, size_t len)
{
    if (text == NULL || json_check(text, len, NULL) != 0)
        return SPAN_NONE;
    while (len > 0 && is_space(*text))
        text++, len--;
    while (len > 0 && is_space(text[len - 1]))
        len--;
    return (struct json_span){text, len};
}

bool span_is(struct json_span span, enum json_kind kind)
{
    return span.len > 0 && json_span_kind(span) == kind;
}

void span_members(struct json_span object, struct span_want *wants, size_t count)
{
    struct json_span name, value;
    const char *at = NULL;

    for (size_t i = 0; i < count; i++)
        wants[i].value = SPAN_NONE;
    if (!span_is(object, JSON_OBJECT))
        return;
    while (json_next(object, &at, &name, &value))
        for (size_t i = 0; i < count; i++)
            if (json_span_equals(name, wants[i].name))
                wants[i].value = value;
}

struct json_span span_member(struct json_span object, const char *name)
{
    struct span_want want = {.name = name};
    span_members(object, &want, 1);
    return want.value;
}

struct json_span span_first(struct json_span array)
{
    struct json_span name, value;
    const char *at = NULL;
    return span_is(array, JSON_ARRAY) && json_next(array, &at, &name, &value) ? value : SPAN_NONE;
}

int64_t span_i64(struct json_span span, int64_t missing)
{
    char digits[24];
    int64_t value;

    if (span_is(span, JSON_STRING) && span.len >= 2) {
        span.at++;
        span.len -= 2;
    } else if (!span_is(span, JSON_INTEGER)) {
        return missing;
    }
    if (span.len == 0 || span.len >= sizeof digits)
        return missing;
    memcpy(digits, span.at, span.len);
    digits[span.len] = '\0';
    return parse_i64(digits, INT64_MIN, INT64_MAX, &value, NULL) == 0 ? value : missing;
}

bool span_is_true(struct json_span span)
{
    return span.len == 4 && memcmp(span.at, "true", 4) == 0;
}

char *span_text(struct json_span span)
{
    struct buf text = BUF_EMPTY;
    if (!span_is(span, JSON_STRING))
        return NULL;
    json_span_string(span, &text);
    return buf_take(&text);
}
