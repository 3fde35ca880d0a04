/* See store_front.h. */
#include "tests/contract/store_front.h"

#include <stdio.h>
#include <stdlib.h>

static void on_commit(const struct store_commit *commit, void *arg)
{
    struct front *front = arg;
    front->commits++;
    for (size_t i = 0; i < commit->run_count; i++)
        front->runs[commit->runs[i].id % FRONT_RUNS] = commit->runs[i];
}

static void on_health(enum store_health health, const char *text, void *arg)
{
    struct front *front = arg;
    (void)text;
    front->health = health;
    front->health_changes++;
    loop_stop(front->loop);
}

static void on_deadline(void *arg)
{
    struct front *front = arg;
    front->is_late = true;
    loop_stop(front->loop);
}

int front_open(struct front *front, const char *path, struct galloc_error *error)
{
    *front = (struct front){.loop = loop_new()};
    struct store_config config = {.loop = front->loop, .path = path, .on_commit = on_commit, .on_health = on_health, .arg = front};
    int rc = store_open(&config, &front->store, &front->image, error);
    if (rc < 0) {
        loop_free(front->loop);
        front->loop = NULL;
        return rc;
    }
    for (size_t i = 0; i < front->image.run_count; i++) {
        struct store_run *kept = &front->runs[front->image.runs[i].id % FRONT_RUNS];
        kept->id = front->image.runs[i].id;
        kept->state = front->image.runs[i].state;
        for (int k = 0; k < COUNT_KIND_END; k++)
            kept->counts[k] = front->image.runs[i].counts[k];
    }
    loop_timer_init(&front->deadline, front->loop, on_deadline, front);
    return 0;
}

void front_close(struct front *front)
{
    if (front->loop == NULL)
        return;
    store_close(front->store);
    store_image_clear(&front->image);
    loop_timer_clear(&front->deadline);
    loop_free(front->loop);
    front->loop = NULL;
}

bool front_wait(struct front *front, const bool *flag, int64_t deadline_ms)
{
    front->is_late = false;
    loop_timer_set_ms(&front->deadline, deadline_ms);
    while (!*flag && !front->is_late)
        loop_run(front->loop);
    loop_timer_stop(&front->deadline);
    return *flag;
}

void front_done(struct store_op *op)
{
    static int order;
    struct front_mark *mark = op->arg;
    mark->is_done = true;
    mark->order = ++order;
    loop_stop(mark->front->loop);
}

int front_do(struct front *front, struct store_op *op)
{
    struct front_mark mark = {.front = front};
    op->done = front_done;
    op->arg = &mark;
    store_submit(front->store, op);
    if (!front_wait(front, &mark.is_done, 10000)) {
        fprintf(stderr, "an operation (%s) was not answered within 10 s\n", store_op_name(op->kind));
        abort();
    }
    return op->code;
}

int front_do_free(struct front *front, struct store_op *op)
{
    int code = front_do(front, op);
    store_op_free(op);
    return code;
}

int64_t front_run(struct front *front, int64_t rows, int agents, struct store_pool *ret_pool)
{
    struct store_run_create *create = make_run(agents, -1, NULL, NULL);
    int rc = front_do(front, &create->op);
    int64_t run = create->ret_run.id;
    if (rc == 0 && ret_pool != NULL) {
        *ret_pool = create->ret_pool;
        create->ret_pool = (struct store_pool){0};
    }
    store_op_free(&create->op);
    if (rc == 0)
        rc = front_do_free(front, &make_part(run, 1, 1, rows, 100, 0, NULL, NULL)->op);
    if (rc == 0)
        rc = front_do_free(front, &make_commit(run, 1, NULL, NULL)->op);
    return rc == 0 ? run : rc;
}

const struct store_run *front_summary(const struct front *front, int64_t run)
{
    return &front->runs[run % FRONT_RUNS];
}
