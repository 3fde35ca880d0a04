/* Files that a test reads and writes as a whole. Behind cmocka.h. */
#ifndef GALLOC_TESTS_WHOLE_FILE_H
#define GALLOC_TESTS_WHOLE_FILE_H

#include "base/buf.h"

#include <stdio.h>

/* Its content; the caller frees. It has to be there. */
static inline char *file_read(const char *path, size_t *ret_len)
{
    struct buf all = BUF_EMPTY;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s is not there", path);
    char part[65536];
    for (size_t len; (len = fread(part, 1, sizeof part, file)) > 0;)
        buf_add(&all, part, len);
    fclose(file);
    *ret_len = all.len;
    return buf_take(&all);
}

static inline void file_write(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
}

#endif
