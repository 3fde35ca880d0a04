/* Google's error envelope, as its native and its OpenAI-compatible endpoints send it: {"error":{code,message,status,details[]}}, also within an
 * array of one. Source of the shapes: google.rpc.Status and error_details.proto. Pure; any thread. */
#ifndef GALLOC_PROVIDER_GOOGLE_ERROR_H
#define GALLOC_PROVIDER_GOOGLE_ERROR_H

#include "provider/provider_internal.h"

struct google_error {
    int code;              /* the envelope's own status; 0: none or not a number */
    char *status, *reason; /* owned; NULL: not told. "RESOURCE_EXHAUSTED"; ErrorInfo's "API_KEY_INVALID" */
    char *message;         /* owned; never NULL */
    int64_t retry_ms;      /* the larger of RetryInfo and the message, at most two days; -1: not told */
    bool has_quota;        /* a violation was named */
    bool is_quota_zero;    /* the project has no quota at all for this model */
    enum quota_span span;  /* of the longest violation */
    enum quota_unit unit;
    int64_t quota_value;   /* its limit; -1: not told */
};

/* The object that stands in `root`, itself or within an array of one. */
struct json_span google_unwrap(struct json_span root);

/* Reads the `error` member of an unwrapped object. False when there is none; else the caller frees with google_error_clear(). */
bool google_error_read(struct json_span object, struct google_error *ret_error);
void google_error_clear(struct google_error *error);

/* Fills class, capacity, quota, retry-after and message. `status` is HTTP's; of a 200 that carries an error, the envelope's code is taken. */
void google_error_judge(int status, const struct google_error *error, struct provider_verdict *verdict);

#endif
