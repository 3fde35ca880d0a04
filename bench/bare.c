/* Bare: what SQLite alone takes for the rows of an import. It writes the same rows into the same schema in the same batches with the
 * same settings as gallocd does, and does nothing else: no socket, no JSON, no check, and digests are made before the clock starts.
 * Rows are made CHUNK_ROWS at a time, while the clock stands, so that ten million of them take no more memory than a few.
 * With --lease N it then takes --lease-rows of them in leases of N rows and tells of each batch in one transaction, as outside workers do; the time of that
 * is a second line. bench/run sets galloc's times beside these. With --csv it writes those rows as the file that gallocctl is given instead. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/parse.h"

#include <sqlite3.h>
#include <unistd.h>

struct options {
    int64_t row_count, line_bytes, part_bytes, step_ms, lease_rows, leased_count;
    bool is_random;
    const char *csv_path, *schema_path, *database_path;
};

struct row {
    char key[32];
    char *fields; /* owned JSON */
    size_t fields_len;
    unsigned char sha256[DIGEST_BYTES];
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "bare: %s: %s\n", what, why);
    exit(1);
}

/* splitmix64 (Steele, Lea, Flood 2014): the same rows on every machine. */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void make_key(const struct options *options, int64_t index, char ret_key[32])
{
    if (options->is_random)
        snprintf(ret_key, 32, "LAN%016llx", (unsigned long long)mix((uint64_t)index));
    else
        snprintf(ret_key, 32, "LAN%016lld", (long long)index);
}

static const char *const regions[] = {"north", "south", "east", "west"};
static const char *const statuses[] = {"regular", "not paid", "in arrears", "regular"};

/* Text of letters and blanks, so many bytes that the row's CSV line has the length asked for. */
static void make_note(const struct options *options, int64_t index, struct buf *out)
{
    size_t taken = (size_t)19 + 5 + 10 + 8 + 4; /* key, region, status, outstanding, commas: about */
    size_t bytes = options->line_bytes > (int64_t)taken ? (size_t)options->line_bytes - taken : 1;
    uint64_t random = 0;
    buf_reset(out);
    for (size_t i = 0; i < bytes; i++) {
        if (i % 12 == 0)
            random = mix((uint64_t)index * 1000 + i);
        buf_add_char(out, "abcdefghijklmnopqrstuvwxyz abcde"[random & 31]);
        random >>= 5;
    }
}

static int64_t outstanding(int64_t index)
{
    return 10000 + (int64_t)(mix((uint64_t)index ^ 77) % 9000000);
}

static void write_csv(const struct options *options)
{
    struct buf note = BUF_EMPTY;
    char key[32];
    FILE *file = fopen(options->csv_path, "w");
    if (file == NULL)
        die(options->csv_path, "cannot be written");
    fprintf(file, "lan,region,status,outstanding,note\n");
    for (int64_t i = 0; i < options->row_count; i++) {
        make_key(options, i, key);
        make_note(options, i, &note);
        fprintf(file, "%s,%s,%s,%lld,%s\n", key, regions[i % 4], statuses[i % 3], (long long)outstanding(i), buf_text(&note));
    }
    if (fclose(file) != 0)
        die(options->csv_path, "could not be written whole");
    buf_clear(&note);
}

#define CHUNK_ROWS 100000 /* a part ends with a chunk, and its transaction too */

struct chunk {
    struct row *rows; /* owned, CHUNK_ROWS of them, and their fields */
    int64_t first, count;
};

