/* Builds whole answers, head and body, into a connection's buffer. One thread. */
#ifndef GALLOC_SIM_ANSWER_H
#define GALLOC_SIM_ANSWER_H

#include "sim/allocator.h"
#include "sim/verdict.h"

struct answer_maker {
    struct settings *settings;    /* borrowed */
    struct tally *tally;          /* borrowed: tokens are counted here */
    struct allocation allocation; /* kept memory */
    struct buf body, text;        /* kept memory */
    char date[40];                /* of second date_s */
    int64_t date_s;
    char last_served[128]; /* modelVersion is the name that was asked for */
    bool has_errors_in_array; /* of this call: so Gemini's OpenAI-compatible endpoint sends them */
};

void answer_maker_clear(struct answer_maker *maker);

/* Head for a body of this length. `extra`: more header lines, each with CRLF; may be "". */
void answer_head(struct answer_maker *maker, int status, const char *content_type, const char *extra, size_t body_len,
                 struct buf *out);

/* The answer to a generateContent call that was let in: a good one, or one with a CONTENT or TRANSPORT fault. */
void answer_generate(struct answer_maker *maker, const struct verdict *verdict, const struct sim_request *request,
                     const struct prompt_reader *prompt, struct text_span model, struct buf *out);

/* Every other answer under /v1: errors by kind, gateways' HTML, redirects. `fault` tells what an INVALID or NOT_FOUND
 * says. */
void answer_error(struct answer_maker *maker, const struct verdict *verdict, const struct request_fault *fault,
                  struct text_span model, struct buf *out);

/* A body of JSON that needs no more than its head. */
void answer_json(struct answer_maker *maker, int status, const struct buf *body, struct buf *out);

/* The same as chat completions (openai_answer.c). The second answers with its HTTP status, which is not always the kind's. */
void openai_answer(struct answer_maker *maker, const struct verdict *verdict, const struct sim_request *request,
                   const struct prompt_reader *prompt, struct text_span model, struct buf *out);
int openai_answer_error(struct answer_maker *maker, const struct verdict *verdict, const struct request_fault *fault,
                        struct text_span model, struct buf *out);

/* For those who put an answer on a wire: its text into maker->text; how much of that is said, why it ends (in Gemini's
 * words), and the tokens; what a refusal tells of its quota. */
struct usage {
    int64_t prompt, cached, candidates, thoughts;
};
void answer_write_text(struct answer_maker *maker, struct verdict *verdict, const struct sim_request *request,
                       const struct prompt_reader *prompt);
struct usage answer_usage(const struct answer_maker *maker, const struct sim_request *request,
                          const struct prompt_reader *prompt);
size_t answer_cut_text(const struct verdict *verdict, const struct sim_request *request, const struct buf *text,
                       struct usage *usage, const char **ret_finish);
void answer_count_usage(struct answer_maker *maker, const struct usage *usage); /* into the tally */
int64_t answer_told_limit(const struct quota_plan *plan);
double answer_told_delay_s(const struct answer_maker *maker, const struct verdict *verdict);

/* A request's tokens: a quarter of its bytes (the daemon's own estimate for English). */
double answer_tokens(const struct settings *settings, const struct sim_request *request);

#endif
