/* See route.h. A new route is a row here, a handler, and its description in schema/openapi.yaml. */
#include "api/route.h"

#include "base/text.h"
#include "core/limits.h"
#include "dispatch/outside.h"

#include <string.h>

#define SEGMENTS_MAX 8

static const char *const query_page[] = {"limit", "cursor", NULL};
static const char *const query_runs[] = {"state", "since", "limit", "cursor", NULL};
static const char *const query_assignments[] = {"state", "code", "agent", "key", "where", "fields", "limit", "cursor", NULL};
static const char *const query_assignment[] = {"prompt", NULL};
static const char *const query_attempts[] = {"raw", NULL};
static const char *const query_results[] = {"format", "state", "input", "agent", "excel_safe", NULL};
static const char *const query_events[] = {"since", "run", "assignments", "follow", NULL};
static const char *const query_backup[] = {"verify", NULL};
static const char *const query_unassign[] = {"reason", NULL};
static const char *const query_compare[] = {"a", "b", "truth", "only", "format", NULL};
static const char *const query_purge[] = {"release", NULL};
static const char *const query_audit[] = {"run", "since", "limit", "cursor", NULL};

static const struct json_field commit_fields[] = {{"parts", JSON_TYPE_I64, true, 0, INT64_MAX}};
static const struct json_field run_set_fields[] = {
    {"priority", JSON_TYPE_I64, false, -100, 100},
    {"pack", JSON_TYPE_I64, false, 0, LIMIT_PACK},
    {"endpoint", JSON_TYPE_STR, false, 1, 128},
    {"profile", JSON_TYPE_STR, false, 1, 128},
    {"name", JSON_TYPE_STR, false, 1, 100},
    {"max_cost", JSON_TYPE_STR, false, 1, 64},
};
#define SELECTOR_FIELDS(needs_reason)                                                                                                                      \
    {"all", JSON_TYPE_BOOL, false, 0, 0}, {"states", JSON_TYPE_ARRAY, false, 0, 0}, {"codes", JSON_TYPE_ARRAY, false, 0, 0},                               \
        {"agents", JSON_TYPE_ARRAY, false, 0, 0}, {"keys", JSON_TYPE_ARRAY, false, 0, 0}, {"where", JSON_TYPE_ARRAY, false, 0, 0},                         \
        {"reason", JSON_TYPE_STR, needs_reason, 1, LIMIT_WHY_BYTES}
static const struct json_field selector_fields[] = {SELECTOR_FIELDS(false)};
static const struct json_field undo_fields[] = {SELECTOR_FIELDS(true)};
static const struct json_field assign_fields[] = {
    {"agent_id", JSON_TYPE_STR, true, 1, LIMIT_NAME_BYTES},
    {"reason", JSON_TYPE_STR, true, 1, LIMIT_WHY_BYTES},
    {"over_capacity", JSON_TYPE_BOOL, false, 0, 0},
};
static const struct json_field pool_fields[] = {{"agents", JSON_TYPE_ARRAY, true, 0, 0}};
static const struct json_field agent_fields[] = {
    {"capacity", JSON_TYPE_I64, false, 0, INT64_MAX},
    {"available", JSON_TYPE_BOOL, false, 0, 0},
    {"until", JSON_TYPE_STR, false, 1, 64},
};
static const struct json_field endpoint_fields[] = {
    {"settings", JSON_TYPE_OBJECT, true, 0, 0},
    {"for_ms", JSON_TYPE_I64, false, 1000, INT64_C(315360000000)},
};
static const struct json_field lease_fields[] = {
    {"worker", JSON_TYPE_STR, true, 1, LIMIT_NAME_BYTES},
    {"run", JSON_TYPE_STR, false, 1, 128},
    {"max", JSON_TYPE_I64, false, 1, LIMIT_LEASE_ROWS},
    {"ttl_ms", JSON_TYPE_I64, false, OUTSIDE_TTL_MIN_MS, OUTSIDE_TTL_MAX_MS},
    {"wait_ms", JSON_TYPE_I64, false, 0, OUTSIDE_WAIT_MAX_MS},
};
static const struct json_field renew_fields[] = {{"ttl_ms", JSON_TYPE_I64, false, OUTSIDE_TTL_MIN_MS, OUTSIDE_TTL_MAX_MS}};
static const struct json_field result_fields[] = {{"results", JSON_TYPE_ARRAY, true, 0, 0}};
static const struct json_field purge_fields[] = {
    {"run", JSON_TYPE_STR, false, 1, 128},
    {"older_than_ms", JSON_TYPE_I64, false, 0, INT64_C(315360000000)},
    {"release", JSON_TYPE_BOOL, false, 0, 0},
    {"dry_run", JSON_TYPE_BOOL, false, 0, 0},
};
static const struct json_field doctor_fields[] = {{"full", JSON_TYPE_BOOL, false, 0, 0}};
static const struct json_field template_fields_of_body[] = {
    {"template", JSON_TYPE_STR, true, 0, 4 << 20},
    {"columns", JSON_TYPE_ARRAY, false, 0, 0},
    {"schema", JSON_TYPE_OBJECT, false, 0, 0},
};

