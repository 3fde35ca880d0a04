/* See http.h. One pass over the bytes finds what may not stand anywhere; then the lines are cut apart in a copy of the head. */
#include "api/http.h"

#include "core/limits.h"

#include "base/parse.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const struct {
    const char *name;
    enum http_method method;
} methods[] = {
    {"GET", HTTP_GET},     {"PUT", HTTP_PUT},      {"POST", HTTP_POST},   {"PATCH", HTTP_PATCH},     {"DELETE", HTTP_DELETE},
    {"HEAD", HTTP_OTHER}, {"OPTIONS", HTTP_OTHER}, {"TRACE", HTTP_OTHER}, {"CONNECT", HTTP_OTHER},
};

size_t http_leading_bytes(const char *data, size_t len)
{
    return len >= 2 && data[0] == '\r' && data[1] == '\n' ? 2 : 0;
}

size_t http_head_end(const char *data, size_t len)
{
    const char *at = memmem(data, len, "\r\n\r\n", 4);
    return at ? (size_t)(at - data) + 4 : 0;
}

/* RFC 9110 5.6.2: what a method's or a header's name is made of. */
static bool is_token_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static size_t token_len(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len && is_token_char((unsigned char)text[i]))
        i++;
    return i;
}

/* NUL, other control characters but TAB, and CR or LF that do not stand together. */
static int check_bytes(const char *data, size_t len, struct galloc_error *error)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c >= 0x20 && c != 0x7f)
            continue;
        if (c == '\t')
            continue;
        if (c == '\r' && (i + 1 == len || data[i + 1] == '\n'))
            continue;
        if (c == '\n' && i > 0 && data[i - 1] == '\r')
            continue;
        return galloc_fail(error, GALLOC_BAD_REQUEST, "byte %zu of the request's header is the control character 0x%02x", i, c);
    }
    return 0;
}

int http_head_check_partial(const char *data, size_t len, struct galloc_error *error)
{
    const char *line_end = memchr(data, '\r', len);
    size_t line_len = line_end ? (size_t)(line_end - data) : len;
    size_t method_len = token_len(data, line_len);
    if (line_len > 0 && (method_len == 0 || method_len > 32 || (method_len < line_len && data[method_len] != ' ')))
        return galloc_fail(error, GALLOC_BAD_REQUEST, "this is not HTTP/1.1");
    const char *target = memchr(data, ' ', line_len);
    if (line_end != NULL && line_len > 0 && target == NULL)
        return galloc_fail(error, GALLOC_BAD_REQUEST, "this is not HTTP/1.1");
    if (target != NULL && line_len - (size_t)(target + 1 - data) > LIMIT_URI_BYTES + sizeof "HTTP/1.1")
        return galloc_fail(error, GALLOC_URI_TOO_LONG, "the path and query are longer than %d bytes", LIMIT_URI_BYTES);
    if (len > LIMIT_HEADER_BYTES)
        return galloc_fail(error, GALLOC_HEADERS_TOO_LARGE, "the request's header is longer than %d bytes", LIMIT_HEADER_BYTES);
    return check_bytes(data, len, error);
}

/* "GET /path?query HTTP/1.1", NUL-ended and cut apart in place. */
static int read_request_line(struct http_head *head, char *line, struct galloc_error *error)
{
    size_t method_len = token_len(line, strlen(line));
    char *target = line + method_len;
    if (method_len == 0 || *target != ' ')
        return galloc_fail(error, GALLOC_BAD_REQUEST, "the request line is not METHOD PATH HTTP/1.1");
    *target++ = '\0';
    char *version = strchr(target, ' ');
    if (version == NULL || strchr(version + 1, ' ') != NULL)
        return galloc_fail(error, GALLOC_BAD_REQUEST, "the request line is not METHOD PATH HTTP/1.1");
    *version++ = '\0';
    if (strcmp(version, "HTTP/1.1") != 0)
        return galloc_fail(error, GALLOC_BAD_REQUEST, "HTTP/1.1 is spoken here, not %.20s", version);
    head->method_name = line;
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++)
        if (strcmp(methods[i].name, line) == 0)
            head->method = methods[i].method;
    if (head->method == 0)
        return galloc_fail(error, GALLOC_NOT_IMPLEMENTED, "the method %.32s is not known", line);
    if (strlen(target) > LIMIT_URI_BYTES)
        return galloc_fail(error, GALLOC_URI_TOO_LONG, "the path and query are longer than %d bytes", LIMIT_URI_BYTES);
    if (*target != '/')
        return galloc_fail(error, GALLOC_BAD_REQUEST, "the path has to begin with '/'; absolute targets are not taken");
    for (const char *at = target; *at != '\0'; at++)
        if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f || *at == '#')
            return galloc_fail(error, GALLOC_BAD_REQUEST, "the path holds a character that has to be percent-encoded");
    head->path = target;
    char *query = strchr(target, '?');
    if (query != NULL)
        *query++ = '\0';
    head->query = query ? query : target + strlen(target);
    return 0;
}

