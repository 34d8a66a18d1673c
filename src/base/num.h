/* Checked numbers: sizes that come from the wire go through these. All return false on overflow,
 * and write *ret only otherwise. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool num_mul_size(size_t a, size_t b, size_t *ret) {
    size_t result;
    if (__builtin_mul_overflow(a, b, &result))
        return false;
    *ret = result;
    return true;
}

static inline bool num_add_size(size_t a, size_t b, size_t *ret) {
    size_t result;
    if (__builtin_add_overflow(a, b, &result))
        return false;
    *ret = result;
    return true;
}

static inline bool num_mul_i64(int64_t a, int64_t b, int64_t *ret) {
    int64_t result;
    if (__builtin_mul_overflow(a, b, &result))
        return false;
    *ret = result;
    return true;
}

#undef MIN /* <sys/param.h> has the same, and libuv's header includes it */
#undef MAX
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* CPU time units used everywhere: nanoseconds in uint64_t unless the name says otherwise. */
enum { NS_PER_US = 1000, NS_PER_MS = 1000000, NS_PER_S = 1000000000 };
