/* See tally.h. */
#include "sim/tally.h"

#include "base/json_out.h"
#include "sim/chance.h"

struct tally_key {
    uint64_t hash;
    int64_t calls, answers_ok;
    size_t len;
    char text[];
};

struct tally_entry {
    int64_t number; /* 0: empty */
    int64_t arrival_us, end_us, key_call, connection, in_flight;
    struct tally_key *key; /* borrowed from the table; NULL: none */
    enum call_route route;
    enum kind kind;
    int status;
    bool has_ended;
};

static const char *const route_names[] = {"generateContent", "countTokens", "models", "model", "other"};

void tally_init(struct tally *tally, const struct settings *settings, int64_t now_us)
{
    *tally = (struct tally){.start_us = now_us, .next_number = 1, .keys_max = (size_t)settings->keys_max};
    tally->ring_size = (size_t)settings->record_size;
    tally->ring = xcalloc(tally->ring_size, sizeof *tally->ring);
    tally->key_cap = 1024;
    tally->keys = xcalloc(tally->key_cap, sizeof *tally->keys);
}

void tally_clear(struct tally *tally)
{
    for (size_t i = 0; i < tally->key_cap; i++)
        free(tally->keys[i]);
    free(tally->keys);
    free(tally->ring);
    *tally = (struct tally){0};
}

void tally_reset(struct tally *tally, const struct settings *settings, int64_t now_us)
{
    int64_t in_flight = tally->in_flight, open = tally->connections_open, next_number = tally->next_number;
    tally_clear(tally);
    tally_init(tally, settings, now_us);
    tally->in_flight = tally->max_in_flight = in_flight;
    tally->connections_open = open;
    tally->next_number = next_number; /* numbers go on, so that the end of a call from before meets no other's entry */
}

/* ---- keys ---- */

static void grow_keys(struct tally *tally)
{
    size_t cap = 2 * tally->key_cap;
    struct tally_key **keys = xcalloc(cap, sizeof(struct tally_key *));
    for (size_t i = 0; i < tally->key_cap; i++) {
        if (tally->keys[i] == NULL)
            continue;
        size_t slot = tally->keys[i]->hash & (cap - 1);
        while (keys[slot] != NULL)
            slot = (slot + 1) & (cap - 1);
        keys[slot] = tally->keys[i];
    }
    free(tally->keys);
    tally->keys = keys;
    tally->key_cap = cap;
}

/* The key's row, made when it is new; NULL when there are too many. */
static struct tally_key *key_of(struct tally *tally, struct text_span key, uint64_t hash)
{
    if (2 * tally->key_count >= tally->key_cap)
        grow_keys(tally);
    size_t slot = hash & (tally->key_cap - 1);
    for (; tally->keys[slot] != NULL; slot = (slot + 1) & (tally->key_cap - 1)) {
        struct tally_key *known = tally->keys[slot];
        if (known->hash == hash && known->len == key.len && memcmp(known->text, key.at, key.len) == 0)
            return known;
    }
    if (tally->key_count >= tally->keys_max)
        return NULL;
    struct tally_key *made = xcalloc(1, sizeof *made + key.len + 1);
    made->hash = hash;
    made->len = key.len;
    memcpy(made->text, key.at, key.len);
    tally->keys[slot] = made;
    tally->key_count++;
    return made;
}

/* ---- calls ---- */

static struct tally_key *count_key(struct tally *tally, struct text_span key, struct tally_arrival *arrival)
{
    arrival->key_hash = chance_hash(key.at, key.len);
    struct tally_key *row = key_of(tally, key, arrival->key_hash);
    if (row == NULL) {
        arrival->key_call = 1;
        return NULL;
    }
    arrival->key_call = ++row->calls;
    if (row->calls > 1)
        tally->calls_beyond_first++;
    if (row->calls == 2)
        tally->keys_called_again++;
    return row;
}

struct tally_arrival tally_arrive(struct tally *tally, enum call_route route, struct text_span key, int64_t connection,
                                  int64_t now_us)
{
    struct tally_arrival arrival = {.number = tally->next_number++};
    struct tally_key *row = NULL;
    if (route == ROUTE_GENERATE) {
        tally->received++;
        if (++tally->in_flight > tally->max_in_flight)
            tally->max_in_flight = tally->in_flight;
    } else {
        tally->other++;
    }
    if (key.at != NULL) {
        row = count_key(tally, key, &arrival);
    } else {
        if (route == ROUTE_GENERATE)
            tally->tests++;
        arrival.key_call = tally->tests + tally->other;
    }
    tally->ring[(uint64_t)arrival.number % tally->ring_size] =
        (struct tally_entry){.number = arrival.number,
                             .arrival_us = now_us,
                             .key = row,
                             .key_call = row ? arrival.key_call : 0,
                             .connection = connection,
                             .in_flight = tally->in_flight,
                             .route = route};
    return arrival;
}

