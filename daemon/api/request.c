/* See request.h. */
#include "api/server.h"

#include "api/route.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "ingest/ingest.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum { PARSED_AT_ONCE_BYTES = 65536 }; /* a millisecond */

struct request *request_new(struct connection *connection, struct http_head *head)
{
    struct request *request = xcalloc(1, sizeof *request);
    *request = (struct request){.api = connection->api, .connection = connection, .peer = connection->peer, .role = connection->role,
                                .began_mono_us = clock_mono_us(), .head = *head};
    *head = (struct http_head){0};
    return request;
}

/* Its place among its user's requests in flight, and its share of the bodies. */
static void give_back(struct request *request)
{
    if (request->is_counted) {
        client_of(request->api, request->peer.uid)->request_counts[request->route->kind]--; /* he is there: this request keeps him */
        request->is_counted = false;
        client_drop_if_idle(request->api, request->peer.uid);
    }
    request->api->bodies_bytes -= request->charged_bytes;
    request->charged_bytes = 0;
}

void request_free(struct request *request)
{
    if (request == NULL)
        return;
    give_back(request);
    if (request->is_stream)
        request->api->stream_count--;
    if (request->state != NULL && request->state_free != NULL)
        request->state_free(request->state);
    http_head_clear(&request->head);
    free(request->path);
    buf_clear(&request->body);
    json_free(request->json);
    buf_clear(&request->out);
    free(request);
}

bool request_is_gone(const struct request *request)
{
    return request->connection == NULL || connection_is_gone(request->connection);
}

void request_gone(struct request *request)
{
    request->connection = NULL;
    if (request->on_gone != NULL)
        request->on_gone(request);
}

/* The body, parsed (`code` 0) or not, to its handler. */
static void run_json(struct request *request, int code, struct galloc_error *error)
{
    const struct route *route = request->route;
    if (code == 0 && !json_is_object(request->json))
        code = galloc_fail(error, GALLOC_INVALID_VALUE, "the body has to be a JSON object");
    if (code == 0 && route->fields != NULL)
        code = json_check_fields(request->json, route->fields, route->field_count, error);
    if (code < 0)
        request_fail(request, error);
    else
        route->handle(request);
}

static void on_parsed(struct ingest_json *parsed)
{
    struct request *request = parsed->arg;
    struct galloc_error error = parsed->error;
    int code = parsed->code;
    request->json = parsed->ret_json;
    free(parsed);
    if (request->api->is_closing)
        code = galloc_fail(&error, GALLOC_DRAINING, "the daemon is stopping; send it again");
    run_json(request, code, &error);
}

/* A large body is parsed beside the loop, which has others to serve meanwhile. */
static void parse_beside(struct request *request)
{
    struct ingest_json *json = xcalloc(1, sizeof *json);
    *json = (struct ingest_json){.text = request->body.data, .len = request->body.len, .done = on_parsed, .arg = request};
    if (ingest_parse(request->api->config.ingest, json))
        return;
    free(json);
    request_fail_fmt(request, GALLOC_BUSY, "other large bodies are being parsed; send it again");
}

void request_run(struct request *request)
{
    const struct route *route = request->route;
    struct galloc_error error;
    bool is_json = route->body == BODY_JSON || route->body == BODY_JSON_OR_NONE;
    if (is_json && request->body.len > PARSED_AT_ONCE_BYTES)
        parse_beside(request);
    else if (is_json && request->body.len > 0)
        run_json(request, json_parse(request->body.data, request->body.len, &request->json, &error), &error);
    else if (route->body == BODY_JSON)
        request_fail_fmt(request, GALLOC_NOT_JSON, "%s %s needs a JSON object as its body", request->head.method_name, route->pattern);
    else
        route->handle(request);
}

/* ---- answers ---- */

/* The request is over: its connection goes on with the next one. */
static void answer(struct request *request, int status, const char *content_type, const char *more_headers)
{
    struct connection *connection = request->connection;
    server_count(request->api, request->route, status, request->began_mono_us);
    log_event(status == 500 ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "api_request", "method=%s route=%s status=%d uid=%u pid=%d took_us=%" PRId64,
              request->head.method_name, request->route->pattern, status, (unsigned)request->peer.uid, (int)request->peer.pid,
              clock_mono_us() - request->began_mono_us);
    struct buf out = request->out;
    request->out = BUF_EMPTY;
    request_free(request);
    if (connection != NULL)
        connection_answer(connection, status, content_type, more_headers, &out);
    buf_clear(&out);
}

void request_reply(struct request *request, int status)
{
    request_reply_as(request, status, "application/json");
}

void request_reply_as(struct request *request, int status, const char *content_type)
{
    answer(request, status, content_type, "");
}

