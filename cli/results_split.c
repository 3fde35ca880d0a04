/* gallocctl results --split agent_id: one stream of rows, each put into its agent's file. CSV goes as it comes; rows of NDJSON become an array or a workbook at the
 * end, a file at a time. */
#include "cli/results.h"

#include "cli/out.h"
#include "cli/split.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct splitting {
    struct results *results;
    struct split *split;
    struct json_span no_head;
    /* of CSV */
    struct buf text, cell, header;
    int64_t column; /* of the agent; -1: the header has not come */
};

static int fail_question(struct galloc_error *error)
{
    return galloc_fail(error, GALLOC_USAGE, "--split agent_id: the run asks a question, and its answers belong to no agent");
}

/* ---- rows as they come ---- */

static int take_csv_row(struct splitting *s, struct json_span row, struct galloc_error *error)
{
    if (s->column < 0) {
        s->column = split_csv_find(row, "agent_id");
        buf_add(&s->header, row.at, row.len);
        return s->column < 0 ? fail_question(error) : 0;
    }
    split_csv_cell(row, (size_t)s->column, &s->cell);
    const char *agent_id = buf_text(&s->cell);
    bool is_guarded = args_has(&s->results->cli->args, "excel-safe") && agent_id[0] == '\'' && agent_id[1] != '\0' && strchr("=+-@\t\r", agent_id[1]) != NULL;
    return split_add(s->split, agent_id + is_guarded, row, (struct json_span){s->header.data, s->header.len}, error);
}

/* All rows that are whole; what is left stays for the next bytes. */
static int take_csv(struct splitting *s, struct galloc_error *error)
{
    struct json_span row;
    size_t from = 0;
    int rc = 0;
    while (rc == 0 && split_csv_row(&s->text, from, &row)) {
        rc = take_csv_row(s, row, error);
        from += row.len;
    }
    if (from > 0)
        memmove(s->text.data, s->text.data + from, s->text.len - from + 1);
    s->text.len -= from;
    return rc;
}

static int take_json(struct splitting *s, struct json_span line, struct galloc_error *error)
{
    struct json_object *row = NULL;
    int rc = json_parse(line.at, line.len, &row, error);
    if (rc == 0 && !json_has(row, "agent_id"))
        rc = fail_question(error);
    if (rc == 0) {
        struct buf whole = BUF_EMPTY;
        xlsx_shape_take_row(&s->results->shape, row);
        buf_add(&whole, line.at, line.len);
        buf_add_char(&whole, '\n');
        rc = split_add(s->split, json_get_str(row, "agent_id", ""), (struct json_span){whole.data, whole.len}, s->no_head, error);
        buf_clear(&whole);
    }
    json_free(row);
    return rc;
}

static int take_all(struct splitting *s, struct galloc_error *error)
{
    struct results *results = s->results;
    struct transfer *transfer = transfer_start(results->cli->client, &(struct request){.method = "GET", .path = results->path});
    struct buf chunk = BUF_EMPTY;
    struct json_span line;
    bool is_csv = results->format == FORMAT_CSV;
    int rc;
    do {
        rc = is_csv ? transfer_chunk(transfer, 1000, &chunk, error) : transfer_line(transfer, 1000, &line, error);
        int taken = 0;
        if (rc == STREAM_LINE && is_csv) {
            buf_add(&s->text, chunk.data, chunk.len);
            taken = take_csv(s, error);
        } else if (rc == STREAM_LINE && line.len > 0) {
            taken = take_json(s, line, error);
        }
        rc = taken < 0 ? taken : rc;
    } while (rc == STREAM_LINE || rc == STREAM_NOTHING);
    buf_clear(&chunk);
    transfer_drop(transfer);
    return rc < 0 ? rc : 0;
}

/* ---- a file of rows into what was wished ---- */

/* Each line of the file at `path`. */
static int each_line(const char *path, int (*take)(void *arg, struct json_span line, struct galloc_error *error), void *arg, struct galloc_error *error)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int rc = file == NULL ? galloc_fail(error, GALLOC_LOCAL_IO, "%s cannot be read: %s", path, strerror(errno)) : 0;
    while (rc == 0 && (len = getline(&line, &cap, file)) > 0)
        rc = take(arg, (struct json_span){line, (size_t)len - 1}, error);
    free(line);
    if (file != NULL)
        fclose(file);
    return rc;
}

static int add_element(void *arg, struct json_span row, struct galloc_error *error)
{
    FILE *file = arg;
    (void)error;
    fputs(ftell(file) > 0 ? ",\n" : "[\n", file);
    fwrite(row.at, 1, row.len, file);
    return 0;
}

static int make_array(const char *from, const char *to, struct galloc_error *error)
{
    FILE *file = fopen(to, "wxe");
    int rc = file == NULL ? galloc_fail(error, GALLOC_LOCAL_IO, "%s cannot be written: %s", to, strerror(errno)) : each_line(from, add_element, file, error);
    if (file == NULL)
        return rc;
    bool is_bad = fputs("\n]\n", file) == EOF || ferror(file) != 0;
    is_bad |= fclose(file) != 0;
    return rc == 0 && is_bad ? galloc_fail(error, GALLOC_LOCAL_IO, "%s cannot be written: %s", to, strerror(errno)) : rc;
}

static int make_book(const struct xlsx_shape *shape, const char *from, const char *to, struct galloc_error *error)
{
    struct xlsx *xlsx;
    int rc = xlsx_open(to, shape, &xlsx, error);
    return rc < 0 ? rc : results_close_book(xlsx, each_line(from, results_add_to_book, xlsx, error), error);
}

static int convert(void *arg, const char *path, struct galloc_error *error)
{
    const struct splitting *s = arg;
    char *made = xasprintf("%s~", path);
    int rc = s->results->format == FORMAT_XLSX ? make_book(&s->results->shape, path, made, error) : make_array(path, made, error);
    if (rc == 0 && rename(made, path) < 0)
        rc = galloc_fail(error, GALLOC_LOCAL_IO, "%s cannot be written: %s", path, strerror(errno));
    if (rc < 0)
        remove(made);
    free(made);
    return rc;
}

static void tell(const struct results *results, const char *folder, size_t files, const char *alike)
{
    say(results->cli, "written: %zu files in %s%s", files, folder, files == 0 ? ": nothing of the run has ended" : "");
    if (alike != NULL)
        say(results->cli, "note: the ids %s differ in capitals alone: where capitals do not count, their files are one", alike);
}

int results_split(struct results *results, const char *folder, struct galloc_error *error)
{
    static const char *const endings[] = {[FORMAT_CSV] = ".csv", [FORMAT_NDJSON] = ".ndjson", [FORMAT_JSON] = ".json", [FORMAT_XLSX] = ".xlsx"};
    struct splitting s = {.results = results, .column = -1};
    char *alike = NULL;
    size_t files = 0;
    results->shape.is_part = true;
    int rc = split_open(folder, endings[results->format], &s.split, error);
    if (rc == 0)
        rc = take_all(&s, error);
    if (rc == 0 && (results->format == FORMAT_JSON || results->format == FORMAT_XLSX))
        rc = split_each(s.split, convert, &s, error);
    if (rc == 0)
        rc = split_commit(s.split, &files, &alike, error);
    if (rc == 0)
        tell(results, folder, files, alike);
    free(alike);
    split_free(s.split);
    buf_clear(&s.text);
    buf_clear(&s.cell);
    buf_clear(&s.header);
    return rc;
}
