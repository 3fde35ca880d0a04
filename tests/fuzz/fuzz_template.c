/* Fuzz target: prompt templates. The first line is a template, what follows it the fields of an assignment. What was put in is never read
 * again: a template without names gives its own text, and rendering is over after one pass. */
#include "core/template.h"

#include "base/json_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool every_column(const char *column, void *arg)
{
    (void)arg;
    return column[0] != '_';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct template *template = NULL;
    const char *text = (const char *)data;
    const char *cut = memchr(text, 0, len);
    size_t template_len = cut ? (size_t)(cut - text) : len;
    const char *fields = cut ? cut + 1 : "{\"region\":\"{{key}}\"}";
    size_t fields_len = cut ? len - template_len - 1 : strlen(fields);
    char *columns[] = {(char[]){"region"}, (char[]){"status"}, NULL};

    if (template_parse(text, template_len, &template, NULL) != 0)
        return 0;
    (void)!template_check_columns(template, columns, NULL);
    for (const char *const *name = template_fields(template); *name != NULL; name++)
        if (**name == '\0')
            abort();
    if (json_check(fields, fields_len, NULL) == 0 && json_span_kind((struct json_span){fields, fields_len}) == JSON_OBJECT) {
        struct buf system = BUF_EMPTY, user = BUF_EMPTY;
        struct template_input input = {.key = "LAN{{loads}}", .fields = fields, .fields_len = fields_len, .is_sent = every_column,
                                       .roster = "AGENTS {{key}}", .loads = "CANDIDATES"};
        (void)!template_render(template, &input, &system, &user, NULL);
        buf_clear(&system);
        buf_clear(&user);
    }
    template_free(template);
    return 0;
}
