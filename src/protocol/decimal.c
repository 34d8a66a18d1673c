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

    /* Chosen without branches: which decimal is the shortest follows no pattern. */
    uint32_t s = value / 4;
    uint32_t ten = s / 10; /* is there one with a digit less? */
    bool ten_down = low <= 40 * ten;
    bool ten_up = 40 * ten + 40 <= high;
    bool shorter = (s >= 10) & (ten_down != ten_up);
    bool down = low <= 4 * s;
    bool up = 4 * s + 4 <= high;
    bool nearer = value + (s & 1) > 4 * s + 2; /* a tie goes to even */
    uint32_t digits = s + (down == up ? nearer : up);
    return (struct decimal){shorter ? ten + ten_up : digits, k + shorter};
}

/* Writes the `count` last digits of `value` from out on. Digits go straight to where they stay:
 * moving freshly written bytes makes the processor wait for them. */
static void put_digits(uint64_t value, size_t count, char *out) {
    static const char pairs[] = "0001020304050607080910111213141516171819"
                                "2021222324252627282930313233343536373839"
                                "4041424344454647484950515253545556575859"
                                "6061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    while (count >= 2) {
        count -= 2;
        memcpy(out + count, pairs + 2 * (value % 100), 2);
        value /= 100;
    }
    if (count > 0)
        *out = (char)('0' + value % 10);
}

static const uint32_t tens[] = {1,      10,      100,      1000,      10000,
                                100000, 1000000, 10000000, 100000000, 1000000000};

/* From the bits by log10(2) = 1233/4096, without a branch to mispredict. */
static size_t count_digits(uint32_t value) {
    unsigned bits = 32 - (unsigned)__builtin_clz(value | 1);
    unsigned low = bits * 1233 >> 12;
    return low + (value >= tens[low]) + (value == 0);
}

size_t decimal_write_u64(uint64_t value, char *out) {
    size_t count = 0;
    uint64_t high = value;
    while (high > UINT32_MAX) {
        high /= 1000000000;
        count += 9;
    }
    count += count_digits((uint32_t)high);
    put_digits(value, count, out);
    return count;
}

size_t decimal_write_i64(int64_t value, char *out) {
    if (value >= 0)
        return decimal_write_u64((uint64_t)value, out);
    *out = '-';
    return 1 + decimal_write_u64(0 - (uint64_t)value, out + 1);
}

/* Nine digits, the last eight as text, first in the lowest byte: whatever is written of them is
 * written from registers, in pieces of fixed size, without a branch for their number. */
struct nine {
    char first;
    uint64_t rest;
};

/* Divides both halves by 100, then all quarters by 10, by multiplying with the reciprocal. */
static uint64_t text_of_eight(uint32_t value) {
    uint64_t fours = value / 10000 | (uint64_t)(value % 10000) << 32;
    uint64_t hundreds = (fours * 10486 >> 20) & 0x0000007F0000007F;
    uint64_t twos = hundreds | (fours - 100 * hundreds) << 16;
    uint64_t ten = (twos * 103 >> 10) & 0x000F000F000F000F;
    return (ten | (twos - 10 * ten) << 8) + 0x3030303030303030;
}

static struct nine nine_of(uint32_t digits, size_t count) {
    digits *= tens[9 - count];
    return (struct nine){(char)('0' + digits / tens[8]), text_of_eight(digits % tens[8])};
}

/* 1.5e-7; `exponent` is at most 45 from 0. */
static size_t write_scientific(struct nine nine, size_t count, int exponent, char *out) {
    out[0] = nine.first;
    out[1] = '.';
    memcpy(out + 2, &nine.rest, 8);
    size_t n = count > 1 ? count + 1 : 1;
    out[n++] = 'e';
    return n + decimal_write_i64(exponent, out + n);
}

/* Plain for 1e-5 <= value < 1e16, else with an exponent. `x` has 9 digits at most, or zeros at its
 * end. */
static size_t write_decimal(struct decimal x, char *out) {
    while (x.digits % 10 == 0) {
        x.digits /= 10;
        x.exponent++;
    }
    size_t count = count_digits(x.digits);
    struct nine nine = nine_of(x.digits, count);
    int point = (int)count + x.exponent; /* where the decimal point stands, counted in digits */
    if (point > 16 || point < -4)
        return write_scientific(nine, count, point - 1, out);
    if (point <= 0) {
        memcpy(out, "0.000000", 8);
        out += 2 - point;
        *out = nine.first;
        memcpy(out + 1, &nine.rest, 8);
        return (size_t)(2 - point) + count;
    }
    size_t whole = (size_t)point;
    out[0] = nine.first;
    memcpy(out + 1, &nine.rest, 8);
    if (count <= whole) {
        memcpy(out + 9, "0000000", 7);
        memcpy(out + whole, ".0", 2);
        return whole + 2;
    }
    nine.rest >>= 8 * (whole - 1);
    out[whole] = '.';
    memcpy(out + whole + 1, &nine.rest, 8);
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
    *out = '-';
    size_t n = bits >> format.sign_at; /* no branch: half the numbers would mispredict it */
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
