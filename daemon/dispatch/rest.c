/* An answer that comes in several calls (UNFINISHED). Each is an attempt of its own, so each is recorded, fenced, paced and paid for as any other, and spends a
 * re-ask. What was asked, the text so far and the token for the rest live with the attempt alone: after a crash, a pause, or a call that ends otherwise, the
 * assignment is asked anew from the start.
 *
 *   UNFINISHED                  the piece is kept; the next attempt asks for the rest
 *   SUCCEEDED, pieces before    the answer is all of them, joined
 *   REJECTED, pieces before     it is the token that was refused, not the input, which was taken before: an invalid answer
 */
#include "dispatch/rest.h"

#include "core/limits.h"
#include "dispatch/dispatch.h"

#include <string.h>

void rest_clear(struct rest *rest)
{
    free(rest->body);
    free(rest->token);
    buf_clear(&rest->text);
    *rest = (struct rest){.text = BUF_EMPTY};
}

bool rest_is_due(const struct rest *rest)
{
    return rest->token != NULL;
}

static void make_invalid(struct provider_verdict *verdict, char *message)
{
    verdict->class = OUTCOME_INVALID_ANSWER;
    free(verdict->answer);
    free(verdict->message);
    verdict->answer = NULL;
    verdict->message = message;
}

/* The body of the first call is kept: what came back of a later one has a token in it. */
static void keep(struct rest *rest, const struct net_response *response, struct provider_verdict *verdict)
{
    if (rest->body == NULL) {
        rest->body = xstrndup(response->request_body, response->request_body_len);
        rest->body_len = response->request_body_len;
    }
    free(rest->token);
    rest->token = verdict->continuation;
    verdict->continuation = NULL;
}

void rest_join(struct rest *rest, const struct net_response *response, struct provider_verdict *verdict)
{
    bool has_text = verdict->class == OUTCOME_SUCCEEDED || verdict->class == OUTCOME_UNFINISHED;
    size_t len = has_text ? strlen(verdict->answer) : 0;
    if (has_text && rest->text.len + len > LIMIT_JOINED_BYTES)
        make_invalid(verdict, xasprintf("the model's answer has more than %d bytes", LIMIT_JOINED_BYTES));
    else if (has_text)
        buf_add(&rest->text, verdict->answer, len);
    if (verdict->class == OUTCOME_UNFINISHED) {
        keep(rest, response, verdict);
        return;
    }
    if (rest_is_due(rest) && verdict->class == OUTCOME_REJECTED) {
        make_invalid(verdict, xasprintf("the rest of the answer was refused: %s", verdict->message));
    } else if (rest_is_due(rest) && verdict->class == OUTCOME_SUCCEEDED) {
        free(verdict->answer);
        verdict->answer = xstrdup(buf_text(&rest->text));
    }
    rest_clear(rest);
}

void rest_refuse(struct provider_verdict *verdict)
{
    if (verdict->class != OUTCOME_UNFINISHED)
        return;
    make_invalid(verdict, xstrdup("the answer for several assignments did not come to its end in one call"));
    verdict->is_truncated = true;
}
