/* See http.h (RFC 9112). Called by conn.c. */
#include "sim/http.h"

#include <ctype.h>

struct head_reader {
    struct http_head *head;
    int hosts, lengths;
    int status; /* 0 while all is well */
    const char *why;
};

static bool refuse(struct head_reader *reader, int status, const char *why)
{
    reader->status = status;
    reader->why = why;
    return false;
}

static bool is_word(struct text_span span, const char *word)
{
    return span.len == strlen(word) && strncasecmp(span.at, word, span.len) == 0;
}

/* The Host has to name this machine's loopback, so that no web page can reach us by a name of its own. */
static bool is_loopback_host(struct text_span host)
{
    static const char *const names[] = {"127.0.0.1", "localhost", "[::1]"};
    const char *colon = host.len > 0 && *host.at == '[' ? memchr(host.at, ']', host.len) : NULL;
    colon = memchr(colon ? colon : host.at, ':', host.len - (size_t)((colon ? colon : host.at) - host.at));
    struct text_span name = {host.at, colon ? (size_t)(colon - host.at) : host.len};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (is_word(name, names[i]))
            return true;
    return false;
}

static bool read_length(struct head_reader *reader, struct text_span value)
{
    size_t length = 0;
    if (value.len == 0 || value.len > 12)
        return refuse(reader, 400, "Content-Length is not a number");
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            return refuse(reader, 400, "Content-Length is not a number");
        length = length * 10 + (size_t)(value.at[i] - '0');
    }
    if (reader->lengths++ > 0)
        return refuse(reader, 400, "two Content-Length headers");
    reader->head->body_bytes = length;
    return true;
}

static void read_authorization(struct http_head *head, struct text_span value)
{
    static const char scheme[] = "Bearer ";
    size_t len = sizeof scheme - 1;
    head->has_authorization = true;
    if (value.len > len && strncasecmp(value.at, scheme, len) == 0)
        head->bearer = (struct text_span){value.at + len, value.len - len};
}

static bool read_header(struct head_reader *reader, struct text_span name, struct text_span value)
{
    struct http_head *head = reader->head;
    switch (name.at[0] | 0x20) {
    case 'h':
        if (is_word(name, "Host")) {
            head->has_foreign_host = !is_loopback_host(value);
            if (reader->hosts++ > 0)
                return refuse(reader, 400, "two Host headers");
        }
        break;
    case 'c':
        if (is_word(name, "Content-Length"))
            return read_length(reader, value);
        if (is_word(name, "Connection") && is_word(value, "close"))
            head->keeps_alive = false;
        if (is_word(name, "Content-Encoding") && !is_word(value, "identity"))
            return refuse(reader, 415, "a Content-Encoding is not understood here");
        break;
    case 't':
        if (is_word(name, "Transfer-Encoding"))
            return refuse(reader, 501, "Transfer-Encoding is not understood here: send a Content-Length");
        break;
    case 'e':
        head->expects_continue |= is_word(name, "Expect") && is_word(value, "100-continue");
        break;
    case 'o':
        head->has_origin |= is_word(name, "Origin");
        break;
    case 'a':
        if (is_word(name, "Authorization"))
            read_authorization(head, value);
        break;
    case 'x':
        if (is_word(name, "x-goog-api-key")) {
            head->key_headers++;
            head->key = value;
        }
        break;
    default:
        break;
    }
    return true;
}

static bool is_token(struct text_span span)
{
    for (size_t i = 0; i < span.len; i++)
        if (!isalnum((unsigned char)span.at[i]) &&
            (span.at[i] == '\0' || strchr("!#$%&'*+-.^_`|~", span.at[i]) == NULL))
            return false;
    return span.len > 0;
}

static bool read_header_line(struct head_reader *reader, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    if (colon == NULL || memchr(line, '\0', len) != NULL || memchr(line, '\r', len) != NULL ||
        memchr(line, '\n', len) != NULL)
        return refuse(reader, 400, "a header line cannot be read");
    struct text_span name = {line, (size_t)(colon - line)}, value = {colon + 1, len - (size_t)(colon + 1 - line)};
    if (!is_token(name))
        return refuse(reader, 400, "a header's name cannot be read");
    while (value.len > 0 && (*value.at == ' ' || *value.at == '\t')) {
        value.at++;
        value.len--;
    }
    while (value.len > 0 && (value.at[value.len - 1] == ' ' || value.at[value.len - 1] == '\t'))
        value.len--;
    return read_header(reader, name, value);
}

static bool read_request_line(struct head_reader *reader, const char *line, size_t len)
{
    static const char *const methods[] = {[METHOD_GET] = "GET", [METHOD_POST] = "POST", [METHOD_PATCH] = "PATCH"};
    struct http_head *head = reader->head;
    const char *target = memchr(line, ' ', len);
    const char *version = target ? memchr(target + 1, ' ', len - (size_t)(target + 1 - line)) : NULL;
    if (version == NULL || target[1] != '/')
        return refuse(reader, 400, "the request line cannot be read");
    for (const char *at = target + 1; at < version; at++)
        if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f)
            return refuse(reader, 400, "the request line cannot be read");
    struct text_span word = {line, (size_t)(target - line)},
                     protocol = {version + 1, len - (size_t)(version + 1 - line)};
    head->method = METHOD_OTHER;
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++)
        if (word.len == strlen(methods[i]) && memcmp(word.at, methods[i], word.len) == 0)
            head->method = (enum http_method)i;
    if (!is_token(word))
        return refuse(reader, 400, "the method cannot be read");
    if (protocol.len != 8 || (memcmp(protocol.at, "HTTP/1.1", 8) != 0 && memcmp(protocol.at, "HTTP/1.0", 8) != 0))
        return refuse(reader, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    head->keeps_alive = protocol.at[7] == '1';
    const char *mark = memchr(target + 1, '?', (size_t)(version - target - 1));
    head->path = (struct text_span){target + 1, (size_t)((mark ? mark : version) - target - 1)};
    head->query = mark ? (struct text_span){mark + 1, (size_t)(version - mark - 1)} : (struct text_span){NULL, 0};
    return true;
}

static bool read_lines(struct head_reader *reader, const char *data, const char *end)
{
    bool is_first = true;
    for (const char *line = data; line < end; is_first = false) {
        const char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);
        if (stop == NULL)
            return refuse(reader, 400, "a line cannot be read");
        if (is_first ? !read_request_line(reader, line, (size_t)(stop - line))
                     : !read_header_line(reader, line, (size_t)(stop - line)))
            return false;
        line = stop + 2;
    }
    if (reader->hosts == 0 && reader->head->keeps_alive)
        return refuse(reader, 400, "the Host header is missing");
    return true;
}

enum http_result http_read_head(const char *data, size_t len, struct http_head *ret_head, int *ret_status,
                                const char **ret_why)
{
    size_t looked = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
    const char *end = looked > 0 ? memmem(data, looked, "\r\n\r\n", 4) : NULL;
    if (end == NULL && len < HTTP_HEAD_MAX)
        return HTTP_MORE;
    *ret_head = (struct http_head){0};
    struct head_reader reader = {.head = ret_head};
    if (end == NULL)
        refuse(&reader, 431, "the head is larger than 16 KiB");
    else if (read_lines(&reader, data, end + 2)) {
        ret_head->head_bytes = (size_t)(end + 4 - data);
        return HTTP_WELL;
    }
    *ret_status = reader.status;
    *ret_why = reader.why;
    return HTTP_BAD;
}
