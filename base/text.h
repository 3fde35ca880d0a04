/* Text from outside: is it UTF-8, how does it look on a terminal, which known name did somebody mean. Pure; any thread. */
#ifndef GALLOC_BASE_TEXT_H
#define GALLOC_BASE_TEXT_H

#include "base/buf.h"

/* The bytes of `text` that are whole, valid UTF-8 (RFC 3629: no surrogates, no overlong forms, up to U+10FFFF). len when all is. */
size_t text_utf8_span(const char *text, size_t len);
/* The bytes of the first character (len > 0), or 0 when that is not valid. */
size_t text_utf8_size(const char *text, size_t len);
static inline bool text_is_utf8(const char *text, size_t len)
{
    return text_utf8_span(text, len) == len;
}

/* Adds `text` with everything that could act on a terminal or break a line made visible: C0, DEL, C1 (U+0080-9F), bidi controls
 * (U+061C, U+200E/F, U+202A-E, U+2066-9), line separators U+2028/9, invalid UTF-8; all as \xNN or \u{N}. Backslash stays as it is. */
void text_escape(struct buf *out, const char *text, size_t len);

/* Overwrites what looks like a credential ("AIza…", "AQ.…", "sk-…", a Bearer token) in place with asterisks. */
void text_redact_keys(char *text);

/* True when the key of an assignment can be: 1-256 bytes of UTF-8 without control characters. On false *ret_why is a reason (static). */
bool text_is_key(const char *text, size_t len, const char **ret_why);

/* True for what a spreadsheet leaves of a long number when it saves as CSV: "1.23E+15", and "1,23E+15" where numbers are written
 * with a comma. Its other digits are lost. */
bool text_is_rounded_number(const char *text, size_t len);

/* Damerau-Levenshtein distance, cut at `cap` (strings over 63 bytes count as cap). */
unsigned text_distance(const char *a, const char *b, unsigned cap);

/* The nearest of `names` (count of them) to `name`, by distance at most 1 + a third of its length; NULL when none is near. */
const char *text_nearest(const char *name, const char *const *names, size_t count);

/* A count as people read it, in threes: 120,000. Lives as long as the statement it is made in: printf("%s rows", text_count(n).text). */
struct text_count {
    char text[28];
};
struct text_count text_count(int64_t count);
/* With what is counted: "1 key", "120,000 keys". The noun in its singular, up to 24 bytes, and its plural ends in s. */
struct text_counted {
    char text[56];
};
struct text_counted text_counted(int64_t count, const char *noun);
struct text_count text_bytes(int64_t bytes); /* 812 B, 4.0 KiB, 412.3 MiB, 1.2 GiB */

/* Adds millionths as people write an amount, exact, with two decimals at least: 0.75, 0.075, 12.00. Not negative. */
void text_add_amount(struct buf *out, int64_t micros);

/* Percent-encodes all but RFC 3986 unreserved characters, so also '/'. */
void text_percent_encode(struct buf *out, const char *text, size_t len);
/* Decodes in place; false on a malformed escape or a NUL. */
bool text_percent_decode(char *text);

#endif
