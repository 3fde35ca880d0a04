/* See plan.h. The options are rows of one table: reading, writing, clearing and the list of known names walk it. The
 * plan's JSON has the shape of the request's body, so one reader serves both. */
#include "core/plan_inside.h"

#include "core/limits.h"

#include "base/json.h"
#include "base/json_out.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PLAN_NAME_BYTES 100    /* of a run: as schema/openapi.yaml has it */
#define PLAN_COLUMN_BYTES 1024 /* a column's name */
#define PLAN_COLUMNS 4096      /* columns of an input */
#define PLAN_MATCHES 64        /* --match given so often */
#define PLAN_BATCH_MAX 1000    /* started together */
#define PLAN_AMOUNT_BYTES 64   /* an amount of money */
#define PLAN_DAY_MS INT64_C(86400000)
#define PLAN_MAX_AGE_MS (3650 * PLAN_DAY_MS)

enum option_kind { OPTION_INT, OPTION_TEXT, OPTION_LIST, OPTION_BOOL, OPTION_MATCH, OPTION_CHOICE, OPTION_AMOUNT };

static const char *const canary_names[] = {"auto", "on", "off", NULL};
static const char *const duplicate_names[] = {"skip", "error", "replace", NULL};
static const char *const tier_names[] = {"standard", "flex", NULL}; /* of enum price_tier */

/* The rows of `options`. `missing` is an int's value where nobody gave one; it is not written, nor is a choice's first. */
static const struct option_row {
    struct json_field field;
    enum option_kind kind;
    size_t at; /* offset in struct plan */
    int64_t missing;
    bool is_kept; /* stands in the plan's JSON */
    const char *const *choices; /* NULL-ended names of the numbers 0, 1, … of a choice */
} option_rows[] = {
#define AT(member) offsetof(struct plan, member)
    {{"send", JSON_TYPE_ARRAY, false, 0, 0}, OPTION_LIST, AT(send), 0, true, NULL},
    {{"keep_back", JSON_TYPE_ARRAY, false, 0, 0}, OPTION_LIST, AT(keep_back), 0, true, NULL},
    {{"match", JSON_TYPE_ARRAY, false, 0, 0}, OPTION_MATCH, AT(match), 0, true, NULL},
    {{"max_candidates", JSON_TYPE_I64, false, 1, LIMIT_PROMPT_AGENTS}, OPTION_INT, AT(max_candidates), 0, true, NULL},
    {{"batch_size", JSON_TYPE_I64, false, 1, PLAN_BATCH_MAX}, OPTION_INT, AT(batch_size), -1, true, NULL},
    {{"delay_ms", JSON_TYPE_I64, false, 0, PLAN_DAY_MS}, OPTION_INT, AT(delay_ms), -1, true, NULL},
    {{"max_retries", JSON_TYPE_I64, false, 0, LIMIT_MAX_RETRIES}, OPTION_INT, AT(max_retries), -1, true, NULL},
    {{"pack", JSON_TYPE_I64, false, 0, LIMIT_PACK}, OPTION_INT, AT(pack), 1, true, NULL},
    {{"priority", JSON_TYPE_I64, false, -100, 100}, OPTION_INT, AT(priority), 0, true, NULL},
    {{"max_age_ms", JSON_TYPE_I64, false, 1, PLAN_MAX_AGE_MS}, OPTION_INT, AT(max_age_ms), 0, true, NULL},
    {{"on_duplicate", JSON_TYPE_STR, false, 0, 0}, OPTION_CHOICE, AT(on_duplicate), 0, true, duplicate_names},
    {{"max_cost", JSON_TYPE_STR, false, 1, PLAN_AMOUNT_BYTES}, OPTION_AMOUNT, AT(max_cost), 0, true, NULL},
    {{"tier", JSON_TYPE_STR, false, 0, 0}, OPTION_CHOICE, AT(tier), 0, true, tier_names},
    {{"order", JSON_TYPE_STR, false, 1, PLAN_COLUMN_BYTES}, OPTION_TEXT, AT(order), 0, true, NULL},
    {{"key", JSON_TYPE_STR, false, 1, PLAN_COLUMN_BYTES}, OPTION_TEXT, AT(key_column), 0, true, NULL},
    {{"first", JSON_TYPE_I64, false, 1, INT64_MAX}, OPTION_INT, AT(first), 0, true, NULL},
    {{"sample", JSON_TYPE_I64, false, 1, INT64_MAX}, OPTION_INT, AT(sample), 0, true, NULL},
    {{"seed", JSON_TYPE_I64, false, 0, INT64_MAX}, OPTION_INT, AT(seed), -1, true, NULL},
    {{"copy_of", JSON_TYPE_STR, false, 1, LIMIT_NAME_BYTES}, OPTION_TEXT, AT(copy_of), 0, true, NULL},
    {{"from", JSON_TYPE_STR, false, 1, LIMIT_NAME_BYTES}, OPTION_TEXT, AT(from), 0, true, NULL},
    {{"delimiter", JSON_TYPE_STR, false, 1, LIMIT_NAME_BYTES}, OPTION_TEXT, AT(delimiter), 0, true, NULL},
    {{"encoding", JSON_TYPE_STR, false, 1, LIMIT_NAME_BYTES}, OPTION_TEXT, AT(encoding), 0, true, NULL},
    {{"columns", JSON_TYPE_ARRAY, false, 0, 0}, OPTION_LIST, AT(columns), 0, false, NULL},
    {{"again", JSON_TYPE_BOOL, false, 0, 0}, OPTION_BOOL, AT(is_again), 0, false, NULL},
    {{"workers_too", JSON_TYPE_BOOL, false, 0, 0}, OPTION_BOOL, AT(workers_too), 0, true, NULL},
    {{"canary", JSON_TYPE_STR, false, 0, 0}, OPTION_CHOICE, AT(canary), 0, true, canary_names},
    {{"open", JSON_TYPE_BOOL, false, 0, 0}, OPTION_BOOL, AT(is_open), 0, true, NULL},
#undef AT
};

