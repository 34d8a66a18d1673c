/* A number of at most 19 digits is an integer times a power of ten; where that product is exact in
 * doubles (W. D. Clinger, "How to read floating point numbers accurately", 1990), or too far from
 * the middle between two floats for its error to matter, it is the result. Everything else (more
 * digits, large exponents, fractions for integers) goes through yyjson's reader, one number at a
 * time. So a float is what it would be as (float)strtod(text), bit for bit.
 *
 * The text ends with ']', which ends every scan: nothing is read beyond it but by the loads of
 * eight bytes. */
#include "protocol/v2_numbers.h"

#include "protocol/v2_element.h"

/* The loop over numbers is one function, with what a number consists of in registers. */
#define INLINE static inline __attribute__((always_inline))

enum { DIGITS_MAX = 19, POWER_MAX = 22 };

/* What doubles hold exactly: integers up to here, and the powers of ten below. */
#define EXACT_INTEGER_MAX ((uint64_t)1 << 53)

static const double powers[POWER_MAX + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                             1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                             1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static const char *skip_space(const char *p) {
    while (is_space(*p))
        p++;
    return p;
}

static bool is_digit(char c) {
    return (unsigned char)(c - '0') <= 9;
}

/* Reads a run of digits onto *value; it wraps when they are too many, which the caller counts.
 * Eight bytes at once: the digits among them are moved to the top, so that zeros stand before them,
 * and added up in pairs, fours and eights. */
INLINE const char *read_digits(const char *p, uint64_t *value) {
    static const uint64_t scale[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    for (;;) {
        uint64_t bytes;
        memcpy(&bytes, p, sizeof bytes);
        bytes ^= 0x3030303030303030; /* digits become 0 to 9, and nothing else does */
        uint64_t others = ((bytes + 0x7676767676767676) | bytes) & 0x8080808080808080;
        unsigned count = others ? (unsigned)__builtin_ctzll(others) / 8 : 8;
        if (count == 0)
            return p;
        bytes <<= 64 - 8 * count;
        bytes = bytes * 10 + (bytes >> 8);
        bytes = ((bytes & 0x000000FF000000FF) * (100 + ((uint64_t)1000000 << 32)) +
                 ((bytes >> 16) & 0x000000FF000000FF) * (1 + ((uint64_t)10000 << 32))) >>
                32;
        *value = *value * scale[count] + bytes;
        p += count;
        if (count < 8)
            return p;
    }
}

/* digits / 10^decimals, negated when `sign` is 1. */
struct number {
    const char *end; /* NULL: it has too many digits or a large exponent, or is no number */
    uint64_t digits;
    int64_t decimals; /* 0 to POWER_MAX */
    uint64_t sign;
    bool whole; /* written without a point and an exponent */
};

/* "e-7", with at most three digits; the caller finds a number that ends where it begins. */
static const char *read_exponent(const char *p, int64_t *decimals) {
    const char *start = p++;
    bool negative = *p == '-';
    p += *p == '-' || *p == '+';
    int64_t value = 0;
    const char *digits = p;
    for (; is_digit(*p) && p - digits < 4; p++)
        value = value * 10 + (*p - '0');
    *decimals += negative ? value : -value;
    return p == digits || p - digits > 3 ? start : p;
}

/* `long_whole`: many digits are likely before the point; else one to three, one at a time. */
INLINE struct number read_number(const char *p, bool long_whole) {
    struct number number = {.sign = *p == '-', .whole = true};
    p += number.sign;
    const char *start = p;
    uint64_t digits = 0;
    if (long_whole)
        p = read_digits(p, &digits);
    else
        for (; is_digit(*p); p++)
            digits = digits * 10 + (uint64_t)(*p - '0');
    int64_t count = p - start;
    if (count == 0 || (*start == '0' && count > 1))
        return number;
    int64_t decimals = 0;
    if (*p == '.') {
        const char *fraction = ++p;
        p = read_digits(p, &digits);
        decimals = p - fraction;
        count += decimals;
        if (decimals == 0)
            return number;
        number.whole = false;
    }
    if ((*p | 0x20) == 'e') {
        p = read_exponent(p, &decimals);
        number.whole = false;
    }
    if (count > DIGITS_MAX || digits > INT64_MAX || decimals < 0 || decimals > POWER_MAX)
        return number;
    number.digits = digits;
    number.decimals = decimals;
    number.end = p;
    return number;
}

/* The double nearest to the number, if it is exact; else one within two units in the last place of
 * that. */
INLINE double to_double(struct number number) {
    double value = (double)(int64_t)number.digits / powers[number.decimals];
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits |= number.sign << 63; /* a branch would be mispredicted for half the numbers */
    memcpy(&value, &bits, sizeof bits);
    return value;
}

INLINE bool is_exact(struct number number) {
    return number.digits <= EXACT_INTEGER_MAX || number.decimals == 0;
}

/* A float keeps the upper 23 of a double's 52 bits of fraction. Unless the 29 others are near
 * 1000..., a few units in the last place do not change what the float is. `value` is far from the
 * smallest and the largest floats, as its power of ten says. */
static bool float_is_sure(double value) {
    enum { DROPPED = 29, ERROR_MAX = 8 };
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint64_t middle = (uint64_t)1 << (DROPPED - 1);
    uint64_t dropped = bits & ((middle << 1) - 1);
    return dropped - (middle - ERROR_MAX) > 2 * ERROR_MAX;
}

/* Reads one number with yyjson into an element. */
static const char *read_hard(const char *p, enum datatype datatype, char *out) {
    yyjson_val value;
    const char *end = yyjson_read_number(p, &value, YYJSON_READ_BIGNUM_AS_RAW, NULL, NULL);
    return end && v2_element_read(&value, datatype, out) == V2_FAULT_NONE ? end : NULL;
}

INLINE const char *read_fp32(const char *p, char *out) {
    struct number number = read_number(p, false);
    double value = to_double(number);
    if (!number.end || (!is_exact(number) && !float_is_sure(value)))
        return read_hard(p, DATATYPE_FP32, out);
    float single = (float)value;
    memcpy(out, &single, sizeof single);
    return number.end;
}

INLINE const char *read_real(const char *p, enum datatype datatype, char *out) {
    struct number number = read_number(p, false);
    if (!number.end || !is_exact(number))
        return read_hard(p, datatype, out);
    enum v2_fault fault = v2_element_store_real(to_double(number), datatype, out);
    return fault == V2_FAULT_NONE ? number.end : NULL;
}

/* The bits of a negative number are those of an unsigned one, cut to the size. */
INLINE const char *read_integer(const char *p, enum datatype datatype, char *out) {
    struct number number = read_number(p, true);
    size_t size = datatype == DATATYPE_INT64 ? sizeof(int64_t) : datatype_size(datatype);
    bool is_signed = datatype == DATATYPE_INT64 || datatype_json(datatype) == DATATYPE_JSON_SIGNED;
    uint64_t max = is_signed     ? (uint64_t)v2_ranges[size].max + number.sign
                   : number.sign ? 0
                                 : v2_ranges[size].unsigned_max;
    if (!number.end || !number.whole || number.digits > max)
        return read_hard(p, datatype, out);
    uint64_t bits = number.sign ? 0 - number.digits : number.digits;
    memcpy(out, &bits, size);
    return number.end;
}

/* Skips `separator` and the white space around it (behind a bracket the text may end). */
static const char *skip_separator(const char *p, char separator) {
    p = skip_space(p);
    if (*p != separator)
        return NULL;
    return separator == ']' ? p + 1 : skip_space(p + 1);
}

/* Reads `count` elements and the bracket that ends them; `p` is behind the one that begins them.
 * Made for a datatype, so that the loop has no choices. */
INLINE const char *read_row_of(enum datatype datatype, const char *p, size_t count, char *out) {
    size_t size = datatype_size(datatype);
    p = skip_space(p);
    for (size_t i = 1;; i++, out += size) {
        if (datatype == DATATYPE_FP32)
            p = read_fp32(p, out);
        else if (datatype_json(datatype) == DATATYPE_JSON_REAL)
            p = read_real(p, datatype, out);
        else
            p = read_integer(p, datatype, out);
        if (!p)
            return NULL;
        if (i == count)
            return skip_separator(p, ']');
        if (*p == ',' && (unsigned char)p[1] > ' ')
            p++;
        else if (!(p = skip_separator(p, ',')))
            return NULL;
    }
}

static const char *read_row(enum datatype datatype, const char *p, size_t count, char *out) {
    switch (datatype) {
    case DATATYPE_FP32:
        return read_row_of(DATATYPE_FP32, p, count, out);
    case DATATYPE_INT64:
        return read_row_of(DATATYPE_INT64, p, count, out);
    default:
        return read_row_of(datatype, p, count, out);
    }
}

/* Follows the nesting of the shape; left[i] counts the arrays that are to come at depth i + 1.
 * Every bracket that closes may be the text's last byte. */
static bool read_nested(struct str array, const struct tensor *tensor) {
    const char *p = array.p;
    const char *end = array.p + array.n;
    size_t row = (size_t)tensor->shape[tensor->rank - 1];
    char *out = tensor->data;
    int64_t left[TENSOR_RANK_MAX] = {0};
    size_t depth = 0;
    for (;;) {
        if (*p++ != '[')
            return false;
        if (depth + 1 < tensor->rank) {
            left[depth] = tensor->shape[depth];
            depth++;
            p = skip_space(p);
            continue;
        }
        p = read_row(tensor->datatype, p, row, out);
        if (!p)
            return false;
        out += row * datatype_size(tensor->datatype);
        for (;;) {
            if (depth == 0 || p == end)
                return depth == 0 && p == end;
            p = skip_space(p);
            if (--left[depth - 1] > 0)
                break;
            if (*p++ != ']')
                return false;
            depth--;
        }
        if (*p != ',')
            return false;
        p = skip_space(p + 1);
    }
}

enum err v2_numbers_read(struct v2_reader *reader, struct str array, const struct tensor_spec *spec,
                         struct tensor *tensor) {
    enum datatype_json json = datatype_json(tensor->datatype);
    size_t count = (size_t)tensor->count;
    bool numbers = json == DATATYPE_JSON_REAL || json == DATATYPE_JSON_SIGNED ||
                   json == DATATYPE_JSON_UNSIGNED;
    /* "[1,2]": a short text asks for no memory. */
    if (!numbers || count == 0 || count > array.n / 2)
        return ERR_INVALID;
    enum err e =
        v2_reader_take(reader, spec, count, datatype_size(tensor->datatype), &tensor->data);
    if (e)
        return e;
    const char *first = skip_space(array.p + 1);
    bool read = *first == '['
                    ? tensor->rank > 1 && read_nested(array, tensor)
                    : read_row(tensor->datatype, first, count, tensor->data) == array.p + array.n;
    return read ? ERR_OK : ERR_INVALID;
}
