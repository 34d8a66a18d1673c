/* Shortest decimals of binary32, binary16 and bfloat16 after Raffaello Giulietti, "The Schubfach
 * way to render doubles" (2020): of all decimals that round to the number, those with the fewest
 * digits, and of these the nearest. The three formats share one routine: a number is c * 2^q, and
 * its neighbours' midpoints are (4c - 2) and (4c + 2) quarters of 2^q. Products need at most 96
 * bits. yyjson writes the shortest decimal of a double only, which for a float has 17 digits. */
#include "protocol/decimal.h"

#include "base/check.h"

#include <stdbool.h>
#include <string.h>

enum { POWER_MIN = -36, POWER_MAX = 45 };

static const uint64_t powers[] = {
#define POWER(n) n,
#include "protocol/decimal_powers.def"
#undef POWER
};

_Static_assert(sizeof powers / sizeof *powers == POWER_MAX - POWER_MIN + 1, "a row each power");

/* digits * 10^exponent */
struct decimal {
    uint32_t digits;
    int exponent;
};

/* What the leading bits of a format's number mean. */
struct binary {
    uint32_t significand; /* c, with the hidden bit */
    int exponent;         /* q */
    bool lower_closer;    /* a power of two: the number below is only half as far */
};

/* floor(log10(2^q)), or floor(log10(3/4 * 2^q)): exact for |q| < 1500 (Giulietti, section 8). */
static int log10_of_power(int q, bool lower_closer) {
    return (q * 1262611 - (lower_closer ? 524031 : 0)) >> 22;
}

/* floor(log2(10^e)) for |e| < 1200. */
static int log2_of_ten(int e) {
    return (e * 1741647) >> 19;
}

/* floor(power * factor / 2^64) with the lowest bit set when something was cut off: comparisons with
 * multiples of 2 then come out as with the exact product. `power` is up to one unit too large,
 * which the low half shows as 0 or 1. */
static uint32_t scale_odd(uint64_t power, uint32_t factor) {
    __extension__ unsigned __int128 product = (unsigned __int128)power * factor;
    uint32_t low = (uint32_t)(product >> 32);
    return (uint32_t)(product >> 64) | (low > 1);
}

static struct decimal shortest(struct binary x) {
    bool even = x.significand % 2 == 0; /* the interval's ends round to x too */
    int k = log10_of_power(x.exponent, x.lower_closer);
    int shift = x.exponent + log2_of_ten(-k) + 1;
    CHECK(-k >= POWER_MIN && -k <= POWER_MAX);
    uint64_t power = powers[-k - POWER_MIN];
    /* The number and its interval in quarters of 10^k. */
    uint32_t value = scale_odd(power, (4 * x.significand) << shift);
    uint32_t low = scale_odd(power, (4 * x.significand - 2 + x.lower_closer) << shift) + !even;
    uint32_t high = scale_odd(power, (4 * x.significand + 2) << shift) - !even;

    uint32_t s = value / 4;
    if (s >= 10) { /* is there one with a digit less? */
        uint32_t tens = s / 10;
        bool down = low <= 40 * tens;
        bool up = 40 * tens + 40 <= high;
        if (down != up) {
            return (struct decimal){tens + up, k + 1};
        }
    }
    bool down = low <= 4 * s;
    bool up = 4 * s + 4 <= high;
    if (down == up) { /* both or none lie inside: the nearer one, a tie to even */
        uint32_t middle = 4 * s + 2;
        up = value > middle || (value == middle && s % 2 == 1);
    }
    return (struct decimal){s + up, k};
}

size_t decimal_write_u64(uint64_t value, char *out) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

size_t decimal_write_i64(int64_t value, char *out) {
    if (value >= 0) {
        return decimal_write_u64((uint64_t)value, out);
    }
    *out = '-';
    return 1 + decimal_write_u64(0 - (uint64_t)value, out + 1);
}

static size_t fill(char *out, size_t count) {
    memset(out, '0', count);
    return count;
}

/* Plain for 1e-5 <= value < 1e16, else with an exponent. */
static size_t write_decimal(struct decimal x, char *out) {
    while (x.digits % 10 == 0) {
        x.digits /= 10;
        x.exponent++;
    }
    char digits[10];
    size_t count = decimal_write_u64(x.digits, digits);
    int point = (int)count + x.exponent; /* where the decimal point stands, counted in digits */
    size_t n = 0;
    if (point > 16 || point < -4) {
        out[n++] = digits[0];
        if (count > 1) {
            out[n++] = '.';
            memcpy(out + n, digits + 1, count - 1);
            n += count - 1;
        }
        out[n++] = 'e';
        return n + decimal_write_i64(point - 1, out + n);
    }
    if (point <= 0) {
        memcpy(out, "0.", 2);
        n = 2 + fill(out + 2, (size_t)-point);
        memcpy(out + n, digits, count);
        return n + count;
    }
    size_t whole = (size_t)point;
    if (count <= whole) {
        memcpy(out, digits, count);
        n = count + fill(out + count, whole - count);
        memcpy(out + n, ".0", 2);
        return n + 2;
    }
    memcpy(out, digits, whole);
    out[whole] = '.';
    memcpy(out + whole + 1, digits + whole, count - whole);
    return count + 1;
}

/* How a format lays out its bits: the sign, the exponent, `width` bits of fraction. `bias` makes
 * the significand an integer. */
struct format {
    unsigned sign_at;
    unsigned width;
    int bias;
};

static size_t write_binary(struct format format, uint32_t bits, char *out) {
    uint32_t hidden = (uint32_t)1 << format.width;
    uint32_t fraction = bits & (hidden - 1);
    uint32_t magnitude = bits & (((uint32_t)1 << format.sign_at) - 1);
    int exponent = (int)(magnitude >> format.width);
    size_t n = 0;
    if (bits >> format.sign_at) {
        out[n++] = '-';
    }
    if (magnitude == 0) {
        memcpy(out + n, "0.0", 3);
        return n + 3;
    }
    struct binary x = {fraction, 1 - format.bias, false};
    if (exponent > 0) {
        x = (struct binary){fraction | hidden, exponent - format.bias,
                            fraction == 0 && exponent > 1};
    }
    return n + write_decimal(shortest(x), out + n);
}

size_t decimal_write_fp32(float value, char *out) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return write_binary((struct format){31, 23, 127 + 23}, bits, out);
}

size_t decimal_write_fp16(uint16_t bits, char *out) {
    return write_binary((struct format){15, 10, 15 + 10}, bits, out);
}

size_t decimal_write_bf16(uint16_t bits, char *out) {
    return write_binary((struct format){15, 7, 127 + 7}, bits, out);
}
