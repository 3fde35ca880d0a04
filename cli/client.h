/* The way to the daemon: HTTP over its Unix socket, by libcurl's multi interface, so that a command may prepare its next request
 * while one is under way, and read a stream line by line. One thread.
 * Errors are those of the daemon (problem+json: its code and detail), or: GALLOC_UNREACHABLE with the command that starts it,
 * GALLOC_NOT_PERMITTED with the group to join, GALLOC_TIMED_OUT at the deadline, GALLOC_CANCELLED after Ctrl-C. */
#ifndef GALLOC_CLI_CLIENT_H
#define GALLOC_CLI_CLIENT_H

#include "base/buf.h"
#include "base/code.h"
#include "base/json.h"

struct client;

/* socket_path NULL: the user's socket, else the system's. timeout_ms 0: no deadline. Never NULL; free with client_free(). */
struct client *client_new(const char *socket_path, int64_t timeout_ms);
void client_free(struct client *client);
void client_set_verbose(struct client *client); /* every request is told on stderr, with its status and time */
const char *client_socket(const struct client *client);
void client_use_socket(struct client *client, const char *socket_path); /* from now on this one */
/* Who says what is waited for, once for each patient request that has to wait for long. NULL: nobody. */
void client_set_waiting(struct client *client, void (*tell)(void *arg, const char *why), void *arg);
void client_start_clock(struct client *client, int64_t timeout_ms); /* a new deadline from now; 0: none */

struct request {
    const char *method;
    const char *path;             /* encoded, with its query */
    const void *body;             /* borrowed until the answer is there; NULL: none */
    size_t body_len;
    const char *content_type;     /* NULL: application/json */
    const char *idempotency_key;  /* NULL: none */
    bool is_told;                 /* why it is waited for was said already */
    bool outlasts_disk;           /* and a full disk too */
    bool is_patient;              /* a daemon that restarts or is busy is waited for, until the deadline; the request is then repeated */
};

struct response {
    int status; /* HTTP */
    struct buf body;
    struct json_object *json; /* the body where it is JSON, else NULL; also of a problem */
    char content_type[64];
};

#define RESPONSE_EMPTY ((struct response){0})
void response_clear(struct response *response);

/* One request and its answer. A status of 400 and above is an error; `ret` is then filled too, where an answer came. */
int client_call(struct client *client, const struct request *request, struct response *ret, struct galloc_error *error) MUST_CHECK;

/* Short forms: path made by printf; pieces from outside have to go through client_path(). */
int client_get(struct client *client, struct response *ret, struct galloc_error *error, const char *fmt, ...) MUST_CHECK PRINTF_LIKE(4, 5);
int client_post(struct client *client, const struct buf *body, struct response *ret, struct galloc_error *error, const char *fmt, ...) MUST_CHECK
    PRINTF_LIKE(5, 6);

/* Percent-encodes one path segment or query value. The caller frees. */
char *client_segment(const char *text);

/* A request under way. The request's body must live until transfer_wait(). */
struct transfer;
struct transfer *transfer_start(struct client *client, const struct request *request);
void transfer_pump(struct transfer *transfer); /* moves bytes, never waits */
bool transfer_is_done(const struct transfer *transfer); /* transfer_wait() would not wait */
/* Waits until the request's body is on its way, or the transfer ended. 0, or the error of a deadline or of Ctrl-C. */
int transfer_wait_sent(struct transfer *transfer, struct galloc_error *error) MUST_CHECK;
int transfer_wait(struct transfer *transfer, struct response *ret, struct galloc_error *error) MUST_CHECK; /* frees the transfer */
void transfer_drop(struct transfer *transfer); /* gives it up; NULL is fine */

/* Reads a stream: STREAM_LINE with a line without its end, borrowed until the next call; STREAM_NOTHING when none came within wait_ms
 * (or a signal did); STREAM_END at the proper end; negative: an error, also when the daemon went away in the middle. */
enum { STREAM_NOTHING = 0, STREAM_LINE = 1, STREAM_END = 2 };
int transfer_line(struct transfer *transfer, int64_t wait_ms, struct json_span *ret_line, struct galloc_error *error) MUST_CHECK;
/* The bytes that came instead of lines, in place of what was in ret_chunk; the same results. */
int transfer_chunk(struct transfer *transfer, int64_t wait_ms, struct buf *ret_chunk, struct galloc_error *error) MUST_CHECK;

/* For a caller with several requests under way: waits until one of them or of `fds` moves, at most wait_ms, then moves the requests' bytes. */
struct pollfd;
void client_wait(struct client *client, const struct pollfd *fds, size_t count, int64_t wait_ms);

/* Of the answer's head, once something of its body came: a header, borrowed until the transfer ends, or NULL; the body's length, or -1. */
const char *transfer_header(const struct transfer *transfer, const char *name);
int64_t transfer_length(const struct transfer *transfer);

/* Waits a little before another try; false when the deadline or Ctrl-C came first. `attempt` counts from 0. */
bool client_pause(struct client *client, unsigned attempt);
int64_t client_pause_ms(unsigned attempt); /* how long that is */

/* True for errors after which a patient caller tries again. */
bool client_is_passing(int code);

/* True once an answer came from the daemon: only then a vanished daemon is waited for. */
bool client_has_spoken(const struct client *client);

#endif
