/* The thread of backups: one copy at a time, made by the engine, then read through once for its digest, and from then on only an open file without a name.
 * Copying may take minutes; it looks at gate.ends_copy, which is set by the writer (the store has to be opened anew), by a client that is gone, and at the end. */
#include "store/backup.h"

#include "store/file.h"
#include "store/op_backup.h"

#include "loop/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIGEST_PIECE_BYTES (1 << 20)
#define WAITING_MOST 8 /* operations of one copy: it is read piece by piece */

struct backup {
    const struct store_ops *ops; /* borrowed */
    const char *path;            /* borrowed */
    struct gate *gate;           /* borrowed */
    void (*on_answer)(struct store_op *op, void *arg);
    void *arg;       /* borrowed */
    struct mailbox box;
    pthread_t thread;
    char *copy_path; /* owned */
    int fd;          /* the thread's: the copy that is given away; -1: none */
    atomic_bool is_taken;    /* from a BACKUP that was let in to its failure or its END */
    atomic_bool is_unwanted; /* nobody waits for it any more */
    atomic_bool is_ending;
};

static struct store_op *op_of(struct mail *mail)
{
    return CONTAINER_OF(mail, struct store_op, mail);
}

/* ---- making it ---- */
/* Why it was told to give up. */
static int fail_given_up(const struct backup *backup, struct galloc_error *error)
{
    if (atomic_load(&backup->is_ending))
        return galloc_fail(error, GALLOC_STORE_UNAVAILABLE, "the daemon is stopping: the backup was given up");
    if (atomic_load(&backup->is_unwanted))
        return galloc_fail(error, GALLOC_CANCELLED, "nobody waits for the backup any more: it was given up");
    return galloc_fail(error, GALLOC_BUSY, "the store has to be opened anew after a failure, and the backup was in the way; try again when it is well");
}

/* What goes out; also the proof that all of it can be read back. */
static int digest_file(const struct backup *backup, struct store_backup *op, struct galloc_error *error)
{
    struct digest *digest = digest_new();
    char *piece = xmalloc(DIGEST_PIECE_BYTES);
    unsigned char bytes[DIGEST_BYTES];
    ssize_t got = 1;
    int rc = 0;
    while (rc == 0 && got > 0) {
        got = pread(backup->fd, piece, DIGEST_PIECE_BYTES, op->ret_bytes);
        if (got < 0)
            rc = file_fail(backup->copy_path, "the backup cannot be read back", error);
        else if (atomic_load(&backup->gate->ends_copy))
            rc = -GALLOC_CANCELLED;
        else
            digest_add(digest, piece, (size_t)got);
        op->ret_bytes += max_i64(got, 0);
    }
    digest_end(digest, bytes);
    digest_hex(bytes, op->ret_sha256);
    free(piece);
    return rc;
}

static void copy_close(struct backup *backup)
{
    if (backup->fd >= 0)
        close(backup->fd);
    backup->fd = -1;
}

static int copy_make(struct backup *backup, struct store_backup *op, struct galloc_error *error)
{
    struct gate *gate = backup->gate;
    copy_close(backup);
    atomic_store(&gate->has_copy, true);
    int rc = backup->ops->copy(backup->path, backup->copy_path, &gate->ends_copy, &op->ret_at_ms, error);
    atomic_store(&gate->has_copy, false);
    if (rc == 0)
        rc = backup->ops->copy_check(backup->copy_path, op->is_full, &gate->ends_copy, error);
    if (rc == 0 && (backup->fd = open(backup->copy_path, O_RDONLY | O_CLOEXEC)) < 0)
        rc = file_fail(backup->copy_path, "the backup cannot be opened", error);
    if (rc == 0)
        rc = digest_file(backup, op, error);
    file_remove(backup->copy_path);
    if (rc < 0 && atomic_load(&gate->ends_copy))
        rc = fail_given_up(backup, error);
    return rc;
}

