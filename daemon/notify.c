/* See notify.h. */
#include "notify.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

int notify_take_socket(const char *name, bool or_unnamed)
{
    char **names = NULL;
    int count = sd_listen_fds_with_names(0, &names), found = -1;
    for (int i = 0; i < count; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        bool is_it = found < 0 && (strcmp(names[i], name) == 0 || (or_unnamed && count == 1 && strcmp(names[i], "unknown") == 0));
        if (is_it)
            found = fd;
        free(names[i]);
    }
    free(names);
    return found;
}

bool notify_keep_socket(int fd, const char *name)
{
    char *text = xasprintf("FDSTORE=1\nFDNAME=%s", name);
    bool is_kept = sd_pid_notify_with_fds(0, 0, text, &fd, 1) > 0;
    free(text);
    return is_kept;
}

void notify_status(const char *text)
{
    sd_notifyf(0, "STATUS=%s", text);
}

void notify_ready(const char *text)
{
    sd_notifyf(0, "READY=1\nSTATUS=%s\nMAINPID=%d", text, (int)getpid());
}

void notify_reloading(void)
{
    sd_notify(0, "RELOADING=1");
}

void notify_stopping(const char *text)
{
    sd_notifyf(0, "STOPPING=1\nSTATUS=%s", text);
}

void notify_alive(void)
{
    sd_notify(0, "WATCHDOG=1");
}

int64_t notify_watchdog_ms(void)
{
    uint64_t every_us = 0;
    return sd_watchdog_enabled(0, &every_us) > 0 ? (int64_t)(every_us / 1000) : 0;
}

#else

int notify_take_socket(const char *name, bool or_unnamed)
{
    (void)name;
    (void)or_unnamed;
    return -1;
}

bool notify_keep_socket(int fd, const char *name)
{
    (void)fd;
    (void)name;
    return false;
}

void notify_status(const char *text)
{
    (void)text;
}

void notify_ready(const char *text)
{
    (void)text;
}

void notify_reloading(void)
{
}

void notify_stopping(const char *text)
{
    (void)text;
}

void notify_alive(void)
{
}

int64_t notify_watchdog_ms(void)
{
    return 0;
}

#endif
