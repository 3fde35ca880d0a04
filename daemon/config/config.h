/* gallocd's configuration: one table of settings (settings.c) that the file, --check-config, --print-settings and the
 * manual's check read. */
#ifndef GALLOC_CONFIG_CONFIG_H
#define GALLOC_CONFIG_CONFIG_H

#include "base/code.h"
#include "core/plan.h"
#include "core/price.h"

/* One endpoint as the file has it. What `endpoint set` changed lies over it in the registry, not here. Strings are
 * owned by the config. */
struct endpoint_config {
    char *name, *provider, *base_url, *api_version;
    char *model;           /* "": none, as of a provider without models */
    char *test_path;       /* "": none */
    bool is_vertex;        /* Vertex AI's paths and hosts */
    char *project, *location; /* of Vertex AI; "": none */
    char *token_limit, *answer_format; /* of openai */
    int base_url_line, test_path_line, project_line, location_line; /* where the file has them; 0: it does not */
    char *api_key_file;    /* "": key NAME of the service's credentials ($CREDENTIALS_DIRECTORY), else
                              SYSCONFDIR/galloc/keys/NAME */
    char *token_file;      /* "": none; an access token in the key's place, read again when the file changes */
    char *proxy, *ca_file; /* "": none */
    char *hedge;           /* "off" or "tail": a run's last stragglers are asked a second time */
    bool allow_plain_http;
    int64_t max_output_tokens, request_timeout_ms, max_in_flight;
    int64_t rpm, tpm, rpd; /* 0: learn it */
    int64_t max_cost_per_day_micros; /* 0: none */
    double time_scale;
};

/* A list price per million tokens; the row of a model with the latest `from_at_ms` that has begun holds. */
struct price_config {
    char *model;        /* a name, or a prefix that ends in '*' */
    char *tier;         /* "standard", "flex" */
    int64_t from_at_ms; /* wall */
    struct price price;
    bool is_shipped; /* from prices.conf; the file's own win */
};

struct config {
    char *path; /* of the file, or NULL: built-in defaults */
    char *socket_path, *state_dir, *socket_group, *default_endpoint,
        *prices_file; /* owned; paths are absolute; socket_group "": leave the group as it is */
    char *worker_socket_path, *worker_socket_group; /* owned; "": none; as socket_group */
    int64_t socket_mode, drain_timeout_ms;
    int64_t retention_ms, audit_retention_ms; /* 0: for ever */
    double canary_failures;     /* 0 to 1: of a run's first assignments, the share that may fail */
    int64_t canary_cost_micros; /* what one of them may cost; 0: any amount */
    int64_t connections_per_uid, requests_per_uid, workers_per_uid;
    char **keep_back; /* columns never sent; NULL-ended */
    struct endpoint_config *endpoints;
    size_t endpoint_count;
    struct price_config *prices;
    size_t price_count;
    struct profile *profiles; /* the five, as the file changed them, and the file's own */
    size_t profile_count;
};

/* Reads the file (NULL: the first that exists of the places in surfaces.md 1, else defaults) and the shipped prices. 0,
 * or -GALLOC_D_CONFIG with "file:line: what, and what would be right". Relative paths in the file are taken from the
 * file's folder. The caller frees *ret_config with config_free(). One thread at a time (libconfuse's scanner is
 * static). */
int config_load(const char *path, struct config **ret_config, struct galloc_error *error) MUST_CHECK;
void config_free(struct config *config); /* NULL is fine */
const struct endpoint_config *config_endpoint(const struct config *config,
                                              const char *name); /* NULL when there is none */
const struct profile *config_profile(const struct config *config, const char *name);

/* The price that holds for a model and a tier at a moment, or NULL: unknown, never zero. A tier without a row of its own has no price: nothing is guessed. */
const struct price_config *config_price(const struct config *config, const char *model, enum price_tier tier, int64_t wall_ms);

/* Prints the settings table, a line each: [section.]name, type, default, range, help. For --print-settings. */
void config_print_settings(struct buf *out);

/* ---- credentials ---- */
/* A key in memory: never printed, kept out of core dumps (MADV_DONTDUMP), wiped when freed. There is no printf path to
 * it. */
struct secret;
/* Reads an endpoint's key. 0; -GALLOC_NOT_FOUND with the place looked at and the next step in words;
 * -GALLOC_NOT_PERMITTED when the file is another's, readable by others, a link or not a plain file;
 * -GALLOC_INVALID_VALUE when what is in it is no key. No message ever holds a part of it. Loop's thread, at start,
 * reload and `endpoint resume`. The caller frees with secret_free(). */
int secret_read(const struct endpoint_config *endpoint, struct secret **ret_secret,
                struct galloc_error *error) MUST_CHECK;
/* How an endpoint's token_file lies there, to be compared with how it lay when it was read; all zero without a token_file, or when it is missing. Any thread. */
struct secret_stamp {
    int64_t changed_ns, bytes;
    uint64_t inode;
};
void secret_stamp(const struct endpoint_config *endpoint, struct secret_stamp *ret_stamp);
bool secret_stamp_is(const struct secret_stamp *a, const struct secret_stamp *b);
void secret_free(struct secret *secret);
const char *secret_text(const struct secret *secret); /* borrowed; for the one header it is made for */
/* The first 16 hex digits of the key's SHA-256: tells one key from another without telling it. */
void secret_fingerprint(const struct secret *secret, char ret_hex[17]);

#endif
