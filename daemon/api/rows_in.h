/* Rows that came in a body on their way into a run: checked by the ingest thread, inserted by the store, answered after COMMIT. Loop's thread. */
#ifndef GALLOC_API_ROWS_IN_H
#define GALLOC_API_ROWS_IN_H

#include "api/request.h"
#include "dispatch/registry.h"
#include "ingest/ingest.h"

struct rows_in {
    enum ingest_form form;
    int64_t part;          /* of INGEST_PART; else the rows are appended */
    char *idempotency_key; /* owned, moves over; NULL: none */
};

/* Takes the request's body and ends the request. `run` is with its plan (handler_with_plan). */
void rows_in(struct request *request, struct run_entry *run, struct rows_in rows);

#endif