#define FIELDS(list) .fields = list, .field_count = ARRAY_COUNT(list)
#define WORK (ROLE_OPERATOR | ROLE_WORKER)
#define LOOK (ROLE_OPERATOR | ROLE_VIEWER)

static const struct route routes[] = {
    {HTTP_GET, "/healthz", ROLE_ALL, .handle = handle_health, .summary = "the process lives and its loop turns"},
    {HTTP_GET, "/readyz", ROLE_ALL, .handle = handle_ready, .summary = "work can be taken in"},
    {HTTP_GET, "/metrics", LOOK, .handle = handle_metrics, .summary = "Prometheus text"},
    {HTTP_GET, "/openapi.yaml", LOOK, .handle = handle_openapi, .summary = "the API's description"},
    {HTTP_GET, "/v1/status", LOOK, .handle = handle_status, .summary = "the daemon, endpoints, open runs, the last five ended"},
    {HTTP_GET, "/v1/profiles", LOOK, .handle = handle_profiles, .summary = "all profiles"},
    {HTTP_GET, "/v1/template", LOOK, .handle = handle_template_show, .summary = "the default template"},
    {HTTP_POST, "/v1/template", LOOK, BODY_JSON, .handle = handle_template_check, FIELDS(template_fields_of_body), .summary = "checks a template"},
    {HTTP_GET, "/v1/runs", LOOK, .handle = handle_run_list, .query = query_runs, .summary = "runs, the newest first"},
    {HTTP_POST, "/v1/runs", ROLE_OPERATOR, BODY_JSON, .handle = handle_run_create, .summary = "begins a run"},
    {HTTP_GET, "/v1/runs/{run}", LOOK, .handle = handle_run_show, .summary = "one run"},
    {HTTP_PATCH, "/v1/runs/{run}", ROLE_OPERATOR, BODY_JSON, .handle = handle_run_set, FIELDS(run_set_fields), .summary = "changes what is live in a run"},
    {HTTP_GET, "/v1/runs/{run}/parts", LOOK, .handle = handle_part_list, .query = query_page, .summary = "the parts that stand"},
    {HTTP_PUT, "/v1/runs/{run}/parts/{n}", ROLE_OPERATOR, BODY_NDJSON, .handle = handle_part_put, .summary = "a part of the import"},
    {HTTP_DELETE, "/v1/runs/{run}", ROLE_OPERATOR, .handle = handle_run_delete, .query = query_purge, .summary = "purges a run that ended"},
    {HTTP_POST, "/v1/runs/{run}/commit", ROLE_OPERATOR, BODY_JSON, .handle = handle_run_commit, FIELDS(commit_fields), .summary = "ends the import, starts the run"},
    {HTTP_POST, "/v1/runs/{run}/pause", ROLE_OPERATOR, .handle = handle_run_pause, .summary = "the operator's pause"},
    {HTTP_POST, "/v1/runs/{run}/resume", ROLE_OPERATOR, .handle = handle_run_resume, .summary = "ends the operator's and the run's own pause"},
    {HTTP_POST, "/v1/runs/{run}/close", ROLE_OPERATOR, .handle = handle_run_close, .summary = "no more is to come"},
    {HTTP_POST, "/v1/runs/{run}/cancel", ROLE_OPERATOR, BODY_JSON, .handle = handle_run_cancel, FIELDS(selector_fields), .summary = "cancels assignments, or the run"},
    {HTTP_POST, "/v1/runs/{run}/retry", ROLE_OPERATOR, BODY_JSON, .handle = handle_run_retry, FIELDS(selector_fields), .summary = "makes failed and cancelled ones pending"},
    {HTTP_POST, "/v1/runs/{run}/redo", ROLE_OPERATOR, BODY_JSON, .handle = handle_run_redo, FIELDS(undo_fields), .summary = "has decided ones decided again"},
    {HTTP_POST, "/v1/runs/{run}/discard", ROLE_OPERATOR, BODY_JSON, .handle = handle_run_discard, FIELDS(undo_fields), .summary = "takes decisions back for good"},
    {HTTP_GET, "/v1/runs/{run}/assignments", LOOK, .handle = handle_assignment_list, .query = query_assignments, .summary = "assignments in order"},
    {HTTP_POST, "/v1/runs/{run}/assignments", ROLE_OPERATOR, BODY_ROWS, .handle = handle_append, .summary = "adds assignments to a run that runs, or ran"},
    {HTTP_GET, "/v1/runs/{run}/assignments/{key}", LOOK, .handle = handle_assignment_show, .query = query_assignment, .summary = "one assignment"},
    {HTTP_GET, "/v1/runs/{run}/assignments/{key}/attempts", LOOK, .handle = handle_attempt_list, .query = query_attempts, .summary = "every try"},
    {HTTP_PUT, "/v1/runs/{run}/assignments/{key}/agent", ROLE_OPERATOR, BODY_JSON, .handle = handle_assign, FIELDS(assign_fields), .summary = "a person decides it"},
    {HTTP_DELETE, "/v1/runs/{run}/assignments/{key}/agent", ROLE_OPERATOR, .handle = handle_unassign, .query = query_unassign, .summary = "takes its decision back"},
    {HTTP_GET, "/v1/runs/{run}/failures", LOOK, .handle = handle_failures, .summary = "failed assignments by cause"},
    {HTTP_GET, "/v1/runs/{run}/load", LOOK, .handle = handle_run_load, .summary = "places taken and left per agent"},
    {HTTP_GET, "/v1/runs/{run}/results", LOOK, .kind = REQUEST_STREAM, .handle = handle_results, .query = query_results, .summary = "the decisions, streamed"},
    {HTTP_GET, "/v1/compare", LOOK, .kind = REQUEST_STREAM, .handle = handle_compare, .query = query_compare, .summary = "two runs on the same keys"},
    {HTTP_GET, "/v1/events", LOOK, .kind = REQUEST_STREAM, .handle = handle_events, .query = query_events, .summary = "what happens, streamed"},
    {HTTP_GET, "/v1/pools", LOOK, .handle = handle_pool_list, .summary = "standing pools"},
    {HTTP_GET, "/v1/pools/{pool}", LOOK, .handle = handle_pool_show, .summary = "a pool with its agents"},
    {HTTP_PUT, "/v1/pools/{pool}", ROLE_OPERATOR, BODY_JSON, .handle = handle_pool_put, FIELDS(pool_fields), .summary = "makes a pool, or replaces its agents"},
    {HTTP_POST, "/v1/pools/{pool}/reset", ROLE_OPERATOR, .handle = handle_pool_reset, .summary = "gives its places back"},
    {HTTP_PATCH, "/v1/pools/{pool}/agents/{agent}", ROLE_OPERATOR, BODY_JSON, .handle = handle_agent_set, FIELDS(agent_fields), .summary = "changes an agent"},
    {HTTP_GET, "/v1/pools/{pool}/agents/{agent}/runs", LOOK, .handle = handle_agent_runs, .summary = "whose assignments an agent holds"},
    {HTTP_GET, "/v1/endpoints", LOOK, .handle = handle_endpoint_list, .summary = "all endpoints"},
    {HTTP_GET, "/v1/endpoints/{name}", LOOK, .handle = handle_endpoint_show, .summary = "one endpoint"},
    {HTTP_PATCH, "/v1/endpoints/{name}", ROLE_OPERATOR, BODY_JSON, .handle = handle_endpoint_set, FIELDS(endpoint_fields), .summary = "sets or unsets settings"},
    {HTTP_POST, "/v1/endpoints/{name}/test", ROLE_OPERATOR, .handle = handle_endpoint_test, .summary = "sends its test request"},
    {HTTP_POST, "/v1/endpoints/{name}/resume", ROLE_OPERATOR, .handle = handle_endpoint_resume, .summary = "ends its being down"},
    {HTTP_GET, "/v1/leases", LOOK, .handle = handle_lease_list, .summary = "leases of outside workers that stand"},
    {HTTP_POST, "/v1/leases", WORK, BODY_JSON, .kind = REQUEST_ASK, .handle = handle_lease_take, FIELDS(lease_fields), .summary = "asks for work"},
    {HTTP_POST, "/v1/leases/{lease}/renew", WORK, BODY_JSON_OR_NONE, .kind = REQUEST_WORK, .handle = handle_lease_renew, FIELDS(renew_fields), .summary = "holds a lease longer"},
    {HTTP_POST, "/v1/leases/{lease}/results", WORK, BODY_JSON, .kind = REQUEST_WORK, .handle = handle_lease_results, FIELDS(result_fields), .summary = "tells what was decided"},
    {HTTP_DELETE, "/v1/leases/{lease}", WORK, .kind = REQUEST_WORK, .handle = handle_lease_end, .summary = "gives back what is left of a lease"},
    {HTTP_POST, "/v1/estimate", LOOK, BODY_JSON, .handle = handle_estimate, .summary = "what a run would send, cost and take"},
    {HTTP_POST, "/v1/drain", ROLE_OPERATOR, .handle = handle_drain, .summary = "no new calls"},
    {HTTP_POST, "/v1/undrain", ROLE_OPERATOR, .handle = handle_undrain, .summary = "calls go out again"},
    {HTTP_POST, "/v1/reload", ROLE_OPERATOR, .handle = handle_reload, .summary = "reads the configuration again"},
    {HTTP_POST, "/v1/purge", ROLE_OPERATOR, BODY_JSON, .handle = handle_purge, FIELDS(purge_fields), .summary = "purges runs that ended"},
    {HTTP_POST, "/v1/doctor", ROLE_OPERATOR, BODY_JSON_OR_NONE, .handle = handle_doctor, FIELDS(doctor_fields), .summary = "checks the store"},
    {HTTP_GET, "/v1/backup", ROLE_OPERATOR, .kind = REQUEST_STREAM, .handle = handle_backup, .query = query_backup, .summary = "a copy of the database, streamed"},
    {HTTP_GET, "/v1/audit", ROLE_OPERATOR, .handle = handle_audit, .query = query_audit, .summary = "operators' actions"},
};

