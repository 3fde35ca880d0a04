/* The option parser, and rules that the command table itself must keep. */
#include "cli/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The table names the commands' functions; none is called here. */
#define STUB(name)                                          \
    int command_##name(struct cli *cli, int count, char **words) \
    {                                                       \
        (void)cli;                                          \
        (void)count;                                        \
        (void)words;                                        \
        return 0;                                           \
    }
STUB(enqueue) STUB(check) STUB(status) STUB(runs) STUB(list) STUB(show) STUB(attempts) STUB(failures) STUB(watch) STUB(follow) STUB(wait)
STUB(events) STUB(results) STUB(compare) STUB(loads) STUB(pause) STUB(resume) STUB(close) STUB(purge) STUB(cancel) STUB(retry) STUB(redo) STUB(discard) STUB(assign) STUB(unassign) STUB(set) STUB(work) STUB(notify) STUB(health) STUB(doctor) STUB(drain)
STUB(undrain) STUB(reload) STUB(audit) STUB(backup) STUB(api) STUB(version) STUB(help) STUB(completion)
const struct setting_row run_settings[] = {{0}};
const struct verb pool_verbs[] = {{0}}, endpoint_verbs[] = {{0}}, profile_verbs[] = {{0}}, template_verbs[] = {{0}};

static const struct option_row own[] = {
    {"number", 'n', OPTION_NUMBER, "N", "a number", NULL, 1, 10},
    {"names", 0, OPTION_NAMES, "COLS", "names", NULL, 0, 0},
    {"each", 0, OPTION_LIST, "X", "repeated", NULL, 0, 0},
    {"flag", 'f', OPTION_FLAG, NULL, "a flag", NULL, 0, 0},
    {"after", 0, OPTION_DURATION, "DUR", "a duration", NULL, 0, 0},
    {"kind", 0, OPTION_CHOICE, "K", "one of", "red|green", 0, 0},
    {"show", 0, OPTION_COUNT_OPTIONAL, "N", "maybe a number", NULL, 1, 20},
    {"format", 0, OPTION_CHOICE, "F", "another than the global one", "special", 0, 0},
    {0},
};
static const struct option_row *const sets[OPTION_SETS_MAX] = {own, global_options, NULL};

static char *words[32]; /* getopt_long wants them writable */

static int parse(struct args *args, struct galloc_error *error, size_t count, const char *const *given)
{
    int next;
    for (size_t i = 0; i <= count; i++)
        words[i] = (char *)(uintptr_t)(i < count ? given[i] : NULL);
    return args_parse(args, sets, (int)count, words, 1, false, &next, error);
}

static void test_every_type(void **state)
{
    (void)state;
    const char *argv[] = {"p", "word", "-n", "7", "--names=a, b,c", "--names", "d", "--each", "x,y", "--each", "z", "-f", "--after", "1.5s",
                    "--kind", "red", "--show", "3", "other", "--format", "special", "--", "--flag", NULL};
    struct args args = {.value_count = 0};
    struct galloc_error error = {0};
    const char *const *texts;
    assert_int_equal(parse(&args, &error, ARRAY_COUNT(argv) - 1, argv), 0);
    assert_int_equal(args_number(&args, "number", 0), 7);
    assert_int_equal(args_texts(&args, "names", &texts), 4);
    assert_string_equal(texts[1], "b");
    assert_int_equal(args_texts(&args, "each", &texts), 2);
    assert_string_equal(texts[0], "x,y");
    assert_true(args_has(&args, "flag"));
    assert_int_equal(args_number(&args, "after", 0), 1500);
    assert_string_equal(args_text(&args, "kind"), "red");
    assert_int_equal(args_number(&args, "show", 0), 3);
    assert_string_equal(args_text(&args, "format"), "special");
    assert_int_equal(args.word_count, 3);
    assert_string_equal(args.words[0], "word");
    assert_string_equal(args.words[2], "--flag");
    assert_int_equal(args_number(&args, "timeout", -1), -1);
    args_clear(&args);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *argument[2];
        const char *word;
    } cases[] = {
        {{"--numbr", "3"}, "did you mean --number"}, {{"-n", "11"}, "--number"},      {{"--number", NULL}, "needs a value"}, {{"--flag=1", NULL}, "takes no value"},
        {{"--kind", "blue"}, "red|green"},           {{"--after", "5"}, "--after"},   {{"-Z", NULL}, "unknown option -Z"},   {{"--format", "json"}, "special"},
        {{"--zzzzzzzz", NULL}, "unknown option"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const char *argv[] = {"p", cases[i].argument[0], cases[i].argument[1], NULL};
        struct args args = {.value_count = 0};
        struct galloc_error error = {0};
        assert_int_equal(parse(&args, &error, cases[i].argument[1] ? 3 : 2, argv), -GALLOC_USAGE);
        if (strstr(error.message, cases[i].word) == NULL)
            fail_msg("\"%s\" lacks \"%s\"", error.message, cases[i].word);
        args_clear(&args);
    }
}

static void test_globals_before_the_command(void **state)
{
    (void)state;
    const char *given[] = {"p", "-S", "/s", "--json", "runs", "--limit", "3"};
    char *argv[8] = {NULL};
    for (size_t i = 0; i < ARRAY_COUNT(given); i++)
        argv[i] = (char *)(uintptr_t)given[i];
    const struct option_row *only[OPTION_SETS_MAX] = {global_options, NULL};
    struct args args = {.value_count = 0};
    struct galloc_error error = {0};
    int next = 0;
    assert_int_equal(args_parse(&args, only, 7, argv, 1, true, &next, &error), 0);
    assert_int_equal(next, 4);
    assert_string_equal(args_text(&args, "socket"), "/s");
    args_clear(&args);
}

static void check_row(const struct option_row *row, size_t set, void *arg)
{
    char *letters = arg;
    (void)set;
    assert_true(row->help != NULL && row->help[0] != '\0');
    assert_true((row->argument == NULL) == (row->type == OPTION_FLAG));
    assert_true((row->choices != NULL) == (row->type == OPTION_CHOICE));
    assert_true(row->type != OPTION_NUMBER || row->low < row->high);
    if (row->letter == 0)
        return;
    assert_null(strchr(letters, row->letter)); /* a letter stands for one option alone */
    size_t len = strlen(letters);
    letters[len] = row->letter;
    letters[len + 1] = '\0';
}

static void test_the_table(void **state)
{
    (void)state;
    for (const struct command *command = commands; command->name != NULL; command++) {
        const struct option_row *rows[OPTION_SETS_MAX];
        char letters[64] = "";
        command_options(command, rows);
        option_each(rows, check_row, letters);
        assert_true((command->run == NULL) == (command->verbs != NULL));
        assert_ptr_equal(command_find(command->name), command);
    }
    assert_null(command_find("no-such"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_globals_before_the_command),
        cmocka_unit_test(test_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
