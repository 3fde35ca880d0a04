/* POST /v1/estimate: what a run of this plan would send, keep back, cost and take. Sends nothing, keeps nothing. A few rows of the input are rendered as they
 * would be sent; the rest is arithmetic over them. */
#include "api/handler.h"

#include "api/budget_check.h"
#include "api/estimate.h"
#include "api/match_check.h"
#include "api/prompt_size.h"

#include "core/limits.h"

#include "base/text.h"

#include <string.h>

#define SAMPLE_MAX 200
#define RENDER_MAX 40 /* of the sample, evenly: rendering is done on the loop */
#define PROMPTS_MAX 20

static const struct json_field row_fields[] = {
    {"key", JSON_TYPE_STR, true, 1, LIMIT_KEY_BYTES},
    {"fields", JSON_TYPE_OBJECT, true, 0, 0},
    {"row", JSON_TYPE_I64, false, 0, 0},
};

/* What stands in the body beside what POST /v1/runs takes. */
static int read_own(struct request *request, struct estimate *estimate, struct galloc_error *error)
{
    struct json_object *body = request->json;
    struct json_object *count = json_get(body, "assignments"), *sample = json_get(body, "sample"), *prompts = json_get(body, "prompts");
    if (!json_is_i64(count) || json_i64(count, -1) < 0)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"assignments\" has to say how many there would be: a whole number from 0");
    if (sample != NULL && (!json_is_array(sample) || json_array_len(sample) > SAMPLE_MAX))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"sample\" has to be a list of at most %d rows", SAMPLE_MAX);
    if (prompts != NULL && (!json_is_i64(prompts) || json_i64(prompts, -1) < 0 || json_i64(prompts, 0) > PROMPTS_MAX))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"prompts\" has to be a whole number from 0 to %d", PROMPTS_MAX);
    for (size_t i = 0; i < json_array_len(sample); i++)
        if (json_check_fields(json_array_at(sample, i), row_fields, ARRAY_COUNT(row_fields), error) < 0)
            return galloc_prefix(error, "\"sample\", item %zu", i + 1);
    estimate->assignments = json_i64(count, 0);
    estimate->prompts_wanted = json_i64(prompts, 0);
    if (sample != NULL)
        estimate->sample = json_share(sample);
    json_take_out(body, "assignments");
    json_take_out(body, "sample");
    json_take_out(body, "prompts");
    return 0;
}

void estimate_problem(struct estimate *estimate, bool is_fatal, const char *code, const char *message)
{
    struct json_out *out = &estimate->problems_out;
    json_out_begin(out, '{');
    json_out_member_str(out, "code", code);
    json_out_member_str(out, "message", message);
    json_out_member_bool(out, "is_fatal", is_fatal);
    json_out_end(out, '}');
}

static void problem_of(struct estimate *estimate, bool is_fatal, const struct galloc_error *error)
{
    estimate_problem(estimate, is_fatal, galloc_code_row(error->code)->name, error->message);
}

/* ---- rendering ---- */

static void keep_prompt(struct estimate *estimate, const char *key, const struct buf *system, const struct buf *user)
{
    struct json_out *out = &estimate->prompts_out;
    json_out_begin(out, '{');
    json_out_member_str(out, "key", key);
    json_out_member_str(out, "system", buf_text(system));
    json_out_member_str(out, "user", buf_text(user));
    json_out_end(out, '}');
    estimate->prompts_kept++;
}

static void note_match(struct estimate *estimate, const char *key, const struct prompt_choice *choice)
{
    estimate->rendered_count++;
    if (!choice->is_matched && estimate->unmatched_count++ == 0)
        estimate->unmatched_key = key;
}

static void render(struct estimate *estimate, struct json_object *row)
{
    struct buf fields = BUF_EMPTY, system = BUF_EMPTY, user = BUF_EMPTY;
    const char *key = json_get_str(row, "key", "");
    struct galloc_error error;
    json_to_text(json_get(row, "fields"), &fields);
    struct prompt_choice choice = {.is_matched = true};
    const struct engine_prompt what = {.endpoint = estimate->endpoint, .plan = &estimate->plan, .pool = estimate->pool, .key = key, .fields = fields.data, .fields_len = fields.len};
    int rc = engine_prompt(estimate->engine, &what, &system, &user, &choice, &error);
    if (estimate->is_on_workers) {
        note_match(estimate, key, &choice); /* they get no prompt */
    } else if (rc == 0) {
        int64_t bytes = (int64_t)(system.len + user.len);
        note_match(estimate, key, &choice);
        estimate->choice_bytes += (int64_t)choice.choice_bytes;
        estimate->rendered_bytes += bytes;
        estimate->rendered_max_bytes = max_i64(estimate->rendered_max_bytes, bytes);
        if (estimate->prompts_kept < estimate->prompts_wanted)
            keep_prompt(estimate, key, &system, &user);
    } else if (estimate->failed_count++ == 0) {
        galloc_prefix(&error, "for example %s", key);
        problem_of(estimate, false, &error);
    }
    buf_clear(&fields);
    buf_clear(&system);
    buf_clear(&user);
}

