/* See walk.h. Used for every request body and every line of a prompt. */
#include "sim/walk.h"

#include "base/bytes.h"
#include "base/text.h"

#include <ctype.h>

bool walk_fail(struct walk *walk, const char *problem)
{
    if (walk->problem == NULL)
        walk->problem = problem;
    walk->end = walk->at; /* nothing is read any more */
    return false;
}

static void skip_space(struct walk *walk)
{
    while (walk->at < walk->end && (*walk->at == ' ' || *walk->at == '\n' || *walk->at == '\t' || *walk->at == '\r'))
        walk->at++;
}

char walk_peek(struct walk *walk)
{
    skip_space(walk);
    return walk->at < walk->end ? *walk->at : '\0';
}

bool walk_open(struct walk *walk, char open)
{
    if (walk_peek(walk) != open)
        return walk_fail(walk, open == '{' ? "an object is expected" : "an array is expected");
    if (++walk->depth > JSON_DEPTH_MAX)
        return walk_fail(walk, "nested too deep");
    walk->at++;
    return true;
}

bool walk_next(struct walk *walk, char close, bool is_first)
{
    char c = walk_peek(walk);
    if (c == close && walk->problem == NULL) {
        walk->at++;
        walk->depth--;
        return false;
    }
    if (is_first)
        return c != '\0' || walk_fail(walk, "the text ends within an object or array");
    if (c != ',')
        return walk_fail(walk, "\",\" or the end of an object or array is expected");
    walk->at++;
    return true;
}

static bool skip_escape(struct walk *walk, struct walk_string *string)
{
    static const bool is_plain[256] = {['"'] = true, ['n'] = true, ['\\'] = true, ['/'] = true,
                                       ['b'] = true, ['f'] = true, ['r'] = true,  ['t'] = true};
    if (walk->end - walk->at < 2)
        return walk_fail(walk, "the text ends within a string");
    string->escape_count++;
    unsigned char c = (unsigned char)walk->at[1];
    if (is_plain[c]) {
        walk->at += 2;
        return true;
    }
    if (c != 'u')
        return walk_fail(walk, "an unknown escape in a string");
    string->has_unicode = true;
    for (int i = 2; i < 6; i++)
        if (walk->end - walk->at < 6 || !isxdigit((unsigned char)walk->at[i]))
            return walk_fail(walk, "\\u needs four hexadecimal digits");
    walk->at += 6;
    return true;
}

bool walk_string(struct walk *walk, struct walk_string *ret_string)
{
    if (walk_peek(walk) != '"')
        return walk_fail(walk, "a string is expected");
    struct walk_string string = {.at = ++walk->at};
    bool has_high = false;
    while ((walk->at += bytes_plain_span(walk->at, (size_t)(walk->end - walk->at))) < walk->end && *walk->at != '"') {
        unsigned char c = (unsigned char)*walk->at;
        if (c < 0x20)
            return walk_fail(walk, "a control character in a string");
        has_high |= c >= 0x80;
        if (c != '\\')
            walk->at++;
        else if (!skip_escape(walk, &string))
            return false;
    }
    if (walk->at >= walk->end)
        return walk_fail(walk, "the text ends within a string");
    string.len = (size_t)(walk->at - string.at);
    if (has_high && !text_is_utf8(string.at, string.len))
        return walk_fail(walk, "a string is not UTF-8");
    walk->at++;
    *ret_string = string;
    return true;
}

bool walk_name(struct walk *walk, struct walk_string *ret_name)
{
    if (!walk_string(walk, ret_name))
        return false;
    if (walk_peek(walk) != ':')
        return walk_fail(walk, "\":\" is expected after a name");
    walk->at++;
    return true;
}

static bool skip_digits(struct walk *walk)
{
    const char *from = walk->at;
    while (walk->at < walk->end && *walk->at >= '0' && *walk->at <= '9')
        walk->at++;
    return walk->at > from || walk_fail(walk, "not a JSON value");
}

static double plain_integer(const char *from, const char *end)
{
    int64_t value = 0;
    for (const char *at = from + (*from == '-'); at < end; at++)
        value = value * 10 + (*at - '0');
    return (double)(*from == '-' ? -value : value);
}

bool walk_number(struct walk *walk, double *ret_number)
{
    skip_space(walk);
    const char *from = walk->at;
    if (walk->at < walk->end && *walk->at == '-')
        walk->at++;
    const char *digits = walk->at;
    if (!skip_digits(walk))
        return false;
    if (*digits == '0' && walk->at - digits > 1)
        return walk_fail(walk, "a number begins with 0");
    bool is_plain = walk->at == walk->end || (*walk->at != '.' && (*walk->at | 0x20) != 'e');
    if (is_plain && walk->at - from <= 15) { /* nearly all of them */
        if (ret_number != NULL)
            *ret_number = plain_integer(from, walk->at);
        return true;
    }
    if (walk->at < walk->end && *walk->at == '.') {
        walk->at++;
        if (!skip_digits(walk))
            return false;
    }
    if (walk->at < walk->end && (*walk->at == 'e' || *walk->at == 'E')) {
        walk->at++;
        if (walk->at < walk->end && (*walk->at == '+' || *walk->at == '-'))
            walk->at++;
        if (!skip_digits(walk))
            return false;
    }
    if (ret_number != NULL) {
        char text[64];
        size_t len = (size_t)min_i64(walk->at - from, sizeof text - 1);
        memcpy(text, from, len);
        text[len] = '\0';
        *ret_number = strtod(text, NULL);
    }
    return true;
}

