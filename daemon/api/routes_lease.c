/* Leases of outside workers: work is asked for (and waited for), renewed, given back, and its results told. A worker that is gone while it waits leaves no lease
 * behind. What is permitted to whom is in the table of routes: these are for operators and for the workers' socket. */
#include "api/handler.h"

#include "core/limits.h"
#include "dispatch/outside.h"

#include "base/clock.h"
#include "base/parse.h"
#include "base/text.h"

#include <inttypes.h>
#include <string.h>

#define LEASE_DIGITS 24
#define ANSWER_MS 10000 /* a store that fails keeps what was told to it; the worker is not kept so long */

/* A request that waits for the store, and gets an answer even when the store has none in time. */
struct waiting {
    struct request *request; /* NULL: answered */
    struct loop_timer late;
};

static void on_late(void *arg)
{
    struct waiting *waiting = arg;
    struct request *request = waiting->request;
    waiting->request = NULL;
    request_fail_fmt(request, GALLOC_OUTCOME_UNKNOWN, "the store has not answered within %d s; it may be stored all the same: tell it again, which changes nothing twice", ANSWER_MS / 1000);
}

static struct waiting *waiting_new(struct request *request)
{
    struct waiting *waiting = xcalloc(1, sizeof *waiting);
    waiting->request = request;
    loop_timer_init(&waiting->late, request->api->config.loop, on_late, waiting);
    loop_timer_set_ms(&waiting->late, ANSWER_MS);
    return waiting;
}

/* The store has answered. The request, or NULL when it was answered before. */
static struct request *waiting_end(struct waiting *waiting)
{
    struct request *request = waiting->request;
    loop_timer_clear(&waiting->late);
    free(waiting);
    return request;
}

/* Lease numbers are text on the wire: not every language has 64 bits for a JSON number. */
static void member_lease(struct json_out *out, int64_t lease)
{
    char text[LEASE_DIGITS];
    snprintf(text, sizeof text, "%" PRId64, lease);
    json_out_member_str(out, "lease", text);
}

/* The store has answered well. The request, or NULL when there is nothing left to say. */
static struct request *waiting_end_well(struct store_op *op)
{
    struct request *request = waiting_end(op->arg);
    if (request == NULL || op->code == 0)
        return request;
    request_fail_op(request, op);
    return NULL;
}

/* The number of the path. What is no number is no lease: false, and the request has failed. */
static bool lease_of_path(struct request *request, int64_t *ret_lease)
{
    if (parse_i64(request->params[0], 1, INT64_MAX, ret_lease, NULL) == 0)
        return true;
    request_fail_fmt(request, GALLOC_INVALID_VALUE, "\"%.64s\" is not the number of a lease; it is the \"lease\" of the answer to POST /v1/leases", request->params[0]);
    return false;
}

/* ---- POST /v1/leases ---- */

static void ask_free(void *state)
{
    struct outside_ask *ask = state;
    outside_ask_clear(ask);
    free(ask);
}

static void list_json(struct json_out *out, const char *name, const struct buf *items)
{
    json_out_name(out, name);
    json_out_begin(out, '[');
    if (items->len > 0)
        json_out_raw(out, items->data, items->len);
    json_out_end(out, ']');
}

static void on_answered(struct outside_ask *ask)
{
    struct request *request = ask->arg;
    struct json_out out = JSON_OUT(&request->out);
    if (ask->code < 0) {
        request_fail(request, &ask->error);
        return;
    }
    if (ask->lease == 0) {
        request_reply(request, 204);
        return;
    }
    json_out_begin(&out, '{');
    member_lease(&out, ask->lease);
    json_out_member_int(&out, "ttl_ms", ask->ttl_ms);
    json_out_member_time(&out, "expires_at", clock_wall_ms() + ask->ttl_ms);
    json_out_member_str(&out, "run", ask->leased_run->info.run_id);
    if (ask->leased_run->has_plan && plan_is_question(&ask->leased_run->plan)) {
        const char *schema = ask->leased_run->plan.schema;
        json_out_name(&out, "schema");
        json_out_raw(&out, schema, strlen(schema));
    }
    list_json(&out, "agents", &ask->agents);
    list_json(&out, "assignments", &ask->assignments);
    json_out_end(&out, '}');
    request_reply(request, 200);
}

