/* Prompt templates: text with {{field}}, {{fields}}, {{key}}, {{assignment}}, {{roster}}, {{loads}}; a line "--- user"
 * parts the system text from the user text. No logic, substituted once: what was put in is never read again. Pure; any
 * thread. */
#ifndef GALLOC_CORE_TEMPLATE_H
#define GALLOC_CORE_TEMPLATE_H

#include "base/buf.h"
#include "base/code.h"
#include "base/json_scan.h"

#define TEMPLATE_FIELDS_MAX 64 /* columns that one template may name; {{fields}} gives them all */

struct template; /* a parsed one; immutable */

/* What can stand in {{…}}. */
enum template_name {
    TEMPLATE_FIELD,
    TEMPLATE_FIELDS,
    TEMPLATE_KEY,
    TEMPLATE_ASSIGNMENT,
    TEMPLATE_ROSTER,
    TEMPLATE_LOADS,
    TEMPLATE_NAME_COUNT
};

/* Parses. 0, or -GALLOC_INVALID_INPUT, the message beginning with "line N, column M: " where it is about a place
 * (unclosed {{, empty name, …); a template with nothing of the assignment is refused too. Without a line "--- user" all of it is user text. */
int template_parse(const char *text, size_t len, struct template **ret_template, struct galloc_error *error) MUST_CHECK;
void template_free(struct template *template); /* NULL is fine */
/* The line that the error of template_parse() or template_check_columns() is about; 0: about none. */
int template_error_line(const struct galloc_error *error);

/* A run that allocates needs {{roster}} or {{loads}}; one that asks a question (with a schema) has no agents to put there. 0, or -GALLOC_INVALID_INPUT. */
int template_check_agents(const struct template *template, bool is_question, struct galloc_error *error) MUST_CHECK;

/* The built-in template's text (static): instructions, {{roster}}; --- user; {{assignment}} i.e. key and fields,
 * {{loads}}. */
const char *template_builtin(void);

bool template_uses(const struct template *template, enum template_name name);
/* All that stands in {{…}}, each once, in order: NULL-ended, borrowed from the template. */
const char *const *template_names(const struct template *template);
/* The names of fields that it uses ({{fields}} and the reserved ones apart): NULL-ended, borrowed from the template. */
const char *const *template_fields(const struct template *template);
/* 0 when every used field is one of `columns` (NULL-ended); else -GALLOC_INVALID_INPUT naming it, its line, and the
 * nearest column. */
int template_check_columns(const struct template *template, char *const *columns,
                           struct galloc_error *error) MUST_CHECK;

/* What is put in. `fields` is the assignment's JSON object text (checked); is_sent tells which of its members may be
 * used (others are left out of
 * {{fields}}; naming one that is kept back is a fault). A field is looked up as columns are (column_is); its text is
 * put in as it is, a null as nothing, all else that is no string as its JSON. roster and loads are made once for many
 * renders; a text may be "" (no roster with match or max_candidates). */
struct template_input {
    const char *key;
    const char *fields;
    size_t fields_len;
    bool (*is_sent)(const char *column, void *arg); /* NULL: all are */
    void *arg;
    const char *roster, *loads; /* text blocks; see dispatch/prompt.h */
};
/* Adds the two texts, and tells where in `user` the last {{loads}} begins (SIZE_MAX: it has none; NULL is fine). 0, or -GALLOC_INVALID_INPUT: a field the
 * template names is missing in this assignment or kept back. */
int template_render(const struct template *template, const struct template_input *input, struct buf *system,
                    struct buf *user, size_t *ret_loads_at, struct galloc_error *error) MUST_CHECK;

/* Roster: "AGENTS" and one JSON object a line (agent_id and attributes). Loads: "CANDIDATES" and one JSON object a
 * line. The built-in template puts "ASSIGNMENT" and {"key":…,"fields":{…}} between them. These marker lines are what a
 * reader of prompts (gallocsim) goes by. */

/* The object of those fields that may be sent, each as it came, added to `out`: what an outside worker gets. `fields` is checked JSON object text. */
void template_fields_sent(struct json_span fields, bool (*is_sent)(const char *column, void *arg), void *arg, struct buf *out);

#endif
