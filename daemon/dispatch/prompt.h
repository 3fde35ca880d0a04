/* What a prompt says of the agents: the roster, and who may be named now with his load (prompt.c, candidates.c). Not for other rooms. */
#ifndef GALLOC_DISPATCH_PROMPT_H
#define GALLOC_DISPATCH_PROMPT_H

#include "base/json_scan.h"
#include "dispatch/registry.h"

struct attempt;
struct run_dispatch;

const char *pool_roster(struct pool_entry *pool);
enum candidates_found {
    CANDIDATES_SOME,
    CANDIDATES_NONE_MATCHES,
    CANDIDATES_NO_CAPACITY,
    CANDIDATES_WAIT,
    CANDIDATES_AWAY,
    CANDIDATES_CORRUPT /* what the input was cannot be told: nobody was looked for */
};
/* What becomes of a row for which nobody can be asked. */
struct candidates_way {
    enum outcome_class class;
    enum settle_move move;
    enum assignment_hold hold;
    int64_t delay_ms;
    const char *words;
};
const struct candidates_way *candidates_way(enum candidates_found found); /* of CANDIDATES_SOME: there are some, and the row did not fit into the lease */
struct candidates {
    struct agent_entry **agents; /* owned array of borrowed entries, in the prompt's order */
    size_t count;
    int64_t away_until_at_ms;    /* of CANDIDATES_AWAY: the first date at which one is back (wall) */
};
enum candidates_found candidates_find(const struct run_entry *run, struct pool_entry *pool, struct json_span fields, int64_t excluded, int64_t wall_ms,
                                      struct candidates *ret_candidates);
void candidates_keep(struct attempt *attempt, const struct candidates *candidates); /* whom its prompt names */
void candidates_leave(struct attempt *attempt); /* it names nobody any more */
bool candidates_may_be_named(const struct run_entry *run, int64_t wall_ms); /* is there anybody whom one more prompt may name, as far as all of the run's may be named? */
/* Who is in any of the lists (a list of none is fine), in the prompt's order. The caller frees ret_candidates->agents. */
void candidates_join(const struct pool_entry *pool, const struct candidates *lists, size_t count, struct candidates *ret_candidates);
bool agent_matches(const struct plan *plan, const struct agent_entry *agent, struct json_span fields); /* by the plan's --match */
bool plan_is_short_list(const struct plan *plan); /* candidates with their attributes stand after the assignment; no roster */
/* {"agent_id","attributes","capacity","held","free"}: an agent as workers and services are told of him; null: no limit. */
struct json_out;
void agent_json(struct json_out *out, const struct agent_entry *agent);
/* Adds the block of present loads to `out`, and to `json` as it stands in a JSON string. */
void prompt_loads(const struct candidates *candidates, bool with_attributes, struct buf *out, struct buf *json);
/* Whom a prompt named, and that, or the schema of a run that names nobody, as its provider tells it: the next one's are mostly the same. */
struct provider_ops;
struct schema;
struct prompt_named {
    const struct provider_ops *provider; /* static; NULL: none so far */
    int64_t *agents;                     /* owned: their ids */
    size_t count;
    bool is_pack;                        /* several assignments are decided by one answer */
    struct buf choice_json;              /* owned; what the provider's add_choice() or add_schema() adds */
};
/* Made anew where it is another. `schema`: of a run that asks a question, else NULL. */
void prompt_named_set(struct prompt_named *named, const struct provider_ops *provider, const struct schema *schema, const struct candidates *candidates,
                      bool is_pack);
void prompt_named_clear(struct prompt_named *named);
void prompt_system_json(struct run_dispatch *d, const struct buf *system); /* d->system_json is `system` as a JSON string; empty when that is */

#endif
