/* What is printed on stdout: data. Text that comes from assignments, agents or a model never reaches a terminal unescaped; to a
 * file or a pipe, JSON, NDJSON and CSV go out byte for byte as they came. One thread. */
#ifndef GALLOC_CLI_OUT_H
#define GALLOC_CLI_OUT_H

#include "cli/cli.h"

/* JSON text of the daemon, with a newline after it where it lacks one. */
void out_json(const struct cli *cli, const char *json, size_t len);
/* CSV or other plain data; its own line ends stay. */
void out_bytes(const struct cli *cli, const char *data, size_t len);
/* A line for people: made by printf, escaped, with its end. */
void out_line(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* The same with bold type where there is colour. */
void out_title(const struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* True when the format is not a table: then the daemon's answer was printed as it is. */
bool out_answer(const struct cli *cli, const struct response *response);

/* Adds one cell of CSV, quoted where RFC 4180 wants it. */
void csv_add_cell(struct buf *line, const char *text, size_t len);

/* Flushes stdout; 0, or exit status 11 with the reason when it could not be written. Last call of main. */
int out_finish(const struct cli *cli);

/* Words for numbers. Each adds to `out`. */
void show_count(struct buf *out, int64_t count);                              /* 120,000 */
void show_seconds(struct buf *out, int64_t seconds);                          /* 45 s, 12 min, 3 h 20 min, 2 d 4 h */
void show_ms(struct buf *out, int64_t ms);                                    /* 850 ms, 2.1 s, then as seconds */
void show_percent(struct buf *out, double part);                              /* 99.9 %: cut, so that 100.0 is the end alone */
void show_time(struct buf *out, const char *rfc3339);                         /* local: 09:12:30 today, else 2026-11-22 09:12 */
void show_micros(struct buf *out, const char *currency, int64_t micros);      /* 10.19 USD */
void show_money(struct buf *out, struct json_object *cost);                   /* an object with currency, micros, unknown_calls: "at least" with some, "unknown" without a price */
void show_cost(struct buf *out, struct json_object *cost);                    /* the same, and of how many calls it is unknown */
/* The same of a run object: calls that were lost may have been billed, and outside workers call no API. */
void show_run_cost(struct buf *out, struct json_object *run);
void show_budget(struct buf *out, struct json_object *cost); /* "; at most 5.00 USD, of which …": nothing where a run has none */
int64_t seconds_until(const char *rfc3339);                                   /* negative when it is past; INT64_MIN when it cannot be read */
int64_t seconds_between(const char *from, const char *until);                 /* RFC 3339; -1 when one cannot be read */

/* A table's column: what of each item stands there. */
enum cell_kind { CELL_TEXT, CELL_COUNT, CELL_TIME, CELL_MS, CELL_SECONDS, CELL_PERCENT, CELL_NUMBER, CELL_MONEY, CELL_MICROS, CELL_YES, CELL_LIMIT, CELL_STATE,
                 CELL_ENDPOINT_STATE, CELL_COMMAND };
struct column {
    const char *title; /* for people; lower case with underscores it is the CSV's */
    const char *path;  /* "counts.total" */
    enum cell_kind kind;
    bool may_be_cut; /* gives way when the terminal is narrow */
};

/* The member at a dotted path, or NULL. Borrowed. */
struct json_object *json_at(struct json_object *value, const char *path);

/* The state of an endpoint object for people: "failing" is one that is up and does not answer well. Borrowed. */
const char *endpoint_state(struct json_object *endpoint);

/* Prints items in the format chosen: a table that fits the terminal's width, CSV, NDJSON, or {"items":[…],"next":null}. `body` is
 * the daemon's answer, an object with `items`. */
void out_items(const struct cli *cli, const struct column *columns, size_t column_count, const struct buf *body);

/* Gets pages from `path` (with or without a query) until `limit` items are there or no more come, and prints them as out_items() does.
 * Under -q only the member `quiet` of each item is printed (NULL: as without -q). Gives the exit status, and how many there were. */
int out_pages(struct cli *cli, const char *path, int64_t limit, const struct column *columns, size_t column_count, const char *quiet, int64_t *ret_count);

#endif
