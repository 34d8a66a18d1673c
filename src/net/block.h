/* Input buffers: contiguous, growing as bytes arrive, taken when there is something to hold and
 * given back to a per-loop pool of a few megabytes, so that an idle connection holds none and a
 * busy one allocates nothing. Thread: the pool's owner. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* 0 under AddressSanitizer: a pool would hide uses after the last one. */
#if defined(__SANITIZE_ADDRESS__)
#define NET_KEEPS_MEMORY 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NET_KEEPS_MEMORY 0
#endif
#endif
#ifndef NET_KEEPS_MEMORY
#define NET_KEEPS_MEMORY 1
#endif

struct block {
    char *data; /* NULL: holds nothing */
    size_t used;
    size_t capacity;
};

enum {
    BLOCK_BYTES_MIN = 16384,
    BLOCK_CLASSES = 8, /* 16 KiB, 32 KiB ... 2 MiB; larger ones are not kept */
    BLOCK_POOL_BYTES_MAX = 4 << 20,
};

struct block_spare; /* a block in the pool: its first bytes are the link */

struct block_pool {
    struct block_spare *spare[BLOCK_CLASSES];
    size_t bytes; /* of all spare blocks */
};

void block_pool_init(struct block_pool *pool);
void block_pool_done(struct block_pool *pool);

/* Makes the capacity at least `capacity`, keeping what is used. False: no memory, nothing changed.
 */
bool block_try_grow(struct block_pool *pool, struct block *block, size_t capacity) MUST_CHECK;
/* Gives the memory back; an empty block is accepted. */
void block_give(struct block_pool *pool, struct block *block);
