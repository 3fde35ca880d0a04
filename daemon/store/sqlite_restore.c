/* A backup becomes the store, offline: copied beside it, looked at, brought to the present schema, checked in full, given a new incarnation, swapped in. All of
 * that happens to our own copy, so the backup itself is only read, once, and what was checked is what is used.
 *
 * Numbers of a new incarnation: leases and events go on from the wall clock's microseconds. No store gives a million of either a second, so these are above all
 * that any former incarnation gave, also one whose database is gone: a worker that comes with a lease of before the restore is told that it is over, and a reader
 * of events that its number is no longer known (`reset`). Where the clock is behind what is known to have been given, that counts. */
#include "store/sqlite_admin.h"
#include "store/sqlite_lease.h"

#include "store/file.h"
#include "store/sqlite_open.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES (1 << 20)
#define LOST_TEXT "the database was restored from a backup that was made while this was under way"

/* ---- our own copy ---- */
static int piece_write(int to, const char *piece, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t put = write(to, piece + at, len - at);
        if (put < 0 && errno != EINTR)
            return -1;
        at += put > 0 ? (size_t)put : 0;
    }
    return 0;
}

/* `digest` may be NULL. */
static int file_take(const struct store_restore *restore, int from, const char *path, struct digest *digest, int64_t *ret_bytes, struct galloc_error *error)
{
    int to = -1, rc = file_make(path, &to, error);
    char *piece = xmalloc(PIECE_BYTES);
    ssize_t got = rc == 0 ? 1 : 0;
    while (rc == 0 && got > 0) {
        got = read(from, piece, PIECE_BYTES);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got < 0)
            rc = file_fail(restore->name, "it cannot be read", error);
        else if (piece_write(to, piece, (size_t)got) < 0)
            rc = file_fail(path, "the backup cannot be copied there", error);
        else if (digest != NULL)
            digest_add(digest, piece, (size_t)got);
        if (rc == 0 && got > 0)
            *ret_bytes += got;
    }
    free(piece);
    if (to >= 0)
        close(to);
    return rc;
}

static int room_check(const struct store_restore *restore, struct galloc_error *error)
{
    struct stat st, log = {0};
    if (fstat(restore->fd, &st) < 0 || (restore->log_fd >= 0 && fstat(restore->log_fd, &log) < 0))
        return file_fail(restore->name, "it cannot be looked at", error);
    int64_t free_bytes = file_free_bytes(restore->path);
    if (free_bytes >= st.st_size + log.st_size)
        return 0;
    return galloc_fail(error, GALLOC_D_STORE_IO, "%s has %lld MiB, and %lld are left where %s lies: make room, then try again. Nothing was touched", restore->name,
                       (long long)((st.st_size + log.st_size) >> 20), (long long)(free_bytes >> 20), restore->path);
}

static int copy_take(struct store_restore *restore, const char *made, struct galloc_error *error)
{
    struct digest *digest = digest_new();
    unsigned char bytes[DIGEST_BYTES];
    int64_t log_bytes = 0;
    int rc = room_check(restore, error);
    if (rc == 0)
        rc = file_take(restore, restore->fd, made, digest, &restore->ret_bytes, error);
    digest_end(digest, bytes);
    digest_hex(bytes, restore->ret_sha256);
    if (rc == 0 && restore->log_fd >= 0) {
        char *log = xasprintf("%s-wal", made);
        rc = file_take(restore, restore->log_fd, log, NULL, &log_bytes, error);
        free(log);
    }
    return rc;
}

/* Looked at, in one file, of the present schema, sound to the last digest. */
static int copy_prepare(const struct store_restore *restore, const char *made, struct galloc_error *error)
{
    static const atomic_bool never = false;
    int version = 0, latest = sqlite_schema_latest(sqlite_migrations);
    int rc = sqlite_look_copy(made, restore->name, latest, &version, error);
    if (rc == 0)
        rc = sqlite_to_one_file(made, error);
    if (rc == 0 && version < latest)
        rc = sqlite_migrate_copy(made, version, sqlite_migrations, error);
    if (rc == 0)
        rc = sqlite_check_all(made, restore->name, &never, error);
    if (rc == -GALLOC_CORRUPT || rc == -GALLOC_INTERNAL || rc == -GALLOC_STORE_UNAVAILABLE)
        rc = galloc_fail(error, GALLOC_D_STORE_REFUSED, "%s: it is not sound. Next: give another file that 'gallocctl backup' made", restore->name);
    return rc;
}

