/* One seed: an unruly time in which anything may fail, then a well one in which all that is open has to end within a bounded time. */
#include "tests/simulation/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_LATEST_MS = 2500, WELL_FIRST_S = 30, MEND_S = 20, WELL_MOST_S = 4 * 3600, LOOK_STEPS = 97 };
#define EVENTS_MOST 3000000

struct world world;

static struct sched_event people, mending;

void violate(const char *fmt, ...)
{
    if (world.failure[0] != '\0')
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(world.failure, sizeof world.failure, fmt, ap);
    va_end(ap);
    trace("VIOLATED %s", world.failure);
}

bool is_violated(void)
{
    return world.failure[0] != '\0';
}

struct sim_run *run_of_id(int64_t id)
{
    for (int i = 0; i < world.run_count; i++)
        if (world.runs[i].id == id)
            return &world.runs[i];
    return NULL;
}

struct sim_run *run_of_key(const char *key, struct sim_key **ret_key)
{
    char *end;
    long number = key[0] == 'K' ? strtol(key + 1, &end, 10) : 0;
    if (number <= 0 || *end != '\0' || end != key + 1 + KEY_DIGITS)
        return NULL;
    long run = number / KEY_RUN_FACTOR - 1, row = number % KEY_RUN_FACTOR;
    if (run < 0 || run >= world.run_count || row >= world.runs[run].keys || !world.runs[run].key[row].is_asked)
        return NULL;
    *ret_key = &world.runs[run].key[row];
    return &world.runs[run];
}

/* ---- an unruly time ---- */
static void on_people(void *arg)
{
    (void)arg;
    if (world.steps_left-- <= 0)
        return;
    world.steps++;
    people_step();
    sched_set_us(&people, dice(1, STEP_LATEST_MS) * 1000);
}

/* ---- a well one ---- */
static void on_mending(void *arg)
{
    (void)arg;
    people_mend();
    sched_set_us(&mending, MEND_S * INT64_C(1000000));
}

static bool is_all_over(void)
{
    struct engine *engine = life_engine();
    if (engine == NULL)
        return false;
    for (int i = 0; i < world.run_count; i++) {
        const struct sim_run *run = &world.runs[i];
        const struct run_entry *entry = registry_run_by_id(engine_registry(engine), run->id);
        if (run->step != STEP_SENT || (entry != NULL && (entry->info.state == RUN_RUNNING || (entry->info.state == RUN_IMPORTING && !run->is_cancelled))))
            return false;
    }
    return engine_in_flight(engine) == 0;
}

static void tell_open(void)
{
    for (int i = 0; i < world.run_count; i++) {
        const struct sim_run *run = &world.runs[i];
        const struct run_entry *entry = life_engine() == NULL ? NULL : registry_run_by_id(engine_registry(life_engine()), run->id);
        struct run_view view = {0};
        if (entry == NULL || entry->info.state == RUN_DONE || entry->info.state == RUN_CANCELLED)
            continue;
        run_view(entry, &view);
        violate("run %d does not end in %d s of good times: %s, step %d, pending %lld, leased %lld, waiting %s %s %s", run->number, WELL_MOST_S, view.state, (int)run->step,
                (long long)entry->info.counts[COUNT_STATE + ASSIGNMENT_PENDING], (long long)entry->info.counts[COUNT_STATE + ASSIGNMENT_LEASED],
                view.waiting_name ? view.waiting_name : "-", view.waiting_text, view.reason_text);
    }
    violate("what is open does not end in %d s of good times", WELL_MOST_S);
}

static void make_well(void)
{
    trace("all is well from here on");
    world.is_well = true;
    world.well_us = sched_now_us();
    life_mend_disk();
    weather_fair();
    life_start();
    sched_set_us(&mending, WELL_FIRST_S * INT64_C(1000000));
}

static void world_go(void)
{
    while (!is_violated()) {
        if (world.steps_left < 0 && !world.is_well)
            make_well();
        if (sched_steps() % LOOK_STEPS == 0) {
            check_step();
            if (world.is_well && is_all_over())
                break;
        }
        if (world.is_well && sched_now_us() - world.well_us > WELL_MOST_S * INT64_C(1000000))
            tell_open();
        if (!sched_step() || sched_steps() > EVENTS_MOST)
            violate("nothing happens any more, or far too much: %llu events", (unsigned long long)sched_steps());
    }
    if (!is_violated())
        check_end();
}

static void endpoints_draw(void)
{
    static const int64_t rpms[] = {300, 60, 20};
    world.endpoints[0] = (struct sim_endpoint){.max_in_flight = 24};
    world.endpoints[1] = (struct sim_endpoint){.max_in_flight = 6, .rpm = rpms[dice(0, (int64_t)ARRAY_COUNT(rpms) - 1)]};
    for (int i = 0; i < ENDPOINTS; i++) {
        world.endpoints[i].hedges = dice_percent(60);
        world.endpoints[i].sent_us = xcalloc((size_t)world.endpoints[i].rpm, sizeof(int64_t));
    }
}

bool world_run(uint64_t seed, int steps, const char *folder, bool is_verbose)
{
    world = (struct world){.seed = seed, .steps_left = steps};
    sched_begin(seed, is_verbose);
    random_fake(seed);
    people = (struct sched_event){.fire = on_people};
    mending = (struct sched_event){.fire = on_mending};
    weather_fair();
    endpoints_draw();
    life_begin(folder);
    life_start();
    people_begin();
    workers_begin();
    sched_set_us(&people, 1);
    world_go();
    life_end();
    for (int i = 0; i < ENDPOINTS; i++)
        free(world.endpoints[i].sent_us);
    sched_end();
    return !is_violated();
}
