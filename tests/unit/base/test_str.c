/* Borrowed runs of bytes: comparing, cutting, numbers, UTF-8. */
#include "base/str.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct str nothing = {NULL, 0};

static void assert_str(struct str s, const char *expected) {
    assert_int_equal(s.n, strlen(expected));
    if (s.n)
        assert_memory_equal(s.p, expected, s.n);
}

static void test_a_literal_may_hold_zero_bytes(void **state) {
    (void)state;
    struct str s = STR("a\0b");
    assert_int_equal(s.n, 3);
    assert_int_equal(str_of("abc").n, 3);
    assert_int_equal(str_of(NULL).n, 0);
    assert_null(str_of(NULL).p);
}

static void test_prints_with_its_length(void **state) {
    (void)state;
    char out[128];
    snprintf(out, sizeof out, "[%.*s]", STR_ARG(((struct str){"abcdef", 3})));
    assert_string_equal(out, "[abc]");
    snprintf(out, sizeof out, "[%.*s]", STR_ARG(nothing));
    assert_string_equal(out, "[]");
    char first[64] = "only this";
    struct str endless = {first, (size_t)1 << 40}; /* a precision is an int */
    snprintf(out, sizeof out, "[%.*s]", STR_ARG(endless));
    assert_string_equal(out, "[only this]");
}

static void test_equal_means_the_same_bytes(void **state) {
    (void)state;
    assert_true(str_eq(STR("abc"), STR("abc")));
    assert_false(str_eq(STR("abc"), STR("abd")));
    assert_false(str_eq(STR("abc"), STR("ab")));
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
    assert_true(str_eq(nothing, STR("")));
    assert_true(str_eq_c(STR("abc"), "abc"));
    assert_true(str_eq_c(nothing, NULL));
    assert_false(str_eq_c(STR("abc"), "abcd"));
}

static void test_case_is_ignored_for_ascii_letters_only(void **state) {
    (void)state;
    assert_true(str_eq_nocase(STR("Content-LENGTH"), STR("content-length")));
    assert_true(str_eq_nocase(STR("AZaz"), STR("azAZ")));
    assert_false(str_eq_nocase(STR("@"), STR("`"))); /* 32 apart, and no letters */
    assert_false(str_eq_nocase(STR("["), STR("{")));
    assert_false(str_eq_nocase(STR("\xC4"), STR("\xE4")));
    assert_false(str_eq_nocase(STR("ab"), STR("abc")));
    assert_true(str_eq_nocase(nothing, STR("")));
}

static void test_starts_and_ends(void **state) {
    (void)state;
    assert_true(str_starts(STR("/v2/models"), STR("/v2")));
    assert_false(str_starts(STR("/v2"), STR("/v2/")));
    assert_false(str_starts(STR("/v1/models"), STR("/v2")));
    assert_true(str_starts(STR("a"), nothing));
    assert_true(str_starts(nothing, nothing));
    assert_true(str_ends(STR("model.onnx"), STR(".onnx")));
    assert_false(str_ends(STR("onnx"), STR(".onnx")));
    assert_false(str_ends(STR("model.onny"), STR(".onnx")));
    assert_true(str_ends(STR("a"), nothing));
    assert_true(str_ends(nothing, nothing));
}

static void test_trims_blanks_and_tabs_at_both_ends(void **state) {
    (void)state;
    assert_str(str_trim(STR(" \t a b\t ")), "a b");
    assert_str(str_trim(STR("a")), "a");
    assert_str(str_trim(STR("\n a ")), "\n a");
    assert_str(str_trim(STR(" \t ")), "");
    assert_str(str_trim(nothing), "");
}

static void check_split(const char *text, size_t count, const char *const *parts) {
    struct str rest = str_of(text), part;
    for (size_t i = 0; i < count; i++) {
        assert_true(str_split(&rest, ',', &part));
        assert_str(part, parts[i]);
    }
    part = STR("untouched");
    assert_false(str_split(&rest, ',', &part));
    assert_str(part, "untouched");
}

static void test_splits_and_keeps_empty_parts(void **state) {
    (void)state;
    check_split("a,,b", 3, (const char *const[]){"a", "", "b"});
    check_split("abc", 1, (const char *const[]){"abc"});
    check_split("", 1, (const char *const[]){""});
    check_split(",", 2, (const char *const[]){"", ""});
    check_split("a,", 2, (const char *const[]){"a", ""});
    check_split(NULL, 0, NULL);
}

static void test_reads_unsigned_numbers_to_the_last(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"0", 0}, {"7", 7}, {"00042", 42}, {"18446744073709551615", UINT64_MAX}};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        uint64_t value = 99;
        assert_true(str_to_u64(str_of(good[i].text), &value));
        assert_true(value == good[i].value);
    }
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1e3",
                                      "0x",
                                      "1.0",
                                      "18446744073709551616",
                                      "18446744073709551620",
                                      "99999999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint64_t value = 99;
        assert_false(str_to_u64(str_of(bad[i]), &value));
        assert_int_equal(value, 99);
    }
    assert_false(str_to_u64(nothing, &(uint64_t){0}));
    uint64_t value;
    assert_false(str_to_u64(STR("1\0"), &value));
}

