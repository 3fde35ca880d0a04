/* See ab.h: one file is read once and sent to two runs. Both are made before a row goes to either; what was interrupted goes on by the same command, each side where it was. */
#include "cli/ab.h"

#include "base/text.h"
#include "cli/enqueue.h"
#include "cli/follow.h"
#include "cli/import.h"
#include "cli/intake.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/sample.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct side {
    const char *profile; /* borrowed */
    char *name, *run_id; /* owned; run_id NULL: not made yet */
    struct import import;
    bool is_continued;   /* an import that was interrupted */
    bool is_known;       /* all of it was enqueued before */
};

struct ab {
    struct cli *cli;
    struct intake intake;
    struct rejects mute; /* of the second side: the first tells what both were refused */
    struct side sides[AB_SIDES];
    struct sample *sample; /* owned; NULL: every row goes */
    struct progress progress;
};

static const char letters[AB_SIDES] = {'a', 'b'};

/* ---- the runs ---- */

static int make_side(struct ab *ab, struct side *side, const struct input_info *info, struct galloc_error *error)
{
    struct response response = RESPONSE_EMPTY;
    ab->intake.plan.name = side->name;
    ab->intake.plan.profile = side->profile;
    int rc = enqueue_make(ab->cli, &ab->intake, info, &response, error);
    struct json_object *run = rc == -GALLOC_ALREADY_ENQUEUED ? json_get(response.json, "run") : response.json;
    side->is_known = rc == -GALLOC_ALREADY_ENQUEUED && run != NULL;
    side->is_continued = rc == 0 && response.status == 200;
    if (rc == 0 || side->is_known)
        side->run_id = xstrdup(json_get_str(run, "id", ""));
    response_clear(&response);
    return side->is_known ? 0 : rc;
}

/* Whether what was found and what was made are two sides of one comparison. */
static int check_sides(const struct ab *ab, struct galloc_error *error)
{
    const struct side *a = &ab->sides[0], *b = &ab->sides[1], *known = a->is_known ? a : b, *other = a->is_known ? b : a;
    if (a->is_known && b->is_known)
        return galloc_fail(error, GALLOC_ALREADY_ENQUEUED, "this comparison is runs %s and %s; nothing enqueued: gallocctl compare %s %s; to run it again: --again", a->run_id,
                           b->run_id, a->run_id, b->run_id);
    if (known->is_known && !other->is_continued)
        return galloc_fail(error, GALLOC_ALREADY_ENQUEUED, "this file under the profile %s is run %s; nothing enqueued; to run both sides: --again", known->profile, known->run_id);
    if (a->is_continued != b->is_continued && !known->is_known && ab->intake.plan.copied_pool != NULL)
        say(ab->cli, "note: run %s has the loads of pool %s as they were when it was begun, run %s as they are now", (a->is_continued ? a : b)->run_id,
            ab->intake.plan.copied_pool, (a->is_continued ? b : a)->run_id);
    return 0;
}

static int make_runs(void *arg, const struct input_info *info, struct galloc_error *error)
{
    struct ab *ab = arg;
    int rc = 0;
    bool is_first = true;
    for (int i = 0; rc == 0 && i < AB_SIDES; i++)
        rc = make_side(ab, &ab->sides[i], info, error);
    if (rc == 0)
        rc = check_sides(ab, error);
    for (int i = 0; rc == 0 && i < AB_SIDES; i++) {
        struct side *side = &ab->sides[i];
        if (side->is_known)
            continue;
        import_init(&side->import, ab->cli, is_first ? &ab->intake.rejects : &ab->mute, side->run_id);
        is_first = false;
        if (side->is_continued)
            rc = import_resume(&side->import, error);
        if (rc == 0 && side->is_continued)
            say(ab->cli, "going on with the import of run %s: %s parts stand", side->run_id, text_count((int64_t)side->import.standing_count).text);
    }
    return rc;
}

/* ---- the rows ---- */

static int send_row(void *arg, const struct input_row *row, struct galloc_error *error)
{
    struct ab *ab = arg;
    int rc = 0;
    int64_t sent = 0;
    for (int i = 0; rc == 0 && i < AB_SIDES; i++) {
        if (ab->sides[i].is_known)
            continue;
        rc = import_add(&ab->sides[i].import, row, error);
        sent = ab->sides[i].import.sent_rows;
    }
    if (rc == 0 && sent % 512 == 0 && progress_is_due(ab->cli, &ab->progress))
        progress_show(ab->cli, &ab->progress, "importing into %s and %s: %s rows", ab->sides[0].run_id, ab->sides[1].run_id, text_count(sent).text);
    return rc;
}

