/* The facade: hands operations to the writer or to a reader, and their answers back to the loop's thread, in the order in which they were made.
 * Answers of a commit come to the loop together, behind what the commit changed, and cost it one note. The functions here are the loop's thread's, but for the report_ ones, which the
 * store's own threads call. */
#include "store/backup.h"
#include "store/reader.h"
#include "store/writer.h"

#include "core/limits.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* What goes back to the loop besides operations. */
struct commit_note {
    struct loop_note note;
    struct store *store;
    struct store_commit commit;
    struct store_place *places; /* owned; the commit's, copied, as runs are; NULL: none */
    struct store_run runs[];
};
struct health_note {
    struct loop_note note;
    struct store *store;
    enum store_health health;
    char *text; /* owned */
};

/* The store's one note in the loop's list. It outlives the store when it is posted at the end. */
struct wake {
    struct loop_note note;
    struct store *store; /* NULL: gone */
};

struct store {
    struct store_config config;
    char *path; /* owned */
    const struct store_ops *ops;
    struct store_engine *engine;
    struct writer *writer;
    struct reader *reader, *doctor;
    struct backup *backup;
    struct gate gate; /* readers pass it at each turn; the writer closes it to empty the log */
    struct wake *wake;
    struct loop_note *told, **told_last; /* the writer's: of the turn that it is in, oldest first */
    pthread_mutex_t lock; /* over all that follows */
    struct loop_note *first, **last; /* answers on their way, oldest first */
    bool is_posted;                  /* the wake is in the loop's list */
};

/* ---- the way back ---- */
static void told_add(struct store *store, struct loop_note *note)
{
    note->next = NULL;
    *store->told_last = note;
    store->told_last = &note->next;
}

/* Gives a chain of notes to the loop; `last` is the address of the last one's `next`. */
static void answers_post(struct store *store, struct loop_note *first, struct loop_note **last)
{
    pthread_mutex_lock(&store->lock);
    if (first != NULL) {
        *store->last = first;
        store->last = last;
    }
    bool posts = store->first != NULL && !store->is_posted;
    store->is_posted = store->is_posted || posts;
    pthread_mutex_unlock(&store->lock);
    if (posts)
        loop_post(store->config.loop, &store->wake->note);
}

static bool answers_give(struct store *store) /* false: there were none */
{
    pthread_mutex_lock(&store->lock);
    struct loop_note *notes = store->first;
    store->first = NULL;
    store->last = &store->first;
    pthread_mutex_unlock(&store->lock);
    for (struct loop_note *note = notes, *next; note != NULL; note = next) {
        next = note->next;
        note->run(note);
    }
    return notes != NULL;
}

static void wake_run(struct loop_note *note)
{
    struct wake *wake = CONTAINER_OF(note, struct wake, note);
    struct store *store = wake->store;
    if (store == NULL) {
        free(wake);
        return;
    }
    pthread_mutex_lock(&store->lock);
    store->is_posted = false;
    pthread_mutex_unlock(&store->lock);
    answers_give(store);
}

static void op_run(struct loop_note *note)
{
    struct store_op *op = CONTAINER_OF(note, struct store_op, note);
    op->done(op);
}

static void commit_run(struct loop_note *note)
{
    struct commit_note *told = CONTAINER_OF(note, struct commit_note, note);
    const struct store_config *config = &told->store->config;
    if (config->on_commit != NULL)
        config->on_commit(&told->commit, config->arg);
    free(told->places);
    free(told);
}

static void health_run(struct loop_note *note)
{
    struct health_note *told = CONTAINER_OF(note, struct health_note, note);
    const struct store_config *config = &told->store->config;
    if (config->on_health != NULL)
        config->on_health(told->health, told->text, config->arg);
    free(told->text);
    free(told);
}

/* ---- what the store's threads report ---- */
static void report_answer(struct store_op *op, void *arg)
{
    op->note.run = op_run;
    told_add(arg, &op->note);
}

static void report_turn(void *arg)
{
    struct store *store = arg;
    answers_post(store, store->told, store->told_last);
    store->told = NULL;
    store->told_last = &store->told;
}

static void report_read(struct store_op *op, void *arg)
{
    op->note.run = op_run;
    op->note.next = NULL;
    answers_post(arg, &op->note, &op->note.next);
}

static void report_commit(const struct store_commit *commit, void *arg)
{
    struct commit_note *told = xcalloc(1, sizeof *told + commit->run_count * sizeof told->runs[0]);
    told->note.run = commit_run;
    told->store = arg;
    memcpy(told->runs, commit->runs, commit->run_count * sizeof told->runs[0]);
    told->commit = (struct store_commit){.runs = told->runs, .run_count = commit->run_count, .seq = commit->seq};
    if (commit->place_count > 0) {
        told->places = xcalloc(commit->place_count, sizeof *told->places);
        memcpy(told->places, commit->places, commit->place_count * sizeof *told->places);
        told->commit.places = told->places;
        told->commit.place_count = commit->place_count;
    }
    told_add(arg, &told->note);
}

static void report_health(enum store_health health, const char *text, void *arg)
{
    struct health_note *told = xcalloc(1, sizeof *told);
    told->note.run = health_run;
    told->store = arg;
    told->health = health;
    told->text = xstrdup(text);
    told_add(arg, &told->note);
}

/* ---- opening and closing ---- */
static void sweep_ended(struct store_op *op)
{
    store_op_free(op);
}

/* Sweeps of a former life go on. */
static void sweeps_resume(struct store *store, const int64_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct store_sweep *sweep = store_op_new(OP_SWEEP, sweep_ended, NULL);
        sweep->sweep_id = ids[i];
        sweep->phase = SWEEP_BEGUN;
        store_submit(store, &sweep->op);
    }
}

