/* See plan.h. */
#include "cli/plan.h"

#include "base/text.h"
#include "cli/agents.h"
#include "cli/schema_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PACK_MOST = 100, TEMPLATE_BYTES_MAX = 256 << 10, BODY_BYTES_MAX = 4 << 20 };

static int read_template(const char *path, char **ret_text, struct galloc_error *error)
{
    struct source *source;
    struct buf text = BUF_EMPTY;
    const char *data;
    size_t len = 1;
    int rc = source_open(path, NULL, &source, error);
    if (rc < 0)
        return rc;
    while (rc == 0 && len > 0) {
        rc = source_read(source, &data, &len, error);
        if (rc == 0)
            buf_add(&text, data, len);
        if (text.len > TEMPLATE_BYTES_MAX)
            rc = galloc_fail(error, GALLOC_INVALID_INPUT, "%s: a template has at most 256 KiB", path);
    }
    source_close(source);
    if (rc == 0 && !text_is_utf8(buf_text(&text), text.len))
        rc = galloc_fail(error, GALLOC_INVALID_INPUT, "%s is not UTF-8", path);
    if (rc == 0)
        *ret_text = buf_take(&text);
    buf_clear(&text);
    return rc;
}

static int read_delimiter(const char *text, char *ret_delimiter, struct galloc_error *error)
{
    if (strcmp(text, "tab") == 0 || strcmp(text, "\\t") == 0)
        *ret_delimiter = '\t';
    else if (strlen(text) == 1 && strchr("\"\r\n", *text) == NULL)
        *ret_delimiter = *text;
    else
        return galloc_fail(error, GALLOC_USAGE, "--delimiter is one character, or tab; \"%s\" is not", text);
    return 0;
}

/* Whom it goes to, or what is asked in their place. */
static int check_who(const struct args *args, struct galloc_error *error)
{
    bool has_agents = args_has(args, "agents"), has_pool = args_has(args, "pool");
    const char *endpoint = args_text(args, "endpoint");
    if (!args_has(args, "schema")) {
        if (!args_has(args, "append") && has_agents == has_pool)
            return galloc_fail(error, GALLOC_USAGE, has_pool ? "--agents and --pool exclude each other"
                                                             : "whom to allocate to? Give --agents FILE or --pool POOL (or --schema FILE: the run asks something else)");
        return 0;
    }
    if (has_agents || has_pool)
        return galloc_fail(error, GALLOC_USAGE, "--schema and --%s exclude each other: a run either has its answers in a schema's shape, or allocates to agents",
                           has_agents ? "agents" : "pool");
    if (args_has(args, "ab"))
        return galloc_fail(error, GALLOC_USAGE, "--ab compares to whom two runs allocate; with --schema nobody is chosen");
    if (!args_has(args, "template") && (endpoint == NULL || strcmp(endpoint, "workers") != 0))
        return galloc_fail(error, GALLOC_USAGE, "with --schema, --template FILE says what is asked of each assignment");
    return 0;
}

static int check_combinations(const struct args *args, struct galloc_error *error)
{
    const char *profile = args_text(args, "profile");
    bool is_batch = profile != NULL && strcmp(profile, "adaptive") != 0 && strcmp(profile, "sequential") != 0;
    int rc = check_who(args, error);
    if (rc < 0)
        return rc;
    if (!args_has(args, "ab") && (args_has(args, "sample") || args_has(args, "seed")))
        return galloc_fail(error, GALLOC_USAGE, "--%s goes with --ab; --first N enqueues the first N rows", args_has(args, "sample") ? "sample" : "seed");
    if (args_has(args, "seed") && !args_has(args, "sample"))
        return galloc_fail(error, GALLOC_USAGE, "--seed goes with --sample N");
    if (args_has(args, "send") && args_has(args, "keep-back"))
        return galloc_fail(error, GALLOC_USAGE, "--send and --keep-back exclude each other");
    if (!is_batch && (args_has(args, "batch-size") || args_has(args, "delay")))
        return galloc_fail(error, GALLOC_USAGE, "--%s is for batch profiles (conservative, balanced, aggressive); the profile here is %s",
                           args_has(args, "batch-size") ? "batch-size" : "delay", profile ? profile : "adaptive");
    const char *pack = args_text(args, "pack");
    char *end = NULL;
    long packed = pack != NULL ? strtol(pack, &end, 10) : 1;
    if (pack != NULL && strcmp(pack, "auto") != 0 && (*end != '\0' || packed < 1 || packed > PACK_MOST))
        return galloc_fail(error, GALLOC_USAGE, "--pack is a number from 1 to %d, or auto; \"%s\" is not", PACK_MOST, pack);
    const char *const *matches;
    size_t count = args_texts(args, "match", &matches);
    for (size_t i = 0; i < count; i++)
        if (strchr(matches[i], '=') == NULL || matches[i][0] == '=' || strchr(matches[i], '=')[1] == '\0')
            return galloc_fail(error, GALLOC_USAGE, "--match is FIELD=ATTR, e.g. region=region; \"%s\" is not", matches[i]);
    return 0;
}

