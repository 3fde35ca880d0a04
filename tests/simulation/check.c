/* What must be true of the store at any moment, read with SQL of this file's own over a second connection, and held against what the world knows. A query of the table
 * gives 0, or something is broken. */
#include "tests/simulation/world.h"

#include "base/clock.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

/* Longer than a call may hang: a daemon that starts too often makes one at a time, and other runs do not say that they wait for it. */
enum { IDLE_MOST_S = 45, WORKERS_IDLE_MOST_S = 45, LATE_MS = 3000, SETTLED_S = 60, MINUTE_US = 60000000 };

static struct {
    sqlite3 *db;
    sqlite3_stmt *statements[32]; /* of the texts below, as they are met first */
    const char *texts[32];        /* static */
    int64_t opened_us, faults_seen, faults_us;
} check;

/* What is wrong, and how many rows show it: each has to be 0. */
static const struct rule {
    const char *what, *sql;
} rules[] = {
    {"rows are leased without a lease that stands",
     "SELECT count(*) FROM assignment a LEFT JOIN lease l ON l.number = a.lease WHERE a.state = 1 AND (l.number IS NULL OR l.ended_at_ms IS NOT NULL)"},
    {"rows are leased of which no attempt of that lease goes on",
     "SELECT count(*) FROM assignment a WHERE a.state = 1 AND NOT EXISTS (SELECT 1 FROM attempt t WHERE t.assignment = a.id AND t.class IS NULL AND t.lease = a.lease)"},
    {"rows have attempts that go on, and are not leased for them",
     "SELECT count(*) FROM attempt t JOIN assignment a ON a.id = t.assignment WHERE t.class IS NULL AND a.state IN (0, 1) AND a.lease IS NOT t.lease"},
    {"rows have more than two attempts that go on", "SELECT count(*) FROM (SELECT assignment FROM attempt WHERE class IS NULL GROUP BY assignment HAVING count(*) > 2)"},
    {"agents hold more than their capacity", "SELECT count(*) FROM ledger_agent l JOIN agent g ON g.id = l.agent WHERE l.held > g.capacity"},
    {"agents hold what a recount does not find",
     "SELECT count(*) FROM ledger_agent l WHERE l.held <> l.base + (SELECT count(*) FROM assignment a JOIN run r ON r.id = a.run JOIN ledger d ON d.id = r.ledger "
     "AND d.resets = a.resets WHERE r.ledger = l.ledger AND a.agent = l.agent AND a.state = 2)"},
    {"counters of states are not what a recount finds",
     "SELECT count(*) FROM run r JOIN (VALUES (0), (1), (2), (3), (4)) s WHERE coalesce((SELECT value FROM run_count c WHERE c.run = r.id AND c.kind = s.column1), 0) <> "
     "(SELECT count(*) FROM assignment a WHERE a.run = r.id AND a.state = s.column1)"},
    {"rows are decided or failed without a result", "SELECT count(*) FROM assignment a LEFT JOIN result r ON r.assignment = a.id WHERE a.state IN (2, 3) AND r.assignment IS NULL"},
    {"rows are decided by an attempt that is not their last but one at most, not well, or taken back",
     "SELECT count(*) FROM assignment a WHERE a.state = 2 AND NOT EXISTS (SELECT 1 FROM attempt t WHERE t.assignment = a.id AND t.class IN (0, 22) AND t.decision IS NULL "
     "AND t.n >= a.attempts - 1)"},
    {"rows are decided more than once, and nobody took the first decision back",
     "SELECT count(*) FROM (SELECT assignment FROM attempt WHERE class IN (0, 22) AND decision IS NULL GROUP BY assignment HAVING count(*) > 1)"},
    {"runs are done with rows left", "SELECT count(*) FROM run r WHERE r.state = 2 AND EXISTS (SELECT 1 FROM assignment a WHERE a.run = r.id AND a.state IN (0, 1))"},
    {"rows that three workers were lost with alone are not failed", "SELECT count(*) FROM assignment WHERE lost_alone >= 3 AND state IN (0, 1)"},
    {"rows are failed as poison before the third loss alone", "SELECT count(*) FROM assignment WHERE state = 3 AND class = 19 AND lost_alone < 3"},
    {"a lease of several has a row that goes alone",
     "SELECT count(*) FROM lease l JOIN assignment a ON a.lease = l.number WHERE l.worker IS NOT NULL AND l.row_count > 1 AND a.state = 1 AND a.goes_alone = 1"},
};

