/* gallocctl enqueue: reads the input once, makes the run when its columns are known, sends parts while it reads, commits, and tells what
 * was taken and what was not. An import that was interrupted goes on where it was: the same command finds its run by the file's digest.
 * With --append the run is there already, and so it is with --open from standard input once it is made: what is sent then is appended (feed.h). */
#include "base/digest.h"
#include "base/random.h"
#include "base/json_out.h"
#include "base/text.h"
#include "cli/ab.h"
#include "cli/command.h"
#include "cli/enqueue.h"
#include "cli/feed.h"
#include "cli/follow.h"
#include "cli/import.h"
#include "cli/intake.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/progress.h"

#include <stdlib.h>
#include <string.h>

struct enqueue {
    struct cli *cli;
    struct intake intake;
    struct import import;
    bool has_run;      /* the run was made or found */
    bool is_continued; /* found */
    bool is_append;    /* the run is one that runs or ran */
    bool is_fed;       /* the rows come from standard input as they are made, and go out as they come */
    const char *key_names[8]; /* of the key's column, where the run has one */
    char *run_id;      /* owned */
    struct progress progress;
};

/* "this file is run r-… (done 09:12)": the answer to the same input twice. */
static int fail_known(const struct response *response, struct galloc_error *error)
{
    struct json_object *run = json_get(response->json, "run");
    const char *id = json_get_str(run, "id", NULL);
    if (id == NULL)
        return -error->code;
    const char *state = json_get_str(run, "state", "?");
    const char *when = json_get_str(run, "finished_at", json_get_str(run, "created_at", NULL));
    struct buf shown = BUF_EMPTY;
    show_time(&shown, when);
    int rc = galloc_fail(error, GALLOC_ALREADY_ENQUEUED, "this file is run %s (%s %s); nothing enqueued; to run it again: --again", id,
                         strcmp(state, "done") == 0 || strcmp(state, "cancelled") == 0 ? state : "enqueued", buf_text(&shown));
    buf_clear(&shown);
    return rc;
}

/* The run is there, and takes rows as they come from now on. */
static int begin_feed(struct enqueue *enqueue, const struct input_info *info, struct galloc_error *error)
{
    int rc = feed_start_run(enqueue->cli, enqueue->run_id, error);
    if (rc < 0)
        return rc;
    feed_begin(&enqueue->import, &enqueue->intake, info);
    if (enqueue->cli->is_quiet) { /* whoever feeds it needs to know it now */
        out_line("%s", enqueue->run_id);
        fflush(stdout);
    }
    say(enqueue->cli, "run %s is open and takes each row within a second; it stays open at the end of the input: gallocctl close %s", enqueue->run_id, enqueue->run_id);
    return 0;
}

