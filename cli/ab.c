/* See ab.h: what is checked before anything is sent, and the copy of a standing pool. */
#include "cli/ab.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* Options under which the sides would not be two tries of the same work. */
static const struct {
    const char *option, *why;
} refused[] = {
    {"profile", "--ab names the two profiles"},
    {"append", "a comparison needs two runs of its own"},
    {"open", "a run that stays open has no end to compare"},
    {"batch-size", "the profiles are compared with their own numbers"},
    {"delay", "the profiles are compared with their own numbers"},
    {"workers-too", "whose decision it was would depend on who comes first"},
    {"reuse", "one side would take over what the other decided"},
    {"skip-done", "one side would leave out what the other did"},
};

int ab_profiles(const struct args *args, const char *ret_profiles[AB_SIDES], struct galloc_error *error)
{
    const char *const *names;
    size_t count = args_texts(args, "ab", &names);
    if (count != AB_SIDES || names[0][0] == '\0' || names[1][0] == '\0')
        return galloc_fail(error, GALLOC_USAGE, "--ab is two profiles, e.g. --ab sequential,adaptive (gallocctl profile list)");
    if (strcmp(names[0], names[1]) == 0)
        return galloc_fail(error, GALLOC_USAGE, "--ab compares two profiles; both are %s. The same twice: gallocctl enqueue with --again, then gallocctl compare", names[0]);
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++)
        if (args_has(args, refused[i].option))
            return galloc_fail(error, GALLOC_USAGE, "--ab and --%s exclude each other: %s", refused[i].option, refused[i].why);
    const char *endpoint = args_text(args, "endpoint");
    if (endpoint != NULL && strcmp(endpoint, "workers") == 0)
        return galloc_fail(error, GALLOC_USAGE, "--ab compares how an endpoint is driven; outside workers are driven by nobody");
    if (args_has(args, "sample") && args_has(args, "on-duplicate") && strcmp(args_text(args, "on-duplicate"), "skip") != 0)
        return galloc_fail(error, GALLOC_USAGE, "--sample takes the first row of a key that is repeated: leave --on-duplicate out");
    ret_profiles[0] = names[0];
    ret_profiles[1] = names[1];
    return 0;
}

int ab_check_profiles(struct cli *cli, const char *const profiles[AB_SIDES], struct galloc_error *error)
{
    struct response response = RESPONSE_EMPTY;
    int rc = client_get(cli->client, &response, error, "/v1/profiles");
    struct json_object *items = json_get(response.json, "items");
    size_t count = json_array_len(items);
    const char **names = xcalloc(count + 1, sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = json_get_str(json_array_at(items, i), "name", "");
    for (int side = 0; rc == 0 && side < AB_SIDES; side++) {
        bool is_known = false;
        for (size_t i = 0; i < count; i++)
            is_known |= strcmp(names[i], profiles[side]) == 0;
        const char *nearest = is_known ? NULL : text_nearest(profiles[side], names, count);
        if (!is_known)
            rc = galloc_fail(error, GALLOC_USAGE, "--ab: there is no profile \"%s\"%s%s%s (gallocctl profile list)", profiles[side], nearest ? "; did you mean \"" : "",
                             nearest ? nearest : "", nearest ? "\"?" : "");
    }
    free(names);
    response_clear(&response);
    return rc;
}

/* ---- the copy of a pool ---- */

static struct json_span member_of(struct json_span object, const char *wanted)
{
    struct json_span name, value;
    for (const char *at = NULL; json_next(object, &at, &name, &value);)
        if (json_span_equals(name, wanted))
            return json_span_kind(value) == JSON_NULL ? (struct json_span){NULL, 0} : value;
    return (struct json_span){NULL, 0};
}

/* An agent of the pool as one that begins with what he holds. Spans go over as they came: an attribute of 23 digits stays itself. */
static void copy_agent(struct json_out *out, struct json_span agent)
{
    static const struct {
        const char *from, *to;
    } members[] = {{"agent_id", "agent_id"}, {"capacity", "capacity"}, {"held", "load"}, {"available", "available"}, {"until", "until"}};
    struct json_span name, value, attributes = member_of(agent, "attributes");
    struct buf text = BUF_EMPTY;
    json_out_begin(out, '{');
    for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
        value = member_of(agent, members[i].from);
        if (value.at == NULL)
            continue;
        json_out_name(out, members[i].to);
        json_out_raw(out, value.at, value.len);
    }
    for (const char *at = NULL; attributes.at != NULL && json_next(attributes, &at, &name, &value);) {
        buf_reset(&text);
        json_span_string(name, &text);
        json_out_name(out, buf_text(&text));
        json_out_raw(out, value.at, value.len);
    }
    json_out_end(out, '}');
    buf_clear(&text);
}

int ab_copy_pool(struct cli *cli, struct plan *plan, struct galloc_error *error)
{
    const char *pool = args_text(&cli->args, "pool");
    struct response response = RESPONSE_EMPTY;
    if (pool == NULL)
        return 0;
    char *segment = client_segment(pool);
    int rc = client_get(cli->client, &response, error, "/v1/pools/%s", segment);
    free(segment);
    if (rc == 0) {
        struct json_out out = JSON_OUT(&plan->agents);
        struct json_span whole = {buf_text(&response.body), response.body.len}, none, agent, listed;
        struct json_span agents = member_of(whole, "agents");
        plan->copied_pool = pool;
        json_out_begin(&out, '[');
        for (const char *at = NULL; agents.at != NULL && json_next(agents, &at, &none, &agent);) {
            listed = member_of(agent, "is_listed");
            if (listed.at == NULL || listed.at[0] == 't')
                copy_agent(&out, agent);
        }
        json_out_end(&out, ']');
    }
    response_clear(&response);
    return rc;
}
