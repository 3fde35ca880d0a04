/* Operations on pools, agents and endpoints (their own test requests too), and the audit log. */
#ifndef GALLOC_STORE_OP_ADMIN_H
#define GALLOC_STORE_OP_ADMIN_H

#include "store/op.h"

/* CALL_BEGIN, CALL_END: the endpoint's own test request, a call without an attempt. */
struct store_call_begin {
    struct store_op op;
    char *endpoint; /* owned */
    int64_t reserve_micros; /* what it may cost at most, until it has ended; 0: nothing is reserved */
    int64_t ret_call;
};
struct store_call_end {
    struct store_op op;
    int64_t call;
    bool is_lost;
    enum outcome_class class;
    int32_t http_status, local_port;
    int64_t tokens[TOKEN_COUNT];
    int64_t cost_micros; /* -1: unknown */
    char currency[4];
    int64_t kept_micros; /* counted as spent this day, as nobody knows what it cost; 0: nothing */
    int64_t latency_ms;
};

struct store_pool_put { /* makes or replaces a standing pool: agents not named leave its list (their places stay in the ledger) */
    struct store_op op;
    struct store_peer peer;
    char *name; /* owned */
    struct store_agents agents;
    struct store_pool ret_pool;
};
struct store_pool_reset { /* held becomes 0 for every agent of the standing pool */
    struct store_op op;
    struct store_peer peer;
    int64_t pool;
    struct store_pool ret_pool;
};
struct store_agent_set {
    struct store_op op;
    struct store_peer peer;
    int64_t pool;
    char *agent_id;      /* owned */
    int64_t capacity;    /* -1: no limit, INT64_MIN: unchanged */
    int available;       /* 0, 1, or -1: unchanged */
    int64_t until_at_ms; /* wall; 0: none; goes with available = 0 */
    struct store_pool ret_pool; /* with all agents */
};
struct store_endpoint_set { /* value NULL: unset */
    struct store_op op;
    struct store_peer peer;
    struct store_setting setting;
};
struct store_endpoint_state_op {
    struct store_op op;
    struct store_peer peer;
    bool is_by_person;
    struct store_endpoint_state state;
};
struct store_audit {
    struct store_op op;
    struct store_peer peer;
    char *verb, *target, *detail; /* owned; detail is JSON */
};

#endif