static const struct json_field body_fields[] = {
    {"name", JSON_TYPE_STR, false, 1, PLAN_NAME_BYTES},
    {"pool", JSON_TYPE_STR, false, 1, LIMIT_NAME_BYTES},
    {"agents", JSON_TYPE_ARRAY, false, 0, 0},
    {"endpoint", JSON_TYPE_STR, false, 1, LIMIT_ENDPOINTS_BYTES},
    {"profile", JSON_TYPE_STR, false, 1, LIMIT_NAME_BYTES},
    {"template", JSON_TYPE_STR, false, 1, LIMIT_PROMPT_BYTES},
    {"schema", JSON_TYPE_OBJECT, false, 0, 0},
    {"columns", JSON_TYPE_ARRAY, false, 0, 0},
    {"options", JSON_TYPE_OBJECT, false, 0, 0},
    {"paused", JSON_TYPE_BOOL, false, 0, 0},
    {"source", JSON_TYPE_OBJECT, false, 0, 0},
};

static const struct json_field source_fields[] = {
    {"name", JSON_TYPE_STR, false, 1, 4096},
    {"sha256", JSON_TYPE_STR, false, 64, 64},
};

static void *member_of(struct plan *plan, const struct option_row *row)
{
    return (char *)plan + row->at;
}

static void list_free(char **list)
{
    for (char **at = list; at != NULL && *at != NULL; at++)
        free(*at);
    free(list);
}

static void match_free(struct plan *plan)
{
    for (size_t i = 0; i < plan->match_count; i++) {
        free(plan->match[i].field);
        free(plan->match[i].attribute);
    }
    free(plan->match);
}

