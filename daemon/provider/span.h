/* Reading of checked JSON by its spans: only what is wanted is looked at, and nothing is copied but the text that is kept. Pure; any thread. */
#ifndef GALLOC_PROVIDER_SPAN_H
#define GALLOC_PROVIDER_SPAN_H

#include "base/json_scan.h"

#define SPAN_NONE ((struct json_span){NULL, 0})

/* A member that is wanted; `value` is SPAN_NONE when it is missing. */
struct span_want {
    const char *name;
    struct json_span value;
};

/* The one value of `text` without white space around it, or SPAN_NONE when the text is not strict JSON. */
struct json_span span_root(const char *text, size_t len);

bool span_is(struct json_span span, enum json_kind kind); /* false for SPAN_NONE */
void span_members(struct json_span object, struct span_want *wants, size_t count); /* one walk; all missing when it is no object */
struct json_span span_member(struct json_span object, const char *name);
struct json_span span_first(struct json_span array); /* its first element, or SPAN_NONE */

/* Integers, and strings of digits (proto3's int64). `missing` when it is neither, or out of range. */
int64_t span_i64(struct json_span span, int64_t missing);
bool span_is_true(struct json_span span);
/* The decoded string as an owned text; NULL when it is no string. A NUL in it ends it. */
char *span_text(struct json_span span);

#endif
