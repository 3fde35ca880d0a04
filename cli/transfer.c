/* One HTTP request under way on the Unix socket. No bytes are moved but in transfer_pump() and the calls that wait.
 * An answer of 400 and above is gathered whole and told as an error, whichever way the caller reads. */
#include "cli/transfer.h"

#include "base/clock.h"
#include "base/text.h"
#include "cli/interrupt.h"
#include "cli/socket.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    LINE_BYTES_MAX = 64 << 20, /* longer is no answer of ours */
    SILENCE_S_MAX = 45,        /* a stream has a sign of life every 10 s */
    POLL_MS = 200
};

struct transfer {
    struct client *client; /* borrowed */
    CURL *easy;
    struct curl_slist *headers;
    char *url;
    struct buf body; /* came in, from `taken` on not yet read by the caller */
    size_t taken;
    size_t request_bytes; /* of the body that goes out */
    char method[16];
    int64_t started_mono_ms;
    bool is_done;
    CURLcode result;
};

static size_t on_bytes(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    if (transfer->body.len - transfer->taken + size * count > LINE_BYTES_MAX)
        return 0;
    if (transfer->taken > 0 && transfer->taken >= transfer->body.len / 2) {
        memmove(transfer->body.data, transfer->body.data + transfer->taken, transfer->body.len - transfer->taken);
        transfer->body.len -= transfer->taken;
        transfer->taken = 0;
    }
    buf_add(&transfer->body, data, size * count);
    return size * count;
}

static void add_header(struct transfer *transfer, const char *name, const char *value)
{
    char *line = xasprintf("%s: %s", name, value);
    transfer->headers = curl_slist_append(transfer->headers, line);
    free(line);
}

static void set_up(struct transfer *transfer, const struct request *request)
{
    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, transfer->client->socket_path);
    curl_easy_setopt(easy, CURLOPT_URL, transfer->url);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, strncmp(request->path, "/v1/events", 10) == 0 ? (long)SILENCE_S_MAX : 0L);
    if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body ? request->body : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        add_header(transfer, "Content-Type", request->content_type ? request->content_type : "application/json");
        transfer->headers = curl_slist_append(transfer->headers, "Expect:");
    } else if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    }
    if (request->idempotency_key != NULL)
        add_header(transfer, "Idempotency-Key", request->idempotency_key);
    add_header(transfer, "User-Agent", "gallocctl/" PACKAGE_VERSION);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
}

struct transfer *transfer_start(struct client *client, const struct request *request)
{
    struct transfer *transfer = xcalloc(1, sizeof *transfer);
    transfer->client = client;
    transfer->request_bytes = request->body_len;
    transfer->started_mono_ms = clock_mono_ms();
    snprintf(transfer->method, sizeof transfer->method, "%s", request->method);
    transfer->url = xasprintf("http://localhost%s", request->path);
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL)
        abort();
    set_up(transfer, request);
    curl_multi_add_handle(client->multi, transfer->easy);
    return transfer;
}

static void pump(struct client *client)
{
    int running, left;
    curl_multi_perform(client->multi, &running);
    for (CURLMsg *message; (message = curl_multi_info_read(client->multi, &left)) != NULL;) {
        struct transfer *ended = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&ended);
        ended->is_done = true;
        ended->result = message->data.result;
    }
}

void transfer_pump(struct transfer *transfer)
{
    pump(transfer->client);
}

bool transfer_is_done(const struct transfer *transfer)
{
    return transfer->is_done;
}

void client_wait(struct client *client, const struct pollfd *fds, size_t count, int64_t wait_ms)
{
    struct curl_waitfd *waits = xcalloc(count + 1, sizeof *waits);
    for (size_t i = 0; i < count; i++)
        waits[i] = (struct curl_waitfd){.fd = fds[i].fd,
                                        .events = (short)((fds[i].events & POLLIN ? CURL_WAIT_POLLIN : 0) | (fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0))};
    curl_multi_poll(client->multi, waits, (unsigned)count, (int)clamp_i64(wait_ms, 0, 60000), NULL);
    free(waits);
    pump(client);
}

