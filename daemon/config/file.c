/* The file, through libconfuse. Every setting is a string to libconfuse; a callback reads it by its row of the table
 * while the line is known. A section is gathered in a draft and joins the configuration where it ends. libconfuse's
 * callbacks carry no argument of ours, hence the one static pointer. */
#include "config/section.h"

#include "base/text.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (1 << 20)
/* libconfuse takes a file that ends within a section or a comment for whole. So a last setting is put behind the text:
 * whoever is still in a section does not know it, and one that is swallowed by a comment never comes. */
#define LAST_SETTING "end-of-file"

struct reader {
    struct config *config;
    const char *path;
    char *folder; /* owned */
    bool only_prices;
    uint64_t given;
    struct draft draft;
    struct file_report report;
    bool is_at_end; /* the last setting has come */
    bool has_failed;
    struct galloc_error error;
};

static struct reader *reading; /* while file_read() runs */

/* Keeps the first error with its line. Always -1, as libconfuse wants it. */
static int fail_line(int line, const char *message)
{
    if (!reading->has_failed)
        galloc_fail(&reading->error, GALLOC_D_CONFIG, "%s:%d: %s", reading->path, line, message);
    reading->has_failed = true;
    return -1;
}

static int fail_at(const cfg_t *cfg, const char *message)
{
    return fail_line(cfg->line, message);
}

static enum setting_section section_of(const char *name)
{
    for (int i = SECTION_ENDPOINT; i < SECTION_COUNT; i++)
        if (strcmp(section_names[i], name) == 0)
            return (enum setting_section)i;
    return SECTION_DAEMON;
}

/* ---- libconfuse's own complaints, in our words ---- */

static int unknown_name(const cfg_t *cfg, const char *name)
{
    if (strcmp(name, LAST_SETTING) == 0)
        return fail_at(cfg, "the file ends, and a section is not closed by }");
    const char *names[64] = {NULL};
    size_t count = 0;
    enum setting_section section = section_of(cfg->name);
    for (size_t i = 0; i < setting_count && !(reading->only_prices && section == SECTION_DAEMON); i++)
        if (settings[i].section == section)
            names[count++] = settings[i].name;
    for (int i = SECTION_ENDPOINT; i < SECTION_COUNT && section == SECTION_DAEMON; i++)
        if (!reading->only_prices || i == SECTION_PRICE)
            names[count++] = section_names[i];
    struct buf words = BUF_EMPTY;
    const char *nearest = text_nearest(name, names, count);
    for (size_t i = 0; nearest == NULL && i < count; i++)
        if (strncmp(names[i], name, strlen(name)) == 0) /* "api_key" for "api_key_file" */
            nearest = names[i];
    buf_add_fmt(&words, "unknown setting \"%s\"%s%s", name, section == SECTION_DAEMON ? "" : " in ",
                section == SECTION_DAEMON ? "" : cfg->name);
    if (nearest != NULL)
        buf_add_fmt(&words, "; did you mean \"%s\"?", nearest);
    for (size_t i = 0; nearest == NULL && i < count; i++)
        buf_add_fmt(&words, "%s%s", i ? ", " : "; known are ", names[i]);
    fail_at(cfg, buf_text(&words));
    buf_clear(&words);
    return -1;
}

/* The text between the first two single quotes of a message, cut off there. */
static char *quoted(char *message)
{
    char *from = strchr(message, '\'');
    char *to = from ? strrchr(from + 1, '\'') : NULL;
    if (to == NULL)
        return message;
    *to = '\0';
    return from + 1;
}

static void PRINTF_LIKE(2, 0) confuse_error(cfg_t *cfg, const char *fmt, va_list ap)
{
    char *message = NULL;
    if (vasprintf(&message, fmt, ap) < 0)
        return;
    if (strncmp(message, "no such option", strlen("no such option")) == 0) {
        unknown_name(cfg, quoted(message));
    } else if (strncmp(message, "found duplicate title", strlen("found duplicate title")) == 0) {
        char *words = xasprintf("the section \"%s\" stands twice; put all its settings into one", quoted(message));
        fail_at(cfg, words);
        free(words);
    } else if (strncmp(message, "premature end", strlen("premature end")) == 0) {
        fail_at(cfg, "the file ends too early: a quotation mark above is not closed");
    } else {
        fail_at(cfg, message);
    }
    free(message);
}

/* ---- drafts: sections that are being read ---- */

static void draft_open(cfg_t *cfg, enum setting_section section)
{
    struct draft *draft = &reading->draft;
    const char *title = cfg_title(cfg);
    draft->section = cfg;
    draft->is_shipped = reading->only_prices;
    draft->kind = section;
    draft->name = xstrdup(title ? title : "");
    settings_default(section, &draft->in);
    if (section != SECTION_PROFILE)
        return;
    draft->known = config_profile(reading->config, draft->name);
    if (draft->known != NULL) {
        draft->in.profile = *draft->known;
        draft->in.profile.name = draft->in.profile.text = NULL;
    }
}

