/* Outside workers as fast as they can be: each a thread with a connection of its own to the daemon's socket, which
 * leases a batch, decides by a rule, tells of the whole batch in one request, and leases the next. As a program it is
 * the load of bench/run; nothing but the figures comes out: rows, seconds. outside SOCKET [--workers N] [--batch N]
 * [--rows N]     ends when there is nothing left, or when so many rows were told of */
#include "base/clock.h"
#include "base/json_scan.h"
#include "base/parse.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WORKERS_MAX 64
#define HEAD_BYTES 4096

static const char *socket_path;
static int64_t worker_count = 4, batch_rows = 100, wanted_rows = INT64_MAX;
static atomic_int_fast64_t taken_rows, told_rows;

struct worker {
    pthread_t thread;
    int number, descriptor;
    struct buf out, body, answer; /* a request, its body; the body of the answer */
    struct buf path;              /* where the lease's results go */
    struct json_span *agent_ids;  /* owned; they point into `answer` */
    size_t agent_count, agent_cap;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "outside: %s: %s\n", what, why);
    exit(1);
}

/* ---- HTTP, as much of it as the daemon's own answers need ---- */
static void connect_to(struct worker *worker)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(socket_path) >= sizeof address.sun_path)
        die(socket_path, "too long for a socket");
    memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
    worker->descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (worker->descriptor < 0 || connect(worker->descriptor, (struct sockaddr *)&address, sizeof address) < 0)
        die(socket_path, "cannot be connected to");
}

static void send_all(struct worker *worker)
{
    for (size_t at = 0; at < worker->out.len;) {
        ssize_t sent = write(worker->descriptor, worker->out.data + at, worker->out.len - at);
        if (sent <= 0)
            die(socket_path, "a request could not be sent");
        at += (size_t)sent;
    }
}

/* The status; the body is in worker->answer. */
static int receive(struct worker *worker)
{
    char head[HEAD_BYTES + 1], *end = NULL;
    size_t len = 0;
    while (end == NULL) {
        ssize_t got = len == HEAD_BYTES ? 0 : read(worker->descriptor, head + len, HEAD_BYTES - len);
        if (got <= 0)
            die(socket_path, "the answer broke off");
        len += (size_t)got;
        head[len] = '\0';
        end = strstr(head, "\r\n\r\n");
    }
    const char *length = strcasestr(head, "\r\nContent-Length:");
    size_t body_bytes = length != NULL && length < end ? strtoul(length + strlen("\r\nContent-Length:"), NULL, 10) : 0;
    buf_reset(&worker->answer);
    buf_add(&worker->answer, end + 4, len - (size_t)(end + 4 - head));
    char part[65536];
    while (worker->answer.len < body_bytes) {
        size_t left = body_bytes - worker->answer.len;
        ssize_t got = read(worker->descriptor, part, left < sizeof part ? left : sizeof part);
        if (got <= 0)
            die(socket_path, "the answer broke off");
        buf_add(&worker->answer, part, (size_t)got);
    }
    return (int)strtol(head + strlen("HTTP/1.1 "), NULL, 10);
}