void problem_write(struct buf *out, int code, const char *detail, const char *members)
{
    const struct galloc_code_row *row = galloc_code_row(code);
    struct json_out json = JSON_OUT(out);
    json_out_begin(&json, '{');
    json_out_member_str(&json, "type", "about:blank");
    json_out_member_str(&json, "title", row->text);
    json_out_member_int(&json, "status", row->http_status);
    json_out_member_str(&json, "code", row->name);
    if (detail != NULL && detail[0] != '\0')
        json_out_member_str(&json, "detail", detail);
    if (members != NULL) {
        buf_add_char(out, ',');
        buf_add_str(out, members);
    }
    json_out_end(&json, '}');
}

void request_fail_with(struct request *request, const struct galloc_error *error, const char *members)
{
    static const struct {
        int code;
        const char *header;
    } rows[] = {
        {GALLOC_BUSY, "Retry-After: 1\r\n"},      {GALLOC_DRAINING, "Retry-After: 10\r\n"},       {GALLOC_STORE_UNAVAILABLE, "Retry-After: 5\r\n"},
        {GALLOC_DISK_FULL, "Retry-After: 30\r\n"}, {GALLOC_OUTCOME_UNKNOWN, "Retry-After: 2\r\n"}, {GALLOC_TOO_MANY, "Retry-After: 1\r\n"},
    };
    const char *header = "";
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (rows[i].code == error->code)
            header = rows[i].header;
    buf_reset(&request->out);
    problem_write(&request->out, error->code, error->message, members);
    answer(request, galloc_code_row(error->code)->http_status, "application/problem+json", header);
}

void request_fail(struct request *request, const struct galloc_error *error)
{
    request_fail_with(request, error, NULL);
}

void request_fail_fmt(struct request *request, int code, const char *fmt, ...)
{
    struct galloc_error error = {.code = code};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(error.message, sizeof error.message, fmt, ap);
    va_end(ap);
    request_fail(request, &error);
}

void request_fail_op(struct request *request, const struct store_op *op)
{
    struct galloc_error error = op->error;
    if (error.code != -op->code)
        galloc_fail(&error, -op->code, "%s", galloc_code_row(op->code)->text);
    request_fail(request, &error);
}

/* ---- streams ---- */

void stream_begin_sized(struct request *request, int status, const char *content_type, const char *more_headers, int64_t length_bytes)
{
    give_back(request);
    request->is_stream = true;
    request->api->stream_count++;
    server_count(request->api, request->route, status, request->began_mono_us);
    if (request->connection != NULL)
        connection_begin_stream(request->connection, status, content_type, more_headers, length_bytes);
}

void stream_begin(struct request *request, int status, const char *content_type)
{
    stream_begin_sized(request, status, content_type, "", -1);
}

void stream_write(struct request *request, const char *data, size_t len)
{
    if (request->connection != NULL && len > 0)
        connection_chunk(request->connection, data, len);
}

size_t stream_unsent(const struct request *request)
{
    return request->connection ? connection_unsent(request->connection) : 0;
}

static void end_stream(struct request *request, bool is_whole)
{
    struct connection *connection = request->connection;
    request_free(request);
    if (connection != NULL)
        connection_end_stream(connection, is_whole);
}

void stream_end(struct request *request)
{
    end_stream(request, true);
}

void stream_cut(struct request *request)
{
    request->api->dropped_count++;
    end_stream(request, false);
}

/* ---- parameters ---- */

int query_int(struct request *request, const char *name, int64_t low, int64_t high, int64_t missing, int64_t *ret_value, struct galloc_error *error)
{
    char *text;
    int rc = http_query(&request->head, name, 0, &text, error);
    if (rc < 0)
        return rc;
    *ret_value = missing;
    if (text != NULL && text[0] != '\0' && (rc = parse_i64(text, low, high, ret_value, error)) < 0)
        galloc_prefix(error, "the parameter %s", name);
    free(text);
    return rc;
}

int query_bool(struct request *request, const char *name, bool missing, bool *ret_value, struct galloc_error *error)
{
    char *text;
    int rc = http_query(&request->head, name, 0, &text, error);
    if (rc < 0)
        return rc;
    *ret_value = missing;
    if (text != NULL && text[0] != '\0' && (rc = parse_bool(text, ret_value, error)) < 0)
        galloc_prefix(error, "the parameter %s", name);
    free(text);
    return rc;
}

int query_time(struct request *request, const char *name, int64_t *ret_wall_ms, struct galloc_error *error)
{
    char *text;
    int rc = http_query(&request->head, name, 0, &text, error);
    if (rc < 0)
        return rc;
    *ret_wall_ms = 0;
    if (text != NULL && text[0] != '\0' && (rc = parse_time_ms(text, ret_wall_ms, error)) < 0)
        galloc_prefix(error, "the parameter %s", name);
    free(text);
    return rc;
}
