/* What a sweep shares with the selector's text. */
#ifndef GALLOC_STORE_SQLITE_SWEEP_H
#define GALLOC_STORE_SQLITE_SWEEP_H

#include "base/json_out.h"
#include "store/op_run.h"

/* The selector as a JSON object; lists are cut after `most` items, with "…" in the place of the rest. */
void selector_out(struct json_out *out, const struct store_selector *selector, size_t most);

/* Back; what it points to is the caller's, as in every selector. 0 or -GALLOC_NOT_JSON. */
int selector_parse(const char *text, size_t len, struct store_selector *ret_selector, struct galloc_error *error) MUST_CHECK;

#endif