int enqueue_make(struct cli *cli, const struct intake *intake, const struct input_info *info, struct response *ret, struct galloc_error *error)
{
    struct buf body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    unsigned char random[16];
    char idempotency_key[2 * sizeof random + 1];
    random_bytes(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(idempotency_key + 2 * i, 3, "%02x", random[i]);
    json_out_begin(&out, '{');
    plan_write(&intake->plan, &out, info, source_base_name(intake->source), intake->sha256[0] ? intake->sha256 : NULL);
    json_out_end(&out, '}');
    struct request request = {.method = "POST",
                              .path = "/v1/runs",
                              .body = body.data,
                              .body_len = body.len,
                              .idempotency_key = idempotency_key,
                              .is_patient = true};
    int rc = client_call(cli->client, &request, ret, error);
    if (rc == -GALLOC_ALREADY_ENQUEUED)
        rc = fail_known(ret, error);
    char *placed = rc < 0 ? plan_place(&intake->plan, error->message) : NULL;
    if (placed != NULL)
        rc = galloc_fail(error, error->code, "%s", placed);
    free(placed);
    buf_clear(&body);
    return rc;
}

/* The columns are known: make the run, or find the one that is being continued. */
static int make_run(void *arg, const struct input_info *info, struct galloc_error *error)
{
    struct enqueue *enqueue = arg;
    struct response response = RESPONSE_EMPTY;
    int rc = enqueue_make(enqueue->cli, &enqueue->intake, info, &response, error);
    if (rc == 0) {
        enqueue->has_run = true;
        enqueue->is_continued = response.status == 200;
        enqueue->run_id = xstrdup(json_get_str(response.json, "id", ""));
        import_init(&enqueue->import, enqueue->cli, &enqueue->intake.rejects, enqueue->run_id);
    }
    if (rc == 0 && enqueue->is_fed)
        rc = begin_feed(enqueue, info, error);
    else if (rc == 0 && enqueue->is_continued)
        rc = import_resume(&enqueue->import, error);
    if (rc == 0 && enqueue->is_continued)
        say(enqueue->cli, "going on with the import of run %s: %s parts stand", enqueue->run_id, text_count((int64_t)enqueue->import.standing_count).text);
    response_clear(&response);
    return rc;
}

/* Before anything is read: the run that is added to, and how it calls its keys. */
static int find_run(struct enqueue *enqueue, struct response *ret_run, struct galloc_error *error)
{
    struct intake *intake = &enqueue->intake;
    int rc = feed_find_run(enqueue->cli, intake, ret_run, error);
    if (rc < 0)
        return rc;
    enqueue->run_id = xstrdup(json_get_str(ret_run->json, "id", ""));
    const char *key = json_get_str(json_get(ret_run->json, "options"), "key", NULL);
    size_t count = 0;
    if (key != NULL)
        enqueue->key_names[count++] = key;
    for (size_t i = 0; intake->plan.input.key_names[i] != NULL && count + 1 < ARRAY_COUNT(enqueue->key_names); i++)
        enqueue->key_names[count++] = intake->plan.input.key_names[i];
    intake->plan.input.key_names = enqueue->key_names;
    return 0;
}

static int begin_append(void *arg, const struct input_info *info, struct galloc_error *error)
{
    struct enqueue *enqueue = arg;
    (void)error;
    enqueue->has_run = true;
    import_init(&enqueue->import, enqueue->cli, &enqueue->intake.rejects, enqueue->run_id);
    feed_begin(&enqueue->import, &enqueue->intake, info);
    if (enqueue->is_fed)
        say(enqueue->cli, "each row is added to run %s within a second", enqueue->run_id);
    return 0;
}

static int take_row(void *arg, const struct input_row *row, struct galloc_error *error)
{
    struct enqueue *enqueue = arg;
    int rc = import_add(&enqueue->import, row, error);
    if (enqueue->is_fed)
        return rc < 0 ? rc : feed_row(&enqueue->import, error);
    if (enqueue->import.sent_rows % 512 == 0) {
        if (interrupt_pending())
            return galloc_fail(error, GALLOC_CANCELLED, "stopped by %s", interrupt_name());
        if (progress_is_due(enqueue->cli, &enqueue->progress))
            progress_show(enqueue->cli, &enqueue->progress, "importing into %s: %s rows", enqueue->run_id, text_count(enqueue->import.sent_rows).text);
    }
    if (rc == 0 && args_has(&enqueue->cli->args, "strict") && enqueue->intake.rejects.count > 0)
        rc = galloc_fail(error, GALLOC_INVALID_INPUT, "a row was rejected; under --strict nothing is enqueued");
    return rc;
}

void enqueue_cancel(struct cli *cli, const char *run_id)
{
    struct buf body = BUF_EMPTY;
    struct response response = RESPONSE_EMPTY;
    buf_add_str(&body, "{\"all\":true}");
    if (client_post(cli->client, &body, &response, NULL, "/v1/runs/%s/cancel", run_id) < 0)
        say(cli, "run %s could not be cancelled; it is left importing and goes by itself after 24 h", run_id);
    response_clear(&response);
    buf_clear(&body);
}

/* After a failure: a run that cannot become what was meant is cancelled, one that can be continued is left. */
static void give_up(struct enqueue *enqueue, int code)
{
    if (!enqueue->has_run)
        return;
    if (enqueue->import.append_key != NULL) {
        if (code != GALLOC_ALREADY_ENQUEUED && code != GALLOC_INVALID_INPUT)
            feed_tell_rest(&enqueue->import, &enqueue->intake);
        return;
    }
    bool is_input = code == GALLOC_INVALID_INPUT || code == GALLOC_EMPTY_RUN || code == GALLOC_TOO_LARGE || code == GALLOC_CONFLICT;
    if (is_input || !source_can_rewind(enqueue->intake.source)) {
        enqueue_cancel(enqueue->cli, enqueue->run_id);
        if (!is_input)
            say_always(enqueue->cli, "standard input cannot be read again: run %s is cancelled, nothing of it was sent to the model", enqueue->run_id);
        return;
    }
    if (code != GALLOC_PART_DIFFERS)
        say_always(enqueue->cli, "run %s is still importing: the same command goes on where it stopped", enqueue->run_id);
}

/* What was appended stands already: the run is shown as it is now. */
static int conclude_append(struct enqueue *enqueue, struct response *ret, struct galloc_error *error)
{
    int rc = feed_conclude(&enqueue->import, &enqueue->intake, error);
    response_clear(ret);
    return rc < 0 ? rc : client_get(enqueue->cli->client, ret, error, "/v1/runs/%s", enqueue->run_id);
}

int enqueue_commit(struct cli *cli, const char *run_id, int64_t part_count, struct response *ret, struct galloc_error *error)
{
    struct buf body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    json_out_begin(&out, '{');
    json_out_member_int(&out, "parts", part_count);
    json_out_end(&out, '}');
    char *path = xasprintf("/v1/runs/%s/commit", run_id);
    struct request request = {.method = "POST", .path = path, .body = body.data, .body_len = body.len, .is_patient = true};
    int rc = client_call(cli->client, &request, ret, error);
    free(path);
    buf_clear(&body);
    return rc;
}

static int commit(struct enqueue *enqueue, struct response *ret, struct galloc_error *error)
{
    if (enqueue->import.append_key != NULL)
        return conclude_append(enqueue, ret, error);
    if (args_has(&enqueue->cli->args, "strict") && enqueue->intake.rejects.count > 0)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "%s rows were rejected; under --strict nothing is enqueued", text_count(enqueue->intake.rejects.count).text);
    bool may_be_empty = args_has(&enqueue->cli->args, "open") && enqueue->intake.rejects.count == 0;
    if (enqueue->import.accepted == 0 && enqueue->import.replaced == 0 && !may_be_empty)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "nothing was enqueued: %s",
                           enqueue->intake.rejects.count > 0 ? "every row was rejected" : "the input has no row after its header");
    return enqueue_commit(enqueue->cli, enqueue->run_id, enqueue->import.part_count, ret, error);
}