const struct route *route_table(size_t *ret_count)
{
    *ret_count = ARRAY_COUNT(routes);
    return routes;
}

const char *http_method_name(enum http_method method)
{
    switch (method) {
    case HTTP_GET: return "GET";
    case HTTP_PUT: return "PUT";
    case HTTP_POST: return "POST";
    case HTTP_PATCH: return "PATCH";
    case HTTP_DELETE: return "DELETE";
    case HTTP_OTHER: break;
    }
    return "OTHER";
}

int route_check_type(const struct route *route, const struct http_head *head, struct galloc_error *error)
{
    bool takes_lines = route->body == BODY_NDJSON || route->body == BODY_ROWS, takes_json = route->body != BODY_NDJSON && route->body != BODY_NONE;
    if ((takes_lines && http_is_type(head, HTTP_TYPE_NDJSON)) || (takes_json && http_is_type(head, HTTP_TYPE_JSON)))
        return 0;
    return galloc_fail(error, GALLOC_UNSUPPORTED_MEDIA, "the body's Content-Type has to be %s%s%s", takes_json ? HTTP_TYPE_JSON : "",
                       takes_json && takes_lines ? " or " : "", takes_lines ? HTTP_TYPE_NDJSON : "");
}

/* Cuts the path (which begins with '/') into decoded segments, in place. The count, or -BAD_REQUEST. */
static int cut_path(char *path, char *segments[SEGMENTS_MAX], struct galloc_error *error)
{
    int count = 0;
    for (char *at = path; at != NULL;) {
        char *segment = at + 1, *next = strchr(segment, '/');
        if (next != NULL)
            *next = '\0';
        if (count == SEGMENTS_MAX)
            return galloc_fail(error, GALLOC_NO_SUCH_ROUTE, "no path of the API has so many parts");
        if (!text_percent_decode(segment) || !text_is_utf8(segment, strlen(segment)))
            return galloc_fail(error, GALLOC_BAD_REQUEST, "part %d of the path is not percent-encoded UTF-8", count + 1);
        segments[count++] = segment;
        at = next;
    }
    return count;
}

