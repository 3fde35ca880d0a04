/* An answer in the shape of a request's schema: what is asked is not understood, but the form is kept. Pure. */
#ifndef GALLOC_SIM_FILL_H
#define GALLOC_SIM_FILL_H

#include "sim/chance.h"

#include "base/json_out.h"

/* Adds a value that fits the schema, which schema.c has read: enums, bounds, counts, date and date-time are kept. The same chance gives the same value. */
void fill_value(struct json_span schema, struct chance *chance, struct json_out *out);

#endif
