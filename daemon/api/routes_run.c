/* Runs: list, show, and what an operator changes of one that stands. See routes_create.c and routes_part.c for how one begins. */
#include "api/handler.h"

#include "api/prompt_size.h"

#include "base/text.h"

#include <inttypes.h>
#include <string.h>

/* ---- list and show ---- */

/* States as they are shown; the store knows no `paused`. */
static const struct {
    const char *name;
    unsigned stored;
} shown_states[] = {
    {"importing", 1u << RUN_IMPORTING}, {"running", 1u << RUN_RUNNING}, {"paused", (1u << RUN_RUNNING) | (1u << RUN_IMPORTING)},
    {"done", 1u << RUN_DONE},           {"cancelled", 1u << RUN_CANCELLED},
};

static int read_shown_states(struct request *request, struct page *page, struct galloc_error *error)
{
    char *text;
    int rc = http_query(&request->head, "state", 0, &text, error);
    if (rc < 0 || text == NULL)
        return rc;
    for (const char *at = text; rc == 0 && *at != '\0';) {
        size_t len = strcspn(at, ","), i = 0;
        while (i < ARRAY_COUNT(shown_states) && (strlen(shown_states[i].name) != len || memcmp(shown_states[i].name, at, len) != 0))
            i++;
        if (i == ARRAY_COUNT(shown_states)) {
            rc = galloc_fail(error, GALLOC_INVALID_VALUE, "there is no state \"%.*s\"; states of runs are importing, running, paused, done, cancelled",
                             (int)(len < 60 ? len : 60), at);
            break;
        }
        page->shown_states |= 1u << i;
        page->selector.states |= shown_states[i].stored;
        at += len + (at[len] == ',');
    }
    free(text);
    return rc;
}

static bool is_shown(const struct page *page, const struct run_entry *run)
{
    if (page->shown_states == 0)
        return true;
    struct run_view view = {0};
    run_view(run, &view);
    for (size_t i = 0; i < ARRAY_COUNT(shown_states); i++)
        if ((page->shown_states & 1u << i) != 0 && strcmp(shown_states[i].name, view.state) == 0)
            return true;
    return false;
}

static bool run_row(struct request *request, struct json_out *out, const struct store_read *read, size_t row)
{
    struct page *page = request->state;
    const struct store_run *info = &read->ret_runs[row];
    if (info->created_at_ms < page->since_ms) {
        page->is_over = true;
        return false;
    }
    struct run_entry aside = {.info = *info};
    const struct run_entry *run = registry_run_by_id(engine_registry(request->api->config.engine), info->id);
    if (run == NULL)
        run = &aside;
    if (!is_shown(page, run))
        return false;
    run_json(out, run);
    return true;
}

void handle_run_list(struct request *request)
{
    struct galloc_error error;
    struct page *page = page_new(request, QUERY_RUNS);
    page->row = run_row;
    int rc = page_parameters(request, page, &error);
    if (rc == 0)
        rc = query_time(request, "since", &page->since_ms, &error);
    if (rc == 0)
        rc = read_shown_states(request, page, &error);
    if (rc < 0)
        request_fail(request, &error);
    else
        page_start(request);
}

static void on_run_read(struct store_op *op)
{
    struct store_read *read = (struct store_read *)op;
    struct request *request = op->arg;
    if (op->code < 0) {
        request_fail_op(request, op);
    } else if (read->ret_row_count == 0) {
        request_fail_fmt(request, GALLOC_NOT_FOUND, "there is no run \"%.128s\" (gallocctl runs lists them)", request->params[0]);
    } else {
        struct json_out out = JSON_OUT(&request->out);
        store_run_json(&out, &read->ret_runs[0]);
        request_reply(request, 200);
    }
    store_op_free(op);
}

void handle_run_show(struct request *request)
{
    struct galloc_error error;
    struct run_entry *run = handler_run(request, &error);
    if (run != NULL) {
        handler_reply_run(request, run->info.id, 200);
        return;
    }
    if (error.code != GALLOC_NOT_FOUND || strcmp(request->params[0], "@last") == 0) {
        request_fail(request, &error);
        return;
    }
    struct store_read *read = handler_op(request, OP_READ, on_run_read); /* one that ended long ago */
    read->query = QUERY_RUN;
    read->key = xstrdup(request->params[0]);
    read->limit = 1;
    handler_submit(request, &read->op);
}

/* ---- changes: the operation, then the run as it is now ---- */

/* The run that a request's operation is about: kept beside the operation, whose own struct is the store's. */
struct target {
    int64_t run;
};

static void on_changed(struct store_op *op)
{
    struct request *request = op->arg;
    int64_t run = ((struct target *)request->state)->run;
    if (op->code < 0)
        request_fail_op(request, op);
    else
        handler_reply_run(request, run, 200);
    store_op_free(op);
}

static struct run_entry *find_target(struct request *request)
{
    struct galloc_error error;
    struct run_entry *run = handler_run(request, &error);
    if (run == NULL) {
        request_fail(request, &error);
        return NULL;
    }
    struct target *target = xcalloc(1, sizeof *target);
    target->run = run->info.id;
    request->state = target;
    request->state_free = free;
    return run;
}

static bool is_ended(const struct run_entry *run)
{
    return run->info.state == RUN_DONE || run->info.state == RUN_CANCELLED;
}

void handle_run_commit(struct request *request)
{
    struct run_entry *run = find_target(request);
    if (run == NULL)
        return;
    int64_t parts = json_get_i64(request->json, "parts", 0);
    if (run->info.state != RUN_IMPORTING && run->info.started_at_ms != 0 && run->info.parts == parts) { /* the same commit again */
        handler_reply_run(request, run->info.id, 200);
        return;
    }
    struct store_run_commit *commit = handler_op(request, OP_RUN_COMMIT, on_changed);
    commit->peer = request->peer;
    commit->run = run->info.id;
    commit->parts = parts;
    handler_submit(request, &commit->op);
}

