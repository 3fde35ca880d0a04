/* Runs: list, show, and what an operator changes of one that stands. See routes_create.c and routes_part.c for how one begins. */
#include "api/handler.h"

#include "api/budget_check.h"
#include "api/prompt_size.h"

#include "base/clock.h"
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

static void show(struct request *request, struct run_entry *run)
{
    struct json_out out = JSON_OUT(&request->out);
    run_json(&out, run);
    request_reply(request, 200);
}

void handle_run_show(struct request *request)
{
    handler_with_plan(request, show);
}

/* ---- changes: the operation, then the run as it is now ---- */

/* The run that a request's operation is about: kept beside the operation, whose own struct is the store's. */
struct target {
    char run_id[RUN_ID_BYTES];
};

static void on_changed(struct store_op *op)
{
    struct request *request = op->arg;
    const struct target *target = request->state;
    if (op->code < 0)
        request_fail_op(request, op);
    else
        handler_reply_run(request, target->run_id, 200);
    store_op_free(op);
}

/* An operation on a run whose answer is the run as it is after it. */
static void *op_on(struct request *request, const struct run_entry *run, enum store_op_kind kind)
{
    struct target *target = xcalloc(1, sizeof *target);
    memcpy(target->run_id, run->info.run_id, sizeof target->run_id);
    request->state = target;
    request->state_free = free;
    return handler_op(request, kind, on_changed);
}

static bool is_ended(const struct run_entry *run)
{
    return run->info.state == RUN_DONE || run->info.state == RUN_CANCELLED;
}

static void commit_run(struct request *request, struct run_entry *run)
{
    int64_t parts = json_get_i64(request->json, "parts", 0);
    if (run->info.state != RUN_IMPORTING && run->info.started_at_ms != 0 && run->info.parts == parts) { /* the same commit again */
        show(request, run);
        return;
    }
    struct store_run_commit *commit = op_on(request, run, OP_RUN_COMMIT);
    commit->peer = request->peer;
    commit->run = run->info.id;
    commit->parts = parts;
    handler_submit(request, &commit->op);
}

void handle_run_commit(struct request *request)
{
    handler_with_run(request, NULL, commit_run);
}

static void change_pauses(struct request *request, const struct run_entry *run, unsigned set, unsigned clear)
{
    if (is_ended(run)) {
        request_fail_fmt(request, GALLOC_WRONG_STATE, "run %s is %s: there is nothing to pause or resume (gallocctl retry makes assignments pending again)",
                         run->info.run_id, run_state_name(run->info.state));
        return;
    }
    struct store_run_pause *pause = op_on(request, run, OP_RUN_PAUSE);
    pause->peer = request->peer;
    pause->is_by_person = true;
    pause->run = run->info.id;
    pause->set = set;
    pause->clear = clear;
    handler_submit(request, &pause->op);
}

static void pause_run(struct request *request, struct run_entry *run)
{
    change_pauses(request, run, PAUSE_BIT(PAUSE_OPERATOR), 0);
}

static void resume_run(struct request *request, struct run_entry *run)
{
    change_pauses(request, run, 0, PAUSE_BIT(PAUSE_CAUSE_COUNT) - 1);
}

void handle_run_pause(struct request *request)
{
    handler_with_run(request, NULL, pause_run);
}

void handle_run_resume(struct request *request)
{
    handler_with_run(request, NULL, resume_run);
}

static void close_run(struct request *request, struct run_entry *run)
{
    struct store_run_close *close = op_on(request, run, OP_RUN_CLOSE);
    close->peer = request->peer;
    close->run = run->info.id;
    handler_submit(request, &close->op);
}

void handle_run_close(struct request *request)
{
    handler_with_run(request, NULL, close_run);
}

/* ---- set ---- */

/* Does the body change what lives in the plan? */
static bool has_live(struct json_object *body)
{
    static const char *const live[] = {"endpoint", "profile", "priority", "pack", "max_cost"};
    for (size_t i = 0; i < ARRAY_COUNT(live); i++)
        if (json_get(body, live[i]) != NULL)
            return true;
    return false;
}

/* "none", or an amount. */
static int change_max_cost(struct plan *plan, const char *text, struct galloc_error *error)
{
    if (text == NULL)
        return 0;
    if (strcmp(text, "none") == 0) {
        plan->max_cost = (struct amount){.is_set = false};
        return 0;
    }
    return amount_parse(text, &plan->max_cost, error) < 0 ? galloc_prefix(error, "\"max_cost\"") : 0;
}

/* The run's plan with what is live in it changed. The caller clears it. */
static int changed_plan(const struct run_entry *run, struct json_object *body, struct plan *ret_plan, struct galloc_error *error)
{
    if (run->info.plan == NULL)
        return galloc_fail(error, GALLOC_BUSY, "the plan of run %s cannot be read just now; try again", run->info.run_id);
    int rc = plan_parse(run->info.plan, strlen(run->info.plan), ret_plan, error);
    if (rc < 0)
        return rc;
    const char *endpoint = json_get_str(body, "endpoint", NULL), *profile = json_get_str(body, "profile", NULL);
    if (endpoint != NULL) {
        free(ret_plan->endpoint);
        ret_plan->endpoint = xstrdup(endpoint);
    }
    if (profile != NULL) {
        free(ret_plan->profile);
        ret_plan->profile = xstrdup(profile);
    }
    ret_plan->priority = json_get_i64(body, "priority", ret_plan->priority);
    ret_plan->pack = json_get_i64(body, "pack", ret_plan->pack);
    return change_max_cost(ret_plan, json_get_str(body, "max_cost", NULL), error);
}

