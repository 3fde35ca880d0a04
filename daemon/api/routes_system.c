/* The daemon itself: health, status, profiles, drain, reload, doctor, audit, the API's description. Status reads memory alone. */
#include "api/handler.h"

#include "api/openapi_text.h"
#include "dispatch/outside.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define STATUS_ENDED 5

/* ---- health ---- */

/* Why the daemon is not simply ready, in words; "" when it is. False: work cannot be taken in. */
static bool daemon_state(struct api *api, const char **ret_state, char *ret_text, size_t size)
{
    const char *health_text = NULL;
    enum store_health health = engine_health(api->config.engine, &health_text);
    ret_text[0] = '\0';
    *ret_state = "ready";
    if (api->is_stopping) {
        *ret_state = "draining";
        snprintf(ret_text, size, "the daemon is stopping: %s calls in flight may end", text_count(engine_in_flight(api->config.engine)).text);
        return false;
    }
    if (health != STORE_WELL) {
        *ret_state = "degraded";
        snprintf(ret_text, size, "%s", health_text ? health_text : "the store cannot be written");
        return false;
    }
    if (engine_is_draining(api->config.engine)) {
        *ret_state = "draining";
        snprintf(ret_text, size, "draining: no new calls, %s in flight; gallocctl undrain ends it", text_count(engine_in_flight(api->config.engine)).text);
        return false;
    }
    for (struct endpoint *endpoint = engine_registry(api->config.engine)->endpoints; endpoint != NULL; endpoint = endpoint->next) {
        int64_t until_at_ms;
        if (!endpoint_is_down(endpoint))
            continue;
        int len = snprintf(ret_text, size, "endpoint %s is down: ", endpoint->config->name);
        if (len > 0 && (size_t)len < size)
            endpoint_text(endpoint, ret_text + len, size - (size_t)len, &until_at_ms);
        break;
    }
    if (ret_text[0] == '\0')
        engine_log_text(api->config.engine, ret_text, size);
    return true;
}

static void reply_health(struct request *request, const char *text)
{
    struct json_out out = JSON_OUT(&request->out);
    json_out_begin(&out, '{');
    json_out_member_str(&out, "status", "ok");
    if (text[0] != '\0')
        json_out_member_str(&out, "text", text);
    json_out_end(&out, '}');
    request_reply(request, 200);
}

void handle_health(struct request *request)
{
    const char *state;
    char text[768];
    daemon_state(request->api, &state, text, sizeof text);
    reply_health(request, text);
}

void handle_ready(struct request *request)
{
    const char *state;
    char text[768];
    if (daemon_state(request->api, &state, text, sizeof text))
        reply_health(request, text);
    else
        request_fail_fmt(request, strcmp(state, "draining") == 0 ? GALLOC_DRAINING : GALLOC_STORE_UNAVAILABLE, "%s", text);
}

/* ---- status ---- */

static void daemon_json(struct json_out *out, struct api *api)
{
    static const char *const health_names[] = {[STORE_WELL] = "ok", [STORE_DISK_LOW] = "disk_low", [STORE_DISK_FULL] = "disk_full", [STORE_FAILED] = "unavailable"};
    const char *state, *health_text = NULL;
    char text[768], log_text[512];
    daemon_state(api, &state, text, sizeof text);
    engine_log_text(api->config.engine, log_text, sizeof log_text);
    enum store_health health = engine_health(api->config.engine, &health_text);
    json_out_name(out, "daemon");
    json_out_begin(out, '{');
    json_out_member_str(out, "version", PACKAGE_VERSION);
    json_out_member_int(out, "pid", getpid());
    json_out_member_str(out, "state", state);
    member_text_or_null(out, "text", text);
    json_out_member_str(out, "socket", api->socket_path);
    json_out_member_str(out, "state_dir", api->state_dir);
    json_out_member_str(out, "config_file", engine_configuration(api->config.engine)->path);
    json_out_member_time(out, "started_at", api->started_at_ms);
    json_out_name(out, "store");
    json_out_begin(out, '{');
    json_out_member_str(out, "state", health_names[health]);
    member_text_or_null(out, "detail", health == STORE_WELL ? log_text : health_text);
    json_out_end(out, '}');
    json_out_member_int(out, "seq", engine_registry(api->config.engine)->seq);
    json_out_end(out, '}');
}

