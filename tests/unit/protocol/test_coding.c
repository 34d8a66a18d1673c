// Content codings: negotiation, inflating with a bound, deflating.
#include "protocol/coding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

static void test_known_content_encodings_are_recognised(void **state) {
    (void)state;
    static const struct {
        const char *value;
        enum coding coding;
    } rows[] = {
        {"", CODING_IDENTITY},     {"identity", CODING_IDENTITY}, {"gzip", CODING_GZIP},
        {"GZip", CODING_GZIP},     {"x-gzip", CODING_GZIP},       {"deflate", CODING_DEFLATE},
        {" \tgzip ", CODING_GZIP}, {"  ", CODING_IDENTITY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum coding coding = (enum coding)99;
        assert_int_equal(coding_from_content_encoding(str_of(rows[i].value), &coding, NULL),
                         ERR_OK);
        assert_int_equal(coding, rows[i].coding);
    }
}

static void test_other_content_encodings_are_refused_by_name(void **state) {
    (void)state;
    static const char *const values[] = {"br",    "zstd",     "gzip, deflate",
                                         "gzip,", "gzip;q=1", "g zip"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        enum coding coding = CODING_GZIP;
        struct err_text text;
        assert_int_equal(coding_from_content_encoding(str_of(values[i]), &coding, &text),
                         ERR_BAD_CODING);
        char expected[256];
        snprintf(
            expected, sizeof expected,
            "unsupported Content-Encoding '%s': gzip, deflate and identity are supported, one at "
            "a time",
            values[i]);
        assert_string_equal(text.s, expected);
        assert_int_equal(coding, CODING_GZIP);
    }
}

static void test_the_answers_coding_follows_accept_encoding(void **state) {
    (void)state;
    static const struct {
        const char *value;
        enum coding coding;
    } rows[] = {
        {"", CODING_IDENTITY},
        {"identity", CODING_IDENTITY},
        {"br", CODING_IDENTITY},
        {"gzip", CODING_GZIP},
        {"X-GZIP", CODING_GZIP},
        {"deflate", CODING_DEFLATE},
        {"gzip, deflate, br", CODING_GZIP},
        {"deflate, gzip", CODING_GZIP},
        {"deflate;q=0.5, gzip;q=0.4", CODING_DEFLATE},
        {"deflate;q=0.001, gzip;q=0", CODING_DEFLATE},
        {"gzip;q=0", CODING_IDENTITY},
        {"gzip;q=0, gzip;q=0.000", CODING_IDENTITY},
        {"*", CODING_GZIP},
        {"*;q=0", CODING_IDENTITY},
        {"gzip;q=0, *", CODING_IDENTITY},
        {"deflate, *;q=0.5", CODING_DEFLATE},
        {"deflate;q=0.5, *", CODING_GZIP},
        {"identity, gzip;q=0.5", CODING_IDENTITY},
        {"identity;q=0.5, gzip;q=0.5", CODING_GZIP},
        {"identity;q=0, gzip;q=0.1", CODING_GZIP},
        {"gzip ; Q=1.000", CODING_GZIP},
        {"gzip;level=9;q=0", CODING_IDENTITY},
        {"gzip;q=1.001", CODING_IDENTITY},
        {"gzip;q=0.5000", CODING_IDENTITY},
        {"gzip;q=", CODING_IDENTITY},
        {"gzip;q=2", CODING_IDENTITY},
        {"gzip;q=0.x", CODING_IDENTITY},
        {"gzip;q=1x", CODING_IDENTITY},
        {",,gzip,,", CODING_GZIP},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum coding coding = coding_from_accept_encoding(str_of(rows[i].value));
        if (coding != rows[i].coding)
            fail_msg("'%s' gives %s", rows[i].value, coding_name(coding));
    }
}

static void test_names_are_those_of_the_header(void **state) {
    (void)state;
    assert_string_equal(coding_name(CODING_IDENTITY), "identity");
    assert_string_equal(coding_name(CODING_GZIP), "gzip");
    assert_string_equal(coding_name(CODING_DEFLATE), "deflate");
}

// Text that compresses to about a third.
static char *make_text(size_t size) {
    char *text = malloc(size + 1);
    assert_non_null(text);
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        text[i] = "0123456789.,-e[]"[state >> 28];
    }
    return text;
}

static void pack(enum coding coding, struct str in, struct buffer *out) {
    buffer_init(out, SIZE_MAX);
    assert_int_equal(coding_deflate(coding, &in, 1, out, NULL), ERR_OK);
}

