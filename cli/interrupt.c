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

void interrupt_die(void)
{
    if (seen_signal == 0)
        return;
    signal(seen_signal, SIG_DFL);
    raise(seen_signal);
}
