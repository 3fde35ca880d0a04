/* See rejects.h. */
#include "cli/rejects.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHOWN_MAX = 5 };
#define FIRST_COLUMNS "file%sline%scolumn%sreason"

void rejects_init(struct rejects *rejects, const struct cli *cli, const char *source_name, const char *asked)
{
    *rejects = (struct rejects){.cli = cli, .source_name = source_name, .is_own = asked != NULL, .delimiter = ','};
    const char *base = strcmp(source_name, "standard input") == 0 ? "stdin" : source_name;
    rejects->path = asked ? xstrdup(asked) : xasprintf("%s.rejects.csv", base);
}

void rejects_describe(struct rejects *rejects, const struct input_info *info)
{
    rejects->is_csv = info->format == INPUT_CSV;
    if (!rejects->is_csv)
        return;
    rejects->delimiter = info->delimiter;
    buf_add(&rejects->header, info->header.at, info->header.len);
}

static void add_quoted(struct buf *line, const char *text, size_t len)
{
    buf_add_char(line, '"');
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"')
            buf_add_char(line, '"');
        buf_add_char(line, text[i]);
    }
    buf_add_char(line, '"');
}

static int open_file(struct rejects *rejects, struct galloc_error *error)
{
    rejects->file = fopen(rejects->path, "we");
    if (rejects->file == NULL) {
        if (rejects->is_own)
            return galloc_fail(error, GALLOC_LOCAL_IO, "%s: cannot be written: %s", rejects->path, strerror(errno));
        say(rejects->cli, "%s cannot be written (%s): bad rows are only counted; --rejects FILE names another place", rejects->path, strerror(errno));
        rejects->is_unwritable = true;
        return 0;
    }
    const char d[2] = {rejects->delimiter, '\0'};
    fprintf(rejects->file, FIRST_COLUMNS "%s", d, d, d, d);
    if (rejects->is_csv)
        fwrite(buf_text(&rejects->header), 1, rejects->header.len, rejects->file);
    else
        fputs("row", rejects->file);
    fputs("\r\n", rejects->file);
    return 0;
}

int rejects_add(struct rejects *rejects, const char *verb, int64_t line, const char *column, const char *reason, struct json_span raw,
                struct galloc_error *error)
{
    if (rejects->is_mute)
        return 0;
    rejects->count++;
    if (rejects->count <= SHOWN_MAX)
        say(rejects->cli, "%s %s:%" PRId64 ": %s%s%s", verb, rejects->source_name, line, column ? column : "", column ? ": " : "", reason);
    else if (rejects->count == SHOWN_MAX + 1)
        say(rejects->cli, "further %s rows are not shown here", verb);
    int rc = rejects->file == NULL && !rejects->is_unwritable ? open_file(rejects, error) : 0;
    if (rc < 0 || rejects->file == NULL)
        return rc;
    struct buf text = BUF_EMPTY;
    add_quoted(&text, rejects->source_name, strlen(rejects->source_name));
    buf_add_fmt(&text, "%c%" PRId64 "%c", rejects->delimiter, line, rejects->delimiter);
    add_quoted(&text, column ? column : "", column ? strlen(column) : 0);
    buf_add_char(&text, rejects->delimiter);
    add_quoted(&text, reason, strlen(reason));
    buf_add_char(&text, rejects->delimiter);
    if (rejects->is_csv)
        buf_add(&text, raw.at, raw.len);
    else
        add_quoted(&text, raw.at, raw.len);
    buf_add_str(&text, "\r\n");
    fwrite(text.data, 1, text.len, rejects->file);
    buf_clear(&text);
    return 0;
}

/* Is it a file that open_file() made? */
static bool is_ours(const char *path)
{
    char line[64] = "", wanted[64];
    FILE *file = fopen(path, "re");
    bool is_read = file != NULL && fgets(line, sizeof line, file) != NULL;
    if (file != NULL)
        fclose(file);
    for (const char *d = ",;\t"; is_read && *d != '\0'; d++) {
        const char delimiter[2] = {*d, '\0'};
        snprintf(wanted, sizeof wanted, FIRST_COLUMNS, delimiter, delimiter, delimiter);
        if (strncmp(line, wanted, strlen(wanted)) == 0)
            return true;
    }
    return false;
}

void rejects_end(struct rejects *rejects)
{
    if (rejects->count == 0 && !rejects->is_own && is_ours(rejects->path) && unlink(rejects->path) == 0)
        say(rejects->cli, "no row was rejected: %s of an earlier try is removed", rejects->path);
}

int rejects_close(struct rejects *rejects, struct galloc_error *error)
{
    int rc = 0;
    if (rejects->file != NULL) {
        bool is_bad = fflush(rejects->file) != 0 || ferror(rejects->file);
        if (is_bad)
            rc = galloc_fail(error, GALLOC_LOCAL_IO, "%s: writing failed: %s", rejects->path, strerror(errno));
        fclose(rejects->file);
    }
    buf_clear(&rejects->header);
    free(rejects->path);
    rejects->path = NULL;
    rejects->file = NULL;
    return rc;
}
