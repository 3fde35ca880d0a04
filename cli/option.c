/* See option.h. getopt_long does the reading; its tables are built from the rows for each call. */
#include "cli/option.h"

#include "base/clock.h"
#include "base/parse.h"
#include "base/text.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    const struct option_row *rows[OPTION_ROWS_MAX];
    size_t row_count;
    struct option longs[OPTION_ROWS_MAX + 1];
    char letters[3 * OPTION_ROWS_MAX + 4];
};

enum { FIRST_CODE = 1000 };

void option_each(const struct option_row *const *sets, void (*each)(const struct option_row *row, size_t set, void *arg), void *arg)
{
    for (size_t s = 0; s < OPTION_SETS_MAX && sets[s] != NULL; s++)
        for (const struct option_row *row = sets[s]; row->name != NULL; row++)
            if (option_find(sets, row->name) == row)
                each(row, s, arg);
}

const struct option_row *option_find(const struct option_row *const *sets, const char *name)
{
    for (size_t s = 0; s < OPTION_SETS_MAX && sets[s] != NULL; s++)
        for (const struct option_row *row = sets[s]; row->name != NULL; row++)
            if (strcmp(row->name, name) == 0)
                return row;
    return NULL;
}

static void add_row(const struct option_row *row, size_t set, void *arg)
{
    (void)set;
    struct parser *parser = arg;
    if (parser->row_count == OPTION_ROWS_MAX)
        abort();
    int has_arg = row->type == OPTION_FLAG             ? no_argument
                  : row->type == OPTION_COUNT_OPTIONAL ? optional_argument
                                                       : required_argument;
    parser->longs[parser->row_count] = (struct option){row->name, has_arg, NULL, FIRST_CODE + (int)parser->row_count};
    parser->rows[parser->row_count++] = row;
    if (row->letter != 0) {
        size_t at = strlen(parser->letters);
        parser->letters[at++] = row->letter;
        if (has_arg == required_argument)
            parser->letters[at++] = ':';
        parser->letters[at] = '\0';
    }
}

static const struct option_row *row_of(const struct parser *parser, int code)
{
    if (code >= FIRST_CODE)
        return parser->rows[code - FIRST_CODE];
    for (size_t i = 0; i < parser->row_count; i++)
        if (parser->rows[i]->letter == code)
            return parser->rows[i];
    return NULL;
}

static struct option_value *value_of(struct args *args, const struct option_row *row)
{
    for (size_t i = 0; i < args->value_count; i++)
        if (strcmp(args->values[i].row->name, row->name) == 0)
            return &args->values[i];
    if (args->value_count == OPTION_ROWS_MAX)
        abort();
    args->values[args->value_count] = (struct option_value){.row = row};
    return &args->values[args->value_count++];
}

static void push_text(struct option_value *value, const char *text)
{
    value->texts = xreallocarray(value->texts, value->count + 1, sizeof *value->texts);
    value->texts[value->count++] = text;
}

static void push_names(struct args *args, struct option_value *value, const char *text)
{
    char *copy = xstrdup(text), *rest = copy;
    args->split = xreallocarray(args->split, args->split_count + 1, sizeof *args->split);
    args->split[args->split_count++] = copy;
    for (char *name; (name = strsep(&rest, ",")) != NULL;) {
        name += strspn(name, " ");
        if (*name != '\0')
            push_text(value, name);
    }
}

static bool is_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);
    for (const char *at = choices; at != NULL && *at != '\0'; at += strcspn(at, "|"), at += *at == '|')
        if (strcspn(at, "|") == len && memcmp(at, text, len) == 0)
            return true;
    return false;
}

static int read_since(const char *text, int64_t *ret_at_ms, struct galloc_error *error)
{
    int64_t ago_ms;
    if (parse_duration_ms(text, &ago_ms, NULL) == 0) {
        *ret_at_ms = clock_wall_ms() - ago_ms;
        return 0;
    }
    if (parse_time_ms(text, ret_at_ms, NULL) == 0)
        return 0;
    return galloc_fail(error, GALLOC_USAGE, "\"%s\" is neither a time (2026-12-01, 2026-12-01T08:00:00Z) nor a duration ago (2h, 7d)", text);
}

