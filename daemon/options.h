/* gallocd's command line: one table of options that parsing and --help walk. Pure but for getopt. */
#ifndef GALLOC_DAEMON_OPTIONS_H
#define GALLOC_DAEMON_OPTIONS_H

#include "base/buf.h"
#include "base/code.h"

enum options_action { ACTION_RUN, ACTION_CHECK_CONFIG, ACTION_RESTORE, ACTION_PRINT_SETTINGS, ACTION_PRINT_ROUTES, ACTION_VERSION, ACTION_HELP };

struct options {
    const char *config, *socket, *worker_socket, *state_dir; /* borrowed from argv, as the next; NULL: not given */
    const char *restore;
    enum options_action action;
    int verbose, quiet; /* how often */
};

/* 0, or -D_USAGE with what is wrong and the nearest option. */
int options_read(int argc, char **argv, struct options *ret_options, struct galloc_error *error) MUST_CHECK;
void options_help(struct buf *out);

#endif