void plan_clear(struct plan *plan)
{
    for (size_t i = 0; i < ARRAY_COUNT(option_rows); i++) {
        if (option_rows[i].kind == OPTION_TEXT)
            free(*(char **)member_of(plan, &option_rows[i]));
        else if (option_rows[i].kind == OPTION_LIST)
            list_free(*(char ***)member_of(plan, &option_rows[i]));
    }
    match_free(plan);
    free(plan->name);
    free(plan->endpoint);
    free(plan->profile);
    free(plan->pool);
    free(plan->template);
    free(plan->schema);
    free(plan->source_name);
    free(plan->source_sha256);
    *plan = (struct plan){0};
}

/* ---- reading ---- */

/* An element of a list of names, or NULL with the error filled. Borrowed. */
static const char *list_item(struct json_object *array, size_t index, const char *what, struct galloc_error *error)
{
    size_t len = 0;
    const char *text = json_str(json_array_at(array, index), &len);
    if (text == NULL || len == 0 || len > PLAN_COLUMN_BYTES || strlen(text) != len) {
        galloc_fail(error, GALLOC_INVALID_VALUE,
                    "\"%s\" has to be a list of column names; its element %zu is not a text of 1 to %d bytes", what,
                    index + 1, PLAN_COLUMN_BYTES);
        return NULL;
    }
    return text;
}

static int read_list(struct json_object *array, const char *what, char ***ret_list, struct galloc_error *error)
{
    size_t count = json_array_len(array);
    if (count > PLAN_COLUMNS)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" names %zu columns; the most is %d", what, count,
                           PLAN_COLUMNS);
    char **list = xcalloc(count + 1, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        const char *text = list_item(array, i, what, error);
        if (text == NULL) {
            list_free(list);
            return -GALLOC_INVALID_VALUE;
        }
        list[i] = xstrdup(text);
    }
    list_free(*ret_list); /* `columns` may stand at both places */
    *ret_list = list;
    return 0;
}

/* The text between `from` and `to` without the blanks around it. Owned. */
static char *trimmed(const char *from, const char *to)
{
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    return xstrndup(from, (size_t)(to - from));
}

static int read_match(struct json_object *array, struct plan *plan, struct galloc_error *error)
{
    size_t count = json_array_len(array);
    if (count > PLAN_MATCHES)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"match\" has %zu rules; the most is %d", count, PLAN_MATCHES);
    plan->match = xcalloc(count, sizeof *plan->match);
    for (size_t i = 0; i < count; i++) {
        const char *text = list_item(array, i, "match", error);
        if (text == NULL)
            return -GALLOC_INVALID_VALUE;
        const char *equals = strchr(text, '=');
        struct match_rule *rule = &plan->match[plan->match_count++];
        rule->field = trimmed(text, equals ? equals : text);
        rule->attribute = trimmed(equals ? equals + 1 : text, equals ? text + strlen(text) : text);
        if (rule->field[0] == '\0' || rule->attribute[0] == '\0')
            return galloc_fail(error, GALLOC_INVALID_VALUE,
                               "\"%s\" is not a match rule; write FIELD=ATTR: a column of the assignments and an "
                               "attribute of the agents, such as "
                               "region=region",
                               text);
    }
    return 0;
}

static int read_choice(const struct option_row *row, const char *text, int *ret_choice, struct galloc_error *error)
{
    struct buf known = BUF_EMPTY;
    int choice = -1;
    for (int i = 0; row->choices[i] != NULL; i++) {
        choice = strcmp(text, row->choices[i]) == 0 ? i : choice;
        buf_add_fmt(&known, "%s%s", i == 0 ? "" : row->choices[i + 1] != NULL ? ", " : " or ", row->choices[i]);
    }
    if (choice >= 0)
        *ret_choice = choice;
    int rc = choice >= 0 ? 0 : galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" is \"%s\"; it has to be %s", row->field.name, text, buf_text(&known));
    buf_clear(&known);
    return rc;
}

static int read_amount(const char *name, const char *text, struct amount *ret_amount, struct galloc_error *error)
{
    int rc = amount_parse(text, ret_amount, error);
    return rc < 0 ? galloc_prefix(error, "\"%s\"", name) : 0;
}

