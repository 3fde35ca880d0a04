/* The table of routes: routing, 404 and 405 with the way out, --print-routes and the check against openapi.yaml walk it. */
#ifndef GALLOC_API_ROUTE_H
#define GALLOC_API_ROUTE_H

#include "api/request.h"

enum route_body {
    BODY_NONE,
    BODY_JSON,          /* has to be there */
    BODY_JSON_OR_NONE,
    BODY_NDJSON,        /* has to be there; the handler reads request->body */
    BODY_ROWS           /* JSON or NDJSON; likewise */
};

struct route {
    enum http_method method;
    const char *pattern;      /* segments of {…} take anything */
    int roles;                /* bits of enum api_role */
    enum route_body body;
    enum request_kind kind;
    void (*handle)(struct request *request);
    const struct json_field *fields; /* what the JSON body may hold; NULL: the handler looks itself */
    size_t field_count;
    const char *const *query; /* the parameters it knows, NULL-ended; NULL: none */
    const char *summary;
};

const struct route *route_table(size_t *ret_count);

/* Finds the route of request->head and fills route, path and params. 0; -NOT_IMPLEMENTED, -NO_SUCH_ROUTE (with the nearest), -METHOD_NOT_ALLOWED
 * (*ret_allowed: bits), -NOT_PERMITTED, -BAD_REQUEST. */
int route_find(struct request *request, int *ret_allowed, struct galloc_error *error) MUST_CHECK;
const char *http_method_name(enum http_method method);

/* Is the Content-Type of a body one that the route takes? 0 or -UNSUPPORTED_MEDIA. */
int route_check_type(const struct route *route, const struct http_head *head, struct galloc_error *error) MUST_CHECK;

/* ---- the handlers, a file a family ---- */
void handle_status(struct request *request);
void handle_health(struct request *request);
void handle_ready(struct request *request);
void handle_metrics(struct request *request);
void handle_openapi(struct request *request);
void handle_profiles(struct request *request);
void handle_template_show(struct request *request);
void handle_template_check(struct request *request);
void handle_doctor(struct request *request);
void handle_audit(struct request *request);
void handle_backup(struct request *request);
void handle_drain(struct request *request);
void handle_undrain(struct request *request);
void handle_reload(struct request *request);
void handle_estimate(struct request *request);
void handle_events(struct request *request);

void handle_run_list(struct request *request);
void handle_run_create(struct request *request);
void handle_run_show(struct request *request);
void handle_run_set(struct request *request);
void handle_run_commit(struct request *request);
void handle_run_pause(struct request *request);
void handle_run_resume(struct request *request);
void handle_run_close(struct request *request);
void handle_run_delete(struct request *request);
void handle_purge(struct request *request);
void handle_run_cancel(struct request *request);
void handle_run_retry(struct request *request);
void handle_run_redo(struct request *request);
void handle_run_discard(struct request *request);
void handle_assign(struct request *request);
void handle_unassign(struct request *request);
void handle_part_list(struct request *request);
void handle_part_put(struct request *request);
void handle_append(struct request *request);

void handle_assignment_list(struct request *request);
void handle_assignment_show(struct request *request);
void handle_attempt_list(struct request *request);
void handle_failures(struct request *request);
void handle_run_load(struct request *request);
void handle_results(struct request *request);
void handle_compare(struct request *request);

void handle_pool_list(struct request *request);
void handle_pool_show(struct request *request);
void handle_pool_put(struct request *request);
void handle_pool_reset(struct request *request);
void handle_agent_set(struct request *request);
void handle_agent_runs(struct request *request);

void handle_lease_list(struct request *request);
void handle_lease_take(struct request *request);
void handle_lease_renew(struct request *request);
void handle_lease_end(struct request *request);
void handle_lease_results(struct request *request);

void handle_endpoint_list(struct request *request);
void handle_endpoint_show(struct request *request);
void handle_endpoint_set(struct request *request);
void handle_endpoint_test(struct request *request);
void handle_endpoint_resume(struct request *request);

#endif
