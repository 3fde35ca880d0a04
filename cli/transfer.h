/* The insides that client.c and transfer.c share. */
#ifndef GALLOC_CLI_TRANSFER_H
#define GALLOC_CLI_TRANSFER_H

#include "cli/client.h"

#include <curl/curl.h>

struct client {
    char *socket_path; /* owned */
    CURLM *multi;
    int64_t deadline_mono_ms;
    bool has_spoken; /* an answer came */
    bool is_verbose;
    void (*tell_waiting)(void *arg, const char *why);
    void *tell_arg; /* borrowed */
};

#endif
