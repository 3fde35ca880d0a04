/* A section of the file while it is read, and what has to hold of it as a whole. Not for other rooms. */
#ifndef GALLOC_CONFIG_SECTION_H
#define GALLOC_CONFIG_SECTION_H

#include "config/settings.h"

struct cfg_t;

/* A section that is being read. */
struct draft {
    struct cfg_t *section; /* borrowed; NULL: none is open */
    bool is_shipped;       /* it stands in the list that ships */
    enum setting_section kind;
    char *name;     /* owned: the title */
    uint64_t given; /* a bit a row of the table */
    int lines[64];  /* where each was given */
    int problem_line; /* 0: it is the section's as a whole */
    char *problem;  /* owned; words that had to be made */
    union {
        struct endpoint_config endpoint;
        struct price_config price;
        struct profile profile;
    } in;
    const struct profile *known; /* the profile that is changed; NULL: a new one */
};

/* The section has ended: it joins the configuration. NULL, or what is wrong with it (static, or the draft's); then draft->problem_line is the line, where one
 * setting is at fault. */
const char *draft_end(struct draft *draft, struct config *config);
void draft_clear(struct draft *draft);

#endif
