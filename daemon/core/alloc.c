/* See alloc.h. */
#include "core/alloc.h"

#include "base/json.h"
#include "base/text.h"
#include "core/answer.h"
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

int64_t alloc_calls_a_place(int64_t decided_count, int64_t full_count)
{
    return full_count * ALLOC_FULLS_PART > decided_count ? 1 : 4;
}

int64_t alloc_may_name(int64_t capacity, int64_t held, int64_t named, int64_t calls_a_place)
{
    if (capacity < 0 || capacity > INT64_MAX / 4)
        return INT64_MAX;
    return max_i64((capacity - held) * calls_a_place - named, 0);
}

size_t alloc_list_length(size_t count, int64_t may_name, int64_t calls)
{
    int64_t share = may_name / max_i64(calls, 1);
    return (size_t)min_i64((int64_t)count, max_i64(share, 2));
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

#define NOT_OBJECT "the answer is not a JSON object"

/* The members of an answer, as whoever reads it finds them; null is missing. Borrowed. */
struct answer_parts {
    const char *agent_id, *reason; /* NULL: missing, or no string */
    size_t agent_id_len, reason_len;
    bool has_reason, has_confidence;
    double confidence; /* -1: missing, or no number */
};

static int parts_take(const struct answer_parts *parts, struct alloc_answer *ret_answer, struct galloc_error *error)
{
    size_t id_len = parts->agent_id_len;
    if (parts->agent_id == NULL)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the answer has no string \"agent_id\"");
    if (id_len == 0 || id_len >= sizeof ret_answer->agent_id || strlen(parts->agent_id) != id_len)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the answer's \"agent_id\" is not an agent's id");
    if (parts->has_reason && parts->reason == NULL)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the answer's \"reason\" is not a string");
    if (parts->has_confidence && !(parts->confidence >= 0 && parts->confidence <= 1))
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the answer's \"confidence\" is not a number from 0 to 1");
    memcpy(ret_answer->agent_id, parts->agent_id, id_len + 1);
    size_t kept = parts->reason_len > LIMIT_REASON_BYTES ? LIMIT_REASON_BYTES : parts->reason_len;
    ret_answer->reason = parts->reason != NULL ? xstrndup(parts->reason, text_utf8_span(parts->reason, kept)) : xstrdup("");
    ret_answer->confidence = parts->confidence;
    return 0;
}

int alloc_answer_take(struct json_object *object, struct alloc_answer *ret_answer, struct galloc_error *error)
{
    if (!json_is_object(object))
        return galloc_fail(error, GALLOC_INVALID_INPUT, NOT_OBJECT);
    struct json_object *reason = json_get(object, "reason"), *confidence = json_get(object, "confidence");
    struct answer_parts parts = {.has_reason = reason != NULL, .has_confidence = confidence != NULL, .confidence = json_double(confidence, -1)};
    parts.agent_id = json_str(json_get(object, "agent_id"), &parts.agent_id_len);
    parts.reason = json_str(reason, &parts.reason_len);
    return parts_take(&parts, ret_answer, error);
}

enum { AGENT_ID, REASON, CONFIDENCE, PART_COUNT };

/* The values of an answer's members; `at` NULL where one is missing. */
static void find_parts(struct json_span object, struct json_span values[PART_COUNT])
{
    static const char *const names[PART_COUNT] = {[AGENT_ID] = "agent_id", [REASON] = "reason", [CONFIDENCE] = "confidence"};
    struct json_span name, value;
    for (const char *at = NULL; json_next(object, &at, &name, &value);)
        for (size_t i = 0; i < PART_COUNT; i++)
            if (json_span_equals(name, names[i]) && json_span_kind(value) != JSON_NULL)
                values[i] = value;
}

/* NULL when it is missing or no string; else decoded, in `out`. */
static const char *part_text(struct json_span value, struct buf *out)
{
    if (value.at == NULL || json_span_kind(value) != JSON_STRING)
        return NULL;
    json_span_string(value, out);
    return buf_text(out);
}

/* Read for each assignment: by the spans of its text, without a tree of it. */
int alloc_answer_read(const char *text, size_t len, struct alloc_answer *ret_answer, struct galloc_error *error)
{
    answer_unwrap(&text, &len);
    if (len == 0)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the answer is empty");
    if (json_check(text, len, error) < 0) {
        if (error != NULL)
            error->code = GALLOC_INVALID_INPUT;
        return -GALLOC_INVALID_INPUT;
    }
    if (*text != '{')
        return galloc_fail(error, GALLOC_INVALID_INPUT, NOT_OBJECT);
    struct json_span values[PART_COUNT] = {{NULL, 0}};
    struct buf agent_id = BUF_EMPTY, reason = BUF_EMPTY;
    find_parts((struct json_span){text, len}, values);
    struct answer_parts parts = {.agent_id = part_text(values[AGENT_ID], &agent_id), .reason = part_text(values[REASON], &reason),
                                 .has_reason = values[REASON].at != NULL, .has_confidence = values[CONFIDENCE].at != NULL,
                                 .confidence = values[CONFIDENCE].at != NULL ? json_span_number(values[CONFIDENCE], -1) : -1};
    parts.agent_id_len = agent_id.len;
    parts.reason_len = reason.len;
    int rc = parts_take(&parts, ret_answer, error);
    buf_clear(&agent_id);
    buf_clear(&reason);
    return rc;
}
