/* What the providers share. Nothing here is for other rooms. */
#ifndef GALLOC_PROVIDER_PROVIDER_INTERNAL_H
#define GALLOC_PROVIDER_PROVIDER_INTERNAL_H

#include "provider/provider.h"
#include "provider/span.h"

/* message.c: the words that are kept. Each is valid UTF-8, at most LIMIT_MESSAGE_BYTES, cut between characters, and without what looks like a key. */
char *message_clean(const char *text, size_t len);  /* owned */
/* Of a body that is not JSON: the status, and what an HTML page or a text says, shortly. Owned. */
char *message_of_page(int status, const char *body, size_t len);
void verdict_say(struct provider_verdict *verdict, const char *fmt, ...) PRINTF_LIKE(2, 3); /* replaces the message */

/* provider.c: a verdict in which nothing is told yet. */
void verdict_init(struct provider_verdict *verdict, enum outcome_class class);
/* The verdict of an end without a usable answer (1 of wire order). False when the answer is to be read. */
bool verdict_of_transport(const struct provider_response *response, struct provider_verdict *verdict);

/* status.c */
void verdict_judge_status(struct provider_verdict *verdict, int status); /* class, capacity, span of a 429 */
void verdict_of_page(struct provider_verdict *verdict, const struct provider_response *response); /* by the status alone, with what words there are */

/* wire.c */
bool wire_has_only(const char *text, const char *marks); /* letters, digits and these */
int wire_check_base(const char *base, const char *example, struct galloc_error *error) MUST_CHECK; /* scheme, host and maybe a path; else -GALLOC_INVALID_VALUE */
void wire_add_base(struct buf *url, const char *base); /* without the slashes at its end */
int64_t wire_token_count(struct json_span count); /* of a usage; -1: not told, or what cannot be */
#define WIRE_RETRY_LONGEST_MS INT64_C(172800000) /* two days; what is longer is a mistake */
/* "51.386s", "900ms", "18h28m3.2s" at the beginning of `text`, in ms rounded up, at most WIRE_RETRY_LONGEST_MS; -1 when there is none. */
int64_t wire_spelled_ms(const char *text);
void wire_take_model(struct json_span value, struct provider_verdict *verdict); /* which version answered, if that is a name */

static inline int64_t tier_timeout_ms(enum price_tier tier)
{
    return tier == TIER_FLEX ? PROVIDER_FLEX_TIMEOUT_MS : 0;
}

/* gemini_answer.c, openai_answer.c, http_answer.c */
void gemini_classify(const struct provider_response *response, struct provider_verdict *ret_verdict);
void openai_classify(const struct provider_response *response, struct provider_verdict *ret_verdict);
void http_classify(const struct provider_response *response, struct provider_verdict *ret_verdict);

#endif
