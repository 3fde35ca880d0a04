/* See compare_json.h. What a run came to (calls, tokens, cost, time, failures) is of the run as a whole, from its counters; all that is about decisions
 * is of the common keys, from core/compare. */
#include "api/compare_json.h"

#include "base/clock.h"
#include "base/text.h"
#include "core/compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MOVES_SHOWN 1000 /* of the matrix, the most frequent: 29 agents have 812 different ones at most */

struct comparison {
    struct engine *engine;              /* borrowed, as are the next */
    const struct store_run *runs;       /* SIDE_COUNT */
    const struct compare_figures *figures;
    const char *truth;                  /* the column; NULL: none */
    int64_t only_b_count;
};

static const char *const side_names[SIDE_COUNT] = {[SIDE_A] = "a", [SIDE_B] = "b"};

static int64_t assignments_of(const struct store_run *run)
{
    int64_t total = 0;
    for (int state = 0; state < ASSIGNMENT_STATE_COUNT; state++)
        total += run->counts[COUNT_STATE + state];
    return total;
}

static bool is_going(const struct store_run *run)
{
    return run->state != RUN_DONE && run->state != RUN_CANCELLED;
}

/* ---- a side ---- */

static void states_json(struct json_out *out, const char *name, const int64_t *states)
{
    json_out_name(out, name);
    json_out_begin(out, '{');
    for (int i = 0; i < ASSIGNMENT_STATE_COUNT; i++)
        json_out_member_int(out, assignment_state_name((enum assignment_state)i), states[i]);
    json_out_end(out, '}');
}

static void by_json(struct json_out *out, const int64_t *by)
{
    json_out_name(out, "decided_by");
    json_out_begin(out, '{');
    for (int i = 0; i < COMPARE_BY_COUNT; i++)
        json_out_member_int(out, compare_by_names[i], by[i]);
    json_out_end(out, '}');
}

static void mean_json(struct json_out *out, const char *name, struct compare_mean mean)
{
    json_out_name(out, name);
    json_out_begin(out, '{');
    json_out_member_int(out, "count", mean.count);
    json_out_member_number(out, "mean", mean.mean);
    json_out_end(out, '}');
}

static void failures_json(struct json_out *out, const int64_t *counts)
{
    json_out_name(out, "failures");
    json_out_begin(out, '{');
    for (int class = 0; class < OUTCOME_CLASS_COUNT; class++)
        if (counts[COUNT_FAILED + class] > 0)
            json_out_member_int(out, outcome_row((enum outcome_class)class)->name, counts[COUNT_FAILED + class]);
    json_out_end(out, '}');
}

static void tokens_json(struct json_out *out, const int64_t *tokens)
{
    static const char *const names[TOKEN_COUNT] = {
        [TOKEN_IN] = "in", [TOKEN_CACHED] = "cached", [TOKEN_OUT] = "out", [TOKEN_THOUGHT] = "thinking", [TOKEN_TOOL] = "tool"};
    json_out_name(out, "tokens");
    json_out_begin(out, '{');
    for (int i = 0; i < TOKEN_COUNT; i++)
        json_out_member_int(out, names[i], tokens[i]);
    json_out_end(out, '}');
}

static void cost_json(struct json_out *out, const struct comparison *comparison, const struct store_run *run)
{
    const struct endpoint *endpoint = registry_endpoint(engine_registry(comparison->engine), run->endpoint);
    int64_t unknown = run->counts[COUNT_COST_UNKNOWN], micros = run->counts[COUNT_COST_MICROS];
    json_out_name(out, "cost");
    json_out_begin(out, '{');
    member_text_or_null(out, "currency", endpoint != NULL ? endpoint->currency : NULL);
    member_int_or_null(out, "micros", unknown > 0 && micros == 0 ? -1 : micros);
    json_out_member_int(out, "unknown_calls", unknown);
    json_out_end(out, '}');
}

