/* What every command gets: the command line, the way to the daemon, the way to print. One thread throughout. */
#ifndef GALLOC_CLI_CLI_H
#define GALLOC_CLI_CLI_H

#include "base/buf.h"
#include "base/json.h"
#include "cli/client.h"
#include "cli/option.h"

enum out_format { FORMAT_TABLE, FORMAT_JSON, FORMAT_NDJSON, FORMAT_CSV, FORMAT_XLSX };

enum exit_status {
    EXIT_WELL = 0,
    EXIT_BAD_OUTCOME = 1,
    EXIT_USAGE = 2,
    EXIT_UNREACHABLE = 3,
    EXIT_NOT_FOUND = 4,
    EXIT_NOT_PERMITTED = 5,
    EXIT_CONFLICT = 6,
    EXIT_REJECTED = 7,
    EXIT_STILL_GOING = 8,
    EXIT_PAUSED = 9,
    EXIT_CANCELLED = 10,
    EXIT_MACHINE = 11
};

struct cli {
    struct args args;
    struct client *client; /* owned */
    enum out_format format;
    bool is_quiet, is_verbose, is_yes, is_no_input;
    bool is_stdout_terminal, is_stderr_terminal;
    bool has_color; /* on stdout and stderr */
};

/* Messages for people, on stderr. Every string is escaped for the terminal; a line each. say() is silent under -q. */
void say(const struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);
void say_always(const struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Prints "gallocctl: message" and gives the exit status of its code. */
int say_error(const struct cli *cli, const struct galloc_error *error);

/* The same with a message made here; code is an enum galloc_code. */
int say_failure(const struct cli *cli, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* A yes from the person at the terminal; true at once under -y; false (and a word why) where nobody can be asked. */
bool ask_yes(const struct cli *cli, const char *question);

/* May `path` be written? A file that is there may be work of hours: it is replaced with a yes alone. */
bool ask_replace(const struct cli *cli, const char *path);

/* The exit status of a code, as gallocctl has it. */
int exit_status_of(int code);

#endif
