/* JSON written straight into a buf, with commas and escapes taken care of. Every JSON that leaves a program is made with this. */
#ifndef GALLOC_BASE_JSON_OUT_H
#define GALLOC_BASE_JSON_OUT_H

#include "base/buf.h"
#include "base/json_scan.h"

/* Where a text stands: a value after a value needs a comma. Begin with JSON_OUT(&buf). */
struct json_out {
    struct buf *buf; /* borrowed */
    bool needs_comma;
};

#define JSON_OUT(buf_ptr) ((struct json_out){.buf = (buf_ptr), .needs_comma = false})

void json_out_begin(struct json_out *out, char open); /* '{' or '[' */
void json_out_end(struct json_out *out, char close);  /* '}' or ']' */
void json_out_name(struct json_out *out, const char *name);
void json_out_str(struct json_out *out, const char *text); /* NULL is written as null */
void json_out_text(struct json_out *out, const char *text, size_t len); /* bytes that are not UTF-8 become U+FFFD */
void json_out_int(struct json_out *out, int64_t value);
void json_out_bool(struct json_out *out, bool value);
void json_out_null(struct json_out *out);
void json_out_ratio(struct json_out *out, double value); /* four digits after the point; NaN and infinity are null */
void json_out_number(struct json_out *out, double value); /* all its digits, the shortest that give it again; NaN and infinity are null */
void json_out_raw(struct json_out *out, const char *json, size_t len); /* checked JSON, as it is */
void json_out_time(struct json_out *out, int64_t wall_ms); /* RFC 3339 UTC; 0 is null */

/* A member in one call. */
void json_out_member_str(struct json_out *out, const char *name, const char *text);
void json_out_member_int(struct json_out *out, const char *name, int64_t value);
void json_out_member_number(struct json_out *out, const char *name, double value);
void json_out_member_bool(struct json_out *out, const char *name, bool value);
void json_out_member_null(struct json_out *out, const char *name);
void json_out_member_time(struct json_out *out, const char *name, int64_t wall_ms);

/* Only the quoted and escaped string, without a comma. */
void json_quote(struct buf *buf, const char *text, size_t len);
/* The same without its quotation marks: a piece of a string. What is escaped in pieces is what is escaped as a whole, where no character is parted. */
void json_escape(struct buf *buf, const char *text, size_t len);

#endif
