/* gallocctl backup: the daemon's database as one file. The daemon makes it and checks it, and tells its size and digest before the first byte; what arrived is held
 * against both, and a file is there whole or not at all. */
#include "base/clock.h"
#include "base/digest.h"
#include "base/json_out.h"
#include "base/text.h"
#include "cli/atomic.h"
#include "cli/command.h"
#include "cli/out.h"
#include "cli/progress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct backup {
    struct cli *cli;
    const char *name; /* of the file, "-": stdout */
    FILE *file;       /* borrowed */
    bool is_full;
    int64_t began_mono_ms;
    int64_t bytes, got_bytes;        /* told, arrived; -1: not told yet */
    char told_sha256[DIGEST_HEX], got_sha256[DIGEST_HEX], at[CLOCK_TEXT_MAX];
};

/* From the answer's head, which says all before the first byte. */
static int read_head(struct backup *backup, const struct transfer *transfer, struct galloc_error *error)
{
    const char *sha256 = transfer_header(transfer, "Galloc-Sha256"), *at = transfer_header(transfer, "Galloc-Backup-At");
    backup->bytes = transfer_length(transfer);
    if (sha256 == NULL || at == NULL || strlen(sha256) != DIGEST_HEX - 1 || strlen(at) >= sizeof backup->at || backup->bytes < 0)
        return galloc_fail(error, GALLOC_INTERNAL, "what answers on the socket does not tell the backup's size and digest; is it gallocd %s?", PACKAGE_VERSION);
    memcpy(backup->told_sha256, sha256, DIGEST_HEX);
    memcpy(backup->at, at, strlen(at) + 1);
    return 0;
}

static void show(const struct backup *backup, struct progress *progress)
{
    struct buf waited = BUF_EMPTY;
    if (!progress_is_due(backup->cli, progress))
        return;
    show_seconds(&waited, (clock_mono_ms() - backup->began_mono_ms) / 1000);
    if (backup->bytes < 0)
        progress_show(backup->cli, progress, "the daemon copies its database%s: %s", backup->is_full ? " and checks the copy in full" : "", buf_text(&waited));
    else
        progress_show(backup->cli, progress, "%s of %s", text_bytes(backup->got_bytes).text, text_bytes(backup->bytes).text);
    buf_clear(&waited);
}

static int put(struct backup *backup, const struct buf *chunk, struct galloc_error *error)
{
    backup->got_bytes += (int64_t)chunk->len;
    if (fwrite(chunk->data, 1, chunk->len, backup->file) == chunk->len)
        return 0;
    return galloc_fail(error, GALLOC_LOCAL_IO, "%s could not be written: %s", backup->name, strerror(errno));
}

/* Is it what the daemon sent? */
static int compare(struct backup *backup, struct galloc_error *error)
{
    if (backup->got_bytes != backup->bytes)
        return galloc_fail(error, GALLOC_UNREACHABLE, "only %s of %s arrived: this is no backup; try again", text_bytes(backup->got_bytes).text,
                           text_bytes(max_i64(backup->bytes, 0)).text);
    if (strcmp(backup->got_sha256, backup->told_sha256) != 0)
        return galloc_fail(error, GALLOC_CORRUPT, "what arrived is not what the daemon sent (SHA-256 %s, told was %s): this is no backup; try again",
                           backup->got_sha256, backup->told_sha256);
    return 0;
}

static int receive(struct backup *backup, struct galloc_error *error)
{
    char *path = xasprintf("/v1/backup%s", backup->is_full ? "?verify=1" : "");
    struct transfer *transfer = transfer_start(backup->cli->client, &(struct request){.method = "GET", .path = path});
    struct buf chunk = BUF_EMPTY;
    struct digest *digest = digest_new();
    struct progress progress;
    unsigned char sha256[DIGEST_BYTES];
    int rc;
    progress_init(backup->cli, &progress);
    while ((rc = transfer_chunk(transfer, 250, &chunk, error)) == STREAM_LINE || rc == STREAM_NOTHING) {
        int bad = backup->bytes < 0 && chunk.len > 0 ? read_head(backup, transfer, error) : 0;
        if (bad == 0 && chunk.len > 0)
            bad = put(backup, &chunk, error);
        if ((rc = bad) < 0)
            break;
        digest_add(digest, chunk.data, chunk.len);
        show(backup, &progress);
    }
    progress_clear(backup->cli, &progress);
    digest_end(digest, sha256);
    digest_hex(sha256, backup->got_sha256);
    buf_clear(&chunk);
    transfer_drop(transfer);
    free(path);
    return rc < 0 ? rc : compare(backup, error);
}

