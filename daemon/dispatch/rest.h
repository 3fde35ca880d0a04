/* The rest of an answer that comes in several calls. Embedded in an attempt; all zero: there is none. Not for other rooms. */
#ifndef GALLOC_DISPATCH_REST_H
#define GALLOC_DISPATCH_REST_H

#include "net/net.h"
#include "provider/provider.h"

struct rest {
    char *body, *token; /* owned: the request of the first call, and what to ask for the rest with; NULL: no answer is unfinished */
    size_t body_len;
    struct buf text;    /* owned: the pieces so far */
};
void rest_clear(struct rest *rest);
bool rest_is_due(const struct rest *rest); /* the next call asks for the rest */

/* Takes a call's verdict in: keeps the piece of one that is UNFINISHED, with its token; makes the last one's answer the whole; forgets the pieces at any other
 * end. The verdict may become INVALID_ANSWER. */
void rest_join(struct rest *rest, const struct net_response *response, struct provider_verdict *verdict);
/* Of a pack: an UNFINISHED answer is a cut one, since fewer assignments need no second call. */
void rest_refuse(struct provider_verdict *verdict);

#endif
