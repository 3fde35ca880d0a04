/* See command.h. Every option that gallocctl knows is a row here. */
#include "cli/command.h"

#include <string.h>

const struct option_row global_options[] = {
    {"socket", 'S', OPTION_FILE, "PATH", "the daemon's socket (else $GALLOC_SOCKET, else yours, else the system's)", NULL, 0, 0},
    {"json", 0, OPTION_FLAG, NULL, "the API's object as it is; short for --format json", NULL, 0, 0},
    {"format", 0, OPTION_CHOICE, "FORMAT", "table, json, ndjson or csv", "table|json|ndjson|csv", 0, 0},
    {"quiet", 'q', OPTION_FLAG, NULL, "only data, only errors", NULL, 0, 0},
    {"verbose", 'v', OPTION_FLAG, NULL, "tell every request to the daemon on stderr", NULL, 0, 0},
    {"yes", 'y', OPTION_FLAG, NULL, "yes to every question", NULL, 0, 0},
    {"no-input", 0, OPTION_FLAG, NULL, "never ask", NULL, 0, 0},
    {"color", 0, OPTION_CHOICE, "WHEN", "auto, always or never", "auto|always|never", 0, 0},
    {"timeout", 0, OPTION_DURATION, "DUR", "give up after this, exit 8 (30s, 5m, 2h)", NULL, 0, 0},
    {"help", 'h', OPTION_FLAG, NULL, "this help", NULL, 0, 0},
    {"version", 0, OPTION_FLAG, NULL, "the version of gallocctl", NULL, 0, 0},
    {0},
};

