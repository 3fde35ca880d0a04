/* The command table: one row a command. The parser, the help, the completions and the check of the manual all walk it. */
#ifndef GALLOC_CLI_COMMAND_H
#define GALLOC_CLI_COMMAND_H

#include "cli/cli.h"
#include "cli/setting.h"

/* A verb of a command such as `pool set`. It is called with the words after it. */
struct verb {
    const char *name;
    const char *arguments; /* for the usage line */
    const char *help;
    int least, most; /* words; most -1: any number */
    int (*run)(struct cli *cli, int count, char **words);
    const struct setting_row *settings; /* what its NAME=VALUE words may name; NULL: it takes none */
    bool unsets;                        /* its words name them only */
};

struct command {
    const char *name;
    const char *group; /* heading in the help */
    const char *arguments;
    const char *help;
    const struct option_row *options[OPTION_SETS_MAX - 1]; /* sets of its own, before the global one; NULL after the last */
    const struct verb *verbs;                              /* ends with a row without a name; NULL: none */
    int least, most;                                       /* words, for a command without verbs */
    int (*run)(struct cli *cli, int count, char **words);  /* NULL when it has verbs; gives the exit status */
    const char *completes;                                 /* what its words are: "run", "file", "pool", "endpoint", "command", "shell" or NULL */
    const char *example;                                   /* lines that work when pasted */
    const struct setting_row *settings;                    /* as a verb's; NULL: it takes none */
};

extern const struct command commands[]; /* ends with a row without a name */
extern const struct option_row global_options[];

const struct command *command_find(const char *name); /* NULL: none */
const struct verb *verb_find(const struct command *command, const char *name);
/* The option sets in effect, its own and the global one, into `ret_sets`, NULL after the last. */
void command_options(const struct command *command, const struct option_row *ret_sets[OPTION_SETS_MAX]);

/* The commands, one file each or a small family. */
int command_enqueue(struct cli *cli, int count, char **words);
int command_check(struct cli *cli, int count, char **words);
int command_status(struct cli *cli, int count, char **words);
int command_runs(struct cli *cli, int count, char **words);
int command_list(struct cli *cli, int count, char **words);
int command_show(struct cli *cli, int count, char **words);
int command_attempts(struct cli *cli, int count, char **words);
int command_failures(struct cli *cli, int count, char **words);
int command_watch(struct cli *cli, int count, char **words);
int command_follow(struct cli *cli, int count, char **words);
int command_wait(struct cli *cli, int count, char **words);
int command_events(struct cli *cli, int count, char **words);
int command_results(struct cli *cli, int count, char **words);
int command_compare(struct cli *cli, int count, char **words);
int command_loads(struct cli *cli, int count, char **words);
int command_pause(struct cli *cli, int count, char **words);
int command_resume(struct cli *cli, int count, char **words);
int command_close(struct cli *cli, int count, char **words);
int command_purge(struct cli *cli, int count, char **words);
int command_cancel(struct cli *cli, int count, char **words);
int command_retry(struct cli *cli, int count, char **words);
int command_redo(struct cli *cli, int count, char **words);
int command_discard(struct cli *cli, int count, char **words);
int command_assign(struct cli *cli, int count, char **words);
int command_unassign(struct cli *cli, int count, char **words);
int command_set(struct cli *cli, int count, char **words);
int command_work(struct cli *cli, int count, char **words);
int command_notify(struct cli *cli, int count, char **words);
int command_health(struct cli *cli, int count, char **words);
int command_doctor(struct cli *cli, int count, char **words);
int command_backup(struct cli *cli, int count, char **words);
int command_drain(struct cli *cli, int count, char **words);
int command_undrain(struct cli *cli, int count, char **words);
int command_reload(struct cli *cli, int count, char **words);
int command_audit(struct cli *cli, int count, char **words);
int command_api(struct cli *cli, int count, char **words);
int command_version(struct cli *cli, int count, char **words);
int command_help(struct cli *cli, int count, char **words);
int command_completion(struct cli *cli, int count, char **words);
extern const struct setting_row run_settings[];
extern const struct verb pool_verbs[], endpoint_verbs[], profile_verbs[], template_verbs[];

/* `gallocctl help` with or without a command. */
void help_print(const struct command *command);

#endif
