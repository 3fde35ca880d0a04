/* See handler.h: small things that several handlers need. */
#include "api/handler.h"

#include "base/clock.h"
#include "base/text.h"
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

#define IDEMPOTENCY_KEY_BYTES 128

int handler_idempotency_key(const struct request *request, char **ret_key, struct galloc_error *error)
{
    const char *key = http_header(&request->head, "idempotency-key");
    if (key != NULL && (key[0] == '\0' || strlen(key) > IDEMPOTENCY_KEY_BYTES || !text_is_utf8(key, strlen(key))))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "the header Idempotency-Key has to have 1 to %d bytes of UTF-8", IDEMPOTENCY_KEY_BYTES);
    *ret_key = xstrdup(key);
    return 0;
}

/* ---- runs ---- */

/* What waits for a run. */
struct lookup {
    struct request *request;
    handler_then *then; /* NULL: the run is the answer */
    int status;         /* of that */
};

static void on_found(struct run_entry *run, const struct galloc_error *error, void *arg)
{
    struct lookup lookup = *(struct lookup *)arg;
    free(arg);
    if (run == NULL) {
        request_fail(lookup.request, error);
    } else if (lookup.then != NULL) {
        lookup.then(lookup.request, run);
    } else {
        struct json_out out = JSON_OUT(&lookup.request->out);
        run_json(&out, run);
        request_reply(lookup.request, lookup.status);
    }
}

static void find_run(struct lookup wanted, const char *reference, bool with_plan)
{
    struct engine *engine = wanted.request->api->config.engine;
    struct lookup *lookup = xmalloc(sizeof *lookup);
    *lookup = wanted;
    if (!wanted.request->api->is_closing) {
        engine_find_run(engine, reference, with_plan, on_found, lookup);
        return;
    }
    struct galloc_error error; /* the store takes nothing more: what memory has of it has to do */
    bool is_sure;
    struct run_entry *run = registry_find_run(engine_registry(engine), reference, &is_sure, &error);
    if (run == NULL)
        galloc_fail(&error, GALLOC_DRAINING, "the daemon is stopping");
    on_found(run, &error, lookup);
}

void handler_with_run(struct request *request, const char *reference, handler_then *then)
{
    find_run((struct lookup){request, then, 0}, reference ? reference : request->params[0], false);
}

void handler_with_plan(struct request *request, handler_then *then)
{
    find_run((struct lookup){request, then, 0}, request->params[0], true);
}

void handler_reply_run(struct request *request, const char *run_id, int status)
{
    find_run((struct lookup){request, NULL, status}, run_id, false);
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

static bool is_back(int64_t until_at_ms)
{
    return until_at_ms != 0 && until_at_ms <= clock_wall_ms();
}

void presence_members(struct json_out *out, const struct store_read *read, size_t row)
{
    if (is_back(read_int(read, row, LOAD_UNTIL, 0))) {
        json_out_member_bool(out, "available", true);
        json_out_member_null(out, "until");
        return;
    }
    cell_member(out, "available", read, row, LOAD_IS_AVAILABLE);
    cell_member(out, "until", read, row, LOAD_UNTIL);
}

int64_t places_free(int64_t capacity, int64_t held, bool is_available, int64_t until_at_ms)
{
    if (!is_available && !is_back(until_at_ms))
        return 0;
    return capacity < 0 ? -1 : max_i64(capacity - held, 0);
}

void pool_count(const struct pool_entry *pool, struct pool_totals *ret_totals)
{
    struct pool_totals totals = {.capacity = pool->is_endless ? -1 : 0, .free = pool->is_endless ? -1 : 0};
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
        int64_t places = places_free(agent->capacity, agent->held, agent->is_available, agent->until_at_ms);
        totals.free = places < 0 || totals.free < 0 ? -1 : totals.free + places;
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
