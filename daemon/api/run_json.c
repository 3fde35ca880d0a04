/* The run object, as everybody shows it (schema/openapi.yaml: Run). From memory alone. */
#include "api/handler.h"

#include "core/first.h"
#include "base/clock.h"

#include <string.h>

void member_int_or_null(struct json_out *out, const char *name, int64_t value)
{
    if (value < 0)
        json_out_member_null(out, name);
    else
        json_out_member_int(out, name, value);
}

void member_text_or_null(struct json_out *out, const char *name, const char *text)
{
    json_out_member_str(out, name, text != NULL && text[0] != '\0' ? text : NULL);
}

static void member_ratio(struct json_out *out, const char *name, double value)
{
    json_out_name(out, name);
    json_out_ratio(out, value);
}

static void counts_json(struct json_out *out, const int64_t *counts)
{
    int64_t total = 0;
    for (int i = 0; i < ASSIGNMENT_STATE_COUNT; i++)
        total += counts[COUNT_STATE + i];
    json_out_name(out, "counts");
    json_out_begin(out, '{');
    json_out_member_int(out, "total", total);
    for (int i = 0; i < ASSIGNMENT_STATE_COUNT; i++)
        json_out_member_int(out, assignment_state_name((enum assignment_state)i), counts[COUNT_STATE + i]);
    json_out_end(out, '}');
}

