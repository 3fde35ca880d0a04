/* What the store holds when it opens, in one struct: the loop's memory starts from it. Inside the first transaction,
 * after recovery. */
#include "store/sqlite_admin.h"
#include "store/sqlite_call.h"

#include "core/limits.h"

/* Makes room for one item more in an owned array, in steps of doubling. */
static void *room_for_one(void *items, size_t count, size_t size)
{
    bool is_full = count == 0 || (count >= 16 && (count & (count - 1)) == 0);
    return is_full ? xreallocarray(items, count == 0 ? 16 : count * 2, size) : items;
}

/* Ids are collected first: loading a run or pool uses statements of its own. */
struct ids {
    struct {
        int64_t id;
        bool is_live;
    } * items;
    size_t count;
};

static int ids_load(struct sqlite_store *store, sqlite3_stmt *row, int rc, bool has_live, struct ids *ids)
{
    for (; rc > 0; rc = sqlite_next(store, row)) {
        ids->items = room_for_one(ids->items, ids->count, sizeof(*ids->items));
        ids->items[ids->count].id = sqlite3_column_int64(row, 0);
        ids->items[ids->count++].is_live = has_live && sqlite3_column_int(row, 1) != 0;
    }
    return rc;
}

static int runs_load(struct sqlite_store *store, struct store_image *image)
{
    struct ids ids = {0};
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_IMAGE_RUNS, &row, "i", (int64_t)LIMIT_RUNS_KEPT);
    rc = ids_load(store, row, rc, true, &ids);
    for (size_t i = 0; i < ids.count && rc >= 0; i++) {
        image->runs = room_for_one(image->runs, image->run_count, sizeof(*image->runs));
        image->runs[image->run_count] = (struct store_run){0};
        rc = sqlite_run_load(store, ids.items[i].id, ids.items[i].is_live, &image->runs[image->run_count]);
        if (rc > 0)
            image->run_count++;
    }
    free(ids.items);
    int64_t stored = 0;
    if (rc >= 0)
        rc = sqlite_number(store, STMT_RUNS_COUNT, &stored, "");
    image->has_more_runs = stored > (int64_t)image->run_count;
    return rc < 0 ? rc : 0;
}

static int pools_load(struct sqlite_store *store, struct store_image *image)
{
    struct ids ids = {0};
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_IMAGE_POOLS, &row, "");
    rc = ids_load(store, row, rc, false, &ids);
    for (size_t i = 0; i < ids.count && rc >= 0; i++) {
        image->pools = room_for_one(image->pools, image->pool_count, sizeof(*image->pools));
        image->pools[image->pool_count] = (struct store_pool){0};
        rc = sqlite_pool_load(store, ids.items[i].id, &image->pools[image->pool_count]);
        if (rc > 0)
            image->pool_count++;
    }
    free(ids.items);
    return rc < 0 ? rc : 0;
}

static int settings_load(struct sqlite_store *store, struct store_image *image)
{
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_IMAGE_SETTINGS, &row, "");
    for (; rc > 0; rc = sqlite_next(store, row)) {
        image->settings = room_for_one(image->settings, image->setting_count, sizeof(*image->settings));
        image->settings[image->setting_count++] = (struct store_setting){
            .endpoint = sqlite_text_copy(row, 0),
            .name = sqlite_text_copy(row, 1),
            .value = sqlite_text_copy(row, 2),
            .set_at_ms = sqlite3_column_int64(row, 3),
            .set_by = (uint32_t)sqlite3_column_int64(row, 4),
            .until_at_ms = sqlite3_column_int64(row, 5),
        };
    }
    return rc;
}

static int endpoints_load(struct sqlite_store *store, struct store_image *image)
{
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_IMAGE_ENDPOINTS, &row, "");
    for (; rc > 0; rc = sqlite_next(store, row)) {
        image->endpoints = room_for_one(image->endpoints, image->endpoint_count, sizeof(*image->endpoints));
        image->endpoints[image->endpoint_count++] = (struct store_endpoint_state){
            .endpoint = sqlite_text_copy(row, 0),
            .down_class = sqlite3_column_int(row, 1),
            .down_text = sqlite_text_copy(row, 2),
            .down_at_ms = sqlite3_column_int64(row, 3),
            .quota_until_at_ms = sqlite3_column_int64(row, 4),
            .learned = sqlite_text_copy(row, 5),
        };
    }
    return rc;
}

static int leases_load(struct sqlite_store *store, struct store_image *image)
{
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_IMAGE_LEASES, &row, "");
    for (; rc > 0; rc = sqlite_next(store, row)) {
        image->leases = room_for_one(image->leases, image->lease_count, sizeof(*image->leases));
        image->leases[image->lease_count++] = (struct store_lease){
            .lease = sqlite3_column_int64(row, 0),
            .run = sqlite3_column_int64(row, 1),
            .worker = sqlite_text_copy(row, 2),
            .ttl_ms = sqlite3_column_int64(row, 3),
            .left_ms = max_i64(sqlite3_column_int64(row, 4) - store->now_ms, 0),
            .row_count = sqlite3_column_int64(row, 5),
        };
    }
    return rc;
}

int sqlite_image_load(struct sqlite_store *store, struct store_image *image)
{
    int rc = books_write(store); /* recovery moved rows */
    if (rc == 0)
        rc = runs_load(store, image);
    if (rc == 0)
        rc = pools_load(store, image);
    if (rc == 0)
        rc = settings_load(store, image);
    if (rc == 0)
        rc = endpoints_load(store, image);
    if (rc == 0)
        rc = leases_load(store, image);
    if (rc == 0)
        rc = sqlite_sends_load(store, image);
    if (rc == 0)
        rc = sqlite_call_sums_load(store, image);
    image->seq = store->seq;
    return rc;
}
