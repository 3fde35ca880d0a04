/* Fuzz target: the strict JSON reader. What it lets through, json-c must read as well, and every span that it hands out
 * lies within the text; a string decoded and written again is the same string. */
#include "base/json.h"
#include "base/json_out.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Walks everything below a checked span. Depth is bounded by JSON_DEPTH_MAX, which json_check() saw to. */
static void walk(struct json_span span, struct json_span whole)
{
    struct json_span name, value;
    const char *at = NULL;

    if (span.at < whole.at || span.at + span.len > whole.at + whole.len)
        abort();
    enum json_kind kind = json_span_kind(span);
    if (kind == JSON_STRING) {
        struct buf once = BUF_EMPTY, quoted = BUF_EMPTY, twice = BUF_EMPTY;
        json_span_string(span, &once);
        json_quote(&quoted, buf_text(&once), once.len);
        if (json_check(buf_text(&quoted), quoted.len, NULL) != 0)
            abort();
        json_span_string((struct json_span){buf_text(&quoted), quoted.len}, &twice);
        if (once.len != twice.len || memcmp(buf_text(&once), buf_text(&twice), once.len) != 0)
            abort();
        buf_clear(&once);
        buf_clear(&quoted);
        buf_clear(&twice);
    } else if (kind == JSON_ARRAY || kind == JSON_OBJECT) {
        while (json_next(span, &at, &name, &value))
            walk(value, whole);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct json_object *value = NULL;
    const char *text = (const char *)data;

    if (json_check(text, len, NULL) != 0) {
        if (json_parse(text, len, &value, NULL) == 0)
            abort();
        return 0;
    }
    struct json_span span = {text, len};
    while (span.len > 0 && memchr(" \t\r\n", *span.at, 4) != NULL) {
        span.at++;
        span.len--;
    }
    while (span.len > 0 && memchr(" \t\r\n", span.at[span.len - 1], 4) != NULL)
        span.len--;
    walk(span, (struct json_span){text, len});
    if (json_parse(text, len, &value, NULL) != 0)
        abort();
    json_free(value);
    return 0;
}
