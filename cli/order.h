/* --order: rows are kept in an unlinked temporary file and given back sorted by a column; only the sort values stay in memory.
 * Numbers sort as numbers when every value is one; rows without a value come last; rows alike keep the input's order. One thread. */
#ifndef GALLOC_CLI_ORDER_H
#define GALLOC_CLI_ORDER_H

#include "cli/input.h"

struct order;

/* `text` is "COL" or "COL:desc" (also ":asc"); *ret_column is the column's name, owned by the order. */
int order_new(const char *text, struct order **ret_order, const char **ret_column, struct galloc_error *error) MUST_CHECK;
void order_free(struct order *order); /* NULL is fine */
int order_add(struct order *order, const struct input_row *row, struct galloc_error *error) MUST_CHECK;
/* Gives every row to sink->row in order until it returns non-zero; gives that, or an I/O error. */
int order_play(struct order *order, const struct input_sink *sink, struct galloc_error *error) MUST_CHECK;

#endif
