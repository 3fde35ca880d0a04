/* Prompt templates: text with {{field}}, {{fields}}, {{key}}, {{roster}}, {{loads}}; a line "--- user" parts the system text from the user text. No logic,
 * substituted once: what was put in is never read again. Pure; any thread. */
#ifndef GALLOC_CORE_TEMPLATE_H
#define GALLOC_CORE_TEMPLATE_H

#include "base/buf.h"
#include "base/code.h"

struct template; /* a parsed one; immutable */

/* Parses. 0, or -GALLOC_INVALID_INPUT with line and column (unclosed {{, empty name, no {{loads}} or {{roster}} where the answer could not be given, …). */
int template_parse(const char *text, size_t len, struct template **ret_template, struct galloc_error *error) MUST_CHECK;
void template_free(struct template *template);

/* The built-in template's text (static): instructions, {{roster}}; --- user; {{assignment}} i.e. key and fields, {{loads}}. */
const char *template_builtin(void);

/* The names of fields that it uses ({{fields}} and the reserved ones apart): NULL-ended, borrowed from the template. */
const char *const *template_fields(const struct template *template);
/* 0 when every used field is one of `columns` (NULL-ended); else -GALLOC_INVALID_INPUT naming it, its line, and the nearest column. */
int template_check_columns(const struct template *template, char *const *columns, struct galloc_error *error) MUST_CHECK;

/* What is put in. `fields` is the assignment's JSON object text (checked); is_sent tells which of its members may be used (others are left out of
 * {{fields}}; naming one that is kept back is a fault). roster and loads are made once for many renders. */
struct template_input {
    const char *key;
    const char *fields;
    size_t fields_len;
    bool (*is_sent)(const char *column, void *arg);
    void *arg;
    const char *roster, *loads; /* text blocks; see dispatch/prompt.h */
};
/* Adds the two texts. 0, or -GALLOC_INVALID_INPUT: a field the template names is missing in this assignment or kept back. */
int template_render(const struct template *template, const struct template_input *input, struct buf *system, struct buf *user, struct galloc_error *error) MUST_CHECK;

/* Roster: "AGENTS" and one JSON object a line (agent_id and attributes). Loads: "CANDIDATES" and one JSON object a line. The built-in template puts
 * "ASSIGNMENT" and {"key":…,"fields":{…}} between them. These marker lines are what a reader of prompts (gallocsim) goes by. */

#endif
