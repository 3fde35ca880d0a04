/* The endpoints of a run that names several in order, and which one it is on now (core/ladder.h has the rule). Looked at once a second: what moves a run lasts longer.
 * An endpoint that a run would rather be on is asked by its own test request whether it is well again (probe.c), so the list holds none without one but at its end.
 * Calls under way stay where they were sent, and what they answer counts there. Loop's thread. */
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <string.h>

static bool is_day_used(const struct pacer_view *view)
{
    return strcmp(view->mode, "quota_day") == 0 || view->day_room == 0;
}

static void see(const struct endpoint *endpoint, struct pacer_now now, struct ladder_seen *ret_seen)
{
    struct pacer_view view;
    *ret_seen = (struct ladder_seen){.down_class = -1};
    if (endpoint == NULL)
        return;
    pacer_view(endpoint->pacer, now, &view);
    ret_seen->is_known = true;
    if (endpoint_is_down(endpoint))
        ret_seen->down_class = endpoint->state.down_class >= 0 ? endpoint->state.down_class : OUTCOME_CREDENTIALS;
    ret_seen->has_no_day = is_day_used(&view) || money_day_is_spent(endpoint);
    ret_seen->open_ms = (int64_t)((double)view.open_us / 1000 / endpoint->config->time_scale);
}

static size_t choose(const struct run_rungs *rungs, struct pacer_now now)
{
    struct ladder_seen seen[LADDER_MOST];
    for (size_t i = 0; i < rungs->count; i++)
        see(rungs->endpoints[i], now, &seen[i]);
    return ladder_choose(seen, rungs->count);
}

bool rungs_reason(const struct run_rungs *rungs, size_t i, struct rung_reason *ret_reason)
{
    struct pacer_now now = engine_now();
    struct ladder_seen seen;
    enum outcome_class class;
    *ret_reason = (struct rung_reason){.code = ""};
    see(rungs->endpoints[i], now, &seen);
    if (ladder_judge(&seen, &class) == LADDER_WELL)
        return false;
    ret_reason->code = outcome_row(class)->name;
    if (rungs->endpoints[i] == NULL)
        snprintf(ret_reason->text, sizeof ret_reason->text, "the endpoint is not in the configuration any more");
    else
        endpoint_text(rungs->endpoints[i], ret_reason->text, sizeof ret_reason->text, &ret_reason->until_at_ms);
    return true;
}

/* The names were checked when they were given. */
static struct run_rungs *read_rungs(struct engine *engine, const char *text)
{
    char **names;
    if (ladder_names(text, &names, NULL) < 0)
        return NULL;
    struct run_rungs *rungs = xcalloc(1, sizeof *rungs);
    for (char **at = names; *at != NULL; at++) {
        rungs->names[rungs->count] = *at;
        rungs->endpoints[rungs->count++] = registry_endpoint(&engine->registry, *at);
    }
    free(names); /* the names themselves are the list's now */
    return rungs;
}

void rungs_free(struct run_rungs *rungs)
{
    for (size_t i = 0; rungs != NULL && i < rungs->count; i++)
        free(rungs->names[i]);
    free(rungs);
}

static bool are_same(const struct run_rungs *a, const struct run_rungs *b)
{
    bool is_same = a != NULL && a->count == b->count;
    for (size_t i = 0; is_same && i < b->count; i++)
        is_same = a->endpoints[i] == b->endpoints[i] && strcmp(a->names[i], b->names[i]) == 0;
    return is_same;
}

void rungs_take(struct engine *engine, struct run_entry *run)
{
    struct run_rungs *rungs = strchr(run->info.endpoint, ',') != NULL ? read_rungs(engine, run->info.endpoint) : NULL;
    if (rungs == NULL) {
        rungs_free(run->rungs);
        run->rungs = NULL;
        run->endpoint = registry_endpoint(&engine->registry, run->info.endpoint);
        return;
    }
    if (are_same(run->rungs, rungs)) {
        rungs_free(rungs);
        return;
    }
    rungs_free(run->rungs);
    run->rungs = rungs;
    rungs->at = choose(rungs, engine_now()); /* after a restart: nothing is sent first where it is known to be refused */
    rungs->since_at_ms = clock_wall_ms();
    run->endpoint = rungs->endpoints[rungs->at];
}

