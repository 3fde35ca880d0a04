/* gallocctl completion: scripts for bash, zsh and fish, made from the command table. Runs are completed by asking `gallocctl runs -q`. */
#include "base/text.h"
#include "cli/command.h"
#include "cli/out.h"

#include <stdio.h>
#include <string.h>

static void print_option_words(const struct option_row *row, size_t set, void *arg)
{
    (void)set;
    (void)arg;
    printf(" --%s", row->name);
    if (row->letter != 0)
        printf(" -%c", row->letter);
}

static void print_words(const char *bars)
{
    for (const char *at = bars; *at != '\0'; at++)
        putchar(*at == '|' ? ' ' : *at);
}

/* The values of choice and file options, as cases on the word before. */
struct cases {
    const struct option_row *seen[OPTION_ROWS_MAX];
    size_t count;
};

static void print_bash_case(const struct option_row *row, size_t set, void *arg)
{
    struct cases *cases = arg;
    (void)set;
    if (row->type != OPTION_CHOICE && row->type != OPTION_FILE)
        return;
    for (size_t i = 0; i < cases->count; i++)
        if (strcmp(cases->seen[i]->name, row->name) == 0)
            return;
    if (cases->count < OPTION_ROWS_MAX)
        cases->seen[cases->count++] = row;
    printf("    --%s", row->name);
    if (row->letter != 0 && row->type == OPTION_FILE)
        printf("|-%c", row->letter);
    if (row->type == OPTION_FILE) {
        printf(") compopt -o default; COMPREPLY=(); return;;\n");
    } else {
        printf(") COMPREPLY=($(compgen -W \"");
        print_words(row->choices);
        printf("\" -- \"$word\")); return;;\n");
    }
}

static void print_names(void)
{
    for (const struct command *command = commands; command->name != NULL; command++)
        printf("%s%s", command == commands ? "" : " ", command->name);
}

static void print_verbs(const struct command *command)
{
    for (const struct verb *verb = command->verbs; verb->name != NULL; verb++)
        printf("%s%s", verb == command->verbs ? "" : " ", verb->name);
}

/* The words of settings: "rpm=", or for a verb that unsets "rpm". */
static void print_setting_words(const struct setting_row *rows, bool unsets)
{
    bool is_first = true;
    for (const struct setting_row *row = rows; row != NULL && row->name != NULL; row++) {
        if (unsets ? row->group != NULL : row->type == SETTING_WHOLE)
            continue;
        printf("%s%s%s", is_first ? "" : " ", row->name, unsets ? "" : "=");
        is_first = false;
    }
}

/* How a command's words are completed, as a list of candidates in shell. */
static void print_candidates(const struct command *command)
{
    const char *what = command->completes ? command->completes : "";
    if (command->verbs != NULL)
        print_verbs(command);
    else if (strcmp(what, "run") == 0)
        printf("@last $(gallocctl -q runs --limit 50 2>/dev/null)");
    else if (strcmp(what, "shell") == 0)
        printf("bash zsh fish");
    else if (strcmp(what, "command") == 0)
        print_names();
    if (command->settings != NULL)
        printf(" ");
    print_setting_words(command->settings, false);
}

/* After a verb that takes settings, they alone are the words. */
static void print_bash_settings(const struct command *command)
{
    for (const struct verb *verb = command->verbs; verb != NULL && verb->name != NULL; verb++) {
        if (verb->settings == NULL)
            continue;
        printf("\n    [[ \" ${COMP_WORDS[*]} \" != *\" %s %s \"* ]] || words=\"", command->name, verb->name);
        print_setting_words(verb->settings, verb->unsets);
        printf("\"");
    }
}

