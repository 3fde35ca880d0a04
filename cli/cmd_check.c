/* gallocctl check, and enqueue -n: reads the whole input, then asks the daemon what such a run would send, cost and take. Nothing
 * is kept and nothing goes to a model. */
#include "base/json_out.h"
#include "base/text.h"
#include "cli/ab.h"
#include "cli/command.h"
#include "cli/import.h"
#include "cli/intake.h"
#include "cli/keyset.h"
#include "cli/out.h"

#include <stdlib.h>
#include <string.h>

enum { SAMPLE_ROWS = 200, SAMPLE_BYTES_MAX = 512 << 10 };

/* Rows from all over the input: every row has the same chance (reservoir sampling, Vitter 1985), by a generator of fixed seed, so
 * that the same input gives the same answer. The first rows come first: their prompts are shown. */
struct check {
    struct cli *cli;
    struct intake intake;
    struct buf sample[SAMPLE_ROWS];
    size_t sample_count, sample_bytes;
    int64_t seen, repeated;
    struct keyset keys;
    uint64_t state;
    const char *profiles[AB_SIDES];   /* of --ab, borrowed; NULL: as the options say */
    struct buf heads[AB_SIDES]; /* the requests' beginnings, made when the columns are known; without --ab there is one */
};

static int begin(void *arg, const struct input_info *info, struct galloc_error *error)
{
    struct check *check = arg;
    (void)error;
    for (int side = 0; side < AB_SIDES; side++) {
        struct json_out out = JSON_OUT(&check->heads[side]);
        check->intake.plan.profile = check->profiles[side];
        buf_add_char(&check->heads[side], '{');
        plan_write(&check->intake.plan, &out, info, source_base_name(check->intake.source), check->intake.sha256[0] ? check->intake.sha256 : NULL);
    }
    return 0;
}

static uint64_t next_random(struct check *check)
{
    check->state = check->state * 6364136223846793005u + 1442695040888963407u;
    return check->state >> 33;
}

static int row(void *arg, const struct input_row *row, struct galloc_error *error)
{
    struct check *check = arg;
    (void)error;
    if (!keyset_add(&check->keys, row->key.at, row->key.len)) { /* it would be decided once */
        check->repeated++;
        return 0;
    }
    check->seen++;
    size_t keep_first = 20, slot = check->sample_count;
    if (check->sample_count == SAMPLE_ROWS || check->sample_bytes > SAMPLE_BYTES_MAX) {
        slot = next_random(check) % (uint64_t)check->seen;
        if (slot < keep_first || slot >= check->sample_count)
            return 0;
    } else {
        check->sample_count++;
    }
    check->sample_bytes -= check->sample[slot].len;
    buf_reset(&check->sample[slot]);
    import_write_row(&check->sample[slot], row);
    check->sample_bytes += check->sample[slot].len;
    return 0;
}

/* Of --sample, a sample of all stands for the sample that would be taken. */
static int64_t assignments_of(const struct check *check)
{
    return min_i64(check->seen, args_number(&check->cli->args, "sample", INT64_MAX));
}

static void write_request(struct check *check, int side)
{
    struct json_out out = {.buf = &check->heads[side], .needs_comma = true};
    int64_t prompts = side == 0 ? args_number(&check->cli->args, "show-prompt", 0) : 0; /* the profile changes none */
    json_out_member_int(&out, "assignments", assignments_of(check));
    json_out_member_int(&out, "prompts", prompts);
    json_out_name(&out, "sample");
    json_out_begin(&out, '[');
    for (size_t i = 0; i < check->sample_count; i++)
        json_out_raw(&out, check->sample[i].data, check->sample[i].len - 1);
    json_out_end(&out, ']');
    json_out_end(&out, '}');
}

