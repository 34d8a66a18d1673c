/* One arena per request: allocations that die together. The largest block is kept over resets, so a
 * steady load soon allocates nothing. Not thread-safe: one owner at a time. */
#pragma once

#include "base/error.h"
#include "base/str.h"

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *first; /* NULL until the first use */
    struct arena_block *now;   /* where allocations come from */
    size_t used;               /* bytes handed out since the last reset */
};

enum { ARENA_BLOCK_MIN = 8192, ARENA_KEEP_MAX = 65536 };

void arena_init(struct arena *arena);
void arena_done(struct arena *arena);
/* Frees everything handed out; keeps the largest block of at most ARENA_KEEP_MAX bytes. */
void arena_reset(struct arena *arena);

/* 16-aligned, not zeroed, never NULL (a failed allocation aborts): for sizes bounded by our own
 * limits. */
void *arena_new(struct arena *arena, size_t size);
void *arena_new_zero(struct arena *arena, size_t size);
/* For sizes that come from outside: NULL when count × size overflows, is over `ceiling`, or memory
 * is out. */
void *arena_try_new(struct arena *arena, size_t count, size_t size, size_t ceiling) MUST_CHECK;
/* Grows the newest allocation in place when it can, else copies. Old contents are kept. */
void *arena_resize(struct arena *arena, void *old, size_t old_size, size_t new_size);
char *arena_copy(struct arena *arena, struct str s); /* NUL-terminated copy */
char *arena_format(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
