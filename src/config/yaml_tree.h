/* A YAML text as a small tree with line numbers, within limits. Private to the layer. Pure. */
#pragma once

#include "base/arena.h"
#include "config/config.h"

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    bool quoted;             /* a scalar in quotes, or a block: a text whatever it looks like */
    uint32_t line;           /* from 1 */
    struct str text;         /* of a scalar */
    struct yaml_item *items; /* of a list or map, in order */
};

struct yaml_item {
    const struct yaml_node *key; /* of a map */
    const struct yaml_node *value;
    struct yaml_item *next;
};

/* *ret: NULL for an empty document. Memory: the arena. ERR_INVALID: *ret_line (from 1; 0: none) and
 * the text say what is wrong: not YAML, more than one document, or over a limit of config.h.
 * Aliases share nodes; one that stands inside its own anchor is refused, so there are no cycles. */
enum err yaml_tree_read(struct str yaml, struct arena *arena, const struct yaml_node **ret,
                        uint32_t *ret_line, struct err_text *text) MUST_CHECK;

/* A plain scalar that YAML reads as null: nothing, "~" or "null". */
bool yaml_is_null(const struct yaml_node *node);
