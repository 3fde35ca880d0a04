/* See sqlite_call.h. A row an endpoint and a row an endpoint and class, moved in the transaction that ends the calls; doctor recounts them. */
#include "store/sqlite_call.h"

#include "core/price.h"

void call_sums_add_call(struct call_sums *sums, bool is_test, enum outcome_class class)
{
    sums->counts[is_test ? COUNT_TEST_CALLS : COUNT_CALLS]++;
    if (!is_test)
        sums->counts[COUNT_CLASS + (int)class]++;
}

void call_sums_add_usage(struct call_sums *sums, int32_t http_status, const int64_t tokens[TOKEN_COUNT], int64_t cost_micros, const char *currency)
{
    for (int i = 0; i < TOKEN_COUNT; i++)
        sums->counts[COUNT_TOKEN + i] += max_i64(tokens[i], 0);
    sums->counts[COUNT_COST_MICROS] += max_i64(cost_micros, 0);
    sums->counts[COUNT_COST_UNKNOWN] += price_is_unknown(http_status, tokens[TOKEN_IN], cost_micros);
    if (currency[0] != '\0')
        snprintf(sums->currency, sizeof sums->currency, "%s", currency);
}

int sqlite_call_sums_write(struct sqlite_store *store, const char *endpoint, const struct call_sums *sums)
{
    const int64_t *counts = sums->counts, *tokens = &counts[COUNT_TOKEN];
    if (counts[COUNT_CALLS] + counts[COUNT_TEST_CALLS] == 0)
        return 0;
    int rc = sqlite_do(store, STMT_ENDPOINT_SUM_ADD, "ttiiiiiiiii", endpoint, sums->currency[0] ? sums->currency : NULL, counts[COUNT_CALLS],
                       counts[COUNT_TEST_CALLS], tokens[TOKEN_IN], tokens[TOKEN_CACHED], tokens[TOKEN_OUT], tokens[TOKEN_THOUGHT], tokens[TOKEN_TOOL],
                       counts[COUNT_COST_MICROS], counts[COUNT_COST_UNKNOWN]);
    for (int class = 0; rc == 0 && class < OUTCOME_CLASS_COUNT; class++)
        if (counts[COUNT_CLASS + class] > 0)
            rc = sqlite_do(store, STMT_ENDPOINT_CLASS_ADD, "tii", endpoint, (int64_t) class, counts[COUNT_CLASS + class]);
    return rc;
}

int sqlite_call_sums_lost(struct sqlite_store *store)
{
    int rc = sqlite_do(store, STMT_ENDPOINT_SUM_LOST, "");
    return rc < 0 ? rc : sqlite_do(store, STMT_ENDPOINT_CLASS_LOST, "i", (int64_t)OUTCOME_LOST);
}

/* ---- the image ---- */

static struct store_endpoint_sums *sums_of(struct store_image *image, const char *endpoint)
{
    for (size_t i = 0; i < image->sums_count; i++)
        if (strcmp(image->sums[i].endpoint, endpoint) == 0)
            return &image->sums[i];
    image->sums = xreallocarray(image->sums, image->sums_count + 1, sizeof *image->sums);
    image->sums[image->sums_count] = (struct store_endpoint_sums){.endpoint = xstrdup(endpoint)};
    return &image->sums[image->sums_count++];
}

int sqlite_call_sums_load(struct sqlite_store *store, struct store_image *image)
{
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_IMAGE_SUMS, &row, "");
    for (; rc > 0; rc = sqlite_next(store, row)) {
        struct store_endpoint_sums *sums = sums_of(image, (const char *)sqlite3_column_text(row, 0));
        snprintf(sums->currency, sizeof sums->currency, "%s", sqlite3_column_type(row, 1) == SQLITE_NULL ? "" : (const char *)sqlite3_column_text(row, 1));
        for (int column = 2; column + 1 < sqlite3_column_count(row); column += 2)
            sums->counts[sqlite3_column_int(row, column)] = sqlite3_column_int64(row, column + 1);
    }
    if (rc == 0)
        rc = sqlite_find(store, STMT_IMAGE_CLASSES, &row, "");
    for (; rc > 0; rc = sqlite_next(store, row)) {
        int class = sqlite3_column_int(row, 1);
        if (class >= 0 && class < OUTCOME_CLASS_COUNT)
            sums_of(image, (const char *)sqlite3_column_text(row, 0))->counts[COUNT_CLASS + class] = sqlite3_column_int64(row, 2);
    }
    return rc;
}
