/* See rows_in.h. What a row has to be is the ingest thread's, whether the run takes it is the store's; here stands only what the run's plan says of both. */
#include "api/rows_in.h"

#include "api/handler.h"

#include "core/template.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ERRORS_MAX 100 /* of a problem's list */

/* What becomes of the rows when they are checked: the request's state. */
struct target {
    int64_t run;
    struct rows_in rows;
    enum import_duplicate on_duplicate;
};

static void target_free(void *state)
{
    free(((struct target *)state)->rows.idempotency_key);
    free(state);
}

/* An object without its members that are null: a problem's errors have only what applies. */
static void add_without_nulls(struct buf *out, struct json_span object)
{
    struct json_span name, value;
    const char *before = "{";
    for (const char *at = NULL; json_next(object, &at, &name, &value);) {
        if (json_span_kind(value) == JSON_NULL)
            continue;
        buf_add_str(out, before);
        buf_add(out, name.at, name.len);
        buf_add_char(out, ':');
        buf_add(out, value.at, value.len);
        before = ",";
    }
    buf_add_str(out, before[0] == '{' ? "{}" : "}");
}

/* With on_duplicate = error: the problem names the repeated rows. */
static void fail_with_rows(struct request *request, struct store_import *import)
{
    struct buf members = BUF_EMPTY;
    struct json_span answer = {import->ret_answer.data, import->ret_answer.len}, name, value, row;
    size_t count = 0;
    buf_add_str(&members, "\"errors\":[");
    for (const char *at = NULL; answer.len > 0 && json_next(answer, &at, &name, &value);) {
        if (!json_span_equals(name, "rejected"))
            continue;
        for (const char *in = NULL; count < ERRORS_MAX && json_next(value, &in, &name, &row); count++) {
            buf_add_str(&members, count ? "," : "");
            add_without_nulls(&members, row);
        }
        break;
    }
    buf_add_char(&members, ']');
    request_fail_with(request, &import->op.error, count > 0 ? members.data : NULL);
    buf_clear(&members);
}

static void on_imported(struct store_op *op)
{
    struct store_import *import = (struct store_import *)op;
    struct request *request = op->arg;
    if (op->code == -GALLOC_INVALID_INPUT && op->error.code == GALLOC_INVALID_INPUT) {
        fail_with_rows(request, import);
    } else if (op->code < 0) {
        request_fail_op(request, op);
    } else {
        buf_add(&request->out, import->ret_answer.data, import->ret_answer.len);
        if (import->is_append) { /* the stored answer is the part's; which part it is, and whether this is the first time, is told beside it */
            request->out.len--;
            buf_add_fmt(&request->out, ",\"part\":%" PRId64 ",\"replayed\":%s}", import->part, import->ret_is_replay ? "true" : "false");
        }
        request_reply(request, 200);
    }
    store_op_free(op);
}

/* The rows as the store takes them; they point into the same text, which moves over too. */
static void move_rows(struct ingest_part *part, struct store_import *import)
{
    import->rows = xcalloc(part->count, sizeof *import->rows);
    import->count = part->count;
    for (size_t i = 0; i < part->count; i++) {
        const struct ingest_row *from = &part->rows[i];
        struct import_row *to = &import->rows[i];
        to->key.at = from->key.at;
        to->key.len = from->key.len;
        to->fields.at = from->fields.at;
        to->fields.len = from->fields.len;
        to->row = from->row;
        memcpy(to->sha256, from->sha256, sizeof to->sha256);
    }
    import->text = part->text;
    part->text = NULL;
    memcpy(import->sha256, part->sha256, sizeof import->sha256);
    import->rejected_count = part->rejected_count;
    import->rejected = part->rejected_count > 0 ? buf_take(&part->rejected) : NULL;
}

static void on_checked(struct ingest_part *part)
{
    struct request *request = part->arg;
    struct target *target = request->state;
    if (part->code < 0) {
        request_fail(request, &part->error);
        ingest_part_free(part);
        return;
    }
    struct store_import *import = handler_op(request, OP_IMPORT, on_imported);
    import->peer = request->peer;
    import->run = target->run;
    import->is_append = target->rows.form != INGEST_PART;
    import->part = target->rows.part;
    import->idempotency_key = target->rows.idempotency_key;
    target->rows.idempotency_key = NULL;
    import->on_duplicate = target->on_duplicate;
    move_rows(part, import);
    ingest_part_free(part);
    handler_submit(request, &import->op);
}

/* What the plan says of the rows. A run that ended has its plan as text alone. While a run is importing, its columns were looked at as a whole. */
static int read_plan(const struct run_entry *run, struct target *target, struct template **ret_template, struct galloc_error *error)
{
    struct plan stored = {0};
    const struct plan *plan = run->has_plan ? &run->plan : &stored;
    if (!run->has_plan && run->info.plan == NULL)
        return galloc_fail(error, GALLOC_BUSY, "the plan of run %s cannot be read just now; try again", run->info.run_id);
    int rc = run->has_plan ? 0 : plan_parse(run->info.plan, strlen(run->info.plan), &stored, error);
    if (rc < 0)
        return rc;
    target->on_duplicate = (enum import_duplicate)plan->on_duplicate;
    if (plan->template != NULL && run->info.state != RUN_IMPORTING)
        rc = template_parse(plan->template, strlen(plan->template), ret_template, error);
    plan_clear(&stored);
    return rc;
}

void rows_in(struct request *request, struct run_entry *run, struct rows_in rows)
{
    struct galloc_error error;
    struct template *template = NULL;
    struct target *target = xcalloc(1, sizeof *target);
    *target = (struct target){.run = run->info.id, .rows = rows};
    request->state = target;
    request->state_free = target_free;
    if (read_plan(run, target, &template, &error) < 0) {
        request_fail(request, &error);
        return;
    }
    struct ingest_part *part = xcalloc(1, sizeof *part);
    part->form = rows.form;
    part->len = request->body.len;
    part->text = buf_take(&request->body);
    part->template = template;
    part->done = on_checked;
    part->arg = request;
    if (ingest_submit(request->api->config.ingest, part))
        return;
    ingest_part_free(part);
    request_fail_fmt(request, GALLOC_BUSY, "other parts are being checked; send it again");
}
