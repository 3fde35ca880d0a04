/* A life of the daemon, wired as daemon/main.c wires it, but for its clients' sockets. A kill leaves what is on disk at that instant: the database and its log are copied
 * away, everything in memory is dropped in whatever way, and the copies are put back. */
#include "tests/simulation/world.h"

#include "base/log.h"
#include "tests/simulation/fake_threads.h"
#include "tests/unit/fault_vfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DRAIN_MS = 4000, RESTART_LATEST_MS = 3000, FAULT_NTH_LATEST = 40, MEND_LATEST_MS = 1200, MINUTE_US = 60000000 };

static struct life {
    char *folder, *database, *config, *key, *kept_database, *kept_log; /* owned */
    struct loop *loop;
    struct net *net;
    struct engine *engine;
    struct store *store;
    bool is_ending;
    unsigned number;
    struct sched_event start, close, mend;
} life;

struct engine *life_engine(void)
{
    return life.is_ending ? NULL : life.engine;
}

unsigned life_number(void)
{
    return life.number;
}

const char *life_database(void)
{
    return life.database;
}

/* ---- files ---- */
static void file_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0 || chmod(path, 0600) < 0)
        abort();
}

/* Copies a file; where there is none, the copy is removed too. */
static void file_copy(const char *from, const char *to)
{
    char bytes[65536];
    FILE *in = fopen(from, "re");
    unlink(to);
    if (in == NULL)
        return;
    FILE *out = fopen(to, "we");
    for (size_t len; out != NULL && (len = fread(bytes, 1, sizeof bytes, in)) > 0;)
        if (fwrite(bytes, 1, len, out) != len)
            abort();
    if (out == NULL || fclose(out) != 0)
        abort();
    fclose(in);
}

static void files_put_back(void)
{
    char *log = xasprintf("%s-wal", life.database), *index = xasprintf("%s-shm", life.database);
    unlink(index);
    unlink(log);
    if (rename(life.kept_database, life.database) < 0)
        abort();
    if (rename(life.kept_log, log) < 0 && errno != ENOENT)
        abort();
    free(log);
    free(index);
}

static void files_keep(void)
{
    char *log = xasprintf("%s-wal", life.database);
    file_copy(life.database, life.kept_database);
    file_copy(log, life.kept_log);
    free(log);
}

static void config_write(void)
{
    static const char *const names[ENDPOINTS] = {"a", "b"};
    static const int timeouts_s[ENDPOINTS] = {20, 8};
    struct buf text = BUF_EMPTY;
    buf_add_fmt(&text, "drain_timeout = \"%dms\"\n", DRAIN_MS);
    for (int i = 0; i < ENDPOINTS; i++) {
        const struct sim_endpoint *endpoint = &world.endpoints[i];
        buf_add_fmt(&text, "endpoint \"%s\" {\n base_url = \"https://%s.example\"\n api_key_file = \"%s\"\n request_timeout = \"%ds\"\n max_in_flight = %lld\n", names[i], names[i], life.key,
                    timeouts_s[i], (long long)endpoint->max_in_flight);
        if (endpoint->rpm > 0)
            buf_add_fmt(&text, " rpm = %lld\n", (long long)endpoint->rpm);
        buf_add_fmt(&text, " hedge = \"%s\"\n}\n", endpoint->hedges ? "tail" : "off");
    }
    file_write(life.config, buf_text(&text));
    file_write(life.key, "no-key-at-all-0123456789\n");
    buf_clear(&text);
}

/* ---- the end of a life ---- */
static void life_drop(void)
{
    life.is_ending = true;
    sched_stop(&life.close);
    check_close();
    workers_forget();
    store_close(life.store);
    net_free(life.net);
    engine_free(life.engine);
    loop_free(life.loop);
    life.store = NULL;
    life.net = NULL;
    life.engine = NULL;
    life.loop = NULL;
    life.is_ending = false;
}

static void on_start(void *arg)
{
    (void)arg;
    life_start();
}

static void start_later(void)
{
    sched_set_us(&life.start, dice(1, RESTART_LATEST_MS) * 1000);
}

void life_kill(void)
{
    if (life.engine == NULL)
        return;
    trace("kill");
    world.kills++;
    files_keep();
    life_mend_disk();
    life_drop();
    files_put_back();
    start_later();
}

static void on_close(void *arg)
{
    (void)arg;
    if (life.engine == NULL)
        return;
    trace("stopped");
    life_drop();
    start_later();
}

