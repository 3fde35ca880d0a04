/* What takes long to parse, in a thread of its own, since 4 MiB of JSON cost tens of milliseconds: parts of an import,
 * checked and digested, and other large bodies. */
#ifndef GALLOC_INGEST_INGEST_H
#define GALLOC_INGEST_INGEST_H

#include "base/buf.h"
#include "base/code.h"
#include "base/digest.h"
#include "loop/loop.h"
#include "loop/mailbox.h"

struct ingest;
struct template; /* core/template.h */
struct json_object; /* base/json.h */

#define INGEST_QUEUE \
    32 /* parts that may wait: their bodies are capped together (LIMIT_BODIES_BYTES), this caps small ones */

/* What the thread is given; embedded in what it is about. */
struct ingest_job {
    void (*work)(struct ingest_job *job); /* in the thread */
    void (*back)(struct ingest_job *job); /* then on the loop's */
    struct mail mail;
    struct loop_note note;
};

/* One row that is well: spans of the part's text. */
struct ingest_row {
    struct {
        const char *at;
        size_t len;
    } key, fields; /* key decoded (in place in the text), not ended by NUL; fields: a JSON object as it came */
    int64_t row;
    unsigned char sha256[DIGEST_BYTES]; /* of fields */
};
enum ingest_form {
    INGEST_PART,  /* a line {"key":"…","fields":{…},"row":N} for each */
    INGEST_LINES, /* an append: the same, and "row" may be left out: then it is the line's number */
    INGEST_JSON   /* an append: {"assignments":[…]} of such objects */
};
struct ingest_part {
    /* in */
    enum ingest_form form;
    char *text; /* owned: the body; changed in place (keys are decoded) */
    size_t len;
    struct template *template; /* owned; a row that lacks a column of it is rejected. NULL: nobody looks */
    void (*done)(struct ingest_part *part); /* on the loop's thread; the part is the receiver's again */
    void *arg;
    /* out */
    char sha256[DIGEST_HEX]; /* of the body as it came */
    struct ingest_row *rows; /* owned */
    size_t count;
    struct buf rejected; /* JSON array of {"row","key","column","code","message"}; "[]" when all are well. row is the
                          * line's number in the part, negative, where the row's own cannot be read. codes: invalid_row,
                          * invalid_key, too_large, repeated_member, not_utf8, missing_column */
    int64_t rejected_count;
    int code; /* 0, or the part as a whole is refused: -TOO_LARGE, -NOT_JSON, -INVALID_VALUE; then no rows */
    struct galloc_error error;
    struct ingest_job job; /* the room's */
};

/* A body of another kind, which has to be one JSON value. */
struct ingest_json {
    const char *text; /* borrowed until done */
    size_t len;
    void (*done)(struct ingest_json *json); /* on the loop's thread; it is the receiver's again */
    void *arg;
    /* out */
    struct json_object *ret_json; /* owned, when code is 0 */
    int code;                     /* 0 or -NOT_JSON */
    struct galloc_error error;
    struct ingest_job job; /* the room's */
};

/* Starts and ends the thread. Loop's thread. ingest_free() finishes what waits: its done is still called, by the loop.
 */
struct ingest *ingest_new(struct loop *loop); /* `loop` is borrowed; NULL when the machine gives no thread */
void ingest_free(struct ingest *ingest);      /* NULL is fine */

/* Hands a part over. False when too many wait (answer 503). Loop's thread. */
bool ingest_submit(struct ingest *ingest, struct ingest_part *part) MUST_CHECK;
void ingest_part_free(struct ingest_part *part); /* with all it owns */

/* The same with a body. The caller's own when it is false. */
bool ingest_parse(struct ingest *ingest, struct ingest_json *json) MUST_CHECK;

/* The work itself, on the calling thread: for tests, fuzzing and the sample of an estimate. Lines are
 * as their form has them; a bad one is rejected and stops nothing else. */
void ingest_part_check(struct ingest_part *part);

/* Reads agents of a pool from a JSON array of objects with agent_id (or key), capacity (null or "none": no limit),
 * load, available, until; all else, and the members of an object `attributes`, are attributes. Names match as those of
 * columns. 0, or -GALLOC_INVALID_INPUT naming row and field. Used by POST /v1/runs and PUT /v1/pools. Any thread. Gives
 * the agents through `add`, in order, when all are well; what they point at is borrowed for that call. */
struct ingest_agent {
    const char *agent_id;   /* 1 to LIMIT_NAME_BYTES bytes */
    const char *attributes; /* JSON object text, at most LIMIT_AGENT_BYTES */
    int64_t capacity;       /* -1: no limit */
    int64_t load;           /* places taken from the start, >= 0 */
    bool is_available;
    int64_t until_at_ms; /* wall; 0: none; only of one that is away */
};
int ingest_agents(struct json_object *array, void (*add)(const struct ingest_agent *agent, void *arg), void *arg,
                  struct galloc_error *error) MUST_CHECK;

#endif
