/* The template of a prompt, and the schema of an answer beside it: the built-in template, and the check of both before anything is enqueued. Memory alone. */
#include "api/handler.h"

#include "core/schema.h"
#include "core/template.h"

#include <string.h>

/* What is asked about. */
struct template_asked {
    const char *text;
    char *schema;   /* owned JSON; NULL: it is to allocate with */
    char **columns; /* owned NULL-ended list; NULL: not told */
};

static void add_problem(struct json_out *out, const char *of, int line, const char *message)
{
    json_out_begin(out, '{');
    json_out_member_str(out, "of", of);
    if (line > 0)
        json_out_member_int(out, "line", line);
    else
        json_out_member_null(out, "line");
    json_out_member_str(out, "message", message);
    json_out_end(out, '}');
}

static int check_template(const struct template_asked *asked, struct template **ret_template, struct galloc_error *error)
{
    int rc = template_parse(asked->text, strlen(asked->text), ret_template, error);
    if (rc == 0)
        rc = template_check_agents(*ret_template, asked->schema != NULL, error);
    if (rc == 0 && asked->columns != NULL)
        rc = template_check_columns(*ret_template, asked->columns, error);
    return rc;
}

static int check_schema(const struct template_asked *asked, struct galloc_error *error)
{
    struct schema *schema = NULL;
    int rc = asked->schema != NULL ? schema_parse(asked->schema, strlen(asked->schema), &schema, error) : 0;
    schema_free(schema);
    return rc;
}

static void reply(struct request *request, const struct template_asked *asked)
{
    struct json_out out = JSON_OUT(&request->out);
    struct template *template = NULL;
    struct galloc_error of_template = {0}, of_schema = {0};
    bool is_template_well = check_template(asked, &template, &of_template) == 0, is_schema_well = check_schema(asked, &of_schema) == 0;
    json_out_begin(&out, '{');
    json_out_member_str(&out, "template", asked->text);
    json_out_member_bool(&out, "ok", is_template_well && is_schema_well);
    json_out_name(&out, "names");
    json_out_begin(&out, '[');
    for (const char *const *name = template ? template_names(template) : NULL; name != NULL && *name != NULL; name++)
        json_out_str(&out, *name);
    json_out_end(&out, ']');
    json_out_name(&out, "problems");
    json_out_begin(&out, '[');
    if (!is_template_well)
        add_problem(&out, "template", template_error_line(&of_template), of_template.message);
    if (!is_schema_well)
        add_problem(&out, "schema", 0, of_schema.message);
    json_out_end(&out, ']');
    json_out_end(&out, '}');
    template_free(template);
    request_reply(request, 200);
}

void handle_template_show(struct request *request)
{
    reply(request, &(struct template_asked){.text = template_builtin()});
}

static int read_columns(struct json_object *columns, char ***ret_columns, struct galloc_error *error)
{
    size_t count = json_array_len(columns);
    if (columns == NULL)
        return 0;
    *ret_columns = xcalloc(count + 1, sizeof(char *));
    for (size_t i = 0; i < count; i++) {
        const char *name = json_str(json_array_at(columns, i), NULL);
        if (name == NULL)
            return galloc_fail(error, GALLOC_INVALID_VALUE, "\"columns\" has to be a list of texts; its item %zu is not", i + 1);
        (*ret_columns)[i] = xstrdup(name);
    }
    return 0;
}

void handle_template_check(struct request *request)
{
    struct template_asked asked = {.text = json_get_str(request->json, "template", "")};
    struct json_object *schema = json_get(request->json, "schema");
    struct galloc_error error;
    if (schema != NULL) {
        struct buf text = BUF_EMPTY;
        json_to_text(schema, &text);
        asked.schema = buf_take(&text);
    }
    if (read_columns(json_get(request->json, "columns"), &asked.columns, &error) < 0)
        request_fail(request, &error);
    else
        reply(request, &asked);
    for (char **at = asked.columns; at != NULL && *at != NULL; at++)
        free(*at);
    free(asked.columns);
    free(asked.schema);
}
