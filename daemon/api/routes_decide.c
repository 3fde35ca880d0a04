/* What persons decide: one assignment given to an agent or taken away, and many cancelled, tried or decided again, or discarded. */
#include "api/handler.h"

#include "core/limits.h"

#include <string.h>

/* ---- many: cancel, retry, redo, discard ---- */

static void on_swept(struct store_op *op)
{
    struct request *request = op->arg;
    if (op->code < 0) {
        request_fail_op(request, op);
    } else {
        struct json_out out = JSON_OUT(&request->out);
        json_out_begin(&out, '{');
        json_out_member_int(&out, "changed", ((struct store_sweep *)op)->ret_changed);
        json_out_end(&out, '}');
        request_reply(request, 200);
    }
    store_op_free(op);
}

static void sweep(struct request *request, const struct run_entry *run, enum store_sweep_verb verb)
{
    struct galloc_error error;
    struct store_selector selector;
    if (selector_from_json(request->json, &selector, &error) < 0) {
        request_fail(request, &error);
        return;
    }
    struct store_sweep *op = handler_op(request, OP_SWEEP, on_swept);
    op->peer = request->peer;
    op->is_by_person = true;
    op->run = run->info.id;
    op->verb = verb;
    op->selector = selector;
    op->reason = xstrdup(json_get_str(request->json, "reason", NULL));
    handler_submit(request, &op->op);
}

static void cancel_run(struct request *request, struct run_entry *run)
{
    sweep(request, run, SWEEP_CANCEL);
}

static void retry_run(struct request *request, struct run_entry *run)
{
    sweep(request, run, SWEEP_RETRY);
}

static void redo_run(struct request *request, struct run_entry *run)
{
    sweep(request, run, SWEEP_REDO);
}

static void discard_run(struct request *request, struct run_entry *run)
{
    sweep(request, run, SWEEP_DISCARD);
}

void handle_run_cancel(struct request *request)
{
    handler_with_run(request, NULL, cancel_run);
}

void handle_run_retry(struct request *request)
{
    handler_with_run(request, NULL, retry_run);
}

void handle_run_redo(struct request *request)
{
    handler_with_run(request, NULL, redo_run);
}

void handle_run_discard(struct request *request)
{
    handler_with_run(request, NULL, discard_run);
}

/* ---- one: assign, unassign ---- */

static void on_assigned(struct store_op *op)
{
    struct request *request = op->arg;
    if (op->code < 0)
        request_fail_op(request, op);
    else
        handler_reply_assignment(request, ((struct store_assign *)op)->run);
    store_op_free(op);
}

/* `agent_id` and `reason` are copied; agent_id NULL: unassign. */
static void decide(struct request *request, const struct run_entry *run, const char *agent_id, const char *reason)
{
    struct store_assign *assign = handler_op(request, OP_ASSIGN, on_assigned);
    assign->peer = request->peer;
    assign->run = run->info.id;
    assign->key = xstrdup(request->params[1]);
    assign->agent_id = xstrdup(agent_id);
    assign->reason = xstrdup(reason);
    assign->is_over_capacity = agent_id != NULL && json_get_bool(request->json, "over_capacity", false);
    handler_submit(request, &assign->op);
}

static void assign(struct request *request, struct run_entry *run)
{
    decide(request, run, json_get_str(request->json, "agent_id", ""), json_get_str(request->json, "reason", ""));
}

static void unassign(struct request *request, struct run_entry *run)
{
    struct galloc_error error;
    char *reason = NULL;
    int rc = http_query(&request->head, "reason", 0, &reason, &error);
    size_t len = reason != NULL ? strlen(reason) : 0;
    if (rc == 0 && (len == 0 || len > LIMIT_WHY_BYTES))
        rc = galloc_fail(&error, GALLOC_INVALID_VALUE, "the query has to tell why: ?reason=, 1 to %d bytes", LIMIT_WHY_BYTES);
    if (rc < 0)
        request_fail(request, &error);
    else
        decide(request, run, NULL, reason);
    free(reason);
}

void handle_assign(struct request *request)
{
    handler_with_run(request, NULL, assign);
}

void handle_unassign(struct request *request)
{
    handler_with_run(request, NULL, unassign);
}