static void render_sample(struct estimate *estimate)
{
    size_t count = json_array_len(estimate->sample);
    size_t step = max_i64((int64_t)(count / RENDER_MAX), 1) > 1 ? (count + RENDER_MAX - 1) / RENDER_MAX : 1;
    for (size_t i = 0; i < count; i++)
        if (i % step == 0 || (int64_t)i < estimate->prompts_wanted)
            render(estimate, json_array_at(estimate->sample, i));
    if (estimate->rendered_max_bytes > LIMIT_PROMPT_BYTES) {
        struct galloc_error error;
        galloc_fail(&error, GALLOC_INVALID_INPUT, "a prompt has %s KiB; the most is %d. Send fewer columns (--send), or narrow the agents (--match, --max-candidates)",
                    text_count(estimate->rendered_max_bytes >> 10).text, LIMIT_PROMPT_BYTES >> 10);
        problem_of(estimate, true, &error);
    }
}

/* ---- columns ---- */

static int add_column(const char *name, struct json_object *value, void *arg)
{
    (void)value;
    struct estimate *estimate = arg;
    for (size_t i = 0; i < estimate->column_count; i++)
        if (strcmp(estimate->columns[i], name) == 0)
            return 0;
    estimate->columns = xreallocarray(estimate->columns, estimate->column_count + 1, sizeof *estimate->columns);
    estimate->columns[estimate->column_count++] = xstrdup(name);
    return 0;
}

/* The columns that the client told, and those of the sample. */
static void find_columns(struct estimate *estimate)
{
    for (char **at = estimate->plan.columns; at != NULL && *at != NULL; at++)
        add_column(*at, NULL, estimate);
    for (size_t i = 0; i < json_array_len(estimate->sample) && estimate->column_count < 1000; i++)
        json_each(json_get(json_array_at(estimate->sample, i), "fields"), add_column, estimate);
}

/* ---- places ---- */

static void check_places(struct estimate *estimate)
{
    const struct pool_totals *totals = &estimate->totals;
    char message[256];
    if (totals->free < 0 || totals->free >= estimate->assignments)
        return;
    snprintf(message, sizeof message, "%s places are free for %s assignments: %s would fail with no_capacity; raise capacities, or add agents",
             text_count(totals->free).text, text_count(estimate->assignments).text, text_count(estimate->assignments - totals->free).text);
    estimate_problem(estimate, false, outcome_row(OUTCOME_NO_CAPACITY)->name, message);
}

/* Of the rows tried, those that would fail because no agent has what --match asks for. */
static void check_matches(struct estimate *estimate)
{
    char message[512];
    if (estimate->unmatched_count == 0 || estimate->has_bad_match)
        return;
    snprintf(message, sizeof message, "no agent matches %s of the %s assignments that were tried, for example %.200s: such assignments fail with no_candidate, without a call; "
             "compare the assignments' field with the agents' attribute (--match)",
             text_count(estimate->unmatched_count).text, text_count(estimate->rendered_count).text, estimate->unmatched_key);
    estimate_problem(estimate, false, outcome_row(OUTCOME_NO_CANDIDATE)->name, message);
}

static void check_endpoint(struct estimate *estimate)
{
    if (estimate->is_on_workers || !endpoint_is_down(estimate->endpoint))
        return;
    char text[512];
    int64_t until_at_ms;
    endpoint_text(estimate->endpoint, text, sizeof text, &until_at_ms);
    int class = estimate->endpoint->state.down_class;
    estimate_problem(estimate, false, outcome_row(class >= 0 ? (enum outcome_class)class : OUTCOME_CREDENTIALS)->name, text);
}