/* What outside workers hold. The rows are counted with every commit; a lease of whose rows all were cancelled may be among the leases for a second. */
static void leases_json(struct json_out *out, struct engine *engine)
{
    size_t count;
    outside_leases(engine, &count);
    json_out_name(out, "leases");
    json_out_begin(out, '{');
    json_out_member_int(out, "open", (int64_t)count);
    json_out_member_int(out, "rows", registry_count_ever(engine_registry(engine), COUNT_OUTSIDE));
    json_out_member_int(out, "expired", outside_expired_count(engine));
    json_out_end(out, '}');
}

static int by_priority(const void *a, const void *b)
{
    const struct run_entry *left = *(const struct run_entry *const *)a, *right = *(const struct run_entry *const *)b;
    if (left->info.priority != right->info.priority)
        return left->info.priority > right->info.priority ? -1 : 1;
    return left->info.id < right->info.id ? -1 : left->info.id > right->info.id;
}

static int by_end(const void *a, const void *b)
{
    const struct run_entry *left = *(const struct run_entry *const *)a, *right = *(const struct run_entry *const *)b;
    if (left->info.finished_at_ms != right->info.finished_at_ms)
        return left->info.finished_at_ms > right->info.finished_at_ms ? -1 : 1;
    return left->info.id > right->info.id ? -1 : left->info.id < right->info.id;
}

static void runs_array(struct json_out *out, const char *name, struct registry *registry, bool are_open, int (*order)(const void *a, const void *b), size_t most)
{
    size_t count = 0;
    for (const struct run_entry *run = registry->runs; run != NULL; run = run->next)
        count++;
    const struct run_entry **runs = xcalloc(count, sizeof *runs);
    count = 0;
    for (const struct run_entry *run = registry->runs; run != NULL; run = run->next)
        if (!run->info.is_purged && (run->info.state == RUN_IMPORTING || run->info.state == RUN_RUNNING) == are_open)
            runs[count++] = run;
    qsort(runs, count, sizeof *runs, order);
    json_out_name(out, name);
    json_out_begin(out, '[');
    for (size_t i = 0; i < count && i < most; i++)
        run_json(out, runs[i]);
    json_out_end(out, ']');
    free(runs);
}

void handle_status(struct request *request)
{
    struct engine *engine = request->api->config.engine;
    struct registry *registry = engine_registry(engine);
    struct json_out out = JSON_OUT(&request->out);
    json_out_begin(&out, '{');
    daemon_json(&out, request->api);
    json_out_name(&out, "endpoints");
    json_out_begin(&out, '[');
    for (struct endpoint *endpoint = registry->endpoints; endpoint != NULL; endpoint = endpoint->next)
        endpoint_json(&out, engine, endpoint);
    json_out_end(&out, ']');
    leases_json(&out, engine);
    runs_array(&out, "open", registry, true, by_priority, SIZE_MAX);
    runs_array(&out, "ended", registry, false, by_end, STATUS_ENDED);
    json_out_end(&out, '}');
    request_reply(request, 200);
}

void handle_openapi(struct request *request)
{
    buf_add(&request->out, openapi_text, openapi_text_len);
    request_reply_as(request, 200, "application/yaml");
}

void handle_profiles(struct request *request)
{
    const struct config *config = engine_configuration(request->api->config.engine);
    size_t default_count;
    const char *default_name = profile_defaults(&default_count)[0].name;
    struct json_out out = JSON_OUT(&request->out);
    json_out_begin(&out, '{');
    json_out_name(&out, "items");
    json_out_begin(&out, '[');
    for (size_t i = 0; i < config->profile_count; i++) {
        const struct profile *profile = &config->profiles[i];
        json_out_begin(&out, '{');
        json_out_member_str(&out, "name", profile->name);
        json_out_member_str(&out, "mode", profile_mode_name(profile->mode));
        member_int_or_null(&out, "batch_size", profile->mode == MODE_CONTINUOUS ? -1 : profile->mode == MODE_SEQUENTIAL ? 1 : profile->batch_size);
        member_int_or_null(&out, "delay_ms", profile->mode == MODE_BATCH ? profile->delay_ms : profile->mode == MODE_SEQUENTIAL ? 0 : -1);
        json_out_member_int(&out, "max_retries", profile->max_retries);
        json_out_member_int(&out, "backoff_max_ms", profile->backoff_max_ms);
        json_out_member_bool(&out, "is_default", strcmp(profile->name, default_name) == 0);
        json_out_member_str(&out, "text", profile->text ? profile->text : "");
        json_out_end(&out, '}');
    }
    json_out_end(&out, ']');
    json_out_member_null(&out, "next");
    json_out_end(&out, '}');
    request_reply(request, 200);
}

