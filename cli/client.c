/* See client.h: the requests; transfer.c moves the bytes. */
#include "cli/client.h"

#include "base/clock.h"
#include "base/text.h"
#include "cli/interrupt.h"
#include "cli/socket.h"
#include "cli/transfer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct client *client_new(const char *socket_path, int64_t timeout_ms)
{
    struct client *client = xcalloc(1, sizeof *client);
    client->socket_path = socket_find(socket_path);
    client->multi = curl_multi_init();
    if (client->multi == NULL)
        abort();
    client_start_clock(client, timeout_ms);
    return client;
}

void client_free(struct client *client)
{
    if (client == NULL)
        return;
    curl_multi_cleanup(client->multi);
    free(client->socket_path);
    free(client);
}

void client_set_verbose(struct client *client)
{
    client->is_verbose = true;
}

const char *client_socket(const struct client *client)
{
    return client->socket_path;
}

void client_use_socket(struct client *client, const char *socket_path)
{
    free(client->socket_path);
    client->socket_path = xstrdup(socket_path);
}

void client_set_waiting(struct client *client, void (*tell)(void *arg, const char *why), void *arg)
{
    client->tell_waiting = tell;
    client->tell_arg = arg;
}

void client_start_clock(struct client *client, int64_t timeout_ms)
{
    client->deadline_mono_ms = timeout_ms > 0 ? clock_mono_ms() + timeout_ms : INT64_MAX;
}

bool client_has_spoken(const struct client *client)
{
    return client->has_spoken;
}

void response_clear(struct response *response)
{
    buf_clear(&response->body);
    json_free(response->json);
    *response = RESPONSE_EMPTY;
}

bool client_is_passing(int code)
{
    switch (code < 0 ? -code : code) {
    case GALLOC_UNREACHABLE:
    case GALLOC_BUSY:
    case GALLOC_TOO_MANY:
    case GALLOC_DRAINING:
    case GALLOC_STORE_UNAVAILABLE:
    case GALLOC_OUTCOME_UNKNOWN: return true;
    default: return false;
    }
}

int64_t client_pause_ms(unsigned attempt)
{
    return attempt < 4 ? 100 << attempt : 1000;
}

bool client_pause(struct client *client, unsigned attempt)
{
    int64_t until_mono_ms = clock_mono_ms() + client_pause_ms(attempt);
    while (!interrupt_pending()) {
        int64_t now_mono_ms = clock_mono_ms();
        if (now_mono_ms >= client->deadline_mono_ms)
            return false;
        int64_t left_ms = min_i64(min_i64(until_mono_ms, client->deadline_mono_ms) - now_mono_ms, 50);
        if (left_ms <= 0)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = (long)(left_ms * 1000000)}, NULL);
    }
    return false;
}

static int call_once(struct client *client, const struct request *request, struct response *ret, struct galloc_error *error)
{
    response_clear(ret);
    return transfer_wait(transfer_start(client, request), ret, error);
}

/* What does not pass by itself is told at once; what mostly does, when it has lasted for about a second. */
static void tell_waiting(const struct client *client, const struct request *request, unsigned attempt, const struct galloc_error *error)
{
    unsigned since = error->code == GALLOC_DRAINING || error->code == GALLOC_STORE_UNAVAILABLE ? 0 : 4;
    if (attempt == since && client->tell_waiting != NULL && !request->is_told)
        client->tell_waiting(client->tell_arg, error->message);
}

int client_call(struct client *client, const struct request *request, struct response *ret, struct galloc_error *error)
{
    struct galloc_error own;
    error = error ? error : &own;
    for (unsigned attempt = 0;; attempt++) {
        int rc = call_once(client, request, ret, error);
        bool is_passing = client_is_passing(rc) || (request->outlasts_disk && rc == -GALLOC_DISK_FULL);
        bool is_worth_waiting = rc < 0 && request->is_patient && is_passing && (client->has_spoken || rc != -GALLOC_UNREACHABLE);
        if (!is_worth_waiting)
            return rc;
        tell_waiting(client, request, attempt, error);
        if (client_pause(client, attempt))
            continue;
        if (interrupt_pending())
            return galloc_fail(error, GALLOC_CANCELLED, "stopped by %s", interrupt_name());
        char last[sizeof error->message];
        memcpy(last, error->message, sizeof last);
        return galloc_fail(error, GALLOC_TIMED_OUT, "time ran out (--timeout); last: %.400s", last);
    }
}

static char *format_path(const char *fmt, va_list ap)
{
    char *path = NULL;
    if (vasprintf(&path, fmt, ap) < 0)
        abort();
    return path;
}

int client_get(struct client *client, struct response *ret, struct galloc_error *error, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *path = format_path(fmt, ap);
    va_end(ap);
    int rc = client_call(client, &(struct request){.method = "GET", .path = path}, ret, error);
    free(path);
    return rc;
}

int client_post(struct client *client, const struct buf *body, struct response *ret, struct galloc_error *error, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *path = format_path(fmt, ap);
    va_end(ap);
    struct request request = {.method = "POST", .path = path, .body = body ? buf_text(body) : "", .body_len = body ? body->len : 0};
    int rc = client_call(client, &request, ret, error);
    free(path);
    return rc;
}

char *client_segment(const char *text)
{
    struct buf out = BUF_EMPTY;
    text_percent_encode(&out, text, strlen(text));
    return buf_take(&out);
}
