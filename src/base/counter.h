/* A number that one thread adds to and any thread may read. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

/* One writer, so no read-modify-write: a load and a store are enough, and readers see whole
 * numbers. Relaxed, as nothing is ordered by a count. Thread: the counter's. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t n) {
    uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, old + n, memory_order_relaxed);
}
