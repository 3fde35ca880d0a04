/* Fuzz target: what a model answers to several assignments at once. Whatever comes, an id has one object that lies within the text, or none. */
#include "core/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    enum { COUNT = 4 };
    struct pack_item items[COUNT];
    struct galloc_error error = {.message = ""};
    const char *text = (const char *)data;
    if (pack_answer_read(text, len, "ab", COUNT, items, &error) < 0) {
        if (error.message[0] == '\0')
            abort();
        return 0;
    }
    for (size_t i = 0; i < COUNT; i++) {
        struct alloc_answer answer = {.reason = NULL};
        const struct json_span object = items[i].object;
        if ((object.at != NULL) != (items[i].count == 1))
            abort();
        if (object.at == NULL)
            continue;
        if (object.at < text || object.at + object.len > text + len || object.at[0] != '{' || object.at[object.len - 1] != '}')
            abort();
        if (alloc_answer_read(object.at, object.len, &answer, NULL) == 0)
            free(answer.reason);
    }
    return 0;
}
