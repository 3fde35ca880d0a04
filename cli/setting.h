/* NAME=VALUE words, as `set`, `pool set` and `endpoint set` take them: a row says how a value becomes JSON. The parser, the help, the completions and the
 * manual's check walk the same rows. One thread. */
#ifndef GALLOC_CLI_SETTING_H
#define GALLOC_CLI_SETTING_H

#include "base/code.h"
#include "base/json_out.h"

enum setting_type { SETTING_NUMBER, SETTING_AMOUNT, SETTING_YES, SETTING_TIME, SETTING_TEXT, SETTING_WHOLE };

struct setting_row {
    const char *name;      /* on the command line */
    const char *member;    /* in the body */
    enum setting_type type; /* AMOUNT: a decimal that goes out exactly, as millionths; WHOLE: set by its parts alone, the rows of which `group` is its member */
    int64_t low, high;     /* of a NUMBER, or an AMOUNT in millionths */
    const char *null_word; /* a value that stands for null, e.g. "none"; NULL: there is none */
    const char *argument;  /* for the help: "N" */
    const char *help;
    const char *group;     /* the member is in this member, an object; NULL: in the body itself */
};

/* Writes the members for all words into an open object. 0 or -GALLOC_USAGE, with the nearest name. `rows` end with one without a name; `what` is for the message:
 * "an agent". */
int setting_write(struct json_out *out, const struct setting_row *rows, int count, char *const *words, const char *what, struct galloc_error *error) MUST_CHECK;
/* The same with null for every word, which is a bare name. */
int setting_write_null(struct json_out *out, const struct setting_row *rows, int count, char *const *words, const char *what, struct galloc_error *error) MUST_CHECK;

#endif
