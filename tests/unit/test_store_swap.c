/* A backup in place of the store: what is refused, with the backup's name, cause and next step, and nothing touched; a former store that keeps its log; and every
 * point at which a crash may leave the files, from which the next start goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "store/contract.h"
#include "store/sqlite_open.h"
#include "tests/contract/store_bed.h"
#include "tests/unit/whole_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define DATE "20261123T080000.123Z"
enum { OLD_ROWS = 70, NEW_ROWS = 30 };

static const atomic_bool never_ends;

/* ---- files ---- */
static void file_copy(const char *from, const char *to)
{
    size_t len;
    char *data = file_read(from, &len);
    file_write(to, data, len);
    free(data);
}

static char *beside(const struct bed *bed, const char *suffix) /* lives until the fourth call from now */
{
    static char names[4][160];
    static int at;
    char *name = names[at++ % 4];
    snprintf(name, sizeof names[0], "%s%s", bed->path, suffix);
    return name;
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Names and content of all in the folder but the index of a log. */
static void folder_digest(const struct bed *bed, char ret_hex[DIGEST_HEX])
{
    struct dirent **entries = NULL;
    int count = scandir(bed->dir.path, &entries, NULL, alphasort);
    struct digest *digest = digest_new();
    for (int i = 0; i < count; i++) {
        char *path = xasprintf("%s/%s", bed->dir.path, entries[i]->d_name);
        struct stat st;
        if (strstr(path, "-shm") == NULL && stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
            size_t len;
            char *data = file_read(path, &len);
            digest_add(digest, path, strlen(path) + 1);
            digest_add(digest, data, len);
            free(data);
        }
        free(path);
        free(entries[i]);
    }
    free(entries);
    unsigned char bytes[DIGEST_BYTES];
    digest_end(digest, bytes);
    digest_hex(bytes, ret_hex);
}

/* ---- stores and backups ---- */
static void backup_make(const struct bed *bed, const char *to)
{
    struct galloc_error error;
    int64_t at_ms;
    if (sqlite_ops.copy(bed->path, to, &never_ends, &at_ms, &error) < 0)
        fail_msg("%s", error.message);
}

/* A closed store of OLD_ROWS rows, and a backup of another one, of NEW_ROWS, in the same folder as "backup". */
static void bed_with_backup(struct bed *bed, char ret_backup[96])
{
    struct bed other;
    bed_begin(bed, &sqlite_ops);
    bed_run(bed, OLD_ROWS, 2, -1, NULL);
    bed_close(bed);
    bed_begin(&other, &sqlite_ops);
    bed_run(&other, NEW_ROWS, 2, -1, NULL);
    snprintf(ret_backup, 96, "%s/backup", bed->dir.path);
    backup_make(&other, ret_backup);
    bed_end(&other);
}

static int restore_with(struct bed *bed, const char *backup, const char *log, struct store_restore *ret_done, struct galloc_error *error)
{
    struct store_restore done = {.path = bed->path, .name = backup, .fd = open(backup, O_RDONLY | O_CLOEXEC), .log_fd = log ? open(log, O_RDONLY | O_CLOEXEC) : -1};
    int rc = sqlite_ops.restore(&done, error);
    close(done.fd);
    if (done.log_fd >= 0)
        close(done.log_fd);
    if (ret_done != NULL)
        *ret_done = done;
    else
        free(done.ret_kept);
    return rc;
}

static int64_t rows_of_open(struct bed *bed)
{
    bed_open(bed);
    int64_t rows = bed->image.run_count == 0 ? 0 : bed->image.runs[0].counts[COUNT_ACCEPTED];
    bed_close(bed);
    return rows;
}

/* ---- what is refused ---- */
static void check_refused(const char *what, void (*spoil)(const char *backup), const char *words)
{
    struct bed bed;
    char backup[96], before[DIGEST_HEX], after[DIGEST_HEX];
    struct galloc_error error = {0};
    bed_with_backup(&bed, backup);
    spoil(backup);
    folder_digest(&bed, before);
    int rc = restore_with(&bed, backup, NULL, NULL, &error);
    folder_digest(&bed, after);
    if (rc != -GALLOC_D_STORE_REFUSED)
        fail_msg("%s: to be refused, got %d: %s", what, rc, error.message);
    if (strstr(error.message, words) == NULL || strstr(error.message, backup) == NULL || strstr(error.message, ".restore") != NULL)
        fail_msg("%s: '%s' and the backup's name expected: %s", what, words, error.message);
    assert_string_equal(before, after);
    assert_int_equal(rows_of_open(&bed), OLD_ROWS);
    bed_end(&bed);
}

static void patch(const char *path, long at, const char *bytes, size_t len)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void spoil_text(const char *backup) { file_write(backup, "lan,city\n", 9); }
static void spoil_empty(const char *backup) { file_write(backup, "", 0); }
static void spoil_cut(const char *backup) { assert_int_equal(truncate(backup, 40960), 0); }
static void spoil_longer(const char *backup)
{
    FILE *file = fopen(backup, "ab");
    assert_non_null(file);
    assert_int_equal(fputs("x", file) >= 0 && fclose(file) == 0, true);
}
static void spoil_other(const char *backup) { patch(backup, 68, "\x12\x34\x56\x78", 4); }
static void spoil_newer(const char *backup) { patch(backup, 60, "\x00\x00\x00\x63", 4); }
static void spoil_schema(const char *backup) { run_sql(backup, "ALTER TABLE payload ADD COLUMN mine TEXT"); }
static void spoil_digest(const char *backup) { run_sql(backup, "UPDATE payload SET fields = '{}' WHERE assignment = 2"); }
static void spoil_counter(const char *backup) { run_sql(backup, "UPDATE run_count SET value = value + 1 WHERE kind = 0"); }
static void spoil_key(const char *backup) { run_sql(backup, "PRAGMA foreign_keys = OFF; UPDATE ledger SET pool = 99"); }

/* A page in the middle of a table: no look at the beginning finds it. */
static void spoil_page(const char *backup)
{
    size_t len;
    char *data = file_read(backup, &len);
    for (size_t page = 1; page < len / 4096; page++)
        if (data[page * 4096] == 13 && memmem(data + page * 4096, 4096, "K000020", 7) != NULL)
            patch(backup, (long)page * 4096 + 3, "\xff\xff", 2); /* its count of cells */
    free(data);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        void (*spoil)(const char *backup);
        const char *words;
    } rows[] = {
        {"a text", spoil_text, "not a database"},
        {"no bytes", spoil_empty, "it is empty"},
        {"cut off", spoil_cut, "cut off"},
        {"a byte too many", spoil_longer, "more follows behind the database"},
        {"another program's", spoil_other, "another program"},
        {"newer", spoil_newer, "newer gallocd (schema 99"},
        {"a changed schema", spoil_schema, "schema is not the one"},
        {"a changed input", spoil_digest, "digests: the input of"},
        {"a wrong counter", spoil_counter, "run_counters"},
        {"a row that points nowhere", spoil_key, "foreign_keys"},
        {"a damaged page", spoil_page, "not sound"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        check_refused(rows[i].what, rows[i].spoil, rows[i].words);
}

/* ---- the former one ---- */
static void test_former_is_kept(void **state)
{
    (void)state;
    struct bed bed;
    char backup[96];
    struct galloc_error error;
    struct store_restore done;
    struct stat st;
    bed_with_backup(&bed, backup);
    assert_int_equal(restore_with(&bed, backup, NULL, &done, &error), 0);
    assert_int_equal(rows_of_open(&bed), NEW_ROWS);
    assert_non_null(done.ret_kept);
    assert_int_equal(strncmp(done.ret_kept, beside(&bed, ".before-20"), strlen(bed.path) + 10), 0);
    assert_int_equal(stat(bed.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_false(is_there(beside(&bed, ".restore")));
    assert_int_equal(restore_with(&bed, done.ret_kept, NULL, NULL, &error), 0); /* and is a backup itself */
    assert_int_equal(rows_of_open(&bed), OLD_ROWS);
    free(done.ret_kept);
    bed_end(&bed);
}

/* A store as a kill left it: its newest rows are in the log alone. */
static void bed_killed(struct bed *bed, const char *elsewhere)
{
    char *log = xasprintf("%s-wal", elsewhere);
    bed_begin(bed, &sqlite_ops);
    bed_run(bed, OLD_ROWS, 2, -1, NULL);
    file_copy(bed->path, elsewhere);
    file_copy(beside(bed, "-wal"), log);
    bed_close(bed);
    free(log);
}

static void test_former_keeps_its_log(void **state)
{
    (void)state;
    struct bed bed, killed;
    char backup[96], copy[] = "/tmp/galloc-test-killed-XXXXXX", log[sizeof copy + 8], kept_log[200];
    struct galloc_error error;
    struct store_restore done;
    close(mkstemp(copy));
    snprintf(log, sizeof log, "%s-wal", copy);
    bed_killed(&killed, copy);
    bed_end(&killed);
    bed_with_backup(&bed, backup);
    file_copy(copy, bed.path);
    file_copy(log, beside(&bed, "-wal"));
    assert_int_equal(restore_with(&bed, backup, NULL, &done, &error), 0);
    assert_int_equal(rows_of_open(&bed), NEW_ROWS); /* nothing of that log was read into it */
    snprintf(kept_log, sizeof kept_log, "%s-wal", done.ret_kept);
    assert_true(is_there(kept_log));
    assert_int_equal(restore_with(&bed, done.ret_kept, kept_log, NULL, &error), 0);
    assert_int_equal(rows_of_open(&bed), OLD_ROWS);
    free(done.ret_kept);
    unlink(copy);
    unlink(log);
    bed_end(&bed);
}

/* The very reason for a restore: what is in place cannot be read. */
static void test_former_is_corrupt(void **state)
{
    (void)state;
    struct bed bed;
    char backup[96];
    struct galloc_error error;
    struct store_restore done;
    bed_with_backup(&bed, backup);
    file_write(bed.path, "no database any more", 20);
    assert_int_equal(restore_with(&bed, backup, NULL, &done, &error), 0);
    size_t len;
    char *kept = file_read(done.ret_kept, &len);
    assert_int_equal(len, 20);
    assert_int_equal(rows_of_open(&bed), NEW_ROWS);
    free(kept);
    free(done.ret_kept);
    bed_end(&bed);
}

/* ---- crashes: each state of the files, made by hand ---- */
static void ready_make(struct bed *bed, const char *backup)
{
    file_copy(backup, beside(bed, ".restored-" DATE));
}

static void crash_before_the_decision(struct bed *bed, const char *backup) { file_copy(backup, beside(bed, ".restore")); }
static void crash_half_copied(struct bed *bed, const char *backup)
{
    crash_before_the_decision(bed, backup);
    assert_int_equal(truncate(beside(bed, ".restore"), 5000), 0);
    file_write(beside(bed, ".restore-wal"), "x", 1);
}
static void crash_decided(struct bed *bed, const char *backup) { ready_make(bed, backup); }
static void crash_former_is_away(struct bed *bed, const char *backup)
{
    ready_make(bed, backup);
    assert_int_equal(rename(bed->path, beside(bed, ".before-" DATE)), 0);
    file_write(beside(bed, "-wal"), "the former one's log", 20);
}
static void crash_log_is_away(struct bed *bed, const char *backup)
{
    crash_former_is_away(bed, backup);
    assert_int_equal(rename(beside(bed, "-wal"), beside(bed, ".before-" DATE "-wal")), 0);
}

static void test_crashes(void **state)
{
    (void)state;
    static const struct {
        void (*crash)(struct bed *bed, const char *backup);
        int64_t rows;
    } rows[] = {
        {crash_before_the_decision, OLD_ROWS}, {crash_half_copied, OLD_ROWS}, {crash_decided, NEW_ROWS},
        {crash_former_is_away, NEW_ROWS},      {crash_log_is_away, NEW_ROWS},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct bed bed;
        char backup[96];
        bed_with_backup(&bed, backup);
        unlink(beside(&bed, "-wal")); /* of no bytes */
        rows[i].crash(&bed, backup);
        assert_int_equal(rows_of_open(&bed), rows[i].rows);
        assert_false(is_there(beside(&bed, ".restore")) || is_there(beside(&bed, ".restore-wal")) || is_there(beside(&bed, ".restored-" DATE)));
        assert_int_equal(is_there(beside(&bed, ".before-" DATE)), rows[i].rows == NEW_ROWS);
        assert_int_equal(is_there(beside(&bed, ".before-" DATE "-wal")), rows[i].crash == crash_former_is_away || rows[i].crash == crash_log_is_away);
        bed_end(&bed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),           cmocka_unit_test(test_former_is_kept), cmocka_unit_test(test_former_keeps_its_log),
        cmocka_unit_test(test_former_is_corrupt), cmocka_unit_test(test_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
