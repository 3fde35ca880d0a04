/* See split.h. */
#include "cli/split.h"

#include "base/digest.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_FILES_MAX = 64, NAME_BYTES_MAX = 200, DIGEST_SHOWN = 16 };

#define NOBODY "not-allocated"

struct part {
    char *agent_id, *path; /* owned */
    FILE *file;            /* NULL: closed for now */
};

struct split {
    char *folder, *beside; /* owned; `beside` is filled, and NULL once it is in its place */
    const char *ending;    /* borrowed */
    struct part *parts;    /* owned, in the order of their ids */
    size_t count, cap, open_count;
};

/* ---- names ---- */

static bool is_plain(unsigned char c, bool is_first)
{
    if (c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
        return true;
    return strchr("-_.@+ ", c) != NULL && c != '\0' && !(is_first && (c == '.' || c == ' ' || c == '-'));
}

/* Where a path of another system ends a name it drops blanks and points. */
static bool is_lost_at_end(const char *at)
{
    return at[strspn(at, ". ")] == '\0';
}

char *split_name(const char *agent_id)
{
    struct buf name = BUF_EMPTY, shown = BUF_EMPTY;
    text_escape(&shown, agent_id, strlen(agent_id));
    bool is_quiet = strcmp(buf_text(&shown), agent_id) == 0; /* nothing in it acts on a terminal */
    for (const char *at = agent_id; *at != '\0'; at++) {
        bool stays = is_plain((unsigned char)*at, at == agent_id) && !is_lost_at_end(at) && (is_quiet || (unsigned char)*at < 0x80);
        if (stays)
            buf_add_char(&name, *at);
        else
            buf_add_fmt(&name, "%%%02X", (unsigned char)*at);
    }
    if (strcmp(agent_id, NOBODY) == 0) {
        buf_reset(&name);
        buf_add_str(&name, "%6Eot-allocated"); /* an agent of that name is somebody */
    }
    if (name.len > NAME_BYTES_MAX) {
        unsigned char digest[DIGEST_BYTES];
        char hex[DIGEST_HEX];
        digest_of(agent_id, strlen(agent_id), digest);
        digest_hex(digest, hex);
        name.len = text_utf8_span(name.data, NAME_BYTES_MAX);
        name.data[name.len] = '\0';
        buf_add_fmt(&name, "~%.*s", DIGEST_SHOWN, hex);
    }
    buf_clear(&shown);
    return buf_take(&name);
}

/* ---- the folder ---- */

static int fail_io(const char *path, struct galloc_error *error)
{
    return galloc_fail(error, GALLOC_LOCAL_IO, "%s cannot be written: %s", path, strerror(errno));
}

static bool is_empty_folder(const char *path)
{
    DIR *folder = opendir(path);
    size_t count = 0;
    if (folder == NULL)
        return false;
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count <= 2; /* . and .. */
}

int split_open(const char *folder, const char *ending, struct split **ret_split, struct galloc_error *error)
{
    struct stat st;
    size_t len = strlen(folder);
    while (len > 1 && folder[len - 1] == '/')
        len--;
    char *place = xstrndup(folder, len), *beside = xasprintf("%s.XXXXXX", place);
    int rc = 0;
    if (lstat(place, &st) == 0 && !(S_ISDIR(st.st_mode) && is_empty_folder(place)))
        rc = galloc_fail(error, GALLOC_USAGE, "%s is there already%s: name a new folder, or an empty one", place, S_ISDIR(st.st_mode) ? " and holds files" : "");
    else if (mkdtemp(beside) == NULL)
        rc = fail_io(place, error);
    if (rc < 0) {
        free(place);
        free(beside);
        return rc;
    }
    mode_t mask = umask(0);
    umask(mask);
    (void)chmod(beside, 0777 & ~mask);
    *ret_split = xcalloc(1, sizeof **ret_split);
    **ret_split = (struct split){.folder = place, .beside = beside, .ending = ending};
    return 0;
}

/* The part of the agent, or where it belongs. */
static size_t place_of(const struct split *split, const char *agent_id)
{
    size_t low = 0, high = split->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(split->parts[middle].agent_id, agent_id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct part *part_of(struct split *split, const char *agent_id, bool *ret_is_new)
{
    size_t at = place_of(split, agent_id);
    *ret_is_new = at == split->count || strcmp(split->parts[at].agent_id, agent_id) != 0;
    if (!*ret_is_new)
        return &split->parts[at];
    if (split->count == split->cap) {
        split->cap = split->cap > 0 ? 2 * split->cap : 64;
        split->parts = xreallocarray(split->parts, split->cap, sizeof *split->parts);
    }
    char *name = agent_id[0] == '\0' ? xstrdup(NOBODY) : split_name(agent_id);
    memmove(split->parts + at + 1, split->parts + at, (split->count - at) * sizeof *split->parts);
    split->parts[at] = (struct part){.agent_id = xstrdup(agent_id), .path = xasprintf("%s/%s%s", split->beside, name, split->ending)};
    split->count++;
    free(name);
    return &split->parts[at];
}

static int part_close(struct split *split, struct part *part, struct galloc_error *error)
{
    if (part->file == NULL)
        return 0;
    bool is_bad = ferror(part->file) != 0;
    is_bad |= fclose(part->file) != 0;
    part->file = NULL;
    split->open_count--;
    return is_bad ? fail_io(part->path, error) : 0;
}

static int close_all(struct split *split, struct galloc_error *error)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < split->count; i++)
        rc = part_close(split, &split->parts[i], error);
    return rc;
}

int split_add(struct split *split, const char *agent_id, struct json_span row, struct json_span head, struct galloc_error *error)
{
    bool is_new;
    struct part *part = part_of(split, agent_id, &is_new);
    if (part->file == NULL) {
        int rc = split->open_count < OPEN_FILES_MAX ? 0 : close_all(split, error);
        if (rc < 0)
            return rc;
        part->file = fopen(part->path, is_new ? "wxe" : "ae");
        if (part->file == NULL)
            return fail_io(part->path, error);
        split->open_count++;
    }
    if (is_new && head.len > 0)
        fwrite(head.at, 1, head.len, part->file);
    return fwrite(row.at, 1, row.len, part->file) == row.len ? 0 : fail_io(part->path, error);
}

int split_each(struct split *split, int (*each)(void *arg, const char *path, struct galloc_error *error), void *arg, struct galloc_error *error)
{
    int rc = close_all(split, error);
    for (size_t i = 0; rc == 0 && i < split->count; i++)
        rc = each(arg, split->parts[i].path, error);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcasecmp(*(char *const *)a, *(char *const *)b);
}

static char *find_alike(const struct split *split)
{
    const char **ids = xcalloc(split->count + 1, sizeof *ids);
    char *alike = NULL;
    for (size_t i = 0; i < split->count; i++)
        ids[i] = split->parts[i].agent_id;
    qsort(ids, split->count, sizeof *ids, by_name);
    for (size_t i = 1; alike == NULL && i < split->count; i++)
        if (strcasecmp(ids[i - 1], ids[i]) == 0)
            alike = xasprintf("%s and %s", ids[i - 1], ids[i]);
    free(ids);
    return alike;
}

int split_commit(struct split *split, size_t *ret_files, char **ret_alike, struct galloc_error *error)
{
    int rc = close_all(split, error);
    if (rc < 0)
        return rc;
    if (rename(split->beside, split->folder) < 0) /* also over an empty folder */
        return fail_io(split->folder, error);
    free(split->beside);
    split->beside = NULL;
    *ret_files = split->count;
    *ret_alike = find_alike(split);
    return 0;
}

void split_free(struct split *split)
{
    if (split == NULL)
        return;
    for (size_t i = 0; i < split->count; i++) {
        (void)part_close(split, &split->parts[i], NULL);
        if (split->beside != NULL)
            unlink(split->parts[i].path);
        free(split->parts[i].agent_id);
        free(split->parts[i].path);
    }
    if (split->beside != NULL)
        rmdir(split->beside);
    free(split->beside);
    free(split->folder);
    free(split->parts);
    free(split);
}

/* ---- CSV ---- */

bool split_csv_row(const struct buf *text, size_t from, struct json_span *ret_row)
{
    bool is_quoted = false;
    for (size_t at = from; at < text->len; at++) {
        if (text->data[at] == '"')
            is_quoted = !is_quoted;
        if (text->data[at] == '\n' && !is_quoted) {
            *ret_row = (struct json_span){text->data + from, at + 1 - from};
            return true;
        }
    }
    return false;
}

/* Adds the cell at *at, and goes behind its comma; false at the row's end. */
static bool next_cell(struct json_span row, size_t *at, struct buf *out)
{
    bool is_quoted = false;
    for (; *at < row.len; ++*at) {
        char c = row.at[*at];
        bool is_pair = c == '"' && is_quoted && *at + 1 < row.len && row.at[*at + 1] == '"';
        if (c == '"' && !is_pair) {
            is_quoted = !is_quoted;
        } else if (!is_quoted && (c == ',' || c == '\r' || c == '\n')) {
            ++*at;
            return c == ',';
        } else {
            buf_add_char(out, c);
            *at += is_pair;
        }
    }
    return false;
}

void split_csv_cell(struct json_span row, size_t index, struct buf *out)
{
    size_t at = 0;
    buf_reset(out);
    while (next_cell(row, &at, out) && index-- > 0)
        buf_reset(out);
}

int64_t split_csv_find(struct json_span header, const char *name)
{
    struct buf cell = BUF_EMPTY;
    int64_t found = -1, index = 0;
    size_t at = 0;
    for (bool has_more = true; has_more && found < 0; index++) {
        buf_reset(&cell);
        has_more = next_cell(header, &at, &cell);
        if (strcmp(buf_text(&cell), name) == 0)
            found = index;
    }
    buf_clear(&cell);
    return found;
}
