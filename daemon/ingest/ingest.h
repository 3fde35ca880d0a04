/* Parts of an import: parsed, checked and digested in a thread of their own, since 4 MiB of JSON cost tens of milliseconds. */
#ifndef GALLOC_INGEST_INGEST_H
#define GALLOC_INGEST_INGEST_H

#include "base/buf.h"
#include "base/code.h"
#include "base/digest.h"
#include "loop/loop.h"

struct ingest;

/* One row that is well: spans of the part's text. */
struct ingest_row {
    struct { const char *at; size_t len; } key, fields; /* key decoded (in place in the text); fields: a JSON object as it came */
    int64_t row;
    unsigned char sha256[DIGEST_BYTES]; /* of fields */
};
struct ingest_part {
    /* in */
    char *text; /* owned: the body; changed in place (keys are decoded) */
    size_t len;
    void (*done)(struct ingest_part *part); /* on the loop's thread; the part is the receiver's again */
    void *arg;
    /* out */
    char sha256[DIGEST_HEX];  /* of the body as it came */
    struct ingest_row *rows;  /* owned */
    size_t count;
    struct buf rejected;      /* JSON array of {"row","column","code","message"} */
    int64_t rejected_count;
    int code;                 /* 0, or -code: the part as a whole is refused (too many rows, …) */
    struct galloc_error error;
    /* the room's */
    struct mail_link { void *next; } link;
    struct loop_note note;
};

/* Starts and ends the thread. Loop's thread. ingest_free() finishes what waits. */
struct ingest *ingest_new(struct loop *loop);
void ingest_free(struct ingest *ingest);

/* Hands a part over. False when too many wait (answer 503). Loop's thread. */
bool ingest_submit(struct ingest *ingest, struct ingest_part *part) MUST_CHECK;
void ingest_part_free(struct ingest_part *part); /* with all it owns */

/* The work itself, on the calling thread: for tests and fuzzing. Lines are {"key":"…","fields":{…},"row":N}; a bad line is rejected and stops nothing else. */
void ingest_part_check(struct ingest_part *part);

/* Reads agents of a pool from a JSON array of objects with agent_id (or key), capacity, load, available; all else are attributes. 0, or a code naming
 * row and field. Used by POST /v1/runs and PUT /v1/pools. Any thread. Gives agents through `add`. */
struct ingest_agent {
    const char *agent_id;
    const char *attributes; /* JSON object text */
    int64_t capacity;       /* -1: no limit */
    int64_t load;
    bool is_available;
    int64_t until_at_ms;
};
struct json_object;
int ingest_agents(struct json_object *array, void (*add)(const struct ingest_agent *agent, void *arg), void *arg, struct galloc_error *error) MUST_CHECK;

#endif