static int store_value(struct args *args, const struct option_row *row, const char *text, struct galloc_error *error)
{
    struct option_value *value = value_of(args, row);
    value->row = row;
    int rc = 0;
    switch (row->type) {
    case OPTION_NUMBER: rc = parse_i64(text, row->low, row->high, &value->number, error); break;
    case OPTION_DURATION: rc = parse_duration_ms(text, &value->number, error); break;
    case OPTION_SINCE: rc = read_since(text, &value->number, error); break;
    case OPTION_COUNT_OPTIONAL:
        value->number = 1;
        if (text != NULL)
            rc = parse_i64(text, row->low, row->high, &value->number, error);
        break;
    case OPTION_CHOICE:
        if (!is_choice(row->choices, text))
            rc = galloc_fail(error, GALLOC_USAGE, "\"%s\" is not one of %s", text, row->choices);
        break;
    case OPTION_NAMES: push_names(args, value, text); return 0;
    case OPTION_FLAG:
    case OPTION_TEXT:
    case OPTION_FILE:
    case OPTION_LIST: break;
    }
    if (rc < 0) {
        galloc_prefix(error, "--%s", row->name);
        if (error != NULL)
            error->code = GALLOC_USAGE;
        return -GALLOC_USAGE;
    }
    push_text(value, text ? text : "");
    return 0;
}

static int fail_unknown(const struct parser *parser, const char *word, struct galloc_error *error)
{
    if (word[0] != '-' || word[1] != '-')
        return galloc_fail(error, GALLOC_USAGE, "unknown option -%c", optopt);
    const char *names[OPTION_ROWS_MAX];
    for (size_t i = 0; i < parser->row_count; i++)
        names[i] = parser->rows[i]->name;
    char *name = xstrndup(word + 2, strcspn(word + 2, "="));
    const char *nearest = text_nearest(name, names, parser->row_count);
    int rc = nearest ? galloc_fail(error, GALLOC_USAGE, "unknown option --%s; did you mean --%s?", name, nearest)
                     : galloc_fail(error, GALLOC_USAGE, "unknown option --%s", name);
    free(name);
    return rc;
}

static bool is_digits(const char *text)
{
    return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

int args_parse(struct args *args, const struct option_row *const *sets, int argc, char **argv, int from, bool stops_at_word, int *ret_next,
               struct galloc_error *error)
{
    struct parser parser = {.letters = ""};
    parser.letters[0] = stops_at_word ? '+' : '-'; /* '-': words come in order as the value of code 1 */
    parser.letters[1] = ':';
    option_each(sets, add_row, &parser);
    opterr = 0;
    optind = 0; /* glibc: start anew */
    char **tail = argv + from - 1;
    int tail_count = argc - from + 1, rc = 0;
    for (int code; rc == 0 && (code = getopt_long(tail_count, tail, parser.letters, parser.longs, NULL)) != -1;) {
        if (code == 1) {
            args->words = xreallocarray(args->words, (size_t)args->word_count + 1, sizeof *args->words);
            args->words[args->word_count++] = optarg;
        } else if (code == ':') {
            const struct option_row *row = row_of(&parser, optopt);
            rc = galloc_fail(error, GALLOC_USAGE, "--%s needs a value: %s", row ? row->name : "?", row ? row->argument : "");
        } else if (code == '?') {
            const struct option_row *row = optopt ? row_of(&parser, optopt) : NULL;
            rc = row ? galloc_fail(error, GALLOC_USAGE, "--%s takes no value", row->name) : fail_unknown(&parser, tail[optind - 1], error);
        } else {
            const struct option_row *row = row_of(&parser, code);
            if (row->type == OPTION_COUNT_OPTIONAL && optarg == NULL && optind < tail_count && is_digits(tail[optind]))
                optarg = tail[optind++];
            rc = store_value(args, row, optarg, error);
        }
    }
    for (int i = optind; rc == 0 && !stops_at_word && i < tail_count; i++) { /* after "--" */
        args->words = xreallocarray(args->words, (size_t)args->word_count + 1, sizeof *args->words);
        args->words[args->word_count++] = tail[i];
    }
    *ret_next = from - 1 + optind;
    return rc;
}

void args_clear(struct args *args)
{
    for (size_t i = 0; i < args->value_count; i++)
        free(args->values[i].texts);
    for (size_t i = 0; i < args->split_count; i++)
        free(args->split[i]);
    free(args->split);
    free(args->words);
    *args = (struct args){.value_count = 0};
}

static const struct option_value *find_value(const struct args *args, const char *name)
{
    for (size_t i = 0; i < args->value_count; i++)
        if (strcmp(args->values[i].row->name, name) == 0)
            return &args->values[i];
    return NULL;
}

bool args_has(const struct args *args, const char *name)
{
    return find_value(args, name) != NULL;
}

const char *args_text(const struct args *args, const char *name)
{
    const struct option_value *value = find_value(args, name);
    return value != NULL && value->count > 0 ? value->texts[value->count - 1] : NULL;
}

int64_t args_number(const struct args *args, const char *name, int64_t missing)
{
    const struct option_value *value = find_value(args, name);
    return value != NULL ? value->number : missing;
}

size_t args_texts(const struct args *args, const char *name, const char *const **ret_texts)
{
    const struct option_value *value = find_value(args, name);
    *ret_texts = value != NULL ? value->texts : NULL;
    return value != NULL ? value->count : 0;
}