/* Does a pattern take these segments? Fills what stands for its {…}; ret_params may be NULL. */
static bool pattern_takes(const char *pattern, char *const *segments, int count, const char **ret_params)
{
    int index = 0, params = 0;
    for (const char *at = pattern; *at == '/'; index++) {
        const char *part = at + 1;
        size_t len = strcspn(part, "/");
        at = part + len;
        if (index == count)
            return false;
        const char *segment = segments[index];
        if (*part == '{' ? *segment == '\0' : strlen(segment) != len || memcmp(segment, part, len) != 0)
            return false;
        if (*part == '{' && ret_params != NULL && params < ROUTE_PARAMS_MAX)
            ret_params[params++] = segment;
    }
    return index == count;
}

/* The pattern with the request's segments put in for its {…}; NULL when it has another number of parts. Owned. */
static char *pattern_filled(const char *pattern, char *const *segments, int count)
{
    struct buf filled = BUF_EMPTY;
    int index = 0;
    for (const char *at = pattern; *at == '/' && index < count; index++) {
        const char *part = at + 1;
        size_t len = strcspn(part, "/");
        at = part + len;
        buf_add_char(&filled, '/');
        if (*part == '{')
            buf_add_str(&filled, segments[index]);
        else
            buf_add(&filled, part, len);
        if (index + 1 == count && *at == '\0')
            return buf_take(&filled);
    }
    buf_clear(&filled);
    return NULL;
}

