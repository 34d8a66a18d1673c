#include "base/id.h"

#include "base/check.h"

#include <stdint.h>
#include <sys/random.h>

/* splitmix64 (Steele, Lea, Flood 2014): one multiply-xor chain per word, ample for ids. */
static uint64_t next_word(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void id_make(char out[ID_SIZE]) {
    static _Thread_local uint64_t state[2];
    static _Thread_local int seeded;
    if (!seeded) {
        CHECK(getrandom(state, sizeof state, 0) == (ssize_t)sizeof state);
        seeded = 1;
    }
    for (int half = 0; half < 2; half++) {
        uint64_t word = next_word(&state[half]);
        for (int i = 0; i < 16; i++)
            out[half * 16 + i] = "0123456789abcdef"[(word >> (60 - 4 * i)) & 15];
    }
    out[32] = '\0';
}