static void test_what_is_deflated_inflates_to_the_same(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 511, 512, 513, 4096, 40000, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *text = make_text(sizes[i]);
        for (int coding = CODING_IDENTITY; coding <= CODING_DEFLATE; coding++) {
            // In three parts, the middle one empty; each buffer holds something already.
            struct str parts[] = {
                {text, sizes[i] / 3}, {NULL, 0}, {text + sizes[i] / 3, sizes[i] - sizes[i] / 3}};
            struct buffer packed, plain;
            buffer_init(&packed, SIZE_MAX);
            buffer_init(&plain, sizes[i] + 4);
            buffer_add_c(&packed, "<<<");
            buffer_add_c(&plain, ">>>>");
            assert_int_equal(coding_deflate((enum coding)coding, parts, 3, &packed, NULL), ERR_OK);
            struct str in = {packed.data + 3, packed.used - 3};
            assert_int_equal(coding_inflate((enum coding)coding, in, &plain, NULL), ERR_OK);
            assert_int_equal(plain.used, sizes[i] + 4);
            assert_memory_equal(plain.data, ">>>>", 4);
            assert_memory_equal(plain.data + 4, text, sizes[i]);
            if (coding != CODING_IDENTITY && sizes[i] >= 4096)
                assert_true(packed.used < sizes[i] * 7 / 10);
            buffer_done(&packed);
            buffer_done(&plain);
        }
        free(text);
    }
}

static void test_zlib_itself_reads_what_is_written(void **state) {
    (void)state;
    char *text = make_text(10000);
    struct buffer packed;
    pack(CODING_DEFLATE, (struct str){text, 10000}, &packed);
    Bytef plain[10000];
    uLongf size = sizeof plain;
    assert_int_equal(uncompress(plain, &size, (const Bytef *)packed.data, packed.used), Z_OK);
    assert_memory_equal(plain, text, 10000);
    buffer_done(&packed);
    free(text);
}

static void test_raw_deflate_is_read_too(void **state) {
    (void)state;
    struct buffer packed, plain;
    pack(CODING_DEFLATE, STR("hello hello hello"), &packed);
    buffer_init(&plain, 100);
    struct str raw = {packed.data + 2, packed.used - 6}; // without zlib's header and checksum
    assert_int_equal(coding_inflate(CODING_DEFLATE, raw, &plain, NULL), ERR_OK);
    assert_true(str_eq(buffer_str(&plain), STR("hello hello hello")));
    buffer_done(&packed);
    buffer_done(&plain);
}

static void test_gzip_members_one_after_the_other_are_one_body(void **state) {
    (void)state;
    struct buffer first, second, plain;
    pack(CODING_GZIP, STR("first "), &first);
    pack(CODING_GZIP, STR("second"), &second);
    buffer_add_str(&first, buffer_str(&second));
    buffer_init(&plain, 100);
    assert_int_equal(coding_inflate(CODING_GZIP, buffer_str(&first), &plain, NULL), ERR_OK);
    assert_true(str_eq(buffer_str(&plain), STR("first second")));
    buffer_done(&first);
    buffer_done(&second);
    buffer_done(&plain);
}

static void expect_refused(enum coding coding, struct str in, enum err expected, const char *text) {
    struct buffer plain;
    struct err_text found;
    buffer_init(&plain, 1000);
    buffer_add_c(&plain, "kept");
    assert_int_equal(coding_inflate(coding, in, &plain, &found), expected);
    assert_non_null(strstr(found.s, text));
    assert_true(str_eq(buffer_str(&plain), STR("kept")));
    assert_false(plain.full);
    buffer_done(&plain);
}

static void test_a_body_cut_anywhere_is_refused(void **state) {
    (void)state;
    for (int coding = CODING_GZIP; coding <= CODING_DEFLATE; coding++) {
        struct buffer packed;
        pack((enum coding)coding, STR("some text, some text"), &packed);
        for (size_t n = 0; n < packed.used; n++) {
            char *copy = malloc(n + 1);
            assert_non_null(copy);
            memcpy(copy, packed.data, n);
            expect_refused((enum coding)coding, (struct str){copy, n}, ERR_INVALID, "");
            free(copy);
        }
        expect_refused((enum coding)coding, (struct str){packed.data, packed.used - 1}, ERR_INVALID,
                       "body is cut short");
        buffer_done(&packed);
    }
    expect_refused(CODING_GZIP, (struct str){NULL, 0}, ERR_INVALID, "the gzip body is cut short");
}

static void test_damaged_bodies_are_refused(void **state) {
    (void)state;
    expect_refused(CODING_GZIP, STR("not gzip at all"), ERR_INVALID,
                   "the gzip body is damaged: incorrect header check");
    expect_refused(CODING_DEFLATE, STR("\xff\xff\xff"), ERR_INVALID, "the deflate body is damaged");
    expect_refused(CODING_DEFLATE, STR("\x78\xbb\1\2\3\4"), ERR_INVALID,
                   "damaged: not in this format");
    for (int coding = CODING_GZIP; coding <= CODING_DEFLATE; coding++) {
        struct buffer packed;
        pack((enum coding)coding, STR("some text, some text"), &packed);
        packed.data[packed.used - 5] ^= 1; // in the checksum of either
        expect_refused((enum coding)coding, buffer_str(&packed), ERR_INVALID,
                       "damaged: incorrect data");
        buffer_done(&packed);
    }
}

