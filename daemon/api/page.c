/* Lists: pages of the store as {"items":[…],"next":…}. A page of the store may hold nothing and still not be the end; then the next one is read. */
#include "api/handler.h"

#include "core/limits.h"

#include "base/parse.h"
#include "base/util.h"

#include <inttypes.h>
#include <string.h>

#define PAGE_ROWS_DEFAULT 100

static void page_free(void *state)
{
    struct page *page = state;
    free(page->key);
    selector_clear(&page->selector);
    buf_clear(&page->head_text);
    free(page);
}

struct page *page_new(struct request *request, enum store_query query)
{
    struct page *page = xcalloc(1, sizeof *page);
    page->query = query;
    page->limit = PAGE_ROWS_DEFAULT;
    request->state = page;
    request->state_free = page_free;
    return page;
}

int page_parameters(struct request *request, struct page *page, struct galloc_error *error)
{
    int64_t limit;
    int rc = query_int(request, "limit", 1, LIMIT_PAGE_ROWS, PAGE_ROWS_DEFAULT, &limit, error);
    if (rc == 0)
        rc = query_int(request, "cursor", 0, INT64_MAX, 0, &page->after, error);
    if (rc == 0)
        page->limit = (int32_t)limit;
    return rc;
}

struct store_read *page_read(struct request *request, const struct page *page, void (*done)(struct store_op *op))
{
    struct store_read *read = handler_op(request, OP_READ, done);
    read->query = page->query;
    read->run = page->run;
    read->pool = page->pool;
    read->key = xstrdup(page->key);
    read->after = page->after;
    read->limit = page->limit;
    read->with_fields = page->with_fields;
    selector_copy(&page->selector, &read->selector);
    return read;
}

static void page_finish(struct request *request, int64_t next)
{
    struct page *page = request->state;
    json_out_end(&page->out, ']');
    json_out_name(&page->out, "next");
    if (next > 0) {
        char text[24];
        snprintf(text, sizeof text, "%" PRId64, next);
        json_out_str(&page->out, text);
    } else {
        json_out_null(&page->out);
    }
    json_out_end(&page->out, '}');
    request_reply(request, 200);
}

static void on_page(struct store_op *op)
{
    struct store_read *read = (struct store_read *)op;
    struct request *request = op->arg;
    struct page *page = request->state;
    if (op->code < 0) {
        request_fail_op(request, op);
        store_op_free(op);
        return;
    }
    for (size_t i = 0; i < read->ret_row_count; i++)
        page->count += page->row(request, &page->out, read, i);
    int64_t next = page->is_over ? 0 : read->ret_next;
    size_t rows = read->ret_row_count;
    store_op_free(op);
    page->after = next;
    bool wants_more = next != 0 && (page->is_single || page->count == 0);
    if (rows < (size_t)page->limit && !page->is_single)
        page->limit -= (int32_t)rows;
    if (page->is_single)
        page->limit = LIMIT_PAGE_ROWS;
    if (wants_more && request->connection != NULL && page->limit > 0)
        handler_submit(request, &page_read(request, page, on_page)->op);
    else
        page_finish(request, page->is_single ? 0 : next);
}

void page_start(struct request *request)
{
    struct page *page = request->state;
    page->out = JSON_OUT(&request->out);
    json_out_begin(&page->out, '{');
    if (page->head_text.len > 0)
        json_out_raw(&page->out, page->head_text.data, page->head_text.len);
    json_out_name(&page->out, "items");
    json_out_begin(&page->out, '[');
    handler_submit(request, &page_read(request, page, on_page)->op);
}

void cell_json(struct json_out *out, const struct store_read *read, size_t row, size_t column)
{
    const struct store_cell *cell = read_cell(read, row, column);
    switch (cell->kind) {
    case CELL_NULL:
        json_out_null(out);
        break;
    case CELL_INT:
        json_out_int(out, cell->integer);
        break;
    case CELL_REAL:
        json_out_ratio(out, cell->real);
        break;
    case CELL_TEXT:
        json_out_text(out, read->ret_text.data + cell->at, cell->len);
        break;
    case CELL_JSON:
        json_out_raw(out, read->ret_text.data + cell->at, cell->len);
        break;
    case CELL_TIME:
        json_out_time(out, cell->integer);
        break;
    case CELL_BOOL:
        json_out_bool(out, cell->integer != 0);
        break;
    }
}

void cell_member(struct json_out *out, const char *name, const struct store_read *read, size_t row, size_t column)
{
    json_out_name(out, name);
    cell_json(out, read, row, column);
}
