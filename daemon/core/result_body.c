/* See result_body.h. */
#include "core/result_body.h"

#include "base/json_out.h"

#define BODY_BYTES 500 /* most are shorter: one allocation */

static char *body_end(struct json_out *out, struct result_call call)
{
    if (call.model != NULL)
        json_out_member_str(out, "model", call.model);
    if (call.http_status > 0)
        json_out_member_int(out, "http_status", call.http_status);
    if (call.latency_ms >= 0)
        json_out_member_int(out, "latency_ms", call.latency_ms);
    json_out_end(out, '}');
    return buf_take(out->buf);
}

char *result_body_decision(const char *reason, double confidence, const char *decided_by, struct result_call call)
{
    struct buf body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    buf_reserve(&body, BODY_BYTES);
    json_out_begin(&out, '{');
    json_out_member_str(&out, "reason", reason);
    if (confidence >= 0) {
        json_out_name(&out, "confidence");
        json_out_ratio(&out, confidence);
    }
    json_out_member_str(&out, "decided_by", decided_by);
    return body_end(&out, call);
}

char *result_body_answer(const char *answer_json, size_t len, const char *decided_by, struct result_call call)
{
    struct buf body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    buf_reserve(&body, len + BODY_BYTES);
    json_out_begin(&out, '{');
    json_out_name(&out, "answer");
    json_out_raw(&out, answer_json, len);
    json_out_member_str(&out, "decided_by", decided_by);
    return body_end(&out, call);
}

char *result_body_failure(const char *message, const char *worker_code, struct result_call call)
{
    struct buf body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    buf_reserve(&body, BODY_BYTES);
    json_out_begin(&out, '{');
    if (message != NULL)
        json_out_member_str(&out, "message", message);
    if (worker_code != NULL)
        json_out_member_str(&out, "worker_code", worker_code);
    return body_end(&out, call);
}
