/* See stream.h. */
#include "cli/stream.h"

#include "cli/out.h"

#include <errno.h>
#include <string.h>

static void put_line(const struct cli *cli, bool is_csv, struct json_span line)
{
    if (!is_csv) {
        out_json(cli, line.at, line.len);
        return;
    }
    out_bytes(cli, line.at, line.len);
    fputc('\n', stdout);
}

int stream_copy(const struct cli *cli, const char *path, bool is_csv, FILE *file, struct galloc_error *error)
{
    struct transfer *transfer = transfer_start(cli->client, &(struct request){.method = "GET", .path = path});
    struct buf chunk = BUF_EMPTY;
    struct json_span line;
    FILE *out = file != NULL ? file : stdout;
    bool by_line = file == NULL && cli->is_stdout_terminal;
    int rc;
    do {
        rc = by_line ? transfer_line(transfer, 1000, &line, error) : transfer_chunk(transfer, 1000, &chunk, error);
        if (rc == STREAM_LINE && by_line)
            put_line(cli, is_csv, line);
        else if (rc == STREAM_LINE)
            fwrite(chunk.data, 1, chunk.len, out);
        if (ferror(out))
            rc = galloc_fail(error, GALLOC_LOCAL_IO, "writing failed: %s", strerror(errno));
    } while (rc == STREAM_LINE || rc == STREAM_NOTHING);
    buf_clear(&chunk);
    transfer_drop(transfer);
    return rc < 0 ? rc : 0;
}

int stream_rows(const struct cli *cli, const char *path, stream_take *take, void *arg, struct galloc_error *error)
{
    struct transfer *transfer = transfer_start(cli->client, &(struct request){.method = "GET", .path = path});
    struct json_span line;
    int rc, taken = 0;
    do {
        rc = transfer_line(transfer, 1000, &line, error);
        if (rc == STREAM_LINE && line.len > 0)
            taken = take(arg, line, error);
    } while (taken == 0 && (rc == STREAM_LINE || rc == STREAM_NOTHING));
    transfer_drop(transfer);
    return taken < 0 ? taken : rc < 0 ? rc : 0;
}

struct array {
    const struct cli *cli;
    FILE *file;
    int64_t count;
};

static int add_element(void *arg, struct json_span row, struct galloc_error *error)
{
    struct array *array = arg;
    struct buf text = BUF_EMPTY;
    (void)error;
    buf_add_str(&text, array->count++ > 0 ? ",\n" : "[\n");
    buf_add(&text, row.at, row.len);
    if (array->file == NULL && array->cli->is_stdout_terminal)
        out_json(array->cli, text.data, text.len);
    else
        fwrite(text.data, 1, text.len, array->file != NULL ? array->file : stdout);
    buf_clear(&text);
    return 0;
}

int stream_array(const struct cli *cli, const char *path, FILE *file, struct galloc_error *error)
{
    struct array array = {.cli = cli, .file = file};
    int rc = stream_rows(cli, path, add_element, &array, error);
    if (rc == 0)
        fputs(array.count > 0 ? "\n]\n" : "[]\n", file != NULL ? file : stdout);
    return rc;
}
