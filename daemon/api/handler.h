/* What handlers share: runs by their reference, pages of the store, selectors, and how things are shown as JSON. Loop's thread. */
#ifndef GALLOC_API_HANDLER_H
#define GALLOC_API_HANDLER_H

#include "api/route.h"
#include "api/server.h"
#include "dispatch/engine.h"
#include "store/query.h"

/* ---- operations ---- */
/* An operation whose `arg` is the request. */
void *handler_op(struct request *request, enum store_op_kind kind, void (*done)(struct store_op *op));
void handler_submit(struct request *request, struct store_op *op);
/* Writes an audit row for what left no operation of its own; nobody waits for it. `detail` is JSON (NULL: {}). */
void handler_audit(struct request *request, const char *verb, const char *target, const char *detail);

/* The header Idempotency-Key. *ret_key is owned by the caller; NULL: none was sent. -INVALID_VALUE: not 1 to 128 bytes of UTF-8. */
int handler_idempotency_key(const struct request *request, char **ret_key, struct galloc_error *error) MUST_CHECK;

/* ---- runs ---- */
/* Calls `then` with the run that `reference` tells (NULL: params[0] of the path), at once or after a look into the store; or fails the request. The run is
 * borrowed until `then` returns: what comes later finds it by its id. Streams that wait for it may find their client gone. */
typedef void handler_then(struct request *request, struct run_entry *run);
void handler_with_run(struct request *request, const char *reference, handler_then *then);
void handler_with_plan(struct request *request, handler_then *then); /* of params[0]; info.plan is there too */
/* The answer of most changes: the run object, as it is after the commit. */
void handler_reply_assignment(struct request *request, int64_t run); /* that of params[1], as it is now */
void handler_reply_run(struct request *request, const char *run_id, int status);

void run_json(struct json_out *out, const struct run_entry *run);

/* ---- lists ---- */
struct page {
    enum store_query query;
    int64_t run, pool, after, since_ms;
    int32_t limit;             /* rows still wanted */
    bool with_fields;
    char *key;                 /* owned */
    struct store_selector selector;
    /* Adds a row as a JSON value; false: it is not one of those wanted. */
    bool (*row)(struct request *request, struct json_out *out, const struct store_read *read, size_t row);
    struct buf head_text;      /* owned: members before "items", as JSON without braces */
    unsigned shown_states;     /* of runs: a bit a name of run_list.c; 0: all */
    bool is_over;              /* set by `row`: what comes behind is not wanted */
    /* the reader's */
    struct json_out out;
    size_t count;
    bool is_single;            /* not paged: all of it, and next is null */
};
/* A page for the request, which owns it from now on (request->state). */
struct page *page_new(struct request *request, enum store_query query);
/* `limit` and `cursor` of the query. */
int page_parameters(struct request *request, struct page *page, struct galloc_error *error) MUST_CHECK;
/* Reads and answers {"items":[…],"next":…}. */
void page_start(struct request *request);
struct store_read *page_read(struct request *request, const struct page *page, void (*done)(struct store_op *op));

/* A cell as a JSON value. */
void cell_json(struct json_out *out, const struct store_read *read, size_t row, size_t column);
void cell_member(struct json_out *out, const char *name, const struct store_read *read, size_t row, size_t column);

/* A cell as one of CSV, quoted where it has to be; nothing where it is null. `is_guarded`: a text that a spreadsheet would run gets a ' before it. (csv.c) */
void csv_text(struct buf *out, const char *text, size_t len, bool is_guarded); /* a text alone */
void csv_value(struct buf *out, const struct store_read *read, size_t row, size_t column, bool is_guarded);

/* ---- selectors ---- */
int selector_from_json(struct json_object *body, struct store_selector *ret_selector, struct galloc_error *error) MUST_CHECK;
int selector_from_query(const struct http_head *head, struct store_selector *ret_selector, struct galloc_error *error) MUST_CHECK;
/* "succeeded,failed" into bits of assignment states. */
int selector_states(const char *text, unsigned *ret_states, struct galloc_error *error) MUST_CHECK;
void selector_copy(const struct store_selector *from, struct store_selector *ret_copy);
void selector_clear(struct store_selector *selector);

/* ---- agents ---- */
/* Reads agents of a body. The caller frees with store_agents_clear(). */
int agents_read(struct json_object *array, struct store_agents *ret_agents, struct galloc_error *error) MUST_CHECK;

/* ---- pools and endpoints ---- */
struct pool_totals {
    int64_t agent_count, capacity, held, free; /* capacity, free -1: no limit */
};
/* Places for something new, now: none of an agent who is away; -1: no limit. */
void presence_members(struct json_out *out, const struct store_read *read, size_t row); /* `available` and `until` as they are now: whose date has passed is back */
int64_t places_free(int64_t capacity, int64_t held, bool is_available, int64_t until_at_ms);
void pool_count(const struct pool_entry *pool, struct pool_totals *ret_totals);
void endpoint_json(struct json_out *out, struct engine *engine, struct endpoint *endpoint);
struct endpoint *endpoint_of_path(struct request *request); /* the endpoint of params[0]; NULL: the request was failed */
void endpoint_reply(struct request *request, const char *name); /* answers with its object */

/* A member that is an integer, or null where it is negative. */
void member_int_or_null(struct json_out *out, const char *name, int64_t value);
/* A member from a text, "" being null. */
void member_text_or_null(struct json_out *out, const char *name, const char *text);
/* The account's name of a uid, from /etc/passwd alone (nothing that may wait for a network); "uid N" else. */
void account_name(uint32_t uid, char *ret_name, size_t size);

#endif
