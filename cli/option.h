/* Options as rows: one row feeds the parser, --help, the completions and the check of the manual. A command lists its rows in
 * sets; the global set comes last, so that a command may have an option of its own under a global name. One thread. */
#ifndef GALLOC_CLI_OPTION_H
#define GALLOC_CLI_OPTION_H

#include "base/code.h"

enum option_type {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_FILE,     /* text that completes to a file */
    OPTION_LIST,     /* may be repeated; each is one element */
    OPTION_NAMES,    /* may be repeated; each is split at commas */
    OPTION_NUMBER,   /* an integer from low to high */
    OPTION_DURATION, /* "30s"; read as milliseconds */
    OPTION_SINCE,    /* a duration ago or a time; read as ms since the epoch */
    OPTION_CHOICE,   /* one of `choices`, separated by | */
    OPTION_COUNT_OPTIONAL /* an integer that may be left out: "--show-prompt" or "--show-prompt=3" */
};

struct option_row {
    const char *name;
    char letter; /* 0: none */
    enum option_type type;
    const char *argument; /* what --help calls the value; NULL for a flag */
    const char *help;
    const char *choices; /* of a CHOICE */
    int64_t low, high;   /* of a NUMBER */
};

enum { OPTION_SETS_MAX = 4, OPTION_ROWS_MAX = 64 };

struct option_value {
    const struct option_row *row;
    const char **texts; /* owned array of strings that are borrowed from argv or from `split` */
    size_t count;
    int64_t number;
};

/* What was given on the command line. */
struct args {
    struct option_value values[OPTION_ROWS_MAX];
    size_t value_count;
    char **split; /* owned copies of comma lists */
    size_t split_count;
    char **words; /* what is no option, borrowed from argv */
    int word_count;
};

/* Reads argv[from…]; `sets` holds arrays of rows that end with a row without a name, the last set is followed by NULL. With
 * `stops_at_word` it ends at the first word (for globals before the command). Later calls add to what stands.
 * 0 or -GALLOC_USAGE with "did you mean". The index after what was read comes in *ret_next. */
int args_parse(struct args *args, const struct option_row *const *sets, int argc, char **argv, int from, bool stops_at_word, int *ret_next,
               struct galloc_error *error) MUST_CHECK;
void args_clear(struct args *args);

/* Reads by long name; what was not given reads as missing. */
bool args_has(const struct args *args, const char *name);
const char *args_text(const struct args *args, const char *name); /* the last one given; NULL when none */
int64_t args_number(const struct args *args, const char *name, int64_t missing);
size_t args_texts(const struct args *args, const char *name, const char *const **ret_texts);

/* The row of a long name in the sets, or NULL. */
const struct option_row *option_find(const struct option_row *const *sets, const char *name);

/* Calls `each` for every row that is in effect: a name is seen once, the first set that has it wins. */
void option_each(const struct option_row *const *sets, void (*each)(const struct option_row *row, size_t set, void *arg), void *arg);

#endif
