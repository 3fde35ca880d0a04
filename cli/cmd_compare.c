/* gallocctl compare: two runs on the same keys, side by side: where they agree, who got what instead, how even the loads are, what it took; or the keys that
 * differ, as a list. The daemon makes the figures; here they are put into words. */
#include "base/json_out.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/out.h"
#include "cli/stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIFFS_SHOWN = 100, MOVES_SHOWN = 10 };

/* ---- figures of a side ---- */

static void show_text(struct buf *out, struct json_object *side, struct json_object *value)
{
    (void)side;
    buf_add_str(out, json_str(value, NULL) != NULL ? json_str(value, NULL) : "-");
}

static void show_integer(struct buf *out, struct json_object *side, struct json_object *value)
{
    (void)side;
    if (value == NULL)
        buf_add_str(out, "-");
    else
        show_count(out, json_i64(value, 0));
}

static void show_duration(struct buf *out, struct json_object *side, struct json_object *value)
{
    (void)side;
    int64_t ms = llround(json_double(value, 0) * 1000), seconds = (ms + 500) / 1000;
    if (value == NULL)
        buf_add_str(out, "-");
    else if (seconds < 90 || seconds >= 5400)
        show_ms(out, ms);
    else /* both are to be told apart */
        buf_add_fmt(out, "%s min %02d s", text_count(seconds / 60).text, (int)(seconds % 60));
}

static void show_mean_ms(struct buf *out, struct json_object *side, struct json_object *value)
{
    (void)side;
    if (value == NULL)
        buf_add_str(out, "-");
    else
        show_ms(out, llround(json_double(value, 0)));
}

static void show_ratio(struct buf *out, struct json_object *side, struct json_object *value)
{
    (void)side;
    if (value == NULL)
        buf_add_str(out, "-");
    else
        buf_add_fmt(out, "%.3f", json_double(value, 0));
}

static void show_price(struct buf *out, struct json_object *side, struct json_object *value)
{
    (void)side;
    show_money(out, value);
}

/* "3 (no_capacity 2, rejected 1)" */
static int add_failure(const char *name, struct json_object *value, void *arg)
{
    struct buf *list = arg;
    buf_add_fmt(list, "%s%s %s", list->len > 0 ? ", " : "", name, text_count(json_i64(value, 0)).text);
    return 0;
}

static void show_failures(struct buf *out, struct json_object *side, struct json_object *value)
{
    struct buf list = BUF_EMPTY;
    show_count(out, json_get_i64(json_get(side, "counts"), "failed", 0));
    json_each(value, add_failure, &list);
    if (list.len > 0)
        buf_add_fmt(out, " (%s)", buf_text(&list));
    buf_clear(&list);
}

static void show_highest(struct buf *out, struct json_object *side, struct json_object *value)
{
    const char *agent = json_get_str(json_get(side, "balance"), "highest_agent", NULL);
    show_count(out, json_i64(value, 0));
    if (agent != NULL)
        buf_add_fmt(out, " (%s)", agent);
}

static void show_left(struct buf *out, struct json_object *side, struct json_object *value)
{
    bool is_shared = json_get_bool(json_get(side, "balance"), "is_shared", false);
    if (value != NULL)
        show_count(out, json_i64(value, 0));
    else
        buf_add_str(out, is_shared ? "-" : "no limit");
}