static int take_row(void *arg, const struct input_row *row, struct galloc_error *error)
{
    struct ab *ab = arg;
    int rc = 0;
    if (interrupt_pending())
        return galloc_fail(error, GALLOC_CANCELLED, "stopped by %s", interrupt_name());
    if (ab->sample != NULL)
        sample_add(ab->sample, row);
    else
        rc = send_row(arg, row, error);
    if (rc == 0 && args_has(&ab->cli->args, "strict") && ab->intake.rejects.count > 0)
        rc = galloc_fail(error, GALLOC_INVALID_INPUT, "a row was rejected; under --strict nothing is enqueued");
    return rc;
}

static int send_all(struct ab *ab, struct galloc_error *error)
{
    int rc = intake_run(&ab->intake, error);
    if (rc == 0 && ab->sample != NULL)
        rc = sample_play(ab->sample, send_row, ab, error);
    for (int i = 0; rc == 0 && i < AB_SIDES; i++)
        if (!ab->sides[i].is_known)
            rc = import_finish(&ab->sides[i].import, error);
    if (rc == 0 && args_has(&ab->cli->args, "strict") && ab->intake.rejects.count > 0)
        rc = galloc_fail(error, GALLOC_INVALID_INPUT, "%s rows were rejected; under --strict nothing is enqueued", text_count(ab->intake.rejects.count).text);
    if (rc == 0)
        rejects_end(&ab->intake.rejects);
    return rc;
}

static int commit_all(struct ab *ab, struct response ret_runs[AB_SIDES], struct galloc_error *error)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < AB_SIDES; i++) {
        const struct side *side = &ab->sides[i];
        if (side->is_known)
            rc = client_get(ab->cli->client, &ret_runs[i], error, "/v1/runs/%s", side->run_id);
        else if (side->import.accepted + side->import.replaced == 0)
            rc = galloc_fail(error, GALLOC_INVALID_INPUT, "nothing was enqueued: %s",
                             ab->intake.rejects.count > 0 ? "every row was rejected" : "the input has no row after its header");
        else
            rc = enqueue_commit(ab->cli, side->run_id, side->import.part_count, &ret_runs[i], error);
    }
    return rc;
}

/* After a failure: what can go on is left, what cannot become two sides of one comparison is cancelled. */
static void give_up(struct ab *ab, int code)
{
    bool is_input = code == GALLOC_INVALID_INPUT || code == GALLOC_EMPTY_RUN || code == GALLOC_TOO_LARGE || code == GALLOC_CONFLICT || code == GALLOC_ALREADY_ENQUEUED;
    bool is_lost = is_input || (ab->intake.source != NULL && !source_can_rewind(ab->intake.source));
    bool is_left = false;
    for (int i = 0; i < AB_SIDES; i++) {
        const struct side *side = &ab->sides[i];
        if (side->run_id == NULL || side->is_known)
            continue;
        if (is_lost || (code != GALLOC_CANCELLED && ab->sides[AB_SIDES - 1].run_id == NULL)) /* the other side was refused */
            enqueue_cancel(ab->cli, side->run_id);
        else
            is_left = true;
    }
    if (is_left && code != GALLOC_PART_DIFFERS)
        say_always(ab->cli, "both runs are still importing: the same command goes on where it stopped");
}

/* ---- what is told ---- */

static void print_json(const struct cli *cli, struct response runs[AB_SIDES])
{
    struct buf body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    json_out_begin(&out, '{');
    for (int i = 0; i < AB_SIDES; i++) {
        const char name[2] = {letters[i], '\0'};
        json_out_name(&out, name);
        json_out_raw(&out, buf_text(&runs[i].body), runs[i].body.len);
    }
    json_out_end(&out, '}');
    out_json(cli, body.data, body.len);
    buf_clear(&body);
}