static void change_pauses(struct request *request, unsigned set, unsigned clear)
{
    struct run_entry *run = find_target(request);
    if (run == NULL)
        return;
    if (is_ended(run)) {
        request_fail_fmt(request, GALLOC_WRONG_STATE, "run %s is %s: there is nothing to pause or resume (gallocctl retry makes assignments pending again)",
                         run->info.run_id, run_state_name(run->info.state));
        return;
    }
    struct store_run_pause *pause = handler_op(request, OP_RUN_PAUSE, on_changed);
    pause->peer = request->peer;
    pause->is_by_person = true;
    pause->run = run->info.id;
    pause->set = set;
    pause->clear = clear;
    handler_submit(request, &pause->op);
}

void handle_run_pause(struct request *request)
{
    change_pauses(request, PAUSE_BIT(PAUSE_OPERATOR), 0);
}

void handle_run_resume(struct request *request)
{
    change_pauses(request, 0, PAUSE_BIT(PAUSE_CAUSE_COUNT) - 1);
}

/* ---- cancel and retry ---- */

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

static void sweep(struct request *request, enum store_sweep_verb verb)
{
    struct galloc_error error;
    struct store_selector selector;
    struct run_entry *run = handler_run(request, &error);
    int rc = run ? selector_from_json(request->json, &selector, &error) : -error.code;
    if (rc < 0) {
        request_fail(request, &error);
        return;
    }
    struct store_sweep *op = handler_op(request, OP_SWEEP, on_swept);
    op->peer = request->peer;
    op->is_by_person = true;
    op->run = run->info.id;
    op->verb = verb;
    op->selector = selector;
    handler_submit(request, &op->op);
}

void handle_run_cancel(struct request *request)
{
    sweep(request, SWEEP_CANCEL);
}

void handle_run_retry(struct request *request)
{
    sweep(request, SWEEP_RETRY);
}

/* ---- set ---- */

/* The plan with what is live in it changed, as JSON; NULL: it stays as it is. Owned. */
static int changed_plan(const struct run_entry *run, struct json_object *body, char **ret_plan, struct galloc_error *error)
{
    const char *endpoint = json_get_str(body, "endpoint", NULL), *profile = json_get_str(body, "profile", NULL);
    *ret_plan = NULL;
    if (run->info.plan == NULL || (endpoint == NULL && profile == NULL && json_get(body, "priority") == NULL))
        return 0;
    struct plan plan;
    int rc = plan_parse(run->info.plan, strlen(run->info.plan), &plan, error);
    if (rc < 0)
        return rc;
    if (endpoint != NULL) {
        free(plan.endpoint);
        plan.endpoint = xstrdup(endpoint);
    }
    if (profile != NULL) {
        free(plan.profile);
        plan.profile = xstrdup(profile);
    }
    plan.priority = json_get_i64(body, "priority", plan.priority);
    struct buf text = BUF_EMPTY;
    plan_to_json(&plan, &text);
    plan_clear(&plan);
    *ret_plan = buf_take(&text);
    return 0;
}

static int check_set(struct request *request, const struct run_entry *run, struct galloc_error *error)
{
    struct engine *engine = request->api->config.engine;
    const char *endpoint = json_get_str(request->json, "endpoint", NULL), *profile = json_get_str(request->json, "profile", NULL);
    const char *name = json_get_str(request->json, "name", NULL);
    bool has_live = endpoint != NULL || profile != NULL || json_get(request->json, "priority") != NULL;
    if (!has_live && name == NULL)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "nothing to change: give priority, endpoint, profile or name");
    if (endpoint != NULL && registry_endpoint(engine_registry(engine), endpoint) == NULL && !plan_is_workers(endpoint))
        return galloc_fail(error, GALLOC_NOT_FOUND, "there is no endpoint \"%s\" (gallocctl endpoint list)", endpoint);
    if (profile != NULL && config_profile(engine_configuration(engine), profile) == NULL)
        return galloc_fail(error, GALLOC_NOT_FOUND, "there is no profile \"%s\" (gallocctl profile list)", profile);
    if (name != NULL && (name[0] == '@' || strncmp(name, "r-", 2) == 0))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "a name may not begin with \"r-\" or \"@\": those are ids and @last");
    if (has_live && is_ended(run))
        return galloc_fail(error, GALLOC_WRONG_STATE, "run %s is %s: only its name can be changed", run->info.run_id, run_state_name(run->info.state));
    if (endpoint != NULL && run->is_on_workers && run->has_plan && run->pool != NULL && !plan_is_workers(endpoint))
        return prompt_size_check(&run->plan, run->pool, NULL, error); /* it had no prompt so far */
    return 0;
}

void handle_run_set(struct request *request)
{
    struct run_entry *run = find_target(request);
    if (run == NULL)
        return;
    struct galloc_error error;
    char *plan = NULL;
    int rc = check_set(request, run, &error);
    if (rc == 0)
        rc = changed_plan(run, request->json, &plan, &error);
    if (rc < 0) {
        request_fail(request, &error);
        return;
    }
    struct store_run_set *set = handler_op(request, OP_RUN_SET, on_changed);
    set->peer = request->peer;
    set->run = run->info.id;
    set->priority = json_get_i64(request->json, "priority", INT64_MIN);
    set->endpoint = xstrdup(json_get_str(request->json, "endpoint", NULL));
    set->profile = xstrdup(json_get_str(request->json, "profile", NULL));
    set->name = xstrdup(json_get_str(request->json, "name", NULL));
    set->plan = plan;
    handler_submit(request, &set->op);
}
