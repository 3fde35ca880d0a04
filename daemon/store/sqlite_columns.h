/* Pieces of SQL that the writer's statements and the readers' share. */
#ifndef GALLOC_STORE_SQLITE_COLUMNS_H
#define GALLOC_STORE_SQLITE_COLUMNS_H

/* A run with the name of its pool, as sqlite_run_row() takes it. */
#define SQLITE_RUN_COLUMNS                                                                                                                   \
    "r.id, r.run_id, r.name, r.endpoint, r.profile, r.pause_text, r.source_name, r.source_sha256, p.name, r.state, r.pauses, r.is_open, "  \
    "coalesce(l.pool, 0), coalesce(r.ledger, 0), r.priority, r.parts, r.created_at_ms, coalesce(r.started_at_ms, 0), "                     \
    "coalesce(r.finished_at_ms, 0), r.event_seq, r.plan FROM run r LEFT JOIN ledger l ON l.id = r.ledger LEFT JOIN pool p ON p.id = l.pool "

#endif
