/* gallocctl results: the decisions of a run as CSV, NDJSON, JSON or a workbook; to stdout as they stream, or into a file that is there
 * whole or not at all. */
#include "cli/atomic.h"
#include "cli/command.h"
#include "cli/out.h"
#include "cli/stream.h"
#include "cli/xlsx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct results {
    struct cli *cli;
    enum out_format format;
    char *run; /* encoded; owned */
    char *path;
    FILE *file; /* NULL: stdout, escaped where that is a terminal */
};

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
    const char *const *states;
    size_t count = args_texts(&results->cli->args, "state", &states);
    struct buf path = BUF_EMPTY;
    buf_add_fmt(&path, "/v1/runs/%s/results?format=%s", results->run, results->format == FORMAT_CSV ? "csv" : "ndjson");
    for (size_t i = 0; i < count; i++) {
        char *state = client_segment(strcmp(states[i], "allocated") == 0 ? "succeeded" : states[i]);
        buf_add_fmt(&path, i ? ",%s" : "&state=%s", state);
        free(state);
    }
    if (args_has(&results->cli->args, "excel-safe"))
        buf_add_str(&path, "&excel_safe=1");
    results->path = buf_take(&path);
}

static int add_to_book(void *arg, struct json_span text, struct galloc_error *error)
{
    struct json_object *row = NULL;
    int rc = json_parse(text.at, text.len, &row, error);
    if (rc == 0)
        rc = xlsx_add_result(arg, row, error);
    json_free(row);
    return rc;
}

static int write_book(const struct results *results, const char *path, struct galloc_error *error)
{
    struct xlsx *xlsx;
    struct galloc_error closing;
    struct response loads = RESPONSE_EMPTY;
    int rc = xlsx_open(path, &xlsx, error);
    if (rc < 0)
        return rc;
    rc = stream_rows(results->cli, results->path, add_to_book, xlsx, error);
    if (rc == 0)
        rc = client_get(results->cli->client, &loads, error, "/v1/runs/%s/load", results->run);
    if (rc == 0)
        xlsx_add_loads(xlsx, json_get(loads.json, "items"));
    response_clear(&loads);
    if (xlsx_close(xlsx, &closing) < 0 && rc == 0) {
        *error = closing;
        rc = -closing.code;
    }
    return rc;
}

static int copy(const struct results *results, struct galloc_error *error)
{
    return results->format == FORMAT_JSON ? stream_array(results->cli, results->path, results->file, error)
                                          : stream_copy(results->cli, results->path, results->format == FORMAT_CSV, results->file, error);
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

/* Of which run it is, and whether more will come: @last may not be the one that was meant. */
static void tell_written(const struct results *results, const char *output)
{
    struct response run = RESPONSE_EMPTY;
    struct buf ended = BUF_EMPTY, open = BUF_EMPTY;
    if (client_get(results->cli->client, &run, NULL, "/v1/runs/%s", results->run) < 0) {
        say(results->cli, "written: %s", output);
        return;
    }
    struct json_object *counts = json_get(run.json, "counts");
    const char *id = json_get_str(run.json, "id", "?"), *name = json_get_str(run.json, "name", NULL);
    int64_t open_count = json_get_i64(counts, "pending", 0) + json_get_i64(counts, "leased", 0);
    show_count(&ended, json_get_i64(counts, "total", 0) - open_count);
    show_count(&open, open_count);
    say(results->cli, "written: %s, of run %s%s%s%s: %s of its assignments have ended%s%s%s", output, id, name ? " (" : "", name ? name : "", name ? ")" : "",
        buf_text(&ended), open_count > 0 ? ", " : "", open_count > 0 ? buf_text(&open) : "", open_count > 0 ? " have not" : "");
    buf_clear(&ended);
    buf_clear(&open);
    response_clear(&run);
}

int command_results(struct cli *cli, int count, char **words)
{
    (void)count;
    struct galloc_error error;
    const char *output = args_text(&cli->args, "output");
    output = output != NULL && strcmp(output, "-") == 0 ? NULL : output;
    struct results results = {.cli = cli};
    if (choose_format(cli, output, &results.format, &error) < 0)
        return say_error(cli, &error);
    if (results.format == FORMAT_XLSX && output == NULL)
        return say_failure(cli, GALLOC_USAGE, "a workbook goes into a file: -o FILE.xlsx");
    bool is_file = output != NULL;
    if (is_file && !ask_replace(cli, output))
        return EXIT_CANCELLED;
    results.run = client_segment(words[0]);
    make_path(&results);
    int rc;
    if (is_file)
        rc = write_file(&results, output, &error);
    else
        rc = copy(&results, &error);
    if (rc == 0 && is_file)
        tell_written(&results, output);
    free(results.path);
    free(results.run);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}
