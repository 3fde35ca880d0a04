/* See setting.h. */
#include "cli/setting.h"

#include "base/parse.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* The row of a name, or NULL with the error filled. */
static const struct setting_row *find(const struct setting_row *rows, const char *name, const char *what, struct galloc_error *error)
{
    enum { NAMES_MAX = 32 };
    const char *names[NAMES_MAX];
    size_t count = 0;
    struct buf all = BUF_EMPTY;
    for (const struct setting_row *row = rows; row->name != NULL && count < NAMES_MAX; row++) {
        if (strcmp(row->name, name) == 0) {
            buf_clear(&all);
            return row;
        }
        names[count++] = row->name;
        buf_add_fmt(&all, "%s%s", all.len ? ", " : "", row->name);
    }
    const char *nearest = text_nearest(name, names, count);
    if (nearest != NULL)
        galloc_fail(error, GALLOC_USAGE, "%s has no setting \"%s\"; did you mean %s?", what, name, nearest);
    else
        galloc_fail(error, GALLOC_USAGE, "%s has no setting \"%s\"; there are: %s", what, name, buf_text(&all));
    buf_clear(&all);
    return NULL;
}

/* "price is set by its parts: price_in=…, price_out=…" */
static int fail_whole(const struct setting_row *rows, const struct setting_row *whole, struct galloc_error *error)
{
    struct buf parts = BUF_EMPTY;
    for (const struct setting_row *row = rows; row->name != NULL; row++)
        if (row->group != NULL && strcmp(row->group, whole->member) == 0)
            buf_add_fmt(&parts, "%s%s=%s", parts.len ? " " : "", row->name, row->argument);
    int rc = galloc_fail(error, GALLOC_USAGE, "it is set by its parts: %s", buf_text(&parts));
    buf_clear(&parts);
    return rc;
}

static int write_amount(struct json_out *out, const struct setting_row *row, const char *value, struct galloc_error *error)
{
    int64_t micros;
    int rc = parse_micros(value, &micros, error);
    if (rc == 0 && (micros < row->low || micros > row->high)) {
        struct buf range = BUF_EMPTY;
        text_add_amount(&range, row->low);
        buf_add_str(&range, " to ");
        text_add_amount(&range, row->high);
        rc = galloc_fail(error, GALLOC_USAGE, "%s is out of range: %s", value, buf_text(&range));
        buf_clear(&range);
    }
    if (rc == 0)
        json_out_member_int(out, row->member, micros);
    return rc;
}

static int write_value(struct json_out *out, const struct setting_row *rows, const struct setting_row *row, const char *value, struct galloc_error *error)
{
    int64_t number;
    bool is_yes;
    int rc = 0;
    if (row->null_word != NULL && strcmp(value, row->null_word) == 0) {
        json_out_member_null(out, row->member);
        return 0;
    }
    switch (row->type) {
    case SETTING_NUMBER: rc = parse_i64(value, row->low, row->high, &number, error); break;
    case SETTING_AMOUNT: return write_amount(out, row, value, error);
    case SETTING_YES:
        rc = parse_bool(value, &is_yes, error);
        if (rc == 0)
            json_out_member_bool(out, row->member, is_yes);
        return rc;
    case SETTING_TIME:
        rc = parse_time_ms(value, &number, error);
        if (rc == 0)
            json_out_member_time(out, row->member, number);
        return rc;
    case SETTING_TEXT: json_out_member_str(out, row->member, value); return 0;
    case SETTING_WHOLE: return fail_whole(rows, row, error);
    }
    if (rc == 0)
        json_out_member_int(out, row->member, number);
    return rc;
}

static bool is_in_group(const struct setting_row *row, const char *group)
{
    return group == NULL ? row->group == NULL : row->group != NULL && strcmp(row->group, group) == 0;
}

static bool stands_before(char *const *words, int index, size_t len)
{
    for (int i = 0; i < index; i++)
        if (strncmp(words[i], words[index], len) == 0 && (words[i][len] == '=' || words[i][len] == '\0'))
            return true;
    return false;
}

/* Of all words those of one group. `ret_other` is the group of a word left out, if there is one. */
static int write_group(struct json_out *out, const struct setting_row *rows, int count, char *const *words, const char *what, const char *group,
                       const char **ret_other, struct galloc_error *error)
{
    for (int i = 0; i < count; i++) {
        const char *equals = strchr(words[i], '=');
        if (equals == NULL || equals == words[i])
            return galloc_fail(error, GALLOC_USAGE, "\"%s\" is not NAME=VALUE", words[i]);
        char *name = xstrndup(words[i], (size_t)(equals - words[i]));
        const struct setting_row *row = find(rows, name, what, error);
        free(name);
        if (row == NULL)
            return -GALLOC_USAGE;
        if (stands_before(words, i, (size_t)(equals - words[i])))
            return galloc_fail(error, GALLOC_USAGE, "%s stands twice", row->name);
        if (!is_in_group(row, group)) {
            *ret_other = row->group != NULL ? row->group : *ret_other;
        } else if (write_value(out, rows, row, equals + 1, error) < 0) {
            galloc_prefix(error, "%s", row->name);
            if (error != NULL)
                error->code = GALLOC_USAGE;
            return -GALLOC_USAGE;
        }
    }
    return 0;
}

int setting_write(struct json_out *out, const struct setting_row *rows, int count, char *const *words, const char *what, struct galloc_error *error)
{
    const char *group = NULL, *ignored = NULL;
    int rc = write_group(out, rows, count, words, what, NULL, &group, error);
    if (rc < 0 || group == NULL)
        return rc;
    json_out_name(out, group);
    json_out_begin(out, '{');
    rc = write_group(out, rows, count, words, what, group, &ignored, error);
    json_out_end(out, '}');
    return rc;
}

int setting_write_null(struct json_out *out, const struct setting_row *rows, int count, char *const *words, const char *what, struct galloc_error *error)
{
    for (int i = 0; i < count; i++) {
        const struct setting_row *row = find(rows, words[i], what, error);
        if (row == NULL)
            return -GALLOC_USAGE;
        if (stands_before(words, i, strlen(words[i])))
            return galloc_fail(error, GALLOC_USAGE, "%s stands twice", row->name);
        if (row->group != NULL)
            return galloc_fail(error, GALLOC_USAGE, "%s is a part of the %s, which goes as a whole: %s", row->name, row->group, row->group);
        json_out_member_null(out, row->member);
    }
    return 0;
}
