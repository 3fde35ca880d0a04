/* A run's plan: what POST /v1/runs may say, checked, with defaults from the profile; kept as JSON in the run's row. Pure; any thread. */
#ifndef GALLOC_CORE_PLAN_H
#define GALLOC_CORE_PLAN_H

#include "base/buf.h"
#include "base/code.h"

struct json_object;

/* ---- profiles: named settings of a run (design: keep these numbers) ---- */
enum profile_mode { MODE_CONTINUOUS, MODE_BATCH, MODE_SEQUENTIAL };
struct profile {
    char *name; /* owned */
    enum profile_mode mode;
    int64_t batch_size, delay_ms; /* of MODE_BATCH */
    int64_t max_retries, backoff_max_ms;
    char *text; /* owned; one line for people */
};
/* The five built-in profiles; *ret_count of them. Static. */
const struct profile *profile_defaults(size_t *ret_count);

/* ---- what a plan holds ---- */
struct match_rule { /* --match FIELD=ATTR */
    char *field, *attribute; /* owned */
};
struct plan {
    char *name, *endpoint, *profile; /* owned; name may be NULL */
    char *pool;                      /* owned: a standing pool's name; NULL: agents of its own */
    char *template;                  /* owned text; NULL: the built-in one */
    char **send, **keep_back;        /* owned NULL-ended lists of columns; at most one is set */
    struct match_rule *match;        /* owned */
    size_t match_count;
    int64_t max_candidates;          /* 0: all */
    int64_t batch_size, delay_ms;    /* -1: the profile's */
    int64_t max_retries;             /* -1: the profile's */
    int64_t priority;                /* -1000 … 1000, higher first */
    int64_t max_age_ms;              /* 0: none */
    int on_duplicate;                /* enum import_duplicate's numbers: 0 skip, 1 error, 2 replace */
    bool is_paused, is_again;
    char *source_name, *source_sha256; /* owned; may be NULL */
};

/* Reads the body of POST /v1/runs (agents apart). 0, or a code with what is wrong and what would be right; unknown members by name with the nearest.
 * The caller frees with plan_clear(). `profiles` are those of the configuration. */
int plan_read(struct json_object *body, const struct profile *profiles, size_t profile_count, struct plan *ret_plan, struct galloc_error *error) MUST_CHECK;
void plan_clear(struct plan *plan);

/* The frozen plan as JSON for the run's row, and back. plan_parse() refuses only what was never written by plan_to_json(). */
void plan_to_json(const struct plan *plan, struct buf *out);
int plan_parse(const char *json, size_t len, struct plan *ret_plan, struct galloc_error *error) MUST_CHECK;

/* Is the column sent to the model? By send/keep_back of the plan and the configuration's keep_back (NULL-ended, may be NULL). Names compare without
 * case, blanks and underscores. */
bool plan_sends(const struct plan *plan, char *const *config_keep_back, const char *column);

/* Do two names of columns mean the same: without case, blanks and underscores? */
bool column_is(const char *a, const char *b);

#endif
