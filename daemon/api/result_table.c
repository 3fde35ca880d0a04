/* See result_table.h. The columns of the store are rows of a table; those of answer, agent and input are groups (result_group.c). */
#include "api/result_group.h"

#include "core/schema.h"

#include <stdlib.h>
#include <string.h>

/* A cell of CSV and NDJSON alike. Error columns of what did not fail are empty. */
static const struct result_column {
    const char *name;
    enum assignment_column column;
    bool is_models; /* the model's or the provider's words: a spreadsheet must not run them */
    enum { OF_ALL, OF_ALLOCATIONS, OF_FAILED } of;
} columns[] = {
    {"key", ASSIGNMENT_KEY, false, OF_ALL},
    {"state", ASSIGNMENT_STATE, false, OF_ALL},
    {"agent_id", ASSIGNMENT_AGENT_ID, false, OF_ALLOCATIONS},
    {"reason", ASSIGNMENT_REASON, true, OF_ALLOCATIONS},
    {"confidence", ASSIGNMENT_CONFIDENCE, false, OF_ALLOCATIONS},
    {"decided_by", ASSIGNMENT_DECIDED_BY, false, OF_ALL},
    {"attempts", ASSIGNMENT_ATTEMPTS, false, OF_ALL},
    {"latency_ms", ASSIGNMENT_LATENCY_MS, false, OF_ALL},
    {"tokens_in", ASSIGNMENT_TOKENS_IN, false, OF_ALL},
    {"tokens_out", ASSIGNMENT_TOKENS_OUT, false, OF_ALL},
    {"model", ASSIGNMENT_MODEL, true, OF_ALL},
    {"finished_at", ASSIGNMENT_FINISHED_AT, false, OF_ALL},
    {"error_code", ASSIGNMENT_CODE, false, OF_FAILED},
    {"error_message", ASSIGNMENT_MESSAGE, true, OF_FAILED},
    {"error_http_status", ASSIGNMENT_HTTP_STATUS, false, OF_FAILED},
    /* Later additions stand at the end, so that readers of CSV by position go on working. */
    {"cost_micros", ASSIGNMENT_COST_MICROS, false, OF_ALL},
    {"currency", ASSIGNMENT_CURRENCY, false, OF_ALL},
};
#define ANSWER_BEHIND 2 /* an answer's columns stand where an allocation's would */

static bool is_shown(const struct result_table *table, const struct result_column *column)
{
    return column->of != OF_ALLOCATIONS || !table->is_question;
}

void result_table_begin(struct result_table *table, const struct plan *plan)
{
    struct schema *schema = NULL;
    size_t count = 0;
    table->answers = (struct result_group){.prefix = "answer_", .is_models = true};
    table->attributes = (struct result_group){.prefix = "agent_", .always = true};
    table->inputs = (struct result_group){.prefix = "input_"};
    table->is_question = plan_is_question(plan);
    table->key_name = xstrdup(plan->key_column != NULL ? plan->key_column : "key");
    if (!table->is_question || schema_parse(plan->schema, strlen(plan->schema), &schema, NULL) < 0)
        return;
    const char *const *names = schema_properties(schema, &count);
    for (size_t i = 0; i < count; i++)
        result_group_add(&table->answers, names[i]);
    schema_free(schema);
}

void result_table_clear(struct result_table *table)
{
    for (size_t i = 0; i < table->agent_count; i++) {
        free(table->agents[i].agent_id);
        free(table->agents[i].attributes);
    }
    free(table->agents);
    free(table->key_name);
    result_group_clear(&table->answers);
    result_group_clear(&table->attributes);
    result_group_clear(&table->inputs);
}

/* ---- what stands beside the decision ---- */

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct result_agent *)a)->agent_id, ((const struct result_agent *)b)->agent_id);
}