/* The engine with all that was in it. */
static int engine_open(const struct store_ops *ops, const char *path, struct store_engine **ret_engine, struct store_image *ret_image, int64_t **ret_sweeps,
                       size_t *ret_sweep_count, struct galloc_error *error)
{
    struct galloc_error why;
    int rc = ops->open(path, ret_engine, ret_image, error);
    if (rc < 0)
        return rc;
    if (ops->open_sweeps(*ret_engine, ret_sweeps, ret_sweep_count, &why) == 0)
        return 0;
    ops->close(*ret_engine);
    return galloc_fail(error, GALLOC_D_STORE_IO, "%s", why.message);
}

int store_open(const struct store_config *config, struct store **ret_store, struct store_image *ret_image, struct galloc_error *error)
{
    const struct store_ops *ops = &sqlite_ops;
    struct store_engine *engine = NULL;
    char *path = xstrdup(config->path);
    int64_t *sweeps = NULL;
    size_t sweep_count = 0;
    *ret_image = (struct store_image){0};
    int rc = engine_open(ops, path, &engine, ret_image, &sweeps, &sweep_count, error);
    if (rc < 0) {
        free(path);
        store_image_clear(ret_image);
        return rc;
    }
    struct store *store = xcalloc(1, sizeof *store);
    store->config = *config;
    store->path = path;
    store->config.path = path;
    store->ops = ops;
    store->engine = engine;
    pthread_mutex_init(&store->lock, NULL);
    store->last = &store->first;
    store->told_last = &store->told;
    store->wake = xcalloc(1, sizeof *store->wake);
    store->wake->note.run = wake_run;
    store->wake->store = store;
    struct writer_report report = {report_commit, report_answer, report_turn, report_health, store};
    struct writer_log log = {&store->gate, config->wal_warn_bytes ? config->wal_warn_bytes : LIMIT_WAL_WARN_BYTES,
                             config->wal_bytes ? config->wal_bytes : LIMIT_WAL_BYTES};
    gate_init(&store->gate);
    store->writer = writer_new(ops, engine, &report, &log);
    store->reader = reader_new(ops, path, &store->gate, report_read, store);
    store->doctor = reader_new(ops, path, &store->gate, report_read, store);
    store->backup = backup_new(ops, path, &store->gate, report_read, store);
    sweeps_resume(store, sweeps, sweep_count);
    free(sweeps);
    *ret_store = store;
    return 0;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    backup_free(store->backup);
    reader_free(store->doctor);
    reader_free(store->reader);
    writer_free(store->writer);
    report_turn(store);
    store->reader = store->doctor = NULL;
    store->backup = NULL;
    store->writer = NULL;
    while (answers_give(store))
        continue;
    store->ops->close(store->engine);
    if (store->is_posted)
        store->wake->store = NULL;
    else
        free(store->wake);
    gate_clear(&store->gate);
    pthread_mutex_destroy(&store->lock);
    free(store->path);
    free(store);
}

/* ---- the way in ---- */
static bool op_put(struct store *store, struct store_op *op)
{
    if (store->writer == NULL)
        return false;
    if (op->kind == OP_DOCTOR)
        return reader_put(store->doctor, op);
    if (op->kind == OP_READ)
        return reader_put(store->reader, op);
    if (store_op_lane(op->kind) == STORE_BACKUP)
        return backup_put(store->backup, op);
    return writer_put(store->writer, store_op_lane(op->kind), op);
}

void store_submit(struct store *store, struct store_op *op)
{
    if (op_put(store, op))
        return;
    bool is_closed = store->writer == NULL;
    op->code = galloc_fail(&op->error, is_closed ? GALLOC_STORE_UNAVAILABLE : GALLOC_BUSY,
                           is_closed ? "the store is being closed"
                           : op->kind == OP_BACKUP ? "another backup is under way: wait for its end" : "too many operations wait for the store");
    report_read(op, store);
}

void store_backup_cut(struct store *store)
{
    if (store->backup != NULL)
        backup_cut(store->backup);
}

int store_restore(struct store_restore *restore, struct galloc_error *error)
{
    return sqlite_ops.restore(restore, error);
}

void store_stats(struct store *store, struct store_stats *ret_stats)
{
    writer_stats(store->writer, ret_stats);
}

void store_image_clear(struct store_image *image)
{
    for (size_t i = 0; i < image->run_count; i++)
        store_run_clear(&image->runs[i]);
    for (size_t i = 0; i < image->pool_count; i++)
        store_pool_clear(&image->pools[i]);
    for (size_t i = 0; i < image->setting_count; i++) {
        free(image->settings[i].endpoint);
        free(image->settings[i].name);
        free(image->settings[i].value);
    }
    for (size_t i = 0; i < image->endpoint_count; i++) {
        free(image->endpoints[i].endpoint);
        free(image->endpoints[i].down_text);
        free(image->endpoints[i].learned);
    }
    for (size_t i = 0; i < image->lease_count; i++)
        free(image->leases[i].worker);
    free(image->leases);
    for (size_t i = 0; i < image->sends_count; i++) {
        free(image->sends[i].endpoint);
        free(image->sends[i].items);
    }
    free(image->sends);
    for (size_t i = 0; i < image->sums_count; i++)
        free(image->sums[i].endpoint);
    free(image->sums);
    free(image->runs);
    free(image->pools);
    free(image->settings);
    free(image->endpoints);
    *image = (struct store_image){0};
}
