/* gallocctl help: made from the command table. */
#include "base/text.h"
#include "cli/command.h"
#include "cli/out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_option(const struct option_row *row, size_t set, void *arg)
{
    const struct command *command = arg;
    bool is_global = command == NULL || set >= OPTION_SETS_MAX - 1 || command->options[set] == NULL;
    if (is_global != (command == NULL))
        return;
    char left[64], letter[8] = "    ";
    if (row->letter != 0)
        snprintf(letter, sizeof letter, "-%c, ", row->letter);
    if (row->type == OPTION_FLAG)
        snprintf(left, sizeof left, "%s--%s", letter, row->name);
    else if (row->type == OPTION_COUNT_OPTIONAL)
        snprintf(left, sizeof left, "%s--%s [%s]", letter, row->name, row->argument);
    else
        snprintf(left, sizeof left, "%s--%s %s", letter, row->name, row->argument);
    printf("  %-30s %s\n", left, row->help);
}

/* NAME=VALUE words that a command or a verb takes. */
static void print_settings(const struct setting_row *rows, int indent)
{
    for (const struct setting_row *row = rows; row != NULL && row->name != NULL; row++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", row->name, row->argument ? "=" : "", row->argument ? row->argument : "");
        printf("%*s%-26s %s\n", indent, "", left, row->help);
    }
}

static void print_all(void)
{
    printf("usage: gallocctl [GLOBAL OPTIONS] COMMAND [OPTIONS] …\n\nAllocates assignments to agents by a language model, through the daemon gallocd.\n");
    const char *group = "";
    for (const struct command *command = commands; command->name != NULL; command++) {
        if (strcmp(group, command->group) != 0)
            printf("\n%s\n", command->group);
        group = command->group;
        printf("  %-12s %s\n", command->name, command->help);
    }
    printf("\nGlobal options\n");
    option_each((const struct option_row *const[OPTION_SETS_MAX]){global_options}, print_option, NULL);
    printf("\nRUN is an id (r-…), a unique name, or @last. 'gallocctl help COMMAND' tells a command's options; gallocctl(1) all of it.\n"
           "First steps:  gallocctl check loans.csv --agents officers.csv\n"
           "              gallocctl enqueue loans.csv --agents officers.csv\n"
           "              gallocctl watch\n"
           "              gallocctl results @last -o results.csv\n");
}

void help_print(const struct command *command)
{
    if (command == NULL) {
        print_all();
        return;
    }
    const struct option_row *sets[OPTION_SETS_MAX];
    command_options(command, sets);
    if (command->verbs == NULL) {
        printf("usage: gallocctl %s%s%s%s\n", command->name, command->options[0] ? " [OPTIONS]" : "", *command->arguments ? " " : "", command->arguments);
    } else {
        for (const struct verb *verb = command->verbs; verb->name != NULL; verb++)
            printf("%s gallocctl %s %s%s%s\n", verb == command->verbs ? "usage:" : "      ", command->name, verb->name, *verb->arguments ? " " : "",
                   verb->arguments);
    }
    printf("\n%s\n", command->help);
    if (command->verbs != NULL)
        printf("\n");
    for (const struct verb *verb = command->verbs; verb != NULL && verb->name != NULL; verb++) {
        printf("  %-10s %s\n", verb->name, verb->help);
        print_settings(verb->unsets ? NULL : verb->settings, 6);
    }
    print_settings(command->settings, 6);
    if (command->options[0] != NULL) {
        printf("\nOptions\n");
        option_each(sets, print_option, (void *)(uintptr_t)command);
    }
    printf("\nExample\n");
    for (const char *at = command->example; *at != '\0'; at += *at == '\n') {
        int len = (int)strcspn(at, "\n");
        printf("  %.*s\n", len, at);
        at += len;
    }
    printf("\nThe global options are in 'gallocctl help'.\n");
}

int command_help(struct cli *cli, int count, char **words)
{
    bool is_all = args_has(&cli->args, "all");
    if (count == 0)
        help_print(NULL);
    for (const struct command *each = commands; is_all && each->name != NULL; each++) {
        printf("\n");
        help_print(each);
    }
    if (count == 0)
        return EXIT_WELL;
    const struct command *command = command_find(words[0]);
    if (command == NULL) {
        const char *names[64];
        size_t name_count = 0;
        for (const struct command *row = commands; row->name != NULL && name_count < ARRAY_COUNT(names); row++)
            names[name_count++] = row->name;
        const char *nearest = text_nearest(words[0], names, name_count);
        return say_failure(cli, GALLOC_USAGE, "there is no command \"%s\"%s%s%s", words[0], nearest ? "; did you mean " : "", nearest ? nearest : "",
                           nearest ? "?" : "");
    }
    help_print(command);
    return EXIT_WELL;
}
