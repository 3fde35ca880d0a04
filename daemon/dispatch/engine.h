/* The engine: what the API and main see of the dispatcher. Changes are store operations that pass through here, so that memory follows every commit; reads
 * go to the registry. Loop's thread throughout. */
#ifndef GALLOC_DISPATCH_ENGINE_H
#define GALLOC_DISPATCH_ENGINE_H

#include "dispatch/endpoint.h"
#include "dispatch/events.h"
#include "dispatch/registry.h"
#include "net/net.h"
#include "store/store.h"

struct engine;

struct engine_config {
    struct loop *loop;
    struct config *config;   /* owned by the engine from here on */
    struct net *net;         /* borrowed */
    const char *config_path; /* for reload; may be NULL */
    void (*fatal)(int exit_status, const char *text, void *arg); /* the store failed for good */
    void *arg;
};

/* Makes the engine; it has no store yet. */
struct engine *engine_new(const struct engine_config *config);
/* The store's callbacks, to be put into store_config; `arg` is the engine. */
void engine_on_commit(const struct store_commit *commit, void *arg);
void engine_on_health(enum store_health health, const char *text, void *arg);
/* Takes the store and what it held; from now on work goes out. The image is consumed. */
void engine_start(struct engine *engine, struct store *store, struct store_image *image);
void engine_free(struct engine *engine); /* after store_close() */

struct registry *engine_registry(struct engine *engine);
struct store *engine_store(struct engine *engine);
const struct config *engine_configuration(struct engine *engine);
struct events *engine_events(struct engine *engine);
enum store_health engine_health(const struct engine *engine, const char **ret_text);

/* What is wrong with the store's log, in words with the next step; "": nothing. */
void engine_log_text(struct engine *engine, char *ret_text, size_t size);

/* Finds a run by its id, a name that it alone has, or "@last", in memory or in the store; with_plan: info.plan is there too, unless it cannot be read. `then` is called at once or
 * later: the run is in memory and may be used until it returns, or NULL and why (-NOT_FOUND, -CONFLICT, or the store's). */
typedef void engine_run_found(struct run_entry *run, const struct galloc_error *error, void *arg);
void engine_find_run(struct engine *engine, const char *reference, bool with_plan, engine_run_found *then, void *arg);

/* Submits an operation of the operator or import lane, or a read: the registry is brought up to date before op->done is called. While draining, operations that
 * take new work in (OP_RUN_CREATE) are refused with -GALLOC_DRAINING. */
void engine_submit(struct engine *engine, struct store_op *op);

/* No new calls; those in flight may finish. `done` (may be NULL) is called when nothing is in flight and all is settled, or when the timeout has made the rest lost. */
void engine_drain(struct engine *engine, int64_t timeout_ms, void (*done)(void *arg), void *arg);
void engine_undrain(struct engine *engine);
bool engine_is_draining(const struct engine *engine);
int64_t engine_in_flight(const struct engine *engine);

/* Reads the configuration anew; a bad one changes nothing. Keys are read again too. */
int engine_reload(struct engine *engine, struct galloc_error *error);

/* Sends the endpoint's test request now. `done` gets the class and words. */
struct endpoint_test_result {
    enum outcome_class class;
    int32_t http_status;
    int64_t latency_ms;
    char model_version[64];
    char message[512];
};
void engine_endpoint_test(struct engine *engine, struct endpoint *endpoint, void (*done)(const struct endpoint_test_result *result, void *arg), void *arg);
/* Clears "down", reads the key again, and tries. 0, or a code when there still is no key. */
int engine_endpoint_resume(struct engine *engine, struct endpoint *endpoint, struct galloc_error *error);

/* What a run names as its endpoint: one, or several in order ("A,B,C"); none are found in PLAN_WORKERS. 0; -GALLOC_NOT_FOUND with the nearest name; -GALLOC_INVALID_VALUE
 * for a list that cannot be. Borrowed from the registry. */
int engine_check_endpoints(struct engine *engine, const char *text, struct endpoint *ret_endpoints[LADDER_MOST], size_t *ret_count, struct galloc_error *error) MUST_CHECK;

/* Whom a prompt would name. */
struct prompt_choice {
    size_t candidate_count; /* 0: the assignment could go to nobody now */
    bool is_matched;        /* somebody would be a candidate if he had room */
    size_t choice_bytes;    /* of the candidates' names in the answer's schema; 0 where they are too many to stand there */
};
/* What one assignment's prompt would be, for `check --show-prompt` and estimates: of a provider that takes none, the request's body as the user's part. A prompt
 * that is too large is given, and refused. `ret_choice` may be NULL. */
struct engine_prompt {
    const struct endpoint *endpoint; /* NULL: a prompt, as for a model */
    const struct plan *plan;
    struct pool_entry *pool;
    const char *run_id;      /* NULL: there is no run yet */
    const char *key, *fields;
    size_t fields_len;
};
int engine_prompt(struct engine *engine, const struct engine_prompt *what, struct buf *ret_system, struct buf *ret_user, struct prompt_choice *ret_choice,
                  struct galloc_error *error) MUST_CHECK;

/* A pool for an estimate that is not stored: made from agents, freed by pool_entry_free(). */
struct pool_entry *pool_entry_from_agents(const struct store_agents *agents);
void pool_entry_free(struct pool_entry *pool);

/* The dispatcher looks in the loop's next turn at what may go and what is to be stored; many calls are one. */
void engine_turn(struct engine *engine);
/* Rises with every such look: for the watchdog. */
int64_t engine_ticks(const struct engine *engine);

#endif
