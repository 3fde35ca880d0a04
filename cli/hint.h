/* "what to type next" in every message, ours and the daemon's: it says gallocctl, and is shown as the person calls it. A wrapper, as
 * scripts/quickstart makes one, tells its own name in GALLOCCTL_NAME, and in GALLOCCTL_START what starts its daemon. Any thread. */
#ifndef GALLOC_CLI_HINT_H
#define GALLOC_CLI_HINT_H

/* The text with each command "gallocctl …" in it named as in GALLOCCTL_NAME. Takes `text` over and gives it, or another in its place; to be freed. */
char *hint_named(char *text);

/* What starts the daemon, from GALLOCCTL_START; NULL: the usual ways do. Borrowed. */
const char *hint_start(void);

#endif
