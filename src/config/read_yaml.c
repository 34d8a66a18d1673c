/* A YAML tree over a table: nested maps are joined with dots until they name an option.
 *
 * The walk follows the table, not the text, so aliases cannot make it long: a name that begins no
 * option is a problem and is not entered.
 * Pure; thread: any. */
#include "config/reader.h"
#include "config/yaml_tree.h"

#include "base/num.h"

#include <stdio.h>

enum {
    KEY_MAX = 100, /* bytes of a dotted key */
    WHERE_MAX = 300,
    MAPS_MAX = 64 /* different keys of maps in a table */
};

struct map_seen {
    const char *key; /* of an option below it */
    size_t length;   /* of the map's key */
    uint32_t line;
};

struct walk {
    struct reader *reader;
    const char *file;
    struct map_seen seen[MAPS_MAX];
    size_t seen_count;
};

static const char *where_is(const struct walk *walk, uint32_t line, char out[WHERE_MAX]) {
    if (line > 0)
        snprintf(out, WHERE_MAX, "%s:%u", walk->file, (unsigned)line);
    else
        snprintf(out, WHERE_MAX, "%s", walk->file);
    return out;
}

/* What stands there, for people. Plain scalars of letters and digits as they are, others in quotes.
 */
static const char *describe(const struct yaml_node *node, char out[PROBLEM_QUOTE_SIZE]) {
    if (node->kind != YAML_SCALAR)
        return node->kind == YAML_LIST ? "a list" : "a map";
    if (yaml_is_null(node))
        return "nothing";
    enum { PLAIN_MAX = 40 };
    bool plain = !node->quoted && node->text.n <= PLAIN_MAX;
    for (size_t i = 0; i < node->text.n && plain; i++)
        plain = node->text.p[i] > ' ' && node->text.p[i] < 0x7f;
    if (!plain)
        return problem_quote(node->text, out);
    snprintf(out, PROBLEM_QUOTE_SIZE, "%.*s", STR_ARG(node->text));
    return out;
}

static void refuse(const struct walk *walk, const struct option *option,
                   const struct yaml_node *found) {
    char where[WHERE_MAX], quote[PROBLEM_QUOTE_SIZE], allowed[PROBLEM_ALLOWED_SIZE];
    problem_add(walk->reader->problems, where_is(walk, found->line, where),
                "%s: found %s; allowed: %s", option->key, describe(found, quote),
                problem_allowed(option, allowed));
}

/* Does the scalar look like the option's type? A quoted number is a text, 1 is not true, and null
 * is nothing but where it may be one of the words. */
static bool has_type(const struct option *option, const struct yaml_node *node) {
    if (option->type == OPTION_ENUM && node->kind == YAML_SCALAR && node->text.n > 0)
        return true;
    if (node->kind != YAML_SCALAR || yaml_is_null(node))
        return false;
    bool is_typed = option->type == OPTION_BOOL || option->type == OPTION_INT ||
                    option->type == OPTION_NUMBER || option->type == OPTION_INTS;
    if (option->type == OPTION_BOOL && node->text.n == 1)
        return false;
    return !(is_typed && node->quoted);
}

static void set_items(struct walk *walk, const struct option *option,
                      const struct yaml_node *node) {
    option_clear(option, walk->reader->config);
    for (const struct yaml_item *item = node->items; item; item = item->next)
        if (!has_type(option, item->value) ||
            !option_append(option, item->value->text, walk->reader->config)) {
            refuse(walk, option, item->value);
            return;
        }
}

static void set_map(struct walk *walk, const struct option *option, const struct yaml_node *node) {
    option_clear(option, walk->reader->config);
    for (const struct yaml_item *item = node->items; item; item = item->next) {
        if (item->key->kind != YAML_SCALAR || !has_type(option, item->value)) {
            refuse(walk, option, item->value);
            return;
        }
        if (!option_put(option, item->key->text, item->value->text, walk->reader->config)) {
            char where[WHERE_MAX], quote[PROBLEM_QUOTE_SIZE], allowed[PROBLEM_ALLOWED_SIZE];
            problem_add(walk->reader->problems, where_is(walk, item->key->line, where),
                        "%s: found %s again, or more than is allowed; allowed: %s", option->key,
                        describe(item->key, quote), problem_allowed(option, allowed));
            return;
        }
    }
}

