/* PATCH /v1/endpoints/{name}: settings changed at run time. All are read and checked first, then stored, an operation each, one after the other. */
#include "api/handler.h"

#include "base/clock.h"
#include "base/parse.h"
#include "base/text.h"

#include <inttypes.h>
#include <string.h>

struct setting_change {
    const struct endpoint_setting_row *row;
    char *value; /* owned; NULL: unset */
};
struct setting_changes {
    struct setting_change items[ENDPOINT_SETTING_COUNT];
    size_t count, next;
    int64_t until_at_ms;
};

static void changes_free(void *state)
{
    struct setting_changes *changes = state;
    for (size_t i = 0; i < changes->count; i++)
        free(changes->items[i].value);
    free(changes);
}

/* ---- a value, by the kind of its row: the text that is stored ---- */

static int out_of_range(const struct endpoint_setting_row *row, const char *unit, struct galloc_error *error)
{
    return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" has to be from %" PRId64 " to %" PRId64 "%s (%s)", row->name, row->low, row->high, unit, row->help);
}

static int read_number(const struct endpoint_setting_row *row, struct json_object *value, char **ret_value, struct galloc_error *error)
{
    if (!json_is_i64(value))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" has to be a whole number, or null", row->name);
    int64_t number = json_i64(value, 0);
    if (number < row->low || number > row->high)
        return out_of_range(row, "", error);
    *ret_value = xasprintf("%" PRId64, number);
    return 0;
}

static int read_duration(const struct endpoint_setting_row *row, struct json_object *value, char **ret_value, struct galloc_error *error)
{
    int64_t ms = 0;
    if (json_is_i64(value))
        ms = json_i64(value, 0);
    else if (!json_is_str(value))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" has to be a duration like \"60s\", or null", row->name);
    else if (parse_duration_ms(json_str(value, NULL), &ms, error) < 0)
        return galloc_prefix(error, "\"%s\"", row->name);
    if (ms < row->low || ms > row->high)
        return out_of_range(row, " ms", error);
    *ret_value = xasprintf("%" PRId64 "ms", ms);
    return 0;
}

/* Its currency, where it is told, is looked at once all settings are read: a price may stand beside it. */
static int read_amount(const struct endpoint_setting_row *row, struct json_object *value, char **ret_value, struct galloc_error *error)
{
    struct amount amount;
    if (!json_is_str(value))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" has to be an amount of money such as \"5.00\", or null", row->name);
    if (amount_parse(json_str(value, NULL), &amount, error) < 0)
        return galloc_prefix(error, "\"%s\"", row->name);
    struct buf text = BUF_EMPTY;
    amount_add_text(&text, &amount);
    *ret_value = buf_take(&text);
    return 0;
}

/* A price is given as a whole: nothing of the file's or of a former one fills it up. */
static int read_price(const struct endpoint_setting_row *row, struct json_object *value, char **ret_value, struct galloc_error *error)
{
    const struct json_field fields[] = {{"in_micros", JSON_TYPE_I64, false, row->low, row->high},
                                        {"cached_in_micros", JSON_TYPE_I64, false, row->low, row->high},
                                        {"out_micros", JSON_TYPE_I64, false, row->low, row->high},
                                        {"currency", JSON_TYPE_STR, false, 3, 3}};
    if (!json_is_object(value))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" has to be an object with in_micros and out_micros, or null", row->name);
    if (json_check_fields(value, fields, ARRAY_COUNT(fields), error) < 0)
        return galloc_prefix(error, "\"%s\"", row->name);
    bool has_in = json_get(value, "in_micros") != NULL, has_out = json_get(value, "out_micros") != NULL;
    if (!has_in || !has_out)
        return galloc_fail(error, GALLOC_INVALID_VALUE,
                           "that is %s price: it needs both what a million tokens cost that go in and that come out, in one command (price_in=0.75 price_out=3.75)",
                           has_in || has_out ? "half a" : "no");
    struct price price = {.currency = "USD", .in_micros = json_get_i64(value, "in_micros", 0), .out_micros = json_get_i64(value, "out_micros", 0)};
    price.cached_in_micros = json_get_i64(value, "cached_in_micros", price.in_micros);
    const char *currency = json_get_str(value, "currency", price.currency);
    if (!price_is_currency(currency))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" is not a currency of three letters such as USD", currency);
    memcpy(price.currency, currency, sizeof price.currency);
    struct buf text = BUF_EMPTY;
    price_add_text(&text, &price);
    *ret_value = xstrdup(buf_text(&text));
    buf_clear(&text);
    return 0;
}

static int (*const readers[ENDPOINT_SETTING_KIND_COUNT])(const struct endpoint_setting_row *row, struct json_object *value, char **ret_value, struct galloc_error *error) = {
    [ENDPOINT_NUMBER] = read_number, [ENDPOINT_DURATION] = read_duration, [ENDPOINT_AMOUNT] = read_amount, [ENDPOINT_PRICE] = read_price};

/* ---- the body ---- */

struct read_settings {
    const struct endpoint *endpoint;
    struct setting_changes *changes;
    struct galloc_error *error;
};

