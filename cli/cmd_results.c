/* gallocctl results: the decisions of a run as CSV, NDJSON, JSON or a workbook; to stdout as they stream, or into a file that is there
 * whole or not at all. */
#include "base/text.h"
#include "cli/atomic.h"
#include "cli/out.h"
#include "cli/results.h"
#include "cli/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* By --format, else by the name's ending; a name without one, or none at all, is CSV. -GALLOC_USAGE: an ending of something else. */
static int choose_format(const struct cli *cli, const char *output, enum out_format *ret_format, struct galloc_error *error)
{
    static const struct {
        const char *ending;
        enum out_format format;
    } endings[] = {{".xlsx", FORMAT_XLSX}, {".ndjson", FORMAT_NDJSON}, {".jsonl", FORMAT_NDJSON}, {".json", FORMAT_JSON}, {".csv", FORMAT_CSV}, {".txt", FORMAT_CSV}};
    const char *slash = output != NULL ? strrchr(output, '/') : NULL, *name = slash != NULL ? slash + 1 : output;
    const char *dot = name != NULL ? strrchr(name, '.') : NULL;
    *ret_format = cli->format != FORMAT_TABLE ? cli->format : FORMAT_CSV;
    if (cli->format != FORMAT_TABLE || dot == NULL || dot == name)
        return 0;
    for (size_t i = 0; i < ARRAY_COUNT(endings); i++) {
        if (strcasecmp(dot, endings[i].ending) == 0) {
            *ret_format = endings[i].format;
            return 0;
        }
    }
    return galloc_fail(error, GALLOC_USAGE, "%s: results are written as .csv, .ndjson, .json or .xlsx, not as %s; for another name add --format, e.g. --format csv", output, dot);
}

static void make_path(struct results *results)
{
    const struct args *args = &results->cli->args;
    const char *const *states;
    size_t count = args_texts(args, "state", &states);
    struct buf path = BUF_EMPTY;
    buf_add_fmt(&path, "/v1/runs/%s/results?format=%s", results->run, results->format == FORMAT_CSV ? "csv" : "ndjson");
    for (size_t i = 0; i < count; i++) {
        char *state = client_segment(strcmp(states[i], "allocated") == 0 ? "succeeded" : states[i]);
        buf_add_fmt(&path, i ? ",%s" : "&state=%s", state);
        free(state);
    }
    if (args_has(args, "excel-safe"))
        buf_add_str(&path, "&excel_safe=1");
    if (args_has(args, "only-input") || args_has(args, "with-input"))
        buf_add_fmt(&path, "&input=%s", args_has(args, "only-input") ? "only" : "beside");
    if (args_has(args, "with-agent"))
        buf_add_str(&path, "&agent=1");
    results->path = buf_take(&path);
}

static int copy(const struct results *results, struct galloc_error *error)
{
    return results->format == FORMAT_JSON ? stream_array(results->cli, results->path, results->file, error)
                                          : stream_copy(results->cli, results->path, results->format == FORMAT_CSV, results->file, error);
}

int results_add_to_book(void *arg, struct json_span text, struct galloc_error *error)
{
    struct json_object *row = NULL;
    int rc = json_parse(text.at, text.len, &row, error);
    if (rc == 0)
        rc = xlsx_add_result(arg, row, error);
    json_free(row);
    return rc;
}

static int take_shape(void *arg, struct json_span text, struct galloc_error *error)
{
    struct json_object *row = NULL;
    int rc = json_parse(text.at, text.len, &row, error);
    if (rc == 0)
        xlsx_shape_take_row(arg, row);
    json_free(row);
    return rc;
}

/* The columns of a workbook's sheets are known before its rows: those of the input and of the agents by looking through them once. */
static int find_shape(struct results *results, struct galloc_error *error)
{
    struct response run = RESPONSE_EMPTY;
    int rc = client_get(results->cli->client, &run, error, "/v1/runs/%s", results->run);
    if (rc == 0)
        xlsx_shape_take_run(&results->shape, run.json);
    response_clear(&run);
    bool has_more = args_has(&results->cli->args, "with-input") || args_has(&results->cli->args, "with-agent");
    return rc == 0 && has_more ? stream_rows(results->cli, results->path, take_shape, &results->shape, error) : rc;
}

static int write_loads(const struct results *results, struct xlsx *xlsx, struct galloc_error *error)
{
    struct response loads = RESPONSE_EMPTY;
    int rc = client_get(results->cli->client, &loads, error, "/v1/runs/%s/load", results->run);
    if (rc == 0)
        xlsx_add_loads(xlsx, json_get(loads.json, "items"));
    response_clear(&loads);
    return rc;
}

int results_close_book(struct xlsx *xlsx, int rc, struct galloc_error *error)
{
    struct galloc_error closing;
    if (xlsx_close(xlsx, &closing) < 0 && rc == 0) {
        *error = closing;
        rc = -closing.code;
    }
    return rc;
}

static int write_book(struct results *results, const char *path, struct galloc_error *error)
{
    struct xlsx *xlsx;
    int rc = find_shape(results, error);
    if (rc == 0)
        rc = xlsx_open(path, &results->shape, &xlsx, error);
    if (rc < 0)
        return rc;
    rc = stream_rows(results->cli, results->path, results_add_to_book, xlsx, error);
    if (rc == 0)
        rc = write_loads(results, xlsx, error);
    return results_close_book(xlsx, rc, error);
}

