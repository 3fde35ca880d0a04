/* See handler.h: small things that several handlers need. */
#include "api/handler.h"

#include "ingest/ingest.h"

#include <inttypes.h>
#include <pwd.h>
#include <string.h>

void *handler_op(struct request *request, enum store_op_kind kind, void (*done)(struct store_op *op))
{
    return store_op_new(kind, done, request);
}

/* While the daemon closes, the store takes nothing more: whoever asks hears it at once. */
static void submit(struct api *api, struct store_op *op)
{
    if (!api->is_closing) {
        engine_submit(api->config.engine, op);
        return;
    }
    op->code = galloc_fail(&op->error, GALLOC_DRAINING, "the daemon is stopping");
    op->done(op);
}

void handler_submit(struct request *request, struct store_op *op)
{
    submit(request->api, op);
}

static void on_audit(struct store_op *op)
{
    store_op_free(op);
}

void handler_audit(struct request *request, const char *verb, const char *target, const char *detail)
{
    struct store_audit *audit = store_op_new(OP_AUDIT, on_audit, NULL);
    audit->peer = request->peer;
    audit->verb = xstrdup(verb);
    audit->target = xstrdup(target);
    audit->detail = xstrdup(detail ? detail : "{}");
    handler_submit(request, &audit->op);
}

struct run_entry *handler_run(struct request *request, struct galloc_error *error)
{
    return registry_find_run(engine_registry(request->api->config.engine), request->params[0], error);
}

/* What waits for a look into the store. */
struct lookup {
    struct request *request;
    void (*then)(struct request *request, const struct run_ref *run);
};

static void on_run_found(struct store_op *op)
{
    struct store_read *read = (struct store_read *)op;
    struct lookup lookup = *(struct lookup *)op->arg;
    free(op->arg);
    if (op->code < 0 || read->ret_row_count == 0) {
        if (op->code == 0)
            request_fail_fmt(lookup.request, GALLOC_NOT_FOUND, "there is no such run (gallocctl runs lists them)");
        else
            request_fail_op(lookup.request, op);
        store_op_free(op);
        return;
    }
    const struct store_run *found = &read->ret_runs[0];
    struct run_ref run = {.id = found->id, .pool = found->pool};
    memcpy(run.run_id, found->run_id, sizeof run.run_id);
    run.entry = registry_run_by_id(engine_registry(lookup.request->api->config.engine), found->id);
    store_op_free(op);
    lookup.then(lookup.request, &run);
}

void handler_with_run(struct request *request, const char *reference, void (*then)(struct request *request, const struct run_ref *run))
{
    struct galloc_error error;
    struct run_entry *entry = registry_find_run(engine_registry(request->api->config.engine), reference, &error);
    if (entry != NULL) {
        struct run_ref run = {.id = entry->info.id, .pool = entry->info.pool, .entry = entry};
        memcpy(run.run_id, entry->info.run_id, sizeof run.run_id);
        then(request, &run);
        return;
    }
    if (error.code != GALLOC_NOT_FOUND || strcmp(reference, "@last") == 0) {
        request_fail(request, &error);
        return;
    }
    struct lookup *lookup = xcalloc(1, sizeof *lookup);
    *lookup = (struct lookup){.request = request, .then = then};
    struct store_read *read = store_op_new(OP_READ, on_run_found, lookup);
    read->query = QUERY_RUN;
    read->key = xstrdup(reference);
    read->limit = 1;
    submit(request->api, &read->op);
}

void handler_reply_run(struct request *request, int64_t run, int status)
{
    struct run_entry *entry = registry_run_by_id(engine_registry(request->api->config.engine), run);
    if (entry == NULL) {
        request_fail_fmt(request, GALLOC_NOT_FOUND, "the run is gone");
        return;
    }
    struct json_out out = JSON_OUT(&request->out);
    run_json(&out, entry);
    request_reply(request, status);
}

/* ---- agents ---- */

struct agent_list {
    struct store_agents *agents;
    size_t cap;
};

static void add_agent(const struct ingest_agent *agent, void *arg)
{
    struct agent_list *list = arg;
    struct store_agents *agents = list->agents;
    if (agents->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 32;
        agents->items = xreallocarray(agents->items, list->cap, sizeof *agents->items);
    }
    agents->items[agents->count++] = (struct store_agent){
        .agent_id = xstrdup(agent->agent_id),
        .attributes = xstrdup(agent->attributes),
        .capacity = agent->capacity,
        .held = agent->load,
        .is_available = agent->is_available,
        .is_listed = true,
        .until_at_ms = agent->until_at_ms,
    };
}

int agents_read(struct json_object *array, struct store_agents *ret_agents, struct galloc_error *error)
{
    struct store_agents agents = {0};
    struct agent_list list = {.agents = &agents};
    int rc = ingest_agents(array, add_agent, &list, error);
    if (rc < 0)
        store_agents_clear(&agents);
    else
        *ret_agents = agents;
    return rc;
}

void pool_count(const struct pool_entry *pool, struct pool_totals *ret_totals)
{
    struct pool_totals totals = {0};
    for (size_t i = 0; i < pool->agent_count; i++) {
        const struct store_agent *agent = &pool->agents[i].info;
        totals.held += agent->held;
        if (!agent->is_listed)
            continue;
        totals.agent_count++;
        if (agent->capacity < 0)
            totals.capacity = -1;
        else if (totals.capacity >= 0)
            totals.capacity += agent->capacity;
        if (!agent->is_available)
            continue;
        if (agent->capacity < 0)
            totals.free = -1;
        else if (totals.free >= 0)
            totals.free += max_i64(agent->capacity - agent->held, 0);
    }
    *ret_totals = totals;
}

void account_name(uint32_t uid, char *ret_name, size_t size)
{
    snprintf(ret_name, size, "uid %" PRIu32, uid);
    FILE *file = fopen("/etc/passwd", "re");
    if (file == NULL)
        return;
    for (const struct passwd *row; (row = fgetpwent(file)) != NULL;)
        if (row->pw_uid == uid) {
            snprintf(ret_name, size, "%s", row->pw_name);
            break;
        }
    fclose(file);
}