static void print_summary(const struct ab *ab, struct response runs[AB_SIDES])
{
    const struct cli *cli = ab->cli;
    const char *a = ab->sides[0].run_id, *b = ab->sides[1].run_id;
    const struct side *told = &ab->sides[ab->sides[0].is_known ? 1 : 0];
    bool stays = args_has(&cli->args, "wait") || args_has(&cli->args, "follow");
    if (cli->is_quiet) {
        out_line("%s", a);
        out_line("%s", b);
        return;
    }
    if (cli->format != FORMAT_TABLE) {
        print_json(cli, runs);
        return;
    }
    for (int i = 0; i < AB_SIDES; i++)
        out_title(cli, "run %s (%s): %s", ab->sides[i].run_id, ab->sides[i].name, ab->sides[i].profile);
    out_line("  accepted  %s each; key column %s, e.g. %s", text_counted(told->import.accepted, "assignment").text, ab->intake.key_column,
             ab->intake.key_example ? ab->intake.key_example : "-");
    out_line("  rejected  %s", text_counted(ab->intake.rejects.count, "row").text);
    if (ab->sample != NULL)
        out_line("  sample    %s of %s, the same in both; --seed %" PRId64, text_count(told->import.accepted).text, text_counted(sample_seen(ab->sample), "key").text,
                 args_number(&cli->args, "seed", AB_SEED));
    if (ab->intake.plan.copied_pool != NULL)
        out_line("  pool      each has a copy of %s's loads; what they allocate takes no place there", ab->intake.plan.copied_pool);
    if (args_has(&cli->args, "paused"))
        out_line("  next      gallocctl resume %s; gallocctl resume %s", a, b);
    else if (!stays)
        out_line("  next      gallocctl wait %s %s", a, b);
    out_line("  %s      gallocctl compare %s %s", stays ? "next" : "then", a, b);
}

/* ---- the command ---- */

/* NAME-a, NAME-b; NAME is --name, else the file's. */
static void name_sides(struct ab *ab)
{
    const char *name = args_text(&ab->cli->args, "name"), *base = source_base_name(ab->intake.source);
    size_t len = name != NULL ? strlen(name) : strcspn(base, ".");
    for (int i = 0; i < AB_SIDES; i++)
        ab->sides[i].name = xasprintf("%.*s-%c", (int)min_i64((int64_t)len, 90), name != NULL ? name : base, letters[i]);
}

static int prepare(struct ab *ab, const char *path, struct galloc_error *error)
{
    struct cli *cli = ab->cli;
    const char *profiles[AB_SIDES] = {NULL, NULL};
    struct input_sink rows = {.begin = make_runs, .row = take_row, .arg = ab};
    int rc = ab_profiles(&cli->args, profiles, error);
    if (rc == 0)
        rc = intake_open(&ab->intake, cli, path, &rows, error);
    if (rc < 0)
        return rc;
    for (int i = 0; i < AB_SIDES; i++)
        ab->sides[i].profile = profiles[i];
    name_sides(ab);
    ab->mute = (struct rejects){.cli = cli, .source_name = source_name(ab->intake.source), .is_mute = true};
    if (args_has(&cli->args, "sample"))
        ab->sample = sample_new(args_number(&cli->args, "sample", 1), args_number(&cli->args, "seed", AB_SEED));
    rc = ab_check_profiles(cli, profiles, error);
    return rc < 0 ? rc : ab_copy_pool(cli, &ab->intake.plan, error);
}

static int stay(struct ab *ab)
{
    char *ids[AB_SIDES] = {ab->sides[0].run_id, ab->sides[1].run_id};
    return enqueue_stay(ab->cli, ids, AB_SIDES);
}

int ab_enqueue(struct cli *cli, const char *path)
{
    struct ab *ab = xcalloc(1, sizeof *ab);
    struct galloc_error error = {0}, closing;
    struct response runs[AB_SIDES] = {RESPONSE_EMPTY, RESPONSE_EMPTY};
    char *rejects_path = NULL;
    ab->cli = cli;
    interrupt_catch();
    progress_init(cli, &ab->progress);
    int rc = prepare(ab, path, &error);
    if (rc == 0)
        rc = send_all(ab, &error);
    progress_clear(cli, &ab->progress);
    if (rc == 0)
        rc = commit_all(ab, runs, &error);
    if (rc == 0)
        print_summary(ab, runs);
    else
        give_up(ab, error.code);
    if (ab->intake.cli != NULL && intake_close(&ab->intake, &rejects_path, &closing) < 0)
        say_error(cli, &closing);
    if (rejects_path != NULL)
        say(cli, "the rejected rows are in %s", rejects_path);
    int status = rc < 0 ? say_error(cli, &error) : stay(ab);
    for (int i = 0; i < AB_SIDES; i++) {
        import_clear(&ab->sides[i].import);
        free(ab->sides[i].name);
        free(ab->sides[i].run_id);
        response_clear(&runs[i]);
    }
    sample_free(ab->sample);
    free(rejects_path);
    free(ab);
    return status;
}