static void on_drained(void *arg)
{
    (void)arg;
    sched_set_us(&life.close, 1);
}

void life_stop(void)
{
    if (life.engine == NULL || engine_is_draining(life.engine))
        return;
    trace("stop");
    engine_drain(life.engine, DRAIN_MS, on_drained, NULL);
}

/* The store has failed for good: the daemon ends, and its supervisor starts it anew. */
static void on_fatal(int exit_status, const char *text, void *arg)
{
    (void)arg;
    (void)text; /* it names the folder, which is another each time */
    trace("fatal %d", exit_status);
    sched_set_us(&life.close, 1);
}

/* ---- its beginning ---- */
/* A disk that fails still: the supervisor tries it again. */
static void not_opened(int rc, const struct galloc_error *error)
{
    trace("not opened: %s", galloc_code_row(rc)->name);
    if (rc != -GALLOC_D_STORE_IO)
        violate("the store does not open: %s", error->message);
    life_drop();
    start_later();
}

void life_start(void)
{
    struct galloc_error error;
    struct config *config = NULL;
    struct store_image image = {0};
    if (life.engine != NULL)
        return;
    /* When its calls of the last minute were sent, a new life knows by the wall clock alone. */
    if (world.jumped_us != 0 && sched_now_us() - world.jumped_us < MINUTE_US)
        check_limits_forget();
    life.number++;
    life.loop = loop_new();
    life.net = net_new(life.loop);
    if (endpoint_load_config(life.config, &config, &error) < 0) {
        fprintf(stderr, "simulate: %s\n", error.message);
        abort();
    }
    const struct engine_config engine = {.loop = life.loop, .config = config, .net = life.net, .config_path = life.config, .fatal = on_fatal};
    life.engine = engine_new(&engine);
    const struct store_config store = {.loop = life.loop, .path = life.database, .on_commit = engine_on_commit, .on_health = engine_on_health, .arg = life.engine};
    int rc = store_open(&store, &life.store, &image, &error);
    if (rc < 0) {
        not_opened(rc, &error);
        return;
    }
    threads_arrive();
    trace("start %u runs=%zu leases=%zu lost=%lld", life.number, image.run_count, image.lease_count, (long long)image.recovered_lost);
    engine_start(life.engine, life.store, &image);
    check_open(life.database);
    check_step();
}

/* ---- the disk ---- */
void life_mend_disk(void)
{
    sched_stop(&life.mend);
    fault_vfs_clear();
}

static void on_mend(void *arg)
{
    (void)arg;
    trace("disk mended");
    life_mend_disk();
}

void life_fail_disk(void)
{
    static const struct {
        enum fault_call call;
        int number;
    } faults[] = {{FAULT_SYNC, EIO}, {FAULT_WRITE, EIO}, {FAULT_WRITE, ENOSPC}, {FAULT_SYNC, ENOSPC}};
    size_t i = (size_t)dice(0, (int64_t)ARRAY_COUNT(faults) - 1);
    bool is_sticky = dice_percent(30);
    int nth = (int)dice(1, FAULT_NTH_LATEST);
    trace("disk fails call=%d nth=%d errno=%d sticky=%d", (int)faults[i].call, nth, faults[i].number, is_sticky);
    world.faults++;
    fault_vfs_arm(faults[i].call, "-wal", nth, is_sticky, faults[i].number);
    sched_set_us(&life.mend, dice(1, MEND_LATEST_MS) * 1000);
}

/* ---- the folder ---- */
void life_begin(const char *folder)
{
    static bool is_set;
    if (!is_set) {
        fault_vfs_register();
        log_set_level(LOG_LEVEL_ERROR);
    }
    is_set = true;
    life = (struct life){.folder = xstrdup(folder),
                         .database = xasprintf("%s/galloc.db", folder),
                         .config = xasprintf("%s/gallocd.conf", folder),
                         .key = xasprintf("%s/key", folder),
                         .kept_database = xasprintf("%s/kept.db", folder),
                         .kept_log = xasprintf("%s/kept.log", folder),
                         .start = {.fire = on_start},
                         .close = {.fire = on_close},
                         .mend = {.fire = on_mend}};
    config_write();
}

void life_end(void)
{
    life_mend_disk();
    if (life.engine != NULL && life.store != NULL)
        life_drop();
    free(life.folder);
    free(life.database);
    free(life.config);
    free(life.key);
    free(life.kept_database);
    free(life.kept_log);
}
