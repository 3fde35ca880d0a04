/* A run's plan: what POST /v1/runs may say, checked, with defaults from the profile; kept as JSON in the run's row.
 * Pure; any thread. */
#ifndef GALLOC_CORE_PLAN_H
#define GALLOC_CORE_PLAN_H

#include "base/buf.h"
#include "base/code.h"
#include "core/price.h"

struct json_object;
struct json_span;

/* ---- profiles: named settings of a run (design: keep these numbers) ---- */
enum profile_mode { MODE_CONTINUOUS, MODE_BATCH, MODE_SEQUENTIAL };
struct profile {
    char *name; /* owned */
    enum profile_mode mode;
    int64_t batch_size, delay_ms; /* of MODE_BATCH */
    int64_t max_retries, backoff_max_ms;
    char *text; /* owned; one line for people */
};
/* The five built-in profiles; *ret_count of them; the first is the default. Static, never to be changed or freed. */
const struct profile *profile_defaults(size_t *ret_count);
const char *profile_mode_name(enum profile_mode mode); /* "continuous", "batch", "sequential" */
int profile_mode_by_name(const char *name);            /* -1 when unknown */

/* ---- what a plan holds ---- */
#define PLAN_WORKERS "workers" /* the built-in endpoint that leaves a run to outside workers: it needs no section */
bool plan_is_workers(const char *endpoint);

struct match_rule {          /* --match FIELD=ATTR */
    char *field, *attribute; /* owned */
};
struct plan {
    char *name, *endpoint, *profile; /* owned; name may be NULL; endpoint NULL: the configuration's default (the caller
                                        fills it in before it stores the plan) */
    char *pool;                      /* owned: a standing pool's name; NULL: agents of its own */
    char *template;                  /* owned text; NULL: the built-in one */
    char *schema;                    /* owned JSON (core/schema.h): the run asks a question, and has no agents; NULL: it allocates */
    char **send, **keep_back;        /* owned NULL-ended lists of columns, NULL when not given; at most one is set */
    struct match_rule *match;        /* owned */
    size_t match_count;
    int64_t max_candidates;       /* 0: all */
    int64_t batch_size, delay_ms; /* -1: the profile's */
    int64_t max_retries;          /* -1: the profile's */
    int64_t pack;                 /* assignments in one request, at most; 0: as many as go well (auto) */
    int64_t priority;             /* -100 … 100, higher first */
    int64_t max_age_ms;           /* 0: none */
    int64_t first;                /* the client sent only so many; 0: all */
    int64_t sample, seed;         /* the client sent so many, chosen by that seed; 0: all; -1: not told */
    struct amount max_cost;       /* at most so much may be spent; its currency "": that of the endpoint's price */
    int tier;                     /* enum price_tier: at which its calls are asked for */
    int on_duplicate;             /* enum import_duplicate's numbers: 0 skip, 1 error, 2 replace */
    bool is_paused, is_again;
    bool workers_too; /* outside workers may lease beside the built-in one */
    bool is_open;     /* more may come until the run is closed */
    int canary;       /* enum first_mode (core/first.h) */
    char *source_name, *source_sha256; /* owned; may be NULL */
    char *key_column, *order; /* owned; NULL: not told. Informative, as are the next: how the client read its input */
    char *from, *delimiter, *encoding; /* owned; NULL: not told */
    char *copy_of;  /* owned: the agents, with what they held, were copied from this pool; NULL: not told. Tells a repeat in their place */
    char **columns; /* owned NULL-ended list of the input's columns, without the key's; NULL: not told */
};

/* Reads the body of POST /v1/runs (`agents` is passed over: ingest_agents() reads them). 0, or a code with what is
 * wrong and what would be right; unknown members by name with the nearest. Where the body tells `columns`, every column
 * that the plan and its template name is looked up there. An endpoint is not looked up here. The caller frees with
 * plan_clear(). `profiles` are those of the configuration. */
int plan_read(struct json_object *body, const struct profile *profiles, size_t profile_count, struct plan *ret_plan,
              struct galloc_error *error) MUST_CHECK;
void plan_clear(struct plan *plan);

/* The frozen plan as JSON for the run's row, and back. The run's name, source, `paused`, `again` and the columns are
 * not in it: the same plan gives the same text, so its digest tells a repeat. plan_parse() refuses only what was never
 * written by plan_to_json(). */
void plan_to_json(const struct plan *plan, struct buf *out);
int plan_parse(const char *json, size_t len, struct plan *ret_plan, struct galloc_error *error) MUST_CHECK;

/* Of what a run's prompts are made of, pool and input apart, by its plan's JSON: equal where template, columns sent and the choice of candidates are. Never 0. */
uint64_t plan_likeness(const char *json);

/* A run with a schema asks a question: it has no pool and no agents, and its results are answers. */
static inline bool plan_is_question(const struct plan *plan)
{
    return plan->schema != NULL;
}

/* Is the column sent to the model? By send/keep_back of the plan and the configuration's keep_back (NULL-ended, may be
 * NULL), which wins. Names compare without case, blanks and underscores. */
bool plan_sends(const struct plan *plan, char *const *config_keep_back, const char *column);
/* True when no column is kept back, so that nobody has to ask for each. */
bool plan_sends_all(const struct plan *plan, char *const *config_keep_back);

/* 0 when the plan's template uses no column that is kept back; else -GALLOC_INVALID_INPUT naming it. At creation, when
 * the configuration is known. */
int plan_check_template(const struct plan *plan, char *const *config_keep_back, struct galloc_error *error) MUST_CHECK;

/* What holds for a run now: the plan's own figure, else the profile's. */
int64_t plan_batch_size(const struct plan *plan, const struct profile *profile);
int64_t plan_delay_ms(const struct plan *plan, const struct profile *profile);
int64_t plan_max_retries(const struct plan *plan, const struct profile *profile);

/* Do two names of columns mean the same: without case (of ASCII), blanks and underscores? */
bool column_is(const char *a, const char *b);
/* Is `name` one of the NULL-ended list (may be NULL)? */
bool column_is_in(char *const *columns, const char *name);
/* May `name` mean one of the NULL-ended list (may be NULL) of what is never sent? Wider than column_is(): without case and marks beyond ASCII and without any
 * blanks, however the letters are encoded; in doubt, yes. */
bool column_is_kept_back(char *const *keep_back, const char *name);
/* The value of the member `name` of checked JSON object text: the member of that very name, else the first whose name means the same. */
bool column_find(struct json_span object, const char *name, struct json_span *ret_value);
/* The column of the NULL-ended list that was most likely meant, or NULL. */
const char *column_nearest(char *const *columns, const char *name);

#endif