static int read_option(const struct option_row *row, struct json_object *options, struct plan *plan,
                       struct galloc_error *error)
{
    const char *name = row->field.name;
    struct json_object *value = json_get(options, name);
    void *member = member_of(plan, row);
    if (value == NULL)
        return 0;
    switch (row->kind) {
    case OPTION_INT:
        *(int64_t *)member = json_get_i64(options, name, row->missing);
        return 0;
    case OPTION_TEXT:
        *(char **)member = xstrdup(json_str(value, NULL));
        return 0;
    case OPTION_BOOL:
        *(bool *)member = json_get_bool(options, name, false);
        return 0;
    case OPTION_LIST:
        return read_list(value, name, member, error);
    case OPTION_MATCH:
        return read_match(value, plan, error);
    case OPTION_CHOICE:
        return read_choice(row, json_str(value, NULL), member, error);
    case OPTION_AMOUNT:
        return read_amount(name, json_str(value, NULL), member, error);
    }
    return 0;
}

static int read_options(struct json_object *options, struct plan *plan, struct galloc_error *error)
{
    struct json_field fields[ARRAY_COUNT(option_rows)];
    for (size_t i = 0; i < ARRAY_COUNT(option_rows); i++) {
        fields[i] = option_rows[i].field;
        if (option_rows[i].kind == OPTION_INT)
            *(int64_t *)member_of(plan, &option_rows[i]) = option_rows[i].missing;
    }
    if (options == NULL)
        return 0;
    int rc = json_check_fields(options, fields, ARRAY_COUNT(fields), error);
    for (size_t i = 0; rc == 0 && i < ARRAY_COUNT(option_rows); i++)
        rc = read_option(&option_rows[i], options, plan, error);
    return rc < 0 ? galloc_prefix(error, "options") : 0;
}

static int read_source(struct json_object *source, struct plan *plan, struct galloc_error *error)
{
    if (source == NULL)
        return 0;
    int rc = json_check_fields(source, source_fields, ARRAY_COUNT(source_fields), error);
    if (rc < 0)
        return galloc_prefix(error, "source");
    const char *sha256 = json_get_str(source, "sha256", NULL);
    if (sha256 != NULL && strspn(sha256, "0123456789abcdef") != 64)
        return galloc_fail(error, GALLOC_INVALID_VALUE,
                           "source: \"sha256\" has to be 64 hexadecimal digits in lower case");
    plan->source_name = xstrdup(json_get_str(source, "name", NULL));
    plan->source_sha256 = xstrdup(sha256);
    return 0;
}

/* Everything that stands in a body, without looking at what it means. */
static int read_members(struct json_object *body, struct plan *plan, struct galloc_error *error)
{
    int rc = json_check_fields(body, body_fields, ARRAY_COUNT(body_fields), error);
    if (rc == 0)
        rc = read_options(json_get(body, "options"), plan, error);
    if (rc == 0)
        rc = read_source(json_get(body, "source"), plan, error);
    if (rc == 0 && json_get(body, "columns") != NULL)
        rc = read_list(json_get(body, "columns"), "columns", &plan->columns, error);
    if (rc < 0)
        return rc;
    plan->name = xstrdup(json_get_str(body, "name", NULL));
    plan->pool = xstrdup(json_get_str(body, "pool", NULL));
    plan->endpoint = xstrdup(json_get_str(body, "endpoint", NULL));
    size_t count;
    plan->profile = xstrdup(json_get_str(body, "profile", profile_defaults(&count)[0].name));
    plan->template = xstrdup(json_get_str(body, "template", NULL));
    if (json_get(body, "schema") != NULL) {
        struct buf schema = BUF_EMPTY;
        json_to_text(json_get(body, "schema"), &schema);
        plan->schema = buf_take(&schema);
    }
    plan->is_paused = json_get_bool(body, "paused", false);
    return 0;
}

