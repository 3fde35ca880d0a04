/* Events as the dispatcher tells them (notice.c). Not for other rooms. */
#ifndef GALLOC_DISPATCH_NOTICE_H
#define GALLOC_DISPATCH_NOTICE_H

#include "dispatch/engine.h"

/* The end of an attempt. All is borrowed. */
struct attempt_notice {
    const struct run_entry *run;
    const char *key, *endpoint;
    const char *worker;      /* NULL: the built-in one */
    int64_t seq;
    int32_t n, http_status;  /* http_status 0: none */
    enum outcome_class class;
    int64_t retry;           /* the how manieth retry follows from it; -1: none does */
    int64_t retry_in_ms;     /* -1: not known */
    const char *message;     /* NULL: none */
};

/* An assignment at rest. */
struct assignment_notice {
    const struct run_entry *run;
    const char *key;
    int64_t seq;
    enum assignment_state state;
    enum outcome_class class; /* of one that failed */
    int64_t agent;            /* of one that succeeded */
    const char *agent_id;     /* borrowed; his name, where memory may not have the pool; NULL: it has */
    bool is_by_person;
};

/* A worker's lease that ran out. */
struct lease_notice {
    const struct run_entry *run;
    const char *worker;
    int64_t seq, lease, row_count, poisoned_count;
};

void notice_run(struct engine *engine, const struct run_entry *run, const char *type, int64_t seq);
void notice_run_endpoint(struct engine *engine, const struct run_entry *run, const char *from, const struct rung_reason *reason); /* the run has gone to another */
void notice_attempt(struct engine *engine, const struct attempt_notice *notice);
void notice_assignment(struct engine *engine, const struct assignment_notice *notice);
void notice_lease_expired(struct engine *engine, const struct lease_notice *notice);
void notice_endpoint(struct engine *engine, const struct endpoint *endpoint, const char *text);

#endif
