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

/* What follows the backslash of a short escape; 0: there is none. */
static char shorthand(unsigned char c)
{
    return c == '"' || c == '\\' ? (char)c : c == '\n' ? 'n' : c == '\t' ? 't' : c == '\r' ? 'r' : 0;
}

/* The run of bytes from..from+len as it is, and after it the escape of `c`. In one go: this is the hottest loop of a prompt. */
static void add_run_and_escape(struct buf *buf, const char *from, size_t len, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char *to = buf_reserve(buf, len + 6);
    memcpy(to, from, len);
    to += len;
    *to++ = '\\';
    if (shorthand(c) != 0) {
        *to++ = shorthand(c);
    } else {
        *to++ = 'u';
        *to++ = '0';
        *to++ = '0';
        *to++ = hex[c >> 4];
        *to++ = hex[c & 15];
    }
    *to = '\0';
    buf->len = (size_t)(to - buf->data);
}

static void quote_utf8(struct buf *buf, const char *text, size_t len)
{
    size_t from = 0;
    for (size_t i = 0; (i += bytes_plain_span(text + i, len - i)) < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x80)
            continue;
        add_run_and_escape(buf, text + from, i - from, c);
        from = i + 1;
    }
    buf_add(buf, text + from, len - from);
}

void json_quote(struct buf *buf, const char *text, size_t len)
{
    buf_add_char(buf, '"');
    while (len > 0) {
        size_t valid = text_utf8_span(text, len);
        quote_utf8(buf, text, valid);
        text += valid;
        len -= valid;
        if (len > 0) {
            buf_add_str(buf, "\xef\xbf\xbd");
            text++;
            len--;
        }
    }
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