static void print_bash(void)
{
    struct cases cases = {.count = 0};
    printf("# bash completion for gallocctl; put it into /usr/share/bash-completion/completions/gallocctl\n"
           "_gallocctl()\n{\n"
           "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= i\n"
           "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
           "    case ${COMP_WORDS[i]} in\n"
           "    -S|--socket|--format|--color|--timeout) ((i++));;\n"
           "    -*) ;;\n"
           "    *) command=${COMP_WORDS[i]}; break;;\n"
           "    esac\n"
           "  done\n"
           "  case $before in\n");
    option_each((const struct option_row *const[OPTION_SETS_MAX]){global_options}, print_bash_case, &cases);
    for (const struct command *command = commands; command->name != NULL; command++) {
        const struct option_row *sets[OPTION_SETS_MAX];
        command_options(command, sets);
        option_each(sets, print_bash_case, &cases);
    }
    printf("  esac\n  local options= words=\n  case $command in\n");
    for (const struct command *command = commands; command->name != NULL; command++) {
        const struct option_row *sets[OPTION_SETS_MAX];
        command_options(command, sets);
        printf("  %s) options=\"", command->name);
        option_each(sets, print_option_words, NULL);
        printf("\"; [[ $word == -* ]] || words=\"");
        print_candidates(command);
        printf("\"");
        print_bash_settings(command);
        printf(";;\n");
    }
    printf("  '') options=\"");
    option_each((const struct option_row *const[OPTION_SETS_MAX]){global_options}, print_option_words, NULL);
    printf("\"; words=\"");
    print_names();
    printf("\";;\n  esac\n"
           "  if [[ $word == -* ]]; then\n    COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
           "  elif [[ -n $words ]]; then\n    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n    [[ ${COMPREPLY[0]} != *= ]] || compopt -o nospace\n"
           "  else\n    compopt -o default; COMPREPLY=()\n  fi\n"
           "}\ncomplete -F _gallocctl gallocctl\n");
}

/* Text within single quotes of zsh and fish. */
static void print_quoted(const char *text, bool is_zsh_description)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\'')
            fputs("'\\''", stdout);
        else if (is_zsh_description && strchr("[]:", *at) != NULL)
            printf("\\%c", *at);
        else
            putchar(*at);
    }
}

static void print_zsh_option(const struct option_row *row, size_t set, void *arg)
{
    (void)set;
    (void)arg;
    bool is_repeated = row->type == OPTION_LIST || row->type == OPTION_NAMES;
    for (int is_letter = 0; is_letter <= (row->letter != 0); is_letter++) {
        if (is_letter)
            printf(" \\\n      '%s-%c[", is_repeated ? "*" : "", row->letter);
        else
            printf(" \\\n      '%s--%s[", is_repeated ? "*" : "", row->name);
        print_quoted(row->help, true);
        printf("]");
        if (row->type == OPTION_CHOICE) {
            printf(":%s:(", row->argument);
            print_words(row->choices);
            printf(")");
        } else if (row->type == OPTION_FILE) {
            printf(":%s:_files", row->argument);
        } else if (row->type != OPTION_FLAG && row->type != OPTION_COUNT_OPTIONAL) {
            printf(":");
            print_quoted(row->argument, true);
            printf(": ");
        }
        printf("'");
    }
}

/* Cases on the verb. */
static void print_zsh_settings(const struct command *command)
{
    for (const struct verb *verb = command->verbs; verb->name != NULL; verb++) {
        if (verb->settings == NULL)
            continue;
        printf("%s) compadd %s-- ", verb->name, verb->unsets ? "" : "-S \"\" ");
        print_setting_words(verb->settings, verb->unsets);
        printf(";; ");
    }
}