static void retries_json(struct json_out *out, const int64_t *counts)
{
    static const enum outcome_class classes[] = {OUTCOME_TRANSIENT,  OUTCOME_THROTTLED,   OUTCOME_INVALID_ANSWER, OUTCOME_LOST,
                                                 OUTCOME_AGENT_FULL, OUTCOME_UNAVAILABLE, OUTCOME_UNFINISHED};
    json_out_name(out, "retries");
    json_out_begin(out, '{');
    json_out_member_int(out, "spent", counts[COUNT_RETRIES]);
    for (size_t i = 0; i < ARRAY_COUNT(classes); i++)
        json_out_member_int(out, outcome_row(classes[i])->name, counts[COUNT_CLASS + (int)classes[i]]);
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

/* Of the plan's stored JSON: its max_cost; -1: none. */
static int64_t max_micros(const char *plan)
{
    struct json_span options = {NULL, 0}, name, value;
    struct amount amount = {.is_set = false};
    struct json_span whole = {plan, plan != NULL ? strlen(plan) : 0};
    for (const char *at = NULL; plan != NULL && json_next(whole, &at, &name, &value);)
        if (json_span_equals(name, "options"))
            options = value;
    for (const char *at = NULL; options.at != NULL && json_next(options, &at, &name, &value);) {
        char text[80] = "";
        if (json_span_equals(name, "max_cost") && value.len > 2 && value.len < sizeof text)
            memcpy(text, value.at + 1, value.len - 2); /* without its quotes; there is nothing to unescape in an amount */
        if (text[0] != '\0' && amount_parse(text, &amount, NULL) < 0)
            return -1;
    }
    return amount.is_set ? amount.micros : -1;
}

static void cost_json(struct json_out *out, const struct store_run *info, const struct run_view *view)
{
    json_out_name(out, "cost");
    json_out_begin(out, '{');
    member_text_or_null(out, "currency", view->currency);
    member_int_or_null(out, "micros", view->cost_micros);
    json_out_member_int(out, "unknown_calls", view->cost_unknown_calls);
    json_out_member_int(out, "reserved_micros", info->counts[COUNT_COST_RESERVED]);
    member_int_or_null(out, "max_micros", max_micros(info->plan));
    json_out_name(out, "projected_micros");
    if (view->projected_low_micros >= 0 && view->projected_high_micros >= 0) {
        json_out_begin(out, '{');
        json_out_member_int(out, "low", view->projected_low_micros);
        json_out_member_int(out, "high", view->projected_high_micros);
        json_out_end(out, '}');
    } else {
        json_out_null(out);
    }
    json_out_end(out, '}');
}

static void eta_json(struct json_out *out, const struct eta_answer *eta)
{
    json_out_name(out, "eta");
    if (!eta->is_known) {
        json_out_null(out);
        return;
    }
    json_out_begin(out, '{');
    json_out_member_int(out, "seconds", eta->seconds);
    json_out_member_int(out, "low", eta->low_seconds);
    json_out_member_int(out, "high", eta->high_seconds);
    json_out_member_str(out, "limited_by", eta->limited_by);
    json_out_member_time(out, "finish_at", clock_wall_ms() + eta->seconds * 1000);
    json_out_end(out, '}');
}

static void why_json(struct json_out *out, const struct run_view *view)
{
    json_out_member_str(out, "reason", view->reason_count > 0 ? view->reasons[0] : NULL);
    json_out_name(out, "reasons");
    json_out_begin(out, '[');
    for (size_t i = 0; i < view->reason_count; i++)
        json_out_str(out, view->reasons[i]);
    json_out_end(out, ']');
    member_text_or_null(out, "text", view->reason_text);
    json_out_name(out, "waiting");
    if (view->waiting_name == NULL) {
        json_out_null(out);
        return;
    }
    json_out_begin(out, '{');
    json_out_member_str(out, "code", view->waiting_name);
    json_out_member_time(out, "until", view->waiting_until_at_ms);
    json_out_member_str(out, "text", view->waiting_text);
    json_out_end(out, '}');
}

/* What the plan's stored JSON says: its options as they were given, whether it has a template of its own, and its schema. */
static void plan_json(struct json_out *out, const char *plan)
{
    if (plan == NULL)
        return;
    struct json_span whole = {plan, strlen(plan)}, name, value, options = {NULL, 0}, schema = {NULL, 0};
    bool is_default = true;
    for (const char *at = NULL; json_next(whole, &at, &name, &value);) {
        if (json_span_equals(name, "options"))
            options = value;
        else if (json_span_equals(name, "template") && json_span_kind(value) == JSON_STRING)
            is_default = false;
        else if (json_span_equals(name, "schema"))
            schema = value;
    }
    json_out_name(out, "options");
    json_out_raw(out, options.at ? options.at : "{}", options.at ? options.len : 2);
    json_out_member_bool(out, "template_is_default", is_default);
    if (schema.at != NULL) {
        json_out_name(out, "schema");
        json_out_raw(out, schema.at, schema.len);
    }
}

static void source_json(struct json_out *out, const struct store_run *info)
{
    json_out_name(out, "source");
    if (info->source_name == NULL && info->source_sha256 == NULL) {
        json_out_null(out);
        return;
    }
    json_out_begin(out, '{');
    json_out_member_str(out, "name", info->source_name);
    json_out_member_str(out, "sha256", info->source_sha256);
    json_out_end(out, '}');
}

/* The endpoints that it names in order, and why it is not on those before the present one; null with one endpoint. */
static void rungs_json(struct json_out *out, const struct run_rungs *rungs)
{
    struct rung_reason reason;
    json_out_name(out, "endpoints");
    if (rungs == NULL) {
        json_out_null(out);
        return;
    }
    json_out_begin(out, '[');
    for (size_t i = 0; i < rungs->count; i++) {
        bool is_ill = rungs_reason(rungs, i, &reason);
        json_out_begin(out, '{');
        json_out_member_str(out, "name", rungs->names[i]);
        json_out_member_time(out, "since", i == rungs->at ? rungs->since_at_ms : 0);
        json_out_member_str(out, "reason", is_ill ? reason.code : NULL);
        json_out_member_str(out, "text", is_ill ? reason.text : NULL);
        json_out_member_time(out, "until", is_ill ? reason.until_at_ms : 0);
        json_out_end(out, '}');
    }
    json_out_end(out, ']');
}

void run_json(struct json_out *out, const struct run_entry *run)
{
    const struct store_run *info = &run->info;
    struct run_view view = {0};
    run_view(run, &view);
    json_out_begin(out, '{');
    json_out_member_str(out, "id", info->run_id);
    json_out_member_str(out, "name", info->name);
    json_out_member_str(out, "state", view.state);
    json_out_member_bool(out, "open", info->is_open);
    why_json(out, &view);
    json_out_member_str(out, "profile", info->profile);
    json_out_member_str(out, "endpoint", run->rungs != NULL ? run->rungs->names[run->rungs->at] : info->endpoint);
    rungs_json(out, run->rungs);
    json_out_member_str(out, "pool", info->pool_name);
    json_out_member_bool(out, "question", info->pool == 0);
    json_out_member_int(out, "priority", info->priority);
    bool is_open = info->state == RUN_IMPORTING || info->state == RUN_RUNNING;
    int64_t places = is_open && run->pool != NULL ? pool_places_now(run->pool) : INT64_MAX;
    member_int_or_null(out, "places_free", places == INT64_MAX ? -1 : places);
    json_out_name(out, "canary");
    if (view.is_canary) {
        json_out_begin(out, '{');
        json_out_member_int(out, "done", view.canary_done);
        json_out_member_int(out, "of", FIRST_COUNT);
        json_out_end(out, '}');
    } else {
        json_out_null(out);
    }
    if (view.pack_size > 0)
        json_out_member_int(out, "pack_size", view.pack_size);
    else
        json_out_member_null(out, "pack_size");
    counts_json(out, info->counts);
    member_ratio(out, "progress", view.progress);
    if (info->state == RUN_RUNNING)
        member_ratio(out, "rate_per_min", view.rate_per_min);
    else
        json_out_member_null(out, "rate_per_min");
    eta_json(out, &view.eta);
    retries_json(out, info->counts);
    tokens_json(out, &info->counts[COUNT_TOKEN]);
    cost_json(out, info, &view);
    source_json(out, info);
    plan_json(out, info->plan);
    json_out_member_time(out, "created_at", info->created_at_ms);
    json_out_member_time(out, "started_at", info->started_at_ms);
    json_out_member_time(out, "finished_at", info->finished_at_ms);
    json_out_member_int(out, "seq", info->seq);
    json_out_end(out, '}');
}