static void move(struct engine *engine, struct run_entry *run, size_t to)
{
    struct run_rungs *rungs = run->rungs;
    const size_t from = rungs->at;
    struct rung_reason reason;
    bool is_back = to < from && !rungs_reason(rungs, to, &reason);
    if (is_back || !rungs_reason(rungs, from, &reason))
        snprintf(reason.text, sizeof reason.text, "%s is well again", rungs->names[to]);
    ready_release(run); /* they were leased for the former endpoint */
    if (run->endpoint != NULL)
        held_drop(run->endpoint, run->info.id); /* and shall not wait until that one is judged */
    rungs->at = to;
    rungs->since_at_ms = clock_wall_ms();
    run->endpoint = rungs->endpoints[to];
    if (run->dispatch != NULL) {
        run->dispatch->share = (struct share){0}; /* what it was given was the former endpoint's */
        run->dispatch->dry_until_us = 0;
    }
    eta_restart(&run->eta, clock_mono_ms());
    log_event(LOG_LEVEL_NOTICE, "run_endpoint", "run=%s endpoint=%s from=%s reason=%s text=\"%.300s\"", run->info.run_id, rungs->names[to], rungs->names[from],
              reason.code[0] != '\0' ? reason.code : "well", reason.text);
    notice_run_endpoint(engine, run, rungs->names[from], &reason);
}

/* A run that may go is not on these, and would be if they were well. */
static void miss(const struct run_rungs *rungs)
{
    for (size_t i = 0; i < rungs->at; i++)
        if (rungs->endpoints[i] != NULL)
            rungs->endpoints[i]->dispatch->is_missed = true;
}

void rungs_look(struct engine *engine)
{
    struct pacer_now now = engine_now();
    for (struct endpoint *endpoint = engine->registry.endpoints; endpoint != NULL; endpoint = endpoint->next)
        endpoint->dispatch->is_missed = false;
    for (struct run_entry *run = engine->registry.runs; run != NULL; run = run->next) {
        if (run->rungs == NULL || run->info.state != RUN_RUNNING || engine->health != STORE_WELL)
            continue;
        size_t to = choose(run->rungs, now);
        if (to != run->rungs->at)
            move(engine, run, to);
        if (run->info.pauses == 0)
            miss(run->rungs);
    }
}

bool rungs_wait_for_day(const struct endpoint *endpoint)
{
    struct pacer_view view;
    if (!endpoint->dispatch->is_missed)
        return false;
    pacer_view(endpoint->pacer, engine_now(), &view);
    return strcmp(view.mode, "quota_day") == 0;
}

/* ---- what is asked for ---- */

static int fail_unknown(const struct registry *registry, const char *name, struct galloc_error *error)
{
    const char *names[64];
    size_t count = 0;
    for (struct endpoint *endpoint = registry->endpoints; endpoint != NULL && count < ARRAY_COUNT(names); endpoint = endpoint->next)
        names[count++] = endpoint->config->name;
    const char *nearest = text_nearest(name, names, count);
    return galloc_fail(error, GALLOC_NOT_FOUND, "there is no endpoint \"%s\"%s%s%s (gallocctl endpoint list)", name, nearest ? "; did you mean \"" : "",
                       nearest ? nearest : "", nearest ? "\"?" : "");
}

/* One endpoint of several: it has to be possible to find out that it is well again, and a run's cost is a sum in one currency. */
static int check_rung(const struct endpoint *endpoint, bool is_last, const struct endpoint *first, struct galloc_error *error)
{
    const char *name = endpoint->config->name;
    if (!is_last && !endpoint_has_test(endpoint))
        return galloc_fail(error, GALLOC_INVALID_VALUE,
                           "endpoint: %s has no test request, so nobody could find out when it is well again: give it a test_path in the configuration, or put it last", name);
    if (first->currency[0] != '\0' && endpoint->currency[0] != '\0' && strcmp(first->currency, endpoint->currency) != 0)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "endpoint: %s is paid in %s and %s in %s: a run's cost cannot be a sum of both", first->config->name,
                           first->currency, name, endpoint->currency);
    return 0;
}

int engine_check_endpoints(struct engine *engine, const char *text, struct endpoint *ret_endpoints[LADDER_MOST], size_t *ret_count, struct galloc_error *error)
{
    struct registry *registry = &engine->registry;
    struct endpoint *found[LADDER_MOST];
    char **names;
    size_t count = 0;
    int rc = ladder_names(text, &names, error);
    if (rc < 0)
        return rc;
    for (char **at = names; rc == 0 && *at != NULL && !plan_is_workers(*at); at++) {
        found[count] = registry_endpoint(registry, *at);
        if (found[count] == NULL)
            rc = fail_unknown(registry, *at, error);
        else if (names[1] != NULL)
            rc = check_rung(found[count], at[1] == NULL, found[0], error);
        count += rc == 0;
    }
    ladder_names_free(names);
    if (rc < 0)
        return rc;
    memcpy(ret_endpoints, found, count * sizeof *found);
    *ret_count = count;
    return 0;
}
