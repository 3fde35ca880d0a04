/* A database that was made ready takes the place of the store's, at a stroke, though there may be two files (database and log) to leave and one to come.
 *
 *   PATH.restore               being made ready; a crash leaves it, the next start removes it, and the store is the former one
 *   PATH.restored-DATE         ready: this name is the decision. From here on whoever opens the store ends what follows
 *   PATH -> PATH.before-DATE   the former one, with its log; each step only where the file still is
 *   PATH.restored-DATE -> PATH
 *
 * Offline, or at the start before anything is opened. */
#include "store/sqlite_open.h"

#include "store/file.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *sqlite_swap_made(const char *path)
{
    return xasprintf("%s.restore", path);
}

/* The date in the name of what is ready; owned, NULL: nothing is. */
static char *date_of_ready(const char *path)
{
    char *folder = xstrdup(path), *file = xstrdup(path), *wanted = xasprintf("%s.restored-", basename(file)), *date = NULL;
    DIR *dir = opendir(dirname(folder));
    for (const struct dirent *entry; dir != NULL && date == NULL && (entry = readdir(dir)) != NULL;)
        if (strncmp(entry->d_name, wanted, strlen(wanted)) == 0)
            date = xstrdup(entry->d_name + strlen(wanted));
    if (dir != NULL)
        closedir(dir);
    free(folder);
    free(file);
    free(wanted);
    return date;
}

/* False: there was nothing to move. */
static int move(const char *path, const char *suffix, const char *to, bool *ret_moved, struct galloc_error *error)
{
    char *from = xasprintf("%s%s", path, suffix), *moved = xasprintf("%s%s", to, suffix);
    int rc = 0;
    struct stat st;
    bool is_nothing = suffix[0] != '\0' && stat(from, &st) == 0 && st.st_size == 0; /* a log that was taken in */
    *ret_moved = !is_nothing && rename(from, moved) == 0;
    if (is_nothing)
        unlink(from);
    else if (!*ret_moved && errno != ENOENT)
        rc = file_fail(from, "it cannot be put aside", error);
    free(from);
    free(moved);
    return rc;
}

static int ready_place(const char *path, const char *date, char **ret_kept, struct galloc_error *error)
{
    char *ready = xasprintf("%s.restored-%s", path, date), *kept = xasprintf("%s.before-%s", path, date), *shared = xasprintf("%s-shm", path);
    bool has_former = false, has_log = false;
    int rc = move(path, "", kept, &has_former, error);
    if (rc == 0)
        rc = move(path, "-wal", kept, &has_log, error);
    unlink(shared); /* the log's index: made anew for either */
    if (rc == 0)
        rc = file_sync_folder(path, error); /* a log of the former one beside the new one would be read into it */
    if (rc == 0)
        rc = file_place(ready, path, error);
    if (rc == 0 && has_former && ret_kept != NULL) {
        *ret_kept = kept;
        kept = NULL;
    }
    free(ready);
    free(kept);
    free(shared);
    return rc;
}

int sqlite_swap_finish(const char *path, char **ret_kept, struct galloc_error *error)
{
    char *date = date_of_ready(path), *made = sqlite_swap_made(path);
    int rc = date != NULL ? ready_place(path, date, ret_kept, error) : 0;
    if (rc == 0)
        file_remove(made);
    free(date);
    free(made);
    return rc;
}

int sqlite_swap(const char *path, const char *made, const char *date, char **ret_kept, struct galloc_error *error)
{
    char *ready = xasprintf("%s.restored-%s", path, date);
    int rc = file_place(made, ready, error);
    free(ready);
    return rc < 0 ? rc : sqlite_swap_finish(path, ret_kept, error);
}