void check_open(const char *path)
{
    if (sqlite3_open_v2(path, &check.db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        violate("the checker cannot open the database: %s", sqlite3_errmsg(check.db));
    check.opened_us = sched_now_us();
}

void check_close(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(check.statements); i++) {
        sqlite3_finalize(check.statements[i]);
        check.statements[i] = NULL;
        check.texts[i] = NULL;
    }
    sqlite3_close(check.db);
    check.db = NULL;
}

static sqlite3_stmt *statement_of(const char *sql)
{
    size_t i = 0;
    while (i + 1 < ARRAY_COUNT(check.texts) && check.texts[i] != NULL && check.texts[i] != sql)
        i++;
    if (check.texts[i] == NULL && sqlite3_prepare_v2(check.db, sql, -1, &check.statements[i], NULL) != SQLITE_OK)
        violate("the checker's own SQL: %s: %s", sqlite3_errmsg(check.db), sql);
    check.texts[i] = sql;
    return check.statements[i];
}

int64_t check_number(const char *sql, int64_t a, int64_t b)
{
    sqlite3_stmt *statement = statement_of(sql);
    int count = sqlite3_bind_parameter_count(statement);
    if (count > 0)
        sqlite3_bind_int64(statement, 1, a);
    if (count > 1)
        sqlite3_bind_int64(statement, 2, b);
    int rc = sqlite3_step(statement);
    int64_t number = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        violate("the checker cannot read: %s", sqlite3_errmsg(check.db));
    sqlite3_reset(statement);
    return number;
}

/* Failures that may be taken for the assignment's own: an outage that ends is followed by a success, and may count once. One that lasts never. */
int64_t failures_of(const struct sim_run *run, const struct sim_key *key)
{
    int endpoint = strcmp(run->endpoint, "b") == 0;
    int64_t lasting = key->last_outage != 0 && key->last_outage == weather_outage(endpoint);
    return key->told[OUTCOME_TRANSIENT] - key->ill + key->outages - lasting + key->worker_errors[0];
}

/* Answers that are asked again: not valid ones and pieces. The token of a piece may be refused besides, which is none of the input's fault. */
int64_t reasks_of(const struct sim_key *key)
{
    return key->told[OUTCOME_INVALID_ANSWER] + 2 * key->told[OUTCOME_UNFINISHED] + key->worker_errors[2];
}

/* ---- each row, beside what the world knows of it ---- */
static bool may_move(const struct sim_run *run, int from, int to)
{
    if (from == to || assignment_may_move((enum assignment_state)from, (enum assignment_state)to, false))
        return true;
    if ((to == ASSIGNMENT_SUCCEEDED && run->is_assigned) || (from == ASSIGNMENT_SUCCEEDED && (run->is_redone || run->is_discarded || run->is_assigned)))
        return true;
    if (from == ASSIGNMENT_PENDING || from == ASSIGNMENT_LEASED) /* several moves between two looks */
        return to != ASSIGNMENT_CANCELLED || run->is_cancelled || run->is_discarded;
    return (from == ASSIGNMENT_FAILED && run->is_retried) || (from == ASSIGNMENT_CANCELLED && run->is_retried && run->is_cancelled) ||
           ((from == ASSIGNMENT_FAILED || from == ASSIGNMENT_CANCELLED) && run->is_assigned); /* and what was decided so may have been taken back since */
}

static void look_at_row(const struct sim_run *run, struct sim_key *key, const char *name, sqlite3_stmt *row)
{
    int state = sqlite3_column_int(row, 1);
    int64_t attempts = sqlite3_column_int64(row, 2), retries = sqlite3_column_int64(row, 3), reasks = sqlite3_column_int64(row, 4), lease = sqlite3_column_int64(row, 5);
    if (key->has_seen && !may_move(run, key->seen_state, state))
        violate("%s: went from %s to %s", name, assignment_state_name((enum assignment_state)key->seen_state), assignment_state_name((enum assignment_state)state));
    if (key->has_seen && (attempts < key->seen_attempts || (lease != 0 && lease < key->seen_lease)))
        violate("%s: attempts %lld after %lld, lease %lld after %lld", name, (long long)attempts, (long long)key->seen_attempts, (long long)lease, (long long)key->seen_lease);
    if (retries > failures_of(run, key))
        violate("%s: %lld retries are spent, and only %lld calls failed by its own fault, as far as anybody can tell", name, (long long)retries, (long long)failures_of(run, key));
    if (reasks > reasks_of(key))
        violate("%s: %lld re-asks are spent, and only %lld answers were not valid", name, (long long)reasks, (long long)reasks_of(key));
    key->has_seen = true;
    key->seen_state = state;
    key->seen_attempts = attempts;
    key->seen_lease = lease != 0 ? lease : key->seen_lease;
}

static void look_at_run(struct sim_run *run)
{
    static const char sql[] = "SELECT key, state, attempts, retries_spent, reasks_spent, coalesce(lease, 0) FROM assignment WHERE run = ?1";
    sqlite3_stmt *row = statement_of(sql);
    bool has[KEYS_MAX] = {false};
    sqlite3_bind_int64(row, 1, run->id);
    while (!is_violated() && sqlite3_step(row) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(row, 0);
        struct sim_key *key = NULL;
        if (run_of_key(name, &key) != run) {
            violate("unexpected: run %d has a row %s, which nobody sent", run->number, name);
            break;
        }
        has[key - run->key] = true;
        look_at_row(run, key, name, row);
    }
    sqlite3_reset(row);
    for (int i = 0; i < run->keys; i++)
        if (run->key[i].is_promised && !has[i])
            violate("lost: K%0*d was promised and is not there", KEY_DIGITS, run->number * KEY_RUN_FACTOR + i);
}

/* ---- leases that ran out ---- */
static void look_at_leases(void)
{
    static const char now_sql[] = "SELECT (SELECT value FROM meta WHERE name = 'now_ms') - (SELECT value FROM meta WHERE name = 'boot_ms')";
    static const char late_sql[] = "SELECT count(*) FROM lease l JOIN assignment a ON a.lease = l.number WHERE l.worker IS NOT NULL AND a.state = 1 AND l.deadline_ms < ?1";
    int64_t now_us = sched_now_us();
    if (world.faults != check.faults_seen)
        check.faults_us = now_us;
    check.faults_seen = world.faults;
    if (now_us - check.opened_us < LATE_MS * 1000 || (world.faults > 0 && now_us - check.faults_us < SETTLED_S * INT64_C(1000000)))
        return;
    if (check_number(late_sql, check_number(now_sql, 0, 0) + now_us / 1000 - LATE_MS, 0) > 0)
        violate("a worker's lease is over for more than %d ms, and its rows are still leased", LATE_MS);
}

/* ---- memory ---- */
/* Something is left, nothing is under way: then a reason is told. Short waits are nobody's business. */
static void look_at_view(struct sim_run *run)
{
    const struct run_entry *entry = registry_run_by_id(engine_registry(life_engine()), run->id);
    struct run_view view = {0};
    if (entry != NULL)
        run_view(entry, &view);
    bool moves = entry == NULL || entry->info.seq != run->seen_seq || entry->info.state != RUN_RUNNING || entry->info.counts[COUNT_STATE + ASSIGNMENT_LEASED] > 0 ||
                 entry->info.counts[COUNT_STATE + ASSIGNMENT_PENDING] == 0 || view.waiting_name != NULL || view.reason_count > 0;
    int most_s = run->is_on_workers ? WORKERS_IDLE_MOST_S : IDLE_MOST_S; /* those who have work ask for no more */
    run->seen_seq = entry != NULL ? entry->info.seq : 0;
    if (moves)
        run->idle_since_us = 0;
    else if (run->idle_since_us == 0)
        run->idle_since_us = sched_now_us();
    else if (sched_now_us() - run->idle_since_us > most_s * INT64_C(1000000))
        violate("run %d: nothing of it moves for %d s, and it does not say why", run->number, most_s);
}

void check_step(void)
{
    if (check.db == NULL || life_engine() == NULL)
        return;
    for (size_t i = 0; i < ARRAY_COUNT(rules) && !is_violated(); i++) {
        int64_t count = check_number(rules[i].sql, 0, 0);
        if (count > 0)
            violate("%s (%lld)", rules[i].what, (long long)count);
    }
    for (int i = 0; i < world.run_count; i++) {
        if (world.runs[i].id == 0)
            continue;
        look_at_run(&world.runs[i]);
        look_at_view(&world.runs[i]);
    }
    look_at_leases();
}

void check_call(const char *name)
{
    static const char sql[] = "SELECT count(*) FROM assignment a JOIN attempt t ON t.assignment = a.id WHERE a.run = ?1 AND a.key = printf('K%06d', ?2) AND t.call IS NOT NULL "
                              "AND t.class IS NOT 16"; /* released: given back before it was sent */
    static const char free_sql[] = "SELECT sum(max(0, g.capacity - coalesce(h.held, 0))) FROM run r JOIN ledger l ON l.id = r.ledger JOIN agent g ON g.pool = l.pool "
                                   "LEFT JOIN ledger_agent h ON h.agent = g.id AND h.ledger = l.id WHERE r.id = ?1";
    struct sim_key *key = NULL;
    const struct sim_run *run = run_of_key(name, &key);
    if (run == NULL)
        return;
    int64_t recorded = check_number(sql, run->id, run->number * KEY_RUN_FACTOR + (key - run->key));
    int64_t free_count = check_number(free_sql, run->id, 0);
    if (run->capacity >= 0 && !run->is_assigned && run->in_flight > free_count) /* a person may take a place that a call was sent for */
        violate("run %d: calls about %lld assignments are under way, and %lld places are free", run->number, (long long)run->in_flight, (long long)free_count);
    if (key->calls > recorded)
        violate("%s: %lld calls have left, and %lld are recorded", name, (long long)key->calls, (long long)recorded);
}

/* Of an assignment one call is under way, or two where stragglers are asked twice; of an endpoint as many as are configured, and as many in any minute that really passes,
 * whatever the wall clock is set to, and however many lives the minute sees. */
void check_limits(int number, const char *name)
{
    struct sim_endpoint *endpoint = &world.endpoints[number];
    struct sim_key *key = NULL;
    int64_t now_us = sched_now_us();
    if (run_of_key(name, &key) != NULL && key->in_flight > 1 + endpoint->hedges)
        violate("%s: %lld calls about it are under way", name, (long long)key->in_flight);
    if (endpoint->in_flight > endpoint->max_in_flight)
        violate("endpoint %d: %lld calls are under way, %lld are configured", number, (long long)endpoint->in_flight, (long long)endpoint->max_in_flight);
    if (endpoint->rpm == 0)
        return;
    int64_t *oldest_us = &endpoint->sent_us[endpoint->sent_count++ % endpoint->rpm];
    if (endpoint->sent_count > endpoint->rpm && now_us - *oldest_us < MINUTE_US)
        violate("endpoint %d: %lld calls in %lld ms, and %lld a minute are configured", number, (long long)endpoint->rpm + 1, (long long)(now_us - *oldest_us) / 1000, (long long)endpoint->rpm);
    *oldest_us = now_us;
}

void check_limits_forget(void)
{
    for (int i = 0; i < ENDPOINTS; i++)
        world.endpoints[i].sent_count = 0;
}
