/* Files beside the database: made so that nobody else reads them, synced, put in place whole or not at all. Any thread. */
#ifndef GALLOC_STORE_FILE_H
#define GALLOC_STORE_FILE_H

#include "base/code.h"

/* An empty file of mode 0600, in the place of what an earlier try left. *ret_fd (may be NULL) is open for reading and writing, the caller's to close.
 * 0 or -D_STORE_IO, as all here. */
int file_make(const char *path, int *ret_fd, struct galloc_error *error) MUST_CHECK;
int file_sync(const char *path, struct galloc_error *error) MUST_CHECK;        /* a file, or a folder */
int file_sync_folder(const char *path, struct galloc_error *error) MUST_CHECK; /* the one that `path` lies in */

/* Syncs the file, renames it, syncs the folder: from then on it is there, whatever happens. */
int file_place(const char *from, const char *to, struct galloc_error *error) MUST_CHECK;

/* Removes PATH with what SQLite may have left beside it (-wal, -shm, -journal). */
void file_remove(const char *path);

int file_fail(const char *path, const char *doing, struct galloc_error *error); /* with errno's words; -D_STORE_IO */
int64_t file_free_bytes(const char *path); /* left for us on its file system, or its folder's where it is not there; INT64_MAX: not known */

#endif
