/* A strict reader over JSON source text (RFC 8259) that copies nothing: it checks the whole text once (grammar, UTF-8, depth, repeated
 * member names) and hands out spans of the source. Input that must be kept as it came is read with this; all else with json.h. */
#ifndef GALLOC_BASE_JSON_SCAN_H
#define GALLOC_BASE_JSON_SCAN_H

#include "base/buf.h"
#include "base/code.h"

#define JSON_DEPTH_MAX 32 /* levels of nesting; deeper is refused */
#define JSON_FIELDS_DEPTH_MAX 24 /* of an assignment's fields: what carries them, a list or a lease, has levels of its own and is read by the rule above */

enum json_kind { JSON_NULL, JSON_BOOL, JSON_INTEGER, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

#define JSON_REPEATED_NAME "a member name is repeated" /* how json_check() ends its message about that */

/* A piece of the source text. Borrowed from it. */
struct json_span {
    const char *at;
    size_t len;
};

/* Checks that the text is one JSON value, with white space around it. 0, or -GALLOC_NOT_JSON with the byte offset and what is wrong. Any thread. */
int json_check(const char *text, size_t len, struct galloc_error *error) MUST_CHECK;
/* The same with another cap on its levels of nesting. */
int json_check_within(const char *text, size_t len, unsigned depth_max, struct galloc_error *error) MUST_CHECK;

/* What the checked value at `span` is. */
enum json_kind json_span_kind(struct json_span span);

/* Walks the members of an object or the elements of an array in checked text. Start with *at = NULL; returns false at the end.
 * ret_name is the member's name with its quotes ({NULL, 0} in an array), ret_value the value's text without white space around it. */
bool json_next(struct json_span container, const char **at, struct json_span *ret_name, struct json_span *ret_value);

/* Decodes a checked string span (with its quotes) and adds it to `out`. A lone surrogate becomes U+FFFD; "\u0000" is added as a NUL byte. */
void json_span_string(struct json_span span, struct buf *out);

/* Adds checked JSON without the white space around its values: one line, whatever it was. */
void json_compact(struct json_span value, struct buf *out);

/* A checked number as a double; `missing` when the span is another value. The program's LC_NUMERIC has to be "C", as it is at the start. */
double json_span_number(struct json_span span, double missing);

/* True when the string span, decoded, equals `text`. */
bool json_span_equals(struct json_span span, const char *text);

#endif
