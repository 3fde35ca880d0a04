/* Fuzz target: a schema, a zero byte, an answer. Whatever is refused is so with words; a schema that is taken is taken again as it is told to a provider, and an
 * answer that fits is one line that fits again. */
#include "core/schema.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_answer(const struct schema *schema, const char *text, size_t len)
{
    struct galloc_error error = {0};
    struct buf once = BUF_EMPTY, twice = BUF_EMPTY;
    if (schema_answer_read(schema, text, len, &once, &error) < 0) {
        if (error.message[0] == '\0' || error.code != GALLOC_INVALID_INPUT)
            abort();
    } else if (memchr(once.data, '\n', once.len) != NULL || schema_answer_read(schema, once.data, once.len, &twice, NULL) < 0 || once.len != twice.len ||
               memcmp(once.data, twice.data, once.len) != 0) {
        abort();
    }
    buf_clear(&once);
    buf_clear(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data, *zero = len > 0 ? memchr(text, 0, len) : NULL;
    size_t schema_len = zero != NULL ? (size_t)(zero - text) : len;
    struct schema *schema = NULL, *told = NULL;
    struct galloc_error error = {0};
    if (schema_parse(text, schema_len, &schema, &error) < 0) {
        if (error.message[0] == '\0' || error.code != GALLOC_INVALID_INPUT)
            abort();
        return 0;
    }
    struct buf out = BUF_EMPTY;
    schema_write(schema, &out);
    if (json_check(out.data, out.len, NULL) < 0)
        abort();
    if (schema_parse(out.data, out.len, &told, NULL) == 0)
        schema_free(told);
    buf_clear(&out);
    if (zero != NULL)
        check_answer(schema, zero + 1, len - schema_len - 1);
    schema_free(schema);
    return 0;
}
