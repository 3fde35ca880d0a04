/* Reads a recorded body for a test. */
#ifndef GALLOC_TESTS_FIXTURE_H
#define GALLOC_TESTS_FIXTURE_H

#include "base/buf.h"

#include <stdio.h>

/* The content of FIXTURES/name in memory of exactly its size, so that a read beyond it is seen by the sanitizer. The caller frees. NULL when missing. */
static inline char *fixture_read(const char *name, size_t *ret_len)
{
    char part[4096];
    struct buf all = BUF_EMPTY;
    size_t len;

    char *path = xasprintf("%s/%s", FIXTURES, name);
    FILE *file = fopen(path, "rb");
    free(path);
    if (file == NULL)
        return NULL;
    while ((len = fread(part, 1, sizeof part, file)) > 0)
        buf_add(&all, part, len);
    fclose(file);
    char *exact = xmalloc(all.len > 0 ? all.len : 1);
    if (all.len > 0)
        memcpy(exact, all.data, all.len);
    *ret_len = all.len;
    buf_clear(&all);
    return exact;
}

#endif
