/* A file that is there whole or not at all: written beside its place, synced, then renamed; a device or a pipe is written to as it stands. One thread. */
#ifndef GALLOC_CLI_ATOMIC_H
#define GALLOC_CLI_ATOMIC_H

#include "base/code.h"

#include <stdio.h>

struct atomic_file {
    char *path;      /* owned */
    char *temporary; /* owned; NULL once it is in its place or given up, and of a device or a pipe */
    FILE *file;      /* NULL for a file that somebody else writes at `temporary` */
};

/* `is_private`: nobody else reads it, ever (0600); else it gets the mode that a redirection would give. `is_path_only`: makes the temporary name alone, for a library that opens it itself. 0 or -GALLOC_LOCAL_IO. */
int atomic_open(struct atomic_file *atomic, const char *path, bool is_path_only, bool is_private, struct galloc_error *error) MUST_CHECK;
/* Puts it in its place. 0 or -GALLOC_LOCAL_IO, and then nothing is left. */
int atomic_commit(struct atomic_file *atomic, struct galloc_error *error) MUST_CHECK;
/* Removes what is unfinished, and frees. Also after a commit. */
void atomic_clear(struct atomic_file *atomic);

#endif
