/* What stands under /sim: settings, statistics, the record. See server.h. */
#include "sim/server.h"

#include "base/clock.h"
#include "base/json_out.h"
#include "base/parse.h"

struct control_call {
    struct server *server;
    const struct http_head *head;
    const char *body;
    struct buf *out;
};

static void reply_json(const struct control_call *call, int status, struct buf *body, const char *type)
{
    answer_head(&call->server->maker, status, type, "", body->len, call->out);
    buf_add(call->out, body->data, body->len);
    buf_clear(body);
}

static void get_config(const struct control_call *call)
{
    struct buf body = BUF_EMPTY;
    settings_to_json(&call->server->settings, &body);
    reply_json(call, 200, &body, "application/json");
}

static void patch_config(const struct control_call *call)
{
    struct settings changed = call->server->settings;
    struct galloc_error error;
    int rc = settings_set_json(&changed, call->body, call->head->body_bytes, &error);
    if (rc == 0)
        rc = server_change(call->server, &changed, &error);
    if (rc == 0)
        get_config(call);
    else
        server_refuse(call->server, 400, error.message, call->out);
}

static void get_help(const struct control_call *call)
{
    struct buf body = BUF_EMPTY;
    settings_help_json(&body);
    reply_json(call, 200, &body, "application/json");
}

static void quotas_to_json(struct server *server, struct json_out *json)
{
    static const char *const kinds[] = {"bucket", "fixed", "sliding"};
    double now_s = (double)(clock_mono_us() - server->tally.start_us) / 1e6, wall_s = (double)clock_wall_ms() / 1000;
    json_out_begin(json, '[');
    for (size_t i = 0; i < server->judge.quotas.count; i++) {
        struct quota *quota = server->judge.quotas.quotas[i];
        const struct quota_plan *plan = quota_plan(quota);
        json_out_begin(json, '{');
        json_out_member_str(json, "unit", plan->is_tokens ? "tokens" : "requests");
        json_out_member_str(json, "kind", kinds[plan->kind]);
        json_out_name(json, "limit");
        json_out_ratio(json, plan->limit);
        json_out_name(json, "window_s");
        json_out_ratio(json, plan->window_s);
        json_out_name(json, "used");
        json_out_ratio(json, quota_used(quota, now_s, wall_s));
        json_out_end(json, '}');
    }
    json_out_end(json, ']');
}

static void get_stats(const struct control_call *call)
{
    struct server *server = call->server;
    struct buf body = BUF_EMPTY;
    buf_add_char(&body, '{');
    tally_to_json(&server->tally, clock_mono_us(), &body);
    struct json_out json = {&body, true};
    json_out_member_int(&json, "in_service", server->judge.in_service);
    json_out_member_bool(&json, "has_outage", server->settings.outage != OUTAGE_OFF);
    json_out_name(&json, "quotas");
    quotas_to_json(server, &json);
    buf_add_str(&body, "}\n");
    reply_json(call, 200, &body, "application/json");
}

/* The number in "name=123" of the query; `missing` when it is not there or no number. */
static int64_t query_number(struct text_span query, const char *name, int64_t missing)
{
    char text[64];
    size_t len = (size_t)min_i64((int64_t)query.len, sizeof text - 1);
    int64_t number;
    if (query.at == NULL)
        return missing;
    memcpy(text, query.at, len);
    text[len] = '\0';
    bool is_it = strncmp(text, name, strlen(name)) == 0 && text[strlen(name)] == '=';
    return is_it && parse_i64(text + strlen(name) + 1, 0, INT64_MAX, &number, NULL) == 0 ? number : missing;
}

static void get_record(const struct control_call *call)
{
    struct buf body = BUF_EMPTY;
    tally_record(&call->server->tally, query_number(call->head->query, "from", 1), &body);
    reply_json(call, 200, &body, "application/x-ndjson");
}

static void get_keys(const struct control_call *call)
{
    struct buf body = BUF_EMPTY;
    tally_keys(&call->server->tally, query_number(call->head->query, "over", 0), &body);
    reply_json(call, 200, &body, "application/x-ndjson");
}

static void post_reset(const struct control_call *call)
{
    server_reset(call->server);
    get_stats(call);
}

static const struct {
    enum http_method method;
    const char *path;
    void (*handle)(const struct control_call *call);
} routes[] = {
    {METHOD_GET, "/sim/config", get_config},    {METHOD_PATCH, "/sim/config", patch_config},
    {METHOD_POST, "/sim/config", patch_config}, {METHOD_GET, "/sim/help", get_help},
    {METHOD_GET, "/sim/stats", get_stats},      {METHOD_GET, "/sim/record", get_record},
    {METHOD_GET, "/sim/keys", get_keys},        {METHOD_POST, "/sim/reset", post_reset},
};

void control_handle(struct server *server, const struct http_head *head, const char *body, struct buf *out,
                    struct reply *ret_reply)
{
    struct control_call call = {server, head, body, out};
    bool is_path_known = false;
    ret_reply->mode = SEND_WHOLE;
    for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
        bool is_path =
            head->path.len == strlen(routes[i].path) && memcmp(head->path.at, routes[i].path, head->path.len) == 0;
        is_path_known |= is_path;
        if (is_path && routes[i].method == head->method) {
            routes[i].handle(&call);
            return;
        }
    }
    server_refuse(
        server, is_path_known ? 405 : 404,
        is_path_known
            ? "this path does not have this method"
            : "there are /sim/config (GET, PATCH), /sim/help, /sim/stats, /sim/record, /sim/keys and /sim/reset (POST)",
        out);
}
