/* Building the tree from libyaml's events.
 *
 * Why not libyaml's own document: its anchors are searched one by one and its nodes have no limit,
 * so a small text could cost seconds. Here each of size, depth, nodes and anchors has a named limit
 * (config.h), and the depth is bounded because open collections are an array.
 * Invariant: an anchor is usable from the end of its node on, so the tree has no cycles.
 * Pure; thread: any. Owns the parser; nodes belong to the arena. */
#include "config/yaml_tree.h"

#include "base/check.h"

#include <yaml.h>

struct anchor {
    struct str name;
    const struct yaml_node *node;
    bool open; /* its collection has not ended */
};

struct open_node {
    struct yaml_node *node;
    struct yaml_item **end;      /* where the next item goes */
    const struct yaml_node *key; /* of a map: the key that waits for its value */
    size_t anchor;               /* its anchor + 1; 0: none */
};

struct builder {
    struct arena *arena;
    const struct yaml_node *root;
    struct open_node open[CONFIG_DEPTH_MAX];
    size_t depth;
    struct anchor anchors[CONFIG_ANCHORS_MAX];
    size_t anchor_count;
    size_t node_count;
    size_t document_count;
    const char *problem; /* set: stop */
};

bool yaml_is_null(const struct yaml_node *node) {
    return node->kind == YAML_SCALAR && !node->quoted &&
           (node->text.n == 0 || str_eq(node->text, STR("~")) ||
            str_eq_nocase(node->text, STR("null")));
}

static struct str copy_text(struct builder *builder, const unsigned char *p, size_t n) {
    return (struct str){arena_copy(builder->arena, (struct str){(const char *)p, n}), n};
}

/* Puts a node where the document waits for one: as the root, a list's item, a map's key or value.
 */
static void place(struct builder *builder, const struct yaml_node *node) {
    if (builder->depth == 0) {
        builder->root = node;
        return;
    }
    struct open_node *parent = &builder->open[builder->depth - 1];
    CHECK(parent->node);
    if (parent->node->kind == YAML_MAP && !parent->key) {
        parent->key = node;
        return;
    }
    struct yaml_item *item = arena_new(builder->arena, sizeof *item);
    *item = (struct yaml_item){.key = parent->key, .value = node};
    *parent->end = item;
    parent->end = &item->next;
    parent->key = NULL;
}

static struct yaml_node *make_node(struct builder *builder, enum yaml_kind kind,
                                   const yaml_event_t *event) {
    if (++builder->node_count > CONFIG_NODES_MAX)
        builder->problem = "more nodes than allowed";
    struct yaml_node *node = arena_new_zero(builder->arena, sizeof *node);
    node->kind = kind;
    node->line = (uint32_t)event->start_mark.line + 1;
    return node;
}

/* Returns the anchor's number + 1; 0 without. A name used again means the newer node from here on.
 */
static size_t add_anchor(struct builder *builder, const yaml_char_t *name,
                         const struct yaml_node *node, bool open) {
    if (!name)
        return 0;
    if (builder->anchor_count == CONFIG_ANCHORS_MAX) {
        builder->problem = "more anchors than allowed";
        return 0;
    }
    builder->anchors[builder->anchor_count] =
        (struct anchor){copy_text(builder, name, strlen((const char *)name)), node, open};
    return ++builder->anchor_count;
}

static void on_alias(struct builder *builder, const yaml_event_t *event) {
    struct str name = str_of((const char *)event->data.alias.anchor);
    for (size_t i = builder->anchor_count; i > 0; i--) {
        const struct anchor *anchor = &builder->anchors[i - 1];
        if (!str_eq(anchor->name, name))
            continue;
        if (anchor->open)
            builder->problem = "an alias inside its own anchor";
        place(builder, anchor->node);
        return;
    }
    builder->problem = "an alias without its anchor";
}

static void on_scalar(struct builder *builder, const yaml_event_t *event) {
    struct yaml_node *node = make_node(builder, YAML_SCALAR, event);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->text = copy_text(builder, event->data.scalar.value, event->data.scalar.length);
    if (event->data.scalar.tag)
        builder->problem = "a tag (!): tags are not supported";
    add_anchor(builder, event->data.scalar.anchor, node, false);
    place(builder, node);
}

static void on_start(struct builder *builder, enum yaml_kind kind, const yaml_event_t *event) {
    bool map = kind == YAML_MAP;
    if (builder->depth == CONFIG_DEPTH_MAX) {
        builder->problem = "nested deeper than allowed";
        return;
    }
    if (map ? event->data.mapping_start.tag != NULL : event->data.sequence_start.tag != NULL)
        builder->problem = "a tag (!): tags are not supported";
    struct yaml_node *node = make_node(builder, kind, event);
    place(builder, node);
    size_t anchor = add_anchor(
        builder, map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor, node,
        true);
    builder->open[builder->depth++] =
        (struct open_node){.node = node, .end = &node->items, .anchor = anchor};
}

static void on_end(struct builder *builder) {
    CHECK(builder->depth > 0);
    const struct open_node *ended = &builder->open[--builder->depth];
    if (ended->anchor)
        builder->anchors[ended->anchor - 1].open = false;
}

static void on_event(struct builder *builder, const yaml_event_t *event) {
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++builder->document_count > 1)
            builder->problem = "a second document: only one is allowed";
        break;
    case YAML_ALIAS_EVENT:
        on_alias(builder, event);
        break;
    case YAML_SCALAR_EVENT:
        on_scalar(builder, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        on_start(builder, YAML_LIST, event);
        break;
    case YAML_MAPPING_START_EVENT:
        on_start(builder, YAML_MAP, event);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_end(builder);
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
}

static enum err parse_failed(const yaml_parser_t *parser, uint32_t *ret_line,
                             struct err_text *text) {
    *ret_line = (uint32_t)parser->problem_mark.line + 1;
    const char *problem = parser->problem ? parser->problem : "out of memory";
    return err_set(text, ERR_INVALID, "not YAML: %s%s%s", parser->context ? parser->context : "",
                   parser->context ? ", " : "", problem);
}

static enum err parse_all(yaml_parser_t *parser, struct builder *builder, uint32_t *ret_line,
                          struct err_text *text) {
    for (bool more = true; more;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return parse_failed(parser, ret_line, text);
        more = event.type != YAML_STREAM_END_EVENT;
        on_event(builder, &event);
        uint32_t line = (uint32_t)event.start_mark.line + 1;
        yaml_event_delete(&event);
        if (builder->problem) {
            *ret_line = line;
            return err_set(text, ERR_INVALID, "found %s", builder->problem);
        }
    }
    return ERR_OK;
}

enum err yaml_tree_read(struct str yaml, struct arena *arena, const struct yaml_node **ret,
                        uint32_t *ret_line, struct err_text *text) {
    if (yaml.n > CONFIG_FILE_BYTES_MAX) {
        *ret_line = 0;
        return err_set(text, ERR_INVALID, "found more than the allowed %d bytes",
                       CONFIG_FILE_BYTES_MAX);
    }
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        *ret_line = 0;
        return err_set(text, ERR_INTERNAL, "out of memory");
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)(yaml.p ? yaml.p : ""), yaml.n);
    struct builder builder = {.arena = arena};
    enum err e = parse_all(&parser, &builder, ret_line, text);
    yaml_parser_delete(&parser);
    if (!e)
        *ret = builder.root && !yaml_is_null(builder.root) ? builder.root : NULL;
    return e;
}