/* "Name: value", NUL-ended and cut apart in place. */
static int read_header_line(struct http_head *head, char *line, struct galloc_error *error)
{
    if (*line == ' ' || *line == '\t')
        return galloc_fail(error, GALLOC_BAD_REQUEST, "a header line begins with a blank: folding is not taken");
    size_t name_len = token_len(line, strlen(line));
    if (name_len == 0 || line[name_len] != ':')
        return galloc_fail(error, GALLOC_BAD_REQUEST, "header line %zu is not \"Name: value\"", head->header_count + 1);
    if (head->header_count == HTTP_HEADERS_MAX)
        return galloc_fail(error, GALLOC_HEADERS_TOO_LARGE, "more than %d header lines", HTTP_HEADERS_MAX);
    line[name_len] = '\0';
    for (size_t i = 0; i < name_len; i++)
        if (line[i] >= 'A' && line[i] <= 'Z')
            line[i] = (char)(line[i] - 'A' + 'a');
    char *value = line + name_len + 1;
    value += strspn(value, " \t");
    size_t len = strlen(value);
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
        value[--len] = '\0';
    head->headers[head->header_count++] = (struct http_header){line, value};
    return 0;
}

static size_t header_count(const struct http_head *head, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < head->header_count; i++)
        count += strcmp(head->headers[i].name, name) == 0;
    return count;
}

/* Headers that frame a request or that a proxy could read differently: once each. */
static const char *const single_headers[] = {"host", "content-length", "content-type", "idempotency-key", "authorization", "origin", "upgrade", "expect"};

static int check_framing(struct http_head *head, struct galloc_error *error)
{
    for (size_t i = 0; i < ARRAY_COUNT(single_headers); i++)
        if (header_count(head, single_headers[i]) > 1)
            return galloc_fail(error, GALLOC_BAD_REQUEST, "the header %s stands more than once", single_headers[i]);
    const char *host = http_header(head, "host");
    if (host == NULL)
        return galloc_fail(error, GALLOC_BAD_REQUEST, "the header Host is missing");
    if (strpbrk(host, " \t,/@") != NULL)
        return galloc_fail(error, GALLOC_BAD_REQUEST, "the header Host is not a host");
    const char *length = http_header(head, "content-length");
    if (http_header(head, "transfer-encoding") != NULL) {
        if (length != NULL)
            return galloc_fail(error, GALLOC_BAD_REQUEST, "Content-Length and Transfer-Encoding stand together");
        return galloc_fail(error, GALLOC_LENGTH_REQUIRED, "chunked bodies are not taken: send the body with its Content-Length");
    }
    if (length != NULL) {
        if (*length == '\0' || strspn(length, "0123456789") != strlen(length) || parse_i64(length, 0, INT64_MAX, &head->body_bytes, NULL) < 0)
            return galloc_fail(error, GALLOC_BAD_REQUEST, "Content-Length is not a number");
        head->has_length = true;
    }
    const char *expect = http_header(head, "expect");
    head->wants_continue = expect != NULL && strcasecmp(expect, "100-continue") == 0;
    const char *connection = http_header(head, "connection");
    head->wants_close = connection != NULL && strcasestr(connection, "close") != NULL;
    return 0;
}

int http_head_read(const char *data, size_t len, struct http_head *ret_head, struct galloc_error *error)
{
    *ret_head = (struct http_head){0};
    int rc = http_head_check_partial(data, len, error);
    if (rc < 0)
        return rc;
    if (len < 4)
        return galloc_fail(error, GALLOC_BAD_REQUEST, "this is not HTTP/1.1");
    ret_head->text = xstrndup(data, len);
    char *line = ret_head->text;
    for (bool is_first = true; rc == 0; is_first = false) {
        char *end = strstr(line, "\r\n");
        if (end == NULL || (end == line && !is_first))
            break;
        *end = '\0';
        rc = is_first ? read_request_line(ret_head, line, error) : read_header_line(ret_head, line, error);
        line = end + 2;
    }
    return rc < 0 ? rc : check_framing(ret_head, error);
}

