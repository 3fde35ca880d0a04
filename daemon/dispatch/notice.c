/* Events: what happened, as JSON lines for whoever follows. Every change has one, so that a reader who comes back misses nothing. */
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "base/json_out.h"
#include "core/result_body.h"

#include <inttypes.h>
#include <string.h>

#define EVENT_BYTES 400 /* most events are shorter: one allocation */

static struct json_out begin(struct buf *buf, int64_t seq, const char *type, const char *run_id)
{
    struct json_out out = JSON_OUT(buf);
    buf_reserve(buf, EVENT_BYTES);
    json_out_begin(&out, '{');
    json_out_member_int(&out, "seq", seq);
    json_out_member_time(&out, "at", clock_wall_ms());
    json_out_member_str(&out, "type", type);
    if (run_id != NULL)
        json_out_member_str(&out, "run", run_id);
    return out;
}

void notice_run(struct engine *engine, const struct run_entry *run, const char *type, int64_t seq)
{
    struct buf buf = BUF_EMPTY;
    struct json_out out = begin(&buf, seq, type, run->info.run_id);
    json_out_end(&out, '}');
    events_add(engine->events, EVENT_RUN, type, run->info.id, run->info.run_id, seq, buf_take(&buf));
    engine_turn(engine);
}

void notice_run_endpoint(struct engine *engine, const struct run_entry *run, const char *from, const struct rung_reason *reason)
{
    static const char type[] = "run_endpoint";
    struct buf buf = BUF_EMPTY;
    int64_t seq = events_last_seq(engine->events);
    struct json_out out = begin(&buf, seq, type, run->info.run_id);
    json_out_member_str(&out, "endpoint", run->rungs->names[run->rungs->at]);
    json_out_member_str(&out, "from", from);
    json_out_member_str(&out, "reason", reason->code[0] != '\0' ? reason->code : NULL);
    json_out_member_str(&out, "text", reason->text);
    json_out_end(&out, '}');
    events_add(engine->events, EVENT_RUN, type, run->info.id, run->info.run_id, seq, buf_take(&buf));
    engine_turn(engine);
}

static void member_or_null(struct json_out *out, const char *name, int64_t value, bool is_known)
{
    if (is_known)
        json_out_member_int(out, name, value);
    else
        json_out_member_null(out, name);
}

void notice_attempt(struct engine *engine, const struct attempt_notice *notice)
{
    struct buf buf = BUF_EMPTY;
    const struct run_entry *run = notice->run;
    struct json_out out = begin(&buf, notice->seq, "attempt", run->info.run_id);
    json_out_member_str(&out, "key", notice->key);
    json_out_member_int(&out, "n", notice->n);
    json_out_member_str(&out, "class", outcome_row(notice->class)->name);
    member_or_null(&out, "http_status", notice->http_status, notice->http_status > 0);
    member_or_null(&out, "retry", notice->retry, notice->retry >= 0);
    json_out_member_int(&out, "max_retries", run->profile.max_retries);
    member_or_null(&out, "retry_in_ms", notice->retry_in_ms, notice->retry_in_ms >= 0);
    json_out_member_str(&out, "message", notice->message);
    json_out_member_str(&out, "endpoint", notice->endpoint);
    if (notice->worker != NULL)
        json_out_member_str(&out, "worker", notice->worker);
    json_out_end(&out, '}');
    events_add(engine->events, EVENT_ATTEMPT, "attempt", run->info.id, run->info.run_id, notice->seq, buf_take(&buf));
}

void notice_assignment(struct engine *engine, const struct assignment_notice *notice)
{
    struct buf buf = BUF_EMPTY;
    const struct run_entry *run = notice->run;
    struct agent_entry *agent = notice->state == ASSIGNMENT_SUCCEEDED && run->pool != NULL ? pool_agent(run->pool, notice->agent) : NULL;
    struct json_out out = begin(&buf, notice->seq, "assignment", run->info.run_id);
    json_out_member_str(&out, "key", notice->key);
    json_out_member_str(&out, "state", assignment_state_name(notice->state));
    json_out_member_str(&out, "code", notice->state == ASSIGNMENT_FAILED ? outcome_row(notice->class)->name : NULL);
    json_out_member_str(&out, "agent_id", agent != NULL ? agent->info.agent_id : notice->agent_id);
    if (notice->is_by_person)
        json_out_member_str(&out, "decided_by", DECIDED_BY_PERSON);
    json_out_end(&out, '}');
    events_add(engine->events, EVENT_ASSIGNMENT, "assignment", run->info.id, run->info.run_id, notice->seq, buf_take(&buf));
}

void notice_lease_expired(struct engine *engine, const struct lease_notice *notice)
{
    static const char type[] = "lease_expired";
    char number[24];
    struct buf buf = BUF_EMPTY;
    const struct run_entry *run = notice->run;
    struct json_out out = begin(&buf, notice->seq, type, run->info.run_id);
    snprintf(number, sizeof number, "%" PRId64, notice->lease);
    json_out_member_str(&out, "lease", number);
    json_out_member_str(&out, "worker", notice->worker);
    json_out_member_int(&out, "rows", notice->row_count);
    json_out_member_int(&out, "poisoned", notice->poisoned_count);
    json_out_end(&out, '}');
    events_add(engine->events, EVENT_RUN, type, run->info.id, run->info.run_id, notice->seq, buf_take(&buf));
}

void notice_endpoint(struct engine *engine, const struct endpoint *endpoint, const char *text)
{
    struct buf buf = BUF_EMPTY;
    bool is_down = endpoint_is_down(endpoint);
    int64_t seq = events_last_seq(engine->events);
    struct json_out out = begin(&buf, seq, "endpoint", NULL);
    json_out_member_str(&out, "endpoint", endpoint->config->name);
    json_out_member_str(&out, "state", is_down ? "down" : "up");
    json_out_member_str(&out, "reason", endpoint->state.down_class >= 0 ? outcome_row((enum outcome_class)endpoint->state.down_class)->name : NULL);
    json_out_member_str(&out, "text", text);
    json_out_end(&out, '}');
    events_add(engine->events, EVENT_ENDPOINT, "endpoint", 0, NULL, seq, buf_take(&buf));
    engine_turn(engine);
}
