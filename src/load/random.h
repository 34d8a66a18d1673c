/* Random numbers that repeat with their seed (SplitMix64; Steele, Lea and Flood 2014): for values
 * of requests and for arrivals, never for secrets. Pure. */
#pragma once

#include <stdint.h>

struct random {
    uint64_t state;
};

static inline struct random random_of(uint64_t seed) {
    return (struct random){seed};
}

static inline uint64_t random_next(struct random *random) {
    uint64_t z = random->state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* Evenly from [0, 1). */
static inline double random_real(struct random *random) {
    return (double)(random_next(random) >> 11) * 0x1p-53;
}

/* Evenly (but for at most one part in 2^32) from 0..most; most < 2^32. */
static inline uint64_t random_integer(struct random *random, uint64_t most) {
    return ((random_next(random) >> 32) * (most + 1)) >> 32;
}