static void chunk_make(const struct options *options, int64_t first, struct chunk *chunk)
{
    struct buf note = BUF_EMPTY, fields = BUF_EMPTY;
    chunk->first = first;
    chunk->count = options->row_count - first < CHUNK_ROWS ? options->row_count - first : CHUNK_ROWS;
    for (int64_t i = 0; i < chunk->count; i++) {
        struct row *row = &chunk->rows[i];
        make_key(options, first + i, row->key);
        make_note(options, first + i, &note);
        buf_add_fmt(&fields, "{\"region\":\"%s\",\"status\":\"%s\",\"outstanding\":\"%lld\",\"note\":\"%s\"}", regions[(first + i) % 4],
                    statuses[(first + i) % 3], (long long)outstanding(first + i), buf_text(&note));
        free(row->fields);
        row->fields_len = fields.len;
        row->fields = buf_take(&fields);
        digest_of(row->fields, row->fields_len, row->sha256);
    }
    buf_clear(&note);
}

static void chunk_clear(struct chunk *chunk)
{
    for (int64_t i = 0; i < CHUNK_ROWS; i++)
        free(chunk->rows[i].fields);
    free(chunk->rows);
}

/* ---- the database ---- */
static void run_sql(sqlite3 *db, const char *sql)
{
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        die(sql, message);
}

/* The daemon's own rule for checkpoints: passive, when so many pages wait in the log, and not more often than that. */
#define CHECKPOINT_PAGES 4096
#define CHECKPOINT_LEAST_US INT64_C(100000)
static int wal_pages;
static int64_t checkpoint_us;

static int note_pages(void *arg, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    *(int *)arg = pages;
    return SQLITE_OK;
}

static void tidy(sqlite3 *db)
{
    int log_pages = 0, done_pages = 0;
    if (wal_pages < CHECKPOINT_PAGES || clock_mono_us() - checkpoint_us < CHECKPOINT_LEAST_US)
        return;
    if (sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &log_pages, &done_pages) != SQLITE_OK)
        die("checkpoint", sqlite3_errmsg(db));
    checkpoint_us = clock_mono_us();
    if (log_pages == done_pages)
        wal_pages = 0;
}

static sqlite3 *open_database(const struct options *options)
{
    sqlite3 *db = NULL;
    struct buf schema = BUF_EMPTY;
    FILE *file = fopen(options->schema_path, "r");
    if (file == NULL)
        die(options->schema_path, "cannot be read");
    for (int c; (c = fgetc(file)) != EOF;)
        buf_add_char(&schema, (char)c);
    fclose(file);
    unlink(options->database_path);
    if (sqlite3_open(options->database_path, &db) != SQLITE_OK)
        die(options->database_path, "cannot be opened");
    run_sql(db, "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                "PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;"
                "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-16384; PRAGMA journal_size_limit=67108864;");
    sqlite3_wal_hook(db, note_pages, &wal_pages);
    run_sql(db, buf_text(&schema));
    run_sql(db, "INSERT INTO meta VALUES ('batch', 0), ('event_seq', 0), ('now_ms', 0), ('boot_ms', 0);"
                "INSERT INTO pool VALUES (1, NULL, 0); INSERT INTO ledger VALUES (1, 1, 0);"
                "INSERT INTO run (id, run_id, state, ledger, endpoint, profile, plan, plan_sha256, created_at_ms, created_by)"
                " VALUES (1, 'r-BARE', 0, 1, 'gemini', 'adaptive', '{}', '', 0, 0);"
                "INSERT INTO run_count VALUES (1, 0, 0), (1, 93, 0);");
    buf_clear(&schema);
    return db;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK)
        die(sql, sqlite3_errmsg(db));
    return statement;
}

static void step(sqlite3 *db, sqlite3_stmt *statement)
{
    if (sqlite3_step(statement) != SQLITE_DONE)
        die(sqlite3_sql(statement), sqlite3_errmsg(db));
    sqlite3_reset(statement);
}

