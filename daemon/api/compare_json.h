/* The comparison of two runs as JSON (schema/openapi.yaml: Comparison). Loop's thread. */
#ifndef GALLOC_API_COMPARE_JSON_H
#define GALLOC_API_COMPARE_JSON_H

#include "api/handler.h"

/* Finishes what the store's reader brought and writes it. 0, or -INVALID_INPUT where the runs cannot be compared: no key, or no agent, in common. */
int compare_json(struct json_out *out, struct engine *engine, struct store_read *read, struct galloc_error *error) MUST_CHECK;

#endif
