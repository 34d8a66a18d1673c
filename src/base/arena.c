#include "base/arena.h"

#include "base/check.h"
#include "base/num.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALIGNMENT = 16 };

struct arena_block {
    struct arena_block *next;
    size_t capacity;
    size_t used;
    alignas(ALIGNMENT) char data[];
};

static size_t round_up(size_t n) {
    return (n + (ALIGNMENT - 1)) & ~(size_t)(ALIGNMENT - 1);
}

static struct arena_block *block_try_new(size_t capacity) {
    struct arena_block *block = malloc(sizeof *block + capacity);
    if (!block)
        return NULL;
    block->next = NULL;
    block->capacity = capacity;
    block->used = 0;
    return block;
}

static void blocks_free(struct arena_block *block) {
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_init(struct arena *arena) {
    *arena = (struct arena){NULL, NULL, 0};
}

void arena_done(struct arena *arena) {
    blocks_free(arena->first);
    arena_init(arena);
}

void arena_reset(struct arena *arena) {
    struct arena_block *keep = NULL;
    for (struct arena_block *block = arena->first; block;) {
        struct arena_block *next = block->next, *drop = block;
        if (block->capacity <= ARENA_KEEP_MAX && (!keep || block->capacity > keep->capacity)) {
            drop = keep;
            keep = block;
        }
        free(drop);
        block = next;
    }
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
    }
    *arena = (struct arena){keep, keep, 0};
}

static void *arena_take(struct arena *arena, size_t size) {
    if (size > SIZE_MAX - ARENA_KEEP_MAX)
        return NULL;
    size = round_up(size ? size : 1);
    struct arena_block *block = arena->now;
    if (!block || block->capacity - block->used < size) {
        size_t wish = block ? MIN(block->capacity * 2, (size_t)ARENA_KEEP_MAX) : ARENA_BLOCK_MIN;
        struct arena_block *more = block_try_new(MAX(wish, size));
        if (!more)
            return NULL;
        if (block)
            block->next = more;
        else
            arena->first = more;
        arena->now = block = more;
    }
    void *p = block->data + block->used;
    block->used += size;
    arena->used += size;
    return p;
}

void *arena_new(struct arena *arena, size_t size) {
    void *p = arena_take(arena, size);
    CHECK(p);
    return p;
}

void *arena_new_zero(struct arena *arena, size_t size) {
    return memset(arena_new(arena, size), 0, size);
}

void *arena_try_new(struct arena *arena, size_t count, size_t size, size_t ceiling) {
    size_t total;
    if (!num_mul_size(count, size, &total) || total > ceiling)
        return NULL;
    return arena_take(arena, total);
}

void *arena_resize(struct arena *arena, void *old, size_t old_size, size_t new_size) {
    struct arena_block *block = arena->now;
    size_t held = round_up(old_size ? old_size : 1);
    if (old && block && (char *)old + held == block->data + block->used) {
        size_t start = (size_t)((char *)old - block->data);
        if (new_size <= block->capacity - start) {
            size_t want = round_up(new_size ? new_size : 1);
            block->used = start + want;
            arena->used = arena->used - held + want;
            return old;
        }
    }
    void *p = arena_new(arena, new_size);
    if (old)
        memcpy(p, old, MIN(old_size, new_size));
    return p;
}

char *arena_copy(struct arena *arena, struct str s) {
    char *p = arena_new(arena, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

char *arena_format(struct arena *arena, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    CHECK(n >= 0);
    char *p = arena_new(arena, (size_t)n + 1);
    va_start(args, format);
    vsnprintf(p, (size_t)n + 1, format, args);
    va_end(args);
    return p;
}
