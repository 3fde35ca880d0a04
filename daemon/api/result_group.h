/* Columns that are the members of a JSON object a row. Not for others than result_table.c. */
#ifndef GALLOC_API_RESULT_GROUP_H
#define GALLOC_API_RESULT_GROUP_H

#include "api/result_table.h"

#define RESULT_COLUMNS_MAX 4096 /* of one origin; the API takes no input with more */

void result_group_clear(struct result_group *group);
void result_group_add(struct result_group *group, const char *name);
/* Adds the members that are new. `object` is checked. 0, or -GALLOC_TOO_LARGE. */
int result_group_take(struct result_group *group, struct json_span object, struct galloc_error *error) MUST_CHECK;
/* Gives each column a title that is not taken. */
void result_group_name(struct result_group *group, bool (*is_taken)(const char *title, void *arg), void *arg);
/* Adds a cell for each column, each with its comma before it. `object` NULL: all are empty. */
void result_group_csv(const struct result_group *group, const char *object, bool is_guarded, struct buf *out);

#endif
