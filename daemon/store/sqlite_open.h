/* The parts of opening: looking at a file before anything touches it, making a new one, migrating an old one, and a connection's settings. */
#ifndef GALLOC_STORE_SQLITE_OPEN_H
#define GALLOC_STORE_SQLITE_OPEN_H

#include "base/code.h"
#include "base/digest.h"

#include <sqlite3.h>

#define SQLITE_APPLICATION_ID 0x67616c63 /* "galc" */
#define SQLITE_BUSY_MS 2000 /* a foreign process holds a lock: an alarm, not a wait. Our own readers let go in less */

#define SQLITE_RESTORE_HINT "keep the file, and put a backup in its place (gallocd --restore FILE)"

struct sqlite_migration {
    int version; /* user_version after it; rises by one from row to row */
    const char *sql;
};
extern const struct sqlite_migration sqlite_migrations[]; /* ends with version 0 */
int sqlite_schema_latest(const struct sqlite_migration *migrations);

enum store_file { STORE_FILE_NONE, STORE_FILE_USABLE };

/* Looks at the database without touching a byte of it (sqlite_look.c). 0 and what is there, with its user_version; or -GALLOC_D_STORE_REFUSED
 * with path, cause and next step: not a database, another application's, newer, corrupt (header, size, schema, roots), missing or empty beside its
 * marker, on a network file system. -GALLOC_D_STORE_IO when it cannot be read. */
int sqlite_look(const char *path, int latest_version, enum store_file *ret_file, int *ret_version, struct galloc_error *error) MUST_CHECK;

/* The same at a copy of a store, which people know as `shown`: it has no marker, and what to do next is to give another one. */
int sqlite_look_copy(const char *path, const char *shown, int latest_version, int *ret_version, struct galloc_error *error) MUST_CHECK;

/* The digest of a connection's schema: of type, name, table and SQL of all that is not SQLite's own. */
/* The first column of the statement's first row; 0 with *ret_rc OK: it has none. Else *ret_rc is SQLite's code. */
int64_t sqlite_number_in(sqlite3 *db, const char *sql, int *ret_rc);

int sqlite_schema_digest(sqlite3 *db, char ret_hex[DIGEST_HEX]);

/* Settings of every connection; `is_writer` adds those of the one that writes. 0 or a SQLite code. */
int sqlite_settle_in(sqlite3 *db, bool is_writer);

/* Makes a new database beside `path` and renames it there, whole or not at all; then the marker (sqlite_migrate.c). */
int sqlite_create(const char *path, const struct sqlite_migration *migrations, struct galloc_error *error) MUST_CHECK;
/* Puts the marker in place where it is missing: it tells an emptied store from a new one. */
int sqlite_marker_keep(const char *path, sqlite3 *db, struct galloc_error *error) MUST_CHECK;
char *sqlite_marker_path(const char *path); /* owned */
/* Copies the database to PATH.v<old version>, then applies what is newer in one transaction. */
int sqlite_migrate(const char *path, int from_version, const struct sqlite_migration *migrations, struct galloc_error *error) MUST_CHECK;
int sqlite_migrate_copy(const char *path, int from_version, const struct sqlite_migration *migrations, struct galloc_error *error) MUST_CHECK; /* not copied: it is one */

/* A database that was made ready as PATH becomes the store, whole or not at all; `date` is in the name of the former one, *ret_kept (owned; NULL: there was none).
 * What a crash interrupts after the decision, sqlite_swap_finish() ends: every start calls it first, with ret_kept NULL (sqlite_swap.c). 0 or -D_STORE_IO. */
int sqlite_swap(const char *path, const char *made, const char *date, char **ret_kept, struct galloc_error *error) MUST_CHECK;
int sqlite_swap_finish(const char *path, char **ret_kept, struct galloc_error *error) MUST_CHECK;
char *sqlite_swap_made(const char *path); /* owned: where a restore makes its database ready; what a crash leaves there goes at the next start */

#endif
