/* Places in ledgers; see sqlite_books.h. An open-addressed table by (ledger, agent), filled as settles come, emptied when agents change. */
#include "store/sqlite.h"

#include "base/negative.h"

#define SEATS_LEAST 64
#define PLACES_LOOKED 64 /* back for one that is alike */
#define SEATS_KEPT 65536 /* above: emptied after a commit */

static size_t slot_of(const struct seat *seats, size_t cap, int64_t ledger, int64_t agent)
{
    uint64_t hash = ((uint64_t)ledger * 0x9e3779b97f4a7c15u) ^ ((uint64_t)agent * 0xc2b2ae3d27d4eb4fu);
    size_t at = (size_t)(hash >> 17) & (cap - 1);
    while (seats[at].is_used && (seats[at].ledger != ledger || seats[at].agent != agent))
        at = (at + 1) & (cap - 1);
    return at;
}

static void table_grow(struct books *books)
{
    size_t cap = books->seat_cap == 0 ? SEATS_LEAST : books->seat_cap * 2;
    struct seat *seats = xcalloc(cap, sizeof *seats);
    for (size_t i = 0; i < books->seat_cap; i++)
        if (books->seats[i].is_used)
            seats[slot_of(seats, cap, books->seats[i].ledger, books->seats[i].agent)] = books->seats[i];
    free(books->seats);
    books->seats = seats;
    books->seat_cap = cap;
}

static int seat_load(struct sqlite_store *store, struct seat *seat)
{
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_SEAT_LOAD, &row, "ii", seat->ledger, seat->agent);
    if (rc <= 0)
        return rc;
    seat->is_known = true;
    seat->held = seat->held_written = sqlite3_column_int64(row, 0);
    seat->capacity = sqlite3_column_type(row, 1) == SQLITE_NULL ? -1 : sqlite3_column_int64(row, 1);
    seat->is_listed = sqlite3_column_int(row, 2) != 0;
    seat->is_available = sqlite3_column_int(row, 3) != 0;
    seat->until_at_ms = sqlite3_column_int64(row, 4);
    seat->resets = sqlite3_column_int64(row, 5);
    sqlite_end(row);
    return 0;
}

int books_seat(struct sqlite_store *store, int64_t ledger, int64_t agent, struct seat **ret_seat)
{
    struct books *books = &store->books;
    if ((books->seat_count + 1) * 2 > books->seat_cap)
        table_grow(books);
    size_t at = slot_of(books->seats, books->seat_cap, ledger, agent);
    if (!books->seats[at].is_used) {
        struct seat seat = {.ledger = ledger, .agent = agent, .is_used = true};
        int rc = seat_load(store, &seat);
        if (rc < 0)
            return rc;
        books->seats[at] = seat;
        books->seat_count++;
    }
    *ret_seat = &books->seats[at];
    return 1;
}

bool books_seat_is_free(const struct sqlite_store *store, const struct seat *seat)
{
    if (BREAKS(CAPACITY))
        return seat->is_known;
    bool is_here = seat->is_available || (seat->until_at_ms > 0 && seat->until_at_ms <= store->wall_ms);
    return seat->is_known && seat->is_listed && is_here && (seat->capacity < 0 || seat->held < seat->capacity);
}

int books_held_add(struct sqlite_store *store, int64_t ledger, int64_t agent, int64_t delta)
{
    struct books *books = &store->books;
    struct seat *seat = NULL;
    int rc = books_seat(store, ledger, agent, &seat);
    if (rc < 0 || !seat->is_known)
        return rc < 0 ? rc : 0;
    if (books->undo_count == books->undo_cap) {
        books->undo_cap = books->undo_cap == 0 ? 64 : books->undo_cap * 2;
        books->undo = xreallocarray(books->undo, books->undo_cap, sizeof *books->undo);
    }
    books->undo[books->undo_count++] = (struct seat_undo){ledger, agent, seat->held};
    seat->held = max_i64(seat->held + delta, 0);
    return 0;
}

/* Neighbours that are alike are told as one, unless an operation that tells the whole ledger came between them. */
int books_place_move(struct sqlite_store *store, int64_t ledger, int64_t agent, int64_t delta)
{
    struct books *books = &store->books;
    int rc = books_held_add(store, ledger, agent, delta);
    if (rc < 0)
        return rc;
    for (size_t i = books->place_count; i-- > books->places_before_op && i + PLACES_LOOKED > books->place_count;) {
        struct store_place *place = &books->places[i];
        if (place->ledger != ledger || place->agent != agent || place->seq != store->seq)
            continue;
        place->change += delta;
        return 0;
    }
    if (books->place_count == books->place_cap) {
        books->place_cap = books->place_cap == 0 ? 64 : books->place_cap * 2;
        books->places = xreallocarray(books->places, books->place_cap, sizeof *books->places);
    }
    books->places[books->place_count++] = (struct store_place){ledger, agent, delta, store->seq};
    return 0;
}

void books_seats_op_end(struct books *books)
{
    books->undo_count = 0;
    books->places_before_op = books->place_count;
}

void books_seats_op_rollback(struct books *books)
{
    books->place_count = books->places_before_op;
    while (books->undo_count > 0) {
        const struct seat_undo *undo = &books->undo[--books->undo_count];
        books->seats[slot_of(books->seats, books->seat_cap, undo->ledger, undo->agent)].held = undo->held_before;
    }
}

int books_seats_write(struct sqlite_store *store)
{
    struct books *books = &store->books;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < books->seat_cap; i++) {
        struct seat *seat = &books->seats[i];
        if (!seat->is_used || seat->held == seat->held_written)
            continue;
        rc = sqlite_do(store, STMT_HELD_WRITE, "iii", seat->ledger, seat->agent, seat->held);
        seat->held_written = seat->held;
    }
    if (rc == 0 && books->seat_count > SEATS_KEPT)
        books_forget_seats(store);
    return rc;
}

void books_forget_seats(struct sqlite_store *store)
{
    struct books *books = &store->books;
    free(books->seats);
    books->seats = NULL;
    books->seat_count = books->seat_cap = 0;
    books->undo_count = 0;
}
