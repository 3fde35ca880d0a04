/* See import.h. */
#include "cli/import.h"

#include "base/digest.h"
#include "base/json_out.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* An append holds the store's writer until all of it stands: 5,000 rows for some 60 ms (on two busy cores). */
enum { PART_BYTES = 1 << 20, PART_ROWS_MAX = 20000, APPEND_ROWS_MAX = 5000, PUMP_EVERY_ROWS = 128 };

void import_init(struct import *import, struct cli *cli, struct rejects *rejects, const char *run_id)
{
    *import = (struct import){.cli = cli, .rejects = rejects, .run_id = xstrdup(run_id)};
}

void import_clear(struct import *import)
{
    for (size_t i = 0; i < import->standing_page_count; i++)
        response_clear(&import->standing_pages[i]);
    free(import->standing_pages);
    free(import->standing);
    for (size_t i = 0; i < ARRAY_COUNT(import->parts); i++) {
        transfer_drop(import->parts[i].transfer);
        free(import->parts[i].path);
        free(import->parts[i].key);
        buf_clear(&import->parts[i].body);
        buf_clear(&import->parts[i].raw);
        free(import->parts[i].lines);
    }
    free(import->run_id);
    free(import->append_key);
    *import = (struct import){.cli = NULL};
}

void import_be_append(struct import *import, const char *key)
{
    import->append_key = xstrdup(key);
}

int import_resume(struct import *import, struct galloc_error *error)
{
    char *cursor = NULL;
    int rc;
    do {
        import->standing_pages = xreallocarray(import->standing_pages, import->standing_page_count + 1, sizeof *import->standing_pages);
        struct response *page = &import->standing_pages[import->standing_page_count++];
        *page = RESPONSE_EMPTY;
        char *encoded = cursor ? client_segment(cursor) : NULL;
        rc = client_get(import->cli->client, page, error, "/v1/runs/%s/parts?limit=100%s%s", import->run_id, encoded ? "&cursor=" : "",
                        encoded ? encoded : "");
        free(encoded);
        free(cursor);
        cursor = NULL;
        if (rc < 0)
            return rc;
        struct json_object *items = json_get(page->json, "items");
        size_t count = json_array_len(items);
        import->standing = xreallocarray(import->standing, import->standing_count + count + 1, sizeof(struct json_object *));
        for (size_t i = 0; i < count; i++)
            import->standing[import->standing_count++] = json_array_at(items, i);
        cursor = xstrdup(json_get_str(page->json, "next", NULL));
    } while (cursor != NULL);
    return 0;
}

/* Answers name rows in the order in which they were sent, so the search goes on from where the last one ended. */
static const struct import_line *find_line(struct import_part *part, int64_t number)
{
    for (size_t i = 0; i < part->line_count; i++) {
        size_t at = (part->hint + i) % part->line_count;
        if (part->lines[at].number == number) {
            part->hint = at + 1;
            return &part->lines[at];
        }
    }
    return NULL;
}

/* A row that the daemon did not take: a bad one, or one whose key came before. */
static int add_reject(const struct import *import, struct json_object *item, int64_t line, struct json_span raw, struct galloc_error *error)
{
    const char *code = json_get_str(item, "code", "rejected"), *column = json_get_str(item, "column", NULL);
    if (strcmp(code, "duplicate_key") != 0)
        return rejects_add(import->rejects, "rejected", line, column, json_get_str(item, "message", code), raw, error);
    char *reason = xasprintf("key \"%.100s\" is in the run already", json_get_str(item, "key", "?"));
    int rc = rejects_add(import->rejects, "repeated", line, column, reason, raw, error);
    free(reason);
    return rc;
}

