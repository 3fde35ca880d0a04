/* What the store holds, as its users see it: runs with their counters, pools and agents, endpoints. Each struct says what it owns; the
 * _clear functions free that and leave zeroes. */
#ifndef GALLOC_STORE_MODEL_H
#define GALLOC_STORE_MODEL_H

#include "base/digest.h"
#include "base/random.h"
#include "core/outcome.h"
#include "core/state.h"

/* Who asked: for the audit log. */
struct store_peer {
    uint32_t uid;
    int32_t pid; /* for people only; it may be gone */
};

/* ---- counters of a run: what the run object, status and metrics show. They move in the transaction that moves the rows. ---- */
enum store_token { TOKEN_IN, TOKEN_CACHED, TOKEN_OUT, TOKEN_THOUGHT, TOKEN_TOOL, TOKEN_COUNT };

enum store_count_kind { /* stored numbers of run_count.kind */
    COUNT_STATE = 0,    /* + enum assignment_state: rows now in it */
    COUNT_CLASS = 10,   /* + enum outcome_class: attempts that ended so, ever */
    COUNT_FAILED = 40,  /* + enum outcome_class: failed rows with this cause, now */
    COUNT_TOKEN = 80,   /* + enum store_token, ever */
    COUNT_FIRST_JUDGED = 89, /* 1: what the first assignments came to was looked at (core/first.h) */
    COUNT_COST_MICROS = 90,
    COUNT_COST_UNKNOWN = 91, /* calls of which price_is_unknown() */
    COUNT_CALLS = 92,
    COUNT_ACCEPTED = 93,   /* rows imported */
    COUNT_DUPLICATES = 94, /* rows passed over as repeated */
    COUNT_REJECTED = 95,   /* rows refused at import */
    COUNT_RETRIES = 96,    /* retries spent (confirmed transient failures) */
    COUNT_OUTSIDE = 97,    /* of the leased rows, those in outside workers' hands, now */
    COUNT_TEST_CALLS = 98, /* of an endpoint alone */
    COUNT_COST_RESERVED = 99, /* micros that are spoken for: calls under way, and those whose end is unknown */
    COUNT_ANSWERED = 100,      /* of the calls, those that were answered (2xx) */
    COUNT_LATENCY_MS = 101,    /* of these, all together */
    COUNT_KIND_END = 102
};

/* A run as everybody shows it. Strings are owned by whoever holds the struct (store_run_clear). */
struct store_run {
    int64_t id;
    char run_id[RUN_ID_BYTES];
    char *name, *endpoint, *profile, *pause_text, *source_name, *source_sha256; /* owned; name, pause_text, source_* may be NULL */
    char *plan;          /* owned JSON; NULL where only the summary was asked for */
    uint64_t likeness;   /* of its prompts to those of other runs (plan_likeness()) */
    char *pool_name;     /* owned; NULL: agents of its own */
    enum run_state state;
    unsigned pauses;     /* bits of enum pause_cause */
    bool is_open;
    bool is_purged;      /* gone for everybody: told once, by the commit that marks it */
    int64_t pool, ledger; /* ids; 0: none */
    int64_t priority, parts;
    int64_t created_at_ms, started_at_ms, finished_at_ms; /* wall; 0: not yet */
    int64_t seq;         /* of the last event about it */
    int64_t import_ms;   /* store clock: when it was made or its last part came; in the store's own books alone */
    int64_t counts[COUNT_KIND_END];
};
void store_run_clear(struct store_run *run);

/* ---- agents ---- */
struct store_agent {
    int64_t id; /* out only */
    char *agent_id;   /* owned */
    char *attributes; /* owned JSON object text */
    int64_t capacity; /* -1: no limit */
    int64_t held;     /* in a new ledger: the starting load; out: places taken in the ledger */
    bool is_available, is_listed;
    int64_t until_at_ms; /* wall; 0: none */
};
struct store_agents {
    struct store_agent *items; /* owned */
    size_t count;
};
void store_agents_clear(struct store_agents *agents);

struct store_pool {
    int64_t id, ledger;
    char *name; /* owned; NULL: a run's own */
    int64_t created_at_ms;
    struct store_agents agents;
};
void store_pool_clear(struct store_pool *pool);

/* ---- endpoints ---- */
struct store_setting {
    char *endpoint, *name, *value; /* owned */
    int64_t set_at_ms, until_at_ms; /* until 0: for good */
    uint32_t set_by;
};
struct store_endpoint_state {
    char *endpoint;  /* owned */
    int down_class;  /* enum outcome_class, or -1: up */
    char *down_text; /* owned; may be NULL */
    int64_t down_at_ms, quota_until_at_ms; /* wall; 0: none */
    char *learned;   /* owned JSON; may be NULL */
};

#endif
