/* See out.h: stdout, and the words for numbers and times. */
#include "cli/out.h"

#include "base/clock.h"
#include "base/parse.h"
#include "base/text.h"
#include "cli/hint.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many bytes the character at `at` takes by its first byte; broken ones are taken one by one. */
static size_t character_len(const char *at, size_t left)
{
    unsigned char c = (unsigned char)*at;
    size_t len = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    return len <= left && text_is_utf8(at, len) ? len : 1;
}

/* What acts on a terminal becomes a JSON escape, so that the text stays the same JSON. */
static void add_json_for_terminal(struct buf *out, const char *json, size_t len)
{
    struct buf shown = BUF_EMPTY;
    for (size_t at = 0; at < len;) {
        size_t size = character_len(json + at, len - at);
        buf_reset(&shown);
        text_escape(&shown, json + at, size);
        if (json[at] == '\n' || (shown.len == size && memcmp(shown.data, json + at, size) == 0)) {
            buf_add(out, json + at, size);
        } else {
            bool is_named = strncmp(buf_text(&shown), "\\u{", 3) == 0;
            uint64_t cp = is_named ? strtoull(shown.data + 3, NULL, 16) : (unsigned char)json[at] < 0x80 ? (unsigned char)json[at] : 0xfffd;
            buf_add_fmt(out, "\\u%04" PRIx64, cp);
        }
        at += size;
    }
    buf_clear(&shown);
}

static void add_lines_for_terminal(struct buf *out, const char *data, size_t len)
{
    while (len > 0) {
        const char *end = memchr(data, '\n', len);
        size_t line = end ? (size_t)(end - data) : len;
        bool has_cr = end != NULL && line > 0 && data[line - 1] == '\r';
        text_escape(out, data, line - has_cr);
        if (end == NULL)
            return;
        buf_add_char(out, '\n');
        data += line + 1;
        len -= line + 1;
    }
}

static void print_buf(struct buf *text)
{
    fwrite(buf_text(text), 1, text->len, stdout);
    buf_clear(text);
}

void out_json(const struct cli *cli, const char *json, size_t len)
{
    struct buf text = BUF_EMPTY;
    if (cli->is_stdout_terminal) {
        add_json_for_terminal(&text, json, len);
        print_buf(&text);
    } else {
        fwrite(json, 1, len, stdout);
    }
    if (len == 0 || json[len - 1] != '\n')
        fputc('\n', stdout);
}

void out_bytes(const struct cli *cli, const char *data, size_t len)
{
    struct buf text = BUF_EMPTY;
    if (!cli->is_stdout_terminal) {
        fwrite(data, 1, len, stdout);
        return;
    }
    add_lines_for_terminal(&text, data, len);
    print_buf(&text);
}

bool out_answer(const struct cli *cli, const struct response *response)
{
    if (cli->format == FORMAT_TABLE)
        return false;
    out_json(cli, buf_text(&response->body), response->body.len);
    return true;
}

static void print_line(const char *before, const char *after, const char *fmt, va_list ap)
{
    char *text = NULL;
    struct buf line = BUF_EMPTY;
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    text = hint_named(text);
    buf_add_str(&line, before);
    text_escape(&line, text, strlen(text));
    buf_add_str(&line, after);
    buf_add_char(&line, '\n');
    print_buf(&line);
    free(text);
}

void out_line(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_line("", "", fmt, ap);
    va_end(ap);
}

void out_title(const struct cli *cli, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_line(cli->has_color ? "\033[1m" : "", cli->has_color ? "\033[0m" : "", fmt, ap);
    va_end(ap);
}

void csv_add_cell(struct buf *line, const char *text, size_t len)
{
    bool needs_quotes = false;
    for (size_t i = 0; i < len && !needs_quotes; i++)
        needs_quotes = text[i] == '"' || text[i] == ',' || text[i] == '\n' || text[i] == '\r';
    if (!needs_quotes) {
        buf_add(line, text, len);
        return;
    }
    buf_add_char(line, '"');
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"')
            buf_add_char(line, '"');
        buf_add_char(line, text[i]);
    }
    buf_add_char(line, '"');
}

int out_finish(const struct cli *cli)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    if (errno == EPIPE)
        return EXIT_MACHINE; /* the reader has seen enough */
    return say_failure(cli, GALLOC_LOCAL_IO, "writing the output failed: %s", strerror(errno));
}

void show_count(struct buf *out, int64_t count)
{
    buf_add_str(out, text_count(count).text);
}

void show_percent(struct buf *out, double part)
{
    buf_add_fmt(out, "%.1f %%", floor(part * 1000 + 1e-6) / 10);
}

void show_seconds(struct buf *out, int64_t seconds)
{
    if (seconds < 90)
        buf_add_fmt(out, "%" PRId64 " s", seconds);
    else if (seconds < 5400)
        buf_add_fmt(out, "%" PRId64 " min", (seconds + 30) / 60);
    else if (seconds < 172800)
        buf_add_fmt(out, "%" PRId64 " h %02" PRId64 " min", seconds / 3600, seconds % 3600 / 60);
    else
        buf_add_fmt(out, "%" PRId64 " d %" PRId64 " h", seconds / 86400, seconds % 86400 / 3600);
}