static int fail_no_route(const char *path, char *const *segments, int count, struct galloc_error *error)
{
    char *filled[ARRAY_COUNT(routes)];
    size_t filled_count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(routes); i++)
        if ((filled[filled_count] = pattern_filled(routes[i].pattern, segments, count)) != NULL)
            filled_count++;
    const char *nearest = text_nearest(path, (const char *const *)filled, filled_count);
    galloc_fail(error, GALLOC_NO_SUCH_ROUTE, "there is no %.200s%s%s; GET /openapi.yaml has all paths", path, nearest ? "; did you mean " : "",
                nearest ? nearest : "");
    for (size_t i = 0; i < filled_count; i++)
        free(filled[i]);
    return -GALLOC_NO_SUCH_ROUTE;
}

int route_find(struct request *request, int *ret_allowed, struct galloc_error *error)
{
    char *segments[SEGMENTS_MAX];
    request->path = xstrdup(request->head.path);
    int count = cut_path(request->path, segments, error);
    if (count < 0)
        return count;
    int allowed = 0;
    for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
        if (!pattern_takes(routes[i].pattern, segments, count, request->params))
            continue;
        allowed |= routes[i].method;
        if (routes[i].method != request->head.method)
            continue;
        request->route = &routes[i];
        if ((routes[i].roles & (int)request->role) == 0)
            return galloc_fail(error, GALLOC_NOT_PERMITTED, "%s %s is not for this socket", request->head.method_name, routes[i].pattern);
        return 0;
    }
    *ret_allowed = allowed;
    if (allowed == 0)
        return fail_no_route(request->head.path, segments, count, error);
    return galloc_fail(error, GALLOC_METHOD_NOT_ALLOWED, "%.200s does not have the method %s", request->head.path, request->head.method_name);
}
