/* Purge: a run that ended, or all that ended so long ago, are gone with everything that is stored of them. The answer comes when they are marked, which is when
 * nobody sees them any more; their rows are deleted behind it (dispatch/upkeep.c). */
#include "api/handler.h"

#include "core/limits.h"

#include <inttypes.h>

/* What was told so far: runs by age come in several operations. */
struct told {
    struct buf items; /* owned; JSON, the first LIMIT_PAGE_ROWS of them */
    struct json_out out;
    int64_t run_count, row_count;
    bool is_release, is_dry;
    int64_t older_than_ms;
};

static void told_free(void *state)
{
    struct told *told = state;
    buf_clear(&told->items);
    free(told);
}

static void told_add(struct told *told, const struct purged_run *run)
{
    told->run_count++;
    told->row_count += run->row_count;
    if (told->run_count > LIMIT_PAGE_ROWS)
        return;
    json_out_begin(&told->out, '{');
    json_out_member_str(&told->out, "id", run->run_id);
    json_out_member_str(&told->out, "state", run_state_name(run->state));
    json_out_member_time(&told->out, "finished_at", run->finished_at_ms);
    json_out_member_int(&told->out, "assignments", run->row_count);
    json_out_end(&told->out, '}');
}

static void reply(struct request *request)
{
    struct told *told = request->state;
    struct json_out out = JSON_OUT(&request->out);
    json_out_end(&told->out, ']');
    json_out_begin(&out, '{');
    json_out_member_int(&out, "runs", told->run_count);
    json_out_member_int(&out, "assignments", told->row_count);
    json_out_member_bool(&out, "released", told->is_release && !told->is_dry);
    json_out_member_bool(&out, "dry_run", told->is_dry);
    json_out_name(&out, "items");
    json_out_raw(&out, told->items.data, told->items.len);
    json_out_end(&out, '}');
    request_reply(request, 200);
}

static void submit(struct request *request, int64_t run, int64_t after_run);

static void on_purged(struct store_op *op)
{
    struct request *request = op->arg;
    const struct store_purge *purge = (const struct store_purge *)op;
    for (size_t i = 0; i < purge->ret_count && op->code == 0; i++)
        told_add(request->state, &purge->ret_runs[i]);
    if (op->code < 0)
        request_fail_op(request, op);
    else if (purge->ret_next > 0)
        submit(request, 0, purge->ret_next);
    else
        reply(request);
    store_op_free(op);
}

static void submit(struct request *request, int64_t run, int64_t after_run)
{
    const struct told *told = request->state;
    struct store_purge *purge = handler_op(request, OP_PURGE, on_purged);
    purge->peer = request->peer;
    purge->run = run;
    purge->older_than_ms = told->older_than_ms;
    purge->is_release = told->is_release;
    purge->is_dry = told->is_dry;
    purge->after_run = after_run;
    handler_submit(request, &purge->op);
}

static void begin(struct request *request, bool is_release)
{
    struct told *told = xcalloc(1, sizeof *told);
    told->out = JSON_OUT(&told->items);
    json_out_begin(&told->out, '[');
    told->is_release = is_release;
    request->state = told;
    request->state_free = told_free;
}

static void purge_run(struct request *request, struct run_entry *run)
{
    submit(request, run->info.id, 0);
}

void handle_purge(struct request *request)
{
    const char *run = json_get_str(request->json, "run", NULL);
    int64_t older_than_ms = json_get_i64(request->json, "older_than_ms", -1);
    if ((run != NULL) == (older_than_ms >= 0)) {
        request_fail_fmt(request, GALLOC_INVALID_VALUE, "give either \"run\" or \"older_than_ms\": which runs are to go is never guessed");
        return;
    }
    begin(request, json_get_bool(request->json, "release", false));
    struct told *told = request->state;
    told->is_dry = json_get_bool(request->json, "dry_run", false);
    told->older_than_ms = older_than_ms;
    if (run != NULL)
        handler_with_run(request, run, purge_run);
    else
        submit(request, 0, 0);
}

void handle_run_delete(struct request *request)
{
    struct galloc_error error;
    bool is_release = false;
    if (query_bool(request, "release", false, &is_release, &error) < 0) {
        request_fail(request, &error);
        return;
    }
    begin(request, is_release);
    handler_with_run(request, NULL, purge_run);
}
