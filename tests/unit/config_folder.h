/* A folder of the test's own for a configuration and its keys: made and removed by the group's setup and teardown. */
#ifndef GALLOC_TESTS_CONFIG_FOLDER_H
#define GALLOC_TESTS_CONFIG_FOLDER_H

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static inline char *path_in(const char *name)
{
    return xasprintf("%s/%s", folder, name);
}

static inline char *write_file(const char *name, const char *text, mode_t mode)
{
    char *path = path_in(name);
    unlink(path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static inline int make_folder(void **state)
{
    (void)state;
    memcpy(folder, "/tmp/galloc-config-XXXXXX", sizeof "/tmp/galloc-config-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static inline int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"gallocd.conf", "latin1.conf", "p.conf", "key",
                                        "link",         "pipe",        "gemini", "key_gemini"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        char *path = path_in(names[i]);
        unlink(path);
        free(path);
    }
    return rmdir(folder);
}

#endif