void result_table_take_agents(struct result_table *table, const struct store_read *loads)
{
    table->agents = xreallocarray(table->agents, table->agent_count + loads->ret_row_count + 1, sizeof *table->agents);
    for (size_t i = 0; i < loads->ret_row_count; i++) {
        const char *agent_id = read_text(loads, i, LOAD_AGENT_ID), *attributes = read_text(loads, i, LOAD_ATTRIBUTES);
        if (agent_id == NULL || attributes == NULL || json_check(attributes, strlen(attributes), NULL) < 0)
            continue;
        table->agents[table->agent_count++] = (struct result_agent){xstrdup(agent_id), xstrdup(attributes)};
        if (result_group_take(&table->attributes, (struct json_span){attributes, strlen(attributes)}, NULL) < 0)
            break; /* 4,096 attributes are shown */
    }
    qsort(table->agents, table->agent_count, sizeof *table->agents, by_id);
}

static const char *attributes_of(const struct result_table *table, const char *agent_id)
{
    const struct result_agent wanted = {.agent_id = (char *)agent_id};
    const struct result_agent *found =
        agent_id != NULL && table->agent_count > 0 ? bsearch(&wanted, table->agents, table->agent_count, sizeof *table->agents, by_id) : NULL;
    return found != NULL ? found->attributes : NULL;
}

bool result_table_needs_columns(const struct result_table *table)
{
    return table->is_csv && table->input != RESULTS_INPUT_NONE;
}

int result_table_take_columns(struct result_table *table, const struct store_read *read, struct galloc_error *error)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < read->ret_row_count; i++) {
        const char *fields = read_text(read, i, ASSIGNMENT_FIELDS);
        if (fields != NULL)
            rc = result_group_take(&table->inputs, (struct json_span){fields, strlen(fields)}, error);
    }
    return rc;
}

/* ---- CSV (RFC 4180) ---- */

/* Titles that stand in the header: of the fixed columns, and of the groups named so far. */
static bool is_taken(const char *title, void *arg)
{
    const struct result_table *table = arg;
    const struct result_group *groups[] = {&table->answers, &table->attributes, &table->inputs};
    if (table->input == RESULTS_INPUT_ONLY && strcmp(title, table->key_name) == 0)
        return true;
    for (size_t i = 0; table->input != RESULTS_INPUT_ONLY && i < ARRAY_COUNT(columns); i++)
        if (is_shown(table, &columns[i]) && strcmp(columns[i].name, title) == 0)
            return true;
    for (size_t g = 0; g < ARRAY_COUNT(groups); g++)
        for (size_t i = 0; groups[g]->titles != NULL && i < groups[g]->count && groups[g]->titles[i] != NULL; i++)
            if (strcmp(groups[g]->titles[i], title) == 0)
                return true;
    return false;
}

static void add_titles(const struct result_table *table, const struct result_group *group, struct buf *out)
{
    for (size_t i = 0; i < group->count; i++) {
        buf_add_char(out, ',');
        csv_text(out, group->titles[i], strlen(group->titles[i]), table->is_excel_safe);
    }
}

void result_table_header(struct result_table *table, struct buf *out)
{
    if (table->input == RESULTS_INPUT_ONLY) {
        csv_text(out, table->key_name, strlen(table->key_name), table->is_excel_safe);
    } else {
        result_group_name(&table->answers, is_taken, table);
        result_group_name(&table->attributes, is_taken, table);
        for (size_t i = 0; i < ARRAY_COUNT(columns); i++) {
            if (i == ANSWER_BEHIND)
                add_titles(table, &table->answers, out);
            if (is_shown(table, &columns[i]))
                buf_add_fmt(out, "%s%s", i ? "," : "", columns[i].name);
        }
        add_titles(table, &table->attributes, out);
    }
    result_group_name(&table->inputs, is_taken, table);
    add_titles(table, &table->inputs, out);
    buf_add_str(out, "\r\n");
}

static bool has_error(const struct store_read *read, size_t row)
{
    const char *state = read_text(read, row, ASSIGNMENT_STATE);
    return state != NULL && strcmp(state, assignment_state_name(ASSIGNMENT_FAILED)) == 0;
}

static void csv_row(const struct result_table *table, const struct store_read *read, size_t row, struct buf *out)
{
    bool is_failed = has_error(read, row);
    for (size_t i = 0; i < ARRAY_COUNT(columns); i++) {
        if (i == ANSWER_BEHIND)
            result_group_csv(&table->answers, read_text(read, row, ASSIGNMENT_ANSWER), table->is_excel_safe, out);
        if (!is_shown(table, &columns[i]))
            continue;
        if (i > 0)
            buf_add_char(out, ',');
        if (columns[i].of != OF_FAILED || is_failed)
            csv_value(out, read, row, columns[i].column, columns[i].is_models || table->is_excel_safe);
    }
    result_group_csv(&table->attributes, attributes_of(table, read_text(read, row, ASSIGNMENT_AGENT_ID)), table->is_excel_safe, out);
}

