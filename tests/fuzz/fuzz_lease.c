/* Fuzz target: the body of POST /v1/leases/{lease}/results. Each item is a decision, an error, or words that say what is wrong; what is kept of it is short,
 * whole UTF-8, and can be a key or an agent's id. */
#include "base/json.h"
#include "base/text.h"
#include "core/limits.h"
#include "core/worker_result.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_text(const char *text, size_t most)
{
    if (text != NULL && (strlen(text) > most || !text_is_utf8(text, strlen(text))))
        abort();
}

static void check(const struct worker_result *result)
{
    const char *why = NULL;
    if (result->key != NULL && !text_is_key(result->key, strlen(result->key), &why))
        abort();
    if (result->key == NULL && result->kind != TOLD_NOTHING)
        abort();
    if (result->kind == TOLD_NOTHING && (result->message == NULL || result->message[0] == '\0'))
        abort();
    if (result->kind == TOLD_DECISION && (result->answer.agent_id[0] == '\0' || result->answer.reason == NULL))
        abort();
    if (result->kind == TOLD_DECISION && !(result->answer.confidence == -1 || (result->answer.confidence >= 0 && result->answer.confidence <= 1)))
        abort();
    check_text(result->answer.reason, LIMIT_REASON_BYTES);
    check_text(result->code, WORKER_CODE_BYTES);
    check_text(result->message, LIMIT_MESSAGE_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct json_object *body = NULL;
    if (json_parse((const char *)data, len, &body, NULL) < 0)
        return 0;
    struct json_object *list = json_get(body, "results");
    for (size_t i = 0; i < json_array_len(list) && i < LIMIT_LEASE_RESULTS; i++) {
        struct worker_result result;
        worker_result_read(json_array_at(list, i), &result);
        check(&result);
        worker_result_clear(&result);
    }
    json_free(body);
    return 0;
}
