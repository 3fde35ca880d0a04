/* Rows out of a source, one at a time and in constant memory: CSV (RFC 4180, by libcsv), NDJSON, or a JSON array. A good row comes
 * as its key and its fields as JSON text; a bad one with its line, column and reason. One thread. */
#ifndef GALLOC_CLI_INPUT_H
#define GALLOC_CLI_INPUT_H

#include "base/buf.h"
#include "base/code.h"
#include "base/json_scan.h"
#include "cli/source.h"

enum input_format { INPUT_AUTO, INPUT_CSV, INPUT_NDJSON, INPUT_JSON };

enum { INPUT_ROW_BYTES_MAX = 256 << 10 }; /* a longer row is rejected and skipped; so much is kept of one at most */

struct input_options {
    enum input_format format;
    char delimiter;               /* of CSV; 0: found out */
    const char *key;              /* name of the key's column as the user wrote it; NULL: the first of key_names that exists */
    const char *const *key_names; /* ends with NULL */
    const char *what;             /* "assignments", "agents": for messages */
    const char *order;            /* a column whose value comes with each row; NULL: none */
};

/* What is known once the header, or the beginning of JSON, is read. Owned by the reader, lives during input_read(). */
struct input_info {
    enum input_format format;
    char delimiter;
    char **columns; /* names, as they are in the header; in JSON those of the first rows */
    size_t column_count;
    const char *key; /* the key's column, one of them */
    struct json_span header; /* the header's bytes without its line end; CSV only */
};

struct input_row {
    int64_t number; /* of the row in the source, from 1, the header not counted */
    int64_t line;   /* where it begins */
    struct json_span key;    /* decoded */
    struct json_span fields; /* a JSON object */
    struct json_span order;  /* the order column's value; {NULL, 0} when it has none */
    struct json_span raw;    /* the row as it came, without its line end */
};

struct input_reject {
    int64_t number;
    int64_t line;
    const char *column; /* NULL: the row as a whole */
    const char *reason;
    struct json_span raw;
};

/* Who takes the rows. Each returns 0 to go on, 1 to stop reading (a success), or a negative code with the error filled. */
struct input_sink {
    int (*begin)(void *arg, const struct input_info *info, struct galloc_error *error);
    int (*row)(void *arg, const struct input_row *row, struct galloc_error *error);
    int (*reject)(void *arg, const struct input_reject *reject, struct galloc_error *error);
    void *arg;
};

/* Reads the whole source. 0, or negative: nothing that could be read as such a table (-GALLOC_INVALID_INPUT), I/O, or what the sink returned. */
int input_read(struct source *source, const struct input_options *options, const struct input_sink *sink, struct galloc_error *error) MUST_CHECK;

/* The column that is meant by a name: the same, or the same without regard to case, blanks and underscores. -1: none; `count` columns. */
int input_find_column(char *const *columns, size_t count, const char *name);

/* What is wrong with a key, or NULL. The text is static. */
const char *input_key_problem(const char *key, size_t len);

/* The two readers behind input_read(). */
int input_read_csv(struct source *source, const struct input_options *options, const struct input_sink *sink, struct galloc_error *error) MUST_CHECK;
int input_read_json(struct source *source, const struct input_options *options, bool is_array, const struct input_sink *sink,
                    struct galloc_error *error) MUST_CHECK;

/* The key's column by the rule, as an index; a negative code with what to do when there is none. */
int input_choose_key(const struct input_options *options, char *const *columns, size_t count, const char *source_name, struct galloc_error *error);

#endif
