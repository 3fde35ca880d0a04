/* An estimate on its way: what was asked and found (routes_estimate.c), and the arithmetic that makes the answer of it (estimate.c). Loop's thread. */
#ifndef GALLOC_API_ESTIMATE_H
#define GALLOC_API_ESTIMATE_H

#include "api/handler.h"
#include "api/history.h"

#define ESTIMATE_BYTES_PER_TOKEN 4 /* as providers tell */

struct estimate_range {
    int64_t low, high; /* -1: not known */
};

struct estimate {
    struct engine *engine;          /* borrowed, as the next four */
    struct endpoint *endpoint;      /* NULL: is_on_workers, or the plan could not be read; then only the problems are told */
    const struct profile *profile;
    struct pool_entry *pool;
    struct pool_entry *own_pool;    /* owned; NULL with a standing one */
    bool is_on_workers;             /* outside workers decide: nothing is sent and nothing counted */
    struct plan plan;               /* owned */
    struct store_agents agents;     /* owned */
    struct json_object *sample;     /* owned; NULL: none */
    struct pool_totals totals;
    struct history history;
    int64_t assignments, prompts_wanted, prompts_kept;
    int64_t constant_bytes, named_agents;
    int64_t rendered_count, rendered_bytes, rendered_max_bytes, failed_count;
    int64_t choice_bytes;           /* of the candidates' names in the answers' schemas, of all that were rendered */
    int64_t unmatched_count;        /* of those rendered: no agent matches, so no call is made */
    bool has_bad_match;             /* a --match rule that nobody can match was told: the rows need not be */
    const char *unmatched_key;      /* one of them; borrowed from the sample */
    char **columns;                 /* owned */
    size_t column_count;
    struct buf problems, prompts;   /* owned: items of their lists */
    struct json_out problems_out, prompts_out;
};

void estimate_problem(struct estimate *estimate, bool is_fatal, const char *code, const char *message);
/* Calls that lead to a decision each, and with them the re-asks that are likely: as earlier runs took them, else a tenth at most. */
struct estimate_range estimate_calls(const struct estimate *estimate);
double estimate_mean_calls(const struct estimate *estimate);
void estimate_time(struct json_out *out, const struct estimate *estimate, struct estimate_range in); /* its member "time" (estimate_time.c) */
/* The Estimate object of schema/openapi.yaml. */
void estimate_write(struct estimate *estimate, struct buf *out);

#endif
