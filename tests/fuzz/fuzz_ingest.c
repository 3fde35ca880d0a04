/* Fuzz target: a part of an import. Whatever bytes come, each line is a row or a rejection, rows point into the part's text, and the list of
 * rejections is JSON. */
#include "ingest/ingest.h"

#include "base/json_scan.h"
#include "base/text.h"
#include "core/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_row(const struct ingest_part *part, const struct ingest_row *row)
{
    const char *end = part->text + part->len, *why = NULL;
    if (row->key.at < part->text || row->key.at + row->key.len > end || row->fields.at < part->text || row->fields.at + row->fields.len > end)
        abort();
    if (!text_is_key(row->key.at, row->key.len, &why) || row->key.len > LIMIT_KEY_BYTES)
        abort();
    if (json_check(row->fields.at, row->fields.len, NULL) != 0)
        abort();
    if (json_span_kind((struct json_span){row->fields.at, row->fields.len}) != JSON_OBJECT)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct ingest_part *part = xcalloc(1, sizeof *part);
    part->text = xmalloc(len + 1);
    memcpy(part->text, data, len);
    part->text[len] = '\0';
    part->len = len;
    ingest_part_check(part);
    for (size_t i = 0; i < part->count; i++)
        check_row(part, &part->rows[i]);
    if (part->code == 0 && json_check(buf_text(&part->rejected), part->rejected.len, NULL) != 0)
        abort();
    ingest_part_free(part);
    return 0;
}