/* libconfuse calls this where a section has ended; `cfg` is the one around it. */
static int section_end(cfg_t *cfg, cfg_opt_t *opt)
{
    enum setting_section section = section_of(opt->name);
    struct draft *draft = &reading->draft;
    if (draft->section == NULL) /* it was empty: it is the last of its kind */
        draft_open(cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1), section);
    const char *problem = draft_end(draft, reading->config);
    if (problem != NULL) {
        char *words = xasprintf("%s \"%s\": %s", section_names[section], draft->name, problem);
        fail_line(draft->problem_line > 0 ? draft->problem_line : cfg->line, words);
        free(words);
    }
    draft_clear(draft);
    return problem != NULL ? -1 : 0;
}

/* ---- values ---- */

/* Where a setting stands that is judged later: the line's place in what is read. */
static const struct {
    enum setting_section section;
    size_t setting, line; /* of the report, or of an endpoint */
} kept_lines[] = {
    {SECTION_DAEMON, offsetof(struct config, default_endpoint), offsetof(struct file_report, default_endpoint_line)},
    {SECTION_DAEMON, offsetof(struct config, prices_file), offsetof(struct file_report, prices_file_line)},
    {SECTION_ENDPOINT, offsetof(struct endpoint_config, base_url), offsetof(struct endpoint_config, base_url_line)},
    {SECTION_ENDPOINT, offsetof(struct endpoint_config, test_path), offsetof(struct endpoint_config, test_path_line)},
    {SECTION_ENDPOINT, offsetof(struct endpoint_config, project), offsetof(struct endpoint_config, project_line)},
    {SECTION_ENDPOINT, offsetof(struct endpoint_config, location), offsetof(struct endpoint_config, location_line)},
};

static void note_line(enum setting_section section, size_t index, int line)
{
    void *place = section == SECTION_DAEMON ? (void *)&reading->report : (void *)&reading->draft.in.endpoint;
    if (section != SECTION_DAEMON)
        reading->draft.lines[index] = line;
    for (size_t i = 0; i < ARRAY_COUNT(kept_lines); i++)
        if (kept_lines[i].section == section && kept_lines[i].setting == settings[index].at)
            *(int *)((char *)place + kept_lines[i].line) = line;
}

static int take_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    enum setting_section section = section_of(cfg->name);
    size_t index = 0;
    while (settings[index].section != section || strcmp(settings[index].name, opt->name) != 0)
        index++;
    const struct setting *row = &settings[index];
    if (section != SECTION_DAEMON && reading->draft.section != cfg)
        draft_open(cfg, section);
    uint64_t *given = section == SECTION_DAEMON ? &reading->given : &reading->draft.given;
    void *target = section == SECTION_DAEMON ? (void *)reading->config : (void *)&reading->draft.in;
    struct galloc_error error = {0};
    int rc = 0;
    if (*given >> index & 1 && row->type != SETTING_COLUMNS)
        rc = galloc_fail(&error, GALLOC_INVALID_VALUE, "is given twice");
    if (rc == 0)
        rc = setting_set(row, target, value, reading->folder, &error);
    if (rc < 0) {
        char *words = xasprintf("%s: %s", row->name, error.message);
        fail_at(cfg, words);
        free(words);
        return -1;
    }
    *given |= UINT64_C(1) << index;
    note_line(section, index, cfg->line);
    *(const char **)result = value;
    return 0;
}

static int take_end(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    (void)cfg;
    (void)opt;
    reading->is_at_end = true;
    *(const char **)result = value;
    return 0;
}

/* The rows of a section as libconfuse's options, ended. `more` places stay free before the end. The caller frees. */
static cfg_opt_t *options_of(enum setting_section section, bool is_empty, size_t more, size_t *ret_count)
{
    static const cfg_opt_t end = CFG_END();
    cfg_opt_t *options = xcalloc(setting_count + more + 1, sizeof *options);
    size_t count = 0;
    for (size_t i = 0; i < setting_count && !is_empty; i++) {
        if (settings[i].section != section)
            continue;
        cfg_opt_t one = CFG_STR_CB(settings[i].name, "", CFGF_NONE, take_value);
        cfg_opt_t list = CFG_STR_LIST_CB(settings[i].name, NULL, CFGF_NONE, take_value);
        options[count++] = settings[i].type == SETTING_COLUMNS ? list : one;
    }
    options[count + more] = end;
    *ret_count = count;
    return options;
}

