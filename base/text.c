/* See text.h. */
#include "base/text.h"

#include "base/bytes.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* The code point at text (at most len bytes, len > 0) and its size, or size 0 when it is not valid. RFC 3629 section 4. */
static size_t utf8_decode(const unsigned char *s, size_t len, uint32_t *ret_cp)
{
    static const struct {
        unsigned char low, high; /* of the first byte */
        unsigned char size;
        unsigned char mask;
        uint32_t least;
    } forms[] = {{0x00, 0x7f, 1, 0x7f, 0}, {0xc2, 0xdf, 2, 0x1f, 0x80}, {0xe0, 0xef, 3, 0x0f, 0x800}, {0xf0, 0xf4, 4, 0x07, 0x10000}};
    for (size_t f = 0; f < ARRAY_COUNT(forms); f++) {
        if (s[0] < forms[f].low || s[0] > forms[f].high)
            continue;
        if (len < forms[f].size)
            return 0;
        uint32_t cp = s[0] & forms[f].mask;
        for (size_t i = 1; i < forms[f].size; i++) {
            if ((s[i] & 0xc0) != 0x80)
                return 0;
            cp = cp << 6 | (s[i] & 0x3f);
        }
        if (cp < forms[f].least || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
            return 0;
        *ret_cp = cp;
        return forms[f].size;
    }
    return 0;
}

size_t text_utf8_size(const char *text, size_t len)
{
    uint32_t cp;
    return utf8_decode((const unsigned char *)text, len, &cp);
}

size_t text_utf8_span(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t at = 0;
    while ((at += bytes_ascii_span(text + at, len - at)) < len) {
        uint32_t cp;
        size_t size = utf8_decode(s + at, len - at, &cp);
        if (size == 0)
            break;
        at += size;
    }
    return at;
}

static bool is_hostile(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) || cp == 0x61c || cp == 0x200e || cp == 0x200f || (cp >= 0x2028 && cp <= 0x202e) ||
           (cp >= 0x2066 && cp <= 0x2069) || cp == 0xfeff;
}

void text_escape(struct buf *out, const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t at = 0; at < len;) {
        uint32_t cp;
        size_t size = utf8_decode(s + at, len - at, &cp);
        if (size == 0) {
            buf_add_fmt(out, "\\x%02x", s[at]);
            size = 1;
        } else if (!is_hostile(cp)) {
            buf_add(out, s + at, size);
        } else if (cp < 0x80) {
            buf_add_fmt(out, "\\x%02x", (unsigned)cp);
        } else {
            buf_add_fmt(out, "\\u{%x}", (unsigned)cp);
        }
        at += size;
    }
}

void text_redact_keys(char *text)
{
    static const char *const marks[] = {"AIza", "AQ.", "sk-", "Bearer "};
    for (size_t m = 0; m < ARRAY_COUNT(marks); m++) {
        for (char *at = text; (at = strstr(at, marks[m])) != NULL;) {
            at += strlen(marks[m]);
            size_t len = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.~+/=");
            if (len >= 16)
                memset(at, '*', len);
            at += len;
        }
    }
}

bool text_is_key(const char *text, size_t len, const char **ret_why)
{
    const char *why = NULL;
    if (len == 0)
        why = "the key is empty";
    else if (len > 256)
        why = "the key is longer than 256 bytes";
    else if (!text_is_utf8(text, len))
        why = "the key is not UTF-8";
    for (size_t at = 0; why == NULL && at < len;) {
        uint32_t cp = 0;
        at += utf8_decode((const unsigned char *)text + at, len - at, &cp);
        if (cp < 0x20 || (cp >= 0x7f && cp <= 0x9f))
            why = "the key holds a control character";
    }
    if (why != NULL && ret_why != NULL)
        *ret_why = why;
    return why == NULL;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && isdigit((unsigned char)*at))
        at++;
    return at;
}

bool text_is_rounded_number(const char *text, size_t len)
{
    const char *at = text, *end = text + len;
    if (at == end || !isdigit((unsigned char)*at++))
        return false;
    if (at < end && (*at == '.' || *at == ',')) {
        const char *fraction = ++at;
        at = skip_digits(at, end);
        if (at == fraction)
            return false;
    }
    return end - at > 2 && at[0] == 'E' && at[1] == '+' && skip_digits(at + 2, end) == end;
}

unsigned text_distance(const char *a, const char *b, unsigned cap)
{
    enum { LONGEST = 63 };
    size_t la = strlen(a), lb = strlen(b);
    if (la > LONGEST || lb > LONGEST)
        return cap;
    unsigned rows[3][LONGEST + 1];
    for (unsigned j = 0; j <= lb; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= la; i++) {
        unsigned *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        now[0] = i;
        for (unsigned j = 1; j <= lb; j++) {
            int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
            unsigned best = last[j - 1] + (ca != cb);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) && cb == tolower((unsigned char)a[i - 2]) && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
    }
    unsigned distance = rows[la % 3][lb];
    return distance < cap ? distance : cap;
}

const char *text_nearest(const char *name, const char *const *names, size_t count)
{
    unsigned best = 2 + (unsigned)strlen(name) / 3;
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        unsigned distance = text_distance(name, names[i], best);
        if (distance < best) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

struct text_count text_count(int64_t count)
{
    struct text_count ret;
    char digits[24];
    uint64_t size = count < 0 ? -(uint64_t)count : (uint64_t)count;
    int len = snprintf(digits, sizeof digits, "%" PRIu64, size);
    char *at = ret.text;
    if (count < 0)
        *at++ = '-';
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *at++ = ',';
        *at++ = digits[i];
    }
    *at = '\0';
    return ret;
}

struct text_counted text_counted(int64_t count, const char *noun)
{
    struct text_counted counted;
    snprintf(counted.text, sizeof counted.text, "%s %.24s%s", text_count(count).text, noun, count == 1 ? "" : "s");
    return counted;
}

struct text_count text_bytes(int64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    struct text_count ret;
    size_t unit = 0;
    double value = (double)bytes;
    for (; value >= 1024 && unit + 1 < ARRAY_COUNT(units); unit++)
        value /= 1024;
    snprintf(ret.text, sizeof ret.text, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return ret;
}

void text_add_amount(struct buf *out, int64_t micros)
{
    char digits[8];
    snprintf(digits, sizeof digits, "%06" PRId64, micros % 1000000);
    size_t len = 6;
    while (len > 2 && digits[len - 1] == '0')
        len--;
    buf_add_fmt(out, "%" PRId64 ".%.*s", micros / 1000000, (int)len, digits);
}

void text_percent_encode(struct buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (isalnum(c) || memchr("-._~", c, 4) != NULL)
            buf_add_char(out, (char)c);
        else
            buf_add_fmt(out, "%%%02X", c);
    }
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool text_percent_decode(char *text)
{
    char *out = text;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at != '%') {
            *out++ = *at;
            continue;
        }
        int high = hex_digit(at[1]);
        int low = high < 0 ? -1 : hex_digit(at[2]);
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *out++ = (char)(high * 16 + low);
        at += 2;
    }
    *out = '\0';
    return true;
}