/* What makes up a run's plan and how its input is read: enqueue and check. */
static const struct option_row plan_options[] = {
    {"agents", 'a', OPTION_FILE, "FILE", "the agents, CSV or JSON: agent_id, capacity, load, available, attributes", NULL, 0, 0},
    {"pool", 'p', OPTION_TEXT, "POOL", "a standing pool instead of a file of agents", NULL, 0, 0},
    {"name", 0, OPTION_TEXT, "NAME", "a name for the run", NULL, 0, 0},
    {"key", 'k', OPTION_TEXT, "COLUMN", "the column of keys (else the first of lan, lan_no, key, id)", NULL, 0, 0},
    {"profile", 0, OPTION_TEXT, "PROFILE", "how the endpoint is driven; see 'gallocctl profile list'", NULL, 0, 0},
    {"endpoint", 'e', OPTION_TEXT, "ENDPOINT", "which API decides (else the daemon's default), or several in order: A,B; workers: your own, see 'gallocctl help work'", NULL, 0, 0},
    {"template", 0, OPTION_FILE, "FILE", "a prompt of your own; see 'gallocctl template show'", NULL, 0, 0},
    {"schema", 0, OPTION_FILE, "FILE", "in place of agents: the shape of the answers, as JSON Schema; --template asks the question", NULL, 0, 0},
    {"send", 0, OPTION_NAMES, "COLS", "only these columns go to the model, and the key; separated by commas", NULL, 0, 0},
    {"keep-back", 0, OPTION_NAMES, "COLS", "these columns stay here; separated by commas", NULL, 0, 0},
    {"match", 0, OPTION_LIST, "FIELD=ATTR", "only agents whose attribute is the assignment's field; may be repeated", NULL, 0, 0},
    {"max-candidates", 0, OPTION_NUMBER, "N", "so many agents a prompt, those with most free places", NULL, 1, 500},
    {"order", 0, OPTION_TEXT, "COL[:desc]", "sort by this column before sending", NULL, 0, 0},
    {"first", 0, OPTION_NUMBER, "N", "only the first N good rows", NULL, 1, 1000000000},
    {"from", 0, OPTION_CHOICE, "FORMAT", "auto, csv, ndjson or json", "auto|csv|ndjson|json", 0, 0},
    {"delimiter", 0, OPTION_TEXT, "C", "of the CSV: one character, or tab (else found out)", NULL, 0, 0},
    {"encoding", 0, OPTION_TEXT, "NAME", "utf-8, utf-16, windows-1252 … (else by the file's mark, else utf-8)", NULL, 0, 0},
    {"batch-size", 0, OPTION_NUMBER, "N", "assignments a batch, for batch profiles", NULL, 1, 1000},
    {"delay", 0, OPTION_DURATION, "DUR", "between batches, for batch profiles", NULL, 0, 0},
    {"max-retries", 0, OPTION_NUMBER, "N", "tries after the first, spent by failures that are the assignment's own", NULL, 0, 20},
    {"pack", 0, OPTION_TEXT, "N|auto", "so many assignments in one request (1 is usual), or as many as go well", NULL, 0, 0},
    {"priority", 0, OPTION_NUMBER, "N", "higher goes first, 0 is usual", NULL, -100, 100},
    {"max-age", 0, OPTION_DURATION, "DUR", "what has waited longer is not sent any more", NULL, 0, 0},
    {"max-cost", 0, OPTION_TEXT, "AMOUNT", "at most so much is spent, such as 12.50 or '12.50 USD'; then the run pauses (budget)", NULL, 0, 0},
    {"tier", 0, OPTION_CHOICE, "TIER", "flex: cheaper, slower calls, refused first when there is little room; standard (usual)", "standard|flex", 0, 0},
    {"on-duplicate", 0, OPTION_CHOICE, "WHAT", "a key that came before: skip (usual), error or replace", "skip|error|replace", 0, 0},
    {"rejects", 0, OPTION_FILE, "FILE", "bad rows go there (else FILE.rejects.csv)", NULL, 0, 0},
    {"strict", 0, OPTION_FLAG, NULL, "any bad row: nothing is enqueued, exit 7", NULL, 0, 0},
    {"again", 0, OPTION_FLAG, NULL, "although the same input was enqueued before", NULL, 0, 0},
    {"paused", 0, OPTION_FLAG, NULL, "begin paused", NULL, 0, 0},
    {"ab", 0, OPTION_NAMES, "PROFILE,PROFILE", "two runs of the same file, each on a copy of the loads, to be compared", NULL, 0, 0},
    {"sample", 0, OPTION_NUMBER, "N", "with --ab: only N of the keys, the same in both", NULL, 1, 1000000},
    {"seed", 0, OPTION_NUMBER, "N", "with --sample: another number, other keys (1)", NULL, 0, INT64_MAX},
    {"canary", 0, OPTION_CHOICE, "WHEN", "the first 20 go slowly and are looked at before the rest: auto (over 1,000), on or off", "auto|on|off", 0, 0},
    {"workers-too", 0, OPTION_FLAG, NULL, "outside workers may lease from it, beside the endpoint", NULL, 0, 0},
    {"show-prompt", 0, OPTION_COUNT_OPTIONAL, "N", "check: the prompts of the first N as they would be sent (1)", NULL, 1, 20},
    {0},
};
static const struct option_row enqueue_options[] = {
    {"open", 0, OPTION_FLAG, NULL, "the run stays open: more may come until 'gallocctl close'; from standard input rows are taken as they come", NULL, 0, 0},
    {"append", 0, OPTION_TEXT, "RUN", "add to this run, which runs or is done, instead of making one", NULL, 0, 0},
    {"follow", 'f', OPTION_FLAG, NULL, "then follow it as a log", NULL, 0, 0},
    {"wait", 'w', OPTION_FLAG, NULL, "then wait for its end and give its outcome as exit status", NULL, 0, 0},
    {"dry-run", 'n', OPTION_FLAG, NULL, "the same as check: send nothing", NULL, 0, 0},
    {0},
};
static const struct option_row selector_options[] = {
    {"state", 0, OPTION_NAMES, "STATES", "pending, leased, succeeded (allocated), failed, cancelled", NULL, 0, 0},
    {"error", 0, OPTION_NAMES, "CODES", "failed with one of these codes", NULL, 0, 0},
    {"agent", 0, OPTION_LIST, "AGENT", "allocated to this agent; may be repeated", NULL, 0, 0},
    {"key", 0, OPTION_LIST, "KEY", "this assignment; may be repeated", NULL, 0, 0},
    {"where", 0, OPTION_LIST, "FIELD=VALUE", "whose field is this; may be repeated, all must hold", NULL, 0, 0},
    {0},
};
static const struct option_row all_options[] = {
    {"all", 0, OPTION_FLAG, NULL, "everything; it is never meant by leaving out", NULL, 0, 0},
    {0},
};
static const struct option_row reason_options[] = {
    {"reason", 0, OPTION_TEXT, "TEXT", "why; the audit log keeps it", NULL, 0, 0},
    {0},
};
static const struct option_row assign_options[] = {
    {"over-capacity", 0, OPTION_FLAG, NULL, "also to an agent who is full or away", NULL, 0, 0},
    {0},
};
static const struct option_row purge_options[] = {
    {"older-than", 0, OPTION_DURATION, "DUR", "every run that ended so long ago (90d)", NULL, 0, 0},
    {"release", 0, OPTION_FLAG, NULL, "give their places in standing pools back; else they stay taken", NULL, 0, 0},
    {"dry-run", 'n', OPTION_FLAG, NULL, "only tell which runs would go", NULL, 0, 0},
    {0},
};
static const struct option_row list_options[] = {
    {"limit", 'n', OPTION_NUMBER, "N", "so many rows at most (100)", NULL, 1, 100000000},
    {0},
};
static const struct option_row runs_options[] = {
    {"state", 0, OPTION_NAMES, "STATES", "importing, running, paused, done, cancelled", NULL, 0, 0},
    {"since", 0, OPTION_SINCE, "T", "created since a time or for a duration (2026-12-01, 7d)", NULL, 0, 0},
    {"limit", 'n', OPTION_NUMBER, "N", "so many rows at most (20)", NULL, 1, 1000000},
    {0},
};
static const struct option_row show_options[] = {
    {"prompt", 0, OPTION_FLAG, NULL, "also the prompt as it would be sent now", NULL, 0, 0},
    {0},
};
static const struct option_row attempts_options[] = {
    {"raw", 0, OPTION_FLAG, NULL, "the answers as they came; not to a terminal", NULL, 0, 0},
    {0},
};
static const struct option_row events_options[] = {
    {"follow", 'f', OPTION_FLAG, NULL, "go on with what comes", NULL, 0, 0},
    {"since", 0, OPTION_NUMBER, "SEQ", "events after this number", NULL, 0, INT64_MAX},
    {"run", 0, OPTION_TEXT, "RUN", "only of this run", NULL, 0, 0},
    {"assignments", 0, OPTION_FLAG, NULL, "also each assignment's and attempt's events", NULL, 0, 0},
    {0},
};
static const struct option_row results_options[] = {
    {"format", 0, OPTION_CHOICE, "FORMAT", "csv (usual), ndjson, json or xlsx; else by the name of -o", "csv|ndjson|json|xlsx", 0, 0},
    {"output", 'o', OPTION_FILE, "FILE", "into this file, which is there whole or not at all; -y replaces one that is there. With --split a folder", NULL, 0, 0},
    {"state", 0, OPTION_NAMES, "STATES", "only these (else all that ended)", NULL, 0, 0},
    {"with-input", 0, OPTION_FLAG, NULL, "the input's columns beside the decision", NULL, 0, 0},
    {"only-input", 0, OPTION_FLAG, NULL, "the input alone, to be enqueued again", NULL, 0, 0},
    {"with-agent", 0, OPTION_FLAG, NULL, "the agent's attributes beside the decision", NULL, 0, 0},
    {"split", 0, OPTION_TEXT, "agent_id", "a file for each agent, in the folder of -o", NULL, 0, 0},
    {"excel-safe", 0, OPTION_FLAG, NULL, "guard your own cells against formulas too", NULL, 0, 0},
    {0},
};
static const struct option_row loads_options[] = {
    {"pool", 'p', OPTION_TEXT, "POOL", "of a standing pool instead of a run", NULL, 0, 0},
    {0},
};
static const struct option_row compare_options[] = {
    {"truth", 0, OPTION_TEXT, "COLUMN", "the column of the input with the right agent: also how often either is right", NULL, 0, 0},
    {"only", 0, OPTION_CHOICE, "WHAT", "diff: the keys that differ, with both agents and reasons", "diff", 0, 0},
    {"stats", 0, OPTION_FLAG, NULL, "more figures, every move, and how it is reckoned", NULL, 0, 0},
    {0},
};
static const struct option_row template_options[] = {
    {"schema", 0, OPTION_FILE, "FILE", "check: the template asks a question, and this is the shape of its answers", NULL, 0, 0},
    {0},
};
static const struct option_row endpoint_options[] = {
    {"for", 0, OPTION_DURATION, "DUR", "set: only for so long", NULL, 0, 0},
    {0},
};
static const struct option_row work_options[] = {
    {"run", 0, OPTION_TEXT, "RUN", "only of this run (else of any on the endpoint workers)", NULL, 0, 0},
    {"batch", 'b', OPTION_NUMBER, "N", "assignments a batch, at most (10)", NULL, 1, 1000},
    {"parallel", 'p', OPTION_NUMBER, "N", "batches side by side, each with a CMD of its own (1)", NULL, 1, 64},
    {"once", 0, OPTION_FLAG, NULL, "end when there is nothing to do, instead of waiting for more", NULL, 0, 0},
    {"ttl", 0, OPTION_DURATION, "DUR", "a lease is over when it was not renewed for so long (30s); renewing is automatic", NULL, 0, 0},
    {"worker", 0, OPTION_TEXT, "NAME", "the worker's name for people (else host:pid)", NULL, 0, 0},
    {"command-timeout", 0, OPTION_DURATION, "DUR", "stop a CMD that takes longer (else it may take its time)", NULL, 0, 0},
    {0},
};
static const struct option_row notify_options[] = {
    {"on", 0, OPTION_NAMES, "WHAT", "done, paused, failed, waiting, separated by commas (all)", NULL, 0, 0},
    {"cursor", 0, OPTION_FILE, "FILE", "what was told is kept there, so that a restart goes on where it was", NULL, 0, 0},
    {"patience", 0, OPTION_DURATION, "DUR", "waiting is told once it has lasted so long (1m)", NULL, 0, 0},
    {"command-timeout", 0, OPTION_DURATION, "DUR", "stop a CMD that takes longer, and try again (5m)", NULL, 0, 0},
    {0},
};
static const struct option_row health_options[] = {
    {"ready", 0, OPTION_FLAG, NULL, "whether work can be taken in, not only whether the daemon lives", NULL, 0, 0},
    {0},
};
static const struct option_row doctor_options[] = {
    {"full", 0, OPTION_FLAG, NULL, "the slow checks too: every page and every digest", NULL, 0, 0},
    {0},
};
static const struct option_row backup_options[] = {
    {"verify", 0, OPTION_FLAG, NULL, "check every page, counter and digest of the copy, not only that it opens", NULL, 0, 0},
    {0},
};
static const struct option_row drain_options[] = {
    {"wait", 'w', OPTION_FLAG, NULL, "until nothing is in flight", NULL, 0, 0},
    {0},
};
static const struct option_row audit_options[] = {
    {"run", 0, OPTION_TEXT, "RUN", "only of this run", NULL, 0, 0},
    {"since", 0, OPTION_SINCE, "T", "since a time or for a duration (2026-12-01, 7d)", NULL, 0, 0},
    {"limit", 'n', OPTION_NUMBER, "N", "so many rows at most (100)", NULL, 1, 1000000},
    {0},
};
static const struct option_row help_options[] = {
    {"all", 0, OPTION_FLAG, NULL, "every command with its options", NULL, 0, 0},
    {0},
};
static const struct option_row api_options[] = {
    {"data", 'd', OPTION_TEXT, "DATA", "the request's body; @FILE or @- reads it", NULL, 0, 0},
    {"content-type", 0, OPTION_TEXT, "TYPE", "of the body (application/json)", NULL, 0, 0},
    {0},
};

