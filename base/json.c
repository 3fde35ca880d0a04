/* See json.h. json-c never sees text that json_check() did not pass, so its leniencies do not matter. */
#include "base/json.h"

#include "base/parse.h"
#include "base/text.h"

#include <inttypes.h>
#define json_bool json_c_bool /* its name for int; ours is a function */
#include <json-c/json.h>
#undef json_bool
#include <limits.h>
#include <string.h>

int json_parse(const char *text, size_t len, struct json_object **ret_value, struct galloc_error *error)
{
    int rc = json_check(text, len, error);
    if (rc < 0)
        return rc;
    if (len > INT_MAX)
        return galloc_fail(error, GALLOC_TOO_LARGE, "JSON of more than 2 GiB");
    struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
    if (tokener == NULL)
        return galloc_fail(error, GALLOC_INTERNAL, "out of memory");
    struct json_object *value = json_tokener_parse_ex(tokener, text, (int)len);
    enum json_tokener_error status = json_tokener_get_error(tokener);
    if (status == json_tokener_continue) { /* a bare number ends only with what follows it */
        value = json_tokener_parse_ex(tokener, " ", 1);
        status = json_tokener_get_error(tokener);
    }
    json_tokener_free(tokener);
    if (status != json_tokener_success) {
        json_object_put(value);
        return galloc_fail(error, GALLOC_NOT_JSON, "not valid JSON: %s", json_tokener_error_desc(status));
    }
    *ret_value = value;
    return 0;
}

void json_free(struct json_object *value)
{
    json_object_put(value);
}

struct json_object *json_share(struct json_object *value)
{
    return json_object_get(value);
}

struct json_object *json_get(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;
    if (json_object_is_type(object, json_type_object))
        json_object_object_get_ex(object, name, &value);
    return value;
}

bool json_has(struct json_object *object, const char *name)
{
    return json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, name, NULL);
}

void json_take_out(struct json_object *object, const char *name)
{
    if (json_object_is_type(object, json_type_object))
        json_object_object_del(object, name);
}

const char *json_str(struct json_object *value, size_t *ret_len)
{
    if (!json_object_is_type(value, json_type_string))
        return NULL;
    if (ret_len != NULL)
        *ret_len = (size_t)json_object_get_string_len(value);
    return json_object_get_string(value);
}

const char *json_get_str(struct json_object *object, const char *name, const char *missing)
{
    const char *text = json_str(json_get(object, name), NULL);
    return text ? text : missing;
}

int64_t json_i64(struct json_object *value, int64_t missing)
{
    if (json_object_is_type(value, json_type_int))
        return json_object_get_int64(value);
    const char *digits = json_str(value, NULL);
    int64_t number;
    return digits != NULL && parse_i64(digits, INT64_MIN, INT64_MAX, &number, NULL) == 0 ? number : missing;
}

int64_t json_get_i64(struct json_object *object, const char *name, int64_t missing)
{
    return json_i64(json_get(object, name), missing);
}

double json_double(struct json_object *value, double missing)
{
    return json_object_is_type(value, json_type_double) || json_object_is_type(value, json_type_int) ? json_object_get_double(value)
                                                                                                     : missing;
}

double json_get_double(struct json_object *object, const char *name, double missing)
{
    return json_double(json_get(object, name), missing);
}

bool json_bool(struct json_object *value, bool missing)
{
    return json_object_is_type(value, json_type_boolean) ? json_object_get_boolean(value) : missing;
}

bool json_get_bool(struct json_object *object, const char *name, bool missing)
{
    return json_bool(json_get(object, name), missing);
}

bool json_is_object(struct json_object *value)
{
    return json_object_is_type(value, json_type_object);
}

bool json_is_array(struct json_object *value)
{
    return json_object_is_type(value, json_type_array);
}

bool json_is_str(struct json_object *value)
{
    return json_object_is_type(value, json_type_string);
}

bool json_is_bool(struct json_object *value)
{
    return json_object_is_type(value, json_type_boolean);
}

bool json_is_i64(struct json_object *value)
{
    return json_object_is_type(value, json_type_int);
}

size_t json_array_len(struct json_object *value)
{
    return json_is_array(value) ? json_object_array_length(value) : 0;
}

struct json_object *json_array_at(struct json_object *value, size_t index)
{
    return index < json_array_len(value) ? json_object_array_get_idx(value, index) : NULL;
}

static const struct {
    enum json_field_type type;
    json_type native;
    const char *words;
} type_rows[] = {
    {JSON_TYPE_STR, json_type_string, "a string"},    {JSON_TYPE_I64, json_type_int, "a whole number"},
    {JSON_TYPE_BOOL, json_type_boolean, "true or false"}, {JSON_TYPE_OBJECT, json_type_object, "an object"},
    {JSON_TYPE_ARRAY, json_type_array, "an array"},
};

static int check_field(const struct json_field *field, struct json_object *value, struct galloc_error *error)
{
    for (size_t i = 0; i < ARRAY_COUNT(type_rows); i++)
        if (type_rows[i].type == field->type && !json_object_is_type(value, type_rows[i].native))
            return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" has to be %s", field->name, type_rows[i].words);
    if (field->low == 0 && field->high == 0)
        return 0;
    if (field->type == JSON_TYPE_I64) {
        int64_t number = json_object_get_int64(value);
        if (number < field->low || number > field->high)
            return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" has to be from %" PRId64 " to %" PRId64 ", not %s", field->name, field->low,
                               field->high, json_object_get_string(value));
    }
    if (field->type == JSON_TYPE_STR) {
        int64_t len = json_object_get_string_len(value);
        if (len < field->low || len > field->high)
            return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" has to have %" PRId64 " to %" PRId64 " bytes", field->name, field->low,
                               field->high);
        if (memchr(json_object_get_string(value), '\0', (size_t)len) != NULL)
            return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" holds a NUL character", field->name);
    }
    return 0;
}

static int unknown_field(const char *name, const struct json_field *fields, size_t count, struct galloc_error *error)
{
    const char *names[64];
    size_t known = count < ARRAY_COUNT(names) ? count : ARRAY_COUNT(names);
    for (size_t i = 0; i < known; i++)
        names[i] = fields[i].name;
    const char *nearest = text_nearest(name, names, known);
    return galloc_fail(error, GALLOC_UNKNOWN_FIELD, "unknown field \"%s\"%s%s%s", name, nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                       nearest ? "\"?" : "");
}

int json_check_fields(struct json_object *object, const struct json_field *fields, size_t count, struct galloc_error *error)
{
    if (!json_is_object(object))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "a JSON object is expected");
    json_object_object_foreach(object, name, value)
    {
        size_t i = 0;
        while (i < count && strcmp(fields[i].name, name) != 0)
            i++;
        if (i == count)
            return unknown_field(name, fields, count, error);
        int rc = value == NULL ? 0 : check_field(&fields[i], value, error);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < count; i++)
        if (fields[i].is_required && json_get(object, fields[i].name) == NULL)
            return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" is missing", fields[i].name);
    return 0;
}

int json_each(struct json_object *object, int (*each)(const char *name, struct json_object *value, void *arg), void *arg)
{
    if (!json_is_object(object))
        return 0;
    json_object_object_foreach(object, name, value)
    {
        int rc = each(name, value, arg);
        if (rc != 0)
            return rc;
    }
    return 0;
}

void json_to_text(struct json_object *value, struct buf *out)
{
    size_t len = 0;
    const char *text = value ? json_object_to_json_string_length(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len) : "null";
    buf_add(out, text, value ? len : 4);
}
