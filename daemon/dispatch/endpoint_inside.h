/* What is done to endpoints inside the room: made, changed, down and up, priced, told, remembered. Not for other rooms. Loop's thread. */
#ifndef GALLOC_DISPATCH_ENDPOINT_INSIDE_H
#define GALLOC_DISPATCH_ENDPOINT_INSIDE_H

#include "dispatch/endpoint.h"
#include "dispatch/engine.h"

/* endpoint.c */
struct endpoint *endpoint_new(struct engine *engine, const struct endpoint_config *config);
void endpoint_free(struct endpoint *endpoint);
void endpoint_apply(struct endpoint *endpoint, int64_t wall_ms); /* overrides over the file; the pacer's limits */
void endpoint_set_override(struct endpoint *endpoint, const struct store_setting *setting, bool is_set);
void endpoint_read_back(struct endpoint *endpoint, const struct store_sends *sends); /* of former lives, once the limits are in force */
void endpoint_read_key(struct engine *engine, struct endpoint *endpoint);
void endpoint_look_at_token(struct engine *engine, struct endpoint *endpoint); /* its token_file is read again if it has changed */
void endpoint_go_down(struct engine *engine, struct endpoint *endpoint, enum outcome_class class, const char *text);
void endpoint_come_up(struct engine *engine, struct endpoint *endpoint, const char *text);

void endpoint_store_state(struct endpoint *endpoint); /* as it stands now, and what was learned */
void endpoint_tell_mind(struct engine *engine, struct endpoint *endpoint); /* what its pacer changed its mind about, and keeps it (endpoint_text.c) */

/* learned.c */
void learned_take(struct endpoint *endpoint); /* of a former life; once its key is read, before the first call */
void learned_keep(struct endpoint *endpoint); /* if it has changed */

/* endpoint_price.c */
void endpoint_apply_price(struct endpoint *endpoint, int64_t wall_ms); /* the currency of its costs */
/* What a call costs that `model` has answered now, in micros of ret_currency; -1: unknown, as no price or no count of tokens is known. */
int64_t price_of_call(struct engine *engine, const struct endpoint *endpoint, const char *model, enum price_tier tier, const int64_t tokens[TOKEN_COUNT],
                      char ret_currency[4]);

#endif