/* Counts an answer (PartAnswer) and passes its rejected rows on. */
static int take_answer(struct import *import, struct import_part *part, struct json_object *answer, struct galloc_error *error)
{
    struct json_object *rejected = json_get(answer, "rejected");
    size_t count = json_array_len(rejected);
    int rc = 0;
    import->accepted += json_get_i64(answer, "accepted", 0);
    import->repeated += json_get_i64(answer, "duplicates", 0);
    import->replaced += json_get_i64(answer, "replaced", 0);
    import->replayed_count += json_get_bool(answer, "replayed", false);
    import->answered_rows += (int64_t)part->line_count;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct json_object *item = json_array_at(rejected, i);
        int64_t number = json_get_i64(item, "row", 0);
        const struct import_line *line = number < 0 && (size_t)-number <= part->line_count ? &part->lines[-number - 1] : find_line(part, number);
        struct json_span raw = {"", 0};
        if (line != NULL)
            raw = (struct json_span){buf_text(&part->raw) + line->raw_at, line->raw_len};
        rc = add_reject(import, item, line ? line->line : 0, raw, error);
    }
    return rc;
}

static void reset_part(struct import_part *part)
{
    buf_reset(&part->body);
    buf_reset(&part->raw);
    part->line_count = 0;
    part->hint = 0;
    part->n = 0;
}

static struct request part_request(const struct import *import, const struct import_part *part)
{
    return (struct request){.method = part->key ? "POST" : "PUT",
                            .path = part->path,
                            .idempotency_key = part->key,
                            .body = part->body.data,
                            .body_len = part->body.len,
                            .content_type = "application/x-ndjson",
                            .outlasts_disk = import->outlasts_disk,
                            .is_patient = true};
}

static bool is_waited_for(const struct import *import, int code)
{
    return client_is_passing(code) || code == -GALLOC_PART_OUT_OF_ORDER || (import->outlasts_disk && code == -GALLOC_DISK_FULL);
}

/* A refusal that names rows (a repeated key under --on-duplicate error): tells the line of the first. */
static void name_line(const struct import *import, struct import_part *part, const struct response *response, struct galloc_error *error)
{
    struct json_object *first = json_array_at(json_get(response->json, "errors"), 0);
    const struct import_line *line = find_line(part, json_get_i64(first, "row", 0));
    if (line != NULL)
        galloc_prefix(error, "%s:%" PRId64, import->rejects->source_name, line->line);
}

/* Waits for a part that is with the daemon; those before it are settled. One that came out of order, because a part before it failed
 * at first, is sent again. */
static int settle(struct import *import, struct import_part *part, struct galloc_error *error)
{
    struct response response = RESPONSE_EMPTY;
    struct transfer *transfer = part->transfer;
    part->transfer = NULL;
    if (transfer == NULL)
        return 0;
    int rc = transfer_wait(transfer, &response, error);
    if (rc < 0 && is_waited_for(import, rc)) {
        struct request again = part_request(import, part);
        again.is_told = rc != -GALLOC_PART_OUT_OF_ORDER;
        if (again.is_told)
            say(import->cli, "%s; waiting for %s (Ctrl-C ends)", error->message, rc == -GALLOC_DISK_FULL ? "room" : "the daemon");
        rc = client_call(import->cli->client, &again, &response, error);
    }
    if (rc == 0)
        rc = take_answer(import, part, response.json, error);
    else
        name_line(import, part, &response, error);
    response_clear(&response);
    reset_part(part);
    return rc;
}

/* Settles all that are with the daemon, the oldest first. */
static int settle_all(struct import *import, struct galloc_error *error)
{
    int rc = 0;
    for (int i = 1; rc == 0 && i < IMPORT_PARTS; i++)
        rc = settle(import, &import->parts[(import->filling + i) % IMPORT_PARTS], error);
    return rc;
}

/* A part that stands already: its content has to be the same, its stored answer counts. */
static int take_standing(struct import *import, struct import_part *part, struct galloc_error *error)
{
    struct json_object *stored = import->standing[part->n - 1];
    unsigned char digest[DIGEST_BYTES];
    char hex[DIGEST_HEX];
    digest_of(part->body.data, part->body.len, digest);
    digest_hex(digest, hex);
    if (strcmp(hex, json_get_str(stored, "sha256", "")) != 0)
        return galloc_fail(error, GALLOC_PART_DIFFERS,
                           "part %" PRId64 " of %s differs from what an earlier, interrupted import sent: give it up with 'gallocctl cancel %s --all', then "
                           "enqueue with --again",
                           part->n, import->run_id, import->run_id);
    int rc = take_answer(import, part, json_get(stored, "answer"), error);
    reset_part(part);
    return rc;
}

