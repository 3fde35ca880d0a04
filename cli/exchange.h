/* A request that is sent again until it is answered, for a caller that does several things at once: nothing here waits. What passes by itself (the daemon restarts,
 * is busy, drains, its disk is full) is tried again with growing pauses up to a second; all else is an answer. One thread. */
#ifndef GALLOC_CLI_EXCHANGE_H
#define GALLOC_CLI_EXCHANGE_H

#include "cli/client.h"

enum { EXCHANGE_PENDING = 1 };

struct exchange {
    struct client *client;     /* borrowed */
    const char *method;        /* static; NULL: none is under way */
    char *path;                /* owned */
    struct buf body;           /* owned */
    struct transfer *transfer; /* owned; NULL between two tries */
    unsigned tries;            /* that failed in passing since the last answer */
    int64_t due_mono_ms;       /* of the next try, while there is no transfer */
    struct galloc_error last;  /* why the last try failed; code 0: none did */
};

/* Begins it; takes path over, and what is in body (NULL: none). Ends what was under way. */
void exchange_start(struct exchange *exchange, struct client *client, const char *method, char *path, struct buf *body);
/* EXCHANGE_PENDING, with nothing in `ret`; or its end: 0, or the negative code of an answer that is an error, and `ret` is filled as by client_call(). */
int exchange_turn(struct exchange *exchange, struct response *ret, struct galloc_error *error) MUST_CHECK;
int64_t exchange_due(const struct exchange *exchange); /* when it wants a turn although nothing moved; INT64_MAX: never */
static inline bool exchange_is_under_way(const struct exchange *exchange)
{
    return exchange->method != NULL;
}
void exchange_clear(struct exchange *exchange); /* gives it up, and frees; it may be used again */

#endif