static const struct figure {
    const char *name; /* for people */
    const char *path; /* in a side; in CSV it is the name */
    void (*show)(struct buf *out, struct json_object *side, struct json_object *value);
    bool is_detail; /* with --stats alone */
} figures[] = {
    {"name", "name", show_text, false},
    {"profile", "profile", show_text, false},
    {"endpoint", "endpoint", show_text, false},
    {"state", "state", show_text, false},
    {"allocated", "counts.succeeded", show_integer, false},
    {"failed", "failures", show_failures, false},
    {"not decided yet", "counts.pending", show_integer, true},
    {"reused", "decided_by.reuse", show_integer, true},
    {"by a person", "decided_by.person", show_integer, true},
    {"time", "seconds", show_duration, false},
    {"answer took (mean)", "latency_ms.mean", show_mean_ms, false},
    {"calls", "calls", show_integer, false},
    {"invalid answers", "invalid_answers", show_integer, false},
    {"chosen agent was full", "agent_full", show_integer, false},
    {"tokens in", "tokens.in", show_integer, false},
    {"tokens out", "tokens.out", show_integer, false},
    {"cost", "cost", show_price, false},
    {"confidence (mean)", "confidence.mean", show_ratio, false},
    {"  where both agree", "confidence_same.mean", show_ratio, true},
    {"  where they differ", "confidence_different.mean", show_ratio, true},
    {"highest load", "balance.highest", show_highest, false},
    {"  against the mean", "balance.highest_to_mean", show_ratio, false},
    {"Gini of loads", "balance.gini", show_ratio, false},
    {"Gini of load/capacity", "balance.use_gini", show_ratio, true},
    {"capacity left", "balance.capacity_left", show_left, false},
    {"agents counted", "balance.counted", show_integer, true},
    {"  without capacity", "balance.zero_capacity", show_integer, true},
    {"  without a limit", "balance.unlimited", show_integer, true},
    {"  full", "balance.full", show_integer, true},
};

static void add_item(struct json_out *out, const char *name, const char *a, const char *b)
{
    json_out_begin(out, '{');
    json_out_member_str(out, "figure", name);
    json_out_member_str(out, "a", a);
    json_out_member_str(out, "b", b);
    json_out_end(out, '}');
}

/* "71.2 % (67.7 to 74.5)" */
static void show_share(struct buf *out, struct json_object *share)
{
    if (json_get(share, "share") == NULL) {
        buf_add_str(out, "-");
        return;
    }
    buf_add_fmt(out, "%.1f %% (%.1f to %.1f)", 100 * json_double(json_get(share, "share"), 0), 100 * json_double(json_get(share, "low"), 0),
                100 * json_double(json_get(share, "high"), 0));
}

static void add_accuracy(struct json_out *out, struct json_object *truth)
{
    struct buf a = BUF_EMPTY, b = BUF_EMPTY;
    if (truth == NULL)
        return;
    show_share(&a, json_get(truth, "a"));
    show_share(&b, json_get(truth, "b"));
    add_item(out, "right", buf_text(&a), buf_text(&b));
    buf_clear(&a);
    buf_clear(&b);
}

static void print_sides(const struct cli *cli, struct json_object *comparison)
{
    struct json_object *a = json_get(comparison, "a"), *b = json_get(comparison, "b");
    struct column columns[] = {{"", "figure", CELL_TEXT, false}, {json_get_str(a, "id", "A"), "a", CELL_TEXT, true}, {json_get_str(b, "id", "B"), "b", CELL_TEXT, true}};
    struct buf body = BUF_EMPTY, left = BUF_EMPTY, right = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    json_out_begin(&out, '{');
    json_out_name(&out, "items");
    json_out_begin(&out, '[');
    for (size_t i = 0; i < ARRAY_COUNT(figures); i++) {
        if (figures[i].is_detail && !args_has(&cli->args, "stats"))
            continue;
        buf_reset(&left);
        buf_reset(&right);
        figures[i].show(&left, a, json_at(a, figures[i].path));
        figures[i].show(&right, b, json_at(b, figures[i].path));
        add_item(&out, figures[i].name, buf_text(&left), buf_text(&right));
    }
    add_accuracy(&out, json_get(comparison, "truth"));
    json_out_end(&out, ']');
    json_out_end(&out, '}');
    out_items(cli, columns, ARRAY_COUNT(columns), &body);
    buf_clear(&body);
    buf_clear(&left);
    buf_clear(&right);
}

/* ---- both ---- */

