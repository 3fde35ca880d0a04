/* The shape that the answers of a run without a pool have to have: the part of JSON Schema that providers take, and that can be checked here without doubt.
 * A schema is a tree (no references), so checking an answer costs at most schema nodes times answer values. Pure; any thread. */
#ifndef GALLOC_CORE_SCHEMA_H
#define GALLOC_CORE_SCHEMA_H

#include "base/buf.h"
#include "base/code.h"
#include "base/json_scan.h"

struct schema; /* a parsed one; immutable */

/* Parses. 0, or -GALLOC_INVALID_INPUT: the message begins with "at POINTER: " (RFC 6901) where it is about a place below the root. Every keyword that is not
 * known is refused by name. The root is an object with at least one property. Source: JSON Schema 2020-12 (core, validation) and OpenAPI 3.0's `nullable`. */
int schema_parse(const char *text, size_t len, struct schema **ret_schema, struct galloc_error *error) MUST_CHECK;
void schema_free(struct schema *schema); /* NULL is fine */

/* The names of the root's properties, in their order; ret_count of them. Borrowed. */
const char *const *schema_properties(const struct schema *schema, size_t *ret_count);

/* Adds the schema as providers take it: `nullable` is written as a type, and the lengths of texts, which they do not know in this dialect, are left out: the check
 * here holds them. */
void schema_write(const struct schema *schema, struct buf *out);

/* Does the checked JSON value fit? 0, or -GALLOC_INVALID_INPUT with words that can be said to a model: "answer.amount: 12 is less than the minimum 100". */
int schema_check(const struct schema *schema, struct json_span answer, struct galloc_error *error) MUST_CHECK;

/* Reads an answer out of a model's text (a code fence around it is allowed), checks it and adds it without white space to `out`. 0, or -GALLOC_INVALID_INPUT as
 * above; also for one of over LIMIT_KEPT_ANSWER_BYTES. */
int schema_answer_read(const struct schema *schema, const char *text, size_t len, struct buf *out, struct galloc_error *error) MUST_CHECK;

#endif
