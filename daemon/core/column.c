/* Names of columns: "LAN No", "lan_no" and "lanno" are one. Pure; any thread. */
#include "core/plan.h"

#include "base/json_scan.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* The next byte that counts, in lower case; NUL at the end. */
static char next_byte(const char **at)
{
    while (**at == ' ' || **at == '\t' || **at == '_')
        (*at)++;
    char c = **at;
    if (c == '\0')
        return c;
    (*at)++;
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool column_is(const char *a, const char *b)
{
    for (;;) {
        char x = next_byte(&a), y = next_byte(&b);
        if (x != y)
            return false;
        if (x == '\0')
            return true;
    }
}

bool column_is_in(char *const *columns, const char *name)
{
    for (; columns != NULL && *columns != NULL; columns++)
        if (column_is(*columns, name))
            return true;
    return false;
}

/* Does the name, as it stands in the source, mean `wanted`? */
static bool means(struct json_span name, const char *wanted)
{
    struct buf decoded = BUF_EMPTY;
    json_span_string(name, &decoded);
    bool is_same = decoded.len == strlen(buf_text(&decoded)) && column_is(buf_text(&decoded), wanted);
    buf_clear(&decoded);
    return is_same;
}

bool column_find(struct json_span object, const char *name, struct json_span *ret_value)
{
    struct json_span member, value;
    for (const char *at = NULL; json_next(object, &at, &member, &value);) {
        if (json_span_equals(member, name)) {
            *ret_value = value;
            return true;
        }
    }
    for (const char *at = NULL; json_next(object, &at, &member, &value);) {
        if (means(member, name)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

const char *column_nearest(char *const *columns, const char *name)
{
    size_t count = 0;
    while (columns != NULL && columns[count] != NULL)
        count++;
    return count > 0 ? text_nearest(name, (const char *const *)columns, count) : NULL;
}