static void print_agreement(const struct cli *cli, struct json_object *comparison)
{
    struct json_object *agreement = json_get(comparison, "agreement"), *keys = json_get(comparison, "keys");
    struct json_object *a = json_get(comparison, "a"), *b = json_get(comparison, "b");
    int64_t both = json_get_i64(keys, "allocated_both", 0), lone = json_get_i64(keys, "allocated_a", 0) + json_get_i64(keys, "allocated_b", 0);
    out_title(cli, "A %s and B %s: %s in both", json_get_str(a, "id", "?"), json_get_str(b, "id", "?"),
              text_counted(json_get_i64(keys, "common", 0), "key").text);
    if (both > 0)
        out_line("  same agent  %.1f %% of %s that both allocated (95 %%: %.1f to %.1f)", 100 * json_double(json_get(agreement, "share"), 0), text_count(both).text,
                 100 * json_double(json_get(agreement, "low"), 0), 100 * json_double(json_get(agreement, "high"), 0));
    else
        out_line("  same agent  nothing was allocated by both yet");
    if (json_get(agreement, "kappa") != NULL)
        out_line("  kappa       %.3f (0: no more than by chance, 1: always)", json_double(json_get(agreement, "kappa"), 0));
    else
        out_line("  kappa       cannot be told: %s", both > 0 ? "both gave every key to one and the same agent" : "there is nothing to compare");
    if (lone > 0)
        out_line("  one side    %s allocated by A alone, %s by B alone", text_count(json_get_i64(keys, "allocated_a", 0)).text,
                 text_count(json_get_i64(keys, "allocated_b", 0)).text);
}

/* A probability, never as a bare zero. */
static void show_p(struct buf *out, double p)
{
    if (p < 0.0001)
        buf_add_str(out, "p < 0.0001");
    else
        buf_add_fmt(out, "p = %.4f", p);
}

static void print_truth(struct json_object *truth)
{
    struct json_object *test = json_get(truth, "mcnemar");
    const char *method = json_get_str(test, "method", NULL);
    struct buf line = BUF_EMPTY;
    if (truth == NULL)
        return;
    out_line("  right       by the column %s, of %s that both allocated: A alone %s, B alone %s, both %s, neither %s", json_get_str(truth, "column", "?"),
             text_count(json_get_i64(truth, "judged", 0)).text, text_count(json_get_i64(truth, "right_only_a", 0)).text,
             text_count(json_get_i64(truth, "right_only_b", 0)).text, text_count(json_get_i64(truth, "right_both", 0)).text,
             text_count(json_get_i64(truth, "wrong_both", 0)).text);
    if (method == NULL) {
        buf_add_str(&line, "no test: neither was right where the other was not");
    } else {
        double p = json_double(json_get(test, "p"), 1);
        if (strcmp(method, "exact_binomial") == 0)
            buf_add_str(&line, "McNemar's test (exact, by the binomial distribution): ");
        else
            buf_add_fmt(&line, "McNemar's test (chi-square %.3f, with continuity correction): ", json_double(json_get(test, "chi_square"), 0));
        show_p(&line, p);
        buf_add_str(&line, p < 0.05 ? ", more than chance" : ", may be chance");
    }
    out_line("              %s", buf_text(&line));
    buf_clear(&line);
}

static void print_moves(const struct cli *cli, struct json_object *comparison)
{
    static const struct column columns[] = {{"FROM (A)", "from", CELL_TEXT, false}, {"TO (B)", "to", CELL_TEXT, false}, {"KEYS", "count", CELL_COUNT, false}};
    struct json_object *moves = json_get(comparison, "moves"), *items = json_get(moves, "items");
    size_t count = json_array_len(items), shown = args_has(&cli->args, "stats") || count < MOVES_SHOWN ? count : MOVES_SHOWN;
    int64_t keys = json_get_i64(moves, "keys", 0), different = json_get_i64(moves, "different", 0);
    struct buf body = BUF_EMPTY;
    if (count == 0)
        return;
    out_line("%s", "");
    out_title(cli, "%s went to somebody else, in %s%s", text_counted(keys, "key").text, text_counted(different, "way").text,
              (int64_t)shown < different ? "; the most frequent:" : ":");
    buf_add_str(&body, "{\"items\":[");
    for (size_t i = 0; i < shown; i++) {
        if (i > 0)
            buf_add_char(&body, ',');
        json_to_text(json_array_at(items, i), &body);
    }
    buf_add_str(&body, "]}");
    out_items(cli, columns, ARRAY_COUNT(columns), &body);
    buf_clear(&body);
}