static long http_status(const struct transfer *transfer)
{
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static void tell(const struct transfer *transfer)
{
    struct buf line = BUF_EMPTY;
    const char *path = transfer->url + strlen("http://localhost");
    buf_add_fmt(&line, "%s ", transfer->method);
    text_escape(&line, path, strlen(path));
    buf_add_fmt(&line, ": HTTP %ld after %lld ms\n", http_status(transfer), (long long)(clock_mono_ms() - transfer->started_mono_ms));
    fwrite(line.data, 1, line.len, stderr);
    buf_clear(&line);
}

void transfer_drop(struct transfer *transfer)
{
    if (transfer == NULL)
        return;
    if (transfer->client->is_verbose)
        tell(transfer);
    curl_multi_remove_handle(transfer->client->multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    buf_clear(&transfer->body);
    free(transfer->url);
    free(transfer);
}

/* Waits for bytes, or for wait_ms at most. 0, or the error of a deadline or of Ctrl-C. */
static int wait_for_bytes(struct transfer *transfer, int64_t wait_ms, struct galloc_error *error)
{
    int64_t now_mono_ms = clock_mono_ms();
    if (interrupt_pending())
        return galloc_fail(error, GALLOC_CANCELLED, "stopped by %s", interrupt_name());
    if (now_mono_ms >= transfer->client->deadline_mono_ms)
        return galloc_fail(error, GALLOC_TIMED_OUT, "time ran out (--timeout)");
    int64_t ms = min_i64(min_i64(wait_ms, POLL_MS), transfer->client->deadline_mono_ms - now_mono_ms);
    curl_multi_poll(transfer->client->multi, NULL, 0, (int)max_i64(ms, 0), NULL);
    return 0;
}

/* The code of an answer that does not name one of ours. */
static int code_of_status(long status)
{
    switch (status) {
    case 400: return GALLOC_BAD_REQUEST;
    case 403: return GALLOC_NOT_PERMITTED;
    case 404: return GALLOC_NOT_FOUND;
    case 405: return GALLOC_METHOD_NOT_ALLOWED;
    case 409: return GALLOC_CONFLICT;
    case 413: return GALLOC_TOO_LARGE;
    case 422: return GALLOC_INVALID_INPUT;
    case 429: return GALLOC_TOO_MANY;
    case 503: return GALLOC_BUSY;
    case 507: return GALLOC_DISK_FULL;
    default: return GALLOC_INTERNAL;
    }
}

static int fail_by_problem(long status, struct json_object *problem, struct galloc_error *error)
{
    int code = galloc_code_by_name(json_get_str(problem, "code", ""));
    if (code <= 0)
        code = code_of_status(status);
    const char *detail = json_get_str(problem, "detail", json_get_str(problem, "title", NULL));
    if (detail == NULL)
        return galloc_fail(error, code, "the daemon answered with HTTP status %ld", status);
    struct json_object *first = json_array_at(json_get(problem, "errors"), 0);
    const char *message = json_get_str(first, "message", NULL);
    if (message == NULL || strstr(detail, message) != NULL)
        return galloc_fail(error, code, "%s", detail);
    const char *column = json_get_str(first, "column", NULL);
    return galloc_fail(error, code, "%s: %s%s%s", detail, column ? column : "", column ? ": " : "", message);
}

static int fail_by_curl(const struct transfer *transfer, struct galloc_error *error)
{
    switch ((int)transfer->result) {
    case CURLE_COULDNT_CONNECT: return socket_explain(transfer->client->socket_path, error);
    case CURLE_WRITE_ERROR: return galloc_fail(error, GALLOC_INTERNAL, "the answer is larger than 64 MiB");
    case CURLE_URL_MALFORMAT: return galloc_fail(error, GALLOC_USAGE, "not a path: %s", transfer->url + strlen("http://localhost"));
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return galloc_fail(error, GALLOC_UNREACHABLE, "the daemon on %s went away in the middle", transfer->client->socket_path);
    default:
        return galloc_fail(error, GALLOC_UNREACHABLE, "the daemon on %s: %s", transfer->client->socket_path, curl_easy_strerror(transfer->result));
    }
}

/* Of a transfer that is done: 0, or the error it stands for. `ret` gets what came. */
static int conclude(struct transfer *transfer, struct response *ret, struct galloc_error *error)
{
    if (transfer->result != CURLE_OK)
        return fail_by_curl(transfer, error);
    transfer->client->has_spoken = true;
    ret->status = (int)http_status(transfer);
    const char *type = NULL;
    curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_TYPE, &type);
    if (type != NULL)
        snprintf(ret->content_type, sizeof ret->content_type, "%s", type);
    ret->body = transfer->body;
    transfer->body = BUF_EMPTY;
    bool is_json = strncasecmp(ret->content_type, "application/json", 16) == 0 || strncasecmp(ret->content_type, "application/problem+json", 24) == 0;
    if (is_json && ret->body.len > 0 && json_parse(buf_text(&ret->body), ret->body.len, &ret->json, error) < 0) {
        galloc_prefix(error, "the daemon's answer");
        error->code = GALLOC_INTERNAL;
        return -GALLOC_INTERNAL;
    }
    return ret->status >= 400 ? fail_by_problem(ret->status, ret->json, error) : 0;
}

int transfer_wait_sent(struct transfer *transfer, struct galloc_error *error)
{
    curl_off_t sent = 0;
    int rc = 0;
    while (rc == 0 && !transfer->is_done) {
        transfer_pump(transfer);
        curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
        if (sent >= (curl_off_t)transfer->request_bytes)
            return 0;
        rc = transfer->is_done ? 0 : wait_for_bytes(transfer, POLL_MS, error);
    }
    return rc;
}

int transfer_wait(struct transfer *transfer, struct response *ret, struct galloc_error *error)
{
    int rc = 0;
    transfer_pump(transfer);
    while (rc == 0 && !transfer->is_done) {
        rc = wait_for_bytes(transfer, POLL_MS, error);
        transfer_pump(transfer);
    }
    if (rc == 0)
        rc = conclude(transfer, ret, error);
    transfer_drop(transfer);
    return rc;
}

/* Pumps until `has_enough` or the end or the time is over. STREAM_LINE stands for "enough". */
static int read_until(struct transfer *transfer, bool (*has_enough)(const struct transfer *), int64_t wait_ms, struct galloc_error *error)
{
    int64_t until_mono_ms = clock_mono_ms() + wait_ms;
    for (;;) {
        bool is_refused = http_status(transfer) >= 400;
        if (!is_refused && has_enough(transfer)) {
            transfer->client->has_spoken = true;
            return STREAM_LINE;
        }
        if (transfer->is_done) {
            struct response response = RESPONSE_EMPTY;
            int rc = is_refused || transfer->result != CURLE_OK ? conclude(transfer, &response, error) : STREAM_END;
            response_clear(&response);
            transfer->client->has_spoken |= rc == STREAM_END;
            return rc;
        }
        int64_t left_ms = until_mono_ms - clock_mono_ms();
        if (left_ms <= 0)
            return STREAM_NOTHING;
        int rc = wait_for_bytes(transfer, left_ms, error);
        if (rc < 0)
            return rc;
        transfer_pump(transfer);
    }
}

static bool has_line(const struct transfer *transfer)
{
    return transfer->body.len > transfer->taken &&
           memchr(transfer->body.data + transfer->taken, '\n', transfer->body.len - transfer->taken) != NULL;
}

static bool has_bytes(const struct transfer *transfer)
{
    return transfer->body.len > transfer->taken;
}

int transfer_line(struct transfer *transfer, int64_t wait_ms, struct json_span *ret_line, struct galloc_error *error)
{
    int rc = read_until(transfer, has_line, wait_ms, error);
    if (rc != STREAM_LINE)
        return rc;
    const char *from = transfer->body.data + transfer->taken;
    const char *end = memchr(from, '\n', transfer->body.len - transfer->taken);
    *ret_line = (struct json_span){from, (size_t)(end - from)};
    transfer->taken += ret_line->len + 1;
    return STREAM_LINE;
}

int transfer_chunk(struct transfer *transfer, int64_t wait_ms, struct buf *ret_chunk, struct galloc_error *error)
{
    buf_reset(ret_chunk);
    int rc = read_until(transfer, has_bytes, wait_ms, error);
    if (rc == STREAM_LINE)
        buf_add(ret_chunk, transfer->body.data + transfer->taken, transfer->body.len - transfer->taken);
    transfer->taken = rc == STREAM_LINE ? transfer->body.len : transfer->taken;
    return rc;
}

const char *transfer_header(const struct transfer *transfer, const char *name)
{
    struct curl_header *header = NULL;
    return curl_easy_header(transfer->easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK ? header->value : NULL;
}

int64_t transfer_length(const struct transfer *transfer)
{
    curl_off_t length = -1;
    curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return length;
}
