/* Numbered parts of an import, and the list of those that stand. */
#include "api/handler.h"
#include "api/rows_in.h"

#include "base/parse.h"

static void take_part(struct request *request, struct run_entry *run)
{
    struct galloc_error error;
    int64_t n = 0;
    if (parse_i64(request->params[1], 1, INT64_MAX, &n, &error) < 0) {
        galloc_prefix(&error, "the part's number");
        request_fail(request, &error);
        return;
    }
    rows_in(request, run, (struct rows_in){.form = INGEST_PART, .part = n});
}

void handle_part_put(struct request *request)
{
    handler_with_plan(request, take_part);
}

static bool part_row(struct request *request, struct json_out *out, const struct store_read *read, size_t row)
{
    (void)request;
    json_out_begin(out, '{');
    cell_member(out, "n", read, row, PART_N);
    cell_member(out, "sha256", read, row, PART_SHA256);
    cell_member(out, "rows", read, row, PART_ROWS);
    cell_member(out, "answer", read, row, PART_ANSWER);
    json_out_end(out, '}');
    return true;
}

static void list_parts(struct request *request, struct run_entry *run)
{
    struct page *page = request->state;
    page->run = run->info.id;
    page_start(request);
}

void handle_part_list(struct request *request)
{
    struct galloc_error error;
    struct page *page = page_new(request, QUERY_PARTS);
    page->row = part_row;
    if (page_parameters(request, page, &error) < 0)
        request_fail(request, &error);
    else
        handler_with_run(request, NULL, list_parts);
}
