/* POST /v1/runs/{run}/assignments: more for a run that runs, open or not, or that is done and then runs again. A retry is safe: by its Idempotency-Key it
 * gets the first answer, and without one the keys that stand are duplicates. */
#include "api/handler.h"
#include "api/rows_in.h"

static void append(struct request *request, struct run_entry *run)
{
    struct galloc_error error;
    struct rows_in rows = {.form = http_is_type(&request->head, HTTP_TYPE_JSON) ? INGEST_JSON : INGEST_LINES};
    if (handler_idempotency_key(request, &rows.idempotency_key, &error) < 0)
        request_fail(request, &error);
    else
        rows_in(request, run, rows);
}

void handle_append(struct request *request)
{
    if (request->body.len == 0)
        request_fail_fmt(request, GALLOC_NOT_JSON, "POST %s needs a body: {\"assignments\":[…]}, or with Content-Type %s a line an assignment",
                         request->route->pattern, HTTP_TYPE_NDJSON);
    else
        handler_with_plan(request, append);
}