/* ---- NDJSON ---- */

static void error_member(struct json_out *out, const struct store_read *read, size_t row)
{
    const char *message = read_text(read, row, ASSIGNMENT_MESSAGE), *code = read_text(read, row, ASSIGNMENT_CODE);
    int class = code ? outcome_class_by_name(code) : -1;
    json_out_name(out, "error");
    json_out_begin(out, '{');
    json_out_member_str(out, "code", code);
    json_out_member_str(out, "message", message ? message : class >= 0 ? outcome_row((enum outcome_class)class)->text : "");
    cell_member(out, "http_status", read, row, ASSIGNMENT_HTTP_STATUS);
    json_out_end(out, '}');
}

/* In one line, whatever it was. */
static void span_member(struct json_out *out, const char *name, struct json_span value)
{
    struct buf text = BUF_EMPTY;
    json_compact(value, &text);
    json_out_name(out, name);
    json_out_raw(out, buf_text(&text), text.len);
    buf_clear(&text);
}

static void raw_member(struct json_out *out, const char *name, const char *json)
{
    if (json == NULL)
        json_out_member_null(out, name);
    else
        span_member(out, name, (struct json_span){json, strlen(json)});
}

static void ndjson_members(const struct result_table *table, const struct store_read *read, size_t row, struct json_out *out)
{
    for (size_t i = 0; i < ARRAY_COUNT(columns); i++) {
        if (i == ANSWER_BEHIND && table->is_question)
            raw_member(out, "answer", read_text(read, row, ASSIGNMENT_ANSWER));
        if (is_shown(table, &columns[i]) && columns[i].of != OF_FAILED)
            cell_member(out, columns[i].name, read, row, columns[i].column);
    }
    if (has_error(read, row))
        error_member(out, read, row);
    if (table->with_agent)
        raw_member(out, "agent", attributes_of(table, read_text(read, row, ASSIGNMENT_AGENT_ID)));
    if (table->input == RESULTS_INPUT_BESIDE)
        raw_member(out, "input", read_text(read, row, ASSIGNMENT_FIELDS));
    if (read_text(read, row, ASSIGNMENT_CORRUPT) != NULL)
        cell_member(out, "corrupt", read, row, ASSIGNMENT_CORRUPT);
}

/* The row as enqueue takes it. */
static void ndjson_input(const struct result_table *table, const struct store_read *read, size_t row, struct json_out *out)
{
    const char *fields = read_text(read, row, ASSIGNMENT_FIELDS);
    struct json_span name, value, all = {fields, fields != NULL ? strlen(fields) : 0};
    cell_member(out, table->key_name, read, row, ASSIGNMENT_KEY);
    for (const char *at = NULL; fields != NULL && json_next(all, &at, &name, &value);) {
        struct buf text = BUF_EMPTY;
        json_span_string(name, &text);
        span_member(out, buf_text(&text), value);
        buf_clear(&text);
    }
}

void result_table_row(const struct result_table *table, const struct store_read *read, size_t row, struct buf *buf)
{
    struct json_out out = JSON_OUT(buf);
    if (table->is_csv) {
        if (table->input == RESULTS_INPUT_ONLY)
            csv_text(buf, read_text(read, row, ASSIGNMENT_KEY), strlen(read_text(read, row, ASSIGNMENT_KEY)), table->is_excel_safe);
        else
            csv_row(table, read, row, buf);
        if (table->input != RESULTS_INPUT_NONE)
            result_group_csv(&table->inputs, read_text(read, row, ASSIGNMENT_FIELDS), table->is_excel_safe, buf);
        buf_add_str(buf, "\r\n");
        return;
    }
    json_out_begin(&out, '{');
    if (table->input == RESULTS_INPUT_ONLY)
        ndjson_input(table, read, row, &out);
    else
        ndjson_members(table, read, row, &out);
    json_out_end(&out, '}');
    buf_add_char(buf, '\n');
}