static bool ask_is_gone(struct outside_ask *ask)
{
    return request_is_gone(ask->arg);
}

static void on_gone(struct request *request)
{
    outside_cancel(request->state);
}

static void on_run(struct request *request, struct run_entry *run)
{
    struct outside_ask *ask = request->state;
    struct galloc_error error;
    if (outside_check_run(run, &error) < 0) {
        request_fail(request, &error);
        return;
    }
    ask->run = run->info.id;
    request->on_gone = on_gone;
    outside_ask(request->api->config.engine, ask);
}

void handle_lease_take(struct request *request)
{
    struct json_object *body = request->json;
    const char *worker = json_get_str(body, "worker", ""), *run = json_get_str(body, "run", NULL), *why = NULL;
    if (!text_is_key(worker, strlen(worker), &why)) {
        request_fail_fmt(request, GALLOC_INVALID_VALUE, "\"worker\" is the name that people will see for this worker: %s", why);
        return;
    }
    struct outside_ask *ask = xcalloc(1, sizeof *ask);
    *ask = (struct outside_ask){.worker = xstrdup(worker),
                                .max = json_get_i64(body, "max", 1),
                                .ttl_ms = json_get_i64(body, "ttl_ms", OUTSIDE_TTL_MS),
                                .wait_ms = json_get_i64(body, "wait_ms", 0),
                                .done = on_answered,
                                .is_gone = ask_is_gone,
                                .arg = request};
    request->state = ask;
    request->state_free = ask_free;
    if (run != NULL) {
        handler_with_run(request, run, on_run);
        return;
    }
    request->on_gone = on_gone;
    outside_ask(request->api->config.engine, ask);
}

/* ---- POST /v1/leases/{lease}/renew, DELETE /v1/leases/{lease} ---- */

static void on_renewed(struct store_op *op)
{
    struct store_lease_renew *renew = (struct store_lease_renew *)op;
    struct request *request = waiting_end_well(op);
    if (request != NULL) {
        struct json_out out = JSON_OUT(&request->out);
        json_out_begin(&out, '{');
        member_lease(&out, renew->lease);
        json_out_member_int(&out, "ttl_ms", renew->ret_ttl_ms);
        json_out_member_time(&out, "expires_at", clock_wall_ms() + renew->ret_ttl_ms);
        json_out_end(&out, '}');
        request_reply(request, 200);
    }
    store_op_free(op);
}

void handle_lease_renew(struct request *request)
{
    int64_t lease;
    if (!lease_of_path(request, &lease))
        return;
    struct store_lease_renew *renew = store_op_new(OP_LEASE_RENEW, on_renewed, waiting_new(request));
    renew->lease = lease;
    renew->ttl_ms = json_get_i64(request->json, "ttl_ms", 0);
    handler_submit(request, &renew->op);
}

static void on_ended(struct store_op *op)
{
    struct store_lease_end *end = (struct store_lease_end *)op;
    struct request *request = waiting_end_well(op);
    if (request != NULL) {
        struct json_out out = JSON_OUT(&request->out);
        json_out_begin(&out, '{');
        json_out_member_int(&out, "released", end->ret_released_count);
        json_out_end(&out, '}');
        request_reply(request, 200);
    }
    store_op_free(op);
}

void handle_lease_end(struct request *request)
{
    int64_t lease;
    if (!lease_of_path(request, &lease))
        return;
    struct store_lease_end *end = store_op_new(OP_LEASE_END, on_ended, waiting_new(request));
    end->lease = lease;
    handler_submit(request, &end->op);
}