/* Too few places are told at once, and not only by the assignments that fail for it. */
static void print_places(const struct enqueue *enqueue, struct json_object *run)
{
    struct json_object *counts = json_get(run, "counts"), *free_now = json_get(run, "places_free");
    int64_t waiting = json_get_i64(counts, "pending", 0) + json_get_i64(counts, "leased", 0), places = json_i64(free_now, -1);
    const char *pool = json_get_str(run, "pool", enqueue->run_id);
    if (places < 0 || places >= waiting)
        return;
    struct buf free_places = BUF_EMPTY, over = BUF_EMPTY;
    show_count(&free_places, places);
    buf_add_str(&over, text_counted(waiting - places, "assignment").text);
    out_line("  places    %s are free: %s will fail with no_capacity, unless you raise one:", buf_text(&free_places), buf_text(&over));
    out_line("            gallocctl pool set %s AGENT capacity=N   (what has failed by then: gallocctl retry %s --error no_capacity)", pool, enqueue->run_id);
    buf_clear(&free_places);
    buf_clear(&over);
}

static void print_summary(const struct enqueue *enqueue, const struct response *response, const char *rejects_path)
{
    const struct cli *cli = enqueue->cli;
    const char *id = enqueue->run_id, *name = json_get_str(response->json, "name", NULL);
    if (cli->is_quiet) {
        if (!enqueue->is_fed || enqueue->is_append)
            out_line("%s", id);
        return;
    }
    if (cli->format != FORMAT_TABLE) {
        out_json(cli, buf_text(&response->body), response->body.len);
        return;
    }
    int64_t skipped = enqueue->import.repeated - enqueue->import.replaced, rejected = max_i64(enqueue->intake.rejects.count - skipped, 0);
    bool is_seen_with_repeated = rejects_path != NULL && rejected == 0;
    out_title(cli, "run %s%s%s%s", id, name ? " (" : "", name ? name : "", name ? ")" : "");
    out_line("  accepted  %s; key column %s, e.g. %s", text_counted(enqueue->import.accepted, "assignment").text, enqueue->intake.key_column,
             enqueue->intake.key_example ? enqueue->intake.key_example : "-");
    const char *see = rejects_path ? "; see " : "", *path = rejects_path ? rejects_path : "";
    out_line("  rejected  %s%s%s", text_counted(rejected, "row").text, is_seen_with_repeated ? "" : see, is_seen_with_repeated ? "" : path);
    out_line("  repeated  %s%s%s%s", text_counted(enqueue->import.repeated, "key").text,
             enqueue->import.repeated == 0  ? ""
             : enqueue->import.replaced > 0 ? ", the later row stands"
                                            : ", the first row stands",
             is_seen_with_repeated ? see : "", is_seen_with_repeated ? path : "");
    if (!enqueue->is_append)
        print_places(enqueue, response->json);
    if (json_get_bool(response->json, "open", false))
        out_line("  open      more may come: gallocctl enqueue FILE --append %s; when nothing does: gallocctl close %s", id, id);
    bool stays = args_has(&cli->args, "wait") || args_has(&cli->args, "follow");
    if (!stays)
        out_line("  next      gallocctl %s %s", args_has(&cli->args, "paused") ? "resume" : "watch", id);
    out_line("  %s      gallocctl results %s -o results.csv", stays ? "next" : "    ", id);
}