static void insert_row(sqlite3 *db, sqlite3_stmt *assignment, sqlite3_stmt *payload, const struct row *row, int64_t id, int64_t part)
{
    sqlite3_bind_int64(assignment, 1, id);
    sqlite3_bind_text(assignment, 2, row->key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(assignment, 3, part);
    sqlite3_bind_int64(assignment, 4, id);
    step(db, assignment);
    sqlite3_bind_int64(payload, 1, id);
    sqlite3_bind_text(payload, 2, row->fields, (int)row->fields_len, SQLITE_STATIC);
    sqlite3_bind_blob(payload, 3, row->sha256, DIGEST_BYTES, SQLITE_STATIC);
    step(db, payload);
}

struct import {
    sqlite3_stmt *assignment, *payload, *count, *batch, *part_row;
    int64_t part;
};

static void import_prepare(sqlite3 *db, struct import *import)
{
    *import = (struct import){
        .assignment = prepare(db, "INSERT INTO assignment (id, run, key, part, row, state) VALUES (?1, 1, ?2, ?3, ?4, 0)"),
        .payload = prepare(db, "INSERT INTO payload VALUES (?1, ?2, ?3)"),
        .count = prepare(db, "UPDATE run_count SET value = value + ?1 WHERE run = 1 AND kind IN (0, 93)"),
        .batch = prepare(db, "UPDATE meta SET value = value + 1 WHERE name IN ('batch', 'event_seq', 'now_ms', 'boot_ms')"),
        .part_row = prepare(db, "INSERT INTO import_part VALUES (1, ?1, ?2, ?3, '{\"accepted\":0,\"duplicates\":0,\"rejected\":[]}')"),
        .part = 1,
    };
}

static void import_clear(struct import *import)
{
    sqlite3_stmt *all[] = {import->assignment, import->payload, import->count, import->batch, import->part_row};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        sqlite3_finalize(all[i]);
}

static void part_end(sqlite3 *db, struct import *import, int64_t row_count)
{
    sqlite3_bind_int64(import->part_row, 1, import->part++);
    sqlite3_bind_text(import->part_row, 2, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", -1, SQLITE_STATIC);
    sqlite3_bind_int64(import->part_row, 3, row_count);
    step(db, import->part_row);
}

/* A part is the rows of about a MiB; a transaction works for at most step_ms, as the daemon's do, and the part's own row comes with its last. */
static void write_chunk(sqlite3 *db, const struct options *options, struct import *import, const struct chunk *chunk)
{
    int64_t part_bytes = 0, part_rows = 0, step_rows = 0, step_us = 0;
    for (int64_t i = 0; i < chunk->count; i++) {
        if (step_rows == 0) {
            run_sql(db, "BEGIN IMMEDIATE");
            step_us = clock_mono_us();
        }
        insert_row(db, import->assignment, import->payload, &chunk->rows[i], chunk->first + i + 1, import->part);
        step_rows++;
        part_rows++;
        part_bytes += (int64_t)chunk->rows[i].fields_len + 50;
        bool is_part_done = part_bytes >= options->part_bytes || i + 1 == chunk->count;
        if (is_part_done) {
            part_end(db, import, part_rows);
            part_bytes = part_rows = 0;
        }
        if (is_part_done || (step_rows % 32 == 0 && clock_mono_us() - step_us >= options->step_ms * 1000)) {
            sqlite3_bind_int64(import->count, 1, step_rows);
            step(db, import->count);
            step(db, import->batch);
            run_sql(db, "COMMIT");
            tidy(db);
            step_rows = 0;
        }
    }
}

/* The time of the writing alone. */
static int64_t write_rows(sqlite3 *db, const struct options *options)
{
    struct chunk chunk = {.rows = xcalloc(CHUNK_ROWS, sizeof *chunk.rows)};
    struct import import;
    int64_t took_us = 0;
    import_prepare(db, &import);
    for (int64_t first = 0; first < options->row_count; first += CHUNK_ROWS) {
        chunk_make(options, first, &chunk);
        int64_t started_us = clock_mono_us();
        write_chunk(db, options, &import, &chunk);
        took_us += clock_mono_us() - started_us;
    }
    import_clear(&import);
    chunk_clear(&chunk);
    return took_us;
}

/* ---- outside workers ---- */
#define AGENTS 29
static const char decision[] = "{\"reason\":\"same region, and the lightest load of those who speak the language\",\"decided_by\":\"worker\"}";

static void agents_add(sqlite3 *db)
{
    run_sql(db, "INSERT INTO node VALUES (1, 1, '', 1, 0, 0, NULL); INSERT INTO run_count VALUES (1, 1, 0), (1, 2, 0), (1, 10, 0), (1, 97, 0)");
    for (int i = 1; i <= AGENTS; i++) {
        char sql[200];
        snprintf(sql, sizeof sql,
                 "INSERT INTO agent (id, pool, agent_id, attributes) VALUES (%d, 1, 'A%d', '{}'); INSERT INTO ledger_agent VALUES (1, %d, 0, 0)", i, i, i);
        run_sql(db, sql);
    }
}

struct work {
    sqlite3_stmt *take_row, *take_attempt, *lease, *tell_row, *tell_attempt, *result, *lease_end, *held, *counts, *meta;
};

static void work_prepare(sqlite3 *db, struct work *work)
{
    *work = (struct work){
        .take_row = prepare(db, "UPDATE assignment SET state = 1, lease = ?2, attempts = 1 WHERE id = ?1"),
        .take_attempt = prepare(db, "INSERT INTO attempt (assignment, n, lease, started_at_ms) VALUES (?1, 1, ?2, 0)"),
        .lease = prepare(db, "INSERT INTO lease (number, run, worker, ttl_ms, deadline_ms, row_count, node) VALUES (?1, 1, 'worker', 60000, 1, ?2, 1)"),
        .tell_row = prepare(db, "UPDATE assignment SET state = 2, lease = NULL, class = 0, agent = ?2 WHERE id = ?1"),
        .tell_attempt = prepare(db, "UPDATE attempt SET class = 0, agent = ?2, ended_at_ms = 0 WHERE assignment = ?1 AND n = 1"),
        .result = prepare(db, "INSERT INTO result VALUES (?1, ?2, ?3, 0)"),
        .lease_end = prepare(db, "UPDATE lease SET ended_at_ms = 0 WHERE number = ?1"),
        .held = prepare(db, "UPDATE ledger_agent SET held = held + 1 WHERE ledger = 1 AND agent = ?1"),
        .counts = prepare(db, "UPDATE run_count SET value = value + ?1 WHERE run = 1 AND kind IN (0, 1, 2, 10, 97)"),
        .meta = prepare(db, "UPDATE meta SET value = value + 1 WHERE name IN ('batch', 'event_seq', 'now_ms', 'boot_ms')"),
    };
}

static void step_with(sqlite3 *db, sqlite3_stmt *statement, int64_t first, int64_t second)
{
    sqlite3_bind_int64(statement, 1, first);
    if (sqlite3_bind_parameter_count(statement) > 1)
        sqlite3_bind_int64(statement, 2, second);
    step(db, statement);
}

static void lease_take(sqlite3 *db, const struct work *work, int64_t lease, int64_t from, int64_t to)
{
    run_sql(db, "BEGIN IMMEDIATE");
    step_with(db, work->lease, lease, to - from);
    for (int64_t id = from; id < to; id++) {
        step_with(db, work->take_row, id, lease);
        step_with(db, work->take_attempt, id, lease);
    }
    step_with(db, work->counts, to - from, 0);
    step(db, work->meta);
    run_sql(db, "COMMIT");
}

static void lease_tell(sqlite3 *db, const struct work *work, int64_t lease, int64_t from, int64_t to)
{
    static const unsigned char digest[DIGEST_BYTES] = {1};
    run_sql(db, "BEGIN IMMEDIATE");
    for (int64_t id = from; id < to; id++) {
        step_with(db, work->tell_row, id, id % AGENTS + 1);
        step_with(db, work->tell_attempt, id, id % AGENTS + 1);
        sqlite3_bind_int64(work->result, 1, id);
        sqlite3_bind_text(work->result, 2, decision, sizeof decision - 1, SQLITE_STATIC);
        sqlite3_bind_blob(work->result, 3, digest, DIGEST_BYTES, SQLITE_STATIC);
        step(db, work->result);
    }
    for (int64_t agent = 1; agent <= AGENTS; agent++)
        step_with(db, work->held, agent, 0);
    step_with(db, work->lease_end, lease, 0);
    step_with(db, work->counts, to - from, 0);
    step(db, work->meta);
    run_sql(db, "COMMIT");
}

static void work_rows(sqlite3 *db, const struct options *options)
{
    struct work work;
    work_prepare(db, &work);
    int64_t lease = 0;
    for (int64_t from = 1; from <= options->leased_count; from += options->lease_rows) {
        int64_t to = from + options->lease_rows > options->leased_count ? options->leased_count + 1 : from + options->lease_rows;
        lease_take(db, &work, ++lease, from, to);
        tidy(db);
        lease_tell(db, &work, lease, from, to);
        tidy(db);
    }
    sqlite3_stmt *all[] = {work.take_row, work.take_attempt, work.lease, work.tell_row, work.tell_attempt,
                           work.result,   work.lease_end,    work.held,  work.counts,   work.meta};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        sqlite3_finalize(all[i]);
}

static void usage(void)
{
    fprintf(stderr, "usage: bare [--rows N] [--bytes N] [--random] [--part-bytes N] [--step-ms N] [--lease N [--lease-rows N]] --schema FILE DATABASE\n"
                    "       bare [--rows N] [--bytes N] [--random] --csv FILE\n");
    exit(2);
}

static void read_options(int argc, char **argv, struct options *options)
{
    struct { const char *name; int64_t *number; const char **text; } names[] = {
        {"--rows", &options->row_count, NULL},         {"--bytes", &options->line_bytes, NULL}, {"--part-bytes", &options->part_bytes, NULL},
        {"--step-ms", &options->step_ms, NULL},        {"--lease", &options->lease_rows, NULL},
        {"--lease-rows", &options->leased_count, NULL},
        {"--csv", NULL, &options->csv_path},           {"--schema", NULL, &options->schema_path},
    };
    for (int i = 1; i < argc; i++) {
        size_t n = 0;
        while (n < ARRAY_COUNT(names) && strcmp(argv[i], names[n].name) != 0)
            n++;
        if (strcmp(argv[i], "--random") == 0)
            options->is_random = true;
        else if (n == ARRAY_COUNT(names) && argv[i][0] != '-' && options->database_path == NULL)
            options->database_path = argv[i];
        else if (n == ARRAY_COUNT(names) || i + 1 == argc)
            usage();
        else if (names[n].text != NULL)
            *names[n].text = argv[++i];
        else if (parse_i64(argv[++i], 1, INT64_C(1000000000), names[n].number, NULL) != 0)
            usage();
    }
    if (options->csv_path == NULL && (options->schema_path == NULL || options->database_path == NULL))
        usage();
}

static void say_seconds(int64_t took_us)
{
    printf("%.4f\n", (double)took_us / 1e6);
}

int main(int argc, char **argv)
{
    struct options options = {.row_count = 200000, .line_bytes = 300, .part_bytes = 1 << 20, .step_ms = 25};
    read_options(argc, argv, &options);
    if (options.csv_path != NULL) {
        write_csv(&options);
        return 0;
    }
    if (options.leased_count == 0 || options.leased_count > options.row_count)
        options.leased_count = options.row_count;
    sqlite3 *db = open_database(&options);
    say_seconds(write_rows(db, &options));
    if (options.lease_rows > 0) {
        agents_add(db);
        int64_t started_us = clock_mono_us();
        work_rows(db, &options);
        say_seconds(clock_mono_us() - started_us);
    }
    sqlite3_close(db);
    return 0;
}