/* ---- drain, undrain, reload ---- */

static void reply_drain(struct request *request)
{
    struct engine *engine = request->api->config.engine;
    struct json_out out = JSON_OUT(&request->out);
    json_out_begin(&out, '{');
    json_out_member_bool(&out, "draining", engine_is_draining(engine));
    json_out_member_int(&out, "in_flight", engine_in_flight(engine));
    json_out_end(&out, '}');
    request_reply(request, 200);
}

void handle_drain(struct request *request)
{
    struct engine *engine = request->api->config.engine;
    if (!engine_is_draining(engine)) {
        handler_audit(request, "drain", "daemon", NULL);
        log_event(LOG_LEVEL_NOTICE, "drain", "by_uid=%u in_flight=%" PRId64, (unsigned)request->peer.uid, engine_in_flight(engine));
        engine_drain(engine, engine_configuration(engine)->drain_timeout_ms, NULL, NULL);
    }
    reply_drain(request);
}

void handle_undrain(struct request *request)
{
    struct engine *engine = request->api->config.engine;
    if (request->api->is_stopping) {
        request_fail_fmt(request, GALLOC_CONFLICT, "the daemon is stopping; start it again");
        return;
    }
    if (engine_is_draining(engine)) {
        handler_audit(request, "undrain", "daemon", NULL);
        log_event(LOG_LEVEL_NOTICE, "undrain", "by_uid=%u", (unsigned)request->peer.uid);
        engine_undrain(engine);
    }
    reply_drain(request);
}

/* Keys that could not be read: the configuration holds all the same, and a former key goes on being used. */
static void add_key_problems(struct request *request)
{
    const struct registry *registry = engine_registry(request->api->config.engine);
    bool is_first = true;
    for (const struct endpoint *endpoint = registry->endpoints; endpoint != NULL; endpoint = endpoint->next) {
        if (endpoint->key_problem == NULL)
            continue;
        buf_add_str(&request->out, is_first ? "" : ",");
        json_quote(&request->out, endpoint->key_problem, strlen(endpoint->key_problem));
        is_first = false;
    }
}

void handle_reload(struct request *request)
{
    struct buf changed = BUF_EMPTY, needs_restart = BUF_EMPTY;
    struct galloc_error error;
    int rc = request->api->config.reload(&changed, &needs_restart, &error, request->api->config.arg);
    if (rc < 0) {
        struct buf members = BUF_EMPTY;
        struct json_out out = JSON_OUT(&members);
        json_out_name(&out, "errors");
        json_out_begin(&out, '[');
        json_out_begin(&out, '{');
        json_out_member_str(&out, "code", galloc_code_row(error.code)->name);
        json_out_member_str(&out, "message", error.message);
        json_out_end(&out, '}');
        json_out_end(&out, ']');
        error.code = GALLOC_INVALID_INPUT;
        request_fail_with(request, &error, members.data);
        buf_clear(&members);
    } else {
        handler_audit(request, "reload", "daemon", NULL);
        buf_add_fmt(&request->out, "{\"changed\":[%s],\"needs_restart\":[%s],\"problems\":[", buf_text(&changed), buf_text(&needs_restart));
        add_key_problems(request);
        buf_add_str(&request->out, "]}");
        request_reply(request, 200);
    }
    buf_clear(&changed);
    buf_clear(&needs_restart);
}

/* ---- doctor and audit ---- */

static int check_member(const char *name, struct json_object *value, void *arg)
{
    struct json_out *out = arg;
    struct buf text = BUF_EMPTY;
    json_to_text(value, &text);
    json_out_name(out, strcmp(name, "detail") == 0 ? "text" : name);
    json_out_raw(out, text.data, text.len);
    buf_clear(&text);
    return 0;
}