/* ---- POST /v1/leases/{lease}/results ---- */

static void told_json(struct json_out *out, const struct outside_told *told)
{
    json_out_begin(out, '{');
    json_out_member_str(out, "key", told->result.key);
    json_out_member_str(out, "verdict", verdict_name(told->verdict));
    if (told->retry_after_ms >= 0 && told->verdict != VERDICT_OF_STALE && told->verdict != VERDICT_OF_DUPLICATE)
        json_out_member_int(out, "retry_after_ms", told->retry_after_ms);
    if (told->text != NULL)
        json_out_member_str(out, "message", told->text);
    json_out_end(out, '}');
}

static void reply_verdicts(struct request *request, const struct outside_results *results)
{
    struct json_out out = JSON_OUT(&request->out);
    json_out_begin(&out, '{');
    json_out_name(&out, "items");
    json_out_begin(&out, '[');
    for (size_t i = 0; i < results->count; i++)
        told_json(&out, &results->items[i]);
    json_out_end(&out, ']');
    json_out_end(&out, '}');
    request_reply(request, 200);
}

static void on_results(struct outside_results *results)
{
    struct request *request = waiting_end(results->arg);
    if (request != NULL && results->code < 0)
        request_fail(request, &results->error);
    else if (request != NULL)
        reply_verdicts(request, results);
    outside_results_clear(results);
    free(results);
}

void handle_lease_results(struct request *request)
{
    struct json_object *list = json_get(request->json, "results");
    struct galloc_error error;
    int64_t lease;
    int rc = 0;
    size_t count = json_array_len(list);
    if (!lease_of_path(request, &lease))
        return;
    if (count > LIMIT_LEASE_RESULTS)
        rc = galloc_fail(&error, GALLOC_INVALID_INPUT, "\"results\" has %zu items; the most is %d: tell them in parts", count, LIMIT_LEASE_RESULTS);
    if (rc == 0 && request->api->is_closing)
        rc = galloc_fail(&error, GALLOC_DRAINING, "the daemon is stopping; tell it again");
    if (rc < 0) {
        request_fail(request, &error);
        return;
    }
    struct outside_results *results = xcalloc(1, sizeof *results);
    *results = (struct outside_results){.lease = lease, .count = count, .done = on_results, .arg = waiting_new(request)};
    results->items = xcalloc(count, sizeof *results->items);
    for (size_t i = 0; i < count; i++)
        worker_result_read(json_array_at(list, i), &results->items[i].result);
    outside_results(request->api->config.engine, results);
}

/* ---- GET /v1/leases ---- */

void handle_lease_list(struct request *request)
{
    struct engine *engine = request->api->config.engine;
    int64_t now_ms = clock_mono_ms(), wall_ms = clock_wall_ms();
    size_t count;
    const struct outside_lease *leases = outside_leases(engine, &count);
    struct json_out out = JSON_OUT(&request->out);
    json_out_begin(&out, '{');
    json_out_name(&out, "items");
    json_out_begin(&out, '[');
    for (size_t i = 0; i < count; i++) {
        const struct run_entry *run = registry_run_by_id(engine_registry(engine), leases[i].run);
        json_out_begin(&out, '{');
        member_lease(&out, leases[i].lease);
        json_out_member_str(&out, "worker", leases[i].worker);
        json_out_member_str(&out, "run", run != NULL ? run->info.run_id : NULL);
        json_out_member_int(&out, "rows", leases[i].row_count);
        json_out_member_int(&out, "ttl_ms", leases[i].ttl_ms);
        json_out_member_time(&out, "expires_at", wall_ms + leases[i].deadline_mono_ms - now_ms);
        json_out_end(&out, '}');
    }
    json_out_end(&out, ']');
    json_out_member_null(&out, "next");
    json_out_end(&out, '}');
    request_reply(request, 200);
}
