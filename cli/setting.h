/* NAME=VALUE words, as `pool set` and `endpoint set` take them: rows say which there are and how a value becomes JSON. One thread. */
#ifndef GALLOC_CLI_SETTING_H
#define GALLOC_CLI_SETTING_H

#include "base/code.h"
#include "base/json_out.h"

enum setting_type { SETTING_NUMBER, SETTING_YES, SETTING_TIME, SETTING_TEXT };

struct setting_row {
    const char *name;   /* on the command line */
    const char *member; /* in the body */
    enum setting_type type;
    int64_t low, high;     /* of a NUMBER */
    const char *null_word; /* a value that stands for null, e.g. "none"; NULL: there is none */
};

/* Writes the member for a word into an open object. 0 or -GALLOC_USAGE, with the nearest name. `what` is for the message: "an agent". */
int setting_write(struct json_out *out, const struct setting_row *rows, size_t count, const char *word, const char *what, struct galloc_error *error)
    MUST_CHECK;

/* The row of a name, or NULL with the error filled. */
const struct setting_row *setting_find(const struct setting_row *rows, size_t count, const char *name, const char *what, struct galloc_error *error);

#endif
