/* See interrupt.h. */
#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t seen_signal;

static void note(int signal_number)
{
    seen_signal = signal_number;
}

void interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool interrupt_pending(void)
{
    return seen_signal != 0;
}

const char *interrupt_name(void)
{
    return seen_signal == SIGTERM ? "SIGTERM" : "Ctrl-C";
}

void interrupt_note(int signal_number)
{
    note(signal_number);
}

void interrupt_die(void)
{
    sigset_t set;
    if (seen_signal == 0)
        return;
    signal(seen_signal, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, seen_signal);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(seen_signal);
}
