/* Where the daemon's things are when nobody says: a service has its fixed places, a plain user those of the XDG Base
 * Directory Specification 0.8. Relative values of the environment do not count, as the specification has it. */
#include "config/settings.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVICE_ACCOUNT "_galloc"

static const char *absolute_env(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] == '/' ? value : NULL;
}

void places_of_process(struct places *ret_places)
{
    const struct passwd *account = getpwuid(geteuid());
    struct places places = {
        .home = absolute_env("HOME"),
        .xdg_runtime_dir = absolute_env("XDG_RUNTIME_DIR"),
        .xdg_state_home = absolute_env("XDG_STATE_HOME"),
        .xdg_config_home = absolute_env("XDG_CONFIG_HOME"),
        .state_directory = absolute_env("STATE_DIRECTORY"),
        .runtime_directory = absolute_env("RUNTIME_DIRECTORY"),
    };
    if (places.home == NULL && account != NULL && account->pw_dir != NULL && account->pw_dir[0] == '/')
        places.home = account->pw_dir;
    bool is_systems = places.state_directory != NULL &&
                      strncmp(places.state_directory, GALLOC_LOCALSTATEDIR "/", sizeof GALLOC_LOCALSTATEDIR) == 0;
    places.is_service =
        geteuid() == 0 || is_systems || (account != NULL && strcmp(account->pw_name, SERVICE_ACCOUNT) == 0);
    *ret_places = places;
}

/* BASE/galloc, where BASE is the variable's value, else a folder of the home; NULL when there is neither. */
static char *user_folder(const char *base, const char *home, const char *in_home)
{
    if (base != NULL)
        return xasprintf("%s/galloc", base);
    return home != NULL ? xasprintf("%s/%s/galloc", home, in_home) : NULL;
}

static char *in_folder(char *folder, const char *name)
{
    char *path = folder ? xasprintf("%s/%s", folder, name) : NULL;
    free(folder);
    return path;
}

char *places_config_file(const struct places *places, int index)
{
    char *own = places->is_service
                    ? NULL
                    : in_folder(user_folder(places->xdg_config_home, places->home, ".config"), "gallocd.conf");
    if (own != NULL && index == 0)
        return own;
    index -= own != NULL;
    free(own);
    return index == 0 ? xstrdup(GALLOC_SYSCONFDIR "/galloc/gallocd.conf") : NULL;
}

/* systemd gives a list with colons; the first folder is ours. */
static char *first_folder(const char *list)
{
    return xstrndup(list, strcspn(list, ":"));
}

char *places_state_dir(const struct places *places)
{
    if (places->state_directory != NULL)
        return first_folder(places->state_directory);
    if (places->is_service)
        return xstrdup(GALLOC_LOCALSTATEDIR "/lib/galloc");
    return user_folder(places->xdg_state_home, places->home, ".local/state");
}

char *places_socket(const struct places *places)
{
    if (places->runtime_directory != NULL)
        return in_folder(first_folder(places->runtime_directory), "gallocd.sock");
    if (places->is_service)
        return xstrdup("/run/galloc/gallocd.sock");
    if (places->xdg_runtime_dir != NULL)
        return xasprintf("%s/galloc/gallocd.sock", places->xdg_runtime_dir);
    return in_folder(user_folder(places->xdg_state_home, places->home, ".local/state"), "gallocd.sock");
}
