/* See options.h. */
#include "options.h"

#include "base/text.h"

#include <getopt.h>
#include <string.h>

enum option_key { KEY_SOCKET = 256, KEY_WORKER_SOCKET, KEY_STATE_DIR, KEY_CHECK_CONFIG, KEY_RESTORE, KEY_PRINT_SETTINGS, KEY_PRINT_ROUTES, KEY_VERSION };

static const struct option_row {
    int key; /* its letter where it has one */
    const char *name, *argument, *help;
} rows[] = {
    {'c', "config", "FILE", "read the configuration from FILE"},
    {KEY_SOCKET, "socket", "PATH", "where the operators' socket is"},
    {KEY_WORKER_SOCKET, "worker-socket", "PATH", "where the outside workers' socket is (else there is none)"},
    {KEY_STATE_DIR, "state-dir", "DIR", "the folder of the database"},
    {KEY_CHECK_CONFIG, "check-config", NULL, "read the configuration, say what is wrong with it, and exit"},
    {KEY_RESTORE, "restore", "FILE", "put a backup in place of the database, while no daemon runs, and exit"},
    {KEY_PRINT_SETTINGS, "print-settings", NULL, "print the table of settings"},
    {KEY_PRINT_ROUTES, "print-routes", NULL, "print the routes of the API"},
    {'v', "verbose", NULL, "log more; twice: everything"},
    {'q', "quiet", NULL, "log warnings and errors alone"},
    {KEY_VERSION, "version", NULL, "print the version"},
    {'h', "help", NULL, "print this"},
};

static bool is_letter(const struct option_row *row)
{
    return row->key < 256;
}

void options_help(struct buf *out)
{
    buf_add_str(out, "usage: gallocd [-qv] [-c FILE] [--socket PATH] [--worker-socket PATH] [--state-dir DIR]\n"
                     "       gallocd [-c FILE] --check-config\n"
                     "       gallocd [-c FILE] [--state-dir DIR] --restore FILE\n"
                     "       gallocd --print-settings | --print-routes | --version | --help\n"
                     "Has a language model allocate assignments to agents. Runs in the foreground.\n\n");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char left[64], letter[8] = "    ";
        if (is_letter(&rows[i]))
            snprintf(letter, sizeof letter, "-%c, ", rows[i].key);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, rows[i].name, rows[i].argument ? " " : "", rows[i].argument ? rows[i].argument : "");
        buf_add_fmt(out, "  %-26s %s\n", left, rows[i].help);
    }
    buf_add_str(out, "\nExit status: 0 stopped as asked, 64 wrong usage, 65 the database or backup is refused, 70 a fault of gallocd, 74 the disk failed,\n"
                     "75 another daemon holds the state directory, 78 the configuration is wrong. See gallocd(8).\n");
}

static int fail_unknown(const char *text, struct galloc_error *error)
{
    const char *names[ARRAY_COUNT(rows)], *nearest = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        names[i] = rows[i].name;
    if (strncmp(text, "--", 2) == 0) {
        char *name = xstrndup(text + 2, strcspn(text + 2, "="));
        nearest = text_nearest(name, names, ARRAY_COUNT(names));
        free(name);
    }
    return galloc_fail(error, GALLOC_D_USAGE, "unknown option or missing value: %s%s%s%s (gallocd --help)", text, nearest ? "; did you mean --" : "",
                       nearest ? nearest : "", nearest ? "?" : "");
}

static void take(struct options *options, int key, const char *value)
{
    switch (key) {
    case 'c': options->config = value; break;
    case 'v': options->verbose++; break;
    case 'q': options->quiet++; break;
    case 'h': options->action = ACTION_HELP; break;
    case KEY_SOCKET: options->socket = value; break;
    case KEY_WORKER_SOCKET: options->worker_socket = value; break;
    case KEY_STATE_DIR: options->state_dir = value; break;
    case KEY_RESTORE: options->action = ACTION_RESTORE; options->restore = value; break;
    case KEY_CHECK_CONFIG: options->action = ACTION_CHECK_CONFIG; break;
    case KEY_PRINT_SETTINGS: options->action = ACTION_PRINT_SETTINGS; break;
    case KEY_PRINT_ROUTES: options->action = ACTION_PRINT_ROUTES; break;
    case KEY_VERSION: options->action = ACTION_VERSION; break;
    default: break;
    }
}

int options_read(int argc, char **argv, struct options *ret_options, struct galloc_error *error)
{
    struct options options = {0};
    struct option table[ARRAY_COUNT(rows) + 1] = {{0}};
    struct buf letters = BUF_EMPTY;
    buf_add_char(&letters, ':');
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        table[i] = (struct option){.name = rows[i].name, .has_arg = rows[i].argument ? required_argument : no_argument, .val = rows[i].key};
        if (is_letter(&rows[i]))
            buf_add_fmt(&letters, "%c%s", rows[i].key, rows[i].argument ? ":" : "");
    }
    int rc = 0;
    optind = 1;
    for (int key; rc == 0 && (key = getopt_long(argc, argv, letters.data, table, NULL)) != -1;) {
        if (key == '?' || key == ':')
            rc = fail_unknown(argv[optind - 1], error);
        else
            take(&options, key, optarg);
    }
    if (rc == 0 && optind < argc)
        rc = galloc_fail(error, GALLOC_D_USAGE, "gallocd takes no arguments, only options: %s (gallocd --help)", argv[optind]);
    buf_clear(&letters);
    if (rc == 0)
        *ret_options = options;
    return rc;
}
