/* What a worker told of its lease: each item is checked against the pool and the run's --match, then all are stored in one operation; the store's fence decides
 * which of them still count. Nothing of a lease has to be in memory for that, so what was decided before a restart is taken after it. */
#include "dispatch/dispatch.h"

#include "core/result_body.h"
#include "store/query.h"

#include <inttypes.h>
#include <string.h>

enum { READ_ROWS = 100 }; /* inputs read at once: at most 25 MiB */

void outside_results_clear(struct outside_results *results)
{
    for (size_t i = 0; i < results->count; i++) {
        worker_result_clear(&results->items[i].result);
        free(results->items[i].text);
    }
    free(results->items);
    free(results->by_key);
    free(results->worker);
    *results = (struct outside_results){0};
}

static struct run_entry *run_of(const struct outside_results *results)
{
    return results->run != 0 ? registry_run_by_id(&results->engine->registry, results->run) : NULL;
}

static void end(struct outside_results *results, int code, const struct galloc_error *error)
{
    results->code = code;
    if (code < 0)
        results->error = *error;
    results->done(results);
}

/* ---- one item ---- */

static void set_text(struct outside_told *told, const char *text)
{
    free(told->text);
    told->text = xstrdup(text);
}

/* What the store and people are told of an error. */
static char *error_words(const struct worker_result *result)
{
    if (result->code != NULL && result->message != NULL)
        return xasprintf("%s: %s", result->code, result->message);
    const char *words = result->code != NULL ? result->code : result->message;
    return xstrdup(words != NULL ? words : outcome_row(OUTCOME_WORKER)->text);
}

/* Whom the decision names; NULL with the words of what is wrong. */
static struct agent_entry *chosen_agent(struct run_entry *run, const struct outside_told *told, char **ret_words)
{
    const char *agent_id = told->result.answer.agent_id;
    struct agent_entry *agent = run->pool != NULL ? pool_agent_by_name(run->pool, agent_id) : NULL;
    if (agent == NULL || !agent->info.is_listed) {
        *ret_words = xasprintf("\"%s\" is not an agent of the pool", agent_id);
        return NULL;
    }
    if (run->has_plan && run->plan.match_count > 0 && !told->is_candidate) {
        *ret_words = xasprintf("\"%s\" is not a candidate for it: the run has --match %s=%s", agent_id, run->plan.match[0].field, run->plan.match[0].attribute);
        return NULL;
    }
    return agent;
}

/* A decision claims its place until the settle has committed. */
static void fill_decision(struct run_entry *run, const struct outside_told *told, struct verdict_item *item)
{
    const struct alloc_answer *answer = &told->result.answer;
    struct agent_entry *agent = chosen_agent(run, told, &item->message);
    if (agent == NULL)
        return;
    item->class = OUTCOME_SUCCEEDED;
    item->agent = agent->info.id;
    agent->claimed++;
    item->result = result_body_decision(answer->reason, answer->confidence, DECIDED_BY_WORKER, RESULT_NO_CALL);
}

static void fill_answer(struct run_entry *run, const struct worker_result *result, struct verdict_item *item)
{
    struct galloc_error error;
    struct buf answer = BUF_EMPTY;
    if (schema_answer_read(run->dispatch->schema, result->json, strlen(result->json), &answer, &error) < 0) {
        item->message = xstrdup(error.message);
    } else {
        item->class = OUTCOME_SUCCEEDED;
        item->result = result_body_answer(answer.data, answer.len, DECIDED_BY_WORKER, RESULT_NO_CALL);
    }
    buf_clear(&answer);
}

static void fill_item(struct run_entry *run, const struct outside_told *told, struct verdict_item *item)
{
    const struct worker_result *result = &told->result;
    bool is_question = run != NULL && run->dispatch != NULL && run->dispatch->schema != NULL;
    item->key = xstrdup(result->key);
    item->class = OUTCOME_INVALID_ANSWER;
    if (result->kind == TOLD_ERROR) {
        item->class = result->may_retry ? OUTCOME_TRANSIENT : OUTCOME_WORKER;
        item->message = error_words(result);
    } else if (result->kind == TOLD_NOTHING) {
        item->message = xstrdup(result->message);
    } else if (run == NULL) {
        item->message = xstrdup("its lease is over"); /* so the fence says, whatever was decided */
    } else if (is_question != (result->kind == TOLD_ANSWER)) {
        item->message = xstrdup(is_question ? "the run asks a question: a result is {\"key\",\"answer\":{…}}, in the shape of its schema"
                                            : "the run allocates: a result is {\"key\",\"agent_id\",\"reason\",\"confidence\"}");
    } else if (is_question) {
        fill_answer(run, result, item);
    } else {
        fill_decision(run, told, item);
    }
    if (item->result == NULL)
        item->result = result_body_failure(item->message, result->code, RESULT_NO_CALL);
}

