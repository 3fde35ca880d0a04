/* What gallocsim counts: calls, answers by kind and status, most in flight at once, tokens, calls of every key, and a
 * record of the latest calls in a ring. Only the loop's thread. Times are microseconds on the clock of base/clock.h. */
#ifndef GALLOC_SIM_TALLY_H
#define GALLOC_SIM_TALLY_H

#include "sim/prompt.h"
#include "sim/settings.h"

enum call_route { ROUTE_GENERATE, ROUTE_COUNT_TOKENS, ROUTE_MODELS, ROUTE_MODEL, ROUTE_OTHER };

struct tally_key; /* one assignment's key */

struct tally {
    int64_t start_us;
    int64_t received, tests, other,
        bad_http;  /* generateContent; those of them without an assignment; other calls under /v1; not HTTP */
    int64_t rests; /* calls for the rest of an answer */
    int64_t answered, ok, refused, cut;
    int64_t in_flight, max_in_flight;
    int64_t by_kind[KIND_COUNT], by_status[600];
    int64_t tokens_in, tokens_cached, tokens_out, tokens_thought;
    int64_t connections_open, connections_opened, calls_on_reused;
    /* keys */
    struct tally_key **keys; /* owned; open addressing */
    size_t key_count, key_cap, keys_max;
    int64_t keys_called_again, calls_beyond_first, keys_answered_again;
    /* record */
    struct tally_entry *ring; /* owned; entry of call n stands at n % ring_size */
    size_t ring_size;
    int64_t next_number; /* of the next call of any route, from 1 */
};

struct tally_arrival {
    int64_t number;   /* of the call */
    int64_t key_call; /* which call of this key, from 1; of all test requests where there is no key */
    uint64_t key_hash;
};

void tally_init(struct tally *tally, const struct settings *settings, int64_t now_us);
void tally_clear(struct tally *tally);
/* Counts from 0; what is in flight stays so. */
void tally_reset(struct tally *tally, const struct settings *settings, int64_t now_us);

/* A whole call has arrived. key.at NULL: it has none. */
struct tally_arrival tally_arrive(struct tally *tally, enum call_route route, struct text_span key, int64_t connection,
                                  int64_t now_us);

/* How it ends. status 0: no complete answer left. Must be called once for every arrival. */
void tally_end(struct tally *tally, int64_t number, enum call_route route, enum kind kind, int status, int64_t now_us);

void tally_to_json(const struct tally *tally, int64_t now_us,
                   struct buf *out); /* members of an object, without its braces */
void tally_record(const struct tally *tally, int64_t from_number, struct buf *out); /* NDJSON, oldest first */
void tally_keys(const struct tally *tally, int64_t over,
                struct buf *out); /* NDJSON of keys with more than `over` calls */

#endif