/* ---- the new incarnation ---- */
struct numbers {
    int64_t incarnation, lease, seq;
};

/* What the database that is in place gave; zeroes where it cannot be read: that may be why somebody restores. */
static void numbers_of_former(const char *path, struct numbers *ret_numbers)
{
    static const char sql[] = "SELECT (SELECT value FROM meta WHERE name = 'incarnation'), (SELECT value FROM meta WHERE name = 'lease_number'), "
                              "(SELECT value FROM meta WHERE name = 'event_seq')";
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    *ret_numbers = (struct numbers){0};
    if (access(path, R_OK) < 0 || sqlite_open_readonly(path, &db, NULL) < 0)
        return;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
        *ret_numbers = (struct numbers){sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1), sqlite3_column_int64(stmt, 2)};
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

/* Of when it is. A cold copy does not say, or says what was once restored into it: then it is the store's clock at its last commit. */
static int backup_at(struct sqlite_store *store, int64_t *ret_at_ms)
{
    int64_t restored_at_ms = 0;
    int rc = sqlite_number(store, STMT_META_GET, &restored_at_ms, "t", "restored_at_ms");
    if (rc >= 0)
        rc = sqlite_number(store, STMT_META_GET, ret_at_ms, "t", "backup_at_ms");
    return rc == 0 || (rc > 0 && *ret_at_ms < restored_at_ms) ? sqlite_number(store, STMT_META_GET, ret_at_ms, "t", "now_ms") : rc;
}

static int numbers_set(struct sqlite_store *store, struct store_restore *restore, const struct numbers *former)
{
    int64_t incarnation = 1, clock_us = store->wall_ms * 1000, backup_at_ms = 0;
    int rc = sqlite_number(store, STMT_META_GET, &incarnation, "t", "incarnation");
    if (rc >= 0)
        rc = backup_at(store, &backup_at_ms);
    restore->ret_at_ms = backup_at_ms;
    restore->ret_incarnation = max_i64(incarnation, former->incarnation) + 1;
    store->seq = max_i64(max_i64(store->seq, former->seq), clock_us) + 1;
    store->lease = max_i64(max_i64(store->lease, former->lease), clock_us) + 1;
    if (rc >= 0)
        rc = sqlite_do(store, STMT_META_PUT, "ti", "incarnation", restore->ret_incarnation);
    if (rc == 0)
        rc = sqlite_do(store, STMT_META_PUT, "ti", "backup_at_ms", backup_at_ms);
    return rc < 0 ? rc : sqlite_do(store, STMT_META_PUT, "ti", "restored_at_ms", store->wall_ms);
}

static int run_pause(struct sqlite_store *store, int64_t run, const char *text)
{
    struct run_entry *entry = NULL;
    int rc = books_run(store, run, &entry);
    if (rc <= 0)
        return rc;
    books_run_touch(store, entry);
    entry->now.pauses |= PAUSE_BIT(PAUSE_RESTORED);
    return sqlite_do(store, STMT_RUN_RESTORED, "it", run, text);
}

static int runs_pause(struct sqlite_store *store, struct store_restore *restore)
{
    char backup_at[CLOCK_TEXT_MAX], now[CLOCK_TEXT_MAX];
    char *text = xasprintf("a backup of %s was put in place at %s: what was called for in between is called for, and paid for, again",
                           clock_rfc3339(restore->ret_at_ms, backup_at), clock_rfc3339(store->wall_ms, now));
    int64_t run = 0;
    int rc;
    while ((rc = sqlite_number(store, STMT_RUNS_OPEN, &run, "i", run)) > 0 && (rc = run_pause(store, run, text)) == 0)
        restore->ret_run_count++;
    free(text);
    return rc;
}

