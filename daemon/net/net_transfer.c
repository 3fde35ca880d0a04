/* libcurl's callbacks of one call: before the request goes out, the header and the body in, each with its cap. They run inside libcurl, so they only
 * note what they see; no transfer is started or ended here.
 *
 * libcurl repeats a POST by itself when a connection that it used again dies before an answer: a second, paid call that nobody recorded.
 * It asks on_ready() before each request that it writes, a repeat too, and there the repeat is refused: the call ends as lost. It may take
 * another connection only when none of the request has gone out on the first. (docs/decisions.md: "One POST is sent once".) */
#include "net/net_internal.h"

#include "base/clock.h"
#include "base/negative.h"
#include "core/limits.h"

#include <strings.h>

static int on_ready(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
    (void)remote_ip, (void)local_ip, (void)remote_port;
    struct net_call *call = arg;
    long written_bytes = -1; /* over all connections; what a proxy was told is counted too */

    bool is_told = curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &written_bytes) == CURLE_OK;
    if (!BREAKS(POST_REPEATS) && call->is_connected && (!is_told || written_bytes != call->written_bytes))
        return CURL_PREREQFUNC_ABORT;
    call->written_bytes = written_bytes;
    call->is_connected = true;
    call->local_port = local_port;
    call->sent_us = clock_mono_us();
    return CURL_PREREQFUNC_OK;
}

static size_t on_body(char *from, size_t size, size_t count, void *arg)
{
    struct net_call *call = arg;
    size_t len = size * count;

    call->byte_us = clock_mono_us();
    if (len > (size_t)call->answer_cap_bytes - call->answer.len) {
        call->is_too_large = true;
        return len == 0 ? 1 : 0;
    }
    buf_add(&call->answer, from, len);
    return len;
}

/* A number of seconds or milliseconds as in "7" or "1.5"; -1 when it is not one. */
static int64_t parse_number(const char *text, int64_t thousandths)
{
    int64_t value = 0, scale = thousandths;
    const char *at = text;

    for (; *at >= '0' && *at <= '9' && value < INT64_C(1000000000000); at++)
        value = value * 10 + (*at - '0');
    if (at == text)
        return -1;
    value *= thousandths;
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++) {
            scale /= 10;
            value += (*at - '0') * scale;
        }
    return *at == '\0' ? value : -1;
}

static int64_t parse_date_ms(const char *text)
{
    int64_t seconds = curl_getdate(text, NULL);
    return seconds < 0 ? -1 : seconds * 1000;
}

static void read_content_type(struct net_call *call, const char *value)
{
    snprintf(call->content_type, sizeof call->content_type, "%s", value);
}

static void read_date(struct net_call *call, const char *value)
{
    snprintf(call->date, sizeof call->date, "%s", value);
}

static void read_retry_after(struct net_call *call, const char *value)
{
    int64_t ms = parse_number(value, 1000);
    if (call->has_retry_after_ms)
        return;
    call->retry_after_ms = ms;
    call->retry_after_at_ms = ms < 0 ? parse_date_ms(value) : -1;
}

static void read_retry_after_ms(struct net_call *call, const char *value)
{
    int64_t ms = parse_number(value, 1);
    if (ms < 0)
        return;
    call->retry_after_ms = ms;
    call->has_retry_after_ms = true;
}

/* As some servers tell clients whose rules they know (OpenAI's libraries heed it before all statuses). */
static void read_should_retry(struct net_call *call, const char *value)
{
    call->should_retry = strcasecmp(value, "true") == 0 ? 1 : strcasecmp(value, "false") == 0 ? -1 : 0;
}

static const struct {
    const char *name;
    void (*read)(struct net_call *call, const char *value);
} wanted_headers[] = {
    {"content-type", read_content_type},
    {"date", read_date},
    {"retry-after", read_retry_after},
    {"retry-after-ms", read_retry_after_ms},
    {"x-should-retry", read_should_retry},
};

/* One header line, without its end. Lines over the room here hold nothing that is wanted. */
static void read_header(struct net_call *call, const char *from, size_t len)
{
    char line[256];
    const char *colon = memchr(from, ':', len);
    size_t name_len = colon != NULL ? (size_t)(colon - from) : 0;

    for (size_t i = 0; name_len > 0 && i < ARRAY_COUNT(wanted_headers); i++) {
        if (strlen(wanted_headers[i].name) != name_len || strncasecmp(wanted_headers[i].name, from, name_len) != 0)
            continue;
        size_t at = name_len + 1;
        while (at < len && (from[at] == ' ' || from[at] == '\t'))
            at++;
        while (len > at && strchr(" \t\r\n", from[len - 1]) != NULL)
            len--;
        if (len - at >= sizeof line)
            return;
        memcpy(line, from + at, len - at);
        line[len - at] = '\0';
        wanted_headers[i].read(call, line);
        return;
    }
}

static void forget_headers(struct net_call *call)
{
    call->content_type[0] = '\0';
    call->retry_after_ms = call->retry_after_at_ms = -1;
    call->date[0] = '\0';
    call->has_retry_after_ms = false;
    call->should_retry = 0;
}

static size_t on_header(char *from, size_t size, size_t count, void *arg)
{
    struct net_call *call = arg;
    size_t len = size * count;

    call->byte_us = clock_mono_us();
    call->header_bytes += (int64_t)len;
    if (call->header_bytes > LIMIT_ANSWER_HEADER_BYTES) {
        call->is_too_large = true;
        return len == 0 ? 1 : 0;
    }
    if (len > 5 && memcmp(from, "HTTP/", 5) == 0)
        forget_headers(call); /* of an interim answer (1xx) or of the proxy */
    else
        read_header(call, from, len);
    return len;
}

/* The server's own Date beside it makes a Retry-After date right even when one of the two clocks is wrong. */
int64_t net_transfer_retry_after_ms(const struct net_call *call)
{
    if (call->retry_after_ms >= 0)
        return call->retry_after_ms;
    if (call->retry_after_at_ms < 0)
        return -1;
    int64_t date_at_ms = parse_date_ms(call->date);
    return max_i64(0, call->retry_after_at_ms - (date_at_ms >= 0 ? date_at_ms : clock_wall_ms()));
}

void net_transfer_reset(struct net_call *call)
{
    enum { KEPT_BYTES = 64 << 10 }; /* a larger answer's memory is given back */
    free(call->body);
    call->body = NULL;
    call->body_len = 0;
    free(call->own.data);
    call->own = (struct curl_slist){.data = NULL};
    if (call->answer.cap > KEPT_BYTES)
        buf_clear(&call->answer);
    buf_reset(&call->answer);
    call->byte_us = call->sent_us = 0;
    call->is_connected = call->is_too_large = false;
    call->local_port = 0;
    call->header_bytes = 0;
    forget_headers(call);
    call->end = NET_ANSWERED;
    call->message[0] = call->curl_error[0] = '\0';
}

void net_transfer_options(struct net_call *call)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_ready);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
}
