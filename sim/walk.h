/* A forward walk over JSON text: one pass, nothing copied, strict grammar, made for speed (text of a string is skipped
 * eight bytes at a time). The first fault sticks: after it every call returns false, so callers may check once at the
 * end. Pure; any thread. */
#ifndef GALLOC_SIM_WALK_H
#define GALLOC_SIM_WALK_H

#include "base/json_scan.h"

struct walk {
    const char *start, *at, *end;
    unsigned depth;
    const char *problem; /* static text; NULL while all is well */
};

/* A string in the source. */
struct walk_string {
    const char *at; /* behind the opening quote; borrowed from the source */
    size_t len;     /* up to the closing quote */
    size_t escape_count; /* of two characters each, and those of \u */
    bool has_unicode;    /* has escapes of \u */
};

static inline struct walk walk_of(const char *text, size_t len)
{
    return (struct walk){.start = text, .at = text, .end = text + len};
}

char walk_peek(struct walk *walk); /* the first character of what comes, after white space; 0 at the end */

/* Steps into what is there; `open` is '{' or '['. */
bool walk_open(struct walk *walk, char open);

/* The next member or element of the container that was opened last: false at its end (which is stepped over) or on a
 * fault. is_first tells the first call for this container. */
bool walk_next(struct walk *walk, char close, bool is_first);
bool walk_name(struct walk *walk, struct walk_string *ret_name); /* a member's name and its colon */

bool walk_string(struct walk *walk, struct walk_string *ret_string);
bool walk_number(struct walk *walk, double *ret_number);         /* ret_number may be NULL */
bool walk_skip(struct walk *walk, struct json_span *ret_source); /* any value; ret_source may be NULL */
bool walk_end(struct walk *walk); /* true when nothing but white space is left and all was well */

bool walk_fail(struct walk *walk, const char *problem);

/* Decodes a string and adds it to `out`. A lone surrogate becomes U+FFFD. */
void walk_decode(struct walk_string string, struct buf *out);
size_t walk_decoded_bytes(struct walk_string string); /* how long that would be */

/* True when the string stands for this name, in camelCase as here, or in snake_case. Names are plain ASCII. */
bool walk_is_name(struct walk_string string, const char *camel);

/* Without regard to escapes: an escaped one is unequal. */
static inline bool walk_equals(struct walk_string string, const char *text)
{
    return strlen(text) == string.len && memcmp(string.at, text, string.len) == 0;
}

#endif