/* The request of worker->body. */
static int post(struct worker *worker, const char *path)
{
    buf_reset(&worker->out);
    buf_add_fmt(&worker->out,
                "POST %s HTTP/1.1\r\nHost: galloc\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                path, worker->body.len);
    buf_add(&worker->out, worker->body.data, worker->body.len);
    send_all(worker);
    return receive(worker);
}

/* ---- a lease ---- */
static struct json_span member_of(struct json_span object, const char *wanted)
{
    struct json_span name, value;
    for (const char *at = NULL; json_next(object, &at, &name, &value);)
        if (json_span_equals(name, wanted))
            return value;
    die(wanted, "the answer lacks it");
}

static void agents_read(struct worker *worker, struct json_span agents)
{
    struct json_span ignored, agent;
    worker->agent_count = 0;
    for (const char *at = NULL; json_next(agents, &at, &ignored, &agent);) {
        if (worker->agent_count == worker->agent_cap) {
            worker->agent_cap = worker->agent_cap == 0 ? 64 : worker->agent_cap * 2;
            worker->agent_ids = xreallocarray(worker->agent_ids, worker->agent_cap, sizeof *worker->agent_ids);
        }
        worker->agent_ids[worker->agent_count++] = member_of(agent, "agent_id");
    }
    if (worker->agent_count == 0)
        die("agents", "nobody has room");
}

/* Each assignment to the next agent. Returns how many there are. */
static int64_t decide(struct worker *worker, struct json_span assignments)
{
    struct json_span ignored, assignment;
    int64_t count = 0;
    buf_reset(&worker->body);
    buf_add_str(&worker->body, "{\"results\":[");
    for (const char *at = NULL; json_next(assignments, &at, &ignored, &assignment); count++) {
        struct json_span key = member_of(assignment, "key"),
                         agent = worker->agent_ids[(size_t)count % worker->agent_count];
        buf_add_fmt(&worker->body,
                    "%s{\"key\":%.*s,\"agent_id\":%.*s,\"reason\":\"same region, and the lightest load of those who "
                    "speak the language\"}",
                    count == 0 ? "" : ",", (int)key.len, key.at, (int)agent.len, agent.at);
    }
    buf_add_str(&worker->body, "]}");
    return count;
}

/* False: there is nothing to do. Else the body is what was decided, and the path where it goes. */
static bool lease(struct worker *worker, int64_t *ret_count)
{
    buf_reset(&worker->body);
    buf_add_fmt(&worker->body, "{\"worker\":\"w%d\",\"max\":%lld,\"ttl_ms\":60000}", worker->number,
                (long long)batch_rows);
    int status = post(worker, "/v1/leases");
    if (status == 204)
        return false;
    if (status != 200 || json_check(worker->answer.data, worker->answer.len, NULL) < 0)
        die("a lease", worker->answer.len > 0 ? buf_text(&worker->answer) : "refused");
    struct json_span all = {worker->answer.data, worker->answer.len};
    agents_read(worker, member_of(all, "agents"));
    buf_reset(&worker->path);
    buf_add_str(&worker->path, "/v1/leases/");
    json_span_string(member_of(all, "lease"), &worker->path);
    buf_add_str(&worker->path, "/results");
    *ret_count = decide(worker, member_of(all, "assignments"));
    return true;
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    int64_t count = 0;
    connect_to(worker);
    while (atomic_fetch_add(&taken_rows, batch_rows) < wanted_rows && lease(worker, &count)) {
        if (post(worker, buf_text(&worker->path)) != 200)
            die("results", buf_text(&worker->answer));
        atomic_fetch_add(&told_rows, count);
    }
    close(worker->descriptor);
    buf_clear(&worker->out);
    buf_clear(&worker->body);
    buf_clear(&worker->answer);
    buf_clear(&worker->path);
    free(worker->agent_ids);
    return NULL;
}

static void read_options(int argc, char **argv)
{
    const struct {
        const char *name;
        int64_t high, *number;
    } names[] = {{"--workers", WORKERS_MAX, &worker_count},
                 {"--batch", 10000, &batch_rows},
                 {"--rows", INT64_MAX, &wanted_rows}};
    for (int i = 1; i < argc; i++) {
        size_t n = 0;
        while (n < ARRAY_COUNT(names) && strcmp(argv[i], names[n].name) != 0)
            n++;
        if (n == ARRAY_COUNT(names) && argv[i][0] != '-' && socket_path == NULL)
            socket_path = argv[i];
        else if (n == ARRAY_COUNT(names) || i + 1 == argc ||
                 parse_i64(argv[++i], 1, names[n].high, names[n].number, NULL) != 0)
            die(argv[i], "usage: outside SOCKET [--workers N] [--batch N] [--rows N]");
    }
    if (socket_path == NULL)
        die("a socket is wanted", "usage: outside SOCKET [--workers N] [--batch N] [--rows N]");
}

int main(int argc, char **argv)
{
    static struct worker workers[WORKERS_MAX];
    read_options(argc, argv);
    int64_t started_us = clock_mono_us();
    for (int i = 0; i < (int)worker_count; i++) {
        workers[i].number = i + 1;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            die("a thread", "cannot be started");
    }
    for (int i = 0; i < (int)worker_count; i++)
        pthread_join(workers[i].thread, NULL);
    printf("%lld %.4f\n", (long long)atomic_load(&told_rows), (double)(clock_mono_us() - started_us) / 1e6);
    return 0;
}