void tally_end(struct tally *tally, int64_t number, enum call_route route, enum kind kind, int status, int64_t now_us)
{
    struct tally_entry *entry = &tally->ring[(uint64_t)number % tally->ring_size];
    struct tally_key *key = NULL;
    if (entry->number == number) {
        entry->end_us = now_us;
        entry->kind = kind;
        entry->status = status;
        entry->has_ended = true;
        key = entry->key;
    }
    if (route != ROUTE_GENERATE)
        return;
    tally->in_flight--;
    tally->by_kind[kind]++;
    if (status == 0) {
        tally->cut++;
        return;
    }
    tally->answered++;
    tally->by_status[status % 600]++;
    tally->refused += status == 429;
    bool is_ok = kind == KIND_OK || kind == KIND_THOUGHT_FIRST || kind == KIND_TWO_PARTS || kind == KIND_NO_USAGE ||
                 kind == KIND_DRIP;
    tally->ok += is_ok;
    if (key != NULL && is_ok && ++key->answers_ok == 2)
        tally->keys_answered_again++;
}

/* ---- out ---- */

static void counts_to_json(const int64_t *counts, size_t count, bool is_kind, struct json_out *json)
{
    json_out_begin(json, '{');
    for (size_t i = 0; i < count; i++) {
        char status[24];
        snprintf(status, sizeof status, "%zu", i);
        if (counts[i] != 0)
            json_out_member_int(json, is_kind ? kind_rows[i].name : status, counts[i]);
    }
    json_out_end(json, '}');
}

void tally_to_json(const struct tally *tally, int64_t now_us, struct buf *out)
{
    const struct {
        const char *name;
        int64_t value;
    } rows[] = {{"uptime_ms", (now_us - tally->start_us) / 1000},
                {"received", tally->received},
                {"tests", tally->tests},
                {"other", tally->other},
                {"bad_http", tally->bad_http},
                {"rests", tally->rests},
                {"answered", tally->answered},
                {"ok", tally->ok},
                {"refused", tally->refused},
                {"cut", tally->cut},
                {"in_flight", tally->in_flight},
                {"max_in_flight", tally->max_in_flight},
                {"tokens_in", tally->tokens_in},
                {"tokens_cached", tally->tokens_cached},
                {"tokens_out", tally->tokens_out},
                {"tokens_thought", tally->tokens_thought},
                {"keys", (int64_t)tally->key_count},
                {"keys_called_again", tally->keys_called_again},
                {"calls_beyond_first", tally->calls_beyond_first},
                {"keys_answered_again", tally->keys_answered_again},
                {"connections_open", tally->connections_open},
                {"connections_opened", tally->connections_opened},
                {"calls_on_reused", tally->calls_on_reused}};
    struct json_out json = JSON_OUT(out);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        json_out_member_int(&json, rows[i].name, rows[i].value);
    json_out_name(&json, "by_kind");
    counts_to_json(tally->by_kind, ARRAY_COUNT(tally->by_kind), true, &json);
    json_out_name(&json, "by_status");
    counts_to_json(tally->by_status, ARRAY_COUNT(tally->by_status), false, &json);
}

static void entry_to_json(const struct tally *tally, const struct tally_entry *entry, struct buf *out)
{
    struct json_out json = JSON_OUT(out);
    json_out_begin(&json, '{');
    json_out_member_int(&json, "number", entry->number);
    json_out_member_str(&json, "route", route_names[entry->route]);
    json_out_name(&json, "arrival_ms");
    json_out_ratio(&json, (double)(entry->arrival_us - tally->start_us) / 1000);
    json_out_name(&json, "end_ms");
    if (entry->has_ended)
        json_out_ratio(&json, (double)(entry->end_us - tally->start_us) / 1000);
    else
        json_out_null(&json);
    json_out_name(&json, "key");
    if (entry->key != NULL)
        json_out_text(&json, entry->key->text, entry->key->len);
    else
        json_out_null(&json);
    json_out_member_int(&json, "key_call", entry->key_call);
    json_out_member_str(&json, "kind", entry->has_ended ? kind_rows[entry->kind].name : NULL);
    json_out_member_int(&json, "status", entry->status);
    json_out_member_int(&json, "in_flight", entry->in_flight);
    json_out_member_int(&json, "connection", entry->connection);
    json_out_end(&json, '}');
    buf_add_char(out, '\n');
}

void tally_record(const struct tally *tally, int64_t from_number, struct buf *out)
{
    int64_t oldest = max_i64(1, tally->next_number - (int64_t)tally->ring_size);
    for (int64_t number = max_i64(oldest, from_number); number < tally->next_number; number++) {
        const struct tally_entry *entry = &tally->ring[(uint64_t)number % tally->ring_size];
        if (entry->number == number)
            entry_to_json(tally, entry, out);
    }
}

void tally_keys(const struct tally *tally, int64_t over, struct buf *out)
{
    for (size_t i = 0; i < tally->key_cap; i++) {
        const struct tally_key *key = tally->keys[i];
        if (key == NULL || key->calls <= over)
            continue;
        struct json_out json = JSON_OUT(out);
        json_out_begin(&json, '{');
        json_out_name(&json, "key");
        json_out_text(&json, key->text, key->len);
        json_out_member_int(&json, "calls", key->calls);
        json_out_member_int(&json, "ok", key->answers_ok);
        json_out_end(&json, '}');
        buf_add_char(out, '\n');
    }
}
