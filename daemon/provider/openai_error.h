/* The errors of OpenAI and of those who speak as it does, in all the shapes that they have: {"error":{message,type,param,code}}, the code a word or a number;
 * the same without its `error` around it (older vLLM); {"error":"text"} (Ollama); {"detail":…} (FastAPI's own). Google's envelope, which its compatible endpoint
 * sends within an array, is google_error.h's. Pure; any thread. */
#ifndef GALLOC_PROVIDER_OPENAI_ERROR_H
#define GALLOC_PROVIDER_OPENAI_ERROR_H

#include "provider/provider_internal.h"

struct openai_error {
    int status;                        /* of the error itself, where its code is a number; 0: not told */
    char *code, *type, *param, *message; /* owned; NULL: not told */
};

/* Reads what an object says of an error. False when there is none in it; else the caller frees with openai_error_clear(). */
bool openai_error_read(struct json_span object, struct openai_error *ret_error);
void openai_error_clear(struct openai_error *error);

/* Fills class, capacity, quota, retry-after and message of a verdict that the transport began. */
void openai_error_judge(const struct provider_response *response, const struct openai_error *error, struct provider_verdict *verdict);

#endif