static void balance_json(struct json_out *out, const struct compare_balance *balance)
{
    json_out_name(out, "balance");
    json_out_begin(out, '{');
    json_out_member_int(out, "agents", balance->agent_count);
    json_out_member_int(out, "counted", balance->counted_count);
    json_out_member_int(out, "zero_capacity", balance->zero_capacity_count);
    json_out_member_int(out, "unlimited", balance->unlimited_count);
    json_out_member_int(out, "full", balance->full_count);
    json_out_member_bool(out, "is_shared", balance->is_shared);
    json_out_member_int(out, "load", balance->load_total);
    json_out_member_number(out, "mean", balance->load_mean);
    json_out_member_int(out, "highest", balance->load_highest);
    json_out_member_str(out, "highest_agent", balance->highest_agent);
    json_out_member_number(out, "highest_to_mean", balance->highest_to_mean);
    json_out_member_number(out, "gini", balance->load_gini);
    json_out_member_number(out, "use_gini", balance->use_gini);
    member_int_or_null(out, "capacity_left", balance->capacity_left);
    json_out_end(out, '}');
}

/* How long the run has taken: from its start to its end, or to now. */
static void time_json(struct json_out *out, const struct store_run *run)
{
    int64_t end_ms = run->finished_at_ms ? run->finished_at_ms : clock_wall_ms();
    json_out_member_number(out, "seconds", run->started_at_ms ? (double)max_i64(end_ms - run->started_at_ms, 0) / 1000 : NAN);
}

static void side_json(struct json_out *out, const struct comparison *comparison, enum compare_side side)
{
    const struct store_run *run = &comparison->runs[side];
    const struct compare_side_figures *figures = &comparison->figures->sides[side];
    json_out_name(out, side_names[side]);
    json_out_begin(out, '{');
    json_out_member_str(out, "id", run->run_id);
    json_out_member_str(out, "name", run->name);
    json_out_member_str(out, "state", run_state_name(run->state));
    json_out_member_str(out, "profile", run->profile);
    json_out_member_str(out, "endpoint", run->endpoint);
    json_out_member_str(out, "pool", run->pool_name);
    states_json(out, "counts", &run->counts[COUNT_STATE]);
    states_json(out, "common", figures->states);
    by_json(out, figures->by);
    mean_json(out, "confidence", figures->confidence);
    mean_json(out, "confidence_same", figures->confidence_same);
    mean_json(out, "confidence_different", figures->confidence_different);
    mean_json(out, "latency_ms", figures->latency_ms);
    json_out_member_int(out, "invalid_answers", run->counts[COUNT_CLASS + OUTCOME_INVALID_ANSWER]);
    json_out_member_int(out, "agent_full", run->counts[COUNT_CLASS + OUTCOME_AGENT_FULL]);
    failures_json(out, run->counts);
    time_json(out, run);
    json_out_member_int(out, "calls", run->counts[COUNT_CALLS]);
    tokens_json(out, &run->counts[COUNT_TOKEN]);
    cost_json(out, comparison, run);
    balance_json(out, &figures->balance);
    json_out_end(out, '}');
}

/* ---- both ---- */

static void keys_json(struct json_out *out, const struct comparison *comparison)
{
    const struct compare_figures *figures = comparison->figures;
    json_out_name(out, "keys");
    json_out_begin(out, '{');
    json_out_member_int(out, "common", figures->common_count);
    json_out_member_int(out, "only_a", figures->only_a_count);
    json_out_member_int(out, "only_b", comparison->only_b_count);
    json_out_member_int(out, "allocated_both", figures->both_count);
    json_out_member_int(out, "allocated_a", figures->only_allocated[SIDE_A]);
    json_out_member_int(out, "allocated_b", figures->only_allocated[SIDE_B]);
    json_out_member_int(out, "allocated_neither", figures->neither_count);
    json_out_end(out, '}');
    json_out_name(out, "agents");
    json_out_begin(out, '{');
    json_out_member_int(out, "common", figures->common_agents);
    json_out_member_int(out, "only_a", figures->only_agents[SIDE_A]);
    json_out_member_int(out, "only_b", figures->only_agents[SIDE_B]);
    json_out_end(out, '}');
}

/* A share of `count` with its interval; null where there is nothing to have a share of. */
static void share_json(struct json_out *out, int64_t count, double share, const struct stat_interval *interval)
{
    json_out_member_number(out, "share", count > 0 ? share : NAN);
    json_out_member_number(out, "low", count > 0 ? interval->low : NAN);
    json_out_member_number(out, "high", count > 0 ? interval->high : NAN);
}

