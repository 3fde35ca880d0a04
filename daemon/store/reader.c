/* A thread that reads. Operations wait in a mailbox; one that needs several turns goes to the end of the line after
 * each, so that a long list, an export and a look at one assignment take turns and none waits for another's end. The
 * connection is opened when it is first needed, and anew after a failure. At the end what is in work is interrupted and
 * what waits is answered: nobody waits for a reader that is gone. */
#include "store/reader.h"

#include "core/limits.h"
#include "loop/mailbox.h"
#include "store/store.h"

#include <stdatomic.h>
#include <stdlib.h>

struct reader {
    const struct store_ops *ops; /* borrowed */
    const char *path;            /* borrowed */
    struct gate *gate;           /* borrowed */
    void (*on_answer)(struct store_op *op, void *arg);
    void *arg; /* borrowed */
    struct mailbox box;
    pthread_t thread;
    pthread_mutex_t lock;               /* over engine_reader, which reader_free() interrupts */
    struct store_reader *engine_reader; /* owned; NULL while not open */
    atomic_bool is_ending;
    struct mail *turns_first, **turns_last; /* the thread's: operations between two turns */
};

static struct store_op *op_of(struct mail *mail)
{
    return CONTAINER_OF(mail, struct store_op, mail);
}

static void answer_failed(struct reader *reader, struct store_op *op, const struct galloc_error *error)
{
    op->error = *error;
    op->code = -error->code;
    reader->on_answer(op, reader->arg);
}

static void answer_ending(struct reader *reader, struct store_op *op)
{
    struct galloc_error error;
    galloc_fail(&error, GALLOC_STORE_UNAVAILABLE, "the store is being closed");
    answer_failed(reader, op, &error);
}

static int engine_open(struct reader *reader, struct galloc_error *error)
{
    if (reader->engine_reader)
        return 0;
    struct store_reader *opened = NULL;
    int rc = reader->ops->reader_open(reader->path, &reader->gate->ends_reads, &opened, error);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&reader->lock);
    reader->engine_reader = opened;
    pthread_mutex_unlock(&reader->lock);
    return 0;
}

static void engine_close(struct reader *reader)
{
    pthread_mutex_lock(&reader->lock);
    struct store_reader *closed = reader->engine_reader;
    reader->engine_reader = NULL;
    pthread_mutex_unlock(&reader->lock);
    if (closed)
        reader->ops->reader_close(closed);
}

/* After these the connection itself may be what is wrong. */
static bool is_connection_doubtful(int code)
{
    return code == -GALLOC_STORE_UNAVAILABLE || code == -GALLOC_D_STORE_IO || code == -GALLOC_DISK_FULL ||
           code == -GALLOC_CORRUPT;
}

static void turns_put(struct reader *reader, struct mail *mail)
{
    mail->next = NULL;
    *reader->turns_last = mail;
    reader->turns_last = &mail->next;
}

static struct mail *turns_take(struct reader *reader)
{
    struct mail *mail = reader->turns_first;
    if (mail) {
        reader->turns_first = mail->next;
        if (reader->turns_first == NULL)
            reader->turns_last = &reader->turns_first;
    }
    return mail;
}

/* One turn of one operation, unless the writer is emptying the log. True: it wants more. */
static bool turn(struct reader *reader, struct store_op *op)
{
    bool has_more = false;
    gate_enter(reader->gate);
    if (op->kind == OP_DOCTOR)
        reader->ops->check(reader->engine_reader, CONTAINER_OF(op, struct store_doctor, op));
    else
        has_more = reader->ops->read(reader->engine_reader, CONTAINER_OF(op, struct store_read, op));
    gate_leave(reader->gate);
    return has_more;
}

/* Answered when it was the last turn. */
static void serve(struct reader *reader, struct mail *mail)
{
    struct store_op *op = op_of(mail);
    struct galloc_error error;
    if (atomic_load(&reader->is_ending)) {
        answer_ending(reader, op);
        return;
    }
    if (engine_open(reader, &error) < 0) {
        answer_failed(reader, op, &error);
        return;
    }
    if (turn(reader, op)) {
        turns_put(reader, mail);
        return;
    }
    bool is_doubtful = is_connection_doubtful(op->code);
    reader->on_answer(op, reader->arg);
    if (is_doubtful)
        engine_close(reader); /* operations between two turns begin anew */
}

static void *reader_main(void *arg)
{
    struct reader *reader = arg;
    int lane = 0;
    while (reader->turns_first || mailbox_wait(&reader->box, -1)) {
        struct mail *mail = mailbox_take(&reader->box, MAILBOX_LANES_MAX - 1, &lane);
        if (mail)
            serve(reader, mail);
        mail = turns_take(reader);
        if (mail)
            serve(reader, mail);
    }
    engine_close(reader);
    return NULL;
}

struct reader *reader_new(const struct store_ops *ops, const char *path, struct gate *gate,
                          void (*on_answer)(struct store_op *op, void *arg), void *arg)
{
    struct reader *reader = xcalloc(1, sizeof(*reader));
    reader->ops = ops;
    reader->path = path;
    reader->gate = gate;
    reader->on_answer = on_answer;
    reader->arg = arg;
    reader->turns_last = &reader->turns_first;
    pthread_mutex_init(&reader->lock, NULL);
    mailbox_init(&reader->box, LIMIT_STORE_QUEUE);
    if (pthread_create(&reader->thread, NULL, reader_main, reader) != 0)
        abort(); /* at start only; the machine has no thread left */
    return reader;
}

bool reader_put(struct reader *reader, struct store_op *op)
{
    return mailbox_put(&reader->box, 0, &op->mail, false);
}

void reader_free(struct reader *reader)
{
    if (reader == NULL)
        return;
    atomic_store(&reader->is_ending, true);
    mailbox_close(&reader->box);
    pthread_mutex_lock(&reader->lock);
    if (reader->engine_reader)
        reader->ops->interrupt(reader->engine_reader);
    pthread_mutex_unlock(&reader->lock);
    pthread_join(reader->thread, NULL);
    mailbox_clear(&reader->box);
    pthread_mutex_destroy(&reader->lock);
    free(reader);
}
