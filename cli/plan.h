/* What enqueue and check were asked for, as the API's members: agents or pool, endpoint, profile, template, options. One thread. */
#ifndef GALLOC_CLI_PLAN_H
#define GALLOC_CLI_PLAN_H

#include "base/json_out.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "cli/order.h"

struct plan {
    const struct args *args;    /* borrowed */
    struct buf agents;          /* JSON array; empty with --pool */
    char *template_text;        /* owned; NULL: the daemon's */
    char *schema_text;          /* owned; NULL: the run allocates to agents */
    struct order *order;        /* NULL: the input's order */
    struct input_options input; /* how the source is read */
    /* Of a side of --ab, borrowed; NULL: as the options say. */
    const char *name, *profile;
    const char *copied_pool; /* whose agents, with what they hold, `agents` is a copy of */
};

/* Reads the files that the options name and checks what needs no daemon. Frees nothing on failure: plan_clear() does. */
int plan_prepare(struct plan *plan, const struct args *args, struct galloc_error *error) MUST_CHECK;
void plan_clear(struct plan *plan);

/* Checks the column names of --send, --keep-back, --match and --order against the input's; unknown ones are refused with the nearest name
 * (in JSON they may come later, so there only --order's is not). */
int plan_check_columns(const struct plan *plan, const struct input_info *info, struct galloc_error *error) MUST_CHECK;

/* What the daemon says of the plan, with the line of --schema where it is about a place in it. Frees nothing; the caller frees the answer. NULL: leave it as it is. */
char *plan_place(const struct plan *plan, const char *message);

/* Writes the members of RunCreate into an object that is open. `sha256` may be NULL. */
void plan_write(const struct plan *plan, struct json_out *out, const struct input_info *info, const char *source_name, const char *sha256);

#endif
