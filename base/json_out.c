/* See json_out.h. */
#include "base/json_out.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/text.h"

#include <math.h>
#include <string.h>

static void before_value(struct json_out *out)
{
    if (out->needs_comma)
        buf_add_char(out->buf, ',');
    out->needs_comma = true;
}

void json_out_begin(struct json_out *out, char open)
{
    before_value(out);
    buf_add_char(out->buf, open);
    out->needs_comma = false;
}

void json_out_end(struct json_out *out, char close)
{
    buf_add_char(out->buf, close);
    out->needs_comma = true;
}

void json_out_name(struct json_out *out, const char *name)
{
    before_value(out);
    json_quote(out->buf, name, strlen(name));
    buf_add_char(out->buf, ':');
    out->needs_comma = false;
}

static char *put_escape(char *to, unsigned char c)
{
    static const char hex[] = "0123456789abcdef", shorthand[128] = {['"'] = '"', ['\\'] = '\\', ['\n'] = 'n', ['\t'] = 't', ['\r'] = 'r'};
    to[0] = '\\';
    to[1] = shorthand[c];
    if (to[1] != 0)
        return to + 2;
    memcpy(to + 1, "u00", 3);
    to[4] = hex[c >> 4];
    to[5] = hex[c & 15];
    return to + 6;
}

/* What stands for the character at text (len > 0 bytes are left), which is not plain; *ret_taken bytes of it are read. */
static char *put_odd(char *to, const char *text, size_t len, size_t *ret_taken)
{
    static const char replacement[] = "\xef\xbf\xbd";
    unsigned char c = (unsigned char)*text;
    *ret_taken = 1;
    if (c < 0x20 || c == '"' || c == '\\')
        return put_escape(to, c);
    size_t size = text_utf8_size(text, len);
    *ret_taken = size > 0 ? size : 1;
    size_t width = size > 0 ? size : sizeof replacement - 1;
    memcpy(to, size > 0 ? text : replacement, width);
    return to + width;
}

/* Text is escaped in steps whose longest form finds room: this is the hottest loop of a prompt, where most that is not plain are quotation marks. */
void json_escape(struct buf *buf, const char *text, size_t len)
{
    enum { STEP = 512, LONGEST = 6 }; /* \u001f */
    for (size_t at = 0; at < len;) {
        size_t end = len - at > STEP ? at + STEP : len;
        char *to = buf_reserve(buf, LONGEST * (end - at));
        while (at < end) {
            size_t plain = bytes_plain_copy(to, text + at, end - at), taken = 1;
            at += plain;
            to += plain;
            if (at == end)
                break;
            if (text[at] == '"') {
                *to++ = '\\';
                *to++ = '"';
            } else {
                to = put_odd(to, text + at, len - at, &taken);
            }
            at += taken;
        }
        *to = '\0';
        buf->len = (size_t)(to - buf->data);
    }
}

void json_quote(struct buf *buf, const char *text, size_t len)
{
    buf_add_char(buf, '"');
    json_escape(buf, text, len);
    buf_add_char(buf, '"');
}

void json_out_text(struct json_out *out, const char *text, size_t len)
{
    before_value(out);
    json_quote(out->buf, text, len);
}

void json_out_str(struct json_out *out, const char *text)
{
    if (text == NULL)
        json_out_null(out);
    else
        json_out_text(out, text, strlen(text));
}

void json_out_int(struct json_out *out, int64_t value)
{
    before_value(out);
    buf_add_i64(out->buf, value);
}

void json_out_bool(struct json_out *out, bool value)
{
    before_value(out);
    buf_add_str(out->buf, value ? "true" : "false");
}

void json_out_null(struct json_out *out)
{
    before_value(out);
    buf_add_str(out->buf, "null");
}

void json_out_ratio(struct json_out *out, double value)
{
    if (!isfinite(value) || fabs(value) > 1e14) {
        json_out_null(out);
        return;
    }
    before_value(out);
    int64_t scaled = llround(fabs(value) * 10000);
    if (value < 0 && scaled != 0)
        buf_add_char(out->buf, '-');
    buf_add_i64(out->buf, scaled / 10000);
    if (scaled % 10000 != 0) {
        char digits[5] = ".";
        int64_t fraction = scaled % 10000;
        int len = 4;
        while (fraction % 10 == 0) {
            fraction /= 10;
            len--;
        }
        for (int i = len; i > 0; i--, fraction /= 10)
            digits[i] = (char)('0' + fraction % 10);
        buf_add(out->buf, digits, (size_t)len + 1);
    }
}

void json_out_number(struct json_out *out, double value)
{
    char text[32];
    if (!isfinite(value)) {
        json_out_null(out);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) { /* 17 always give it again */
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    before_value(out);
    buf_add_str(out->buf, text);
}

void json_out_raw(struct json_out *out, const char *json, size_t len)
{
    before_value(out);
    buf_add(out->buf, json, len);
}

void json_out_time(struct json_out *out, int64_t wall_ms)
{
    char text[CLOCK_TEXT_MAX];
    if (wall_ms == 0)
        json_out_null(out);
    else
        json_out_str(out, clock_rfc3339(wall_ms, text));
}

void json_out_member_str(struct json_out *out, const char *name, const char *text)
{
    json_out_name(out, name);
    json_out_str(out, text);
}

void json_out_member_int(struct json_out *out, const char *name, int64_t value)
{
    json_out_name(out, name);
    json_out_int(out, value);
}

void json_out_member_number(struct json_out *out, const char *name, double value)
{
    json_out_name(out, name);
    json_out_number(out, value);
}

void json_out_member_bool(struct json_out *out, const char *name, bool value)
{
    json_out_name(out, name);
    json_out_bool(out, value);
}

void json_out_member_null(struct json_out *out, const char *name)
{
    json_out_name(out, name);
    json_out_null(out);
}

void json_out_member_time(struct json_out *out, const char *name, int64_t wall_ms)
{
    json_out_name(out, name);
    json_out_time(out, wall_ms);
}
