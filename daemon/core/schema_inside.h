/* A schema's tree, between schema.c (reads it), schema_check.c (holds answers against it) and schema_write.c (tells it to providers). Not for others. */
#ifndef GALLOC_CORE_SCHEMA_INSIDE_H
#define GALLOC_CORE_SCHEMA_INSIDE_H

#include "core/schema.h"

/* Bits of schema_node.types; the order of the names in schema.c. */
enum schema_type { TYPE_STRING, TYPE_NUMBER, TYPE_INTEGER, TYPE_BOOLEAN, TYPE_ARRAY, TYPE_OBJECT, TYPE_NULL, TYPE_COUNT };
#define TYPE_BIT(type) (1u << (type))

enum schema_format { FORMAT_NONE, FORMAT_DATE, FORMAT_DATE_TIME };

/* A bound; `text` as the schema has it, for messages. */
struct schema_bound {
    struct json_span text; /* at NULL: none */
    double value;
};

struct schema_property {
    char *name; /* owned */
    struct schema_node *node; /* owned */
    bool is_required;
};

struct schema_node {
    struct json_span text; /* its source, within schema.text */
    unsigned types;        /* 0: any */
    bool is_nullable;
    struct schema_property *properties; /* owned */
    size_t property_count;
    bool forbids_more; /* additionalProperties: false */
    struct schema_node *items; /* owned; NULL: any */
    struct schema_node **any_of; /* owned, with what they point at */
    size_t any_count;
    struct json_span choices; /* the array of an enum; at NULL: none */
    struct schema_bound minimum, maximum, min_length, max_length, min_items, max_items;
    enum schema_format format;
};

struct schema {
    char *text; /* owned: checked JSON */
    struct schema_node *root; /* owned */
    const char **names; /* owned array of the root's property names */
};

extern const char *const schema_type_names[TYPE_COUNT];

#endif