int plan_prepare(struct plan *plan, const struct args *args, struct galloc_error *error)
{
    static const char *const key_names[] = {"lan", "lan_no", "key", "id", NULL};
    static const char *const formats[] = {[INPUT_AUTO] = "auto", [INPUT_CSV] = "csv", [INPUT_NDJSON] = "ndjson", [INPUT_JSON] = "json"};
    *plan = (struct plan){.args = args, .input = {.key = args_text(args, "key"), .key_names = key_names, .what = "assignments"}};
    const char *from = args_text(args, "from"), *delimiter = args_text(args, "delimiter"), *order = args_text(args, "order");
    for (size_t i = 0; from != NULL && i < ARRAY_COUNT(formats); i++)
        if (strcmp(formats[i], from) == 0)
            plan->input.format = (enum input_format)i;
    int rc = check_combinations(args, error);
    if (rc == 0 && delimiter != NULL)
        rc = read_delimiter(delimiter, &plan->input.delimiter, error);
    if (rc == 0 && args_has(args, "agents")) {
        size_t count;
        rc = agents_read(args_text(args, "agents"), &plan->agents, &count, error);
    }
    if (rc == 0 && plan->agents.len > BODY_BYTES_MAX - (512 << 10))
        rc = galloc_fail(error, GALLOC_TOO_LARGE, "%s: the agents take over 3.5 MiB as JSON; leave out attributes that no decision needs",
                         args_text(args, "agents"));
    if (rc == 0 && args_has(args, "template"))
        rc = read_template(args_text(args, "template"), &plan->template_text, error);
    if (rc == 0 && args_has(args, "schema"))
        rc = schema_file_read(args_text(args, "schema"), &plan->schema_text, error);
    if (rc == 0 && order != NULL)
        rc = order_new(order, &plan->order, &plan->input.order, error);
    return rc;
}

void plan_clear(struct plan *plan)
{
    buf_clear(&plan->agents);
    free(plan->template_text);
    free(plan->schema_text);
    order_free(plan->order);
    *plan = (struct plan){.args = NULL};
}

char *plan_place(const struct plan *plan, const char *message)
{
    return schema_file_place(args_text(plan->args, "schema"), plan->schema_text, message, false);
}

static int check_name(const struct input_info *info, const char *option, const char *name, bool is_strict, struct galloc_error *error)
{
    if (!is_strict || input_find_column(info->columns, info->column_count, name) >= 0)
        return 0;
    const char *nearest = text_nearest(name, (const char *const *)info->columns, info->column_count);
    if (nearest != NULL)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "--%s: the input has no column \"%s\"; did you mean \"%s\"?", option, name, nearest);
    return galloc_fail(error, GALLOC_INVALID_INPUT, "--%s: the input has no column \"%s\"", option, name);
}

int plan_check_columns(const struct plan *plan, const struct input_info *info, struct galloc_error *error)
{
    static const char *const options[] = {"send", "keep-back", "match"};
    bool is_csv = info->format == INPUT_CSV;
    int rc = plan->input.order ? check_name(info, "order", plan->input.order, true, error) : 0;
    for (size_t o = 0; rc == 0 && o < ARRAY_COUNT(options); o++) {
        const char *const *names;
        size_t count = args_texts(plan->args, options[o], &names);
        for (size_t i = 0; rc == 0 && i < count; i++) {
            char *name = xstrndup(names[i], strcmp(options[o], "match") == 0 ? strcspn(names[i], "=") : strlen(names[i]));
            rc = check_name(info, options[o], name, is_csv, error);
            free(name);
        }
    }
    return rc;
}

/* The column's own name for what the user wrote. */
static const char *column_name(const struct input_info *info, const char *name)
{
    int index = input_find_column(info->columns, info->column_count, name);
    return index >= 0 ? info->columns[index] : name;
}

static void write_columns(struct json_out *out, const char *member, const struct plan *plan, const char *option, const struct input_info *info)
{
    const char *const *names;
    size_t count = args_texts(plan->args, option, &names);
    if (!args_has(plan->args, option))
        return;
    json_out_name(out, member);
    json_out_begin(out, '[');
    for (size_t i = 0; i < count; i++) {
        const char *name = column_name(info, names[i]);
        if (strcmp(name, info->key) != 0) /* the key goes with its assignment anyway */
            json_out_str(out, name);
    }
    json_out_end(out, ']');
}

