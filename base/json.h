/* The one door to json-c: strict parsing, and members read by a table of what may stand in an object. */
#ifndef GALLOC_BASE_JSON_H
#define GALLOC_BASE_JSON_H

#include "base/json_scan.h"

struct json_object; /* json-c's; json_free() gives it back */

/* Parses one value after json_check(). 0, or -GALLOC_NOT_JSON. The caller frees *ret_value with json_free(). Any thread. */
int json_parse(const char *text, size_t len, struct json_object **ret_value, struct galloc_error *error) MUST_CHECK;
void json_free(struct json_object *value); /* NULL is fine */
struct json_object *json_share(struct json_object *value); /* one more owner of it, who frees it too; gives `value` */

/* The member of an object, or NULL (also when `object` is NULL or not an object). Borrowed. */
struct json_object *json_get(struct json_object *object, const char *name);
bool json_has(struct json_object *object, const char *name);     /* is there such a member, be it null? */
void json_take_out(struct json_object *object, const char *name); /* the member is gone, if it was there */

/* Typed reads that never fail: the default stands when the value is missing or of another type. Strings are borrowed from the value. */
const char *json_get_str(struct json_object *object, const char *name, const char *missing);
int64_t json_get_i64(struct json_object *object, const char *name, int64_t missing); /* integers, and strings of digits (proto3 int64) */
double json_get_double(struct json_object *object, const char *name, double missing);
bool json_get_bool(struct json_object *object, const char *name, bool missing);
bool json_is_object(struct json_object *value);
bool json_is_array(struct json_object *value);
bool json_is_str(struct json_object *value);
bool json_is_bool(struct json_object *value);
bool json_is_i64(struct json_object *value);
const char *json_str(struct json_object *value, size_t *ret_len); /* NULL when not a string; ret_len may be NULL */
size_t json_array_len(struct json_object *value);                 /* 0 when not an array */
int64_t json_i64(struct json_object *value, int64_t missing);    /* as json_get_i64, of the value itself; NULL is missing */
double json_double(struct json_object *value, double missing);
bool json_bool(struct json_object *value, bool missing);
struct json_object *json_array_at(struct json_object *value, size_t index);

/* A row of what a request body may hold. Only the named members may stand there, each of its type and range. */
enum json_field_type { JSON_TYPE_STR, JSON_TYPE_I64, JSON_TYPE_BOOL, JSON_TYPE_OBJECT, JSON_TYPE_ARRAY, JSON_TYPE_ANY };
struct json_field {
    const char *name;
    enum json_field_type type;
    bool is_required;
    int64_t low, high; /* of an I64; of a STR its length in bytes; 0,0: no bounds */
};

/* 0, or -GALLOC_UNKNOWN_FIELD / -GALLOC_INVALID_VALUE naming the member (and the nearest known name). Null counts as missing. */
int json_check_fields(struct json_object *object, const struct json_field *fields, size_t count, struct galloc_error *error) MUST_CHECK;

/* Calls `each` for every member of an object, in order, until it returns non-zero; returns that. */
int json_each(struct json_object *object, int (*each)(const char *name, struct json_object *value, void *arg), void *arg);

/* The value as compact JSON text, added to `out`. */
void json_to_text(struct json_object *value, struct buf *out);

#endif
