/* When a run goes on to its next endpoint, and when it comes back: the rule alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/ladder.h"

#include <string.h>

#define WELL ((struct ladder_seen){.is_known = true, .down_class = -1})
#define DOWN(class) ((struct ladder_seen){.is_known = true, .down_class = OUTCOME_##class})
#define NO_DAY ((struct ladder_seen){.is_known = true, .down_class = -1, .has_no_day = true})
#define OPEN(ms) ((struct ladder_seen){.is_known = true, .down_class = -1, .open_ms = (ms)})
#define UNKNOWN ((struct ladder_seen){.down_class = -1})

static void test_what_moves_a_run(void **state)
{
    (void)state;
    const struct {
        struct ladder_seen seen;
        enum ladder_state is;
        enum outcome_class class; /* of what is not well */
    } rows[] = {
        {WELL, LADDER_WELL, OUTCOME_SUCCEEDED},
        {DOWN(CREDENTIALS), LADDER_DOWN, OUTCOME_CREDENTIALS},
        {DOWN(BILLING), LADDER_DOWN, OUTCOME_BILLING},
        {DOWN(CONFIG), LADDER_DOWN, OUTCOME_CONFIG},
        {UNKNOWN, LADDER_DOWN, OUTCOME_CONFIG},
        {NO_DAY, LADDER_WAITS, OUTCOME_QUOTA_DAY},
        {OPEN(1), LADDER_WELL, OUTCOME_SUCCEEDED}, /* a hiccup moves nobody */
        {OPEN(LADDER_OUTAGE_MS - 1), LADDER_WELL, OUTCOME_SUCCEEDED},
        {OPEN(LADDER_OUTAGE_MS), LADDER_WAITS, OUTCOME_UNAVAILABLE},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        enum outcome_class class = OUTCOME_SUCCEEDED;
        if (ladder_judge(&rows[i].seen, &class) != rows[i].is || class != rows[i].class)
            fail_msg("row %zu: %s", i, outcome_row(class)->name);
    }
}

static void test_which_one(void **state)
{
    (void)state;
    const struct {
        struct ladder_seen seen[3];
        size_t on;
    } rows[] = {
        {{WELL, WELL, WELL}, 0},
        {{NO_DAY, WELL, WELL}, 1},
        {{DOWN(CREDENTIALS), NO_DAY, WELL}, 2},
        {{WELL, DOWN(BILLING), WELL}, 0},                     /* one that is not used may be ill */
        {{OPEN(10), WELL, WELL}, 0},
        {{OPEN(60000), OPEN(10), WELL}, 1},
        {{DOWN(CREDENTIALS), NO_DAY, OPEN(60000)}, 1},        /* none is well: the first that comes back by itself */
        {{DOWN(CREDENTIALS), DOWN(BILLING), OPEN(60000)}, 2},
        {{DOWN(CREDENTIALS), DOWN(BILLING), UNKNOWN}, 0},     /* none does: the first, whose reason is shown */
        {{UNKNOWN, WELL, WELL}, 1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (ladder_choose(rows[i].seen, 3) != rows[i].on)
            fail_msg("row %zu: %zu", i, ladder_choose(rows[i].seen, 3));
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says; /* NULL: taken */
        size_t count;
    } rows[] = {
        {"a", NULL, 1},           {"a,b,c", NULL, 3},           {"workers", NULL, 1},         {"a,b,c,d,e,f,g,h", NULL, 8},
        {"", "empty name", 0},    {",a", "empty name", 0},      {"a,", "empty name", 0},      {"a,,b", "empty name", 0},
        {"a,b,a", "twice", 0},    {"a,workers", "workers", 0},  {"workers,a", "workers", 0},  {"a,b,c,d,e,f,g,h,i", "at most 8", 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct galloc_error error = {0};
        char **names = NULL;
        int rc = ladder_names(rows[i].text, &names, &error);
        if ((rc == 0) != (rows[i].says == NULL) || (rc < 0 && strstr(error.message, rows[i].says) == NULL))
            fail_msg("%s: %s", rows[i].text, error.message);
        size_t count = 0;
        while (names != NULL && names[count] != NULL)
            count++;
        assert_int_equal(count, rows[i].count);
        ladder_names_free(names);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_moves_a_run), cmocka_unit_test(test_which_one), cmocka_unit_test(test_names)};
    return cmocka_run_group_tests_name("core: ladder", tests, NULL, NULL);
}
