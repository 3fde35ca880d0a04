/* Opening: what is refused, with path, cause and next step, and without a byte touched; what is made, migrated, kept. */
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

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the folder's content, for "not a byte touched" ---- */
static void folder_digest(const struct bed *bed, char ret_hex[DIGEST_HEX])
{
    static const char *const names[] = {"", "-wal", ".id", ".new", ".v1", "-journal"};
    struct digest *digest = digest_new();
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        char *path = xasprintf("%s%s", bed->path, names[i]);
        digest_add(digest, names[i], strlen(names[i]) + 1);
        struct stat st;
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
            size_t len;
            char *data = file_read(path, &len);
            digest_add(digest, data, len);
            free(data);
        }
        free(path);
    }
    unsigned char bytes[DIGEST_BYTES];
    digest_end(digest, bytes);
    digest_hex(bytes, ret_hex);
}

static void check_refused(struct bed *bed, const char *cause)
{
    char before[DIGEST_HEX], after[DIGEST_HEX];
    struct galloc_error error = {0};
    folder_digest(bed, before);
    int rc = sqlite_ops.open(bed->path, &bed->engine, &bed->image, &error);
    folder_digest(bed, after);
    if (rc != -GALLOC_D_STORE_REFUSED)
        fail_msg("'%s' expected, got %d: %s", cause, rc, error.message);
    if (strstr(error.message, cause) == NULL || strstr(error.message, bed->path) == NULL || strstr(error.message, "Next: ") == NULL)
        fail_msg("'%s', the path and a next step expected: %s", cause, error.message);
    assert_string_equal(before, after);
    assert_int_equal(galloc_code_row(rc)->exit_status, 65);
}

/* A store with a few rows, closed. */
static void bed_closed(struct bed *bed)
{
    bed_begin(bed, &sqlite_ops);
    bed_run(bed, 50, 2, -1, NULL);
    bed_close(bed);
}

