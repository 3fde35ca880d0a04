/* The body of generateContent and countTokens, read in one pass and refused where the real API refuses it: unknown
 * fields by name, values out of range, a schema outside the supported subset. What is found are pieces of the body,
 * which has to stay. Pure. */
#ifndef GALLOC_SIM_REQUEST_H
#define GALLOC_SIM_REQUEST_H

#include "sim/continuation.h"

#define REQUEST_PARTS_MAX 64

struct request_fault {
    char field[160]; /* path in snake_case, as the API gives it; "" when none */
    char message[512];
};

struct sim_request {
    struct walk_string parts[REQUEST_PARTS_MAX]; /* texts, in order; borrowed from the body */
    bool is_system[REQUEST_PARTS_MAX];
    size_t part_count;
    size_t text_bytes;   /* of all texts, as they stand in the body */
    size_t said_bytes;   /* of all texts, decoded: what tokens are counted by */
    size_t schema_bytes; /* of the schema's source */
    struct json_span schema; /* its source, within the body; at NULL: none */
    const char *body;    /* borrowed */
    size_t body_bytes;
    struct walk_string continuation; /* its token, within the body; at NULL: none */
    struct continuation rest;        /* of which answer it asks for the rest; calls 0: of none */
    struct walk_string model; /* of a chat completion, which names it in its body; at NULL: not told */
    struct walk_string role;  /* of the message that is being read */
    bool has_contents, has_schema, has_json_schema, is_json, is_enum;
    bool has_thinking_budget, has_thinking_level, includes_thoughts;
    double max_output_tokens; /* 0: not given */
    struct json_span
        agent_enum; /* the enum of property agent_id (or agentId), or of the schema itself; at NULL: none */
    size_t agent_enum_count;
    bool has_properties, wants_answers, wants_agent_id, wants_agent_camel, wants_reason,
        wants_confidence; /* properties of the schema */
};

struct request_reader {
    struct walk walk;
    struct sim_request *request;
    struct request_fault *fault;
    struct walk_string path[JSON_DEPTH_MAX]; /* names of the members that are open; written out only for a fault */
    size_t path_count;
    char place[160];  /* reader_place() writes here */
    int64_t enum_max; /* more values in one enum: refused */
};

/* True when the body is fine; else ret_fault tells what a 400 says. */
bool request_read(const char *body, size_t len, bool is_count_tokens, int64_t enum_max, struct sim_request *ret_request,
                  struct request_fault *ret_fault) MUST_CHECK;

/* The same of POST …/chat/completions (openai_request.c). */
bool openai_request_read(const char *body, size_t len, int64_t enum_max, struct sim_request *ret_request,
                         struct request_fault *ret_fault) MUST_CHECK;

/* For the readers of parts of the body (request.c, openai_request.c, schema.c). Each returns false once a fault is noted. */
struct field_rule {
    const char *name; /* in camelCase */
    bool (*read)(struct request_reader *reader, const struct field_rule *rule);
    double low, high; /* of numbers */
    size_t offset;    /* of a double in struct sim_request to fill; 0: none */
};
bool reader_object(struct request_reader *reader, const struct field_rule *rules, size_t count);
bool reader_fail(struct request_reader *reader, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool reader_unknown(struct request_reader *reader, struct walk_string name);
static inline void reader_enter(struct request_reader *reader, const char *name,
                                size_t len) /* into a member; leave it when all was well */
{
    if (reader->path_count < JSON_DEPTH_MAX)
        reader->path[reader->path_count++] = (struct walk_string){.at = name, .len = len};
}
static inline void reader_leave(struct request_reader *reader)
{
    reader->path_count--;
}
/* "generation_config.response_schema": what the API calls the place. */
const char *reader_place(struct request_reader *reader);

struct request_reader reader_begin(const char *body, size_t len, int64_t enum_max, struct sim_request *request,
                                   struct request_fault *fault);
bool reader_end(struct request_reader *reader); /* false: a fault was noted, or is now, for what is no JSON */
bool read_one_of(struct request_reader *reader, const char *const *names, size_t count);
bool read_part_text(struct request_reader *reader, const struct field_rule *rule); /* a text of the prompt */
bool read_any(struct request_reader *reader, const struct field_rule *rule);
bool read_text(struct request_reader *reader, const struct field_rule *rule);
bool read_texts(struct request_reader *reader, const struct field_rule *rule);
bool read_bool(struct request_reader *reader, const struct field_rule *rule);
bool read_number(struct request_reader *reader,
                 const struct field_rule *rule); /* also digits in a string, as proto3 has int64 */

bool schema_read(struct request_reader *reader, const struct field_rule *rule);      /* responseSchema; schema.c */
bool schema_read_json(struct request_reader *reader, const struct field_rule *rule); /* responseJsonSchema */

#endif
