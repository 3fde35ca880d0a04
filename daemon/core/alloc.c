/* See alloc.h. */
#include "core/alloc.h"

#include "base/json.h"
#include "base/text.h"
#include "core/limits.h"
#include "core/plan.h"

#include <math.h>
#include <string.h>

enum agent_room agent_room(int64_t capacity, int64_t held, int64_t claimed, bool is_listed, bool is_available, int64_t until_at_ms, int64_t wall_ms)
{
    if (!is_listed)
        return ROOM_AWAY;
    if (!is_available && until_at_ms == 0)
        return ROOM_AWAY;
    if (capacity >= 0 && held >= capacity)
        return ROOM_FULL;
    if (!is_available && until_at_ms > wall_ms)
        return ROOM_AWAY_UNTIL;
    if (capacity >= 0 && held + claimed >= capacity)
        return ROOM_COVERED;
    return ROOM_FREE;
}

/* A string decoded, anything else as it stands; null is missing. */
bool match_field(struct json_span fields, const char *field, struct buf *out)
{
    struct json_span value;
    if (!column_find(fields, field, &value) || json_span_kind(value) == JSON_NULL)
        return false;
    if (json_span_kind(value) == JSON_STRING)
        json_span_string(value, out);
    else
        buf_add(out, value.at, value.len);
    return true;
}

struct attribute_wanted {
    const char *name;
    struct json_object *value;
};

static int see_attribute(const char *name, struct json_object *value, void *arg)
{
    struct attribute_wanted *wanted = arg;
    bool is_it = column_is(name, wanted->name);
    if (is_it)
        wanted->value = value;
    return is_it;
}

/* The attribute of that very name, else the first whose name means the same. */
static struct json_object *attribute_of(struct json_object *attributes, const char *name)
{
    struct attribute_wanted wanted = {.name = name, .value = json_get(attributes, name)};
    if (wanted.value == NULL && !json_has(attributes, name) && json_is_object(attributes))
        json_each(attributes, see_attribute, &wanted);
    return wanted.value;
}

static bool value_is(struct json_object *value, const struct buf *text)
{
    size_t len = 0;
    const char *string = json_str(value, &len);
    if (string != NULL)
        return len == text->len && memcmp(string, buf_text(text), len) == 0;
    if (value == NULL || json_is_object(value) || json_is_array(value))
        return false;
    struct buf plain = BUF_EMPTY;
    json_to_text(value, &plain);
    bool is_equal = plain.len == text->len && memcmp(buf_text(&plain), buf_text(text), plain.len) == 0;
    buf_clear(&plain);
    return is_equal;
}

bool match_value_holds(const struct buf *text, struct json_object *attributes, const char *attribute)
{
    struct json_object *value = attribute_of(attributes, attribute);
    bool holds = value_is(value, text);
    for (size_t i = 0; !holds && i < json_array_len(value); i++)
        holds = value_is(json_array_at(value, i), text);
    return holds;
}

bool match_holds(struct json_span fields, const char *field, struct json_object *attributes, const char *attribute)
{
    struct buf text = BUF_EMPTY;
    bool holds = match_field(fields, field, &text) && match_value_holds(&text, attributes, attribute);
    buf_clear(&text);
    return holds;
}

/* Models wrap JSON in a fence now and then, whatever they are told. */
static void strip_fence(const char **text, size_t *len)
{
    const char *at = *text, *end = at + *len;
    while (at < end && strchr(" \t\r\n", *at) != NULL)
        at++;
    while (end > at && strchr(" \t\r\n", end[-1]) != NULL)
        end--;
    if (end - at >= 6 && memcmp(at, "```", 3) == 0 && memcmp(end - 3, "```", 3) == 0) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        if (line != NULL && line < end - 3) {
            at = line + 1;
            end -= 3;
        }
    }
    *text = at;
    *len = (size_t)(end - at);
}

int alloc_answer_take(struct json_object *object, struct alloc_answer *ret_answer, struct galloc_error *error)
{
    size_t id_len = 0, reason_len = 0;
    const char *agent_id = json_str(json_get(object, "agent_id"), &id_len);
    struct json_object *reason_value = json_get(object, "reason");
    const char *reason = json_str(reason_value, &reason_len);
    double confidence = json_get_double(object, "confidence", -1);
    if (!json_is_object(object))
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the answer is not a JSON object");
    if (agent_id == NULL)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the answer has no string \"agent_id\"");
    if (id_len == 0 || id_len >= sizeof ret_answer->agent_id || strlen(agent_id) != id_len)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the answer's \"agent_id\" is not an agent's id");
    if (reason_value != NULL && reason == NULL)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the answer's \"reason\" is not a string");
    if (json_get(object, "confidence") != NULL && !(confidence >= 0 && confidence <= 1))
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the answer's \"confidence\" is not a number from 0 to 1");
    memcpy(ret_answer->agent_id, agent_id, id_len + 1);
    size_t kept = reason_len > LIMIT_REASON_BYTES ? LIMIT_REASON_BYTES : reason_len;
    ret_answer->reason = reason != NULL ? xstrndup(reason, text_utf8_span(reason, kept)) : xstrdup("");
    ret_answer->confidence = confidence;
    return 0;
}

int alloc_answer_read(const char *text, size_t len, struct alloc_answer *ret_answer, struct galloc_error *error)
{
    strip_fence(&text, &len);
    if (len == 0)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the answer is empty");
    struct json_object *root = NULL;
    if (json_parse(text, len, &root, error) < 0) {
        if (error != NULL)
            error->code = GALLOC_INVALID_INPUT;
        return -GALLOC_INVALID_INPUT;
    }
    int rc = alloc_answer_take(root, ret_answer, error);
    json_free(root);
    return rc;
}
