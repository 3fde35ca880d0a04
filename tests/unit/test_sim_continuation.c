/* gallocsim's answers that come in several calls: the pieces make the whole, and a token is good for its own body
 * alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "sim/request.h"

#define CONTENTS "\"contents\":[{\"parts\":[{\"text\":\"Case 17\"}]}]"

/* A body with a token, read; 0: refused, else the number of the call. */
static int64_t call_of(const char *body, struct continuation *ret_piece)
{
    static struct sim_request request;
    struct request_fault fault;
    if (!request_read(body, strlen(body), false, 1000, &request, &fault)) {
        assert_non_null(strstr(fault.message, "continuation token"));
        return 0;
    }
    *ret_piece = request.rest;
    return request.rest.call;
}

static void test_pieces_make_the_whole(void **state)
{
    (void)state;
    static const char body[] = "{" CONTENTS "}", whole[] = "{\"agent_id\":\"Åsa-7\",\"reason\":\"नज़दीक 🚲\"}";
    for (int64_t calls = 2; calls <= 3; calls++) {
        struct continuation piece = continuation_begin(body, sizeof body - 1, calls);
        struct buf text = BUF_EMPTY;
        buf_add_str(&text, whole);
        for (int64_t call = 1; call < calls; call++) {
            size_t end = continuation_end(&piece, &text);
            struct buf token = BUF_EMPTY, next = BUF_EMPTY;
            assert_true(end > piece.from && end < text.len);
            assert_int_not_equal((unsigned char)whole[end] & 0xc0, 0x80); /* between characters */
            continuation_token(&piece, end, &token);
            buf_add_fmt(&next, "{" CONTENTS ",\"continuationToken\":\"%s\"}", buf_text(&token));
            assert_int_equal(call_of(buf_text(&next), &piece), call + 1);
            assert_int_equal(piece.from, end);
            assert_int_equal(piece.calls, calls);
            buf_clear(&token);
            buf_clear(&next);
        }
        buf_clear(&text);
    }
}

static void test_a_token_is_good_for_its_body(void **state)
{
    (void)state;
    static const char first[] = "{" CONTENTS ",\"generationConfig\":{\"seed\":7}}",
                      *const rows[][2] = {
                          {"well", "{" CONTENTS ",\"generationConfig\":{\"seed\":7},\"continuationToken\":\"%s\"}"},
                          {"well", "{" CONTENTS ", \"continuationToken\" : \"%s\",\"generationConfig\":{\"seed\":7}}"},
                          {"well", "{\"continuationToken\":\"%s\" ," CONTENTS ",\"generationConfig\":{\"seed\":7}}"},
                          {"refused", "{" CONTENTS ",\"generationConfig\":{\"seed\":8},\"continuationToken\":\"%s\"}"},
                          {"refused", "{" CONTENTS ",\"continuationToken\":\"%s\"}"},
                          {"refused",
                           "{" CONTENTS ",\"generationConfig\":{\"seed\":7},\"continuationToken\":\"%s-1\"}"},
                          {"refused",
                           "{" CONTENTS
                           ",\"generationConfig\":{\"seed\":7},\"continuationToken\":\"Q29udGludWU=\",\"store\":true}"},
                          {"refused", "{" CONTENTS ",\"generationConfig\":{\"seed\":7},\"continuationToken\":\"\"}"},
                      };
    struct continuation piece = continuation_begin(first, sizeof first - 1, 2);
    struct buf token = BUF_EMPTY, body = BUF_EMPTY;
    continuation_token(&piece, 4, &token);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const char *hole = strstr(rows[i][1], "%s");
        size_t before = hole != NULL ? (size_t)(hole - rows[i][1]) : strlen(rows[i][1]);
        buf_reset(&body);
        buf_add(&body, rows[i][1], before);
        if (hole != NULL) {
            buf_add(&body, token.data, token.len);
            buf_add_str(&body, hole + 2);
        }
        bool is_well = call_of(buf_text(&body), &piece) == 2;
        if (is_well != (strcmp(rows[i][0], "well") == 0))
            fail_msg("%s: %s", rows[i][0], buf_text(&body));
    }
    buf_clear(&token);
    buf_clear(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_make_the_whole),
        cmocka_unit_test(test_a_token_is_good_for_its_body),
    };
    return cmocka_run_group_tests_name("sim: answers in several calls", tests, NULL, NULL);
}
