/* Agents of a pool, from JSON. All are read and checked before the first is given on, so a bad one leaves nothing half
 * done. Any thread. */
#include "ingest/ingest.h"

#include "core/limits.h"
#include "core/plan.h"

#include "base/json.h"
#include "base/json_out.h"
#include "base/parse.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct agent {
    struct ingest_agent given; /* agent_id and attributes point to what this owns */
    char *agent_id;
    struct buf attributes;
    size_t row;
};

struct reader {
    struct agent *agent;
    struct json_object *object;
    struct json_out out; /* the attributes */
    const char *id_name; /* of the member that is the id; borrowed */
    unsigned seen;       /* a bit a row of the table below */
    struct galloc_error *error;
};

static int bad(struct reader *r, const char *field, const char *problem)
{
    const char *id = r->agent->agent_id;
    struct buf shown = BUF_EMPTY;
    if (id != NULL)
        text_escape(&shown, id, strlen(id));
    int rc = galloc_fail(r->error, GALLOC_INVALID_INPUT, "agents, row %zu%s%s%s: \"%s\" %s", r->agent->row,
                         id ? " (" : "", buf_text(&shown), id ? ")" : "", field, problem);
    buf_clear(&shown);
    return rc;
}

/* json-c cuts an integer that does not fit; such an id or attribute would silently become another. */
static bool is_cut(struct json_object *value)
{
    struct buf text = BUF_EMPTY;
    if (json_is_i64(value))
        json_to_text(value, &text);
    bool cut = text.len > 0 &&
               (strcmp(text.data, "18446744073709551615") == 0 || strcmp(text.data, "9223372036854775807") == 0 ||
                strcmp(text.data, "-9223372036854775808") == 0);
    buf_clear(&text);
    return cut;
}

static int read_id(struct reader *r, const char *name, struct json_object *value)
{
    size_t len = 0;
    const char *text = json_str(value, &len), *why = NULL;
    struct buf number = BUF_EMPTY;
    if (json_is_i64(value) && !is_cut(value)) {
        json_to_text(value, &number);
        text = buf_text(&number);
        len = number.len;
    }
    int rc = 0;
    if (text == NULL)
        rc = bad(r, name,
                 is_cut(value) ? "is a number too long to be kept exactly; put it in quotes"
                               : "has to be a string or a whole number");
    else if (len == 0)
        rc = bad(r, name, "is empty; every agent needs an id of its own");
    else if (len > LIMIT_NAME_BYTES)
        rc = bad(r, name, "is longer than 128 bytes");
    else if (!text_is_key(text, len, &why))
        rc = bad(r, name, "is not UTF-8 or holds a control character");
    else
        r->agent->agent_id = xstrndup(text, len);
    buf_clear(&number);
    return rc;
}

/* A count as a number, or as text that holds one. False when it is neither. */
static bool read_count(struct json_object *value, int64_t *ret_count)
{
    const char *text = json_str(value, NULL);
    struct buf number = BUF_EMPTY;
    if (text == NULL && json_is_i64(value))
        json_to_text(value, &number);
    bool is_well = parse_i64(text ? text : buf_text(&number), 0, INT32_MAX, ret_count, NULL) == 0;
    buf_clear(&number);
    return is_well;
}

static int read_capacity(struct reader *r, const char *name, struct json_object *value)
{
    const char *text = json_str(value, NULL);
    if (text != NULL && (text[0] == '\0' || strcasecmp(text, "none") == 0))
        return 0;
    return read_count(value, &r->agent->given.capacity)
               ? 0
               : bad(r, name, "has to be a whole number from 0; leave it out (or null) for no limit");
}

static int read_load(struct reader *r, const char *name, struct json_object *value)
{
    const char *text = json_str(value, NULL);
    if (text != NULL && text[0] == '\0')
        return 0;
    return read_count(value, &r->agent->given.load)
               ? 0
               : bad(r, name, "has to be a whole number from 0: the places taken already");
}

static int read_available(struct reader *r, const char *name, struct json_object *value)
{
    const char *text = json_str(value, NULL);
    bool is_well = json_is_bool(value);
    if (is_well)
        r->agent->given.is_available = json_get_bool(r->object, name, true);
    else if (text != NULL)
        is_well = text[0] == '\0' || parse_bool(text, &r->agent->given.is_available, NULL) == 0;
    return is_well ? 0 : bad(r, name, "has to be yes or no (true or false)");
}

static int read_until(struct reader *r, const char *name, struct json_object *value)
{
    const char *text = json_str(value, NULL);
    if (text != NULL && text[0] == '\0')
        return 0;
    bool is_well = text != NULL && parse_time_ms(text, &r->agent->given.until_at_ms, NULL) == 0;
    return is_well ? 0 : bad(r, name, "has to be a date such as 2026-12-01");
}

static int add_attribute(struct reader *r, const char *name, struct json_object *value)
{
    if (is_cut(value))
        return bad(r, name, "is a number too long to be kept exactly; put it in quotes");
    struct buf text = BUF_EMPTY;
    json_to_text(value, &text);
    json_out_name(&r->out, name);
    json_out_raw(&r->out, text.data, text.len);
    buf_clear(&text);
    return 0;
}

