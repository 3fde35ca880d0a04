/* The JSON body that is stored of a decided assignment, and from which it is shown. Its members have these names alone. Pure; any thread. */
#ifndef GALLOC_CORE_RESULT_BODY_H
#define GALLOC_CORE_RESULT_BODY_H

#include "base/util.h"

#include <stddef.h>
#include <stdint.h>

#define DECIDED_BY_MODEL "model"
#define DECIDED_BY_WORKER "worker"
#define DECIDED_BY_PERSON "person"

/* The call that it came of. All zero but for latency_ms -1: none. */
struct result_call {
    const char *model;  /* borrowed, as the provider named it; NULL: not told */
    int http_status;    /* 0: none */
    int64_t latency_ms; /* -1: not known */
};
#define RESULT_NO_CALL ((struct result_call){.latency_ms = -1})

/* Whom it went to stands beside it. `reason` NULL: null; confidence 0 to 1, negative: not given. The caller frees. */
char *result_body_decision(const char *reason, double confidence, const char *decided_by, struct result_call call);
/* What a question was answered with: checked JSON in one line. The caller frees. */
char *result_body_answer(const char *answer_json, size_t len, const char *decided_by, struct result_call call);
/* Why it failed. `message` NULL: not told; `worker_code`: a worker's own word for it; NULL: none. The caller frees. */
char *result_body_failure(const char *message, const char *worker_code, struct result_call call);

#endif
