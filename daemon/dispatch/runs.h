/* Runs and pools inside the dispatcher: the registry's lists, which runs are in memory, and what a run gets while it runs. Not for other rooms. */
#ifndef GALLOC_DISPATCH_RUNS_H
#define GALLOC_DISPATCH_RUNS_H

#include "dispatch/engine.h"

/* ---- registry.c ---- */
void registry_load(struct registry *registry, struct store_image *image);
struct run_entry *registry_add_run(struct registry *registry, struct store_run *run); /* takes its content; in its place by id */
void registry_forget_run(struct registry *registry, struct run_entry *run); /* frees it; nothing of it is on its way */
struct pool_entry *registry_put_pool(struct registry *registry, struct store_pool *pool); /* takes its content */
void registry_forget_pool(struct registry *registry, struct pool_entry *pool); /* frees it; no run has it */
void registry_clear(struct registry *registry);
struct agent_entry *pool_agent(struct pool_entry *pool, int64_t id);
struct agent_entry *pool_agent_by_name(struct pool_entry *pool, const char *agent_id);
void pool_changed(struct pool_entry *pool);
/* So many places of the ledger are spoken for no more: runs that wait for places look again in the next turn. */
void pool_give_places(struct pool_entry *pool, int64_t count);
/* Attempts under way in the ledger, the built-in worker's and those in outside workers' hands. */
int64_t pool_under_way(const struct pool_entry *pool);
/* Free places, attempts under way not looked at; INT64_MAX with an agent without limit. */
int64_t pool_free_places(const struct pool_entry *pool, int64_t wall_ms);

/* ---- memory.c ---- */
/* Brings a run to memory with its plan and its pool, or what of it is missing there, and begins it where it is open. */
void memory_load_run(struct engine *engine, int64_t id);
/* Lets go of what no open run needs: pools of ended runs, their plans, and the ended runs beyond the latest LIMIT_RUNS_KEPT. */
void memory_tidy(struct engine *engine);
/* A run that was purged is in memory no longer than something of it is on its way, and nobody finds it meanwhile. */
void memory_drop_purged(struct engine *engine, struct run_entry *run);

/* ---- run.c ---- */
bool run_is_whole(const struct run_entry *run); /* is all in memory that it needs to run? */
bool run_is_runnable(const struct engine *engine, const struct run_entry *run);
void run_begin(struct engine *engine, struct run_entry *run); /* gets what the dispatcher needs, once it runs */
void run_end(struct run_entry *run); /* gives that back, unless something of it is still on its way */
void run_clear(struct run_entry *run); /* whatever is on its way */
void run_pause(struct engine *engine, struct run_entry *run, enum pause_cause cause, const char *text);
void run_sweep(struct engine *engine, struct run_entry *run, enum store_sweep_verb verb);
void run_abandon_left(struct engine *engine); /* cancels the runs that were left importing; once a second */

/* ---- rungs.c ---- */
void rungs_take(struct engine *engine, struct run_entry *run); /* the endpoints that it names, and the one that it is on */
void rungs_free(struct run_rungs *rungs);
void rungs_look(struct engine *engine); /* moves runs whose endpoint is no longer the right one; once a second */
/* Is its day's quota used up, and a run on another endpoint misses it? Then nothing but a test request finds out when it is back. */
bool rungs_wait_for_day(const struct endpoint *endpoint);

/* ---- first.c ---- */
bool first_is_open(const struct run_entry *run); /* the run is among its first assignments, or these were not judged yet */
int64_t first_places(const struct run_entry *run); /* how many rows may be leased for it, with what is leased; INT64_MAX: any number */
int64_t first_settled(const struct run_entry *run); /* of FIRST_COUNT */
void first_look(struct engine *engine, struct run_entry *run); /* judges them once they are settled */

/* ---- places.c ---- */
void places_take(struct engine *engine, const struct store_commit *commit); /* that a commit told */
void places_take_late(struct engine *engine, struct pool_entry *pool, int64_t seq); /* after a pool came as it stood at event `seq` of the last commit: what moved since */
void places_move(struct engine *engine, const struct store_place *place);

/* ---- commit.c ---- */
void run_take_summary(struct engine *engine, struct run_entry *run, const struct store_run *summary); /* as a commit told it */

#endif