static int write_file(struct results *results, const char *output, struct galloc_error *error)
{
    struct atomic_file atomic;
    int rc = atomic_open(&atomic, output, results->format == FORMAT_XLSX, false, error);
    results->file = atomic.file;
    if (rc == 0 && results->format == FORMAT_XLSX)
        rc = write_book(results, atomic.temporary, error);
    else if (rc == 0)
        rc = copy(results, error);
    if (rc == 0)
        rc = atomic_commit(&atomic, error);
    atomic_clear(&atomic);
    return rc;
}

/* Of how many assignments: those of --state, else all that have ended, and how many have not. */
static void add_written_count(const struct args *args, struct json_object *counts, struct buf *out)
{
    const char *const *states;
    size_t count = args_texts(args, "state", &states);
    int64_t open = json_get_i64(counts, "pending", 0) + json_get_i64(counts, "leased", 0), chosen = 0;
    struct buf names = BUF_EMPTY;
    for (size_t i = 0; i < count; i++) {
        for (const char *at = states[i]; *at != '\0'; at += strcspn(at, ","), at += *at == ',') {
            char name[32];
            snprintf(name, sizeof name, "%.*s", (int)strcspn(at, ","), at);
            chosen += json_get_i64(counts, strcmp(name, "allocated") == 0 ? "succeeded" : name, 0);
            buf_add_fmt(&names, "%s%s", names.len > 0 ? " or " : "", name);
        }
    }
    if (count > 0) {
        buf_add_fmt(out, "%s, %s", text_counted(chosen, "assignment").text, buf_text(&names));
    } else {
        buf_add_fmt(out, "%s of its assignments have ended", text_count(json_get_i64(counts, "total", 0) - open).text);
        if (open > 0)
            buf_add_fmt(out, ", %s have not", text_count(open).text);
    }
    buf_clear(&names);
}

/* Of which run it is, and whether more will come: @last may not be the one that was meant. */
static void tell_written(const struct results *results, const char *output)
{
    struct response run = RESPONSE_EMPTY;
    struct buf written = BUF_EMPTY;
    if (client_get(results->cli->client, &run, NULL, "/v1/runs/%s", results->run) < 0) {
        say(results->cli, "written: %s", output);
        return;
    }
    const char *id = json_get_str(run.json, "id", "?"), *name = json_get_str(run.json, "name", NULL);
    add_written_count(&results->cli->args, json_get(run.json, "counts"), &written);
    say(results->cli, "written: %s, of run %s%s%s%s: %s", output, id, name ? " (" : "", name ? name : "", name ? ")" : "", buf_text(&written));
    buf_clear(&written);
    response_clear(&run);
}

/* What goes with what; the first that does not. */
static int check_options(const struct results *results, const char *output, struct galloc_error *error)
{
    const struct args *args = &results->cli->args;
    const char *split = args_text(args, "split");
    if (args_has(args, "only-input") && (args_has(args, "with-agent") || args_has(args, "with-input") || split != NULL))
        return galloc_fail(error, GALLOC_USAGE, "--only-input gives what was enqueued and nothing beside it: leave --%s out",
                           split != NULL ? "split" : args_has(args, "with-agent") ? "with-agent" : "with-input");
    if (args_has(args, "only-input") && results->format == FORMAT_XLSX)
        return galloc_fail(error, GALLOC_USAGE, "--only-input is for what enqueue reads: csv, ndjson or json");
    if (split != NULL && strcmp(split, "agent_id") != 0)
        return galloc_fail(error, GALLOC_USAGE, "--split parts by agent_id alone, not by \"%s\"", split);
    if (split != NULL && output == NULL)
        return galloc_fail(error, GALLOC_USAGE, "--split makes a file an agent: say in which folder, -o DIR");
    if (results->format == FORMAT_XLSX && output == NULL)
        return galloc_fail(error, GALLOC_USAGE, "a workbook goes into a file: -o FILE.xlsx");
    return 0;
}

static int write_all(struct results *results, const char *output, struct galloc_error *error)
{
    if (args_has(&results->cli->args, "split"))
        return results_split(results, output, error);
    if (output != NULL)
        return write_file(results, output, error);
    return copy(results, error);
}

int command_results(struct cli *cli, int count, char **words)
{
    (void)count;
    struct galloc_error error;
    const char *output = args_text(&cli->args, "output");
    output = output != NULL && strcmp(output, "-") == 0 ? NULL : output;
    struct results results = {.cli = cli};
    bool is_split = args_has(&cli->args, "split");
    if (choose_format(cli, is_split ? NULL : output, &results.format, &error) < 0 || check_options(&results, output, &error) < 0)
        return say_error(cli, &error);
    if (output != NULL && !is_split && !ask_replace(cli, output))
        return EXIT_CANCELLED;
    results.run = client_segment(words[0]);
    make_path(&results);
    int rc = write_all(&results, output, &error);
    if (rc == 0 && output != NULL && !is_split)
        tell_written(&results, output);
    xlsx_shape_clear(&results.shape);
    free(results.path);
    free(results.run);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}