static void print_range(const char *title, struct json_object *range)
{
    struct buf low = BUF_EMPTY, high = BUF_EMPTY;
    if (!json_is_i64(json_get(range, "low"))) {
        out_line("  %-10s unknown", title);
        return;
    }
    show_count(&low, json_get_i64(range, "low", 0));
    show_count(&high, json_get_i64(range, "high", 0));
    if (strcmp(buf_text(&low), buf_text(&high)) == 0)
        out_line("  %-10s %s", title, buf_text(&low));
    else
        out_line("  %-10s %s to %s", title, buf_text(&low), buf_text(&high));
    buf_clear(&low);
    buf_clear(&high);
}

static void print_names(const char *title, struct json_object *names, const char *none)
{
    struct buf all = BUF_EMPTY;
    for (size_t i = 0; i < json_array_len(names); i++)
        buf_add_fmt(&all, "%s%s", i ? ", " : "", json_str(json_array_at(names, i), NULL));
    out_line("  %-10s %s", title, all.len > 0 ? buf_text(&all) : none);
    buf_clear(&all);
}

/* The key always goes, too: the answer has to name it. */
static void print_sent(const struct check *check, struct json_object *names)
{
    struct buf all = BUF_EMPTY;
    buf_add_fmt(&all, "%s (the key)", check->intake.key_column);
    for (size_t i = 0; i < json_array_len(names); i++)
        buf_add_fmt(&all, ", %s", json_str(json_array_at(names, i), NULL));
    out_line("  %-10s %s", "sent", buf_text(&all));
    buf_clear(&all);
}

/* What the same calls cost at the other tier. */
static void print_other_tier(struct json_object *cost, const char *currency)
{
    struct json_object *other = json_get(cost, "other_tier");
    struct buf text = BUF_EMPTY;
    if (other == NULL || currency == NULL)
        return;
    buf_add_fmt(&text, "at the tier %s: ", json_get_str(other, "tier", "?"));
    show_micros(&text, currency, json_get_i64(other, "low_micros", 0));
    buf_add_str(&text, " to ");
    show_micros(&text, currency, json_get_i64(other, "high_micros", 0));
    out_line("  %-10s %s", "", buf_text(&text));
    buf_clear(&text);
}

static void print_cost_and_time(struct json_object *estimate)
{
    struct json_object *cost = json_get(estimate, "cost"), *time = json_get(estimate, "time");
    const char *currency = json_get_str(cost, "currency", NULL), *cost_text = json_get_str(cost, "text", NULL);
    const char *time_text = json_get_str(time, "text", NULL), *limit = json_get_str(time, "limited_by", NULL);
    struct buf low = BUF_EMPTY, high = BUF_EMPTY;
    if (currency != NULL && json_is_i64(json_get(cost, "low_micros"))) {
        show_micros(&low, currency, json_get_i64(cost, "low_micros", 0));
        show_micros(&high, currency, json_get_i64(cost, "high_micros", 0));
        out_line("  %-10s %s to %s%s%s", "cost", buf_text(&low), buf_text(&high), cost_text ? "; " : "", cost_text ? cost_text : "");
    } else {
        out_line("  %-10s unknown%s%s", "cost", cost_text ? "; " : "", cost_text ? cost_text : "");
    }
    print_other_tier(cost, currency);
    if (json_is_i64(json_get(cost, "max_micros")) && currency != NULL) {
        buf_reset(&low);
        show_micros(&low, currency, json_get_i64(cost, "max_micros", 0));
        out_line("  %-10s at most %s: what does not fit is not sent, and the run pauses", "max cost", buf_text(&low));
    }
    buf_reset(&low);
    buf_reset(&high);
    if (json_is_i64(json_get(time, "low_s"))) {
        show_seconds(&low, json_get_i64(time, "low_s", 0));
        show_seconds(&high, json_get_i64(time, "high_s", 0));
        out_line("  %-10s %s to %s%s%s%s%s", "time", buf_text(&low), buf_text(&high), limit ? ", limited by " : "", limit ? limit : "",
                 time_text ? "; " : "", time_text ? time_text : "");
    } else {
        out_line("  %-10s unknown%s%s", "time", time_text ? "; " : "", time_text ? time_text : "");
    }
    buf_clear(&low);
    buf_clear(&high);
}

