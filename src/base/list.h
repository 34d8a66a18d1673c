/* An intrusive doubly linked list. A node is in at most one list; an unlinked node points to
 * nothing. */
#pragma once

#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *next;
    struct list_node *previous;
};

struct list {
    struct list_node head; /* circular: head.next is the first node */
};

static inline void list_init(struct list *list) {
    list->head.next = list->head.previous = &list->head;
}

static inline bool list_empty(const struct list *list) {
    return list->head.next == &list->head;
}

static inline bool list_linked(const struct list_node *node) {
    return node->next != NULL;
}

static inline void list_add_before(struct list_node *place, struct list_node *node) {
    CHECK(!node->next);
    node->previous = place->previous;
    node->next = place;
    place->previous->next = node;
    place->previous = node;
}

static inline void list_add_last(struct list *list, struct list_node *node) {
    list_add_before(&list->head, node);
}

static inline void list_remove(struct list_node *node) {
    CHECK(node->next);
    node->previous->next = node->next;
    node->next->previous = node->previous;
    node->next = node->previous = NULL;
}

static inline struct list_node *list_first(struct list *list) {
    return list_empty(list) ? NULL : list->head.next;
}

static inline struct list_node *list_last(struct list *list) {
    return list_empty(list) ? NULL : list->head.previous;
}

static inline struct list_node *list_take_first(struct list *list) {
    struct list_node *node = list_first(list);
    if (node)
        list_remove(node);
    return node;
}

/* The node before `node`, or NULL at the beginning. */
static inline struct list_node *list_previous(struct list *list, struct list_node *node) {
    return node->previous == &list->head ? NULL : node->previous;
}

/* The node after `node`, or NULL at the end. */
static inline struct list_node *list_next(struct list *list, struct list_node *node) {
    return node->next == &list->head ? NULL : node->next;
}