static void print_how(void)
{
    static const char *const lines[] = {
        "how it is reckoned:",
        "  interval    Wilson's score interval, 95 %: what the share may be in the long run",
        "  kappa       Cohen's: (agreement - chance) / (1 - chance), chance from how often either side chose each agent",
        "  load        places taken at the end, with those of before the run; agents who hold nothing and can be given nothing do not count",
        "  Gini        0: all alike; towards 1: one has all. Of load/capacity: of agents who have a limit",
        "  McNemar     of keys that one side alone got right: the exact binomial test below 25, else chi-square with continuity correction",
        "  of the whole run, not of the common keys alone: allocated, failed, time, calls, tokens, cost, invalid answers",
    };
    out_line("%s", "");
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++)
        out_line("%s", lines[i]);
}

static void print_table(const struct cli *cli, struct json_object *comparison, const char *a, const char *b)
{
    struct json_object *notes = json_get(comparison, "notes");
    print_agreement(cli, comparison);
    print_truth(json_get(comparison, "truth"));
    out_line("%s", "");
    print_sides(cli, comparison);
    print_moves(cli, comparison);
    if (args_has(&cli->args, "stats"))
        print_how();
    if (json_get_i64(json_get(comparison, "moves"), "keys", 0) > 0)
        out_line("  each of them: gallocctl compare %s %s --only diff", a, b);
    fflush(stdout);
    for (size_t i = 0; i < json_array_len(notes); i++)
        say(cli, "note: %s", json_get_str(json_array_at(notes, i), "text", ""));
}

/* ---- as CSV: a line a figure, of both or of each side ---- */

struct csv {
    struct buf *out;
    const char *prefix;         /* of the name; "": none */
    bool is_of_sides;           /* the values come in pairs */
    struct json_object *b;      /* the same object of the other side */
};

static void csv_value(struct buf *out, struct json_object *value)
{
    struct buf plain = BUF_EMPTY;
    buf_add_char(out, ',');
    if (json_str(value, NULL) != NULL)
        buf_add_str(&plain, json_str(value, NULL));
    else if (value != NULL)
        json_to_text(value, &plain);
    csv_add_cell(out, buf_text(&plain), plain.len);
    buf_clear(&plain);
}

static void csv_line(struct buf *out, const char *name, struct json_object *both, struct json_object *a, struct json_object *b)
{
    csv_add_cell(out, name, strlen(name));
    csv_value(out, both);
    csv_value(out, a);
    csv_value(out, b);
    buf_add_str(out, "\r\n");
}

/* Lists are left out: --only diff has the keys, JSON the moves. */
static int csv_member(const char *name, struct json_object *value, void *arg)
{
    const struct csv *csv = arg;
    char *path = xasprintf("%s%s%s", csv->prefix, csv->prefix[0] ? "." : "", name);
    struct json_object *b = csv->is_of_sides ? json_get(csv->b, name) : NULL;
    if (json_is_object(value))
        json_each(value, csv_member, &(struct csv){csv->out, path, csv->is_of_sides, b});
    else if (!json_is_array(value))
        csv_line(csv->out, path, csv->is_of_sides ? NULL : value, csv->is_of_sides ? value : NULL, b);
    free(path);
    return 0;
}

/* A cause that only B's failures have. */
static int csv_failure_of_b(const char *name, struct json_object *value, void *arg)
{
    const struct csv *csv = arg;
    char *path = xasprintf("failures.%s", name);
    if (json_get(csv->b, name) == NULL)
        csv_line(csv->out, path, NULL, NULL, value);
    free(path);
    return 0;
}

