/* Words for a run (follow.h): one line for a bar or a log. */
#include "cli/follow.h"
#include "cli/out.h"
#include "cli/progress.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

void show_eta(struct buf *out, struct json_object *run)
{
    struct json_object *eta = json_get(run, "eta");
    if (json_get_bool(run, "open", false)) {
        buf_add_fmt(out, "open, more may come (to end it: gallocctl close %s)", json_get_str(run, "id", "RUN"));
        return;
    }
    struct json_object *canary = json_get(run, "canary");
    if (json_is_object(canary)) {
        buf_add_fmt(out, "not known yet; canary: %" PRId64 " of %" PRId64, json_get_i64(canary, "done", 0), json_get_i64(canary, "of", 0));
        return;
    }
    if (!json_is_object(eta)) {
        buf_add_str(out, "not known yet");
        return;
    }
    int64_t low = json_get_i64(eta, "low", -1), high = json_get_i64(eta, "high", -1), seconds = json_get_i64(eta, "seconds", 0);
    if (low >= 0 && high >= 0 && high > low) {
        show_seconds(out, low);
        buf_add_str(out, " to ");
        show_seconds(out, high);
    } else {
        show_seconds(out, seconds);
    }
}

void show_limit(struct buf *out, struct json_object *run)
{
    const char *limit = json_get_str(json_get(run, "eta"), "limited_by", NULL);
    if (limit != NULL)
        buf_add_fmt(out, " (limited by %s)", limit);
}

/* "until 09:12:30: TEXT": the time is the daemon's, shown in ours. */
void show_waiting(struct buf *out, struct json_object *waiting)
{
    const char *until = json_get_str(waiting, "until", NULL);
    if (until != NULL) {
        buf_add_str(out, "until ");
        show_time(out, until);
        buf_add_str(out, ": ");
    }
    buf_add_str(out, json_get_str(waiting, "text", json_get_str(waiting, "code", "?")));
}

/* What stands in the way: a pause with its reason, or what a running run waits for. */
bool show_hindrance(struct buf *out, struct json_object *run)
{
    const char *state = json_get_str(run, "state", "");
    struct json_object *waiting = json_get(run, "waiting");
    if (strcmp(state, "paused") == 0) {
        const char *text = json_get_str(run, "text", NULL);
        buf_add_fmt(out, "paused: %s%s%s", json_get_str(run, "reason", "?"), text ? "; " : "", text ? text : "");
        return true;
    }
    if (!json_is_object(waiting))
        return false;
    buf_add_str(out, json_get_str(waiting, "until", NULL) != NULL ? "waits " : "waits: ");
    show_waiting(out, waiting);
    return true;
}

void show_run_line(struct buf *out, struct json_object *run, int bar_width)
{
    struct json_object *counts = json_get(run, "counts");
    double progress = json_get_double(run, "progress", 0);
    int64_t failed = json_get_i64(counts, "failed", 0), total = json_get_i64(counts, "total", 0);
    int64_t ended = json_get_i64(counts, "succeeded", 0) + failed + json_get_i64(counts, "cancelled", 0);
    buf_add_fmt(out, "%s ", json_get_str(run, "name", json_get_str(run, "id", "?")));
    if (bar_width > 0) {
        progress_bar(out, progress, bar_width);
        buf_add_char(out, ' ');
    }
    show_percent(out, progress);
    buf_add_str(out, "  ");
    show_count(out, ended);
    buf_add_char(out, '/');
    show_count(out, total);
    buf_add_str(out, "  ");
    show_count(out, failed);
    buf_add_str(out, " failed");
    buf_add_str(out, "  ");
    if (strcmp(json_get_str(run, "state", ""), "importing") == 0) {
        buf_add_str(out, "importing");
        return;
    }
    if (show_hindrance(out, run))
        return;
    if (strcmp(json_get_str(run, "state", ""), "done") == 0 || strcmp(json_get_str(run, "state", ""), "cancelled") == 0) {
        buf_add_str(out, json_get_str(run, "state", ""));
        return;
    }
    buf_add_str(out, "ETA "); /* what a narrow terminal cuts off comes last */
    show_eta(out, run);
    if (json_get_double(run, "rate_per_min", 0) > 0) {
        buf_add_str(out, "  ");
        show_count(out, llround(json_get_double(run, "rate_per_min", 0)));
        buf_add_str(out, "/min");
    }
    show_limit(out, run);
}
