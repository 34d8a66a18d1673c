#include "base/clock.h"

#include "base/num.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_clock(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static uint64_t real_monotonic(const struct clock *clock) {
    (void)clock;
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t real_wall(const struct clock *clock) {
    (void)clock;
    return read_clock(CLOCK_REALTIME);
}

const struct clock clock_real = {real_monotonic, real_wall};

static uint64_t fake_monotonic(const struct clock *clock) {
    return ((const struct clock_fake *)(const void *)clock)->now_ns;
}

static uint64_t fake_wall(const struct clock *clock) {
    const struct clock_fake *fake = (const void *)clock;
    return fake->now_ns + fake->wall_offset_ns;
}

void clock_fake_init(struct clock_fake *fake, uint64_t now_ns) {
    *fake = (struct clock_fake){{fake_monotonic, fake_wall}, now_ns, 0};
}

static void put_digits(char *out, unsigned value, int count) {
    for (int i = count - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* Civil date from days since 1970-01-01: Howard Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms", civil_from_days. Used instead of gmtime_r: one log line each request. */
static void civil_from_days(uint64_t days, unsigned *year, unsigned *month, unsigned *day) {
    uint64_t z = days + 719468;
    uint64_t era = z / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = (unsigned)(yoe + era * 400) + (*month <= 2);
}

void clock_format_rfc3339(uint64_t wall_ns, char out[CLOCK_RFC3339_SIZE]) {
    uint64_t seconds = wall_ns / NS_PER_S;
    unsigned micros = (unsigned)(wall_ns % NS_PER_S / NS_PER_US);
    unsigned in_day = (unsigned)(seconds % 86400);
    unsigned year, month, day;
    civil_from_days(seconds / 86400, &year, &month, &day);
    put_digits(out, year, 4);
    out[4] = '-';
    put_digits(out + 5, month, 2);
    out[7] = '-';
    put_digits(out + 8, day, 2);
    out[10] = 'T';
    put_digits(out + 11, in_day / 3600, 2);
    out[13] = ':';
    put_digits(out + 14, in_day / 60 % 60, 2);
    out[16] = ':';
    put_digits(out + 17, in_day % 60, 2);
    out[19] = '.';
    put_digits(out + 20, micros, 6);
    out[26] = 'Z';
    out[27] = '\0';
}