static int add_setting(const char *name, struct json_object *value, void *arg)
{
    struct read_settings *in = arg;
    const struct endpoint_setting_row *rows = endpoint_setting_rows();
    const char *names[ENDPOINT_SETTING_COUNT];
    for (int i = 0; i < ENDPOINT_SETTING_COUNT; i++) {
        names[i] = rows[i].name;
        if (strcmp(rows[i].name, name) != 0)
            continue;
        if (!endpoint_setting_applies(in->endpoint, (enum endpoint_setting)i))
            return galloc_fail(in->error, GALLOC_INVALID_VALUE, "\"%s\" means nothing to the endpoint %s: its provider (%s) takes no prompt", name,
                               in->endpoint->config->name, in->endpoint->provider->name);
        struct setting_change *change = &in->changes->items[in->changes->count];
        int rc = value != NULL ? readers[rows[i].kind](&rows[i], value, &change->value, in->error) : 0;
        if (rc < 0)
            return rc;
        change->row = &rows[i];
        in->changes->count++;
        return 0;
    }
    const char *nearest = text_nearest(name, names, ARRAY_COUNT(names));
    return galloc_fail(in->error, GALLOC_UNKNOWN_FIELD, "\"%.60s\" cannot be set at run time%s%s%s; URL, model and key are in the configuration file", name,
                       nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

/* Costs are one sum an endpoint and a run, so they have one currency. */
static int check_currency(const struct request *request, const struct endpoint *endpoint, const struct setting_changes *changes, struct galloc_error *error)
{
    int64_t counted = endpoint->cost_micros + endpoint->sums_before[COUNT_COST_MICROS];
    const struct price_config *listed = endpoint_file_price(endpoint, TIER_STANDARD, clock_wall_ms());
    for (const struct run_entry *run = engine_registry(request->api->config.engine)->runs; run != NULL; run = run->next)
        counted += run->endpoint == endpoint ? run->info.counts[COUNT_COST_MICROS] : 0;
    const char *currency = listed != NULL ? listed->price.currency : counted > 0 ? endpoint->currency : "";
    for (size_t i = 0; i < changes->count; i++) {
        struct price price;
        if (changes->items[i].row->kind != ENDPOINT_PRICE || changes->items[i].value == NULL || price_parse(changes->items[i].value, &price, NULL) < 0)
            continue;
        if (currency[0] != '\0' && strcmp(price.currency, currency) != 0)
            return galloc_fail(error, GALLOC_CONFLICT, "the costs of %s are counted in %s, and a price in %s cannot be added to them: give it in %s%s", endpoint->config->name,
                               currency, price.currency, currency, listed != NULL ? ", or give its model a price in the configuration" : "");
    }
    return 0;
}

/* A budget is held against what calls may cost at most, which has to be known: in its own currency, and before they are sent. */
static int check_budget(const struct endpoint *endpoint, const struct setting_changes *changes, struct galloc_error *error)
{
    const struct price *price = endpoint_price(endpoint, TIER_STANDARD, clock_wall_ms());
    struct price fresh;
    struct amount amount = {.is_set = false};
    for (size_t i = 0; i < changes->count; i++) {
        const struct setting_change *change = &changes->items[i];
        if (change->row->kind == ENDPOINT_PRICE && change->value != NULL && price_parse(change->value, &fresh, NULL) == 0)
            price = &fresh;
        if (change->row->kind == ENDPOINT_AMOUNT && change->value != NULL && amount_parse(change->value, &amount, error) < 0)
            return -GALLOC_INVALID_VALUE;
    }
    return amount.is_set && amount.micros > 0 ? endpoint_check_budget(endpoint, &amount, price, error) : 0;
}

static void submit_next(struct request *request);

static void on_set(struct store_op *op)
{
    struct request *request = op->arg;
    if (op->code < 0)
        request_fail_op(request, op);
    else
        submit_next(request);
    store_op_free(op);
}

static void submit_next(struct request *request)
{
    struct setting_changes *changes = request->state;
    if (changes->next == changes->count) {
        endpoint_reply(request, request->params[0]);
        return;
    }
    struct setting_change *change = &changes->items[changes->next++];
    struct store_endpoint_set *set = handler_op(request, OP_ENDPOINT_SET, on_set);
    set->peer = request->peer;
    set->setting = (struct store_setting){.endpoint = xstrdup(request->params[0]), .name = xstrdup(change->row->name), .value = xstrdup(change->value),
                                          .set_at_ms = clock_wall_ms(), .until_at_ms = change->value ? changes->until_at_ms : 0, .set_by = request->peer.uid};
    handler_submit(request, &set->op);
}

void handle_endpoint_set(struct request *request)
{
    struct endpoint *endpoint = endpoint_of_path(request);
    if (endpoint == NULL)
        return;
    struct galloc_error error;
    struct setting_changes *changes = xcalloc(1, sizeof *changes);
    request->state = changes;
    request->state_free = changes_free;
    int64_t for_ms = json_get_i64(request->json, "for_ms", 0);
    changes->until_at_ms = for_ms > 0 ? clock_wall_ms() + for_ms : 0;
    struct read_settings in = {.endpoint = endpoint, .changes = changes, .error = &error};
    int rc = json_each(json_get(request->json, "settings"), add_setting, &in);
    if (rc == 0 && changes->count == 0)
        rc = galloc_fail(&error, GALLOC_INVALID_VALUE, "nothing to set: \"settings\" is empty");
    if (rc == 0)
        rc = check_currency(request, endpoint, changes, &error);
    if (rc == 0)
        rc = check_budget(endpoint, changes, &error);
    if (rc < 0)
        request_fail(request, &error);
    else
        submit_next(request);
}