/* What a run costs is one sum, and has one currency. */
static int check_currency(const struct run_entry *run, const struct endpoint *endpoint, struct galloc_error *error)
{
    const struct price *price = endpoint != NULL ? endpoint_price(endpoint, TIER_STANDARD, clock_wall_ms()) : NULL;
    if (price == NULL || run->endpoint == NULL || run->info.counts[COUNT_COST_MICROS] == 0 || strcmp(price->currency, run->endpoint->currency) == 0)
        return 0;
    return galloc_fail(error, GALLOC_CONFLICT, "run %s has cost so far what is counted in %s, and the price of %s is in %s: the two cannot be added", run->info.run_id,
                       run->endpoint->currency, endpoint->config->name, price->currency);
}

static int check_set(struct request *request, const struct run_entry *run, struct galloc_error *error)
{
    struct engine *engine = request->api->config.engine;
    const char *endpoint = json_get_str(request->json, "endpoint", NULL), *profile = json_get_str(request->json, "profile", NULL);
    const char *name = json_get_str(request->json, "name", NULL);
    if (!has_live(request->json) && name == NULL)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "nothing to change: give priority, pack, endpoint, profile, max_cost or name");
    struct endpoint *endpoints[LADDER_MOST];
    size_t count = 0;
    int rc = endpoint != NULL ? engine_check_endpoints(engine, endpoint, endpoints, &count, error) : 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = check_currency(run, endpoints[i], error);
    if (rc < 0)
        return rc;
    if (profile != NULL && config_profile(engine_configuration(engine), profile) == NULL)
        return galloc_fail(error, GALLOC_NOT_FOUND, "there is no profile \"%s\" (gallocctl profile list)", profile);
    if (name != NULL && (name[0] == '@' || strncmp(name, "r-", 2) == 0))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "a name may not begin with \"r-\" or \"@\": those are ids and @last");
    if (has_live(request->json) && is_ended(run))
        return galloc_fail(error, GALLOC_WRONG_STATE, "run %s is %s: only its name can be changed", run->info.run_id, run_state_name(run->info.state));
    if (endpoint != NULL && run->has_plan && plan_is_question(&run->plan))
        return create_check_endpoints(engine, &run->plan, endpoint, error);
    if (endpoint != NULL && run->is_on_workers && run->has_plan && run->pool != NULL && !plan_is_workers(endpoint))
        rc = prompt_size_check(&run->plan, run->pool, NULL, error); /* it had no prompt so far */
    return rc;
}

static char *amount_text(const struct amount *amount)
{
    struct buf text = BUF_EMPTY;
    if (amount->is_set)
        amount_add_text(&text, amount);
    char *copy = xstrdup(buf_text(&text));
    buf_clear(&text);
    return copy;
}

static void submit_set(struct request *request, const struct run_entry *run, const struct plan *plan)
{
    struct store_run_set *set = op_on(request, run, OP_RUN_SET);
    set->peer = request->peer;
    set->run = run->info.id;
    set->priority = json_get_i64(request->json, "priority", INT64_MIN);
    set->endpoint = xstrdup(json_get_str(request->json, "endpoint", NULL));
    set->profile = xstrdup(json_get_str(request->json, "profile", NULL));
    set->name = xstrdup(json_get_str(request->json, "name", NULL));
    if (json_get(request->json, "max_cost") != NULL) {
        set->max_cost = amount_text(&plan->max_cost);
        set->max_cost_before = amount_text(&run->plan.max_cost);
        set->clear = PAUSE_BIT(PAUSE_BUDGET); /* one that is still too small pauses it again */
    }
    if (has_live(request->json)) {
        struct buf text = BUF_EMPTY;
        plan_to_json(plan, &text);
        set->plan = buf_take(&text);
    }
    handler_submit(request, &set->op);
}

static void set_run(struct request *request, struct run_entry *run)
{
    struct galloc_error error;
    struct plan plan = {0};
    bool is_live = has_live(request->json);
    int rc = check_set(request, run, &error);
    if (rc == 0 && is_live)
        rc = changed_plan(run, request->json, &plan, &error);
    if (rc == 0 && (json_get(request->json, "endpoint") != NULL || json_get(request->json, "max_cost") != NULL) && run->pool != NULL)
        rc = budget_check(request->api->config.engine, &plan, run->pool, NULL, &error);
    if (rc < 0)
        request_fail(request, &error);
    else
        submit_set(request, run, &plan);
    plan_clear(&plan);
}

void handle_run_set(struct request *request)
{
    handler_with_plan(request, set_run);
}
