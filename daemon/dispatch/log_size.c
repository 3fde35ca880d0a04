/* The store's log while it is longer than it should be: somebody reads for so long that it cannot be emptied. The store ends readers of its own in time;
 * people are told, since it may be another program that has the database open. Loop's thread. */
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "base/log.h"
#include "core/limits.h"

#include <inttypes.h>

enum { TOLD_EVERY_MS = 60000 };

void engine_log_text(struct engine *engine, char *ret_text, size_t size)
{
    struct store_stats stats = {0};
    ret_text[0] = '\0';
    if (engine->store != NULL)
        store_stats(engine->store, &stats);
    if (stats.wal_bytes > LIMIT_WAL_WARN_BYTES)
        snprintf(ret_text, size,
                 "the store's log has grown to %" PRId64 " MiB: it cannot be emptied while somebody reads; exports and doctor are ended at %lld MiB, a backup "
                 "ends by itself, another program that has galloc.db open has to be ended by you",
                 stats.wal_bytes >> 20, LIMIT_WAL_BYTES >> 20);
}

void log_size_look(struct engine *engine)
{
    struct store_stats stats;
    char text[512];
    int64_t held_back;
    store_stats(engine->store, &stats);
    if (stats.reads_ended > engine->log_reads_ended)
        log_event(LOG_LEVEL_WARNING, "store_reads_ended", "count=%" PRId64 " text=\"they were in the way of emptying the store's log\"",
                  stats.reads_ended - engine->log_reads_ended);
    engine->log_reads_ended = stats.reads_ended;
    engine_log_text(engine, text, sizeof text);
    if (text[0] != '\0' && log_gate_open(&engine->log_gate, TOLD_EVERY_MS, &held_back))
        log_event(LOG_LEVEL_WARNING, "store_log_long", "wal_bytes=%" PRId64 " text=\"%s\"", stats.wal_bytes, text);
}