static void test_reads_signed_numbers_to_the_last(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"-0", 0},
                {"-42", -42},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        int64_t value = 99;
        assert_true(str_to_i64(str_of(good[i].text), &value));
        assert_true(value == good[i].value);
    }
    static const char *const bad[] = {"",
                                      "-",
                                      "--1",
                                      "+1",
                                      "1-",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "-99999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t value = 99;
        assert_false(str_to_i64(str_of(bad[i]), &value));
        assert_int_equal(value, 99);
    }
    assert_false(str_to_i64(nothing, &(int64_t){0}));
}

/* RFC 3629, section 4: the first and the last of every row of its grammar, and what lies beside. */
static void test_knows_utf8(void **state) {
    (void)state;
    static const char *const good[] = {
        "",
        "plain",
        "\x7F",
        "\xC2\x80",
        "\xDF\xBF",
        "\xE0\xA0\x80",
        "\xE0\xBF\xBF",
        "\xE1\x80\x80",
        "\xEC\xBF\xBF",
        "\xED\x80\x80",
        "\xED\x9F\xBF",
        "\xEE\x80\x80",
        "\xEF\xBF\xBF",
        "\xF0\x90\x80\x80",
        "\xF0\xBF\xBF\xBF",
        "\xF1\x80\x80\x80",
        "\xF3\xBF\xBF\xBF",
        "\xF4\x80\x80\x80",
        "\xF4\x8F\xBF\xBF",
        "Z\xC3\xBCrich \xE2\x82\xAC",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(str_is_utf8(str_of(good[i])));
    static const char *const bad[] = {
        "\x80",             /* nothing to continue */
        "\xC0\x80",         /* overlong */
        "\xC1\xBF",         /* overlong */
        "\xC2",             /* cut */
        "\xC2\x7F",         /* the second byte is no continuation */
        "\xC2\xC0",         /* neither is this one */
        "\xE0\x9F\xBF",     /* overlong */
        "\xE1\x80",         /* cut */
        "\xE1\x80\xC0",     /* the third is no continuation */
        "\xED\xA0\x80",     /* surrogate */
        "\xED\xBF\xBF",     /* surrogate */
        "\xF0\x8F\xBF\xBF", /* overlong */
        "\xF0\x90\x80",     /* cut */
        "\xF1\x80\x80\x41", /* the fourth is no continuation */
        "\xF4\x90\x80\x80", /* beyond U+10FFFF */
        "\xF5\x80\x80\x80", /* beyond U+10FFFF */
        "\xFF",             /* never */
        "good then bad \xE2\x82",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(str_is_utf8(str_of(bad[i])));
    assert_true(str_is_utf8(nothing));
    assert_true(str_is_utf8(STR("a\0b")));
}

/* A sequence cut by the end of the memory is not read beyond it (AddressSanitizer watches). */
static void test_utf8_reads_nothing_beyond_the_end(void **state) {
    (void)state;
    static const char sequence[] = "\xF0\x9F\x98\x80";
    for (size_t n = 1; n <= 4; n++) {
        char *exact = malloc(n);
        memcpy(exact, sequence, n);
        assert_int_equal(str_is_utf8((struct str){exact, n}), n == 4);
        free(exact);
    }
}

static void test_secrets_are_equal_when_every_byte_is(void **state) {
    (void)state;
    assert_true(str_eq_secret(STR("token"), STR("token")));
    assert_false(str_eq_secret(STR("token"), STR("tokem")));
    assert_false(str_eq_secret(STR("token"), STR("Token")));
    assert_false(str_eq_secret(STR("token"), STR("tokens")));
    assert_false(str_eq_secret(STR("\x80"), STR("\x00")));
    assert_true(str_eq_secret(nothing, nothing));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_literal_may_hold_zero_bytes),
        cmocka_unit_test(test_prints_with_its_length),
        cmocka_unit_test(test_equal_means_the_same_bytes),
        cmocka_unit_test(test_case_is_ignored_for_ascii_letters_only),
        cmocka_unit_test(test_starts_and_ends),
        cmocka_unit_test(test_trims_blanks_and_tabs_at_both_ends),
        cmocka_unit_test(test_splits_and_keeps_empty_parts),
        cmocka_unit_test(test_reads_unsigned_numbers_to_the_last),
        cmocka_unit_test(test_reads_signed_numbers_to_the_last),
        cmocka_unit_test(test_knows_utf8),
        cmocka_unit_test(test_utf8_reads_nothing_beyond_the_end),
        cmocka_unit_test(test_secrets_are_equal_when_every_byte_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
