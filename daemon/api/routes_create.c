/* POST /v1/runs: the plan is checked against what the daemon has (endpoint, pool, profile, the size of a prompt), then the run is made in the store. */
#include "api/handler.h"

#include "api/budget_check.h"
#include "api/match_check.h"
#include "api/prompt_size.h"

#include "core/limits.h"

#include "base/text.h"

#include <string.h>

static const char *nearest_pool(struct registry *registry, const char *name)
{
    const char *names[256];
    size_t count = 0;
    for (struct pool_entry *pool = registry->pools; pool != NULL && count < ARRAY_COUNT(names); pool = pool->next)
        if (pool->name != NULL)
            names[count++] = pool->name;
    return text_nearest(name, names, count);
}

/* Can this one be asked what the plan asks? */
static int check_endpoint(const struct plan *plan, const struct endpoint *endpoint, struct galloc_error *error)
{
    const char *name = endpoint->config->name, *provider = endpoint->provider->name;
    if (plan_is_question(plan) && endpoint->provider->add_schema == NULL)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the endpoint \"%s\" (provider %s) allocates alone: a run with a schema needs another one", name, provider);
    if (plan_is_question(plan) && plan->template == NULL)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the endpoint \"%s\" is sent a prompt, and a run with a schema has none but its own template, which is missing", name);
    if (plan->template != NULL && !endpoint->provider->takes_prompt)
        return galloc_fail(error, GALLOC_INVALID_INPUT,
                           "the endpoint \"%s\" takes no prompt (provider %s): it is sent the fields and the candidates; leave the template out", name, provider);
    return 0;
}

int create_check_endpoints(struct engine *engine, const struct plan *plan, const char *names, struct galloc_error *error)
{
    struct endpoint *endpoints[LADDER_MOST];
    size_t count;
    int rc = engine_check_endpoints(engine, names, endpoints, &count, error);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = check_endpoint(plan, endpoints[i], error);
    return rc;
}

/* Fills the endpoint in and finds what the plan names. */
int create_resolve(struct engine *engine, struct plan *plan, struct pool_entry **ret_pool, struct galloc_error *error)
{
    struct registry *registry = engine_registry(engine);
    const struct config *config = engine_configuration(engine);
    if (plan->endpoint == NULL)
        plan->endpoint = xstrdup(config->default_endpoint);
    int rc = create_check_endpoints(engine, plan, plan->endpoint, error);
    if (rc < 0)
        return rc;
    *ret_pool = plan_is_question(plan) ? &registry->nobody : NULL;
    if (plan->pool == NULL)
        return 0;
    *ret_pool = registry_pool_by_name(registry, plan->pool);
    if (*ret_pool != NULL)
        return 0;
    const char *nearest = nearest_pool(registry, plan->pool);
    return galloc_fail(error, GALLOC_NOT_FOUND, "there is no pool \"%s\"%s%s%s (gallocctl pool import makes one)", plan->pool, nearest ? "; did you mean \"" : "",
                       nearest ? nearest : "", nearest ? "\"?" : "");
}

/* 422 with `errors` needs nothing more than the problem; 409 already_enqueued carries the run. */
static void fail_already_enqueued(struct request *request, struct run_entry *run)
{
    struct galloc_error error;
    struct buf members = BUF_EMPTY;
    struct json_out out = JSON_OUT(&members);
    galloc_fail(&error, GALLOC_ALREADY_ENQUEUED, "this input is run %s (%s); nothing enqueued; to run it again: --again", run->info.run_id,
                run_state_name(run->info.state));
    json_out_name(&out, "run");
    run_json(&out, run);
    request_fail_with(request, &error, members.data);
    buf_clear(&members);
}

static void on_created(struct store_op *op)
{
    struct store_run_create *create = (struct store_run_create *)op;
    struct request *request = op->arg;
    if (op->code == -GALLOC_ALREADY_ENQUEUED) {
        handler_with_run(request, create->ret_existing, fail_already_enqueued);
    } else if (op->code < 0) {
        request_fail_op(request, op);
    } else {
        handler_reply_run(request, create->ret_run.run_id, create->ret_how == RUN_NEW ? 201 : 200);
    }
    store_op_free(op);
}

/* What tells a repeat: the plan, and the pool's name or its agents; not a copy of a pool's agents, whose loads move on (the plan names the pool). */
static char *plan_digest(const char *plan, bool is_copy, struct json_object *body)
{
    unsigned char digest[DIGEST_BYTES];
    char hex[DIGEST_HEX];
    struct buf text = BUF_EMPTY;
    buf_add_str(&text, plan);
    json_to_text(json_get(body, "pool"), &text);
    if (!is_copy)
        json_to_text(json_get(body, "agents"), &text);
    digest_of(text.data, text.len, digest);
    digest_hex(digest, hex);
    buf_clear(&text);
    return xstrdup(hex);
}

static int take_idempotency_key(struct request *request, struct store_run_create *create, struct galloc_error *error)
{
    int rc = handler_idempotency_key(request, &create->idempotency_key, error);
    if (rc < 0 || create->idempotency_key == NULL)
        return rc;
    unsigned char digest[DIGEST_BYTES];
    char hex[DIGEST_HEX];
    digest_of(request->body.data, request->body.len, digest);
    digest_hex(digest, hex);
    create->request_sha256 = xstrdup(hex);
    return 0;
}

static void submit(struct request *request, struct store_run_create *create, const struct plan *plan)
{
    struct buf text = BUF_EMPTY;
    plan_to_json(plan, &text);
    create->peer = request->peer;
    create->run.name = xstrdup(plan->name);
    create->run.endpoint = xstrdup(plan->endpoint);
    create->run.profile = xstrdup(plan->profile);
    create->run.plan = buf_take(&text);
    create->run.priority = plan->priority;
    create->run.is_open = plan->is_open;
    create->run.pauses = plan->is_paused ? PAUSE_BIT(PAUSE_OPERATOR) : 0;
    create->run.source_name = xstrdup(plan->source_name);
    create->run.source_sha256 = xstrdup(plan->source_sha256);
    create->pool = xstrdup(plan->pool);
    create->plan_sha256 = plan_digest(create->run.plan, plan->copy_of != NULL, request->json);
    create->is_again = plan->is_again;
    handler_submit(request, &create->op);
}

void handle_run_create(struct request *request)
{
    struct engine *engine = request->api->config.engine;
    const struct config *config = engine_configuration(engine);
    struct galloc_error error;
    struct plan plan = {0};
    int rc = plan_read(request->json, config->profiles, config->profile_count, &plan, &error);
    if (rc < 0) {
        request_fail(request, &error);
        return;
    }
    struct store_run_create *create = handler_op(request, OP_RUN_CREATE, on_created);
    struct pool_entry *pool = NULL;
    rc = create_resolve(engine, &plan, &pool, &error);
    if (rc == 0)
        rc = plan_check_template(&plan, config->keep_back, &error);
    if (rc == 0 && pool == NULL)
        rc = agents_read(json_get(request->json, "agents"), &create->agents, &error);
    if (rc == 0)
        rc = match_check(&plan, pool, &create->agents, &error);
    if (rc == 0 && !plan_is_workers(plan.endpoint)) /* outside workers get no prompt */
        rc = prompt_size_check(&plan, pool, &create->agents, &error);
    if (rc == 0)
        rc = budget_check(engine, &plan, pool, &create->agents, &error);
    if (rc == 0)
        rc = take_idempotency_key(request, create, &error);
    if (rc < 0) {
        store_op_free(&create->op);
        request_fail(request, &error);
    } else {
        submit(request, create, &plan);
    }
    plan_clear(&plan);
}
