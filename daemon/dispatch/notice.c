/* Events: what happened, as JSON lines for whoever follows. Every change has one, so that a reader who comes back misses nothing. */
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "base/json_out.h"

#include <string.h>

static struct json_out begin(struct buf *buf, int64_t seq, const char *type, const char *run_id)
{
    struct json_out out = JSON_OUT(buf);
    json_out_begin(&out, '{');
    json_out_member_int(&out, "seq", seq);
    json_out_member_time(&out, "at", clock_wall_ms());
    json_out_member_str(&out, "type", type);
    if (run_id != NULL)
        json_out_member_str(&out, "run", run_id);
    return out;
}

/* A run's event is told after those of the operations that the same commit ended: numbers never fall. */
void notice_run(struct engine *engine, const struct run_entry *run, const char *type, int64_t seq)
{
    struct run_notice *notice = xmalloc(sizeof *notice);
    *notice = (struct run_notice){.run = run, .type = type, .seq = seq};
    *engine->notices_end = notice;
    engine->notices_end = &notice->next;
    engine_turn(engine);
}

static void add_run_event(struct engine *engine, const struct run_entry *run, const char *type, int64_t seq)
{
    struct buf buf = BUF_EMPTY;
    struct json_out out = begin(&buf, seq, type, run->info.run_id);
    json_out_end(&out, '}');
    events_add(engine->events, EVENT_RUN, type, run->info.id, run->info.run_id, seq, buf_take(&buf));
}

void notices_flush(struct engine *engine)
{
    for (struct run_notice *notice = engine->notices, *next; notice != NULL; notice = next) {
        next = notice->next;
        add_run_event(engine, notice->run, notice->type, notice->seq);
        free(notice);
    }
    engine->notices = NULL;
    engine->notices_end = &engine->notices;
}

void notice_attempt(struct engine *engine, const struct attempt *attempt, const struct settle_item *item, int64_t retry_in_ms)
{
    struct buf buf = BUF_EMPTY;
    const struct run_entry *run = attempt->run;
    int64_t seq = item->ret_seq - 1;
    struct json_out out = begin(&buf, seq, "attempt", run->info.run_id);
    json_out_member_str(&out, "key", attempt->key);
    json_out_member_int(&out, "n", item->n);
    json_out_member_str(&out, "class", outcome_row(item->class)->name);
    json_out_name(&out, "http_status");
    if (item->http_status > 0)
        json_out_int(&out, item->http_status);
    else
        json_out_null(&out);
    json_out_name(&out, "retry");
    if (item->class == OUTCOME_TRANSIENT)
        json_out_int(&out, item->retries_spent + 1);
    else
        json_out_null(&out);
    json_out_member_int(&out, "max_retries", run->profile.max_retries);
    json_out_name(&out, "retry_in_ms");
    if (retry_in_ms >= 0)
        json_out_int(&out, retry_in_ms);
    else
        json_out_null(&out);
    json_out_member_str(&out, "message", item->message);
    json_out_member_str(&out, "endpoint", attempt->endpoint->config->name);
    json_out_end(&out, '}');
    events_add(engine->events, EVENT_ATTEMPT, "attempt", run->info.id, run->info.run_id, seq, buf_take(&buf));
}

void notice_assignment(struct engine *engine, const struct attempt *attempt, const struct settle_item *item, const char *state)
{
    struct buf buf = BUF_EMPTY;
    const struct run_entry *run = attempt->run;
    struct agent_entry *agent = item->move == MOVE_SUCCEED && run->pool != NULL ? pool_agent(run->pool, item->agent) : NULL;
    struct json_out out = begin(&buf, item->ret_seq, "assignment", run->info.run_id);
    json_out_member_str(&out, "key", attempt->key);
    json_out_member_str(&out, "state", state);
    json_out_member_str(&out, "code", item->move == MOVE_FAIL ? outcome_row(item->class)->name : NULL);
    json_out_member_str(&out, "agent_id", agent != NULL ? agent->info.agent_id : NULL);
    json_out_end(&out, '}');
    events_add(engine->events, EVENT_ASSIGNMENT, "assignment", run->info.id, run->info.run_id, item->ret_seq, buf_take(&buf));
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
}