void show_ms(struct buf *out, int64_t ms)
{
    if (ms < 1000)
        buf_add_fmt(out, "%" PRId64 " ms", ms);
    else if (ms < 90000)
        buf_add_fmt(out, "%" PRId64 ".%" PRId64 " s", ms / 1000, ms % 1000 / 100);
    else
        show_seconds(out, ms / 1000);
}

void show_time(struct buf *out, const char *rfc3339)
{
    int64_t at_ms;
    struct tm tm, today;
    char text[32];
    if (rfc3339 == NULL || parse_time_ms(rfc3339, &at_ms, NULL) < 0) {
        buf_add_str(out, "-");
        return;
    }
    time_t at_s = (time_t)(at_ms / 1000), now_s = (time_t)(clock_wall_ms() / 1000);
    localtime_r(&at_s, &tm);
    localtime_r(&now_s, &today);
    bool is_today = tm.tm_yday == today.tm_yday && tm.tm_year == today.tm_year;
    strftime(text, sizeof text, is_today ? "%H:%M:%S" : "%Y-%m-%d %H:%M", &tm);
    buf_add_str(out, text);
}

int64_t seconds_until(const char *rfc3339)
{
    int64_t at_ms;
    if (rfc3339 == NULL || parse_time_ms(rfc3339, &at_ms, NULL) < 0)
        return INT64_MIN;
    return (at_ms - clock_wall_ms()) / 1000;
}

int64_t seconds_between(const char *from, const char *until)
{
    int64_t from_ms, until_ms;
    if (from == NULL || until == NULL || parse_time_ms(from, &from_ms, NULL) < 0 || parse_time_ms(until, &until_ms, NULL) < 0)
        return -1;
    return (until_ms - from_ms) / 1000;
}

void show_micros(struct buf *out, const char *currency, int64_t micros)
{
    int digits = micros == 0 || micros >= 1000000 ? 2 : micros >= 10000 ? 4 : 6;
    int64_t unit = digits == 2 ? 10000 : digits == 4 ? 100 : 1;
    int64_t rounded = (micros + unit / 2) / unit * unit;
    buf_add_fmt(out, "%s.%0*" PRId64 "%s%s", text_count(rounded / 1000000).text, digits, rounded % 1000000 / unit, currency ? " " : "", currency ? currency : "");
}

void show_money(struct buf *out, struct json_object *cost)
{
    const char *currency = json_get_str(cost, "currency", NULL);
    if (currency == NULL) {
        buf_add_str(out, "unknown (no price is set)");
    } else if (!json_is_i64(json_get(cost, "micros"))) {
        buf_add_str(out, "unknown");
    } else {
        buf_add_str(out, json_get_i64(cost, "unknown_calls", 0) > 0 ? "at least " : "");
        show_micros(out, currency, json_get_i64(cost, "micros", 0));
    }
}

static void add_unknown_calls(struct buf *out, int64_t calls)
{
    buf_add_fmt(out, "%s came without %s usage or had no price", text_counted(calls, "call").text, calls == 1 ? "its" : "their");
}

void show_cost(struct buf *out, struct json_object *cost)
{
    int64_t calls = json_get_i64(cost, "unknown_calls", 0);
    show_money(out, cost);
    if (calls == 0 || json_get_str(cost, "currency", NULL) == NULL)
        return;
    buf_add_str(out, " (");
    add_unknown_calls(out, calls);
    buf_add_char(out, ')');
}

void show_run_cost(struct buf *out, struct json_object *run)
{
    struct json_object *cost = json_get(run, "cost");
    int64_t unknown = json_get_i64(cost, "unknown_calls", 0), lost = json_get_i64(json_get(run, "retries"), "lost", 0);
    bool is_known = json_get_str(cost, "currency", NULL) != NULL && json_is_i64(json_get(cost, "micros"));
    bool is_on_workers = strcmp(json_get_str(run, "endpoint", ""), "workers") == 0;
    if (is_on_workers && json_get_i64(cost, "micros", 0) == 0) {
        buf_add_str(out, "nothing: workers decide, no API is called");
        return;
    }
    if (!is_known || lost == 0 || is_on_workers) { /* what workers lost was no call */
        show_cost(out, cost);
        return;
    }
    buf_add_str(out, "at least ");
    show_micros(out, json_get_str(cost, "currency", NULL), json_get_i64(cost, "micros", 0));
    buf_add_fmt(out, " (%s %s lost, possibly billed", text_counted(lost, "call").text, lost == 1 ? "was" : "were");
    buf_add_str(out, unknown > 0 ? "; " : ")");
    if (unknown > 0) {
        add_unknown_calls(out, unknown);
        buf_add_char(out, ')');
    }
}

void show_budget(struct buf *out, struct json_object *cost)
{
    const char *currency = json_get_str(cost, "currency", NULL);
    int64_t reserved = json_get_i64(cost, "reserved_micros", 0);
    if (currency == NULL || !json_is_i64(json_get(cost, "max_micros")))
        return;
    buf_add_str(out, "; at most ");
    show_micros(out, currency, json_get_i64(cost, "max_micros", 0));
    if (reserved == 0)
        return;
    buf_add_str(out, ", of which ");
    show_micros(out, currency, reserved);
    buf_add_str(out, " are reserved for calls under way or lost");
}
