/* gallocctl notify: stays with the daemon's events and hands those that are asked for to a command of the user's, one after another, until each was taken. */
#include "base/clock.h"
#include "cli/child.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/notify.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    POLL_MS = 50,
    LINE_WAIT_MS = 500,
    PATIENCE_USUAL_MS = 60000,
    COMMAND_TIMEOUT_USUAL_MS = 300000, /* a mailer that hangs must not hold all that comes after it */
    BACKOFF_MS = 1000,                 /* after a command that failed; doubles */
    BACKOFF_MAX_MS = 60000,
    SAVE_MS = 10000                    /* the cursor, while nothing has to be told */
};

struct session {
    struct notify notify; /* first: tell() finds the session by it */
    char **argv;          /* owned; borrowed strings */
    char *label;          /* owned */
    int64_t command_timeout_ms, deadline_mono_ms;
    int64_t saved_mono_ms;
    bool has_told_trouble;
};

/* ---- one hand-over ---- */

static bool is_late(const struct session *session)
{
    return clock_mono_ms() >= session->deadline_mono_ms;
}

/* Runs the command once. True: it took the object. What went wrong is said. */
static bool hand_over(struct session *session, const struct buf *object)
{
    struct child child;
    struct galloc_error error;
    struct cli *cli = session->notify.cli;
    struct buf input = BUF_EMPTY, words = BUF_EMPTY;
    buf_add(&input, object->data, object->len);
    if (child_start(&child, cli, session->argv, xstrdup(session->label), &input, 0, &error) < 0) {
        say_error(cli, &error);
        return false;
    }
    int64_t stop_at_mono_ms = clock_mono_ms() + session->command_timeout_ms;
    while (!child_turn(&child)) {
        struct pollfd fds[CHILD_FDS_MAX];
        if (clock_mono_ms() >= stop_at_mono_ms)
            child_stop(&child);
        poll(fds, child_fds(&child, fds), POLL_MS);
    }
    bool is_taken = child_exit_status(&child) == 0;
    if (!is_taken) {
        child_describe_end(&child, &words);
        say_always(cli, "the command was not well (%s); the event is handed to it again", buf_text(&words));
    }
    buf_clear(&words);
    child_clear(&child);
    return is_taken;
}

/* A wait that Ctrl-C and --timeout end. */
static int pause_ms(struct session *session, int64_t wait_ms, struct galloc_error *error)
{
    int64_t until_mono_ms = clock_mono_ms() + wait_ms;
    while (clock_mono_ms() < until_mono_ms) {
        if (interrupt_pending())
            return galloc_fail(error, GALLOC_CANCELLED, "stopped by %s", interrupt_name());
        if (is_late(session))
            return galloc_fail(error, GALLOC_TIMED_OUT, "time ran out (--timeout)");
        poll(NULL, 0, (int)min_i64(POLL_MS, until_mono_ms - clock_mono_ms() + 1));
    }
    return 0;
}

static int tell(struct notify *notify, const char *text, const struct buf *object, struct galloc_error *error)
{
    struct session *session = (struct session *)(void *)notify;
    int rc = 0;
    for (int64_t wait_ms = BACKOFF_MS; rc == 0 && !hand_over(session, object); wait_ms = min_i64(2 * wait_ms, BACKOFF_MAX_MS))
        rc = pause_ms(session, wait_ms, error);
    notify->has_told |= rc == 0;
    if (rc == 0 && notify->cli->is_verbose)
        say(notify->cli, "told: %s", text);
    return rc;
}

/* ---- the stream ---- */

static int save(struct session *session, struct galloc_error *error)
{
    session->saved_mono_ms = clock_mono_ms();
    return notify_state_save(&session->notify.state, error);
}

/* What was told is on disk before anything else is looked at. */
static int save_if_due(struct session *session, struct galloc_error *error)
{
    bool is_due = session->notify.has_told || clock_mono_ms() - session->saved_mono_ms >= SAVE_MS;
    session->notify.has_told = false;
    return is_due ? save(session, error) : 0;
}

static void say_back(struct session *session)
{
    if (session->has_told_trouble)
        say(session->notify.cli, "the daemon answers again");
    session->has_told_trouble = false;
}

