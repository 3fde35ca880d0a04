/* What the doctor's checks share. A reader's thread. */
#ifndef GALLOC_STORE_SQLITE_DOCTOR_H
#define GALLOC_STORE_SQLITE_DOCTOR_H

#include "store/sqlite_reader.h"

/* A check on its way: what it found, in words. */
struct check {
    struct store_reader *reader; /* borrowed */
    struct buf detail;           /* owned; of the first findings */
    int64_t found_count;
};

void doctor_found(struct check *check, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* What a check tells when it found nothing, in place of its usual words. */
void doctor_note(struct check *check, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Prepares SQL with up to two numbers bound. NULL: the operation has failed, or has to end. The caller finalizes. */
sqlite3_stmt *doctor_ask(struct check *check, const char *sql, int64_t first, int64_t second);

/* The recounts (sqlite_recount.c): 0 or the operation's negative code. */
int doctor_check_runs(struct check *check);
int doctor_check_endpoints(struct check *check);

/* What is on its way, and the room there is (sqlite_room.c). */
int doctor_check_purge(struct check *check);
int doctor_check_space(struct check *check);

#endif
