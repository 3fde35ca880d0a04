/* See json_scan.h. A recursive descent with a depth cap; names of an object are compared decoded, so that "a" and "\u0061" are one name. */
#include "base/json_scan.h"

#include "base/bytes.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static const char TOO_DEEP[] = "nested deeper than";

struct scan {
    const char *start, *at, *end;
    unsigned depth, depth_max;
    const char *problem;    /* static text; NULL while all is well */
    struct json_span *names; /* a stack of the member names of the open objects */
    size_t names_len, names_cap;
};

static bool scan_value(struct scan *s);

static bool fail(struct scan *s, const char *problem)
{
    if (s->problem == NULL)
        s->problem = problem;
    return false;
}

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool scan_escape(struct scan *s)
{
    s->at++;
    if (s->at >= s->end)
        return fail(s, "the text ends within a string");
    char c = *s->at++;
    if (c == 'u') {
        for (int i = 0; i < 4; i++, s->at++)
            if (s->at >= s->end || !is_hex(*s->at))
                return fail(s, "\\u needs four hexadecimal digits");
        return true;
    }
    return memchr("\"\\/bfnrt", c, 8) != NULL || fail(s, "an unknown escape in a string");
}

static bool scan_string(struct scan *s)
{
    const char *from = s->at++;
    bool has_high = false;
    while ((s->at += bytes_plain_span(s->at, (size_t)(s->end - s->at))) < s->end && *s->at != '"') {
        unsigned char c = (unsigned char)*s->at;
        if (c < 0x20)
            return fail(s, "a control character in a string (it has to be escaped)");
        has_high |= c >= 0x80;
        if (c != '\\')
            s->at++;
        else if (!scan_escape(s))
            return false;
    }
    if (s->at >= s->end)
        return fail(s, "the text ends within a string");
    if (has_high && !text_is_utf8(from, (size_t)(s->at - from)))
        return fail(s, "a string is not UTF-8");
    s->at++;
    return true;
}

static bool scan_digits(struct scan *s)
{
    const char *from = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > from || fail(s, "a number lacks digits");
}

static bool scan_number(struct scan *s)
{
    if (*s->at == '-')
        s->at++;
    const char *from = s->at;
    if (!scan_digits(s))
        return false;
    if (*from == '0' && s->at - from > 1)
        return fail(s, "a number begins with 0");
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!scan_digits(s))
            return false;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        return scan_digits(s);
    }
    return true;
}

static bool scan_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return fail(s, "not a JSON value");
    s->at += len;
    return true;
}