static int receive_file(struct backup *backup, struct galloc_error *error)
{
    struct atomic_file atomic;
    int rc = atomic_open(&atomic, backup->name, false, true, error);
    backup->file = atomic.file;
    if (rc == 0)
        rc = receive(backup, error);
    if (rc == 0)
        rc = atomic_commit(&atomic, error);
    atomic_clear(&atomic);
    return rc;
}

static void tell_json(const struct backup *backup, int64_t took_ms)
{
    struct buf text = BUF_EMPTY;
    struct json_out out = JSON_OUT(&text);
    json_out_begin(&out, '{');
    json_out_member_str(&out, "file", backup->name);
    json_out_member_int(&out, "bytes", backup->bytes);
    json_out_member_str(&out, "sha256", backup->got_sha256);
    json_out_member_str(&out, "backup_at", backup->at);
    json_out_member_bool(&out, "verified", backup->is_full);
    json_out_member_int(&out, "took_ms", took_ms);
    json_out_end(&out, '}');
    out_json(backup->cli, text.data, text.len);
    buf_clear(&text);
}

/* Is it where gallocd looks by itself: under `home_name` of the user's own folder, or in the system's place? */
static bool is_usual(const char *path, const char *xdg_name, const char *home_folder, const char *rest, const char *system)
{
    const char *xdg = getenv(xdg_name), *home = getenv("HOME");
    char *own = xdg != NULL && xdg[0] == '/' ? xasprintf("%s%s", xdg, rest) : home != NULL ? xasprintf("%s/%s%s", home, home_folder, rest) : NULL;
    bool is_it = strcmp(path, system) == 0 || (own != NULL && strcmp(path, own) == 0);
    free(own);
    return is_it;
}

/* How this daemon was started decides where the backup has to go back to. */
static void tell_restore(const struct backup *backup, const char *name)
{
    struct response response = RESPONSE_EMPTY;
    struct buf options = BUF_EMPTY;
    int rc = client_get(backup->cli->client, &response, NULL, "/v1/status");
    struct json_object *daemon = rc == 0 ? json_get(response.json, "daemon") : NULL;
    const char *config = json_get_str(daemon, "config_file", NULL), *state = json_get_str(daemon, "state_dir", NULL);
    if (config != NULL && !is_usual(config, "XDG_CONFIG_HOME", ".config", "/galloc/gallocd.conf", GALLOC_SYSCONFDIR "/galloc/gallocd.conf"))
        buf_add_fmt(&options, " -c %s", config);
    if (state != NULL && !is_usual(state, "XDG_STATE_HOME", ".local/state", "/galloc", GALLOC_LOCALSTATEDIR "/lib/galloc"))
        buf_add_fmt(&options, " --state-dir %s", state);
    say(backup->cli, "to restore it: stop gallocd, then: %s%s --restore %s", GALLOC_SBINDIR "/gallocd", buf_text(&options), name);
    buf_clear(&options);
    response_clear(&response);
}

/* The line on stdout is one that `sha256sum -c` takes. */
static void tell(const struct backup *backup, bool is_file)
{
    int64_t took_ms = clock_mono_ms() - backup->began_mono_ms;
    struct buf took = BUF_EMPTY, at = BUF_EMPTY;
    if (is_file && backup->cli->format != FORMAT_TABLE)
        tell_json(backup, took_ms);
    else if (is_file)
        out_line("%s  %s", backup->got_sha256, backup->name);
    show_ms(&took, took_ms);
    show_time(&at, backup->at);
    say(backup->cli, "written: %s, %s in %s: all that stood at %s; %s", is_file ? backup->name : "standard output", text_bytes(backup->bytes).text, buf_text(&took),
        buf_text(&at), backup->is_full ? "every page, counter and digest is sound" : "it opens (--verify reads all of it)");
    tell_restore(backup, is_file ? backup->name : "FILE");
    buf_clear(&took);
    buf_clear(&at);
}

int command_backup(struct cli *cli, int count, char **words)
{
    (void)count;
    struct galloc_error error;
    struct backup backup = {.cli = cli, .name = words[0], .bytes = -1, .is_full = args_has(&cli->args, "verify"), .began_mono_ms = clock_mono_ms(), .file = stdout};
    bool is_file = strcmp(words[0], "-") != 0;
    if (!is_file && cli->is_stdout_terminal)
        return say_failure(cli, GALLOC_USAGE, "a database is not for a terminal: name a file, or give - with a pipe behind it");
    if (is_file && !ask_replace(cli, backup.name))
        return EXIT_CANCELLED;
    int rc = is_file ? receive_file(&backup, &error) : receive(&backup, &error);
    if (rc < 0)
        return say_error(cli, &error);
    tell(&backup, is_file);
    return EXIT_WELL;
}
