/* Calls: the row of a request to an endpoint, from its beginning to its end. CALL_BEGIN and CALL_END are the endpoint's own test request, a call
 * that decides no assignment. And what a new life is told of the calls of the ones before: when they were sent, and how many of this day.
 *
 * A row is made when the call is let through, a little before it is sent, and its end is written a little after the answer: end less latency is at or
 * just after the send. A call whose answer never came counts as sent when that was found out. So what is read back is never too early, and a limit is kept.
 * The writer's thread. */
#include "store/sqlite_call.h"

#include "base/clock.h"
#include "core/limits.h"

#define ROW_BEFORE_SEND_MS INT64_C(3600000) /* a re-ask may wait so long for a quota between its row and its send */

int sqlite_apply_call_begin(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_call_begin *begin = CONTAINER_OF(op, struct store_call_begin, op);
    int rc = sqlite_do(store, STMT_CALL_INSERT, "tiiii", begin->endpoint, (int64_t)1, store->node, store->wall_ms, (int64_t)0);
    begin->ret_call = sqlite3_last_insert_rowid(store->db);
    return rc < 0 ? rc : sqlite_reserve_set(store, NULL, 0, begin->ret_call, begin->reserve_micros);
}

/* When the day ends on which a call was sent that ends now. */
static int64_t day_of(const struct sqlite_store *store, int64_t latency_ms)
{
    return clock_next_pacific_midnight_ms(store->wall_ms - max_i64(latency_ms, 0));
}

/* A test request that ends just now, into the sums of its endpoint. */
static int test_count(struct sqlite_store *store, const struct store_call_end *end)
{
    struct call_sums sums = {0};
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_CALL_ENDPOINT, &row, "i", end->call);
    if (rc <= 0)
        return rc;
    char *endpoint = sqlite_text_copy(row, 0);
    sqlite_end(row);
    call_sums_add_call(&sums, true, end->class);
    call_sums_add_usage(&sums, end->http_status, end->tokens, end->cost_micros, end->currency);
    rc = sqlite_call_sums_write(store, endpoint, &sums);
    free(endpoint);
    return rc;
}

int sqlite_apply_call_end(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_call_end *end = CONTAINER_OF(op, struct store_call_end, op);
    const int64_t *tokens = end->tokens;
    int rc = sqlite_do(store, STMT_DAY_COUNT_TEST, "iii", end->call, day_of(store, end->latency_ms), max_i64(end->cost_micros, 0) + end->kept_micros);
    if (rc == 0)
        rc = sqlite_reserve_set(store, NULL, 0, end->call, 0);
    if (rc < 0)
        return rc;
    rc = test_count(store, end);
    if (rc < 0)
        return rc;
    return sqlite_do(store, STMT_CALL_END, "iiiizmmmmmmtmzi", end->call, (int64_t)(end->is_lost ? CALL_LOST : CALL_DONE), store->wall_ms,
                     (int64_t)end->class, (int64_t)end->http_status, tokens[TOKEN_IN], tokens[TOKEN_CACHED], tokens[TOKEN_OUT],
                     tokens[TOKEN_THOUGHT], tokens[TOKEN_TOOL], end->cost_micros, end->currency[0] == '\0' ? NULL : end->currency,
                     end->latency_ms, (int64_t)end->local_port, (int64_t)0);
}

