/* What of a plan goes together: names, the profile, columns of the input, the template. Pure; any thread. */
#include "core/plan_inside.h"

#include "core/schema.h"
#include "core/template.h"

#include "base/buf.h"
#include "base/text.h"

#include <string.h>

static int check_names(const struct plan *plan, struct galloc_error *error)
{
    const struct {
        const char *what, *name;
    } names[] = {{"name", plan->name}, {"pool", plan->pool}, {"endpoint", plan->endpoint}, {"profile", plan->profile}};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        const char *why = NULL;
        if (names[i].name != NULL && !text_is_key(names[i].name, strlen(names[i].name), &why))
            return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" holds a control character", names[i].what);
    }
    if (plan->name != NULL && (plan->name[0] == '@' || strncmp(plan->name, "r-", 2) == 0))
        return galloc_fail(
            error, GALLOC_INVALID_VALUE,
            "\"name\" may not begin with \"@\" or \"r-\": these are kept for \"@last\" and for the ids of runs");
    return 0;
}

static int check_profile(const struct plan *plan, const struct profile *profiles, size_t count,
                         struct galloc_error *error)
{
    struct buf known = BUF_EMPTY;
    const char **names = xcalloc(count, sizeof *names);
    const struct profile *found = NULL;
    for (size_t i = 0; i < count; i++) {
        names[i] = profiles[i].name;
        buf_add_fmt(&known, "%s%s", i ? ", " : "", profiles[i].name);
        if (strcmp(profiles[i].name, plan->profile) == 0)
            found = &profiles[i];
    }
    int rc = 0;
    if (found == NULL) {
        const char *nearest = text_nearest(plan->profile, names, count);
        rc = galloc_fail(error, GALLOC_NOT_FOUND, "there is no profile \"%s\"%s%s%s (known are %s)", plan->profile,
                         nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "",
                         buf_text(&known));
    } else if (found->mode != MODE_BATCH && (plan->batch_size >= 0 || plan->delay_ms >= 0)) {
        rc = galloc_fail(error, GALLOC_USAGE,
                         "the profile \"%s\" does not work in batches, so it takes no %s; leave it out, or choose a "
                         "batch profile such as balanced",
                         plan->profile, plan->batch_size >= 0 ? "batch_size" : "delay");
    }
    free(names);
    buf_clear(&known);
    return rc;
}

static int check_column(const struct plan *plan, const char *option, const char *name, struct galloc_error *error)
{
    if (column_is_in(plan->columns, name))
        return 0;
    if (plan->key_column != NULL && column_is(plan->key_column, name))
        return galloc_fail(error, GALLOC_INVALID_INPUT,
                           "%s: \"%s\" is the column of the keys; the key is always sent and is no field", option,
                           name);
    const char *nearest = column_nearest(plan->columns, name);
    return galloc_fail(error, GALLOC_INVALID_INPUT, "%s: the input has no column \"%s\"%s%s%s", option, name,
                       nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

/* Columns that the plan names have to be columns of the input, where those are told. */
static int check_columns(const struct plan *plan, struct galloc_error *error)
{
    int rc = 0;
    for (char **at = plan->send; rc == 0 && at != NULL && *at != NULL; at++)
        rc = check_column(plan, "send", *at, error);
    for (char **at = plan->keep_back; rc == 0 && at != NULL && *at != NULL; at++)
        rc = check_column(plan, "keep_back", *at, error);
    for (size_t i = 0; rc == 0 && i < plan->match_count; i++)
        rc = check_column(plan, "match", plan->match[i].field, error);
    return rc;
}

static int check_template(const struct plan *plan, struct galloc_error *error)
{
    if (plan->template == NULL)
        return 0;
    struct template *template = NULL;
    int rc = template_parse(plan->template, strlen(plan->template), &template, error);
    if (rc == 0)
        rc = template_check_agents(template, plan_is_question(plan), error);
    if (rc == 0 && (plan->match_count > 0 || plan->max_candidates > 0) && !template_uses(template, TEMPLATE_LOADS))
        rc = galloc_fail(error, GALLOC_INVALID_INPUT,
                         "with match or max_candidates the template needs {{loads}}: it is there that the candidates "
                         "of an assignment are named");
    if (rc == 0 && plan->columns != NULL)
        rc = template_check_columns(template, plan->columns, error);
    template_free(template);
    if (rc < 0)
        return galloc_prefix(error, "template");
    return plan_check_template(plan, NULL, error);
}

/* A question is asked in words of its own, and there is nobody to choose from. */
static int check_question(const struct plan *plan, bool has_agents, struct galloc_error *error)
{
    if (has_agents || plan->pool != NULL)
        return galloc_fail(error, GALLOC_USAGE, "\"schema\" and \"%s\" exclude each other: a run either has its answers in a schema's shape, or allocates to agents",
                           has_agents ? "agents" : "pool");
    if (plan->match_count > 0 || plan->max_candidates > 0)
        return galloc_fail(error, GALLOC_USAGE, "\"%s\" chooses among agents, and a run with a schema has none; leave it out", plan->match_count > 0 ? "match" : "max_candidates");
    if (plan->pack != 1)
        return galloc_fail(error, GALLOC_USAGE, "\"pack\" decides several allocations by one answer; a run with a schema asks one question at a time; leave it out");
    if (plan->template == NULL && (plan->endpoint == NULL || !plan_is_workers(plan->endpoint)))
        return galloc_fail(error, GALLOC_USAGE, "a run with a schema needs a \"template\" too: what is asked of each assignment");
    return 0;
}

static int check_who(const struct plan *plan, bool has_agents, struct galloc_error *error)
{
    if (plan_is_question(plan))
        return check_question(plan, has_agents, error);
    if (has_agents == (plan->pool != NULL))
        return galloc_fail(
            error, GALLOC_USAGE,
            has_agents ? "\"pool\" and \"agents\" exclude each other: name a standing pool, or give agents"
                       : "who can take the assignments is missing: name a standing pool (\"pool\") or give \"agents\"; a run that asks something else has a \"schema\"");
    return 0;
}

static int check_schema(const struct plan *plan, struct galloc_error *error)
{
    struct schema *schema = NULL;
    if (plan->schema == NULL)
        return 0;
    int rc = schema_parse(plan->schema, strlen(plan->schema), &schema, error);
    schema_free(schema);
    return rc < 0 ? galloc_prefix(error, "schema") : 0;
}

int plan_check(const struct plan *plan, bool has_agents, const struct profile *profiles, size_t count, struct galloc_error *error)
{
    int rc = check_who(plan, has_agents, error);
    if (rc < 0)
        return rc;
    if (plan->send != NULL && plan->keep_back != NULL)
        return galloc_fail(error, GALLOC_USAGE, "\"send\" and \"keep_back\" exclude each other");
    if (plan->is_open && plan->max_age_ms > 0)
        return galloc_fail(error, GALLOC_USAGE, "\"max_age_ms\" counts from the run's last part, and an open run has none; leave one of \"max_age_ms\" and \"open\" out");
    rc = check_names(plan, error);
    if (rc == 0)
        rc = check_schema(plan, error);
    if (rc == 0)
        rc = check_profile(plan, profiles, count, error);
    if (rc == 0 && plan->columns != NULL)
        rc = check_columns(plan, error);
    return rc < 0 ? rc : check_template(plan, error);
}
