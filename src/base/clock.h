/* Time as a value that can be replaced: the real clock, or a fake that tests move by hand. */
#pragma once

#include <stdint.h>

struct clock {
    uint64_t (*monotonic_ns)(const struct clock *clock);
    uint64_t (*wall_ns)(const struct clock *clock); /* since 1970-01-01 UTC */
};

extern const struct clock clock_real;

struct clock_fake {
    struct clock clock; /* first: a struct clock * may point here */
    uint64_t now_ns;
    uint64_t wall_offset_ns;
};

void clock_fake_init(struct clock_fake *fake, uint64_t now_ns);

static inline uint64_t clock_now(const struct clock *clock) {
    return clock->monotonic_ns(clock);
}

/* RFC 3339 UTC with microseconds, "2026-01-31T12:00:00.000000Z": writes 27 characters and a NUL. */
enum { CLOCK_RFC3339_SIZE = 28 };
void clock_format_rfc3339(uint64_t wall_ns, char out[CLOCK_RFC3339_SIZE]);