void http_head_clear(struct http_head *head)
{
    free(head->text);
    *head = (struct http_head){0};
}

const char *http_header(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (strcmp(head->headers[i].name, name) == 0)
            return head->headers[i].value;
    return NULL;
}

bool http_is_type(const struct http_head *head, const char *type)
{
    const char *value = http_header(head, "content-type");
    size_t len = value ? strcspn(value, "; \t") : 0;
    return len == strlen(type) && strncasecmp(value, type, len) == 0;
}

/* ---- the query ---- */

/* The next NAME=VALUE from *at, which moves on; false at the end. */
static bool query_next(const char **at, const char **ret_name, size_t *ret_name_len, const char **ret_value, size_t *ret_value_len)
{
    while (**at == '&')
        (*at)++;
    if (**at == '\0')
        return false;
    size_t len = strcspn(*at, "&");
    const char *equals = memchr(*at, '=', len);
    *ret_name = *at;
    *ret_name_len = equals ? (size_t)(equals - *at) : len;
    *ret_value = equals ? equals + 1 : *at + len;
    *ret_value_len = (size_t)(*at + len - *ret_value);
    *at += len;
    return true;
}

/* Decoded, '+' standing for a blank as forms have it; NULL on a broken escape. Owned. */
static char *query_decode(const char *text, size_t len)
{
    char *decoded = xstrndup(text, len);
    for (char *at = decoded; *at != '\0'; at++)
        if (*at == '+')
            *at = ' ';
    if (text_percent_decode(decoded) && text_is_utf8(decoded, strlen(decoded)))
        return decoded;
    free(decoded);
    return NULL;
}

int http_query(const struct http_head *head, const char *name, size_t index, char **ret_value, struct galloc_error *error)
{
    const char *at = head->query, *item, *value;
    size_t item_len, value_len;
    while (query_next(&at, &item, &item_len, &value, &value_len)) {
        if (item_len != strlen(name) || memcmp(item, name, item_len) != 0 || index-- > 0)
            continue;
        *ret_value = query_decode(value, value_len);
        return *ret_value ? 0 : galloc_fail(error, GALLOC_INVALID_VALUE, "the parameter %s is not percent-encoded UTF-8", name);
    }
    *ret_value = NULL;
    return 0;
}

int http_query_check(const struct http_head *head, const char *const *names, struct galloc_error *error)
{
    const char *at = head->query, *item, *value;
    size_t item_len, value_len, count = 0;
    while (names[count] != NULL)
        count++;
    while (query_next(&at, &item, &item_len, &value, &value_len)) {
        size_t i = 0;
        while (i < count && (strlen(names[i]) != item_len || memcmp(names[i], item, item_len) != 0))
            i++;
        if (i < count)
            continue;
        char *name = xstrndup(item, item_len < 64 ? item_len : 64);
        const char *nearest = text_nearest(name, names, count);
        int rc = galloc_fail(error, GALLOC_UNKNOWN_FIELD, "unknown parameter \"%s\"%s%s%s", name, nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                             nearest ? "\"?" : "");
        free(name);
        return rc;
    }
    return 0;
}

/* ---- what goes out ---- */

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } rows[] = {
        {200, "OK"}, {201, "Created"}, {204, "No Content"}, {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
        {405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"}, {410, "Gone"}, {411, "Length Required"}, {413, "Content Too Large"},
        {414, "URI Too Long"}, {415, "Unsupported Media Type"}, {421, "Misdirected Request"}, {422, "Unprocessable Content"}, {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"}, {501, "Not Implemented"}, {503, "Service Unavailable"},
        {504, "Gateway Timeout"}, {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (rows[i].status == status)
            return rows[i].reason;
    return "Unknown";
}

void http_date(int64_t wall_ms, char ret_date[HTTP_DATE_BYTES])
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL)
        tm = (struct tm){.tm_mday = 1, .tm_year = 70, .tm_wday = 4};
    snprintf(ret_date, HTTP_DATE_BYTES, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days[tm.tm_wday % 7], tm.tm_mday % 100, months[tm.tm_mon % 12],
             (tm.tm_year + 1900) % 10000, tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100);
}