static void print_zsh(void)
{
    printf("#compdef gallocctl\n# zsh completion for gallocctl; put it as _gallocctl into a folder of $fpath\n"
           "_gallocctl_runs() { compadd -- @last ${(f)\"$(gallocctl -q runs --limit 50 2>/dev/null)\"} }\n"
           "_gallocctl()\n{\n  local -a commands\n  commands=(\n");
    for (const struct command *command = commands; command->name != NULL; command++) {
        printf("    '%s:", command->name);
        print_quoted(command->help, false);
        printf("'\n");
    }
    printf("  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n  case $words[2] in\n");
    for (const struct command *command = commands; command->name != NULL; command++) {
        const struct option_row *sets[OPTION_SETS_MAX];
        const char *what = command->completes ? command->completes : "";
        command_options(command, sets);
        printf("  %s)\n    shift words; (( CURRENT-- ))\n    _arguments -s", command->name);
        option_each(sets, print_zsh_option, NULL);
        if (command->verbs != NULL) {
            printf(" \\\n      '1:verb:(");
            print_verbs(command);
            printf(")' '*: :{case $words[2] in ");
            print_zsh_settings(command);
            printf("*) _files;; esac}'");
        } else if (strcmp(what, "run") == 0) {
            printf(" \\\n      '*:run:_gallocctl_runs'");
        } else if (strcmp(what, "shell") == 0) {
            printf(" \\\n      '1:shell:(bash zsh fish)'");
        } else if (strcmp(what, "command") == 0) {
            printf(" \\\n      '1:command:(");
            print_names();
            printf(")'");
        } else if (strcmp(what, "file") == 0) {
            printf(" \\\n      '*:file:_files'");
        }
        printf(";;\n");
    }
    printf("  esac\n}\n_gallocctl \"$@\"\n");
}

static void print_fish_option(const struct option_row *row, size_t set, void *arg)
{
    const struct command *command = arg;
    (void)set;
    bool is_global = command == NULL;
    if (!is_global && option_find((const struct option_row *const[OPTION_SETS_MAX]){global_options}, row->name) == row)
        return;
    printf("complete -c gallocctl");
    if (!is_global)
        printf(" -n '__fish_seen_subcommand_from %s'", command->name);
    printf(" -l %s", row->name);
    if (row->letter != 0)
        printf(" -s %c", row->letter);
    if (row->type == OPTION_CHOICE) {
        printf(" -x -a '");
        print_words(row->choices);
        printf("'");
    } else if (row->type == OPTION_FILE) {
        printf(" -r -F");
    } else if (row->type != OPTION_FLAG && row->type != OPTION_COUNT_OPTIONAL) {
        printf(" -x");
    }
    printf(" -d '");
    print_quoted(row->help, false);
    printf("'\n");
}

static void print_fish_settings(const struct command *command)
{
    for (const struct verb *verb = command->verbs; verb != NULL && verb->name != NULL; verb++) {
        if (verb->settings == NULL)
            continue;
        printf("complete -c gallocctl -n '__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from %s' -f -a '", command->name, verb->name);
        print_setting_words(verb->settings, verb->unsets);
        printf("'\n");
    }
}

static void print_fish(void)
{
    printf("# fish completion for gallocctl; put it into ~/.config/fish/completions/gallocctl.fish\n");
    option_each((const struct option_row *const[OPTION_SETS_MAX]){global_options}, print_fish_option, NULL);
    for (const struct command *command = commands; command->name != NULL; command++) {
        const struct option_row *sets[OPTION_SETS_MAX];
        const char *what = command->completes ? command->completes : "";
        command_options(command, sets);
        printf("complete -c gallocctl -n __fish_use_subcommand -f -a %s -d '", command->name);
        print_quoted(command->help, false);
        printf("'\n");
        option_each(sets, print_fish_option, (void *)(uintptr_t)command);
        if (command->verbs != NULL || (*what != '\0' && strcmp(what, "file") != 0)) {
            printf("complete -c gallocctl -n '__fish_seen_subcommand_from %s' -f -a '", command->name);
            if (command->verbs == NULL && strcmp(what, "run") == 0)
                printf("@last (gallocctl -q runs --limit 50 2>/dev/null)");
            else
                print_candidates(command);
            printf("'\n");
        }
        print_fish_settings(command);
    }
}

int command_completion(struct cli *cli, int count, char **words)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    (void)count;
    for (size_t i = 0; i < ARRAY_COUNT(shells); i++) {
        if (strcmp(shells[i].name, words[0]) == 0) {
            shells[i].print();
            return EXIT_WELL;
        }
    }
    return say_failure(cli, GALLOC_USAGE, "no completion for \"%s\"; there is bash, zsh and fish", words[0]);
}
