/* See schema_file.h. */
#include "cli/schema_file.h"

#include "base/json_scan.h"
#include "cli/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SCHEMA_BYTES_MAX = 256 << 10 }; /* what is read; the daemon's limit is lower and its own to tell */

static int64_t line_of(const char *text, const char *at)
{
    int64_t line = 1;
    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

static int read_all(const char *path, struct buf *ret_text, struct galloc_error *error)
{
    struct source *source;
    const char *data;
    size_t len = 1;
    int rc = source_open(path, NULL, &source, error);
    if (rc < 0)
        return rc;
    while (rc == 0 && len > 0) {
        rc = source_read(source, &data, &len, error);
        if (rc == 0)
            buf_add(ret_text, data, len);
        if (ret_text->len > SCHEMA_BYTES_MAX)
            rc = galloc_fail(error, GALLOC_INVALID_INPUT, "%s: a schema has at most 256 KiB", path);
    }
    source_close(source);
    return rc;
}

/* json_check() tells the byte; people look for the line. */
static int fail_syntax(const char *path, const struct buf *text, struct galloc_error *error)
{
    const char *byte = strstr(error->message, "byte ");
    uint64_t at = byte != NULL ? strtoull(byte + strlen("byte "), NULL, 10) : 0;
    error->code = GALLOC_INVALID_INPUT;
    return galloc_prefix(error, "%s:%" PRId64, path, line_of(buf_text(text), buf_text(text) + (at < text->len ? at : text->len)));
}

int schema_file_read(const char *path, char **ret_text, struct galloc_error *error)
{
    struct buf text = BUF_EMPTY;
    int rc = read_all(path, &text, error);
    if (rc == 0 && json_check(buf_text(&text), text.len, error) < 0)
        rc = fail_syntax(path, &text, error);
    if (rc == 0)
        *ret_text = buf_take(&text);
    buf_clear(&text);
    return rc;
}

/* The member or element that one token of a pointer names; at NULL: there is none. *ret_at is where it stands, its name included. */
static struct json_span step(struct json_span container, const char *token, const char **ret_at)
{
    struct json_span name, value;
    uint64_t index = 0, wanted = strtoull(token, NULL, 10);
    for (const char *at = NULL; json_next(container, &at, &name, &value); index++) {
        *ret_at = name.at != NULL ? name.at : value.at;
        if (name.at != NULL ? json_span_equals(name, token) : index == wanted)
            return value;
    }
    return (struct json_span){NULL, 0};
}

static void unescape(char *token)
{
    char *to = token;
    for (; *token != '\0'; token++) {
        bool is_escape = *token == '~' && (token[1] == '0' || token[1] == '1');
        *to++ = !is_escape ? *token : token[1] == '0' ? '~' : '/';
        token += is_escape;
    }
    *to = '\0';
}

/* Where the pointer leads, as far as it does. */
static const char *find(const char *text, const char *pointer, size_t len)
{
    const char *found = text + strspn(text, " \t\r\n"), *end = pointer + len;
    struct json_span at = {found, strlen(found)};
    while (pointer < end && *pointer == '/' && at.at != NULL && (*at.at == '{' || *at.at == '[')) {
        size_t token_len = strcspn(pointer + 1, "/");
        token_len = token_len < (size_t)(end - pointer - 1) ? token_len : (size_t)(end - pointer - 1);
        char *token = xstrndup(pointer + 1, token_len);
        const char *stands = found;
        unescape(token);
        at = step(at, token, &stands);
        found = at.at != NULL ? stands : found;
        free(token);
        pointer += token_len + 1;
    }
    return found;
}

char *schema_file_place(const char *path, const char *text, const char *message, bool is_plain)
{
    const char *about = strstr(message, "schema: ");
    if (text == NULL || (!is_plain && about != message))
        return NULL;
    about = is_plain ? message : about + strlen("schema: ");
    const char *colon = strncmp(about, "at /", 4) == 0 ? strstr(about, ": ") : NULL;
    if (colon == NULL)
        return xasprintf("%s: %s", path, about);
    const char *pointer = about + strlen("at ");
    return xasprintf("%s:%" PRId64 ": %s", path, line_of(text, find(text, pointer, (size_t)(colon - pointer))), about);
}