/* The store's report as the API has it. */
static void report_json(struct json_out *out, struct json_object *report)
{
    struct json_object *checks = json_get(report, "checks");
    json_out_begin(out, '{');
    json_out_member_bool(out, "ok", json_get_bool(report, "ok", false));
    json_out_name(out, "checks");
    json_out_begin(out, '[');
    for (size_t i = 0; i < json_array_len(checks); i++) {
        json_out_begin(out, '{');
        json_each(json_array_at(checks, i), check_member, out);
        json_out_end(out, '}');
    }
    json_out_end(out, ']');
    json_out_end(out, '}');
}

static void on_examined(struct store_op *op)
{
    struct request *request = op->arg;
    const struct store_doctor *doctor = (const struct store_doctor *)op;
    struct json_object *report = NULL;
    struct galloc_error error;
    if (op->code < 0) {
        request_fail_op(request, op);
    } else if (json_parse(buf_text(&doctor->ret_report), doctor->ret_report.len, &report, &error) < 0) {
        request_fail(request, &error);
    } else {
        struct json_out out = JSON_OUT(&request->out);
        report_json(&out, report);
        json_free(report);
        request_reply(request, 200);
    }
    store_op_free(op);
}

void handle_doctor(struct request *request)
{
    struct store_doctor *doctor = handler_op(request, OP_DOCTOR, on_examined);
    doctor->is_full = json_get_bool(request->json, "full", false);
    handler_submit(request, &doctor->op);
}

/* A member of an audit row's detail, null where it has none. */
static void detail_member(struct json_out *out, const char *name, struct json_object *detail)
{
    struct buf text = BUF_EMPTY;
    json_to_text(json_get(detail, name), &text);
    json_out_name(out, name);
    json_out_raw(out, text.data, text.len);
    buf_clear(&text);
}

static bool audit_row(struct request *request, struct json_out *out, const struct store_read *read, size_t row)
{
    struct page *page = request->state;
    if (read_int(read, row, AUDIT_AT, 0) < page->since_ms) {
        page->is_over = true;
        return false;
    }
    const char *target = read_text(read, row, AUDIT_TARGET), *detail_text = read_text(read, row, AUDIT_DETAIL);
    bool is_run = target != NULL && strncmp(target, "r-", 2) == 0;
    struct json_object *detail = NULL;
    if (detail_text != NULL && json_parse(detail_text, strlen(detail_text), &detail, NULL) < 0)
        detail = NULL;
    char who[64];
    account_name((uint32_t)read_int(read, row, AUDIT_UID, UINT32_MAX), who, sizeof who);
    json_out_begin(out, '{');
    cell_member(out, "id", read, row, AUDIT_ID);
    cell_member(out, "at", read, row, AUDIT_AT);
    json_out_member_str(out, "who", who);
    cell_member(out, "uid", read, row, AUDIT_UID);
    cell_member(out, "pid", read, row, AUDIT_PID);
    cell_member(out, "action", read, row, AUDIT_VERB);
    const char *within = is_run ? strchr(target, '/') : NULL; /* an assignment, or an agent of its own pool */
    char *run = is_run ? xstrndup(target, strcspn(target, "/")) : NULL;
    json_out_member_str(out, "run", run);
    json_out_member_str(out, "object", is_run ? within ? within + 1 : NULL : target);
    free(run);
    detail_member(out, "reason", detail);
    detail_member(out, "before", detail);
    detail_member(out, "after", detail);
    json_out_end(out, '}');
    json_free(detail);
    return true;
}

static void list_audit(struct request *request, struct run_entry *run)
{
    struct page *page = request->state;
    page->run = run->info.id;
    page_start(request);
}

void handle_audit(struct request *request)
{
    struct galloc_error error;
    struct page *page = page_new(request, QUERY_AUDIT);
    page->row = audit_row;
    char *run = NULL;
    int rc = page_parameters(request, page, &error);
    if (rc == 0)
        rc = query_time(request, "since", &page->since_ms, &error);
    if (rc == 0)
        rc = http_query(&request->head, "run", 0, &run, &error);
    if (rc < 0)
        request_fail(request, &error);
    else if (run != NULL && strncmp(run, "r-", 2) == 0) { /* by its id, as it may be purged */
        page->key = run;
        run = NULL;
        page_start(request);
    } else if (run != NULL)
        handler_with_run(request, run, list_audit);
    else
        page_start(request);
    free(run);
}
