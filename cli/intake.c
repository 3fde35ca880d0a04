/* See intake.h. */
#include "cli/intake.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int intake_open(struct intake *intake, struct cli *cli, const char *path, const struct input_sink *rows, struct galloc_error *error)
{
    *intake = (struct intake){.cli = cli, .rows = *rows};
    int rc = plan_prepare(&intake->plan, &cli->args, error);
    if (rc == 0)
        rc = source_open(path, args_text(&cli->args, "encoding"), &intake->source, error);
    if (rc == 0 && source_can_rewind(intake->source))
        rc = source_digest(intake->source, intake->sha256, error);
    rejects_init(&intake->rejects, cli, rc == 0 ? source_name(intake->source) : path, args_text(&cli->args, "rejects"));
    intake->first = args_number(&cli->args, "first", INT64_MAX);
    return rc;
}

static int on_begin(void *arg, const struct input_info *info, struct galloc_error *error)
{
    struct intake *intake = arg;
    rejects_describe(&intake->rejects, info);
    intake->key_column = xstrdup(info->key);
    int rc = plan_check_columns(&intake->plan, info, error);
    return rc < 0 ? rc : intake->rows.begin(intake->rows.arg, info, error);
}

static int hand_on(void *arg, const struct input_row *row, struct galloc_error *error)
{
    struct intake *intake = arg;
    if (intake->row_count >= intake->first)
        return 1;
    if (intake->row_count == 0)
        intake->key_example = xstrndup(row->key.at, row->key.len);
    int rc = intake->rows.row(intake->rows.arg, row, error);
    intake->row_count += rc >= 0;
    return rc;
}

static int on_row(void *arg, const struct input_row *row, struct galloc_error *error)
{
    struct intake *intake = arg;
    return intake->plan.order ? order_add(intake->plan.order, row, error) : hand_on(arg, row, error);
}

static int on_reject(void *arg, const struct input_reject *reject, struct galloc_error *error)
{
    struct intake *intake = arg;
    int rc = rejects_add(&intake->rejects, "rejected", reject->line, reject->column, reject->reason, reject->raw, error);
    if (rc == 0 && args_has(&intake->cli->args, "strict"))
        rc = galloc_fail(error, GALLOC_INVALID_INPUT, "%s:%" PRId64 ": %s%s%s; under --strict nothing is enqueued", source_name(intake->source),
                         reject->line, reject->column ? reject->column : "", reject->column ? ": " : "", reject->reason);
    return rc;
}

int intake_run(struct intake *intake, struct galloc_error *error)
{
    struct input_sink all = {on_begin, on_row, on_reject, intake};
    struct input_sink sorted = {on_begin, hand_on, on_reject, intake};
    int rc = input_read(intake->source, &intake->plan.input, &all, error);
    if (rc == 0 && intake->plan.order != NULL)
        rc = order_play(intake->plan.order, &sorted, error);
    return rc < 0 ? rc : 0;
}

int intake_close(struct intake *intake, char **ret_rejects_path, struct galloc_error *error)
{
    *ret_rejects_path = intake->rejects.file != NULL ? xstrdup(intake->rejects.path) : NULL;
    int rc = rejects_close(&intake->rejects, error);
    plan_clear(&intake->plan);
    source_close(intake->source);
    free(intake->key_column);
    free(intake->key_example);
    intake->key_column = intake->key_example = NULL;
    return rc;
}