static void write_matches(struct json_out *out, const struct plan *plan, const struct input_info *info)
{
    const char *const *matches;
    size_t count = args_texts(plan->args, "match", &matches);
    if (count == 0)
        return;
    json_out_name(out, "match");
    json_out_begin(out, '[');
    for (size_t i = 0; i < count; i++) {
        char *field = xstrndup(matches[i], strcspn(matches[i], "="));
        char *match = xasprintf("%s%s", column_name(info, field), strchr(matches[i], '='));
        json_out_str(out, match);
        free(match);
        free(field);
    }
    json_out_end(out, ']');
}

/* Options that go as they are, by the kind of their value. */
static const struct {
    const char *option, *member;
    bool is_text;
} plain_options[] = {
    {"max-candidates", "max_candidates", false},
    {"order", "order", true},
    {"first", "first", false},
    {"from", "from", true},
    {"delimiter", "delimiter", true},
    {"encoding", "encoding", true},
    {"batch-size", "batch_size", false},
    {"delay", "delay_ms", false},
    {"max-retries", "max_retries", false},
    {"priority", "priority", false},
    {"max-age", "max_age_ms", false},
    {"max-cost", "max_cost", true},
    {"tier", "tier", true},
    {"on-duplicate", "on_duplicate", true},
    {"sample", "sample", false},
    {"seed", "seed", false},
    {"canary", "canary", true},
};

static void write_options(struct json_out *out, const struct plan *plan, const struct input_info *info)
{
    const struct args *args = plan->args;
    json_out_name(out, "options");
    json_out_begin(out, '{');
    json_out_member_str(out, "key", info->key);
    write_columns(out, "send", plan, "send", info);
    write_columns(out, "keep_back", plan, "keep-back", info);
    write_matches(out, plan, info);
    for (size_t i = 0; i < ARRAY_COUNT(plain_options); i++) {
        if (!args_has(args, plain_options[i].option))
            continue;
        if (plain_options[i].is_text)
            json_out_member_str(out, plain_options[i].member, args_text(args, plain_options[i].option));
        else
            json_out_member_int(out, plain_options[i].member, args_number(args, plain_options[i].option, 0));
    }
    if (plan->copied_pool != NULL)
        json_out_member_str(out, "copy_of", plan->copied_pool);
    if (args_has(args, "pack")) /* "auto": 0, as the daemon has it; what is no number was refused */
        json_out_member_int(out, "pack", strtol(args_text(args, "pack"), NULL, 10));
    if (args_has(args, "again"))
        json_out_member_bool(out, "again", true);
    if (args_has(args, "workers-too"))
        json_out_member_bool(out, "workers_too", true);
    if (args_has(args, "open"))
        json_out_member_bool(out, "open", true);
    json_out_end(out, '}');
}

void plan_write(const struct plan *plan, struct json_out *out, const struct input_info *info, const char *source_name, const char *sha256)
{
    static const char *const named[] = {"name", "pool", "endpoint", "profile"};
    const char *const own[ARRAY_COUNT(named)] = {plan->name, NULL, NULL, plan->profile};
    for (size_t i = 0; i < ARRAY_COUNT(named); i++) {
        bool is_pool_copied = strcmp(named[i], "pool") == 0 && plan->copied_pool != NULL;
        if (own[i] != NULL || (args_has(plan->args, named[i]) && !is_pool_copied))
            json_out_member_str(out, named[i], own[i] != NULL ? own[i] : args_text(plan->args, named[i]));
    }
    if (plan->agents.len > 0) {
        json_out_name(out, "agents");
        json_out_raw(out, plan->agents.data, plan->agents.len);
    }
    if (plan->template_text != NULL)
        json_out_member_str(out, "template", plan->template_text);
    if (plan->schema_text != NULL) {
        json_out_name(out, "schema");
        json_out_raw(out, plan->schema_text, strlen(plan->schema_text));
    }
    json_out_name(out, "columns");
    json_out_begin(out, '[');
    for (size_t i = 0; i < info->column_count; i++)
        if (strcmp(info->columns[i], info->key) != 0)
            json_out_str(out, info->columns[i]);
    json_out_end(out, ']');
    write_options(out, plan, info);
    if (args_has(plan->args, "paused"))
        json_out_member_bool(out, "paused", true);
    json_out_name(out, "source");
    json_out_begin(out, '{');
    json_out_member_str(out, "name", source_name);
    if (sha256 != NULL)
        json_out_member_str(out, "sha256", sha256);
    json_out_end(out, '}');
}
