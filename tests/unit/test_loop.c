/* What the loop promises when the machine has no memory left: the process ends by its own decision, told, and not by a NULL that somebody follows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "loop/loop.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool has_memory = true;

static void *give(size_t bytes)
{
    return has_memory ? malloc(bytes) : NULL;
}

static void *give_again(void *ptr, size_t bytes)
{
    return has_memory ? realloc(ptr, bytes) : NULL;
}

static void on_event(int fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
}

static void on_timer(void *arg)
{
    (void)arg;
}

static void on_signal(int signal, void *arg)
{
    (void)signal, (void)arg;
}

static void make_event(struct loop *loop)
{
    event_add(loop_event_new(loop, STDIN_FILENO, EV_READ, on_event, NULL), NULL);
}

static void make_timer(struct loop *loop)
{
    static struct loop_timer timer;
    loop_timer_init(&timer, loop, on_timer, NULL);
    loop_timer_set_ms(&timer, 1);
}

static void make_signal(struct loop *loop)
{
    static struct loop_signal sig;
    loop_signal_init(&sig, loop, SIGUSR1, on_signal, NULL);
}

static void test_without_memory_it_ends_told(void **state)
{
    (void)state;
    static void (*const makers[])(struct loop *loop) = {make_event, make_timer, make_signal};
    event_set_mem_functions(give, give_again, free);
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++) {
        int told[2], status;
        char words[256] = "";
        assert_int_equal(pipe(told), 0);
        struct loop *loop = loop_new();
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL); /* cmocka's own handler would take it */
            signal(SIGSEGV, SIG_DFL);
            dup2(told[1], STDERR_FILENO);
            has_memory = false;
            makers[i](loop);
            _exit(0);
        }
        close(told[1]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        assert_true(read(told[0], words, sizeof words - 1) > 0);
        assert_non_null(strstr(words, "out of memory"));
        close(told[0]);
        loop_free(loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_without_memory_it_ends_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
