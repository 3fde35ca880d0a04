/* See feed.h. */
#include "cli/feed.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/random.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/interrupt.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { FEED_MS = 500 }; /* rows wait so long for company: with sending and the commit it stays within a second */

/* ---- before ---- */

/* How an input is read goes with --append; what makes a plan does not: the run has one. */
static const char *const append_options[] = {"append", "key", "order", "first", "from", "delimiter", "encoding", "rejects", "again", "follow", "wait", NULL};

static bool is_in(const char *const *names, const char *name)
{
    while (*names != NULL && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

static int check_append(const struct args *args, struct galloc_error *error)
{
    const struct command *enqueue = command_find("enqueue");
    for (size_t set = 0; set < ARRAY_COUNT(enqueue->options) && enqueue->options[set] != NULL; set++)
        for (const struct option_row *row = enqueue->options[set]; row->name != NULL; row++)
            if (args_has(args, row->name) && !is_in(append_options, row->name))
                return galloc_fail(error, GALLOC_USAGE, "--append adds to a run that runs by its own plan: --%s does not go with it", row->name);
    return 0;
}

int feed_check_options(const struct args *args, bool is_fed, struct galloc_error *error)
{
    int rc = args_has(args, "append") ? check_append(args, error) : 0;
    if (rc == 0 && is_fed && args_has(args, "order"))
        rc = galloc_fail(error, GALLOC_USAGE, "--order sorts all rows before the first is sent, and standard input goes out as it comes: leave --order out, or give a file");
    if (rc == 0 && is_fed && args_has(args, "strict"))
        rc = galloc_fail(error, GALLOC_USAGE, "--strict enqueues nothing when a row is bad, and standard input goes out as it comes: leave --strict out, or give a file");
    return rc;
}

int feed_find_run(struct cli *cli, const struct intake *intake, struct response *ret_run, struct galloc_error *error)
{
    char *segment = client_segment(args_text(&cli->args, "append"));
    char *path = xasprintf("/v1/runs/%s", segment);
    struct request request = {.method = "GET", .path = path, .is_patient = true};
    int rc = client_call(cli->client, &request, ret_run, error);
    free(path);
    free(segment);
    if (rc < 0)
        return rc;
    const char *id = json_get_str(ret_run->json, "id", "?"), *state = json_get_str(ret_run->json, "state", "");
    const char *sha256 = json_get_str(json_get(ret_run->json, "source"), "sha256", "");
    if (strcmp(state, "importing") == 0)
        return galloc_fail(error, GALLOC_WRONG_STATE, "run %s is still importing: end that first, with the enqueue that began it", id);
    if (strcmp(state, "cancelled") == 0)
        return galloc_fail(error, GALLOC_WRONG_STATE, "run %s is cancelled and takes nothing more; without --append it becomes a run of its own", id);
    if (intake->sha256[0] != '\0' && strcmp(sha256, intake->sha256) == 0 && !args_has(&cli->args, "again"))
        return galloc_fail(error, GALLOC_ALREADY_ENQUEUED, "this file is what run %s was made of; nothing was added; to append it all the same: --again", id);
    return 0;
}

int feed_start_run(struct cli *cli, const char *run_id, struct galloc_error *error)
{
    struct response response = RESPONSE_EMPTY;
    char *path = xasprintf("/v1/runs/%s/commit", run_id);
    static const char body[] = "{\"parts\":0}";
    struct request request = {.method = "POST", .path = path, .body = body, .body_len = sizeof body - 1, .is_patient = true};
    int rc = client_call(cli->client, &request, &response, error);
    free(path);
    response_clear(&response);
    return rc;
}

void feed_begin(struct import *import, const struct intake *intake, const struct input_info *info)
{
    static const char *const options[] = {"order", "first", "encoding"}; /* with the key, the format and the delimiter: all that tells rows from bytes */
    const struct args *args = intake->plan.args;
    unsigned char digest[DIGEST_BYTES];
    char hex[DIGEST_HEX];
    struct buf what = BUF_EMPTY;
    buf_add_fmt(&what, "%s %s %s %d %d", import->run_id, intake->sha256, info->key, (int)info->format, info->delimiter);
    for (size_t i = 0; i < ARRAY_COUNT(options); i++)
        buf_add_fmt(&what, " %s=%s", options[i], args_has(args, options[i]) ? args_text(args, options[i]) : "");
    if (intake->sha256[0] == '\0' || args_has(args, "again")) {
        random_bytes(digest, sizeof digest);
        buf_add(&what, digest, sizeof digest);
    }
    digest_of(what.data, what.len, digest);
    digest_hex(digest, hex);
    import_be_append(import, hex);
    import->outlasts_disk = intake->sha256[0] == '\0'; /* standard input cannot be read again */
    buf_clear(&what);
}

/* ---- meanwhile ---- */

static int64_t wait_ms(void *arg)
{
    const struct import *import = arg;
    return import->due_mono_ms == 0 ? 1000 : max_i64(0, min_i64(1000, import->due_mono_ms - clock_mono_ms()));
}

static int idle(void *arg, struct galloc_error *error)
{
    struct import *import = arg;
    if (interrupt_pending())
        return galloc_fail(error, GALLOC_CANCELLED, "stopped by %s", interrupt_name());
    return import->due_mono_ms != 0 && clock_mono_ms() >= import->due_mono_ms ? import_feed(import, error) : 0;
}

void feed_source(struct source *source, struct import *import)
{
    source_be_fed(source, &(struct source_feed){wait_ms, idle, import});
}

int feed_row(struct import *import, struct galloc_error *error)
{
    if (import->due_mono_ms == 0)
        import->due_mono_ms = clock_mono_ms() + FEED_MS;
    return idle(import, error);
}

/* ---- afterwards ---- */

int feed_conclude(const struct import *import, const struct intake *intake, struct galloc_error *error)
{
    bool is_file = intake->sha256[0] != '\0';
    if (is_file && import->part_count > 0 && import->replayed_count == import->part_count)
        return galloc_fail(error, GALLOC_ALREADY_ENQUEUED, "this file was appended to run %s before (%s); nothing was added; to append it again: --again",
                           import->run_id, text_counted(import->accepted, "assignment").text);
    if (import->accepted == 0 && import->replaced == 0 && intake->rejects.count > 0)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "nothing was added to run %s: every row was rejected, or is there already", import->run_id);
    if (is_file && import->part_count == 0)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "nothing was added to run %s: the input has no row after its header", import->run_id);
    return 0;
}

void feed_tell_rest(const struct import *import, const struct intake *intake)
{
    int64_t open = import->sent_rows - import->answered_rows;
    if (source_can_rewind(intake->source))
        say_always(import->cli, "run %s: added of it: %s; the same command goes on where it stopped", import->run_id,
                   text_counted(import->accepted, "assignment").text);
    else
        say_always(import->cli, "run %s: added and kept: %s; %s that were read were not told to be accepted: feed those again", import->run_id,
                   text_counted(import->accepted, "assignment").text, text_counted(open, "row").text);
}