/* Gives the text with the last setting behind it to libconfuse. */
static int parse_text(cfg_t *cfg, const char *text, size_t len)
{
    struct buf whole = BUF_EMPTY;
    buf_add(&whole, text, len);
    buf_add_fmt(&whole, "%s%s = yes\n", text[len - 1] == '\n' ? "" : "\n", LAST_SETTING);
    FILE *file = fmemopen(whole.data, whole.len, "r");
    int rc = -1;
    if (file != NULL) {
        cfg->filename = xstrdup(reading->path);
        cfg_set_error_function(cfg, confuse_error);
        rc = cfg_parse_fp(cfg, file) == CFG_SUCCESS && !reading->has_failed ? 0 : -1;
        fclose(file);
        if (rc == 0 && !reading->is_at_end)
            rc = fail_at(cfg, "the file ends within a comment");
    }
    buf_clear(&whole);
    return rc;
}

static int parse(const char *text, size_t len)
{
    static const cfg_opt_t end = CFG_END();
    static const cfg_opt_t last = CFG_STR_CB(LAST_SETTING, "", CFGF_NONE, take_end);
    cfg_opt_t *inner[SECTION_COUNT] = {0};
    size_t count, ignored;
    cfg_opt_t *options = options_of(SECTION_DAEMON, reading->only_prices, SECTION_COUNT, &count);
    options[count++] = last;
    for (int i = SECTION_ENDPOINT; i < SECTION_COUNT; i++) {
        inner[i] = options_of((enum setting_section)i, false, 0, &ignored);
        cfg_opt_t section = CFG_SEC(section_names[i], inner[i],
                                    CFGF_MULTI | CFGF_TITLE | (i == SECTION_PRICE ? 0 : CFGF_NO_TITLE_DUPES));
        if (!reading->only_prices || i == SECTION_PRICE)
            options[count++] = section;
        options[count] = end;
    }
    cfg_t *cfg = cfg_init(options, CFGF_NONE);
    int rc = -1;
    if (cfg != NULL) {
        for (int i = SECTION_ENDPOINT; i < SECTION_COUNT; i++)
            if (!reading->only_prices || i == SECTION_PRICE)
                cfg_set_validate_func(cfg, section_names[i], section_end);
        rc = parse_text(cfg, text, len);
    }
    if (rc < 0 && !reading->has_failed)
        galloc_fail(&reading->error, GALLOC_D_CONFIG, "%s: it cannot be read as a configuration", reading->path);
    if (cfg != NULL)
        cfg_free(cfg);
    free(options);
    for (int i = SECTION_ENDPOINT; i < SECTION_COUNT; i++)
        free(inner[i]);
    return rc;
}

/* The file's folder, absolute. Owned. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == path ? xstrdup("") : slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
    if (folder[0] == '/' || slash == path)
        return folder;
    char *here = getcwd(NULL, 0);
    char *absolute =
        strcmp(folder, ".") == 0 ? xstrdup(here ? here : "") : xasprintf("%s/%s", here ? here : "", folder);
    free(here);
    free(folder);
    return absolute;
}

int file_read(struct config *config, const char *path, const char *text, size_t len, bool only_prices,
              struct file_report *ret_report, struct galloc_error *error)
{
    struct reader reader = {.config = config, .path = path, .folder = folder_of(path), .only_prices = only_prices};
    const char *nul = memchr(text, '\0', len);
    int rc = 0;
    if (nul != NULL || !text_is_utf8(text, len)) {
        rc = galloc_fail(&reader.error, GALLOC_D_CONFIG, "%s: it is not text in UTF-8", path);
    } else if (len > 0) {
        reading = &reader;
        rc = parse(text, len);
        reading = NULL;
    }
    if (reader.draft.section != NULL) /* the file ended within a section */
        draft_clear(&reader.draft);
    free(reader.folder);
    if (rc < 0) {
        if (error != NULL)
            *error = reader.error;
        return -GALLOC_D_CONFIG;
    }
    *ret_report = reader.report;
    return 0;
}

int file_load(const char *path, char **ret_text, size_t *ret_len, struct galloc_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return galloc_fail(error, errno == ENOENT || errno == ENOTDIR ? GALLOC_NOT_FOUND : GALLOC_D_CONFIG, "%s: %s",
                           path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX) {
        close(fd);
        return galloc_fail(error, GALLOC_D_CONFIG, "%s: it is not a plain file of at most 1 MiB", path);
    }
    char *text = xmalloc((size_t)st.st_size + 1);
    size_t len = 0;
    ssize_t got = 1;
    while (got > 0 && len < (size_t)st.st_size) {
        got = read(fd, text + len, (size_t)st.st_size - len);
        len += got > 0 ? (size_t)got : 0;
    }
    int problem = errno;
    close(fd);
    if (got < 0) {
        free(text);
        return galloc_fail(error, GALLOC_D_CONFIG, "%s: %s", path, strerror(problem));
    }
    *ret_text = text;
    *ret_len = len;
    return 0;
}
