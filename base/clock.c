/* Clocks. The fake is process-wide: a test sets it before it starts anything. */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static bool is_fake;
static int64_t fake_mono_us, fake_wall_ms;

int64_t clock_mono_us(void)
{
    if (is_fake)
        return fake_mono_us;
    struct timespec ts;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}

int64_t clock_wall_ms(void)
{
    if (is_fake)
        return fake_wall_ms;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void clock_fake(int64_t mono_us, int64_t wall_ms)
{
    is_fake = true;
    fake_mono_us = mono_us;
    fake_wall_ms = wall_ms;
}

void clock_fake_advance_ms(int64_t ms)
{
    fake_mono_us += ms * 1000;
    fake_wall_ms += ms;
}

void clock_real(void)
{
    is_fake = false;
}

void clock_boot_id(char ret_id[37])
{
    ret_id[0] = '\0';
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file == NULL)
        return;
    if (fgets(ret_id, 37, file) == NULL)
        ret_id[0] = '\0';
    ret_id[strcspn(ret_id, "\n")] = '\0';
    fclose(file);
}

/* Times that are told are mostly those of one second, thousands of them: its text is made once a thread. */
const char *clock_rfc3339(int64_t wall_ms, char ret_text[CLOCK_TEXT_MAX])
{
    static _Thread_local struct {
        time_t seconds;
        char text[CLOCK_TEXT_MAX];
        size_t len; /* 0: none made yet */
    } last;
    time_t seconds = (time_t)(wall_ms / 1000);
    int ms = (int)(wall_ms % 1000);
    struct tm tm;
    if (ms < 0 || ((last.len == 0 || seconds != last.seconds) && (gmtime_r(&seconds, &tm) == NULL || tm.tm_year > 8099))) {
        ret_text[0] = '\0';
        return ret_text;
    }
    if (last.len == 0 || seconds != last.seconds)
        last.len = strftime(last.text, sizeof last.text, "%Y-%m-%dT%H:%M:%S", &tm);
    last.seconds = seconds;
    memcpy(ret_text, last.text, last.len);
    const char rest[] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z', '\0'};
    memcpy(ret_text + last.len, rest, sizeof rest);
    return ret_text;
}

/* The epoch second of local standard midnight UTC-8 on the n-th Sunday of a month, in UTC terms. */
static int64_t nth_sunday_utc(int year, int month, int nth)
{
    struct tm tm = {.tm_year = year - 1900, .tm_mon = month, .tm_mday = 1};
    time_t first = timegm(&tm);
    gmtime_r(&first, &tm);
    int day = 1 + (7 - tm.tm_wday) % 7 + 7 * (nth - 1);
    return (int64_t)first + (int64_t)(day - 1) * 86400;
}

static int64_t pacific_offset_s(int64_t utc_s)
{
    time_t t = (time_t)utc_s;
    struct tm tm;
    gmtime_r(&t, &tm);
    int year = tm.tm_year + 1900;
    int64_t starts = nth_sunday_utc(year, 2, 2) + 2 * 3600 + 8 * 3600;  /* 02:00 standard time */
    int64_t ends = nth_sunday_utc(year, 10, 1) + 2 * 3600 + 7 * 3600;   /* 02:00 daylight time */
    return utc_s >= starts && utc_s < ends ? -7 * 3600 : -8 * 3600;
}

int64_t clock_next_pacific_midnight_ms(int64_t wall_ms)
{
    int64_t utc_s = wall_ms / 1000;
    int64_t local_day = (utc_s + pacific_offset_s(utc_s)) / 86400;
    int64_t local_midnight = (local_day + 1) * 86400;
    /* The offset that holds at that midnight: changes happen at 02:00, so a guess by standard time is right or an hour late. */
    int64_t guess = local_midnight + 8 * 3600;
    return (local_midnight - pacific_offset_s(guess - 3600)) * 1000;
}