static int compare_names(const void *a, const void *b)
{
    const struct json_span *x = a, *y = b;
    int order = memcmp(x->at, y->at, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* True when two of the names are the same. Escaped names are decoded first; those copies live until the check ends. */
static bool has_repeated_name(struct json_span *names, size_t count)
{
    bool repeated = false;
    struct buf decoded = BUF_EMPTY;
    struct json_span *plain = count > 16 ? xreallocarray(NULL, count, sizeof *plain) : (struct json_span[16]){{0}};
    size_t escaped_bytes = 0;
    for (size_t i = 0; i < count; i++)
        if (memchr(names[i].at, '\\', names[i].len) != NULL)
            escaped_bytes += 3 * names[i].len + 4;
    if (escaped_bytes > 0)
        buf_reserve(&decoded, escaped_bytes); /* so that the spans into it stay */
    for (size_t i = 0; i < count; i++) {
        plain[i] = (struct json_span){names[i].at + 1, names[i].len - 2};
        if (memchr(names[i].at, '\\', names[i].len) != NULL) {
            size_t from = decoded.len;
            json_span_string(names[i], &decoded);
            plain[i] = (struct json_span){decoded.data + from, decoded.len - from};
        }
    }
    if (count > 16)
        qsort(plain, count, sizeof *plain, compare_names);
    for (size_t i = 1; i < count && !repeated; i++)
        for (size_t j = count > 16 ? i - 1 : 0; j < i && !repeated; j++)
            repeated = compare_names(&plain[i], &plain[j]) == 0;
    if (count > 16)
        free(plain);
    buf_clear(&decoded);
    return repeated;
}

static void push_name(struct scan *s, struct json_span name)
{
    if (s->names_len == s->names_cap) {
        s->names_cap = s->names_cap ? 2 * s->names_cap : 32;
        s->names = xreallocarray(s->names, s->names_cap, sizeof *s->names);
    }
    s->names[s->names_len++] = name;
}

static bool scan_member_name(struct scan *s)
{
    if (s->at >= s->end || *s->at != '"')
        return fail(s, "a member name in quotes is expected");
    const char *from = s->at;
    if (!scan_string(s))
        return false;
    push_name(s, (struct json_span){from, (size_t)(s->at - from)});
    s->at = skip_space(s->at, s->end);
    if (s->at >= s->end || *s->at != ':')
        return fail(s, "\":\" is expected after a member name");
    s->at++;
    return true;
}

static bool scan_container(struct scan *s, char close)
{
    if (++s->depth > s->depth_max)
        return fail(s, TOO_DEEP);
    size_t first_name = s->names_len;
    s->at = skip_space(s->at + 1, s->end);
    bool is_empty = s->at < s->end && *s->at == close;
    while (!is_empty) {
        s->at = skip_space(s->at, s->end);
        if (close == '}' && !scan_member_name(s))
            return false;
        if (!scan_value(s))
            return false;
        if (s->at >= s->end)
            return fail(s, "the text ends within an object or array");
        if (*s->at == close)
            break;
        if (*s->at++ != ',')
            return fail(s, "\",\" or the end of the object or array is expected");
    }
    s->at++;
    s->depth--;
    if (s->names_len - first_name > 1 && has_repeated_name(s->names + first_name, s->names_len - first_name))
        return fail(s, JSON_REPEATED_NAME);
    s->names_len = first_name;
    return true;
}

/* One value with the white space around it. */
static bool scan_value(struct scan *s)
{
    s->at = skip_space(s->at, s->end);
    if (s->at >= s->end)
        return fail(s, "the text ends where a value is expected");
    bool is_well;
    switch (*s->at) {
    case '{': is_well = scan_container(s, '}'); break;
    case '[': is_well = scan_container(s, ']'); break;
    case '"': is_well = scan_string(s); break;
    case 't': is_well = scan_word(s, "true"); break;
    case 'f': is_well = scan_word(s, "false"); break;
    case 'n': is_well = scan_word(s, "null"); break;
    default: is_well = (*s->at == '-' || (*s->at >= '0' && *s->at <= '9')) ? scan_number(s) : fail(s, "not a JSON value"); break;
    }
    s->at = skip_space(s->at, s->end);
    return is_well;
}

int json_check_within(const char *text, size_t len, unsigned depth_max, struct galloc_error *error)
{
    struct scan s = {.start = text, .at = text, .end = text + len, .depth_max = depth_max};
    bool is_well = scan_value(&s);
    if (is_well && s.at != s.end)
        is_well = fail(&s, "something follows the value");
    free(s.names);
    if (s.problem == TOO_DEEP)
        return galloc_fail(error, GALLOC_NOT_JSON, "not valid JSON at byte %zu: %s %u levels", (size_t)(s.at - s.start), TOO_DEEP, depth_max);
    if (!is_well)
        return galloc_fail(error, GALLOC_NOT_JSON, "not valid JSON at byte %zu: %s", (size_t)(s.at - s.start), s.problem);
    return 0;
}

int json_check(const char *text, size_t len, struct galloc_error *error)
{
    return json_check_within(text, len, JSON_DEPTH_MAX, error);
}

enum json_kind json_span_kind(struct json_span span)
{
    switch (span.at[0]) {
    case '{': return JSON_OBJECT;
    case '[': return JSON_ARRAY;
    case '"': return JSON_STRING;
    case 't':
    case 'f': return JSON_BOOL;
    case 'n': return JSON_NULL;
    default: break;
    }
    for (size_t i = 0; i < span.len; i++)
        if (span.at[i] == '.' || span.at[i] == 'e' || span.at[i] == 'E')
            return JSON_NUMBER;
    return JSON_INTEGER;
}

static const char *skip_string(const char *at, const char *end)
{
    for (at++; *(at += bytes_plain_span(at, (size_t)(end - at))) != '"'; at++)
        if (*at == '\\')
            at++;
    return at + 1;
}

/* The end of the checked value that begins at `at`. */
static const char *skip_value(const char *at, const char *end)
{
    if (*at == '"')
        return skip_string(at, end);
    if (*at != '{' && *at != '[') {
        while (at < end && *at != ',' && *at != '}' && *at != ']' && *at != ' ' && *at != '\t' && *at != '\n' && *at != '\r')
            at++;
        return at;
    }
    enum { OTHER, QUOTE, OPEN, CLOSE };
    static const unsigned char kinds[256] = {['"'] = QUOTE, ['{'] = OPEN, ['['] = OPEN, ['}'] = CLOSE, [']'] = CLOSE};
    unsigned depth = 0;
    do {
        unsigned char kind;
        while ((kind = kinds[(unsigned char)*at]) == OTHER)
            at++;
        if (kind == QUOTE) {
            at = skip_string(at, end);
            continue;
        }
        depth += kind == OPEN ? 1U : -1U;
        at++;
    } while (depth > 0);
    return at;
}

bool json_next(struct json_span container, const char **at, struct json_span *ret_name, struct json_span *ret_value)
{
    const char *end = container.at + container.len;
    const char *p = skip_space(*at ? *at : container.at + 1, end);
    if (*at != NULL && p < end && *p == ',')
        p = skip_space(p + 1, end);
    if (p >= end || *p == '}' || *p == ']')
        return false;
    *ret_name = (struct json_span){NULL, 0};
    if (*container.at == '{') {
        const char *name_end = skip_string(p, end);
        *ret_name = (struct json_span){p, (size_t)(name_end - p)};
        p = skip_space(name_end, end);
        p = skip_space(p + 1, end); /* past the colon */
    }
    const char *value_end = skip_value(p, end);
    *ret_value = (struct json_span){p, (size_t)(value_end - p)};
    *at = value_end;
    return true;
}

static uint32_t hex4(const char *at)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        value = value * 16 + (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return value;
}

static char *put_code_point(char *to, uint32_t cp)
{
    if (cp < 0x80) {
        *to++ = (char)cp;
        return to;
    }
    if (cp < 0x800) {
        *to++ = (char)(0xc0 | cp >> 6);
    } else {
        if (cp < 0x10000) {
            *to++ = (char)(0xe0 | cp >> 12);
        } else {
            *to++ = (char)(0xf0 | cp >> 18);
            *to++ = (char)(0x80 | (cp >> 12 & 0x3f));
        }
        *to++ = (char)(0x80 | (cp >> 6 & 0x3f));
    }
    *to++ = (char)(0x80 | (cp & 0x3f));
    return to;
}

/* Decodes the escape at *at (a backslash), and sets *at behind it. */
static char *put_unescaped(char *to, const char **at, const char *end)
{
    static const char from[] = "\"\\/bfnrt", what[] = "\"\\/\b\f\n\r\t";
    const char *p = *at;
    if (p[1] != 'u') {
        *to = what[strchr(from, p[1]) - from];
        *at = p + 2;
        return to + 1;
    }
    uint32_t cp = hex4(p + 2);
    *at = p += 6;
    if (cp >= 0xd800 && cp < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        uint32_t low = hex4(p + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            *at = p + 6;
            return put_code_point(to, 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00));
        }
    }
    return put_code_point(to, cp >= 0xd800 && cp < 0xe000 ? 0xfffd : cp);
}

void json_span_string(struct json_span span, struct buf *out)
{
    const char *at = span.at + 1, *end = span.at + span.len - 1;
    char *to = buf_reserve(out, span.len); /* decoded it is never longer */
    while (at < end) {
        size_t plain = bytes_plain_copy(to, at, (size_t)(end - at));
        at += plain;
        to += plain;
        while (at < end && (unsigned char)*at >= 0x80)
            *to++ = *at++;
        if (at < end && *at == '\\')
            to = put_unescaped(to, &at, end);
    }
    *to = '\0';
    out->len = (size_t)(to - out->data);
}

void json_compact(struct json_span value, struct buf *out)
{
    bool is_string = false;
    const char *end = value.at + value.len, *from = value.at;
    buf_reserve(out, value.len);
    for (const char *at = value.at; at < end; at++) {
        if (is_string && *at == '\\') {
            at++;
        } else if (*at == '"') {
            is_string = !is_string;
        } else if (!is_string && strchr(" \t\r\n", *at) != NULL) {
            buf_add(out, from, (size_t)(at - from));
            from = at + 1;
        }
    }
    buf_add(out, from, (size_t)(end - from));
}

double json_span_number(struct json_span span, double missing)
{
    enum json_kind kind = json_span_kind(span);
    if (kind != JSON_INTEGER && kind != JSON_NUMBER)
        return missing;
    struct buf digits = BUF_EMPTY; /* with an end, which the span may lack */
    buf_add(&digits, span.at, span.len);
    double number = strtod(buf_text(&digits), NULL);
    buf_clear(&digits);
    return number;
}

bool json_span_equals(struct json_span span, const char *text)
{
    size_t len = strlen(text);
    if (span.len == len + 2 && memcmp(span.at + 1, text, len) == 0 && memchr(text, '\\', len) == NULL)
        return true;
    if (memchr(span.at, '\\', span.len) == NULL)
        return false;
    struct buf decoded = BUF_EMPTY;
    json_span_string(span, &decoded);
    bool equal = decoded.len == len && memcmp(buf_text(&decoded), text, len) == 0;
    buf_clear(&decoded);
    return equal;
}
