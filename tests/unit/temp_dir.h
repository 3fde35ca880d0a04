/* A folder of a test's own, removed with the files in it. */
#ifndef GALLOC_TESTS_TEMP_DIR_H
#define GALLOC_TESTS_TEMP_DIR_H

#include "base/util.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct temp_dir {
    char path[64];
};

static inline void temp_dir_make(struct temp_dir *dir)
{
    const char *parent = getenv("TMPDIR");
    snprintf(dir->path, sizeof dir->path, "%s/galloc-test-XXXXXX", parent != NULL && strlen(parent) < 40 ? parent : "/tmp");
    if (mkdtemp(dir->path) == NULL)
        abort();
}

static inline void temp_dir_remove(const struct temp_dir *dir)
{
    DIR *open = opendir(dir->path);
    for (struct dirent *entry; open != NULL && (entry = readdir(open)) != NULL;) {
        char *path = xasprintf("%s/%s", dir->path, entry->d_name);
        if (unlink(path) < 0)
            rmdir(path);
        free(path);
    }
    if (open != NULL)
        closedir(open);
    rmdir(dir->path);
}

#endif