static bool skip_word(struct walk *walk, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(walk->end - walk->at) < len || memcmp(walk->at, word, len) != 0)
        return walk_fail(walk, "not a JSON value");
    walk->at += len;
    return true;
}

static bool skip_container(struct walk *walk, char open)
{
    char close = open == '{' ? '}' : ']';
    struct walk_string name;
    if (!walk_open(walk, open))
        return false;
    for (bool is_first = true; walk_next(walk, close, is_first); is_first = false)
        if ((open == '{' && !walk_name(walk, &name)) || !walk_skip(walk, NULL))
            return false;
    return walk->problem == NULL;
}

bool walk_skip(struct walk *walk, struct json_span *ret_source)
{
    char c = walk_peek(walk);
    const char *from = walk->at;
    struct walk_string string;
    bool is_well = c == '"'               ? walk_string(walk, &string)
                   : c == '{' || c == '[' ? skip_container(walk, c)
                   : c == 't'             ? skip_word(walk, "true")
                   : c == 'f'             ? skip_word(walk, "false")
                   : c == 'n'             ? skip_word(walk, "null")
                                          : walk_number(walk, NULL);
    if (is_well && ret_source != NULL)
        *ret_source = (struct json_span){from, (size_t)(walk->at - from)};
    return is_well;
}

bool walk_end(struct walk *walk)
{
    if (walk->problem == NULL && walk_peek(walk) != '\0')
        return walk_fail(walk, "text after the end of the JSON value");
    if (walk->problem == NULL && walk->at < walk->end)
        return walk_fail(walk, "a NUL byte after the JSON value");
    return walk->problem == NULL;
}

static unsigned hex4(const char *at)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        value = value * 16 + (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

static char *put_utf8(char *to, unsigned code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

/* `at` stands on "\u"; returns what comes after it (and after its second half, when it is a pair). */
static const char *decode_unicode(const char *at, const char *end, char **to)
{
    unsigned code = hex4(at + 2);
    at += 6;
    if (code >= 0xd800 && code < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        unsigned low = hex4(at + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            *to = put_utf8(*to, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
            return at + 6;
        }
    }
    *to = put_utf8(*to, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
    return at;
}

void walk_decode(struct walk_string string, struct buf *out)
{
    static const char plain[256] = {['n'] = '\n', ['t'] = '\t', ['r'] = '\r', ['b'] = '\b',
                                    ['f'] = '\f', ['"'] = '"',  ['\\'] = '\\', ['/'] = '/'};
    char *from = buf_reserve(out, string.len), *to = from; /* decoded is never longer */
    for (const char *at = string.at, *end = string.at + string.len; at < end;) {
        size_t len = bytes_plain_copy(to, at, (size_t)(end - at));
        at += len;
        to += len;
        while (at < end && (unsigned char)*at >= 0x80)
            *to++ = *at++;
        if (at < end && *at == '\\' && at[1] == 'u') {
            at = decode_unicode(at, end, &to);
        } else if (at < end && *at == '\\') {
            *to++ = plain[(unsigned char)at[1]];
            at += 2;
        }
    }
    out->len += (size_t)(to - from);
    out->data[out->len] = '\0';
}

size_t walk_decoded_bytes(struct walk_string string)
{
    size_t bytes = string.len - string.escape_count;
    const char *end = string.at + string.len;
    for (const char *at = string.at; string.has_unicode && (at = memchr(at, '\\', (size_t)(end - at))) != NULL;) {
        char text[8], *to = text;
        const char *next = at[1] == 'u' ? decode_unicode(at, end, &to) : at + 2;
        if (at[1] == 'u') /* both halves of a pair are counted */
            bytes -= (size_t)(next - at) - (size_t)(to - text) - (size_t)(next - at) / 6;
        at = next;
    }
    return bytes;
}

bool walk_is_name(struct walk_string string, const char *camel)
{
    size_t i = 0;
    for (; i < string.len && *camel != '\0'; i++, camel++) {
        char c = string.at[i];
        if (c == *camel)
            continue;
        if (c != '_' || *camel < 'A' || *camel > 'Z' || ++i >= string.len || string.at[i] != (*camel | 0x20))
            return false;
    }
    return i == string.len && *camel == '\0';
}