int sqlite_day_count(struct sqlite_store *store, const struct store_settle *settle)
{
    int64_t today = day_of(store, 0), longest_ms = 0, count = 0, cost_micros = 0;
    int rc = 0;
    for (size_t i = 0; i < settle->count; i++)
        longest_ms = max_i64(longest_ms, settle->items[i].has_call_result ? settle->items[i].latency_ms : 0);
    bool are_today = day_of(store, longest_ms) == today; /* but for the first calls after midnight */
    for (size_t i = 0; i < settle->count && settle->endpoint != NULL && rc == 0; i++) {
        const struct settle_item *item = &settle->items[i];
        int64_t day = are_today ? today : day_of(store, item->latency_ms);
        int64_t micros = max_i64(item->cost_micros, 0) + item->kept_micros;
        bool is_end = item->has_call_result && item->part == 0;
        if (is_end && day == today) {
            count++;
            cost_micros += micros;
        } else if (is_end) {
            rc = sqlite_do(store, STMT_DAY_COUNT, "tiii", settle->endpoint, day, (int64_t)1, micros);
        }
    }
    return count > 0 && rc == 0 ? sqlite_do(store, STMT_DAY_COUNT, "tiii", settle->endpoint, today, count, cost_micros) : rc;
}

int sqlite_day_count_lost(struct sqlite_store *store)
{
    int64_t today = day_of(store, 0);
    int rc = sqlite_do(store, STMT_DAY_COUNT_LOST, "i", today);
    return rc < 0 ? rc : sqlite_reserves_lost(store, today);
}

/* ---- the image ---- */

static struct store_sends *sends_of(struct store_image *image, const char *endpoint)
{
    for (size_t i = 0; i < image->sends_count; i++)
        if (strcmp(image->sends[i].endpoint, endpoint) == 0)
            return &image->sends[i];
    image->sends = xreallocarray(image->sends, image->sends_count + 1, sizeof *image->sends);
    image->sends[image->sends_count] = (struct store_sends){.endpoint = xstrdup(endpoint)};
    return &image->sends[image->sends_count++];
}

/* One of the newest calls. False: it and those before it were sent long ago. */
static bool send_read(const struct sqlite_store *store, sqlite3_stmt *row, struct store_image *image)
{
    int state = sqlite3_column_int(row, 1), class = sqlite3_column_int(row, 2);
    int64_t made_at_ms = sqlite3_column_int64(row, 3), ended_at_ms = sqlite3_column_int64(row, 4), latency_ms = sqlite3_column_int64(row, 5);
    int64_t at_ms = state == CALL_OPEN ? store->wall_ms : max_i64(ended_at_ms - latency_ms, made_at_ms);
    if (made_at_ms < store->wall_ms - STORE_SENDS_MS - ROW_BEFORE_SEND_MS)
        return false;
    if (state == CALL_RELEASED || at_ms < store->wall_ms - STORE_SENDS_MS)
        return true;
    struct store_sends *sends = sends_of(image, (const char *)sqlite3_column_text(row, 0));
    if ((sends->count & (sends->count - 1)) == 0) /* full: it doubles */
        sends->items = xreallocarray(sends->items, max_i64(2 * (int64_t)sends->count, 1), sizeof *sends->items);
    bool is_refused = class == OUTCOME_THROTTLED || class == OUTCOME_QUOTA_DAY;
    sends->items[sends->count++] = (struct former_send){.at_ms = at_ms, .tokens = sqlite3_column_int64(row, 6), .is_refused = is_refused};
    sends->day_calls += state == CALL_OPEN; /* the disk was full: nobody could write its end and count it */
    return true;
}

int sqlite_sends_load(struct sqlite_store *store, struct store_image *image)
{
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_IMAGE_DAYS, &row, "i", clock_next_pacific_midnight_ms(store->wall_ms));
    for (; rc > 0; rc = sqlite_next(store, row)) {
        struct store_sends *sends = sends_of(image, (const char *)sqlite3_column_text(row, 0));
        sends->day_calls = sqlite3_column_int64(row, 1);
        sends->day_cost_micros = sqlite3_column_int64(row, 2);
    }
    if (rc == 0)
        rc = sqlite_find(store, STMT_IMAGE_SENDS, &row, "i", (int64_t)LIMIT_CALLS_READ_BACK);
    while (rc > 0 && send_read(store, row, image))
        rc = sqlite_next(store, row);
    if (rc > 0) {
        sqlite_end(row);
        rc = 0;
    }
    return rc;
}