static void agreement_json(struct json_out *out, const struct compare_figures *figures)
{
    json_out_name(out, "agreement");
    json_out_begin(out, '{');
    json_out_member_int(out, "same", figures->same_count);
    json_out_member_int(out, "of", figures->both_count);
    share_json(out, figures->both_count, figures->agreement, &figures->interval);
    json_out_member_number(out, "kappa", figures->kappa);
    json_out_end(out, '}');
    json_out_name(out, "moves");
    json_out_begin(out, '{');
    json_out_member_int(out, "keys", figures->both_count - figures->same_count);
    json_out_member_int(out, "different", (int64_t)figures->move_count);
    json_out_name(out, "items");
    json_out_begin(out, '[');
    for (size_t i = 0; i < figures->move_count && i < MOVES_SHOWN; i++) {
        json_out_begin(out, '{');
        json_out_member_str(out, "from", figures->moves[i].from);
        json_out_member_str(out, "to", figures->moves[i].to);
        json_out_member_int(out, "count", figures->moves[i].count);
        json_out_end(out, '}');
    }
    json_out_end(out, ']');
    json_out_end(out, '}');
}

/* Did the model see the column of the right agent? Then its accuracy says little. */
static bool truth_was_sent(const struct comparison *comparison, enum compare_side side)
{
    const char *text = comparison->runs[side].plan;
    struct plan plan = {0};
    if (text == NULL || plan_parse(text, strlen(text), &plan, NULL) < 0)
        return false;
    bool is_sent = plan_sends(&plan, engine_configuration(comparison->engine)->keep_back, comparison->truth);
    plan_clear(&plan);
    return is_sent;
}

static void test_json(struct json_out *out, const struct stat_mcnemar *test)
{
    static const char *const methods[] = {[STAT_NO_TEST] = NULL, [STAT_EXACT] = "exact_binomial", [STAT_CHI_SQUARE] = "chi_square_corrected"};
    json_out_name(out, "mcnemar");
    json_out_begin(out, '{');
    json_out_member_str(out, "method", methods[test->method]);
    json_out_member_number(out, "chi_square", test->chi_square);
    json_out_member_number(out, "p", test->p);
    json_out_end(out, '}');
}

static void truth_json(struct json_out *out, const struct comparison *comparison)
{
    const struct compare_truths *truths = &comparison->figures->truths;
    json_out_name(out, "truth");
    if (comparison->truth == NULL) {
        json_out_null(out);
        return;
    }
    json_out_begin(out, '{');
    json_out_member_str(out, "column", comparison->truth);
    json_out_member_int(out, "told", truths->told_count);
    json_out_member_int(out, "unknown", truths->unknown_count);
    member_text_or_null(out, "unknown_example", truths->unknown_example);
    json_out_member_int(out, "judged", truths->judged_count);
    json_out_member_int(out, "right_both", truths->right_both);
    json_out_member_int(out, "right_only_a", truths->right_only[SIDE_A]);
    json_out_member_int(out, "right_only_b", truths->right_only[SIDE_B]);
    json_out_member_int(out, "wrong_both", truths->wrong_both);
    for (int side = 0; side < SIDE_COUNT; side++) {
        json_out_name(out, side_names[side]);
        json_out_begin(out, '{');
        json_out_member_int(out, "right", truths->right[side]);
        share_json(out, truths->judged_count, (double)truths->right[side] / (double)max_i64(truths->judged_count, 1), &truths->interval[side]);
        json_out_member_bool(out, "was_sent", truth_was_sent(comparison, (enum compare_side)side));
        json_out_end(out, '}');
    }
    test_json(out, &truths->test);
    json_out_end(out, '}');
}

/* What the figures leave open, in words, each with its code. */
static void note(struct json_out *out, bool holds, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);
static void note(struct json_out *out, bool holds, const char *code, const char *fmt, ...)
{
    char text[512];
    va_list args;
    if (!holds)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    json_out_begin(out, '{');
    json_out_member_str(out, "code", code);
    json_out_member_str(out, "text", text);
    json_out_end(out, '}');
}