/* Codes that only the process itself ends with are, to a client, a store that cannot be used or is not sound. */
static int code_for_clients(int code)
{
    return code == -GALLOC_D_STORE_IO ? -GALLOC_STORE_UNAVAILABLE : code == -GALLOC_D_STORE_REFUSED ? -GALLOC_CORRUPT : code;
}

static int serve_backup(struct backup *backup, struct store_op *op)
{
    int rc = atomic_load(&backup->gate->ends_copy) ? fail_given_up(backup, &op->error) : copy_make(backup, CONTAINER_OF(op, struct store_backup, op), &op->error);
    if (rc < 0) {
        copy_close(backup);
        atomic_store(&backup->is_taken, false);
    }
    return code_for_clients(rc);
}

/* ---- giving it away ---- */
static int serve_read(struct backup *backup, struct store_op *op)
{
    struct store_backup_read *read = CONTAINER_OF(op, struct store_backup_read, op);
    if (backup->fd < 0)
        return galloc_fail(&op->error, GALLOC_STORE_UNAVAILABLE, "there is no backup to be read");
    ssize_t got = pread(backup->fd, buf_reserve(&read->ret_bytes, (size_t)read->max_bytes), (size_t)read->max_bytes, read->at);
    if (got < 0)
        return galloc_fail(&op->error, GALLOC_STORE_UNAVAILABLE, "the backup cannot be read: %s", strerror(errno));
    read->ret_bytes.len += (size_t)got;
    read->ret_bytes.data[read->ret_bytes.len] = '\0';
    return 0;
}

static int serve(struct backup *backup, struct store_op *op)
{
    if (op->kind == OP_BACKUP)
        return serve_backup(backup, op);
    if (op->kind == OP_BACKUP_READ)
        return serve_read(backup, op);
    copy_close(backup);
    return 0;
}

static void *backup_main(void *arg)
{
    struct backup *backup = arg;
    int lane = 0;
    file_remove(backup->copy_path);
    while (mailbox_wait(&backup->box, -1)) {
        struct mail *mail = mailbox_take(&backup->box, MAILBOX_LANES_MAX - 1, &lane);
        if (mail == NULL)
            continue;
        struct store_op *op = op_of(mail);
        op->code = serve(backup, op);
        op->error.code = -op->code;
        backup->on_answer(op, backup->arg);
    }
    copy_close(backup);
    return NULL;
}

/* ---- for other threads ---- */
struct backup *backup_new(const struct store_ops *ops, const char *path, struct gate *gate, void (*on_answer)(struct store_op *op, void *arg), void *arg)
{
    struct backup *backup = xcalloc(1, sizeof *backup);
    backup->ops = ops;
    backup->path = path;
    backup->gate = gate;
    backup->on_answer = on_answer;
    backup->arg = arg;
    backup->copy_path = xasprintf("%s.backup", path);
    backup->fd = -1;
    mailbox_init(&backup->box, WAITING_MOST);
    if (pthread_create(&backup->thread, NULL, backup_main, backup) != 0)
        abort(); /* at start only: the machine has no thread left */
    return backup;
}

bool backup_put(struct backup *backup, struct store_op *op)
{
    if (op->kind == OP_BACKUP) {
        if (atomic_exchange(&backup->is_taken, true))
            return false;
        atomic_store(&backup->is_unwanted, false);
        atomic_store(&backup->gate->ends_copy, false);
    } else if (op->kind == OP_BACKUP_END) {
        atomic_store(&backup->is_taken, false); /* the next one waits behind it */
    }
    return mailbox_put(&backup->box, 0, &op->mail, false);
}

void backup_cut(struct backup *backup)
{
    atomic_store(&backup->is_unwanted, true);
    atomic_store(&backup->gate->ends_copy, true);
}

void backup_free(struct backup *backup)
{
    if (backup == NULL)
        return;
    atomic_store(&backup->is_ending, true);
    atomic_store(&backup->gate->ends_copy, true);
    mailbox_close(&backup->box);
    pthread_join(backup->thread, NULL);
    mailbox_clear(&backup->box);
    free(backup->copy_path);
    free(backup);
}