static void check_tokens(struct estimate *estimate)
{
    int64_t tokens = estimate->rendered_max_bytes / ESTIMATE_BYTES_PER_TOKEN, tpm = estimate->is_on_workers ? 0 : estimate->endpoint->values[SETTING_TPM];
    char message[256];
    if (tpm <= 0 || tokens <= tpm || !estimate->endpoint->provider->takes_prompt)
        return;
    snprintf(message, sizeof message, "a prompt has about %s tokens, more than the %s of a minute (tpm): such a call goes all the same, alone in its minute",
             text_count(tokens).text, text_count(tpm).text);
    estimate_problem(estimate, false, "tpm", message);
}

static void estimate_clear(struct estimate *estimate)
{
    plan_clear(&estimate->plan);
    store_agents_clear(&estimate->agents);
    pool_entry_free(estimate->own_pool);
    json_free(estimate->sample);
    for (size_t i = 0; i < estimate->column_count; i++)
        free(estimate->columns[i]);
    free(estimate->columns);
    buf_clear(&estimate->problems);
    buf_clear(&estimate->prompts);
}

/* The plan with what it names. -INVALID_INPUT and -NOT_FOUND are what an enqueue would fail with: problems of the estimate, not of the request. */
static int read_plan(struct request *request, struct estimate *estimate, struct galloc_error *error)
{
    const struct config *config = engine_configuration(estimate->engine);
    struct pool_entry *pool = NULL;
    int rc = plan_read(request->json, config->profiles, config->profile_count, &estimate->plan, error);
    if (rc == 0)
        rc = create_resolve(estimate->engine, &estimate->plan, &pool, error);
    if (rc == 0 && pool == NULL)
        rc = agents_read(json_get(request->json, "agents"), &estimate->agents, error);
    if (rc < 0)
        return rc;
    struct endpoint *endpoints[LADDER_MOST];
    size_t count;
    rc = engine_check_endpoints(estimate->engine, estimate->plan.endpoint, endpoints, &count, error);
    if (rc < 0)
        return rc;
    estimate->endpoint = count > 0 ? endpoints[0] : NULL; /* of several in order the first: the run is on it while it is well */
    estimate->is_on_workers = plan_is_workers(estimate->plan.endpoint);
    estimate->profile = config_profile(config, estimate->plan.profile);
    if (pool == NULL)
        pool = estimate->own_pool = pool_entry_from_agents(&estimate->agents);
    estimate->pool = pool;
    history_find(engine_registry(estimate->engine), &estimate->plan, estimate->own_pool == NULL ? pool : NULL, &estimate->history);
    pool_count(pool, &estimate->totals);
    prompt_size(&estimate->plan, pool, NULL, &estimate->constant_bytes, &estimate->named_agents);
    struct galloc_error problem;
    if (plan_check_template(&estimate->plan, config->keep_back, &problem) < 0)
        problem_of(estimate, true, &problem);
    estimate->has_bad_match = match_check(&estimate->plan, pool, NULL, &problem) < 0;
    if (estimate->has_bad_match)
        problem_of(estimate, true, &problem);
    if (!estimate->is_on_workers && prompt_size_check(&estimate->plan, pool, NULL, &problem) < 0)
        problem_of(estimate, true, &problem);
    if (budget_check(estimate->engine, &estimate->plan, pool, NULL, &problem) < 0)
        problem_of(estimate, true, &problem);
    return 0;
}

void handle_estimate(struct request *request)
{
    struct galloc_error error;
    struct estimate estimate = {.engine = request->api->config.engine};
    estimate.problems_out = JSON_OUT(&estimate.problems);
    estimate.prompts_out = JSON_OUT(&estimate.prompts);
    int rc = read_own(request, &estimate, &error);
    if (rc == 0)
        rc = read_plan(request, &estimate, &error);
    if (rc == -GALLOC_INVALID_INPUT || (rc == -GALLOC_NOT_FOUND && estimate.endpoint == NULL)) {
        problem_of(&estimate, true, &error);
    } else if (rc < 0) {
        request_fail(request, &error);
        estimate_clear(&estimate);
        return;
    } else {
        find_columns(&estimate);
        render_sample(&estimate);
        check_places(&estimate);
        check_matches(&estimate);
        check_endpoint(&estimate);
        check_tokens(&estimate);
    }
    estimate_write(&estimate, &request->out);
    request_reply(request, 200);
    estimate_clear(&estimate);
}
