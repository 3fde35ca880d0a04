/* One call, an attempt's or the endpoint's own test request: sending it, and what its answer means for the books and the pacer. Not for other rooms. */
#ifndef GALLOC_DISPATCH_CALL_H
#define GALLOC_DISPATCH_CALL_H

#include "dispatch/endpoint.h"
#include "net/net.h"

struct call_sending {
    int64_t timeout_ms;        /* of the whole call */
    bool wants_new_connection; /* the death of a reused one would tell nothing of the call */
    void (*done)(const struct net_response *response, void *arg);
    void *arg;
};
/* Sends the request, whose body it takes, and tells the pacer. The call is valid until its done. */
struct net_call *call_send(struct endpoint *endpoint, struct provider_request *request, const struct call_sending *sending, int64_t *ret_sent_us);
int64_t call_tokens(const struct endpoint *endpoint, int64_t body_bytes); /* about so many tokens has a body */
/* What the provider makes of how a call ended; the caller clears it. `is_rest`: it asked for the rest of an answer. */
void call_classify(const struct endpoint *endpoint, const struct net_response *response, bool is_rest, struct provider_verdict *ret_verdict);
/* What a call used and cost, as it is kept. Counted for the endpoint here. */
struct call_charge {
    int64_t tokens[TOKEN_COUNT]; /* -1: not told, all of them then */
    int64_t cost_micros;         /* -1: unknown */
    char currency[4];
};
struct price_terms;
void call_charge(struct endpoint *endpoint, const struct price_terms *terms, const struct net_response *response, const struct provider_verdict *verdict, struct call_charge *ret_charge);
/* What came back, for the pacer; what the caller alone knows is left for it to fill. */
struct pacer_outcome call_outcome(const struct net_response *response, const struct provider_verdict *verdict, int64_t sent_us);
void call_tell_change(struct endpoint *endpoint, const struct pacer_change *change, const char *words); /* the log and events */

#endif
