/* See exchange.h. */
#include "cli/exchange.h"

#include "base/clock.h"

#include <stdlib.h>

void exchange_start(struct exchange *exchange, struct client *client, const char *method, char *path, struct buf *body)
{
    exchange_clear(exchange);
    *exchange = (struct exchange){.client = client, .method = method, .path = path};
    if (body != NULL) {
        exchange->body = *body;
        *body = BUF_EMPTY;
    }
}

static void send_it(struct exchange *exchange)
{
    const struct request request = {.method = exchange->method, .path = exchange->path, .body = buf_text(&exchange->body), .body_len = exchange->body.len};
    exchange->transfer = transfer_start(exchange->client, &request);
}

static bool passes(const struct exchange *exchange, int code)
{
    return code == -GALLOC_UNREACHABLE ? client_has_spoken(exchange->client) : client_is_passing(code) || code == -GALLOC_DISK_FULL;
}

int exchange_turn(struct exchange *exchange, struct response *ret, struct galloc_error *error)
{
    if (exchange->transfer == NULL) {
        if (clock_mono_ms() >= exchange->due_mono_ms)
            send_it(exchange);
        return EXCHANGE_PENDING;
    }
    if (!transfer_is_done(exchange->transfer))
        return EXCHANGE_PENDING;
    response_clear(ret);
    int rc = transfer_wait(exchange->transfer, ret, error);
    exchange->transfer = NULL;
    if (rc < 0 && passes(exchange, rc)) {
        exchange->last = *error;
        response_clear(ret);
        exchange->due_mono_ms = clock_mono_ms() + client_pause_ms(exchange->tries++);
        return EXCHANGE_PENDING;
    }
    exchange_clear(exchange);
    return rc;
}

int64_t exchange_due(const struct exchange *exchange)
{
    return exchange->method == NULL || exchange->transfer != NULL ? INT64_MAX : exchange->due_mono_ms;
}

void exchange_clear(struct exchange *exchange)
{
    transfer_drop(exchange->transfer);
    free(exchange->path);
    buf_clear(&exchange->body);
    *exchange = (struct exchange){0};
}