static void notes_json(struct json_out *out, const struct comparison *comparison)
{
    const struct compare_figures *figures = comparison->figures;
    const struct store_run *runs = comparison->runs;
    const struct compare_truths *truths = &figures->truths;
    bool has_truth = comparison->truth != NULL;
    json_out_name(out, "notes");
    json_out_begin(out, '[');
    for (int side = 0; side < SIDE_COUNT; side++) {
        const struct compare_balance *balance = &figures->sides[side].balance;
        note(out, is_going(&runs[side]), "going", "run %s is not done: its figures change until it is", runs[side].run_id);
        note(out, balance->is_shared, "shared_pool", "run %s shares the places of pool %.128s with other runs: its loads are those of the common keys alone",
             runs[side].run_id, runs[side].pool_name ? runs[side].pool_name : "");
        note(out, has_truth && truth_was_sent(comparison, (enum compare_side)side), "truth_sent",
             "the column %.100s was sent to the model of run %s: it could read the right agent (enqueue with --keep-back %.100s)",
             comparison->truth ? comparison->truth : "", runs[side].run_id, comparison->truth ? comparison->truth : "");
    }
    note(out, figures->only_a_count > 0 || comparison->only_b_count > 0, "lone_keys",
         "%s in %s alone and %s in %s alone are left out; calls, tokens, cost, time and failures are of the whole runs",
         text_counted(figures->only_a_count, "key").text, runs[SIDE_A].run_id, text_counted(comparison->only_b_count, "key").text, runs[SIDE_B].run_id);
    note(out, figures->only_agents[SIDE_A] > 0 || figures->only_agents[SIDE_B] > 0, "pools_differ",
         "the pools differ: %s in %s alone, %s in %s alone", text_counted(figures->only_agents[SIDE_A], "agent").text, runs[SIDE_A].run_id,
         text_counted(figures->only_agents[SIDE_B], "agent").text, runs[SIDE_B].run_id);
    note(out, truths->unknown_count > 0, "truth_unknown", "%s in the column %.100s with a name that no agent has, e.g. \"%s\": either side counts as wrong there",
         text_counted(truths->unknown_count, "key").text, comparison->truth ? comparison->truth : "", truths->unknown_example);
    json_out_end(out, ']');
}

static int check(const struct comparison *comparison, struct galloc_error *error)
{
    const struct compare_figures *figures = comparison->figures;
    const char *a = comparison->runs[SIDE_A].run_id, *b = comparison->runs[SIDE_B].run_id;
    bool has_pool[SIDE_COUNT] = {comparison->runs[SIDE_A].ledger != 0, comparison->runs[SIDE_B].ledger != 0};
    if (has_pool[SIDE_A] != has_pool[SIDE_B])
        return galloc_fail(error, GALLOC_INVALID_INPUT, "run %s allocates to agents and run %s does not: they cannot be compared", has_pool[SIDE_A] ? a : b,
                           has_pool[SIDE_A] ? b : a);
    if (!has_pool[SIDE_A]) /* here a comparison of answers, field by field, would begin */
        return galloc_fail(error, GALLOC_INVALID_INPUT, "runs %s and %s allocate to nobody: answers cannot be compared yet (gallocctl results has them)", a, b);
    if (figures->common_count == 0)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "runs %s and %s have no key in common (%" PRId64 " and %" PRId64 " keys): compare runs of the same input", a, b,
                           figures->only_a_count, comparison->only_b_count);
    if (figures->common_agents == 0)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the pools of runs %s and %s have no agent in common: compare runs that allocate to the same agents", a, b);
    return 0;
}

int compare_json(struct json_out *out, struct engine *engine, struct store_read *read, struct galloc_error *error)
{
    struct comparison comparison = {.engine = engine, .runs = read->ret_runs, .figures = compare_finish(read->ret_compare), .truth = read->truth};
    comparison.only_b_count = max_i64(assignments_of(&read->ret_runs[SIDE_B]) - comparison.figures->common_count, 0);
    int rc = check(&comparison, error);
    if (rc < 0)
        return rc;
    json_out_begin(out, '{');
    keys_json(out, &comparison);
    agreement_json(out, comparison.figures);
    truth_json(out, &comparison);
    for (int side = 0; side < SIDE_COUNT; side++)
        side_json(out, &comparison, (enum compare_side)side);
    json_out_member_bool(out, "is_going", is_going(&read->ret_runs[SIDE_A]) || is_going(&read->ret_runs[SIDE_B]));
    notes_json(out, &comparison);
    json_out_end(out, '}');
    return 0;
}