static int add_inner(const char *name, struct json_object *value, void *arg)
{
    struct reader *r = arg;
    if (json_get(r->object, name) != NULL || strcmp(name, "agent_id") == 0)
        return bad(r, name, "is given twice: beside \"attributes\" and in it");
    return add_attribute(r, name, value);
}

static int read_attributes(struct reader *r, const char *name, struct json_object *value)
{
    return json_is_object(value) ? json_each(value, add_inner, r)
                                 : add_attribute(r, name, value); /* a column may have that name */
}

/* The members that are no attributes, the id apart. */
static const struct {
    const char *name;
    int (*read)(struct reader *r, const char *name, struct json_object *value);
} rows[] = {
    {"capacity", read_capacity},     {"load", read_load}, {"available", read_available}, {"until", read_until},
    {"attributes", read_attributes},
};

/* The id's member is `agent_id`, else `key`. */
static int find_id(const char *name, struct json_object *value, void *arg)
{
    struct reader *r = arg;
    (void)value;
    if (column_is(name, "agent_id"))
        r->id_name = name;
    else if (column_is(name, "key") && r->id_name == NULL)
        r->id_name = name;
    return 0;
}

static int read_member(const char *name, struct json_object *value, void *arg)
{
    struct reader *r = arg;
    if (strcmp(name, r->id_name) == 0)
        return 0;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (!column_is(rows[i].name, name))
            continue;
        if (r->seen & 1u << i)
            return bad(r, name, "is given twice");
        r->seen |= 1u << i;
        return value == NULL ? 0 : rows[i].read(r, name, value);
    }
    return add_attribute(r, name, value);
}

static int read_agent(struct json_object *object, struct agent *agent, struct galloc_error *error)
{
    struct reader r = {.agent = agent, .object = object, .out = JSON_OUT(&agent->attributes), .error = error};
    agent->given = (struct ingest_agent){.capacity = -1, .is_available = true};
    if (!json_is_object(object))
        return galloc_fail(error, GALLOC_INVALID_INPUT,
                           "agents, row %zu: an object with agent_id, capacity and so on is expected", agent->row);
    json_each(object, find_id, &r);
    if (r.id_name == NULL)
        return galloc_fail(error, GALLOC_INVALID_INPUT,
                           "agents, row %zu: there is no agent_id (nor key); every agent needs an id of its own",
                           agent->row);
    int rc = read_id(&r, r.id_name, json_get(object, r.id_name));
    json_out_begin(&r.out, '{');
    if (rc == 0)
        rc = json_each(object, read_member, &r);
    json_out_end(&r.out, '}');
    if (rc == 0 && agent->given.until_at_ms != 0 && agent->given.is_available)
        rc = bad(&r, "until", "tells until when an agent is away, so it goes with available = no");
    if (rc == 0 && agent->attributes.len > LIMIT_AGENT_BYTES)
        rc = bad(&r, "attributes", "have more than 16 KiB together");
    agent->given.agent_id = agent->agent_id;
    agent->given.attributes = buf_text(&agent->attributes);
    return rc;
}

static int compare_ids(const void *a, const void *b)
{
    const struct agent *const *x = a, *const *y = b;
    int order = strcmp((*x)->agent_id, (*y)->agent_id);
    return order ? order : ((*x)->row > (*y)->row) - ((*x)->row < (*y)->row);
}

static int check_repeated(struct agent *agents, size_t count, struct galloc_error *error)
{
    struct agent **sorted = xcalloc(count, sizeof *sorted), *repeated = NULL;
    for (size_t i = 0; i < count; i++)
        sorted[i] = &agents[i];
    qsort(sorted, count, sizeof *sorted, compare_ids);
    size_t first_row = 0;
    for (size_t i = 1; i < count; i++) {
        bool is_same = strcmp(sorted[i - 1]->agent_id, sorted[i]->agent_id) == 0;
        if (is_same && (repeated == NULL || sorted[i]->row < repeated->row)) {
            repeated = sorted[i];
            first_row = sorted[i - 1]->row;
        }
    }
    free(sorted);
    if (repeated == NULL)
        return 0;
    struct buf shown = BUF_EMPTY;
    text_escape(&shown, repeated->agent_id, strlen(repeated->agent_id));
    int rc = galloc_fail(error, GALLOC_INVALID_INPUT,
                         "agents, row %zu: the agent_id %s is that of row %zu; ids have to differ", repeated->row,
                         buf_text(&shown), first_row);
    buf_clear(&shown);
    return rc;
}

int ingest_agents(struct json_object *array, void (*add)(const struct ingest_agent *agent, void *arg), void *arg,
                  struct galloc_error *error)
{
    size_t count = json_array_len(array);
    if (!json_is_array(array) || count == 0)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "agents: a list of at least one agent is expected");
    if (count > LIMIT_AGENTS)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "agents: there are %s; the most in a pool is %s", text_count((int64_t)count).text,
                           text_count(LIMIT_AGENTS).text);
    struct agent *agents = xcalloc(count, sizeof *agents);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        agents[i].row = i + 1;
        rc = read_agent(json_array_at(array, i), &agents[i], error);
    }
    if (rc == 0)
        rc = check_repeated(agents, count, error);
    for (size_t i = 0; rc == 0 && i < count; i++)
        add(&agents[i].given, arg);
    for (size_t i = 0; i < count; i++) {
        free(agents[i].agent_id);
        buf_clear(&agents[i].attributes);
    }
    free(agents);
    return rc;
}
