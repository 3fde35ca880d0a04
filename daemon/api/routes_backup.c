/* GET /v1/backup: a copy of the whole database. The store makes it and checks it first, so its size and digest stand in the header; then it goes out piece by
 * piece, as fast as the client takes it. One at a time in the whole daemon: it costs room on the disk until the client has all of it. A client that is gone, or
 * takes nothing for a while, ends it. */
#include "api/handler.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <inttypes.h>
#include <string.h>

#define PIECE_BYTES (512 << 10) /* read at once: a stream has room for half of it */

struct backup {
    struct api *api;        /* borrowed */
    int64_t began_at_ms;    /* wall */
    int64_t bytes, sent_bytes;
    bool is_full;
    bool is_made;           /* the store has it for us until we say that it is over */
    bool is_waiting;        /* for the store */
};

static void on_ended(struct store_op *op)
{
    store_op_free(op);
}

static void backup_free(void *state)
{
    struct backup *backup = state;
    backup->api->backup = NULL;
    if (backup->is_made)
        engine_submit(backup->api->config.engine, store_op_new(OP_BACKUP_END, on_ended, NULL));
    free(backup);
}

/* ---- sending ---- */

static void on_piece(struct store_op *op);

static void read_on(struct request *request)
{
    struct backup *backup = request->state;
    if (backup->is_waiting)
        return;
    struct store_backup_read *read = handler_op(request, OP_BACKUP_READ, on_piece);
    read->at = backup->sent_bytes;
    read->max_bytes = PIECE_BYTES;
    backup->is_waiting = true;
    handler_submit(request, &read->op);
}

static void on_piece(struct store_op *op)
{
    struct store_backup_read *read = (struct store_backup_read *)op;
    struct request *request = op->arg;
    struct backup *backup = request->state;
    backup->is_waiting = false;
    bool is_cut = op->code < 0 || read->ret_bytes.len == 0;
    if (!is_cut && request->connection != NULL)
        stream_write(request, read->ret_bytes.data, read->ret_bytes.len);
    backup->sent_bytes += (int64_t)read->ret_bytes.len;
    store_op_free(op);
    if (is_cut)
        stream_cut(request);
    else if (request->connection == NULL || backup->sent_bytes >= backup->bytes)
        stream_end(request);
}

static void on_gone(struct request *request)
{
    struct backup *backup = request->state;
    if (!backup->is_made)
        store_backup_cut(engine_store(request->api->config.engine));
    if (!backup->is_waiting)
        stream_end(request);
}

/* ---- making it ---- */

static void audit(struct request *request, const struct store_backup *made)
{
    struct buf detail = BUF_EMPTY;
    struct json_out out = JSON_OUT(&detail);
    json_out_begin(&out, '{');
    json_out_name(&out, "after");
    json_out_begin(&out, '{');
    json_out_member_time(&out, "backup_at", made->ret_at_ms);
    json_out_member_int(&out, "bytes", made->ret_bytes);
    json_out_member_str(&out, "sha256", made->ret_sha256);
    json_out_member_bool(&out, "verified", made->is_full);
    json_out_end(&out, '}');
    json_out_end(&out, '}');
    handler_audit(request, "backup", "daemon", buf_text(&detail));
    buf_clear(&detail);
}

static void begin(struct request *request, const struct store_backup *made)
{
    char at[CLOCK_TEXT_MAX];
    char *headers = xasprintf("Galloc-Sha256: %s\r\nGalloc-Backup-At: %s\r\nGalloc-Verified: %s\r\n", made->ret_sha256, clock_rfc3339(made->ret_at_ms, at),
                              made->is_full ? "full" : "opened");
    stream_begin_sized(request, 200, "application/vnd.sqlite3", headers, made->ret_bytes);
    free(headers);
    request->on_room = read_on;
}

static void on_made(struct store_op *op)
{
    const struct store_backup *made = (const struct store_backup *)op;
    struct request *request = op->arg;
    struct backup *backup = request->state;
    backup->is_waiting = false;
    int64_t took_ms = clock_wall_ms() - backup->began_at_ms;
    if (op->code < 0) {
        log_event(op->code == -GALLOC_CANCELLED ? LOG_LEVEL_NOTICE : LOG_LEVEL_WARNING, "backup_failed", "by_uid=%u code=%s took_ms=%" PRId64 " text=\"%s\"",
                  (unsigned)request->peer.uid, galloc_code_row(op->code)->name, took_ms, op->error.message);
        request_fail_op(request, op);
        store_op_free(op);
        return;
    }
    log_event(LOG_LEVEL_NOTICE, "backup", "by_uid=%u bytes=%" PRId64 " verified=%s sha256=%s took_ms=%" PRId64, (unsigned)request->peer.uid, made->ret_bytes,
              made->is_full ? "full" : "opened", made->ret_sha256, took_ms);
    backup->is_made = true;
    backup->bytes = made->ret_bytes;
    if (request->connection != NULL) {
        audit(request, made);
        begin(request, made);
    } else {
        stream_end(request);
    }
    store_op_free(op);
}

static void refuse_second(struct request *request, const struct request *running)
{
    const struct backup *backup = running->state;
    char who[64], since[CLOCK_TEXT_MAX], how_far[96] = "it is being copied and checked";
    account_name(running->peer.uid, who, sizeof who);
    if (backup->is_made)
        snprintf(how_far, sizeof how_far, "%s of %s are sent", text_bytes(backup->sent_bytes).text, text_bytes(backup->bytes).text);
    request_fail_fmt(request, GALLOC_CONFLICT, "a backup for %s (process %d) is under way since %s: %s; one is made at a time: try again when it is over", who,
                     (int)running->peer.pid, clock_rfc3339(backup->began_at_ms, since), how_far);
}

void handle_backup(struct request *request)
{
    struct galloc_error error;
    bool is_full = false;
    int rc = query_bool(request, "verify", false, &is_full, &error);
    if (rc < 0) {
        request_fail(request, &error);
        return;
    }
    if (request->api->backup != NULL) {
        refuse_second(request, request->api->backup);
        return;
    }
    struct backup *backup = xcalloc(1, sizeof *backup);
    *backup = (struct backup){.api = request->api, .began_at_ms = clock_wall_ms(), .is_full = is_full, .is_waiting = true};
    request->state = backup;
    request->state_free = backup_free;
    request->on_gone = on_gone;
    request->api->backup = request;
    struct store_backup *op = handler_op(request, OP_BACKUP, on_made);
    op->is_full = is_full;
    handler_submit(request, &op->op);
}