static void patch(struct bed *bed, long at, const void *data, size_t len)
{
    FILE *file = fopen(bed->path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
}

static void run_sql(struct bed *bed, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(bed->path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void test_refused_headers(void **state)
{
    (void)state;
    static const struct {
        long at;
        const char *bytes;
        size_t len;
        const char *cause;
    } rows[] = {
        {0, "not a db", 8, "not a database"},
        {16, "\x00\x03", 2, "header"},
        {68, "\x00\x00\x00\x00", 4, "another program"},
        {68, "\x12\x34\x56\x78", 4, "0x12345678"},
        {60, "\x00\x00\x00\x63", 4, "newer gallocd (schema 99"},
        {60, "\x00\x00\x00\x00", 4, "no number"},
        {100, "\xff", 1, "corrupt"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct bed bed;
        bed_closed(&bed);
        patch(&bed, rows[i].at, rows[i].bytes, rows[i].len);
        check_refused(&bed, rows[i].cause);
        bed_end(&bed);
    }
}

static void test_refused_cut_off(void **state)
{
    (void)state;
    static const off_t sizes[] = {1, 50, 100, 4096, 40960};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct bed bed;
        bed_closed(&bed);
        assert_int_equal(truncate(bed.path, sizes[i]), 0);
        check_refused(&bed, sizes[i] < 100 ? "not a database" : "cut off");
        bed_end(&bed);
    }
}

static void test_refused_text_files(void **state)
{
    (void)state;
    struct bed bed;
    bed_closed(&bed);
    const char *csv = "lan,city\nL1,Pune\n";
    file_write(bed.path, csv, strlen(csv));
    check_refused(&bed, "not a database");
    unlink(bed.path);
    assert_int_equal(mkdir(bed.path, 0700), 0);
    check_refused(&bed, "not a file");
    bed_end(&bed);
}

/* A root page that is damaged, and a schema that somebody changed. */
static void test_refused_roots_and_schema(void **state)
{
    (void)state;
    struct bed bed;
    bed_closed(&bed);
    static const char *const tables[] = {"assignment", "assignment_fresh", "run_count", "attempt"};
    for (size_t i = 0; i < ARRAY_COUNT(tables); i++) {
        size_t len;
        char *whole = file_read(bed.path, &len), *sql = xasprintf("SELECT rootpage FROM sqlite_schema WHERE name = '%s'", tables[i]);
        sqlite3 *db = NULL;
        sqlite3_stmt *stmt = NULL;
        assert_int_equal(sqlite3_open_v2(bed.path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        long at = (sqlite3_column_int64(stmt, 0) - 1) * 4096;
        sqlite3_finalize(stmt);
        sqlite3_close(db);
        char *log = xasprintf("%s-wal", bed.path), *index = xasprintf("%s-shm", bed.path);
        unlink(log); /* of no bytes: left by the reader of this test */
        unlink(index);
        patch(&bed, at, "\xee\xee\xee\xee", 4);
        check_refused(&bed, "corrupt");
        file_write(bed.path, whole, len);
        free(log);
        free(index);
        free(sql);
        free(whole);
    }
    bed_open(&bed);
    bed_close(&bed);
    run_sql(&bed, "ALTER TABLE payload ADD COLUMN mine TEXT");
    check_refused(&bed, "schema is not the one");
    bed_end(&bed);
}

/* What a look at the roots cannot see is met while the store is read: that is no medium that failed either. */
static void test_refused_corrupt_inside(void **state)
{
    (void)state;
    struct bed bed;
    struct galloc_error error = {0};
    bed_closed(&bed);
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_open_v2(bed.path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT rootpage FROM sqlite_schema WHERE name = 'run'", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    long root = (sqlite3_column_int64(stmt, 0) - 1) * 4096;
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    patch(&bed, root + 8, "\xff\xff", 2); /* where its first cell is said to be */
    int rc = sqlite_ops.open(bed.path, &bed.engine, &bed.image, &error);
    assert_int_equal(rc, -GALLOC_D_STORE_REFUSED);
    assert_non_null(strstr(error.message, "Next: "));
    bed_end(&bed);
}

/* A store that was there is never silently a new one. */
static void test_refused_missing_and_empty(void **state)
{
    (void)state;
    struct bed bed;
    bed_closed(&bed);
    size_t len;
    char *whole = file_read(bed.path, &len), *marker = xasprintf("%s.id", bed.path);
    assert_int_equal(access(marker, F_OK), 0);
    unlink(bed.path);
    check_refused(&bed, "missing");
    file_write(bed.path, "", 0);
    check_refused(&bed, "empty");
    unlink(marker);
    bed_open(&bed); /* neither marker nor log: a new store */
    assert_int_equal(bed.image.run_count, 0);
    bed_close(&bed);
    unlink(bed.path);
    unlink(marker);
    char *log = xasprintf("%s-wal", bed.path);
    file_write(log, whole, 1000);
    check_refused(&bed, "-wal");
    unlink(log);
    file_write(bed.path, whole, len); /* without a marker, but whole: used, and marked again */
    bed_open(&bed);
    assert_int_equal(bed.image.run_count, 1);
    assert_int_equal(access(marker, F_OK), 0);
    free(whole);
    free(marker);
    free(log);
    bed_end(&bed);
}

static int mode_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (int)(st.st_mode & 07777) : -1;
}

static void test_modes(void **state)
{
    (void)state;
    struct bed bed;
    mode_t mask = umask(0);
    bed_begin(&bed, &sqlite_ops);
    bed_run(&bed, 5, 1, -1, NULL);
    static const char *const names[] = {"", "-wal", "-shm", ".id"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        char *path = xasprintf("%s%s", bed.path, names[i]);
        assert_int_equal(mode_of(path), 0600);
        free(path);
    }
    bed_close(&bed);
    assert_int_equal(chmod(bed.path, 0644), 0);
    bed_open(&bed);
    assert_int_equal(mode_of(bed.path), 0600);
    umask(mask);
    bed_end(&bed);
}

/* A log that a crash left is read: nothing is refused, nothing is lost. */
static void test_log_is_recovered(void **state)
{
    (void)state;
    struct bed bed, copy;
    bed_begin(&bed, &sqlite_ops);
    bed_run(&bed, 500, 2, -1, NULL);
    size_t len, log_len;
    char *log_path = xasprintf("%s-wal", bed.path), *data = file_read(bed.path, &len), *log = file_read(log_path, &log_len);
    assert_true(log_len > 4096);
    bed_begin(&copy, &sqlite_ops);
    bed_close(&copy);
    char *copy_log = xasprintf("%s-wal", copy.path);
    file_write(copy.path, data, len);
    file_write(copy_log, log, log_len);
    bed_open(&copy);
    assert_int_equal(copy.image.run_count, 1);
    assert_int_equal(copy.image.runs[0].counts[COUNT_ACCEPTED], 500);
    bed_end(&copy);
    bed_end(&bed);
    free(log_path);
    free(copy_log);
    free(data);
    free(log);
}

/* ---- migrations ---- */
static const char *const second = "CREATE TABLE extra (id INTEGER PRIMARY KEY, run INTEGER REFERENCES run(id)) STRICT;"
                                  "INSERT INTO extra(run) SELECT id FROM run;";

static void test_migration(void **state)
{
    (void)state;
    struct bed bed;
    struct galloc_error error;
    bed_closed(&bed);
    struct sqlite_migration newer[] = {sqlite_migrations[0], {2, second}, {0, NULL}}, broken[] = {sqlite_migrations[0], {2, "CREATE NONSENSE"}, {0, NULL}};
    char before[DIGEST_HEX], after[DIGEST_HEX];
    char *copy = xasprintf("%s.v1", bed.path);
    size_t len;
    char *whole = file_read(bed.path, &len);
    free(whole);
    folder_digest(&bed, before);
    assert_true(sqlite_migrate(bed.path, 1, broken, &error) < 0);
    unlink(copy);
    enum store_file file;
    int version = 0;
    assert_int_equal(sqlite_look(bed.path, 2, &file, &version, &error), 0);
    assert_int_equal(version, 1);
    folder_digest(&bed, after);
    assert_string_equal(before, after); /* a migration that fails leaves the old one as it was */
    assert_int_equal(sqlite_migrate(bed.path, 1, newer, &error), 0);
    assert_int_equal(sqlite_look(bed.path, 2, &file, &version, &error), 0);
    assert_int_equal(version, 2);
    assert_int_equal(mode_of(copy), 0600);
    assert_int_equal(sqlite_look(copy, 1, &file, &version, &error), 0);
    assert_int_equal(version, 1);
    check_refused(&bed, "newer gallocd (schema 2");
    free(copy);
    bed_end(&bed);
}

/* An input that was changed behind our back is named, and never handed out. */
static void test_digest_on_claim(void **state)
{
    (void)state;
    struct bed bed;
    bed_closed(&bed);
    run_sql(&bed, "UPDATE payload SET fields = replace(fields, 'part', 'parz') WHERE assignment = 2");
    bed_open(&bed);
    struct store_claim *claim = make_claim(bed.image.runs[0].id, 3, NULL, NULL);
    assert_int_equal(bed_do(&bed, &claim->op), 0);
    assert_int_equal(claim->ret_count, 3);
    assert_non_null(claim->ret_rows[0].fields);
    assert_null(claim->ret_rows[1].fields);
    assert_non_null(claim->ret_rows[2].fields);
    store_op_free(&claim->op);
    bed_end(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_headers),    cmocka_unit_test(test_refused_cut_off),
        cmocka_unit_test(test_refused_text_files), cmocka_unit_test(test_refused_roots_and_schema),
        cmocka_unit_test(test_refused_corrupt_inside),
        cmocka_unit_test(test_refused_missing_and_empty),
        cmocka_unit_test(test_modes),              cmocka_unit_test(test_log_is_recovered),
        cmocka_unit_test(test_migration),          cmocka_unit_test(test_digest_on_claim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
