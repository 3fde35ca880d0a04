/* The one table of settings. What libconfuse knows, what is checked, the defaults, --print-settings and the manual's
 * check come from its rows. */
#ifndef GALLOC_CONFIG_SETTINGS_H
#define GALLOC_CONFIG_SETTINGS_H

#include "config/config.h"

enum setting_section { SECTION_DAEMON, SECTION_ENDPOINT, SECTION_PRICE, SECTION_PROFILE, SECTION_COUNT };

/* The type says how the text of a value is read and what stands at the row's offset. */
enum setting_type {
    SETTING_TEXT,     /* char *, owned; low and high are its length in bytes */
    SETTING_PATH,     /* the same; a relative one is taken from the file's folder */
    SETTING_CHOICE,   /* char *, one of `choices` */
    SETTING_NUMBER,   /* int64_t from low to high */
    SETTING_DURATION, /* int64_t of milliseconds */
    SETTING_YES_NO,   /* bool */
    SETTING_MODE,     /* int64_t, octal */
    SETTING_MONEY,    /* int64_t of millionths */
    SETTING_RATIO,    /* double; low and high are millionths */
    SETTING_DATE,     /* int64_t, wall ms */
    SETTING_CURRENCY, /* char[4] */
    SETTING_COLUMNS,  /* char **, owned, NULL-ended: a list */
    SETTING_DRIVE,    /* enum profile_mode */
    SETTING_TYPE_COUNT
};

struct setting {
    enum setting_section section;
    const char *name;
    enum setting_type type;
    const char *missing; /* the default as it would be written; NULL: it has to be given, or depends (see help) */
    int64_t low, high;
    size_t at;           /* offset in the section's struct: config, endpoint_config, price_config, profile */
    const char *choices; /* "a|b" */
    const char *help;
};

extern const struct setting settings[];
extern const size_t setting_count;
extern const char *const section_names[SECTION_COUNT]; /* "" for the daemon's own */

const char *setting_provider(const struct setting *row); /* the one provider that it is for; NULL: for all */

/* Reads `text` as the row's type and puts it at its place in `target` (what was there is freed). `folder` is where
 * relative paths begin. 0, or -GALLOC_INVALID_VALUE with what would be right. A list gets one more element. */
int setting_set(const struct setting *row, void *target, const char *text, const char *folder,
                struct galloc_error *error) MUST_CHECK;
/* Puts the defaults of a section's rows into a target of zeroes. */
void settings_default(enum setting_section section, void *target);
/* Frees what the section's rows own in a target. */
void settings_clear(enum setting_section section, void *target);

/* ---- where things are (places.c) ---- */
/* What the environment says; NULL where it says nothing. */
struct places {
    bool is_service; /* root, the service's account, or started by systemd as a service */
    const char *home, *xdg_runtime_dir, *xdg_state_home, *xdg_config_home;
    const char *state_directory, *runtime_directory; /* of systemd */
};
void places_of_process(struct places *ret_places);
/* Owned paths, or NULL where there is none (a user without a home). */
char *places_config_file(const struct places *places,
                         int index); /* 0, 1, …: where a file is looked for, in turn; NULL at the end */
char *places_state_dir(const struct places *places);
char *places_socket(const struct places *places);

/* ---- the file (file.c) ---- */
/* What a file said that is judged later. */
struct file_report {
    int default_endpoint_line; /* 0: it does not name one */
    int prices_file_line;
};
/* Reads text in the configuration's language into `config`, whose defaults stand already. `only_prices`: no other
 * section is known. `path` is for messages and relative paths. 0, or -GALLOC_D_CONFIG with "path:line: …". One thread
 * at a time. */
int file_read(struct config *config, const char *path, const char *text, size_t len, bool only_prices,
              struct file_report *ret_report, struct galloc_error *error) MUST_CHECK;
/* A whole file of at most 1 MiB. 0, -GALLOC_NOT_FOUND, or -GALLOC_D_CONFIG. The caller frees *ret_text. */
int file_load(const char *path, char **ret_text, size_t *ret_len, struct galloc_error *error) MUST_CHECK;

/* ---- a configuration in memory (config.c) ---- */
struct config *config_new(void); /* built-in defaults, the endpoint "gemini", the five profiles; no paths yet */
void profile_clear(struct profile *profile);
/* All of config_load(), with the places given. */
int config_load_at(const struct places *places, const char *path, struct config **ret_config,
                   struct galloc_error *error) MUST_CHECK;

#endif
