/* The hard rules of an allocation: who matches, who has room, and whether the model's answer stands. Pure; any thread. */
#ifndef GALLOC_CORE_ALLOC_H
#define GALLOC_CORE_ALLOC_H

#include "base/code.h"
#include "base/json_scan.h"

struct json_object;

/* Does an agent have a place for one more? */
enum agent_room {
    ROOM_FREE,
    ROOM_COVERED,    /* its free places are all decided upon, their settles on the way */
    ROOM_FULL,       /* by settled places; a capacity set below what is held is full */
    ROOM_AWAY,       /* unavailable without a date, or no longer in the pool */
    ROOM_AWAY_UNTIL  /* unavailable until a date */
};
enum agent_room agent_room(int64_t capacity, int64_t held, int64_t claimed, bool is_listed, bool is_available, int64_t until_at_ms, int64_t wall_ms);

/* How many calls may name an agent at the same time, so that few of them find him full. While fewer than one answer in ALLOC_FULLS_PART met a full agent, four for
 * each place that he has left: calls choose among many. Where more do, as many as he has places: then none of them can find him full, whatever it chooses. By
 * the answers of a run that were decisions, and those that met a full agent, ever. */
#define ALLOC_FULLS_PART 50
int64_t alloc_calls_a_place(int64_t decided_count, int64_t full_count);

/* Calls that may still name an agent beside the `named` that do; INT64_MAX: any number. `held` with what is decided and on its way. */
int64_t alloc_may_name(int64_t capacity, int64_t held, int64_t named, int64_t calls_a_place);

/* How many agents the next prompt names of those `count` that it may: `may_name` is summed over these, each at most `calls`, which are those that may go beside
 * each other until one comes back. So each has a choice, and the later ones have as much of it as the first; at least 2, where there are. */
size_t alloc_list_length(size_t count, int64_t may_name, int64_t calls);

/* --match FIELD=ATTR: does the agent's attribute equal (or, being a list, hold) the assignment's field? Strings compare byte for byte; a number matches the
 * same text. Names are those of columns (column_is()). A missing field or attribute does not match. `fields` is checked JSON object text. */
bool match_holds(struct json_span fields, const char *field, struct json_object *attributes, const char *attribute);
/* The same in two steps, for one assignment and many agents: the field's value added to `out` (false: it is missing), and whether an agent's attribute is that. */
bool match_field(struct json_span fields, const char *field, struct buf *out);
bool match_value_holds(const struct buf *value, struct json_object *attributes, const char *attribute);

/* The model's answer as data. */
struct alloc_answer {
    char agent_id[129];
    char *reason;      /* owned; valid UTF-8, at most LIMIT_REASON_BYTES; "" when it gave none */
    double confidence; /* 0 to 1; -1: not given */
};
/* Reads {"agent_id","reason","confidence"} out of the model's text (a code fence around it is allowed). 0, or -GALLOC_INVALID_INPUT with what is wrong in words that
 * can be said to the model. The caller frees ret_answer->reason. */
int alloc_answer_read(const char *text, size_t len, struct alloc_answer *ret_answer, struct galloc_error *error) MUST_CHECK;
/* The same of an object that is parsed; its other members are passed over. */
int alloc_answer_take(struct json_object *object, struct alloc_answer *ret_answer, struct galloc_error *error) MUST_CHECK;

#endif