static void test_bytes_behind_the_body_are_refused(void **state) {
    (void)state;
    struct buffer packed;
    pack(CODING_DEFLATE, STR("text"), &packed);
    buffer_add_char(&packed, '\0');
    expect_refused(CODING_DEFLATE, buffer_str(&packed), ERR_INVALID,
                   "the deflate body is followed by bytes that do not belong to it");
    buffer_done(&packed);
    pack(CODING_GZIP, STR("text"), &packed);
    buffer_add_c(&packed, "junk");
    expect_refused(CODING_GZIP, buffer_str(&packed), ERR_INVALID,
                   "damaged: incorrect header check");
    buffer_done(&packed);
}

static void test_a_body_of_exactly_the_bound_is_accepted_and_one_byte_more_is_not(void **state) {
    (void)state;
    static char zeros[100000];
    static const size_t bounds[] = {1, 4095, 4096, 4097, 65536, 100000};
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        for (int coding = CODING_IDENTITY; coding <= CODING_DEFLATE; coding++) {
            struct buffer packed, plain;
            struct err_text text;
            pack((enum coding)coding, (struct str){zeros, bounds[i]}, &packed);
            buffer_init(&plain, bounds[i]);
            assert_int_equal(
                coding_inflate((enum coding)coding, buffer_str(&packed), &plain, &text), ERR_OK);
            assert_int_equal(plain.used, bounds[i]);
            buffer_done(&plain);
            buffer_init(&plain, bounds[i] - 1);
            assert_int_equal(
                coding_inflate((enum coding)coding, buffer_str(&packed), &plain, &text),
                ERR_BODY_TOO_LARGE);
            assert_non_null(strstr(text.s, "larger than"));
            assert_int_equal(plain.used, 0);
            buffer_done(&plain);
            buffer_done(&packed);
        }
    }
}

static void test_a_bomb_costs_no_more_than_the_bound(void **state) {
    (void)state;
    enum { SIZE = 20 << 20 };
    char *zeros = calloc(SIZE, 1);
    assert_non_null(zeros);
    struct buffer packed, plain;
    pack(CODING_GZIP, (struct str){zeros, SIZE}, &packed);
    assert_true(packed.used < SIZE / 100);
    buffer_init(&plain, 1 << 16);
    struct err_text text;
    assert_int_equal(coding_inflate(CODING_GZIP, buffer_str(&packed), &plain, &text),
                     ERR_BODY_TOO_LARGE);
    assert_string_equal(text.s, "the gzip body is larger than 65536 bytes when decompressed");
    assert_true(plain.capacity <= 1 << 16);
    buffer_done(&packed);
    buffer_done(&plain);
    free(zeros);
}

static void
test_an_answer_past_the_buffers_maximum_is_an_error_and_leaves_it_as_it_was(void **state) {
    (void)state;
    char *text = make_text(20000);
    struct str part = {text, 20000};
    for (int coding = CODING_IDENTITY; coding <= CODING_DEFLATE; coding++) {
        static const size_t bounds[] = {5, 100, 4200, 8000};
        for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
            struct buffer packed;
            struct err_text found;
            buffer_init(&packed, bounds[i]);
            buffer_add_c(&packed, "kept");
            assert_int_equal(coding_deflate((enum coding)coding, &part, 1, &packed, &found),
                             ERR_INTERNAL);
            assert_non_null(strstr(found.s, "larger than"));
            assert_true(str_eq(buffer_str(&packed), STR("kept")));
            assert_false(packed.full);
            buffer_done(&packed);
        }
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_content_encodings_are_recognised),
        cmocka_unit_test(test_other_content_encodings_are_refused_by_name),
        cmocka_unit_test(test_the_answers_coding_follows_accept_encoding),
        cmocka_unit_test(test_names_are_those_of_the_header),
        cmocka_unit_test(test_what_is_deflated_inflates_to_the_same),
        cmocka_unit_test(test_zlib_itself_reads_what_is_written),
        cmocka_unit_test(test_raw_deflate_is_read_too),
        cmocka_unit_test(test_gzip_members_one_after_the_other_are_one_body),
        cmocka_unit_test(test_a_body_cut_anywhere_is_refused),
        cmocka_unit_test(test_damaged_bodies_are_refused),
        cmocka_unit_test(test_bytes_behind_the_body_are_refused),
        cmocka_unit_test(test_a_body_of_exactly_the_bound_is_accepted_and_one_byte_more_is_not),
        cmocka_unit_test(test_a_bomb_costs_no_more_than_the_bound),
        cmocka_unit_test(
            test_an_answer_past_the_buffers_maximum_is_an_error_and_leaves_it_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
