/* Fuzz target: a template, its columns and a render; and the body of POST /v1/runs. The input is a template, a zero
 * byte, an assignment's fields. What is rendered is UTF-8 where its parts are; a plan that is read comes back the same
 * from its JSON. */
#include "base/json.h"
#include "base/text.h"
#include "core/plan.h"
#include "core/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool is_sent(const char *column, void *arg)
{
    (void)arg;
    return column[0] != 's';
}

static void check_template(const char *text, size_t len, const char *fields, size_t fields_len)
{
    struct template *template = NULL;
    struct galloc_error error = {0};
    if (template_parse(text, len, &template, &error) < 0) {
        if (error.message[0] == '\0' || template_error_line(&error) < 0)
            abort();
        return;
    }
    for (const char *const *name = template_names(template); *name != NULL; name++)
        if (**name == '\0')
            abort();
    char region[] = "region", *columns[] = {region, NULL};
    (void)template_check_columns(template, columns, NULL);
    if (fields_len < 2 || fields[0] != '{' || fields[fields_len - 1] != '}' ||
        json_check(fields, fields_len, NULL) < 0) {
        fields = "{\"region\":\"N\",\"secret\":1}";
        fields_len = strlen(fields);
    }
    for (int keeps_back = 0; keeps_back < 2; keeps_back++) {
        struct buf system = BUF_EMPTY, user = BUF_EMPTY;
        struct template_input input = {.key = "LAN{{loads}}",
                                       .fields = fields,
                                       .fields_len = fields_len,
                                       .is_sent = keeps_back ? is_sent : NULL,
                                       .roster = "AGENTS",
                                       .loads = "CANDIDATES"};
        if (template_render(template, &input, &system, &user, NULL, NULL) == 0 &&
            (!text_is_utf8(buf_text(&system), system.len) || !text_is_utf8(buf_text(&user), user.len)))
            abort();
        buf_clear(&system);
        buf_clear(&user);
    }
    template_free(template);
}

static void check_plan(const char *text, size_t len)
{
    struct json_object *body = NULL;
    struct plan plan, again;
    size_t count;
    const struct profile *profiles = profile_defaults(&count);
    if (json_parse(text, len, &body, NULL) == 0 && plan_read(body, profiles, count, &plan, NULL) == 0) {
        struct buf once = BUF_EMPTY, twice = BUF_EMPTY;
        plan_to_json(&plan, &once);
        if (plan_parse(once.data, once.len, &again, NULL) < 0)
            abort();
        plan_to_json(&again, &twice);
        if (once.len != twice.len || memcmp(once.data, twice.data, once.len) != 0)
            abort();
        plan_clear(&plan);
        plan_clear(&again);
        buf_clear(&once);
        buf_clear(&twice);
    }
    json_free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data, *zero = len > 0 ? memchr(text, 0, len) : NULL;
    size_t template_len = zero ? (size_t)(zero - text) : len;
    const char *fields = zero ? zero + 1 : text + len;
    check_template(text, template_len, fields, len - (size_t)(fields - text));
    check_plan(text, len);
    return 0;
}