/* The prompts as they would be sent, line by line. */
static void print_prompts(const struct cli *cli, struct json_object *prompts)
{
    static const char *const parts[] = {"system", "user"};
    for (size_t i = 0; i < json_array_len(prompts); i++) {
        struct json_object *prompt = json_array_at(prompts, i);
        out_title(cli, "prompt of %s", json_get_str(prompt, "key", "?"));
        for (size_t p = 0; p < ARRAY_COUNT(parts); p++) {
            const char *text = json_get_str(prompt, parts[p], "");
            if (text[0] == '\0')
                continue; /* a template without that part, or data instead of a prompt */
            out_line("--- %s", parts[p]);
            out_bytes(&(struct cli){.is_stdout_terminal = true}, text, strlen(text));
            out_line("%s", "");
        }
    }
}

static int add_property(const char *name, struct json_object *value, void *arg)
{
    struct buf *all = arg;
    (void)value;
    buf_add_fmt(all, "%s%s", all->len > 0 ? ", " : "", name);
    return 0;
}

/* What every answer has: the columns of the results. */
static void print_answer(const char *schema_text)
{
    struct json_object *schema = NULL;
    struct buf all = BUF_EMPTY;
    if (json_parse(schema_text, strlen(schema_text), &schema, NULL) == 0 && json_is_object(json_get(schema, "properties")))
        json_each(json_get(schema, "properties"), add_property, &all);
    out_line("  %-10s %s", "answer", buf_text(&all));
    buf_clear(&all);
    json_free(schema);
}

static void print_estimate(const struct check *check, struct json_object *estimate)
{
    const struct cli *cli = check->cli;
    struct json_object *columns = json_get(estimate, "columns"), *agents = json_get(estimate, "agents"), *bytes = json_get(estimate, "prompt_bytes");
    struct buf places = BUF_EMPTY, repeated = BUF_EMPTY;
    if (check->repeated > 0)
        buf_add_fmt(&repeated, "; %s", text_counted(check->repeated, "repeated key").text);
    out_title(cli, "%s: nothing was sent", source_base_name(check->intake.source));
    out_line("  %-10s %s; key column %s, e.g. %s; %s rejected%s", "input", text_counted(check->seen, "assignment").text, check->intake.key_column,
             check->intake.key_example ? check->intake.key_example : "-", text_counted(check->intake.rejects.count, "row").text, buf_text(&repeated));
    print_sent(check, json_get(columns, "sent"));
    print_names("kept back", json_get(columns, "kept_back"), "none: every column goes to the model");
    if (json_is_i64(json_get(agents, "free")))
        show_count(&places, json_get_i64(agents, "free", 0));
    if (check->intake.plan.schema_text != NULL)
        print_answer(check->intake.plan.schema_text);
    else
        out_line("  %-10s %s, %s free places", "agents", text_count(json_get_i64(agents, "count", 0)).text, places.len ? buf_text(&places) : "no limit to");
    const char *model = json_get_str(estimate, "model", "");
    const char *tier = json_get_str(estimate, "tier", "standard");
    bool is_standard = strcmp(tier, "standard") == 0;
    out_line("  %-10s %s%s%s, profile %s%s%s", "endpoint", json_get_str(estimate, "endpoint", "?"), *model ? ", model " : "", model,
             json_get_str(estimate, "profile", "?"), is_standard ? "" : ", tier ", is_standard ? "" : tier);
    print_range("calls", json_get(estimate, "calls_expected"));
    if (json_is_i64(json_get(bytes, "average")))
        out_line("  %-10s %s bytes on average, %s at most", "prompt", text_count(json_get_i64(bytes, "average", 0)).text,
                 text_count(json_get_i64(bytes, "max", 0)).text);
    print_range("tokens in", json_get(estimate, "tokens_in"));
    print_range("tokens out", json_get(estimate, "tokens_out"));
    const char *basis = json_get_str(json_get(estimate, "basis"), "text", NULL);
    if (basis != NULL)
        out_line("  %-10s %s", "", basis);
    print_cost_and_time(estimate);
    buf_clear(&places);
    buf_clear(&repeated);
    print_prompts(cli, json_get(estimate, "prompts"));
}

