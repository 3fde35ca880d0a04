/* See input.h: which format it is, which column is meant, which keys can be. */
#include "cli/input.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* The next character that counts in a name, folded; 0 at the end. */
static int next_significant(const char **at)
{
    while (**at == ' ' || **at == '_' || **at == '\t')
        (*at)++;
    return **at == '\0' ? 0 : tolower((unsigned char)*(*at)++);
}

static bool is_same_name(const char *a, const char *b)
{
    int ca, cb;
    do {
        ca = next_significant(&a);
        cb = next_significant(&b);
    } while (ca == cb && ca != 0);
    return ca == cb;
}

int input_find_column(char *const *columns, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(columns[i], name) == 0)
            return (int)i;
    for (size_t i = 0; i < count; i++)
        if (is_same_name(columns[i], name))
            return (int)i;
    return -1;
}

const char *input_key_problem(const char *key, size_t len)
{
    const char *why = NULL;
    if (!text_is_key(key, len, &why))
        return why;
    if (text_is_rounded_number(key, len))
        return "the key was destroyed by a spreadsheet (a long number shown as 1.23E+22): format the column as text before saving";
    return NULL;
}

static void list_columns(struct buf *out, char *const *columns, size_t count)
{
    enum { SHOWN = 12 };
    for (size_t i = 0; i < count && i < SHOWN; i++) {
        buf_add_str(out, i ? ", " : "");
        text_escape(out, columns[i], strnlen(columns[i], 40));
    }
    if (count > SHOWN)
        buf_add_str(out, ", …");
}

int input_choose_key(const struct input_options *options, char *const *columns, size_t count, const char *source_name, struct galloc_error *error)
{
    struct buf all = BUF_EMPTY, known = BUF_EMPTY;
    int index = -1, rc;
    if (options->key != NULL)
        index = input_find_column(columns, count, options->key);
    for (size_t i = 0; options->key == NULL && index < 0 && options->key_names[i] != NULL; i++)
        index = input_find_column(columns, count, options->key_names[i]);
    if (index >= 0)
        return index;
    list_columns(&all, columns, count);
    if (count == 1 && strpbrk(columns[0], ",;|\t") != NULL) /* one column that looks like several */
        buf_add_fmt(&all, ". Is the delimiter another? Give it with --delimiter, or leave that out");
    for (size_t i = 0; options->key_names[i] != NULL; i++)
        buf_add_fmt(&known, "%s%s", i ? ", " : "", options->key_names[i]);
    if (options->key != NULL) {
        const char *nearest = text_nearest(options->key, (const char *const *)columns, count);
        rc = nearest ? galloc_fail(error, GALLOC_INVALID_INPUT, "%s has no column \"%s\"; did you mean \"%s\"? It has: %s", source_name,
                                   options->key, nearest, buf_text(&all))
                     : galloc_fail(error, GALLOC_INVALID_INPUT, "%s has no column \"%s\"; it has: %s", source_name, options->key, buf_text(&all));
    } else {
        rc = galloc_fail(error, GALLOC_INVALID_INPUT,
                         "%s: no column for the key of %s (%s) among: %s. Is it a CSV with a header? %s", source_name, options->what,
                         buf_text(&known), buf_text(&all),
                         strcmp(options->what, "agents") == 0 ? "Every agent needs its agent_id" : "Name the column with --key");
    }
    buf_clear(&all);
    buf_clear(&known);
    return rc;
}

int input_read(struct source *source, const struct input_options *options, const struct input_sink *sink, struct galloc_error *error)
{
    const char *data;
    size_t len;
    int rc = source_peek(source, &data, &len, error);
    if (rc < 0)
        return rc;
    size_t at = 0;
    while (at < len && isspace((unsigned char)data[at]))
        at++;
    if (at == len && len < INPUT_ROW_BYTES_MAX)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "%s is empty: it needs a header and a row for each of the %s", source_name(source),
                           options->what);
    enum input_format format = options->format;
    if (format == INPUT_AUTO)
        format = data[at] == '[' ? INPUT_JSON : data[at] == '{' ? INPUT_NDJSON : INPUT_CSV;
    if (format == INPUT_CSV)
        return input_read_csv(source, options, sink, error);
    return input_read_json(source, options, format == INPUT_JSON, sink, error);
}