/* One stream, until it breaks. */
static int read_stream(struct session *session, struct galloc_error *error)
{
    struct notify *notify = &session->notify;
    char *path = xasprintf("/v1/events?since=%" PRId64, notify->state.seq);
    struct transfer *transfer = transfer_start(notify->cli->client, &(struct request){.method = "GET", .path = path});
    struct json_span line;
    int rc = 0;
    while (rc == 0) {
        int64_t wait_ms = clamp_i64(notify_due(notify) - clock_mono_ms(), 0, LINE_WAIT_MS);
        int got = transfer_line(transfer, wait_ms, &line, error);
        if (got == STREAM_LINE) {
            say_back(session);
            rc = notify_take_event(notify, line, error);
        } else if (got == STREAM_END) {
            rc = galloc_fail(error, GALLOC_UNREACHABLE, "the daemon ended the stream of events");
        } else if (got < 0) {
            rc = got;
        }
        if (rc == 0)
            rc = notify_tell_waits(notify, error);
        if (rc == 0)
            rc = save_if_due(session, error);
    }
    transfer_drop(transfer);
    free(path);
    return rc;
}

/* Before the first stream: without a cursor all that is counts as known, and is kept at once, so that a file that cannot be written is told now. */
static int begin(struct session *session, struct galloc_error *error)
{
    struct notify *notify = &session->notify;
    notify->is_silent = notify->state.seq < 0;
    int rc = notify->is_silent ? notify_look(notify, error) : notify_look_at_endpoints(notify, error);
    notify->is_silent = false;
    notify->has_told = false;
    return rc == 0 ? save(session, error) : rc;
}

static int stay(struct session *session, struct galloc_error *error)
{
    const struct cli *cli = session->notify.cli;
    bool has_begun = false;
    for (unsigned attempt = 0;; attempt++) {
        int64_t seq = session->notify.state.seq;
        int rc = has_begun ? 0 : begin(session, error);
        has_begun |= rc == 0;
        if (rc == 0)
            rc = read_stream(session, error);
        if (!client_is_passing(rc) || !client_has_spoken(cli->client))
            return rc;
        if (!session->has_told_trouble)
            say(cli, "%s; waiting for it", error->message);
        session->has_told_trouble = true;
        attempt = session->notify.state.seq > seq ? 0 : attempt;
        rc = pause_ms(session, client_pause_ms(attempt), error);
        if (rc < 0)
            return rc;
    }
}

/* ---- the command line ---- */

static int read_kinds(struct cli *cli, struct notify *notify, struct galloc_error *error)
{
    const char *const *names;
    size_t count = args_texts(&cli->args, "on", &names);
    for (size_t k = 0; k < NOTIFY_KIND_COUNT; k++)
        notify->wants[k] = count == 0;
    for (size_t i = 0; i < count; i++) {
        size_t kind = 0;
        while (kind < NOTIFY_KIND_COUNT && strcmp(names[i], notify_kinds[kind]) != 0)
            kind++;
        if (kind == NOTIFY_KIND_COUNT)
            return galloc_fail(error, GALLOC_USAGE, "--on knows done, paused, failed and waiting, not \"%s\"", names[i]);
        notify->wants[kind] = true;
    }
    return 0;
}

static int run_session(struct session *session, struct galloc_error *error)
{
    struct cli *cli = session->notify.cli;
    struct galloc_error late = {0};
    int rc = read_kinds(cli, &session->notify, error);
    if (rc == 0)
        rc = notify_state_load(&session->notify.state, args_text(&cli->args, "cursor"), error);
    if (rc < 0)
        return rc;
    rc = stay(session, error);
    if (save(session, &late) < 0 && rc != -GALLOC_LOCAL_IO)
        say_error(cli, &late);
    return rc;
}

int command_notify(struct cli *cli, int count, char **words)
{
    if (!child_can_start(words[0]))
        return say_failure(cli, GALLOC_USAGE, "there is no program \"%s\" that could be started%s", words[0],
                           strchr(words[0], '/') == NULL ? "; one in this folder is written ./NAME" : "");
    const char *slash = strrchr(words[0], '/');
    int64_t timeout_ms = args_number(&cli->args, "timeout", 0);
    struct galloc_error error = {0};
    struct session session = {.notify = {.cli = cli, .tell = tell, .patience_ms = args_number(&cli->args, "patience", PATIENCE_USUAL_MS)},
                              .argv = xcalloc((size_t)count + 1, sizeof *session.argv),
                              .label = xstrdup(slash != NULL ? slash + 1 : words[0]),
                              .command_timeout_ms = args_number(&cli->args, "command-timeout", COMMAND_TIMEOUT_USUAL_MS),
                              .deadline_mono_ms = timeout_ms > 0 ? clock_mono_ms() + timeout_ms : INT64_MAX};
    memcpy(session.argv, words, (size_t)count * sizeof *session.argv);
    interrupt_catch();
    signal(SIGPIPE, SIG_IGN); /* a command need not read what it is given */
    int rc = run_session(&session, &error);
    notify_state_clear(&session.notify.state);
    free(session.argv);
    free(session.label);
    if (rc == -GALLOC_CANCELLED && interrupt_pending())
        return EXIT_WELL; /* main ends by the signal */
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}
