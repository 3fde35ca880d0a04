/* See cli.h: what is said on stderr. */
#include "cli/cli.h"

#include "base/text.h"
#include "cli/hint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int exit_status_of(int code)
{
    int status = galloc_code_row(code)->exit_status;
    return status > EXIT_MACHINE ? EXIT_MACHINE : status;
}

/* One escaped line with its end, in one write. */
static void print_line(const struct cli *cli, const char *prefix, const char *fmt, va_list ap)
{
    char *text = NULL;
    struct buf line = BUF_EMPTY;
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    text = hint_named(text);
    if (cli->is_stderr_terminal)
        buf_add_str(&line, "\r\033[K"); /* what a progress bar left there */
    buf_add_str(&line, prefix);
    text_escape(&line, text, strlen(text));
    buf_add_char(&line, '\n');
    fflush(stdout); /* what was printed before stands before it, also where both go into one file */
    fwrite(line.data, 1, line.len, stderr);
    fflush(stderr);
    buf_clear(&line);
    free(text);
}

void say(const struct cli *cli, const char *fmt, ...)
{
    if (cli->is_quiet)
        return;
    va_list ap;
    va_start(ap, fmt);
    print_line(cli, "", fmt, ap);
    va_end(ap);
}

void say_always(const struct cli *cli, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_line(cli, "", fmt, ap);
    va_end(ap);
}

int say_error(const struct cli *cli, const struct galloc_error *error)
{
    return say_failure(cli, error->code, "%s", error->message);
}

int say_failure(const struct cli *cli, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_line(cli, cli->has_color ? "\033[31mgallocctl:\033[0m " : "gallocctl: ", fmt, ap);
    va_end(ap);
    return exit_status_of(code);
}

bool ask_yes(const struct cli *cli, const char *question)
{
    if (cli->is_yes)
        return true;
    if (cli->is_no_input || !isatty(STDIN_FILENO) || !cli->is_stderr_terminal) {
        say_always(cli, "%s Nobody can be asked here: give -y to go on.", question);
        return false;
    }
    fprintf(stderr, "%s [y/N] ", question);
    fflush(stderr);
    char answer[16] = "";
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

bool ask_replace(const struct cli *cli, const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return true;
    char *question = xasprintf("%s is there already. Replace it?", path);
    bool is_yes = ask_yes(cli, question);
    free(question);
    return is_yes;
}
