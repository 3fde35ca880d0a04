/* gallocctl: the operator's hands on gallocd. This file reads the globals, finds the command's row, checks its words and calls it.
 * One thread; everything about the daemon is asked over its socket. */
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/out.h"

#include "base/text.h"

#include <curl/curl.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fail_unknown_command(const struct cli *cli, const char *name)
{
    const char *names[64];
    size_t count = 0;
    for (const struct command *command = commands; command->name != NULL && count < ARRAY_COUNT(names); command++)
        names[count++] = command->name;
    const char *nearest = text_nearest(name, names, count);
    if (nearest != NULL)
        return say_failure(cli, GALLOC_USAGE, "unknown command \"%s\"; did you mean %s?", name, nearest);
    return say_failure(cli, GALLOC_USAGE, "unknown command \"%s\"; 'gallocctl help' lists all", name);
}

static int fail_verb(const struct cli *cli, const struct command *command, const char *name)
{
    const char *names[16];
    size_t count = 0;
    struct buf all = BUF_EMPTY;
    for (const struct verb *verb = command->verbs; verb->name != NULL && count < ARRAY_COUNT(names); verb++) {
        buf_add_fmt(&all, "%s%s", count ? ", " : "", verb->name);
        names[count++] = verb->name;
    }
    const char *nearest = name ? text_nearest(name, names, count) : NULL;
    int status;
    if (nearest != NULL)
        status = say_failure(cli, GALLOC_USAGE, "unknown verb \"%s\" of %s; did you mean %s?", name, command->name, nearest);
    else
        status = say_failure(cli, GALLOC_USAGE, "%s needs one of: %s", command->name, buf_text(&all));
    buf_clear(&all);
    return status;
}

static int fail_words(const struct cli *cli, const struct command *command, const struct verb *verb, int count, int most)
{
    const char *arguments = verb ? verb->arguments : command->arguments;
    return say_failure(cli, GALLOC_USAGE, "%s; usage: gallocctl %s %s%s%s",
                       most >= 0 && count > most ? "too many words" : "something is missing", command->name, verb ? verb->name : "",
                       verb ? " " : "", arguments);
}

static bool wants_color(const struct cli *cli)
{
    const char *when = args_text(&cli->args, "color");
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if (when != NULL && strcmp(when, "auto") != 0)
        return strcmp(when, "always") == 0;
    return cli->is_stdout_terminal && cli->is_stderr_terminal && (no_color == NULL || *no_color == '\0') &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

static void take_globals(struct cli *cli)
{
    static const char *const names[] = {[FORMAT_TABLE] = "table", [FORMAT_JSON] = "json", [FORMAT_NDJSON] = "ndjson", [FORMAT_CSV] = "csv",
                                        [FORMAT_XLSX] = "xlsx"};
    const char *format = args_text(&cli->args, "format");
    for (size_t i = 0; format != NULL && i < ARRAY_COUNT(names); i++)
        if (strcmp(format, names[i]) == 0)
            cli->format = (enum out_format)i;
    if (args_has(&cli->args, "json"))
        cli->format = FORMAT_JSON;
    cli->is_quiet = args_has(&cli->args, "quiet");
    cli->is_verbose = args_has(&cli->args, "verbose");
    cli->is_yes = args_has(&cli->args, "yes");
    cli->is_no_input = args_has(&cli->args, "no-input");
    cli->has_color = wants_color(cli);
}

static void tell_waiting(void *arg, const char *why)
{
    say(arg, "%s; waiting for it (Ctrl-C ends)", why);
}

/* The command's own words are there: checks their number and calls it. */
static int run_command(struct cli *cli, const struct command *command)
{
    int count = cli->args.word_count;
    char **words = cli->args.words;
    const struct verb *verb = NULL;
    if (command->verbs != NULL) {
        verb = count > 0 ? verb_find(command, words[0]) : NULL;
        if (verb == NULL)
            return fail_verb(cli, command, count > 0 ? words[0] : NULL);
        words++;
        count--;
    }
    int least = verb ? verb->least : command->least, most = verb ? verb->most : command->most;
    if (count < least || (most >= 0 && count > most))
        return fail_words(cli, command, verb, count, most);
    cli->client = client_new(args_text(&cli->args, "socket"), args_number(&cli->args, "timeout", 0));
    if (cli->is_verbose)
        client_set_verbose(cli->client);
    client_set_waiting(cli->client, tell_waiting, cli);
    int status = (verb ? verb->run : command->run)(cli, count, words);
    client_free(cli->client);
    return status;
}

static int read_and_run(struct cli *cli, int argc, char **argv)
{
    struct galloc_error error;
    const struct option_row *sets[OPTION_SETS_MAX] = {global_options};
    int next = 1;
    if (args_parse(&cli->args, sets, argc, argv, 1, true, &next, &error) < 0) {
        take_globals(cli);
        return say_error(cli, &error);
    }
    take_globals(cli);
    if (args_has(&cli->args, "version"))
        return command_version(cli, 0, NULL);
    if (next >= argc) {
        if (args_has(&cli->args, "help")) {
            help_print(NULL);
            return EXIT_WELL;
        }
        return say_failure(cli, GALLOC_USAGE, "a command is missing; 'gallocctl help' lists all");
    }
    const struct command *command = command_find(argv[next]);
    if (command == NULL)
        return fail_unknown_command(cli, argv[next]);
    command_options(command, sets);
    if (args_parse(&cli->args, sets, argc, argv, next + 1, false, &next, &error) < 0)
        return say_failure(cli, error.code, "%s ('gallocctl help %s')", error.message, command->name);
    take_globals(cli);
    if (args_has(&cli->args, "version"))
        return command_version(cli, 0, NULL);
    if (args_has(&cli->args, "help")) {
        help_print(command);
        return EXIT_WELL;
    }
    return run_command(cli, command);
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8"); /* widths of text that is always UTF-8 */
    setlocale(LC_NUMERIC, "C");
    curl_global_init(CURL_GLOBAL_NOTHING); /* no TLS: the socket is local */
    struct cli cli = {.is_stdout_terminal = isatty(STDOUT_FILENO), .is_stderr_terminal = isatty(STDERR_FILENO)};
    int status = read_and_run(&cli, argc, argv);
    int output = out_finish(&cli);
    args_clear(&cli.args);
    curl_global_cleanup();
    interrupt_die();
    return status != EXIT_WELL ? status : output;
}
