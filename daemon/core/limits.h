/* Every cap on what comes from outside, with its unit and its reason. */
#ifndef GALLOC_CORE_LIMITS_H
#define GALLOC_CORE_LIMITS_H

#define LIMIT_BODY_BYTES (4 << 20)            /* a request's body; a part of an import */
#define LIMIT_BODIES_BYTES (16 << 20)         /* all bodies that are being received together; then 503 */
#define LIMIT_HEADER_BYTES (16 << 10)         /* a request's header */
#define LIMIT_URI_BYTES (4 << 10)             /* four keys of 256 bytes, percent-encoded, with room */
#define LIMIT_CONNECTIONS_PER_UID 256
#define LIMIT_REQUESTS_PER_UID 8              /* in flight; streams and long polls are not counted */
#define LIMIT_UNSENT_BYTES (1 << 20)          /* a stream's client behind by more is dropped */
#define LIMIT_PART_ROWS 20000
#define LIMIT_ROW_BYTES (256 << 10)           /* one assignment: key and fields */
#define LIMIT_KEY_BYTES 256
#define LIMIT_NAME_BYTES 128                  /* of a run, pool, endpoint, profile, agent_id */
#define LIMIT_AGENTS 10000                    /* in a pool */
#define LIMIT_AGENT_BYTES (16 << 10)          /* attributes of one agent */
#define LIMIT_PROMPT_BYTES (256 << 10)        /* above: refused at enqueue, with the way out (--match, --max-candidates) */
#define LIMIT_PROMPT_AGENTS 500
#define LIMIT_ENDPOINTS_BYTES 1031            /* of eight endpoints in order, with the commas between them */
#define LIMIT_SCHEMA_ENUM 100                 /* candidates named in the answer's schema; longer lists are checked by us alone */
#define LIMIT_SCHEMA_BYTES (32 << 10)         /* of a run's --schema: it goes with every call */
#define LIMIT_SCHEMA_NODES 500                /* schemas within it; times an answer's values, that is what checking costs */
#define LIMIT_SCHEMA_DEPTH 10                 /* of schemas within schemas; providers refuse deeper ones as too many states */
#define LIMIT_SCHEMA_PROPERTIES 100           /* of one object: the columns of the results */
#define LIMIT_SCHEMA_CHOICES 1000             /* values of one enum */
#define LIMIT_KEPT_ANSWER_BYTES (64 << 10)    /* of an answer to a question, in the store and in the results */
#define LIMIT_ANSWER_BYTES (1 << 20)          /* a provider's response body, after decoding */
#define LIMIT_ANSWER_HEADER_BYTES (64 << 10)
#define LIMIT_JOINED_BYTES (1 << 20)          /* an answer that came in several calls, joined */
#define LIMIT_CONTINUATION_BYTES (64 << 10)   /* a provider's token for the rest of an answer; it goes back in a body */
#define LIMIT_MESSAGE_BYTES 2000              /* of a provider's words that are kept */
#define LIMIT_REASON_BYTES 4000               /* of the model's reason that is kept */
#define LIMIT_IN_FLIGHT 1024                  /* the highest max_in_flight */
#define LIMIT_PACK_BYTES (128 << 10)          /* of keys and fields in one request: half a prompt is for instructions and agents */
#define LIMIT_PACK 100                        /* assignments in one request: beyond that models lose track, and one failure costs much */
#define LIMIT_CLAIM_ROWS 1024                 /* leased at once for calls: a transaction of some 20 ms */
#define LIMIT_LEASE_ROWS 1000                 /* of an outside worker's lease: a batch of results fits a body, its loss a transaction */
#define LIMIT_LEASE_RESULTS 1000              /* told at once: as many as a lease has rows */
#define LIMIT_LEASE_BYTES (2 << 20)            /* of keys and fields in a lease, and again of its candidates: an answer that a worker can hold */
#define LIMIT_STORE_QUEUE 4096                /* operations waiting for the writer, settles apart */
#define LIMIT_WAL_WARN_BYTES (64LL << 20)     /* the store's log: at rest it is 16 MiB; above this a reader holds it, and people are told. Readers step aside between pages */
#define LIMIT_WAL_BYTES (256LL << 20)         /* here what still reads is ended: every page read searches the log, and the disk is for results */
#define LIMIT_RUNS_KEPT 1000                  /* ended runs in memory, the latest: what status, metrics and a look back need; older ones are read */
#define LIMIT_RESERVE_BYTES (32 << 20)        /* of the store's file system, beside what each result that is owed takes: below it nothing new is begun and a backup is given up */
#define LIMIT_SWEEP_ROWS 5000                 /* rows a transaction of cancel, retry, purge */
#define LIMIT_PAGE_ROWS 1000                  /* of a list */
#define LIMIT_WHY_BYTES 500                   /* of the reason that a person gives: in an audit row, and with each assignment that it changed */
#define LIMIT_MAX_RETRIES 20
#define LIMIT_CALLS_READ_BACK 131072          /* the newest calls, looked at when the store opens: twice what a pacer's log holds, and read in a moment */

#endif
