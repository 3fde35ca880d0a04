/* What an endpoint says to a call, and in which weather. */
#ifndef GALLOC_TESTS_SIMULATION_ANSWERS_H
#define GALLOC_TESTS_SIMULATION_ANSWERS_H

#include "base/buf.h"
#include "net/net.h"
#include "tests/simulation/world.h"

struct answer_row {
    const char *name;
    enum outcome_class class; /* what it is to galloc */
    enum net_end end;
    int status;
    const char *body;         /* NULL: the decision */
    int64_t retry_after_ms;   /* header; -1: none */
    int64_t least_ms, most_ms;
    bool is_ill;              /* of TRANSIENT: of the endpoint, not of the assignment */
};

/* The next answer of an endpoint (0 to ENDPOINTS - 1) to a call about `key` (NULL: a test request). Static. */
const struct answer_row *answer_draw(int endpoint, const struct sim_key *key);

/* The body for it. `request` is what was asked: a decision names one of its candidates. */
void answer_body(const struct answer_row *row, const char *request, size_t request_len, struct buf *out);

#endif
