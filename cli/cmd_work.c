/* gallocctl work: its words, and what is said at its end. */
#include "base/json_out.h"
#include "base/text.h"
#include "cli/child.h"
#include "cli/command.h"
#include "cli/out.h"
#include "cli/socket.h"
#include "cli/work.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH_USUAL = 10 };

static void print_json(const struct cli *cli, const struct work_tally *tally)
{
    struct buf text = BUF_EMPTY;
    struct json_out out = JSON_OUT(&text);
    json_out_begin(&out, '{');
    json_out_member_int(&out, "batches", tally->batches);
    json_out_member_int(&out, "assignments", tally->assignments);
    for (size_t i = 0; i < WORK_VERDICT_COUNT; i++)
        json_out_member_int(&out, work_verdicts[i].name, tally->verdicts[i]);
    json_out_member_int(&out, "unknown", tally->unknown);
    json_out_member_int(&out, "released", tally->released);
    json_out_member_int(&out, "lost_leases", tally->lost_leases);
    json_out_member_int(&out, "command_failures", tally->command_failures);
    json_out_member_int(&out, "untold_batches", tally->untold);
    json_out_end(&out, '}');
    out_json(cli, text.data, text.len);
    buf_clear(&text);
}

/* What did not happen is left out. */
static void add_part(struct buf *line, const char **before, int64_t count, const char *words)
{
    if (count == 0)
        return;
    buf_add_str(line, *before);
    show_count(line, count);
    buf_add_fmt(line, " %s", words);
    *before = ", ";
}

/* "12 batches, 120 assignments: 118 allocated, 2 to be tried again". */
static void say_summary(const struct cli *cli, const struct work_tally *tally)
{
    struct buf line = BUF_EMPTY;
    show_count(&line, tally->batches);
    buf_add_str(&line, tally->batches == 1 ? " batch, " : " batches, ");
    show_count(&line, tally->assignments);
    buf_add_str(&line, tally->assignments == 1 ? " assignment" : " assignments");
    const char *before = ": ";
    for (size_t i = 0; i < WORK_VERDICT_COUNT; i++)
        add_part(&line, &before, tally->verdicts[i], work_verdicts[i].words);
    add_part(&line, &before, tally->unknown, "with an unknown verdict");
    add_part(&line, &before, tally->released, "given back");
    if (tally->lost_leases > 0)
        buf_add_fmt(&line, "; %s lease%s lost", text_count(tally->lost_leases).text, tally->lost_leases == 1 ? "" : "s");
    if (tally->command_failures > 0)
        buf_add_fmt(&line, "; the command failed %s time%s", text_count(tally->command_failures).text, tally->command_failures == 1 ? "" : "s");
    if (tally->untold > 0)
        buf_add_fmt(&line, "; the results of %s batch%s were not taken in", text_count(tally->untold).text, tally->untold == 1 ? "" : "es");
    say(cli, "%s", buf_text(&line));
    buf_clear(&line);
}

/* "host:pid"; the slot's number comes after it. */
static char *worker_name(void)
{
    char host[65] = "";
    if (gethostname(host, sizeof host - 1) < 0 || host[0] == '\0')
        snprintf(host, sizeof host, "localhost");
    return xasprintf("%s:%ld", host, (long)getpid());
}

int command_work(struct cli *cli, int count, char **words)
{
    if (!child_can_start(words[0]))
        return say_failure(cli, GALLOC_USAGE, "there is no program \"%s\" that could be started%s", words[0],
                           strchr(words[0], '/') == NULL ? "; one in this folder is written ./NAME" : "");
    char *socket = args_has(&cli->args, "socket") ? NULL : socket_find_worker();
    if (socket != NULL)
        client_use_socket(cli->client, socket);
    free(socket);
    char **argv = xcalloc((size_t)count + 1, sizeof *argv);
    memcpy(argv, words, (size_t)count * sizeof *argv);
    char *own_name = worker_name();
    const char *given_name = args_text(&cli->args, "worker");
    const struct work_options options = {.run = args_text(&cli->args, "run"),
                                         .worker = given_name != NULL ? given_name : own_name,
                                         .argv = argv,
                                         .batch = args_number(&cli->args, "batch", BATCH_USUAL),
                                         .parallel = args_number(&cli->args, "parallel", 1),
                                         .ttl_ms = args_number(&cli->args, "ttl", 0),
                                         .command_timeout_ms = args_number(&cli->args, "command-timeout", 0),
                                         .timeout_ms = args_number(&cli->args, "timeout", 0),
                                         .is_once = args_has(&cli->args, "once")};
    struct work_tally tally;
    int status = work_run(cli, &options, &tally);
    if (cli->format == FORMAT_JSON)
        print_json(cli, &tally);
    else if (status == EXIT_WELL || tally.batches > 0)
        say_summary(cli, &tally);
    if (status == EXIT_WELL && (tally.verdicts[WORK_FAILED] > 0 || tally.untold > 0))
        status = EXIT_BAD_OUTCOME;
    free(own_name);
    free(argv);
    return status;
}
