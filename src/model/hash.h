/* FNV-1a, 64 bits: tells one state of a folder (or of the settings) from another. Not for
 * adversaries: whoever can write to the repository chooses the model anyway. Source:
 * draft-eastlake-fnv, section 2 and 5. */
#pragma once

#include "base/str.h"

#define HASH_START UINT64_C(0xcbf29ce484222325)

static inline uint64_t hash_bytes(uint64_t hash, const void *p, size_t n) {
    const unsigned char *bytes = p;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static inline uint64_t hash_u64(uint64_t hash, uint64_t value) {
    return hash_bytes(hash, &value, sizeof value);
}

/* With its length, so that "ab","c" and "a","bc" differ. NULL counts as "". */
static inline uint64_t hash_c(uint64_t hash, const char *s) {
    struct str text = str_of(s);
    return hash_bytes(hash_u64(hash, text.n), text.p, text.n);
}
