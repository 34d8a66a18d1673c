/* The pool behind block.h: one stack of spare blocks for each power of two. Large blocks are
 * resized by realloc, which moves pages instead of bytes; nobody keeps a pointer into a block over
 * a growth (the codec keeps offsets). Under AddressSanitizer nothing is kept, so that a use after
 * the last one is seen. */
#include "net/block.h"

#include "base/check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { KEEP_BYTES_MAX = NET_KEEPS_MEMORY ? BLOCK_POOL_BYTES_MAX : 0 };

struct block_spare {
    struct block_spare *next;
};

static size_t class_bytes(size_t class) {
    return (size_t)BLOCK_BYTES_MIN << class;
}

/* The smallest class of at least `capacity` bytes; BLOCK_CLASSES when there is none. */
static size_t class_of(size_t capacity) {
    size_t class = 0;
    while (class < BLOCK_CLASSES && class_bytes(class) < capacity)
        class ++;
    return class;
}

void block_pool_init(struct block_pool *pool) {
    *pool = (struct block_pool){0};
}

static void *pool_take(struct block_pool *pool, size_t class) {
    struct block_spare *spare = pool->spare[class];
    if (!spare)
        return malloc(class_bytes(class));
    pool->spare[class] = spare->next;
    pool->bytes -= class_bytes(class);
    return spare;
}

void block_pool_done(struct block_pool *pool) {
    for (size_t class = 0; class < BLOCK_CLASSES; class ++)
        while (pool->spare[class])
            free(pool_take(pool, class));
    CHECK(pool->bytes == 0);
}

void block_give(struct block_pool *pool, struct block *block) {
    if (!block->data)
        return;
    size_t class = class_of(block->capacity);
    if (class < BLOCK_CLASSES && class_bytes(class) == block->capacity &&
        pool->bytes + block->capacity <= KEEP_BYTES_MAX) {
        struct block_spare *spare = (struct block_spare *)(void *)block->data;
        spare->next = pool->spare[class];
        pool->spare[class] = spare;
        pool->bytes += block->capacity;
    } else {
        free(block->data);
    }
    *block = (struct block){0};
}

bool block_try_grow(struct block_pool *pool, struct block *block, size_t capacity) {
    if (capacity <= block->capacity)
        return true;
    size_t class = class_of(capacity);
    if (class == BLOCK_CLASSES) {
        if (capacity > PTRDIFF_MAX)
            return false;
        char *data = realloc(block->data, capacity);
        if (!data)
            return false;
        block->data = data;
        block->capacity = capacity;
        return true;
    }
    char *data = pool_take(pool, class);
    if (!data)
        return false;
    size_t used = block->used;
    if (used)
        memcpy(data, block->data, used);
    block_give(pool, block);
    *block = (struct block){data, used, class_bytes(class)};
    return true;
}
