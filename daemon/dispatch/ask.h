/* What is asked of an endpoint for one assignment, as its provider takes it: a prompt made of the run's template, or the fields and candidates themselves. Not for
 * other rooms. */
#ifndef GALLOC_DISPATCH_ASK_H
#define GALLOC_DISPATCH_ASK_H

#include "core/template.h"
#include "dispatch/prompt.h"
#include "provider/provider.h"

/* Whom and what it is about. Borrowed. */
struct ask_about {
    const struct provider_ops *provider;
    const struct plan *plan;
    char *const *keep_back;          /* the configuration's */
    bool sends_all;                  /* no column is kept back */
    const struct template *template; /* of those who take a prompt */
    struct pool_entry *pool;
    const char *key, *fields;
    size_t fields_len;
    const struct candidates *candidates;
    const char *problem;             /* what was wrong with the answer before; NULL: nothing */
};

struct asked {
    struct buf system, user;       /* a prompt */
    struct buf loads_json;         /* the loads that stand in `user` at loads_at, as in a JSON string; "": they do not */
    size_t loads_at, loads_len;
    struct buf fields, candidates; /* data: the columns that are let out, an object; the candidates, objects parted by commas */
};
#define ASKED_EMPTY ((struct asked){.system = BUF_EMPTY, .user = BUF_EMPTY, .loads_json = BUF_EMPTY, .fields = BUF_EMPTY, .candidates = BUF_EMPTY})

/* Makes it: 0, or -GALLOC_INVALID_INPUT (a template that needs what this assignment lacks). Clear it in either case. */
int ask_make(const struct ask_about *about, struct asked *ret_asked, struct galloc_error *error) MUST_CHECK;
/* The same for several assignments in one prompt: `about` has all but the assignment, and whom any of them may be given to. `mark` and the place in `items` make the
 * ids under which they are told (core/pack.h). -GALLOC_INVALID_INPUT too where the template's system text is not the same for all of them. */
struct ask_item {
    size_t number;     /* of its id, from 0 */
    const char *key, *fields;
    size_t fields_len;
    const struct candidates *candidates; /* whom it may be given to */
    const char *problem; /* what was wrong with the answer before; NULL: nothing */
};
int ask_make_pack(const struct ask_about *about, const struct ask_item *items, size_t count, const char *mark, struct asked *ret_asked, struct galloc_error *error) MUST_CHECK;
int asked_check_size(const struct asked *asked, struct galloc_error *error) MUST_CHECK; /* 0, or -GALLOC_INVALID_INPUT: more than may be asked */
void asked_clear(struct asked *asked);
void asked_user_json(const struct asked *asked, struct buf *out); /* adds the user text as a JSON string; its loads are escaped already */
void asked_take_data(const struct asked *asked, struct provider_ask *ask); /* points `ask` at the data */

#endif