const struct command commands[] = {
    {"enqueue", "Work in", "FILE|-", "read assignments, make a run of them and start it", {plan_options, enqueue_options}, NULL, 1, 1, command_enqueue, "file",
     "gallocctl enqueue loans.csv --agents officers.csv --match region=region --name november", NULL},
    {"check", "Work in", "FILE|-", "tell what enqueue would do: what is sent, what stays, calls, cost, time", {plan_options}, NULL, 1, 1, command_check, "file",
     "gallocctl check loans.csv --agents officers.csv --show-prompt", NULL},
    {"status", "Look", "[RUN...]", "the daemon, its endpoints and runs; or when a run ends and what it costs", {0}, NULL, 0, -1, command_status, "run",
     "gallocctl status @last", NULL},
    {"runs", "Look", "", "list runs, the newest first", {runs_options}, NULL, 0, 0, command_runs, NULL,
     "gallocctl runs --state running,paused --since 7d", NULL},
    {"watch", "Look", "[RUN]", "a progress bar until the run ends", {0}, NULL, 0, 1, command_watch, "run",
     "gallocctl watch", NULL},
    {"follow", "Look", "RUN", "the run as a log, a line an assignment and retry", {0}, NULL, 1, 1, command_follow, "run",
     "gallocctl follow @last", NULL},
    {"wait", "Look", "RUN...", "wait for the end of runs, for scripts", {0}, NULL, 1, -1, command_wait, "run",
     "gallocctl --timeout 2h wait @last && gallocctl results @last -o results.csv", NULL},
    {"list", "Look", "RUN", "list a run's assignments", {selector_options, list_options}, NULL, 1, 1, command_list, "run",
     "gallocctl list @last --state failed", NULL},
    {"show", "Look", "RUN KEY", "one assignment with its fields and decision", {show_options}, NULL, 2, 2, command_show, "run",
     "gallocctl show @last LAN01756492 --prompt", NULL},
    {"attempts", "Look", "RUN KEY", "every try: when, where, time, status, tokens, cost, verdict", {attempts_options}, NULL, 2, 2, command_attempts, "run",
     "gallocctl attempts @last LAN01756492", NULL},
    {"failures", "Look", "[RUN]", "what failed, by cause, with the command that retries it", {0}, NULL, 0, 1, command_failures, "run",
     "gallocctl failures @last", NULL},
    {"events", "Look", "", "what happens, as NDJSON", {events_options}, NULL, 0, 0, command_events, NULL,
     "gallocctl events --follow --run @last", NULL},
    {"results", "Work out", "RUN", "the decisions, in the order of the input (or of --order)", {results_options}, NULL, 1, 1, command_results, "run",
     "gallocctl results @last -o allocations.xlsx", NULL},
    {"loads", "Work out", "[RUN]", "places taken and left per agent", {loads_options}, NULL, 0, 1, command_loads, "run",
     "gallocctl loads @last", NULL},
    {"compare", "Work out", "RUN_A RUN_B", "two runs on the same keys: agreement, moves, loads, time, cost", {compare_options}, NULL, 2, 2, command_compare, "run",
     "gallocctl compare october-a october-b --stats\ngallocctl compare october-a october-b --only diff --format csv > differ.csv", NULL},
    {"pause", "Change", "RUN|--all", "send nothing more for now", {all_options}, NULL, 0, 1, command_pause, "run",
     "gallocctl pause --all", NULL},
    {"resume", "Change", "RUN|--all", "go on after a pause", {all_options}, NULL, 0, 1, command_resume, "run",
     "gallocctl resume @last", NULL},
    {"close", "Change", "RUN", "no more comes: an open run ends when all is decided", {0}, NULL, 1, 1, command_close, "run",
     "gallocctl close @last", NULL},
    {"cancel", "Change", "RUN SELECTOR|--all", "cancel assignments, or the whole run", {selector_options, all_options, reason_options}, NULL, 1, 1, command_cancel, "run",
     "gallocctl cancel @last --where region=north", NULL},
    {"retry", "Change", "RUN SELECTOR|--all", "try failed and cancelled assignments again", {selector_options, all_options, reason_options}, NULL, 1, 1, command_retry, "run",
     "gallocctl retry @last --error no_capacity", NULL},
    {"redo", "Change", "RUN SELECTOR|--all", "have allocated assignments decided again; their places are free", {selector_options, all_options, reason_options}, NULL, 1, 1,
     command_redo, "run", "gallocctl redo @last --agent FO-07 --reason \"on leave until May\"", NULL},
    {"discard", "Change", "RUN SELECTOR|--all", "take allocations back for good; their places are free", {selector_options, all_options, reason_options}, NULL, 1, 1,
     command_discard, "run", "gallocctl discard @last --where region=north --reason \"the branch was sold\"", NULL},
    {"assign", "Change", "RUN KEY AGENT", "give one assignment to an agent yourself, whatever was decided", {reason_options, assign_options}, NULL, 3, 3, command_assign, "run",
     "gallocctl assign @last LAN01756492 FO-07 --reason \"knows the family\"", NULL},
    {"unassign", "Change", "RUN KEY", "take one allocation back; its place is free", {reason_options}, NULL, 2, 2, command_unassign, "run",
     "gallocctl unassign @last LAN01756492 --reason \"paid in full\"", NULL},
    {"purge", "Change", "RUN|--older-than DUR", "delete runs that ended, with all that is stored of them", {purge_options}, NULL, 0, 1, command_purge, "run",
     "gallocctl purge --older-than 90d", NULL},
    {"set", "Change", "RUN NAME=VALUE...", "change a run", {0}, NULL, 2, -1, command_set, "run",
     "gallocctl set @last priority=10", run_settings},
    {"pool", "Tune", "", "standing pools of agents", {0}, pool_verbs, 0, 0, NULL, "pool",
     "gallocctl pool import north officers.csv\ngallocctl enqueue loans.csv --pool north\ngallocctl pool set north FO-07 available=no until=2026-12-31", NULL},
    {"endpoint", "Tune", "", "the APIs that decide, and their limits", {endpoint_options}, endpoint_verbs, 0, 0, NULL, "endpoint",
     "gallocctl endpoint set gemini rpm=300 --for 2h\ngallocctl endpoint test gemini", NULL},
    {"profile", "Tune", "", "how endpoints are driven", {0}, profile_verbs, 0, 0, NULL, NULL,
     "gallocctl profile list", NULL},
    {"template", "Tune", "", "the prompt", {template_options}, template_verbs, 0, 0, NULL, "file",
     "gallocctl template show > my.template\ngallocctl template check my.template\ngallocctl template check question.template --schema answer.json", NULL},
    {"work", "Workers", "-- CMD...", "lease batches and let CMD decide them: JSON in on its stdin, JSON out on its stdout", {work_options}, NULL, 1, -1, command_work,
     "file", "gallocctl enqueue loans.csv --agents officers.csv --endpoint workers\ngallocctl work --parallel 4 -- ./worker.py", NULL},
    {"notify", "Operation", "-- CMD...", "give CMD each event that matters as JSON, until it took it", {notify_options}, NULL, 1, -1, command_notify, "file",
     "gallocctl notify --on done,failed -- sh -c 'cat >> events.ndjson'", NULL},
    {"health", "Operation", "", "exit 0 when the daemon lives", {health_options}, NULL, 0, 0, command_health, NULL,
     "gallocctl health --ready && echo takes work", NULL},
    {"doctor", "Operation", "", "check the store, recount its counters", {doctor_options}, NULL, 0, 0, command_doctor, NULL,
     "gallocctl doctor --full", NULL},
    {"backup", "Operation", "FILE|-", "a copy of the daemon's database, while it works", {backup_options}, NULL, 1, 1, command_backup, "file",
     "gallocctl backup --verify galloc-$(date +%F).db", NULL},
    {"drain", "Operation", "", "no new calls and no new work; what is in flight ends", {drain_options}, NULL, 0, 0, command_drain, NULL,
     "gallocctl --timeout 5m drain --wait", NULL},
    {"undrain", "Operation", "", "calls go out again", {0}, NULL, 0, 0, command_undrain, NULL,
     "gallocctl undrain", NULL},
    {"reload", "Operation", "", "read the configuration again", {0}, NULL, 0, 0, command_reload, NULL,
     "gallocctl reload", NULL},
    {"audit", "Operation", "", "who did what", {audit_options}, NULL, 0, 0, command_audit, NULL,
     "gallocctl audit --since 1d", NULL},
    {"api", "Operation", "METHOD PATH", "one request to the daemon's API as it is", {api_options}, NULL, 2, 2, command_api, NULL,
     "gallocctl api GET '/v1/runs?limit=3'", NULL},
    {"version", "Operation", "", "versions of gallocctl and of the daemon", {0}, NULL, 0, 0, command_version, NULL,
     "gallocctl version", NULL},
    {"completion", "Operation", "bash|zsh|fish", "a completion script for your shell", {0}, NULL, 1, 1, command_completion, "shell",
     "gallocctl completion bash > ~/.local/share/bash-completion/completions/gallocctl", NULL},
    {"help", "Operation", "[COMMAND]", "help, of a command", {help_options}, NULL, 0, 1, command_help, "command",
     "gallocctl help enqueue", NULL},
    {0},
};

const struct command *command_find(const char *name)
{
    for (const struct command *command = commands; command->name != NULL; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

const struct verb *verb_find(const struct command *command, const char *name)
{
    for (const struct verb *verb = command->verbs; verb != NULL && verb->name != NULL; verb++)
        if (strcmp(verb->name, name) == 0)
            return verb;
    return NULL;
}

void command_options(const struct command *command, const struct option_row *ret_sets[OPTION_SETS_MAX])
{
    size_t count = 0;
    for (size_t s = 0; command != NULL && s < OPTION_SETS_MAX - 1 && command->options[s] != NULL; s++)
        ret_sets[count++] = command->options[s];
    ret_sets[count++] = global_options;
    if (count < OPTION_SETS_MAX)
        ret_sets[count] = NULL;
}
