/* See ingest.h. One thread takes parts from its mailbox, checks them (part.c) and posts them back to the loop; other
 * bodies it parses. It shares nothing: a part is moved in and moved out. */
#include "ingest/ingest.h"

#include "base/json.h"
#include "core/template.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct ingest {
    struct loop *loop; /* borrowed */
    struct mailbox box;
    pthread_t thread;
};

static void hand_back(struct loop_note *note)
{
    struct ingest_job *job = CONTAINER_OF(note, struct ingest_job, note);
    job->back(job);
}

static void *work(void *arg)
{
    struct ingest *ingest = arg;
    while (mailbox_wait(&ingest->box, -1)) {
        struct mail *mail = mailbox_take(&ingest->box, 0, NULL);
        if (mail == NULL)
            continue;
        struct ingest_job *job = CONTAINER_OF(mail, struct ingest_job, mail);
        job->work(job);
        job->note.run = hand_back;
        loop_post(ingest->loop, &job->note);
    }
    return NULL;
}

struct ingest *ingest_new(struct loop *loop)
{
    struct ingest *ingest = xcalloc(1, sizeof *ingest);
    ingest->loop = loop;
    mailbox_init(&ingest->box, INGEST_QUEUE);
    sigset_t all, before; /* signals are the loop's */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&ingest->thread, NULL, work, ingest);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        mailbox_clear(&ingest->box);
        free(ingest);
        return NULL;
    }
    pthread_setname_np(ingest->thread, "ingest");
    return ingest;
}

void ingest_free(struct ingest *ingest)
{
    if (ingest == NULL)
        return;
    mailbox_close(&ingest->box);
    pthread_join(ingest->thread, NULL);
    mailbox_clear(&ingest->box);
    free(ingest);
}

static void part_work(struct ingest_job *job)
{
    ingest_part_check(CONTAINER_OF(job, struct ingest_part, job));
}

static void part_back(struct ingest_job *job)
{
    struct ingest_part *part = CONTAINER_OF(job, struct ingest_part, job);
    part->done(part);
}

bool ingest_submit(struct ingest *ingest, struct ingest_part *part)
{
    part->job.work = part_work;
    part->job.back = part_back;
    return mailbox_put(&ingest->box, 0, &part->job.mail, false);
}

static void json_work(struct ingest_job *job)
{
    struct ingest_json *json = CONTAINER_OF(job, struct ingest_json, job);
    json->code = json_parse(json->text, json->len, &json->ret_json, &json->error);
}

static void json_back(struct ingest_job *job)
{
    struct ingest_json *json = CONTAINER_OF(job, struct ingest_json, job);
    json->done(json);
}

bool ingest_parse(struct ingest *ingest, struct ingest_json *json)
{
    json->job.work = json_work;
    json->job.back = json_back;
    return mailbox_put(&ingest->box, 0, &json->job.mail, false);
}

void ingest_part_free(struct ingest_part *part)
{
    if (part == NULL)
        return;
    free(part->text);
    template_free(part->template);
    free(part->rows);
    buf_clear(&part->rejected);
    free(part);
}