static void address(const struct import *import, struct import_part *part)
{
    free(part->path);
    free(part->key);
    bool is_append = import->append_key != NULL;
    part->path = is_append ? xasprintf("/v1/runs/%s/assignments", import->run_id) : xasprintf("/v1/runs/%s/parts/%" PRId64, import->run_id, part->n);
    part->key = is_append ? xasprintf("%s-%" PRId64, import->append_key, part->n) : NULL;
}

/* Sends the part that is full, and makes room for the next: the daemon has the bodies of those before it, and all but one answered. */
static int give_out(struct import *import, struct galloc_error *error)
{
    struct import_part *part = &import->parts[import->filling];
    struct import_part *before = &import->parts[(import->filling + IMPORT_PARTS - 1) % IMPORT_PARTS];
    part->n = ++import->part_count;
    if ((size_t)part->n <= import->standing_count)
        return take_standing(import, part, error);
    int rc = before->transfer != NULL ? transfer_wait_sent(before->transfer, error) : 0;
    if (rc < 0)
        return rc;
    address(import, part);
    struct request request = part_request(import, part);
    part->transfer = transfer_start(import->cli->client, &request);
    transfer_pump(part->transfer);
    import->filling = (import->filling + 1) % IMPORT_PARTS;
    return settle(import, &import->parts[import->filling], error);
}

void import_write_row(struct buf *out, const struct input_row *row)
{
    buf_add(out, "{\"key\":", 7);
    json_quote(out, row->key.at, row->key.len);
    buf_add(out, ",\"fields\":", 10);
    buf_add(out, row->fields.at, row->fields.len);
    buf_add(out, ",\"row\":", 7);
    buf_add_i64(out, row->number);
    buf_add(out, "}\n", 2);
}

int import_add(struct import *import, const struct input_row *row, struct galloc_error *error)
{
    struct import_part *part = &import->parts[import->filling];
    if (part->line_count == part->line_cap) {
        part->line_cap = part->line_cap ? 2 * part->line_cap : 4096;
        part->lines = xreallocarray(part->lines, part->line_cap, sizeof *part->lines);
    }
    part->lines[part->line_count++] = (struct import_line){row->number, row->line, part->raw.len, row->raw.len};
    buf_add(&part->raw, row->raw.at, row->raw.len);
    import_write_row(&part->body, row);
    import->sent_rows++;
    struct transfer *transfer = import->parts[(import->filling + IMPORT_PARTS - 1) % IMPORT_PARTS].transfer;
    if (transfer != NULL && import->sent_rows % PUMP_EVERY_ROWS == 0)
        transfer_pump(transfer); /* moves all that are under way */
    if (part->body.len < PART_BYTES && part->line_count < (import->append_key ? APPEND_ROWS_MAX : PART_ROWS_MAX))
        return 0;
    return import->due_mono_ms != 0 ? import_feed(import, error) : give_out(import, error);
}

int import_feed(struct import *import, struct galloc_error *error)
{
    int64_t accepted = import->accepted, rows = import->answered_rows;
    import->due_mono_ms = 0;
    int rc = import_finish(import, error);
    if (import->rejects->file != NULL)
        fflush(import->rejects->file);
    if (rc == 0 && import->answered_rows > rows)
        say(import->cli, "run %s: %s of %s rows accepted, %s in all", import->run_id, text_count(import->accepted - accepted).text,
            text_count(import->answered_rows - rows).text, text_count(import->accepted).text);
    return rc;
}

int import_finish(struct import *import, struct galloc_error *error)
{
    int rc = import->parts[import->filling].line_count > 0 ? give_out(import, error) : 0;
    return rc < 0 ? rc : settle_all(import, error);
}
