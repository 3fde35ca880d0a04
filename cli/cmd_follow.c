/* gallocctl watch, follow, wait and events: staying with what happens. */
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/interrupt.h"
#include "cli/out.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int command_watch(struct cli *cli, int count, char **words)
{
    char last[] = "@last", *run = last;
    return follow_runs(cli, count > 0 ? words : &run, 1, FOLLOW_BAR);
}

int command_follow(struct cli *cli, int count, char **words)
{
    return follow_runs(cli, words, (size_t)count, FOLLOW_LOG);
}

int command_wait(struct cli *cli, int count, char **words)
{
    return follow_runs(cli, words, (size_t)count, FOLLOW_SILENT);
}

/* One stream to its end or its break. *ret_seq is the number of the last event that was printed. */
static int print_events(struct cli *cli, const char *path, int64_t *ret_seq, struct galloc_error *error)
{
    struct transfer *transfer = transfer_start(cli->client, &(struct request){.method = "GET", .path = path});
    struct json_span line;
    int rc;
    while ((rc = transfer_line(transfer, 1000, &line, error)) == STREAM_LINE || rc == STREAM_NOTHING) {
        struct json_object *event = NULL;
        if (rc == STREAM_NOTHING || line.len == 0)
            continue;
        out_json(cli, line.at, line.len);
        fflush(stdout);
        if (ferror(stdout))
            break;
        if (json_parse(line.at, line.len, &event, NULL) == 0)
            *ret_seq = max_i64(*ret_seq, json_get_i64(event, "seq", 0));
        json_free(event);
    }
    transfer_drop(transfer);
    return rc == STREAM_END ? 0 : rc < 0 ? rc : -GALLOC_LOCAL_IO;
}

int command_events(struct cli *cli, int count, char **words)
{
    (void)count;
    (void)words;
    bool is_following = args_has(&cli->args, "follow");
    const char *run = args_text(&cli->args, "run");
    char *segment = run ? client_segment(run) : NULL;
    int64_t seq = args_number(&cli->args, "since", -1);
    struct galloc_error error = {0};
    int rc = 0;
    interrupt_catch();
    for (unsigned attempt = 0;; attempt++) {
        struct buf path = BUF_EMPTY;
        buf_add_fmt(&path, "/v1/events?follow=%d", is_following);
        if (seq >= 0)
            buf_add_fmt(&path, "&since=%" PRId64, seq);
        if (segment != NULL)
            buf_add_fmt(&path, "&run=%s", segment);
        if (args_has(&cli->args, "assignments"))
            buf_add_str(&path, "&assignments=1");
        int64_t before = seq;
        rc = print_events(cli, buf_text(&path), &seq, &error);
        buf_clear(&path);
        attempt = seq > before ? 0 : attempt;
        bool goes_on = is_following && (rc == 0 || (client_is_passing(rc) && client_has_spoken(cli->client)));
        if (!goes_on || ferror(stdout) || !client_pause(cli->client, attempt))
            break;
    }
    free(segment);
    if (interrupt_pending())
        return EXIT_STILL_GOING;
    if (rc == -GALLOC_TIMED_OUT && is_following)
        return EXIT_STILL_GOING;
    return rc < 0 && !ferror(stdout) ? say_error(cli, &error) : EXIT_WELL;
}