/* A name that several runs have means none of them. */
static void tell_namesakes(const struct enqueue *enqueue, const char *name)
{
    struct response response = RESPONSE_EMPTY;
    char *segment = client_segment(name);
    if (client_get(enqueue->cli->client, &response, NULL, "/v1/runs/%s", segment) == -GALLOC_CONFLICT)
        say(enqueue->cli, "note: an earlier run is named \"%s\" too: from now on tell them by their ids, or name this one otherwise: gallocctl set %s name=NAME", name, enqueue->run_id);
    free(segment);
    response_clear(&response);
}

int enqueue_stay(struct cli *cli, char **run_ids, size_t count)
{
    if (!args_has(&cli->args, "follow") && !args_has(&cli->args, "wait"))
        return EXIT_WELL;
    fflush(stdout); /* which run it is, before the wait */
    enum follow_mode mode = args_has(&cli->args, "follow") ? FOLLOW_LOG : cli->is_stderr_terminal ? FOLLOW_BAR : FOLLOW_SILENT;
    return follow_runs(cli, run_ids, count, mode);
}

int command_enqueue(struct cli *cli, int count, char **words)
{
    bool is_append = args_has(&cli->args, "append");
    if (args_has(&cli->args, "dry-run") && !is_append)
        return command_check(cli, count, words);
    if (args_has(&cli->args, "ab"))
        return ab_enqueue(cli, words[0]);
    struct enqueue enqueue = {.cli = cli, .is_append = is_append, .is_fed = strcmp(words[0], "-") == 0 && (is_append || args_has(&cli->args, "open"))};
    struct input_sink rows = {.begin = is_append ? begin_append : make_run, .row = take_row, .arg = &enqueue};
    struct galloc_error error = {0}, closing;
    struct response response = RESPONSE_EMPTY;
    char *rejects_path = NULL;
    interrupt_catch();
    progress_init(cli, &enqueue.progress);
    int rc = feed_check_options(&cli->args, enqueue.is_fed, &error);
    if (rc < 0)
        return say_error(cli, &error);
    rc = intake_open(&enqueue.intake, cli, words[0], &rows, &error);
    if (rc == 0 && enqueue.is_fed)
        feed_source(enqueue.intake.source, &enqueue.import);
    if (rc == 0 && is_append)
        rc = find_run(&enqueue, &response, &error);
    if (rc == 0)
        rc = intake_run(&enqueue.intake, &error);
    if (rc == 0)
        rc = enqueue.is_fed ? import_feed(&enqueue.import, &error) : import_finish(&enqueue.import, &error);
    if (rc == 0)
        rejects_end(&enqueue.intake.rejects);
    progress_clear(cli, &enqueue.progress);
    if (rc == 0)
        rc = commit(&enqueue, &response, &error);
    if (rc == 0)
        print_summary(&enqueue, &response, enqueue.intake.rejects.file ? enqueue.intake.rejects.path : NULL);
    else
        give_up(&enqueue, error.code);
    if (rc == 0 && !is_append && args_has(&cli->args, "name"))
        tell_namesakes(&enqueue, args_text(&cli->args, "name"));
    import_clear(&enqueue.import);
    if (intake_close(&enqueue.intake, &rejects_path, &closing) < 0)
        say_error(cli, &closing);
    if (rc < 0 && rejects_path != NULL)
        say(cli, "the rejected rows are in %s", rejects_path);
    int status = rc < 0 ? say_error(cli, &error) : enqueue_stay(cli, &enqueue.run_id, 1);
    free(rejects_path);
    free(enqueue.run_id);
    response_clear(&response);
    return status;
}
