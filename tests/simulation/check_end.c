/* What must be true when all is over: each row has come to an end that the world can explain, memory and the store tell the same, and the doctor finds nothing. */
#include "tests/simulation/world.h"

#include "core/retry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DOCTOR_MOST_EVENTS = 200000 };

static int64_t max_retries_of(const struct sim_run *run)
{
    size_t count;
    const struct profile *profiles = profile_defaults(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(profiles[i].name, run->profile) == 0)
            return profiles[i].max_retries;
    return 0;
}

/* Is it known why the assignment failed so? An outage that ends may be taken for the assignment's own failure once. */
static bool is_explained(const struct sim_run *run, const struct sim_key *key, enum outcome_class class)
{
    switch ((int)class) {
    case OUTCOME_TRANSIENT:
        return failures_of(run, key) > max_retries_of(run);
    case OUTCOME_INVALID_ANSWER:
    case OUTCOME_UNFINISHED:
        return reasks_of(key) > RETRY_REASKS_MAX;
    case OUTCOME_REJECTED:
        return key->told[OUTCOME_REJECTED] > 0;
    case OUTCOME_WORKER:
        return key->worker_errors[1] > 0;
    case OUTCOME_NO_CAPACITY:
        return run->capacity >= 0 || run->is_away;
    case OUTCOME_POISON:
        return run->is_on_workers || run->workers_too;
    default:
        return false;
    }
}

static void check_row(const struct sim_run *run, int i)
{
    static const char state_sql[] = "SELECT state FROM assignment WHERE run = ?1 AND key = printf('K%06d', ?2)";
    static const char class_sql[] = "SELECT class FROM assignment WHERE run = ?1 AND key = printf('K%06d', ?2)";
    const struct sim_key *key = &run->key[i];
    int64_t number = run->number * KEY_RUN_FACTOR + i;
    if (!key->has_seen)
        return;
    int64_t state = check_number(state_sql, run->id, number), class = check_number(class_sql, run->id, number);
    if (state == ASSIGNMENT_CANCELLED ? !run->is_cancelled && !run->is_discarded : state != ASSIGNMENT_SUCCEEDED && state != ASSIGNMENT_FAILED)
        violate("K%06lld: it ended as %s", (long long)number, assignment_state_name((enum assignment_state)state));
    if (state == ASSIGNMENT_FAILED && !is_explained(run, key, (enum outcome_class)class))
        violate("K%06lld: failed as %s, for no reason: %lld transient answers (%lld of %lld outages), %lld not valid, %lld rejected", (long long)number,
                outcome_row((enum outcome_class)class)->name, (long long)key->told[OUTCOME_TRANSIENT], (long long)key->ill, (long long)key->outages,
                (long long)key->told[OUTCOME_INVALID_ANSWER], (long long)key->told[OUTCOME_REJECTED]);
}

/* Memory is fed by what commits tell; at rest it is what is stored. */
static void check_memory(const struct sim_run *run)
{
    static const char sql[] = "SELECT value FROM run_count WHERE run = ?1 AND kind = ?2";
    const struct run_entry *entry = registry_run_by_id(engine_registry(life_engine()), run->id);
    for (int kind = 0; entry != NULL && kind < COUNT_KIND_END; kind++) {
        int64_t stored = check_number(sql, run->id, kind);
        if (stored != entry->info.counts[kind])
            violate("run %d: counter %d is %lld in memory and %lld in the store", run->number, kind, (long long)entry->info.counts[kind], (long long)stored);
    }
}

/* Places too: those of agents whom memory knows. */
static void check_places(const struct sim_run *run)
{
    static const char sql[] = "SELECT held FROM ledger_agent WHERE ledger = ?1 AND agent = ?2";
    const struct run_entry *entry = registry_run_by_id(engine_registry(life_engine()), run->id);
    const struct pool_entry *pool = entry != NULL ? entry->pool : NULL;
    for (size_t i = 0; pool != NULL && i < pool->agent_count; i++) {
        const struct store_agent *agent = &pool->agents[i].info;
        int64_t stored = check_number(sql, pool->ledger, agent->id);
        if (stored != agent->held)
            violate("run %d: %s holds %lld places in memory and %lld in the store", run->number, agent->agent_id, (long long)agent->held, (long long)stored);
    }
}

/* ---- the doctor ---- */
struct doctor_wait {
    bool is_done, is_well;
    char report[700];
};

static void on_doctor(struct store_op *op)
{
    struct doctor_wait *wait = op->arg;
    const struct store_doctor *doctor = (struct store_doctor *)op;
    const char *report = op->code == 0 ? buf_text(&doctor->ret_report) : op->error.message;
    const char *fault = strstr(report, "\"ok\":false,\"detail");
    wait->is_done = true;
    wait->is_well = op->code == 0 && strncmp(report, "{\"ok\":true", 10) == 0;
    snprintf(wait->report, sizeof wait->report, "%.600s", fault != NULL && fault - report > 40 ? fault - 40 : report);
    store_op_free(op);
}

static void check_doctor(void)
{
    struct doctor_wait wait = {.is_done = false};
    struct store_doctor *doctor = store_op_new(OP_DOCTOR, on_doctor, &wait);
    doctor->is_full = true;
    engine_submit(life_engine(), &doctor->op);
    for (int i = 0; i < DOCTOR_MOST_EVENTS && !wait.is_done; i++)
        sched_step();
    if (!wait.is_well)
        violate("the doctor finds: %s", wait.is_done ? wait.report : "nothing, for it does not come back");
}

void check_end(void)
{
    check_doctor();
    check_step();
    for (int i = 0; i < world.run_count && !is_violated(); i++) {
        struct sim_run *run = &world.runs[i];
        if (run->id == 0)
            violate("run %d was never made", run->number);
        for (int row = 0; row < run->keys && !is_violated(); row++)
            check_row(run, row);
        check_memory(run);
        check_places(run);
    }
}