static int audit_add(struct sqlite_store *store, const struct store_restore *restore)
{
    const struct store_op op = {.seq_first = store->seq};
    struct buf detail = BUF_EMPTY;
    struct json_out out = JSON_OUT(&detail);
    json_out_begin(&out, '{');
    json_out_member_str(&out, "reason", restore->name);
    json_out_name(&out, "after");
    json_out_begin(&out, '{');
    json_out_member_int(&out, "incarnation", restore->ret_incarnation);
    json_out_member_time(&out, "backup_at", restore->ret_at_ms);
    json_out_member_str(&out, "sha256", restore->ret_sha256);
    json_out_member_int(&out, "runs_paused", restore->ret_run_count);
    json_out_member_int(&out, "calls_lost", restore->ret_call_count);
    json_out_member_int(&out, "leases_lost", restore->ret_lease_count);
    json_out_end(&out, '}');
    json_out_end(&out, '}');
    int rc = sqlite_audit(store, &op, &restore->peer, "restore", "daemon", &detail);
    buf_clear(&detail);
    return rc;
}

/* Inside its first transaction, behind the recovery that every start does: built-in attempts are lost and their rows due again already. */
static int incarnation_begin(struct sqlite_store *store, struct store_restore *restore, const struct numbers *former)
{
    int64_t seq_before = store->seq;
    int rc = numbers_set(store, restore, former);
    if (rc == 0)
        rc = sqlite_do(store, STMT_NODE_DROP, "i", store->node); /* this is no life of a daemon: it does not count among starts that follow one another fast */
    if (rc == 0)
        rc = leases_void(store, LOST_TEXT, &restore->ret_lease_count);
    if (rc == 0)
        rc = runs_pause(store, restore);
    if (rc == 0)
        rc = audit_add(store, restore);
    books_op_end(store, seq_before);
    return rc;
}

static int copy_change(struct store_restore *restore, const char *made, const struct numbers *former, struct galloc_error *error)
{
    struct sqlite_store *store = NULL;
    struct store_image image = {0};
    struct store_commit commit;
    int rc = sqlite_store_open_copy(made, &store, error);
    if (rc < 0)
        return rc;
    struct store_engine *engine = (struct store_engine *)(void *)store;
    store->lost_text = LOST_TEXT;
    store->image = &image;
    rc = sqlite_ops.begin(engine, INT64_MAX, error);
    restore->ret_call_count = image.recovered_lost;
    if (rc == 0 && incarnation_begin(store, restore, former) < 0) {
        *error = store->fault_error;
        rc = -GALLOC_D_STORE_IO;
        sqlite_ops.rollback(engine);
    }
    if (rc == 0)
        rc = sqlite_ops.commit(engine, &commit, error);
    sqlite_ops.close(engine);
    return rc < 0 ? rc : sqlite_to_one_file(made, error);
}

/* ---- all of it ---- */
/* "20261123T080000.123Z": of a file's name. */
static void date_for_name(int64_t wall_ms, char ret_date[CLOCK_TEXT_MAX])
{
    char text[CLOCK_TEXT_MAX];
    clock_rfc3339(wall_ms, text);
    for (const char *at = text; *at != '\0'; at++)
        if (*at != '-' && *at != ':')
            *ret_date++ = *at;
    *ret_date = '\0';
}

static int copy_swap(struct store_restore *restore, const char *made, struct galloc_error *error)
{
    char date[CLOCK_TEXT_MAX];
    date_for_name(clock_wall_ms(), date);
    int rc = sqlite_swap(restore->path, made, date, &restore->ret_kept, error);
    if (rc < 0 && access(made, F_OK) < 0)
        galloc_prefix(error, "the backup is ready, and the next start of gallocd puts it in place");
    return rc;
}

int sqlite_restore(struct store_restore *restore, struct galloc_error *error)
{
    struct galloc_error why;
    struct numbers former;
    char *made = sqlite_swap_made(restore->path);
    int rc = sqlite_swap_finish(restore->path, NULL, &why);
    if (rc == 0)
        rc = copy_take(restore, made, &why);
    if (rc == 0)
        rc = copy_prepare(restore, made, &why);
    if (rc == 0) {
        numbers_of_former(restore->path, &former);
        rc = copy_change(restore, made, &former, &why);
    }
    if (rc == 0)
        rc = copy_swap(restore, made, &why);
    if (rc < 0)
        file_remove(made);
    free(made);
    return rc < 0 ? galloc_fail(error, rc == -GALLOC_D_STORE_REFUSED ? GALLOC_D_STORE_REFUSED : GALLOC_D_STORE_IO, "%s", why.message) : 0;
}
