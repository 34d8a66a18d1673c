// Decimals: that they read back as the same number, are the shortest that do, and the nearest of
// these.
#include "protocol/decimal.h"

#include "tensor/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void expect_fp32(float value, const char *expected) {
    char out[DECIMAL_SIZE_MAX + 1];
    memset(out, '#', sizeof out);
    size_t n = decimal_write_fp32(value, out);
    assert_int_equal(out[DECIMAL_SIZE_MAX], '#');
    out[n] = '\0';
    assert_string_equal(out, expected);
}

static void test_numbers_look_as_people_write_them(void **state) {
    (void)state;
    static const struct {
        float value;
        const char *text;
    } rows[] = {
        {0, "0.0"},
        {-0.0F, "-0.0"},
        {1, "1.0"},
        {-1, "-1.0"},
        {10, "10.0"},
        {0.1F, "0.1"},
        {0.3F, "0.3"},
        {-0.000765F, "-0.000765"},
        {3.1415927F, "3.1415927"},
        {123456.79F, "123456.79"},
        {131072.125F, "131072.12"}, // as near to .13: the even digit
        {131072.375F, "131072.38"},
        {16777216, "16777216.0"},
        {16777218, "16777218.0"},
        {100000000, "100000000.0"},
        {1e15F, "1000000000000000.0"},
        {9e15F, "9000000000000000.0"},
        {1e16F, "1e16"},
        {-1.5e17F, "-1.5e17"},
        {0.00001F, "0.00001"},
        {0.000012345679F, "0.000012345679"},
        {0.000001F, "1e-6"},
        {-1.2345678e-9F, "-1.2345678e-9"},
        {3.4028235e38F, "3.4028235e38"},
        {1.1754944e-38F, "1.1754944e-38"},
        {1e-45F, "1e-45"},
        {-1.17549435e-38F, "-1.1754944e-38"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_fp32(rows[i].value, rows[i].text);
}

// Significant digits of a decimal text.
static int count_digits(const char *s) {
    int count = 0;
    int zeros = 0;
    for (; *s && *s != 'e'; s++) {
        if (*s >= '0' && *s <= '9' && (count > 0 || *s != '0')) {
            count++;
            zeros = *s == '0' ? zeros + 1 : 0;
        }
    }
    return count - zeros;
}

// The reference is the C library, trying 1 to 9 digits. It looks only at the nearest decimal of
// each length, which beside a power of two may miss a shorter one.
static void expect_shortest(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    char out[DECIMAL_SIZE_MAX + 1];
    out[decimal_write_fp32(value, out)] = '\0';
    assert_true(strtof(out, NULL) == value);
    char reference[32];
    int digits = 0;
    do {
        snprintf(reference, sizeof reference, "%.*e", digits++, (double)value);
    } while (strtof(reference, NULL) != value);
    assert_true(count_digits(out) <= count_digits(reference));
    if (count_digits(out) == count_digits(reference)) {
        double error = fabs(strtod(out, NULL) - (double)value);
        assert_true(error <= fabs(strtod(reference, NULL) - (double)value) * (1 + 1e-9));
    }
}

static void test_floats_are_shortest_and_nearest(void **state) {
    (void)state;
    for (uint32_t bits = 1; bits < 0x7F800000; bits += 65521)
        expect_shortest(bits);
    for (uint32_t exponent = 1; exponent < 255; exponent++) { // powers of two and their neighbours
        expect_shortest(exponent << 23);
        expect_shortest((exponent << 23) + 1);
        expect_shortest((exponent << 23) - 1);
    }
    for (uint32_t bits = 1; bits < 300; bits++) // the smallest
        expect_shortest(bits);
}

static void test_floats_all_over_the_range_read_back(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 0x7F800000; bits += 1021) {
        float value;
        memcpy(&value, &bits, sizeof value);
        char out[DECIMAL_SIZE_MAX + 1];
        out[decimal_write_fp32(-value, out)] = '\0';
        assert_true(*out == '-' && strtof(out, NULL) == -value);
    }
}

static void test_every_half_number_reads_back(void **state) {
    (void)state;
    char out[DECIMAL_SIZE_MAX + 1];
    for (uint32_t bits = 0; bits <= UINT16_MAX; bits++) {
        uint16_t half = (uint16_t)bits;
        if (isfinite(fp16_to_float(half))) {
            out[decimal_write_fp16(half, out)] = '\0';
            assert_int_equal(fp16_from_float(strtof(out, NULL)), half);
            assert_true(count_digits(out) <= 5);
        }
        if (isfinite(bf16_to_float(half))) {
            out[decimal_write_bf16(half, out)] = '\0';
            assert_int_equal(bf16_from_float(strtof(out, NULL)), half);
            assert_true(count_digits(out) <= 4);
        }
    }
}

static void test_known_half_numbers_are_short(void **state) {
    (void)state;
    static const struct {
        uint16_t bits;
        const char *fp16, *bf16;
    } rows[] = {
        {0x0000, "0.0", "0.0"},   {0x8000, "-0.0", "-0.0"},       {0x3C00, "1.0", "0.0078"},
        {0x3555, "0.3333", NULL}, {0x7BFF, "65500.0", "2.65e36"}, {0x0001, "6e-8", "9e-41"},
        {0xBF80, NULL, "-1.0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[DECIMAL_SIZE_MAX + 1];
        if (rows[i].fp16) {
            out[decimal_write_fp16(rows[i].bits, out)] = '\0';
            assert_string_equal(out, rows[i].fp16);
        }
        if (rows[i].bf16) {
            out[decimal_write_bf16(rows[i].bits, out)] = '\0';
            assert_string_equal(out, rows[i].bf16);
        }
    }
}

static void expect_integer(uint64_t value) {
    char out[DECIMAL_SIZE_MAX + 1];
    char expected[32];
    memset(out, '#', sizeof out);
    out[decimal_write_u64(value, out)] = '\0';
    snprintf(expected, sizeof expected, "%llu", (unsigned long long)value);
    assert_string_equal(out, expected);
    out[decimal_write_i64((int64_t)value, out)] = '\0';
    snprintf(expected, sizeof expected, "%lld", (long long)(int64_t)value);
    assert_string_equal(out, expected);
}

static void test_integers_of_every_length_are_written(void **state) {
    (void)state;
    expect_integer(0);
    uint64_t power = 1;
    for (int digits = 1; digits <= 20; digits++) {
        expect_integer(power - 1);
        expect_integer(power);
        expect_integer(power + 1);
        expect_integer(0 - power);
        power *= 10;
    }
    for (int bit = 0; bit < 64; bit++) {
        expect_integer((uint64_t)1 << bit);
        expect_integer(((uint64_t)1 << bit) - 1);
    }
    expect_integer(UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_look_as_people_write_them),
        cmocka_unit_test(test_floats_are_shortest_and_nearest),
        cmocka_unit_test(test_floats_all_over_the_range_read_back),
        cmocka_unit_test(test_every_half_number_reads_back),
        cmocka_unit_test(test_known_half_numbers_are_short),
        cmocka_unit_test(test_integers_of_every_length_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