/* ---- what the store made of it ---- */

/* What fill_item() claimed is claimed no more, whatever became of the lease and its run meanwhile. */
static void take_place(struct pool_entry *pool, const struct verdict_item *item, bool is_stored)
{
    struct agent_entry *agent = item->agent != 0 && pool != NULL ? pool_agent(pool, item->agent) : NULL;
    if (agent == NULL)
        return;
    agent->claimed = max_i64(agent->claimed - 1, 0);
    agent->info.held += is_stored && item->ret_verdict == VERDICT_OF_SUCCEEDED;
    pool->generation++;
}

static void tell(struct engine *engine, struct run_entry *run, const char *worker, const struct verdict_item *item)
{
    const struct attempt_notice attempt = {.run = run, .key = item->key, .endpoint = PLAN_WORKERS, .worker = worker, .seq = item->ret_seq - 1, .n = item->ret_n,
                                           .class = item->ret_class, .retry = -1, .retry_in_ms = item->ret_is_final ? -1 : item->ret_retry_after_ms,
                                           .message = item->message};
    notice_attempt(engine, &attempt);
    if (!item->ret_is_final)
        return;
    bool has_succeeded = item->ret_verdict == VERDICT_OF_SUCCEEDED;
    const struct assignment_notice assignment = {.run = run, .key = item->key, .seq = item->ret_seq, .class = item->ret_class, .agent = item->agent,
                                                 .state = has_succeeded ? ASSIGNMENT_SUCCEEDED : ASSIGNMENT_FAILED};
    notice_assignment(engine, &assignment);
}

/* Why the store did not give the place that the decision named. */
static const char *no_room_words(struct pool_entry *pool, const struct verdict_item *item)
{
    const struct agent_entry *agent = pool != NULL ? pool_agent(pool, item->agent) : NULL;
    const struct store_agent *info = agent != NULL ? &agent->info : NULL;
    if (info == NULL || !info->is_listed)
        return "the agent is no longer in the pool; it is handed out again";
    enum agent_room room = agent_room(info->capacity, info->held, 0, true, info->is_available, info->until_at_ms, engine_now().wall_ms);
    return room == ROOM_AWAY || room == ROOM_AWAY_UNTIL ? "the agent is away; it is handed out again" : "the agent has no room left; it is handed out again";
}

static void fill_told(struct outside_told *told, const struct verdict_item *item, struct pool_entry *pool)
{
    told->verdict = item->ret_verdict;
    told->retry_after_ms = item->ret_is_final ? -1 : item->ret_retry_after_ms;
    if (item->ret_verdict == VERDICT_OF_STALE)
        set_text(told, "it is not in this lease, or no longer: nothing was changed");
    else if (item->ret_verdict == VERDICT_OF_DUPLICATE)
        set_text(told, "this lease has told of it before: nothing was changed");
    else if (item->ret_verdict == VERDICT_OF_AGENT_FULL)
        set_text(told, no_room_words(pool, item));
    else if (item->ret_verdict != VERDICT_OF_SUCCEEDED)
        set_text(told, item->message);
}

static void on_stored(struct store_op *op)
{
    struct store_verdicts *verdicts = (struct store_verdicts *)op;
    struct outside_results *results = op->arg;
    struct engine *engine = results->engine;
    struct run_entry *run = run_of(results);
    struct pool_entry *pool = registry_pool_by_id(&engine->registry, results->pool);
    size_t next = 0;
    engine->settles_pending--;
    for (size_t i = 0; i < results->count; i++) {
        struct outside_told *told = &results->items[i];
        if (told->result.key == NULL)
            continue;
        struct verdict_item *item = &verdicts->items[next++];
        take_place(pool, item, op->code == 0);
        if (op->code == 0)
            fill_told(told, item, pool);
        if (op->code == 0 && run != NULL && item->ret_seq > 0)
            tell(engine, run, results->worker, item);
    }
    if (op->code == 0)
        outside_lease_left(engine, results->lease, verdicts->ret_left_count);
    if (run != NULL && run->dispatch != NULL)
        run->dispatch->dry_until_us = 0;
    struct galloc_error error = op->error;
    int code = op->code;
    error.code = -code;
    store_op_free(op);
    end(results, code, &error);
    engine_turn(engine);
}