/* What would go wrong; true when enqueue would fail. */
static bool tell_problems(const struct check *check, struct json_object *estimate)
{
    struct json_object *problems = json_get(estimate, "problems");
    bool is_fatal = false;
    for (size_t i = 0; i < json_array_len(problems); i++) {
        struct json_object *problem = json_array_at(problems, i);
        bool is_this = json_get_bool(problem, "is_fatal", false);
        is_fatal |= is_this;
        const char *message = json_get_str(problem, "message", "");
        char *placed = plan_place(&check->intake.plan, message);
        say_always(check->cli, "%s: %s", is_this ? "problem" : "note", placed != NULL ? placed : message);
        free(placed);
    }
    return is_fatal;
}

static int ask_daemon(struct check *check, int side, struct galloc_error *error)
{
    struct response response = RESPONSE_EMPTY;
    write_request(check, side);
    int rc = client_post(check->cli->client, &check->heads[side], &response, error, "/v1/estimate");
    if (rc == 0) {
        bool is_known = *json_get_str(response.json, "endpoint", "") != '\0'; /* a plan that cannot be has nothing to estimate */
        if (check->cli->format == FORMAT_TABLE && is_known)
            print_estimate(check, response.json);
        else if (check->cli->format != FORMAT_TABLE)
            out_json(check->cli, buf_text(&response.body), response.body.len);
        if (tell_problems(check, response.json))
            rc = galloc_fail(error, GALLOC_INVALID_INPUT, "enqueue would refuse this");
    }
    response_clear(&response);
    return rc;
}

/* One estimate, or one of each side of --ab. */
static int ask_all(struct check *check, struct galloc_error *error)
{
    int sides = check->profiles[0] != NULL ? AB_SIDES : 1, rc = 0;
    for (int side = 0; rc == 0 && side < sides; side++)
        rc = ask_daemon(check, side, error);
    if (rc == 0 && sides > 1 && check->cli->format == FORMAT_TABLE && args_has(&check->cli->args, "sample"))
        out_line("each side: %s of %s, the same in both", text_count(assignments_of(check)).text, text_counted(check->seen, "assignment").text);
    return rc;
}

int command_check(struct cli *cli, int count, char **words)
{
    (void)count;
    struct check *check = xcalloc(1, sizeof *check);
    *check = (struct check){.cli = cli, .state = 20261123};
    struct input_sink rows = {.begin = begin, .row = row, .arg = check};
    struct galloc_error error = {0}, closing;
    char *rejects_path = NULL;
    bool is_ab = args_has(&cli->args, "ab");
    int rc = is_ab ? ab_profiles(&cli->args, check->profiles, &error) : 0;
    if (rc == 0 && is_ab)
        rc = ab_check_profiles(cli, check->profiles, &error);
    if (rc < 0) {
        free(check);
        return say_error(cli, &error);
    }
    rc = intake_open(&check->intake, cli, words[0], &rows, &error);
    if (rc == 0)
        rc = intake_run(&check->intake, &error);
    if (rc == 0 && check->intake.row_count == 0)
        rc = galloc_fail(&error, GALLOC_INVALID_INPUT, "%s: %s", source_name(check->intake.source),
                         check->intake.rejects.count > 0 ? "every row was rejected" : "has a header and no rows");
    if (rc == 0)
        rejects_end(&check->intake.rejects);
    if (rc == 0)
        rc = ask_all(check, &error);
    if (intake_close(&check->intake, &rejects_path, &closing) < 0)
        say_error(cli, &closing);
    if (rejects_path != NULL)
        say(cli, "the rejected rows are in %s", rejects_path);
    free(rejects_path);
    for (size_t i = 0; i < SAMPLE_ROWS; i++)
        buf_clear(&check->sample[i]);
    for (int side = 0; side < AB_SIDES; side++)
        buf_clear(&check->heads[side]);
    keyset_clear(&check->keys);
    free(check);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}
