/* See worker_result.h. */
#include "core/worker_result.h"

#include "base/json.h"
#include "base/text.h"
#include "core/limits.h"

#include <string.h>

/* A text member of the error, cut to what is kept. False: it is there and is not a text. */
static bool take_text(struct json_object *error, const char *name, size_t most, char **ret_text)
{
    size_t len = 0;
    struct json_object *value = json_get(error, name);
    const char *text = json_str(value, &len);
    if (value == NULL)
        return true;
    if (text == NULL)
        return false;
    *ret_text = xstrndup(text, text_utf8_span(text, len > most ? most : len));
    return true;
}

static int read_error(struct json_object *told, struct worker_result *result, struct galloc_error *error)
{
    struct json_object *retry = json_get(told, "retry");
    if (!json_is_object(told))
        return galloc_fail(error, GALLOC_INVALID_INPUT, "\"error\" has to be an object with \"code\", \"message\" and \"retry\"");
    if (!take_text(told, "code", WORKER_CODE_BYTES, &result->code))
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the error's \"code\" is not a string");
    if (!take_text(told, "message", LIMIT_MESSAGE_BYTES, &result->message))
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the error's \"message\" is not a string");
    if (retry != NULL && !json_is_bool(retry))
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the error's \"retry\" is neither true nor false");
    result->kind = TOLD_ERROR;
    result->may_retry = json_bool(retry, false);
    return 0;
}

static int read_key(struct json_object *item, struct worker_result *result, struct galloc_error *error)
{
    size_t len = 0;
    const char *why = NULL, *key = json_str(json_get(item, "key"), &len);
    if (!json_is_object(item))
        return galloc_fail(error, GALLOC_INVALID_INPUT, "a result has to be an object with \"key\", and \"agent_id\", \"answer\" or \"error\"");
    if (key == NULL)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the result has no string \"key\": nobody can tell which assignment it is of");
    if (!text_is_key(key, len, &why))
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the result's \"key\" cannot be one: %s", why);
    result->key = xstrndup(key, len);
    return 0;
}

static int read_answer(struct json_object *item, struct json_object *answer, struct worker_result *result, struct galloc_error *error)
{
    struct buf text = BUF_EMPTY;
    if (json_get(item, "agent_id") != NULL)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the result has both \"agent_id\" and \"answer\": it is one or the other");
    if (!json_is_object(answer))
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the result's \"answer\" has to be an object in the shape of the run's schema");
    json_to_text(answer, &text);
    result->json = buf_take(&text);
    result->kind = TOLD_ANSWER;
    return 0;
}

static int read_result(struct json_object *item, struct worker_result *result, struct galloc_error *error)
{
    int rc = read_key(item, result, error);
    if (rc < 0)
        return rc;
    struct json_object *told = json_get(item, "error"), *answer = json_get(item, "answer");
    const char *decided = json_get(item, "agent_id") != NULL ? "agent_id" : answer != NULL ? "answer" : NULL;
    if (told != NULL && decided != NULL)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the result has both \"%s\" and \"error\": it is one or the other", decided);
    if (told != NULL)
        return read_error(told, result, error);
    if (answer != NULL)
        return read_answer(item, answer, result, error);
    rc = alloc_answer_take(item, &result->answer, error);
    if (rc == 0)
        result->kind = TOLD_DECISION;
    return rc;
}

void worker_result_read(struct json_object *item, struct worker_result *ret_result)
{
    struct galloc_error error;
    *ret_result = (struct worker_result){.kind = TOLD_NOTHING};
    if (read_result(item, ret_result, &error) == 0)
        return;
    free(ret_result->message);
    ret_result->message = xstrdup(error.message);
}

void worker_result_clear(struct worker_result *result)
{
    free(result->key);
    free(result->answer.reason);
    free(result->json);
    free(result->code);
    free(result->message);
    *result = (struct worker_result){.kind = TOLD_NOTHING};
}
