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

/* gemini_answer.c, http_answer.c */
void gemini_classify(const struct provider_response *response, struct provider_verdict *ret_verdict);
void http_classify(const struct provider_response *response, struct provider_verdict *ret_verdict);

#endif