static void submit(struct outside_results *results)
{
    struct engine *engine = results->engine;
    struct run_entry *run = run_of(results);
    struct store_verdicts *verdicts = store_op_new(OP_VERDICTS, on_stored, results);
    results->pool = run != NULL && run->pool != NULL ? run->pool->id : 0;
    verdicts->lease = results->lease;
    verdicts->ledger = run != NULL && run->pool != NULL ? run->pool->ledger : 0;
    verdicts->max_retries = run != NULL ? run->profile.max_retries : 0;
    verdicts->backoff_max_ms = run != NULL ? run->profile.backoff_max_ms : 0;
    verdicts->seed = rng_next(&engine->rng);
    verdicts->items = xcalloc(results->count, sizeof *verdicts->items);
    for (size_t i = 0; i < results->count; i++) {
        struct outside_told *told = &results->items[i];
        if (told->result.key != NULL) {
            fill_item(run, told, &verdicts->items[verdicts->count++]);
            continue;
        }
        told->verdict = VERDICT_OF_INVALID_ANSWER;
        told->retry_after_ms = -1;
        set_text(told, told->result.message);
    }
    engine->settles_pending++;
    store_submit(engine->store, &verdicts->op);
}

/* ---- whose candidates are told by their input ---- */

static int by_key(const void *a, const void *b)
{
    return strcmp((*(struct outside_told *const *)a)->result.key, (*(struct outside_told *const *)b)->result.key);
}

/* The first of the sorted items that has the key, or where it would be. */
static size_t place_of(const struct outside_results *results, const char *key)
{
    size_t low = 0, high = results->by_key_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(results->by_key[middle]->result.key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void check_candidate(const struct run_entry *run, struct outside_told *told, const char *fields)
{
    struct agent_entry *agent = pool_agent_by_name(run->pool, told->result.answer.agent_id);
    told->is_candidate = agent != NULL && agent_matches(&run->plan, agent, (struct json_span){fields, strlen(fields)});
}

static void read_inputs(struct outside_results *results);

static void on_read(struct store_op *op)
{
    struct store_read *read = (struct store_read *)op;
    struct outside_results *results = op->arg;
    const struct run_entry *run = run_of(results);
    if (op->code < 0) {
        struct galloc_error error = op->error;
        int code = op->code;
        error.code = -code;
        store_op_free(op);
        end(results, code, &error);
        return;
    }
    for (size_t row = 0; run != NULL && run->has_plan && row < read->ret_row_count; row++) {
        const char *key = read_text(read, row, ASSIGNMENT_KEY), *fields = read_text(read, row, ASSIGNMENT_FIELDS);
        for (size_t i = place_of(results, key); fields != NULL && i < results->by_key_count && strcmp(results->by_key[i]->result.key, key) == 0; i++)
            check_candidate(run, results->by_key[i], fields);
    }
    results->read_after = read->ret_next;
    store_op_free(op);
    if (results->read_after != 0)
        read_inputs(results);
    else
        submit(results);
}

static void read_inputs(struct outside_results *results)
{
    struct store_read *read = store_op_new(OP_READ, on_read, results);
    read->query = QUERY_ASSIGNMENTS;
    read->run = run_of(results) ? run_of(results)->info.id : 0;
    read->after = results->read_after;
    read->limit = READ_ROWS;
    read->with_fields = true;
    read->selector.keys = xcalloc(results->by_key_count + 1, sizeof(char *));
    for (size_t i = 0; i < results->by_key_count; i++)
        read->selector.keys[i] = xstrdup(results->by_key[i]->result.key);
    store_submit(results->engine->store, &read->op);
}

void outside_results(struct engine *engine, struct outside_results *results)
{
    const struct outside_lease *lease = outside_lease_find(engine, results->lease);
    results->engine = engine;
    results->run = lease != NULL ? lease->run : 0;
    results->worker = xstrdup(lease != NULL ? lease->worker : NULL);
    const struct run_entry *run = run_of(results);
    results->by_key = xcalloc(results->count, sizeof(struct outside_told *));
    for (size_t i = 0; run != NULL && run->has_plan && run->plan.match_count > 0 && i < results->count; i++)
        if (results->items[i].result.kind == TOLD_DECISION)
            results->by_key[results->by_key_count++] = &results->items[i];
    if (results->by_key_count == 0) {
        submit(results);
        return;
    }
    qsort(results->by_key, results->by_key_count, sizeof(struct outside_told *), by_key);
    read_inputs(results);
}
