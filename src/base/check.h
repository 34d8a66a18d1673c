/* Checks about ourselves, on in production: a broken invariant stops the process where it is seen.
 * Input is never CHECKed; it is answered with an error. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

_Noreturn void check_failed(const char *what, const char *file, int line);

#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

/* A state that should not happen but that the server survives: counted, exported as a metric. */
extern _Atomic uint64_t anomaly_count;
#define ANOMALY(condition)                                                                         \
    ((condition) ? (atomic_fetch_add_explicit(&anomaly_count, 1, memory_order_relaxed), 1) : 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer) - offsetof(type, member)))