int plan_read(struct json_object *body, const struct profile *profiles, size_t profile_count, struct plan *ret_plan,
              struct galloc_error *error)
{
    struct plan plan = {0};
    int rc = read_members(body, &plan, error);
    if (rc == 0)
        rc = plan_check(&plan, json_get(body, "agents") != NULL, profiles, profile_count, error);
    if (rc < 0) {
        plan_clear(&plan);
        return rc;
    }
    *ret_plan = plan;
    return 0;
}

/* ---- the plan as JSON ---- */

static void write_list(struct json_out *out, const char *name, char *const *list)
{
    json_out_name(out, name);
    json_out_begin(out, '[');
    for (; *list != NULL; list++)
        json_out_str(out, *list);
    json_out_end(out, ']');
}

static void write_match(struct json_out *out, const struct plan *plan)
{
    json_out_name(out, "match");
    json_out_begin(out, '[');
    for (size_t i = 0; i < plan->match_count; i++) {
        char *rule = xasprintf("%s=%s", plan->match[i].field, plan->match[i].attribute);
        json_out_str(out, rule);
        free(rule);
    }
    json_out_end(out, ']');
}

static void write_amount(struct json_out *out, const char *name, const struct amount *amount)
{
    struct buf text = BUF_EMPTY;
    amount_add_text(&text, amount);
    json_out_member_str(out, name, buf_text(&text));
    buf_clear(&text);
}

static void write_option(struct json_out *out, const struct option_row *row, const struct plan *plan)
{
    const void *member = (const char *)plan + row->at;
    if (row->kind == OPTION_INT && *(const int64_t *)member != row->missing)
        json_out_member_int(out, row->field.name, *(const int64_t *)member);
    else if (row->kind == OPTION_TEXT && *(char *const *)member != NULL)
        json_out_member_str(out, row->field.name, *(char *const *)member);
    else if (row->kind == OPTION_BOOL && *(const bool *)member)
        json_out_member_bool(out, row->field.name, true);
    else if (row->kind == OPTION_LIST && *(char **const *)member != NULL)
        write_list(out, row->field.name, *(char **const *)member);
    else if (row->kind == OPTION_MATCH && plan->match_count > 0)
        write_match(out, plan);
    else if (row->kind == OPTION_CHOICE && *(const int *)member != 0)
        json_out_member_str(out, row->field.name, row->choices[*(const int *)member]);
    else if (row->kind == OPTION_AMOUNT && ((const struct amount *)member)->is_set)
        write_amount(out, row->field.name, member);
}

void plan_to_json(const struct plan *plan, struct buf *buf)
{
    const struct {
        const char *name, *value;
    } texts[] = {
        {"pool", plan->pool}, {"endpoint", plan->endpoint}, {"profile", plan->profile}, {"template", plan->template}};
    struct json_out out = JSON_OUT(buf);
    json_out_begin(&out, '{');
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        if (texts[i].value != NULL)
            json_out_member_str(&out, texts[i].name, texts[i].value);
    if (plan->schema != NULL) {
        json_out_name(&out, "schema");
        json_out_raw(&out, plan->schema, strlen(plan->schema));
    }
    json_out_name(&out, "options");
    json_out_begin(&out, '{');
    for (size_t i = 0; i < ARRAY_COUNT(option_rows); i++)
        if (option_rows[i].is_kept)
            write_option(&out, &option_rows[i], plan);
    json_out_end(&out, '}');
    json_out_end(&out, '}');
}

int plan_parse(const char *json, size_t len, struct plan *ret_plan, struct galloc_error *error)
{
    struct json_object *body = NULL;
    struct plan plan = {0};
    int rc = json_parse(json, len, &body, error);
    if (rc == 0)
        rc = read_members(body, &plan, error);
    json_free(body);
    if (rc < 0) {
        plan_clear(&plan);
        return galloc_prefix(error, "the stored plan cannot be read");
    }
    *ret_plan = plan;
    return 0;
}