static void print_csv(const struct cli *cli, struct json_object *comparison)
{
    static const char *const of_both[] = {"keys", "agents", "agreement", "moves", "truth"};
    struct json_object *a = json_get(comparison, "a"), *b = json_get(comparison, "b");
    struct buf out = BUF_EMPTY;
    buf_add_str(&out, "figure,both,a,b\r\n");
    for (size_t i = 0; i < ARRAY_COUNT(of_both); i++)
        json_each(json_get(comparison, of_both[i]), csv_member, &(struct csv){&out, of_both[i], false, NULL});
    json_each(a, csv_member, &(struct csv){&out, "", true, b});
    json_each(json_get(b, "failures"), csv_failure_of_b, &(struct csv){&out, "", true, json_get(a, "failures")});
    out_bytes(cli, out.data, out.len);
    buf_clear(&out);
}

/* ---- the keys that differ ---- */

struct listed {
    struct buf body;
    int64_t count;
    bool has_more;
};

static int add_diff(void *arg, struct json_span row, struct galloc_error *error)
{
    struct listed *listed = arg;
    (void)error;
    if (listed->count == DIFFS_SHOWN) {
        listed->has_more = true;
        return STREAM_ENOUGH;
    }
    buf_add_str(&listed->body, listed->count++ > 0 ? "," : "");
    buf_add(&listed->body, row.at, row.len);
    return 0;
}

/* The first of them for people; CSV and NDJSON have all. */
static int table_of_diffs(const struct cli *cli, const char *path, struct galloc_error *error)
{
    static const struct column columns[] = {
        {"KEY", "key", CELL_TEXT, false},         {"A", "agent_a", CELL_TEXT, false},       {"B", "agent_b", CELL_TEXT, false},      {"STATE A", "state_a", CELL_STATE, false},
        {"STATE B", "state_b", CELL_STATE, false}, {"RIGHT", "truth", CELL_TEXT, false},     {"REASON A", "reason_a", CELL_TEXT, true}, {"REASON B", "reason_b", CELL_TEXT, true},
    };
    struct listed listed = {.body = BUF_EMPTY};
    buf_add_str(&listed.body, "{\"items\":[");
    int rc = stream_rows(cli, path, add_diff, &listed, error);
    buf_add_str(&listed.body, "]}");
    if (rc == 0)
        out_items(cli, columns, ARRAY_COUNT(columns), &listed.body);
    if (rc == 0 && listed.count == 0)
        say(cli, "no key differs");
    if (rc == 0 && listed.has_more)
        say(cli, "(more: --format csv has all)");
    buf_clear(&listed.body);
    return rc;
}

static int list_diffs(const struct cli *cli, const char *query, struct galloc_error *error)
{
    char *path = xasprintf("%s&only=diff&format=%s", query, cli->format == FORMAT_CSV ? "csv" : "ndjson");
    int rc;
    if (cli->format == FORMAT_TABLE)
        rc = table_of_diffs(cli, path, error);
    else
        rc = cli->format == FORMAT_JSON ? stream_array(cli, path, NULL, error) : stream_copy(cli, path, cli->format == FORMAT_CSV, NULL, error);
    free(path);
    return rc;
}

/* ---- the command ---- */

static char *make_query(const struct cli *cli, char **words)
{
    struct buf query = BUF_EMPTY;
    char *a = client_segment(words[0]), *b = client_segment(words[1]);
    buf_add_fmt(&query, "/v1/compare?a=%s&b=%s", a, b);
    if (args_has(&cli->args, "truth")) {
        char *column = client_segment(args_text(&cli->args, "truth"));
        buf_add_fmt(&query, "&truth=%s", column);
        free(column);
    }
    free(a);
    free(b);
    return buf_take(&query);
}

int command_compare(struct cli *cli, int count, char **words)
{
    (void)count;
    struct galloc_error error;
    struct response response = RESPONSE_EMPTY;
    char *query = make_query(cli, words);
    int rc;
    if (args_has(&cli->args, "only")) {
        rc = list_diffs(cli, query, &error);
    } else {
        rc = client_get(cli->client, &response, &error, "%s", query);
        if (rc == 0 && cli->format == FORMAT_TABLE)
            print_table(cli, response.json, words[0], words[1]);
        else if (rc == 0 && cli->format == FORMAT_CSV)
            print_csv(cli, response.json);
        else if (rc == 0)
            out_json(cli, buf_text(&response.body), response.body.len);
    }
    response_clear(&response);
    free(query);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}
