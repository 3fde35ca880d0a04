/* See export.h. */
#include "tests/sim/export.h"
#include "tests/sim/judge.h"

#include "base/json_out.h"

#include <inttypes.h>

enum { REFUSAL_MS = 65 }; /* gallocsim has one figure where the simulation draws one */

static double or_else(double value, double otherwise)
{
    return value > 0 ? value : otherwise;
}

static void member_ratio(struct json_out *out, const char *name, double value)
{
    json_out_name(out, name);
    json_out_ratio(out, value);
}

/* "requests=300/60s,sliding,refused;…" */
static void add_quotas(struct json_out *out, const struct server_plan *server, double factor)
{
    static const char *const kinds[] = {[QUOTA_BUCKET] = "bucket", [QUOTA_FIXED] = "fixed", [QUOTA_SLIDING] = "sliding"};
    struct buf text = BUF_EMPTY;
    for (size_t i = 0; i < SERVER_QUOTAS_MAX && server->quotas[i].window_s > 0; i++) {
        const struct quota_plan *quota = &server->quotas[i];
        buf_add_fmt(&text, "%s%s=%.0f/%.0fs,%s", i > 0 ? ";" : "", quota->is_tokens ? "tokens" : "requests", quota->limit * factor, quota->nominal_s, kinds[quota->kind]);
        if (quota->kind == QUOTA_BUCKET)
            buf_add_fmt(&text, ",burst=%.0f", fmax(1, quota->burst * factor));
        buf_add_fmt(&text, "%s%s%s", quota->starts_at_first ? ",first" : "", quota->counts_refused ? ",refused" : "", quota->is_day ? ",day" : "");
    }
    json_out_member_str(out, "quotas", buf_text(&text));
    buf_clear(&text);
}

static void add_places(struct json_out *out, const struct server_plan *server)
{
    if (server->bears == BEARS_KNEE) {
        json_out_member_int(out, "knee", (int64_t)server->knee);
        member_ratio(out, "knee_exponent", server->exponent);
        json_out_member_int(out, "hard_limit", (int64_t)server->hard);
    } else if (server->bears == BEARS_FIFO) {
        json_out_member_int(out, "workers", (int64_t)server->knee);
        json_out_member_int(out, "queue", (int64_t)(server->hard - server->knee));
    }
}

static void add_settings(struct json_out *out, const struct scenario *scenario, double scale)
{
    static const char *const hints[] = {[HINT_NONE] = "none", [HINT_RETRY_AFTER] = "ra", [HINT_FULL] = "lie"}; /* as full; a day's quota lies */
    const struct server_plan *server = &scenario->server;
    json_out_name(out, "settings");
    json_out_begin(out, '{');
    member_ratio(out, "time_scale", scale);
    add_quotas(out, server, 1);
    json_out_member_str(out, "hints", hints[scenario->hints]);
    member_ratio(out, "latency_ms", or_else(server->median_s, 1.8) * 1000 * scale);
    member_ratio(out, "latency_sigma", or_else(server->sigma, 0.5));
    member_ratio(out, "refusal_ms", REFUSAL_MS * scale);
    member_ratio(out, "straggler_share", server->straggler_share);
    member_ratio(out, "straggler_factor", or_else(server->straggler_factor, 1));
    member_ratio(out, "error_500", server->fault_share);
    member_ratio(out, "poison_share", server->poisoned_share);
    add_places(out, server);
    json_out_end(out, '}');
}

static void begin_change(struct json_out *out, double at_s, double scale)
{
    json_out_begin(out, '{');
    member_ratio(out, "at_s", at_s * scale);
    json_out_name(out, "settings");
    json_out_begin(out, '{');
}

static void end_change(struct json_out *out)
{
    json_out_end(out, '}');
    json_out_end(out, '}');
}

static void add_changes(struct json_out *out, const struct server_plan *server, double scale)
{
    double factor = 1;
    json_out_name(out, "changes");
    json_out_begin(out, '[');
    for (size_t i = 0; i < SERVER_CHANGES_MAX && server->changes[i].factor > 0; i++) {
        begin_change(out, server->changes[i].at_s, scale);
        add_quotas(out, server, factor *= server->changes[i].factor);
        end_change(out);
    }
    for (int ends = 0; ends < 2 && server->outage_to_s > 0; ends++) {
        begin_change(out, ends ? server->outage_to_s : server->outage_from_s, scale);
        json_out_member_str(out, "outage", ends ? "off" : server->outage_hangs ? "hang" : "503");
        end_change(out);
    }
    for (int ends = 0; ends < 2 && server->brown_to_s > 0; ends++) {
        begin_change(out, ends ? server->brown_to_s : server->brown_from_s, scale);
        member_ratio(out, "error_500", ends ? server->fault_share : server->brown_share);
        end_change(out);
    }
    json_out_end(out, ']');
}

static double oracle_s(const struct scenario *scenario, uint64_t seed)
{
    const struct judge_how how = {.policy = &policy_oracle, .hints = -1};
    struct world *world = judge_world(scenario, &how, &policy_oracle, seed);
    double makespan_s = world_run(world) ? world_makespan_s(world) : INFINITY;
    world_free(world);
    return makespan_s;
}

void export_scenario(const struct scenario *scenario, double scale, uint64_t seed, struct buf *out)
{
    static const char *const checks[] = {[CHECK_NOTHING] = "", [CHECK_RISE] = "rise", [CHECK_RESUME] = "resume",
                                         [CHECK_HEDGE] = "hedge", [CHECK_SPEEDUP] = "speedup", [CHECK_FLOW] = "flow"};
    const struct bar *bar = &scenario->bar;
    struct json_out json = JSON_OUT(out);
    json_out_begin(&json, '{');
    json_out_member_str(&json, "name", scenario->name);
    json_out_member_str(&json, "text", scenario->text);
    json_out_member_int(&json, "items", scenario->items);
    member_ratio(&json, "oracle_s", oracle_s(scenario, seed));
    member_ratio(&json, "ratio", bar->ratio);
    json_out_member_int(&json, "refused", bar->refused);
    json_out_member_bool(&json, "charges_nothing", bar->charges_nothing);
    json_out_member_str(&json, "check", checks[bar->check]);
    member_ratio(&json, "phase_s", scenario->phase_s);
    member_ratio(&json, "kill_share", scenario->kill_share);
    json_out_member_bool(&json, "is_warm", scenario->is_warm);
    member_ratio(&json, "mean_tokens", or_else(scenario->server.mean_tokens, 1500));
    member_ratio(&json, "token_sigma", or_else(scenario->server.token_sigma, 0.8));
    add_settings(&json, scenario, scale);
    add_changes(&json, &scenario->server, scale);
    json_out_end(&json, '}');
}