static void set_option(struct walk *walk, size_t row, uint32_t line,
                       const struct yaml_node *value) {
    struct reader *reader = walk->reader;
    const struct option *option = &reader->table->rows[row];
    struct config_source *source = &reader->sources[row];
    if (source->origin == FROM_FILE) {
        char where[WHERE_MAX];
        problem_add(reader->problems, where_is(walk, line, where),
                    "%s: found again; it is on line %u already", option->key,
                    (unsigned)source->line);
        return;
    }
    *source = (struct config_source){FROM_FILE, line};
    bool is_list = option->type == OPTION_LIST || option->type == OPTION_INTS;
    if (is_list && value->kind == YAML_LIST)
        set_items(walk, option, value);
    else if (option->type == OPTION_MAP && value->kind == YAML_MAP)
        set_map(walk, option, value);
    else if (is_list || !has_type(option, value) ||
             !option_parse(option, value->text, reader->config))
        refuse(walk, option, value);
}

/* An option whose key goes on after `key` and a dot; NULL without. */
static const char *option_below(const struct option_table *table, struct str key) {
    for (size_t i = 0; i < table->count; i++) {
        struct str whole = str_of(table->rows[i].key);
        if (table->rows[i].type != OPTION_SECTION && str_starts(whole, key) && whole.n > key.n &&
            whole.p[key.n] == '.')
            return whole.p;
    }
    return NULL;
}

/* Notes that a map was there; false, and a problem, when it was there before. */
static bool first_time(struct walk *walk, const char *key, size_t length, uint32_t line) {
    for (size_t i = 0; i < walk->seen_count; i++) {
        const struct map_seen *seen = &walk->seen[i];
        if (seen->length != length || memcmp(seen->key, key, length) != 0)
            continue;
        char where[WHERE_MAX];
        problem_add(walk->reader->problems, where_is(walk, line, where),
                    "%.*s: found again; it is on line %u already", (int)length, key,
                    (unsigned)seen->line);
        return false;
    }
    if (walk->seen_count < MAPS_MAX)
        walk->seen[walk->seen_count++] = (struct map_seen){key, length, line};
    return true;
}

static void unknown_key(struct walk *walk, const struct yaml_node *key, struct str path) {
    char where[WHERE_MAX], quote[PROBLEM_QUOTE_SIZE], hint[PROBLEM_HINT_SIZE];
    problem_add(walk->reader->problems, where_is(walk, key->line, where), "unknown key %s%s",
                problem_quote(path, quote),
                problem_hint(walk->reader->table, option_write_key, path, hint));
}

static void walk_map(struct walk *walk, const struct yaml_node *map, struct str prefix);

static void walk_item(struct walk *walk, const struct yaml_item *item, struct str prefix) {
    const struct yaml_node *key = item->key;
    char where[WHERE_MAX], quote[PROBLEM_QUOTE_SIZE], path[KEY_MAX];
    if (key->kind != YAML_SCALAR) {
        problem_add(walk->reader->problems, where_is(walk, key->line, where),
                    "found %s as a key; allowed: the name of an option", describe(key, quote));
        return;
    }
    int n = snprintf(path, sizeof path, "%.*s%s%.*s", STR_ARG(prefix), prefix.n ? "." : "",
                     STR_ARG(key->text));
    struct str whole = {path, MIN((size_t)(n > 0 ? n : 0), sizeof path - 1)};
    size_t row = reader_find_row(walk->reader, whole);
    const char *below = option_below(walk->reader->table, whole);
    if (row < walk->reader->table->count)
        set_option(walk, row, key->line, item->value);
    else if (!below || whole.n == 0)
        unknown_key(walk, key, whole);
    else if (item->value->kind != YAML_MAP && !yaml_is_null(item->value))
        problem_add(walk->reader->problems, where_is(walk, item->value->line, where),
                    "%s: found %s; allowed: a map of options", path, describe(item->value, quote));
    else if (first_time(walk, below, whole.n, key->line))
        walk_map(walk, item->value, whole);
}

/* At most as deep as the table's keys have dots. A null has no items. */
static void walk_map(struct walk *walk, const struct yaml_node *map, struct str prefix) {
    for (const struct yaml_item *item = map->items; item; item = item->next)
        walk_item(walk, item, prefix);
}

void read_yaml(struct reader *reader, struct str yaml, const char *name) {
    struct walk walk = {.reader = reader, .file = name};
    struct arena arena;
    arena_init(&arena);
    const struct yaml_node *root = NULL;
    uint32_t line;
    struct err_text text;
    char where[WHERE_MAX], quote[PROBLEM_QUOTE_SIZE];
    reader->file = name;
    if (yaml_tree_read(yaml, &arena, &root, &line, &text) != ERR_OK)
        problem_add(reader->problems, where_is(&walk, line, where), "%s", text.s);
    else if (root && root->kind != YAML_MAP)
        problem_add(reader->problems, where_is(&walk, root->line, where),
                    "found %s; allowed: a map of options", describe(root, quote));
    else if (root)
        walk_map(&walk, root, STR(""));
    arena_done(&arena);
}
