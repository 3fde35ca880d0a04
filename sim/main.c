/* gallocsim: a stand-in for the Gemini API on loopback. Options, signals, the ready line and the summary; the rest is
 * in server.h. */
#include "sim/server.h"

#include "base/parse.h"

#include <signal.h>
#include <unistd.h>

struct options {
    struct settings settings;
    const char *listen, *control, *port_file;
    bool wants_help, wants_version;
};

static int print_help(void)
{
    struct buf table = BUF_EMPTY;
    settings_help_text(&table);
    printf("usage: gallocsim [OPTION]... [--SETTING VALUE | --SETTING=VALUE | --set SETTING=VALUE]...\n"
           "A stand-in for the Gemini API on loopback, with quotas, latency and faults.\n\n"
           "  --listen 127.0.0.1:PORT   where the API and /sim are served; port 0 is a free one [127.0.0.1:8800]\n"
           "  --control 127.0.0.1:PORT  an address for /sim alone, which no outage closes\n"
           "  --port-file FILE          write the port (and the control port, on a second line) to FILE when ready\n"
           "  --help, --version         print this, or the version\n\n"
           "Settings; all can be changed while it runs, by PATCH /sim/config:\n\n%s",
           buf_text(&table));
    buf_clear(&table);
    return 0;
}

static int set_option(struct options *options, const char *name, const char *value, struct galloc_error *error)
{
    static const char *const own[] = {"listen", "control", "port_file"};
    const char **fields[] = {&options->listen, &options->control, &options->port_file};
    for (size_t i = 0; i < ARRAY_COUNT(own); i++)
        if (strcmp(name, own[i]) == 0) {
            *fields[i] = value;
            return 0;
        }
    return settings_set(&options->settings, strcmp(name, "model") == 0 ? "models" : name, value, error);
}

/* "--latency-ms 200", "--latency_ms=200", "--set latency_ms=200" */
static int parse_options(int argc, char **argv, struct options *options, struct galloc_error *error)
{
    for (int i = 1; i < argc; i++) {
        char name[64];
        const char *text = argv[i];
        if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0) {
            options->wants_help = true;
            continue;
        }
        if (strcmp(text, "--version") == 0) {
            options->wants_version = true;
            continue;
        }
        if (strncmp(text, "--", 2) != 0)
            return galloc_fail(error, GALLOC_USAGE, "\"%s\" is not an option; gallocsim --help lists them", text);
        const char *from = text + 2;
        if (strcmp(text, "--set") == 0) {
            from = i + 1 < argc ? argv[++i] : "";
            if (strchr(from, '=') == NULL)
                return galloc_fail(error, GALLOC_USAGE, "--set takes SETTING=VALUE");
        }
        const char *equals = strchr(from, '=');
        size_t len = equals ? (size_t)(equals - from) : strlen(from);
        if (len >= sizeof name)
            return galloc_fail(error, GALLOC_USAGE, "\"%s\" is not an option; gallocsim --help lists them", text);
        for (size_t k = 0; k < len; k++)
            name[k] = from[k] == '-' ? '_' : from[k];
        name[len] = '\0';
        if (equals == NULL && i + 1 >= argc)
            return galloc_fail(error, GALLOC_USAGE, "%s takes a value", text);
        int rc = set_option(options, name, equals ? equals + 1 : argv[++i], error);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* The port for scripts that wait for the file: it appears whole. */
static int write_port_file(const struct server *server, const char *path, struct galloc_error *error)
{
    char *temporary = xasprintf("%s.new", path);
    FILE *file = fopen(temporary, "we");
    bool is_well = file != NULL && fprintf(file, "%u\n", listener_port(&server->main)) > 0;
    if (is_well && server->control.fd >= 0)
        is_well = fprintf(file, "%u\n", listener_port(&server->control)) > 0;
    if (file != NULL)
        is_well &= fclose(file) == 0;
    is_well = is_well && rename(temporary, path) == 0;
    free(temporary);
    return is_well ? 0 : galloc_fail(error, GALLOC_LOCAL_IO, "cannot write %s: %m", path);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct server *server = arg;
    event_base_loopbreak(server->base);
}

static int start(struct server *server, const struct options *options, struct galloc_error *error)
{
    int rc = server_init(server, &options->settings, error);
    if (rc == 0)
        rc = server_listen(server, &server->main, options->listen, error);
    if (rc == 0 && options->control != NULL)
        rc = server_listen(server, &server->control, options->control, error);
    if (rc == 0) { /* an outage that is on from the start */
        struct settings wanted = options->settings;
        server->settings.outage = OUTAGE_OFF;
        rc = server_change(server, &wanted, error);
    }
    if (rc == 0 && options->port_file != NULL)
        rc = write_port_file(server, options->port_file, error);
    return rc;
}

static void print_summary(const struct tally *tally)
{
    printf("gallocsim: received %lld calls (%lld tests, %lld of other kinds), answered %lld: %lld good, %lld refused; "
           "cut %lld; most in flight "
           "%lld; %zu keys, %lld calls beyond the first of a key\n",
           (long long)tally->received, (long long)tally->tests, (long long)tally->other, (long long)tally->answered,
           (long long)tally->ok, (long long)tally->refused, (long long)tally->cut, (long long)tally->max_in_flight,
           tally->key_count, (long long)tally->calls_beyond_first);
}

static void run(struct server *server)
{
    struct event *term = evsignal_new(server->base, SIGTERM, on_signal, server),
                 *stop = evsignal_new(server->base, SIGINT, on_signal, server);
    if (term != NULL && stop != NULL) {
        event_add(term, NULL);
        event_add(stop, NULL);
        printf("gallocsim: listening on http://127.0.0.1:%u\n", listener_port(&server->main));
        if (server->control.fd >= 0)
            printf("gallocsim: control on http://127.0.0.1:%u\n", listener_port(&server->control));
        fflush(stdout);
        event_base_dispatch(server->base);
        print_summary(&server->tally);
    }
    if (term != NULL)
        event_free(term);
    if (stop != NULL)
        event_free(stop);
}

static int fail(const struct galloc_error *error)
{
    fprintf(stderr, "gallocsim: %s\n", error->message);
    int status = galloc_code_row(error->code)->exit_status;
    return status == 0 ? 1 : status;
}

int main(int argc, char **argv)
{
    static struct server server; /* 100 KiB and more: not for the stack */
    static struct options options = {.listen = "127.0.0.1:8800"};
    struct galloc_error error;
    settings_init(&options.settings);
    if (parse_options(argc, argv, &options, &error) != 0)
        return fail(&error);
    if (options.wants_help)
        return print_help();
    if (options.wants_version) {
        puts("gallocsim " PACKAGE_VERSION);
        return 0;
    }
    if (settings_check(&options.settings, &error) != 0)
        return fail(&error);
    signal(SIGPIPE, SIG_IGN);
    int rc = start(&server, &options, &error);
    if (rc == 0)
        run(&server);
    server_clear(&server);
    return rc == 0 ? 0 : fail(&error);
}
