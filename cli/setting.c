/* See setting.h. */
#include "cli/setting.h"

#include "base/parse.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

const struct setting_row *setting_find(const struct setting_row *rows, size_t count, const char *name, const char *what, struct galloc_error *error)
{
    enum { NAMES_MAX = 32 };
    const char *names[NAMES_MAX];
    struct buf all = BUF_EMPTY;
    for (size_t i = 0; i < count && i < NAMES_MAX; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            buf_clear(&all);
            return &rows[i];
        }
        names[i] = rows[i].name;
        buf_add_fmt(&all, "%s%s", i ? ", " : "", rows[i].name);
    }
    const char *nearest = text_nearest(name, names, count < NAMES_MAX ? count : NAMES_MAX);
    if (nearest != NULL)
        galloc_fail(error, GALLOC_USAGE, "%s has no setting \"%s\"; did you mean %s?", what, name, nearest);
    else
        galloc_fail(error, GALLOC_USAGE, "%s has no setting \"%s\"; there are: %s", what, name, buf_text(&all));
    buf_clear(&all);
    return NULL;
}

static int write_value(struct json_out *out, const struct setting_row *row, const char *value, struct galloc_error *error)
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
    }
    if (rc == 0)
        json_out_member_int(out, row->member, number);
    return rc;
}

int setting_write(struct json_out *out, const struct setting_row *rows, size_t count, const char *word, const char *what, struct galloc_error *error)
{
    const char *equals = strchr(word, '=');
    if (equals == NULL || equals == word)
        return galloc_fail(error, GALLOC_USAGE, "\"%s\" is not NAME=VALUE", word);
    char *name = xstrndup(word, (size_t)(equals - word));
    const struct setting_row *row = setting_find(rows, count, name, what, error);
    free(name);
    if (row == NULL)
        return -GALLOC_USAGE;
    if (write_value(out, row, equals + 1, error) < 0) {
        galloc_prefix(error, "%s", row->name);
        if (error != NULL)
            error->code = GALLOC_USAGE;
        return -GALLOC_USAGE;
    }
    return 0;
}
