/* The error table and the one way to fill an error. Pure; any thread. */
#include "base/code.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct galloc_code_row rows[GALLOC_CODE_COUNT] = {
#define X(symbol, name, http, exit, text) {name, http, exit, text},
    GALLOC_CODES(X)
#undef X
};

const struct galloc_code_row *galloc_code_row(int code)
{
    if (code < 0 && code > -GALLOC_CODE_COUNT)
        code = -code;
    return &rows[code >= 0 && code < GALLOC_CODE_COUNT ? code : GALLOC_INTERNAL];
}

int galloc_code_by_name(const char *name)
{
    for (int i = 0; i < GALLOC_CODE_COUNT; i++)
        if (strcmp(rows[i].name, name) == 0)
            return i;
    return -1;
}

static void mark_cut(char *message, size_t bytes)
{
    memcpy(message + bytes - sizeof "…", "…", sizeof "…");
}

int galloc_fail(struct galloc_error *error, int code, const char *fmt, ...)
{
    if (error != NULL) {
        va_list ap;
        va_start(ap, fmt);
        int len = vsnprintf(error->message, sizeof error->message, fmt, ap);
        va_end(ap);
        if (len >= (int)sizeof error->message)
            mark_cut(error->message, sizeof error->message);
        error->code = code;
    }
    return -code;
}

int galloc_prefix(struct galloc_error *error, const char *fmt, ...)
{
    if (error == NULL)
        return -GALLOC_INTERNAL;
    char text[sizeof error->message];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (len < 0 || len >= (int)sizeof text)
        len = (int)sizeof text - 1;
    int rest = snprintf(text + len, sizeof text - (size_t)len, ": %s", error->message);
    if (len + rest >= (int)sizeof text)
        mark_cut(text, sizeof text);
    memcpy(error->message, text, sizeof text);
    return -error->code;
}

void *xmust(void *ptr)
{
    if (ptr == NULL) {
        fputs("galloc: out of memory\n", stderr);
        abort();
    }
    return ptr;
}

void *xmalloc(size_t bytes)
{
    return xmust(malloc(bytes ? bytes : 1));
}

void *xcalloc(size_t count, size_t bytes)
{
    return xmust(calloc(count ? count : 1, bytes ? bytes : 1));
}

void *xrealloc(void *ptr, size_t bytes)
{
    return xmust(realloc(ptr, bytes ? bytes : 1));
}

void *xreallocarray(void *ptr, size_t count, size_t bytes)
{
    return xmust(reallocarray(ptr, count ? count : 1, bytes ? bytes : 1));
}

char *xstrdup(const char *text)
{
    return text ? xmust(strdup(text)) : NULL;
}

char *xstrndup(const char *text, size_t len)
{
    char *copy = xmalloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *xasprintf(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int len = vasprintf(&text, fmt, ap);
    va_end(ap);
    return xmust(len < 0 ? NULL : text);
}
