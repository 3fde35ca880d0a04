/* What stands in a prompt: the blocks AGENTS, ASSIGNMENT and CANDIDATES, each a line with that word and then one JSON
 * object a line. The roster repeats in every call, so what was read of it is kept, found again by its bytes. One
 * thread. */
#ifndef GALLOC_SIM_PROMPT_H
#define GALLOC_SIM_PROMPT_H

#include "sim/request.h"

/* Places are compared by noun: "district" of an assignment with "home_district" of an agent. */
#define PROMPT_PLACES(X) \
    X(region) X(district) X(city) X(state) X(county) X(province) X(zone) X(territory) X(branch) X(area)
enum place {
#define X(noun) PLACE_##noun,
    PROMPT_PLACES(X)
#undef X
        PLACE_COUNT
};
extern const char *const place_names[PLACE_COUNT];

struct text_span {
    const char *at; /* borrowed; NULL: none */
    size_t len;
};

struct traits {
    struct text_span places[PLACE_COUNT];
    struct text_span speciality;
};

struct candidate {
    struct text_span id;         /* borrowed from the prompt reader until its next read */
    double capacity, held, free; /* negative: not told, or no limit */
    struct traits own;           /* as on the candidate's line */
    const struct traits *roster; /* as in AGENTS; NULL: not there */
};

struct roster;

/* One of the assignments that a prompt has asked about together, each below a line "ID …". */
struct prompt_item {
    struct text_span id, key, status;
    struct traits assignment;
};

struct prompt_reader {
    /* what the last prompt held */
    struct text_span key; /* at NULL: no ASSIGNMENT */
    struct traits assignment;
    struct text_span status;      /* of the assignment: what its field named …status… says */
    struct prompt_item *items;    /* owned; none: one assignment is asked about, or none */
    size_t item_count, item_cap;
    struct candidate *candidates; /* owned */
    size_t candidate_count, candidate_cap;
    bool is_roster_known; /* the system instruction was seen before, byte by byte */
    /* its memory */
    struct buf text;           /* decoded user texts */
    struct buf scratch;        /* decoded strings; never grows while one prompt is read, so spans into it stay */
    struct roster *rosters[8]; /* owned; the last ones used */
    size_t roster_next;
};

void prompt_reader_clear(struct prompt_reader *reader);

/* Reads the prompt of a request. Whatever is not there stays empty; nothing is an error. Without CANDIDATES the enum's
 * values are candidates. */
void prompt_read(struct prompt_reader *reader, const struct sim_request *request);

#endif
