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
/* Would this configuration price the endpoint's calls in another currency than that of what it, or a run on it, has cost so far? Then -GALLOC_D_CONFIG. */
int endpoint_check_currency(const struct registry *registry, const struct endpoint *endpoint, const struct config *fresh, struct galloc_error *error) MUST_CHECK;
void endpoint_tell_currency(const struct endpoint *endpoint); /* the log hears of a price that is none, as it is in another currency than the sums */
void endpoint_apply_price(struct endpoint *endpoint, int64_t wall_ms); /* the currency of its costs */
/* By what a call is paid: the endpoint's price when it was sent. A price that changes while it is under way is the next one's. */
struct price_terms {
    enum price_tier tier;
    bool is_known, is_set; /* is there a price; was it set at run time? */
    int64_t at_wall_ms;
    struct price price;
};
struct price_terms endpoint_terms(const struct endpoint *endpoint, enum price_tier tier, int64_t wall_ms);
/* What a call costs that `model` has answered, in micros of ret_currency; -1: unknown, as no price or no count of tokens is known. */
int64_t price_of_call(const struct endpoint *endpoint, const struct price_terms *terms, const char *model, const int64_t tokens[TOKEN_COUNT], char ret_currency[4]);

#endif
