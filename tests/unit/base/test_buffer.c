/* A growing buffer with a maximum, and the JSON strings it writes. */
#include "base/buffer.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_BYTES = 4000 }; /* no power of two: doubling alone would pass it */

static int make(void **state) {
    static struct buffer buffer;
    buffer_init(&buffer, MAX_BYTES);
    *state = &buffer;
    return 0;
}

static int drop(void **state) {
    buffer_done(*state);
    return 0;
}

static void assert_holds(const struct buffer *buffer, const char *expected) {
    assert_false(buffer->full);
    assert_int_equal(buffer->used, strlen(expected));
    if (buffer->used)
        assert_memory_equal(buffer->data, expected, buffer->used);
}

static void test_everything_added_stands_in_order(void **state) {
    struct buffer *buffer = *state;
    buffer_add(buffer, "ab", 2);
    buffer_add_str(buffer, STR("cd"));
    buffer_add_c(buffer, "ef");
    buffer_add_char(buffer, 'g');
    buffer_add_u64(buffer, 12);
    buffer_add_i64(buffer, -3);
    buffer_add_format(buffer, "<%s|%d>", "h", 7);
    assert_holds(buffer, "abcdefg12-3<h|7>");
    assert_true(str_eq_c(buffer_str(buffer), "abcdefg12-3<h|7>"));
}

static void test_adding_nothing_changes_nothing(void **state) {
    struct buffer *buffer = *state;
    buffer_add(buffer, NULL, 0);
    buffer_add_str(buffer, (struct str){NULL, 0});
    buffer_add_c(buffer, "");
    buffer_add_format(buffer, "%s", "");
    assert_holds(buffer, "");
    assert_int_equal(buffer_str(buffer).n, 0);
}

static void test_grows_and_keeps_what_it_has(void **state) {
    struct buffer *buffer = *state;
    for (size_t i = 0; i < MAX_BYTES; i++)
        buffer_add_char(buffer, (char)('a' + i % 26));
    assert_false(buffer->full);
    assert_int_equal(buffer->used, MAX_BYTES);
    assert_true(buffer->capacity <= MAX_BYTES);
    for (size_t i = 0; i < MAX_BYTES; i++)
        assert_int_equal(buffer->data[i], 'a' + i % 26);
}

static void test_past_the_maximum_it_is_full_and_stays_so(void **state) {
    struct buffer *buffer = *state;
    char bytes[MAX_BYTES] = {0};
    buffer_add(buffer, bytes, MAX_BYTES - 1);
    buffer_add(buffer, "ab", 2);
    assert_true(buffer->full);
    assert_int_equal(buffer->used, MAX_BYTES - 1);
    buffer_add_char(buffer, 'c'); /* it would fit, but the content has a hole now */
    buffer_add_format(buffer, "%d", 1);
    assert_true(buffer->full);
    assert_int_equal(buffer->used, MAX_BYTES - 1);
}

static void test_a_size_that_would_wrap_is_full(void **state) {
    struct buffer *buffer = *state;
    buffer_add_char(buffer, 'a');
    assert_null(buffer_reserve(buffer, SIZE_MAX));
    assert_true(buffer->full);
}

/* Sanitizers end the program at an allocation that must fail, unless they are told not to. */
__attribute__((visibility("default"))) const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

__attribute__((visibility("default"))) const char *__tsan_default_options(void) {
    return "allocator_may_return_null=1";
}

static void test_more_than_there_is_makes_it_full_and_keeps_what_it_has(void **state) {
    struct buffer *buffer = *state;
    buffer->max = SIZE_MAX - 1;
    buffer_add_c(buffer, "ab");
    assert_null(buffer_reserve(buffer, SIZE_MAX / 2));
    assert_true(buffer->full);
    assert_int_equal(buffer->used, 2);
    assert_memory_equal(buffer->data, "ab", 2);
}

static void test_clear_makes_room_and_keeps_the_memory(void **state) {
    struct buffer *buffer = *state;
    assert_null(buffer_reserve(buffer, MAX_BYTES + 1));
    assert_true(buffer->full);
    buffer_clear(buffer);
    buffer_add_c(buffer, "abc");
    assert_holds(buffer, "abc");
    const char *memory = buffer->data;
    buffer_clear(buffer);
    assert_holds(buffer, "");
    buffer_add_c(buffer, "x");
    assert_ptr_equal(buffer->data, memory);
}

static void test_done_leaves_an_empty_buffer_of_the_same_maximum(void **state) {
    struct buffer *buffer = *state;
    buffer_add_c(buffer, "abc");
    buffer_done(buffer);
    assert_null(buffer->data);
    assert_int_equal(buffer->max, MAX_BYTES);
    buffer_add_c(buffer, "def");
    assert_holds(buffer, "def");
}

static void test_reserved_room_can_be_written_and_taken(void **state) {
    struct buffer *buffer = *state;
    buffer_add_c(buffer, "ab");
    char *room = buffer_reserve(buffer, 1000);
    assert_ptr_equal(room, buffer->data + 2);
    assert_int_equal(buffer->used, 2);
    memset(room, 'c', 1000);
    buffer->used += 1000;
    buffer_add_c(buffer, "d");
    assert_int_equal(buffer->used, 1003);
    assert_int_equal(buffer->data[1002], 'd');
}

/* NULL means full; room for nothing is always there. */
static void test_room_for_nothing_is_an_address(void **state) {
    (void)state;
    struct buffer none;
    buffer_init(&none, 0);
    assert_non_null(buffer_reserve(&none, 0));
    assert_false(none.full);
    buffer_add_char(&none, 'a');
    assert_true(none.full);
    assert_int_equal(none.used, 0);
    buffer_done(&none);
}

static void test_numbers_are_written_to_the_last(void **state) {
    struct buffer *buffer = *state;
    buffer_add_u64(buffer, 0);
    buffer_add_char(buffer, ' ');
    buffer_add_u64(buffer, UINT64_MAX);
    buffer_add_char(buffer, ' ');
    buffer_add_i64(buffer, INT64_MIN);
    buffer_add_char(buffer, ' ');
    buffer_add_i64(buffer, INT64_MAX);
    buffer_add_char(buffer, ' ');
    buffer_add_i64(buffer, 0);
    assert_holds(buffer, "0 18446744073709551615 -9223372036854775808 9223372036854775807 0");
}

/* The zero that printf writes at the end takes no part of the maximum. */
static void test_a_format_may_fill_the_buffer_to_the_brim(void **state) {
    (void)state;
    struct buffer small;
    buffer_init(&small, 5);
    buffer_add_format(&small, "%s", "12345");
    assert_holds(&small, "12345");
    buffer_clear(&small);
    buffer_add_format(&small, "%s", "123456");
    assert_true(small.full);
    buffer_done(&small);
}

static void test_a_format_longer_than_the_first_memory(void **state) {
    struct buffer *buffer = *state;
    buffer_add_format(buffer, "%0*d", 3000, 7);
    assert_int_equal(buffer->used, 3000);
    assert_int_equal(buffer->data[2999], '7');
}

static void test_json_strings(void **state) {
    struct buffer *buffer = *state;
    static const struct {
        struct str raw;
        const char *json;
    } cases[] = {
        {{NULL, 0}, "\"\""},
        {{"", 0}, "\"\""},
        {{"plain text / 'x'", 16}, "\"plain text / 'x'\""},
        {{"\"", 1}, "\"\\\"\""},
        {{"\\", 1}, "\"\\\\\""},
        {{"a\"b\\c", 5}, "\"a\\\"b\\\\c\""},
        {{"\n\r\t", 3}, "\"\\n\\r\\t\""},
        {{"\0\1\x1f", 3}, "\"\\u0000\\u0001\\u001f\""},
        {{"\b\f", 2}, "\"\\u0008\\u000c\""},
        {{" ~\x7f", 3}, "\" ~\x7f\""},
        {{"Z\xC3\xBCrich \xE2\x82\xAC \xF0\x9F\x98\x80", 16},
         "\"Z\xC3\xBCrich \xE2\x82\xAC \xF0\x9F\x98\x80\""},
        {{"\xFF", 1}, "\"\xEF\xBF\xBD\""},
        {{"a\x80z", 3}, "\"a\xEF\xBF\xBDz\""},
        {{"\xC3", 1}, "\"\xEF\xBF\xBD\""},                                 /* cut */
        {{"\xC3\"", 2}, "\"\xEF\xBF\xBD\\\"\""},                           /* hides no quote */
        {{"\xED\xA0\x80", 3}, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""}, /* surrogate */
        {{"\xE2\x82x", 3}, "\"\xEF\xBF\xBD\xEF\xBF\xBDx\""},
        {{"\xF8\x88\x80\x80\x80", 5},
         "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buffer_clear(buffer);
        buffer_add_json_string(buffer, cases[i].raw);
        assert_holds(buffer, cases[i].json);
    }
}

/* Whatever two bytes come: the answer is UTF-8, quoted, with no bare control or quote inside. */
static void test_json_strings_of_all_pairs_of_bytes_are_well_formed(void **state) {
    struct buffer *buffer = *state;
    for (unsigned pair = 0; pair < 65536; pair++) {
        char raw[2] = {(char)(pair >> 8), (char)(pair & 255)};
        buffer_clear(buffer);
        buffer_add_json_string(buffer, (struct str){raw, 2});
        const char *data = buffer->data;
        size_t last = buffer->used - 1;
        if (!str_is_utf8(buffer_str(buffer)) || data[0] != '"' || data[last] != '"')
            fail_msg("bytes %04x", pair);
        for (size_t i = 1; i < last; i++) {
            if ((unsigned char)data[i] < 0x20 || data[i] == '"')
                fail_msg("bytes %04x", pair);
            if (data[i] == '\\' && ++i == last)
                fail_msg("bytes %04x", pair);
        }
    }
}

static void test_a_json_string_that_does_not_fit_makes_it_full(void **state) {
    (void)state;
    struct buffer small;
    buffer_init(&small, 7);
    buffer_add_json_string(&small, STR("12345"));
    assert_holds(&small, "\"12345\"");
    buffer_clear(&small);
    buffer_add_json_string(&small, STR("1234\n"));
    assert_true(small.full);
    buffer_done(&small);
}

#define BUFFER_TEST(function) cmocka_unit_test_setup_teardown(function, make, drop)

int main(void) {
    const struct CMUnitTest tests[] = {
        BUFFER_TEST(test_everything_added_stands_in_order),
        BUFFER_TEST(test_adding_nothing_changes_nothing),
        BUFFER_TEST(test_grows_and_keeps_what_it_has),
        BUFFER_TEST(test_past_the_maximum_it_is_full_and_stays_so),
        BUFFER_TEST(test_a_size_that_would_wrap_is_full),
        BUFFER_TEST(test_more_than_there_is_makes_it_full_and_keeps_what_it_has),
        BUFFER_TEST(test_clear_makes_room_and_keeps_the_memory),
        BUFFER_TEST(test_done_leaves_an_empty_buffer_of_the_same_maximum),
        BUFFER_TEST(test_reserved_room_can_be_written_and_taken),
        BUFFER_TEST(test_room_for_nothing_is_an_address),
        BUFFER_TEST(test_numbers_are_written_to_the_last),
        BUFFER_TEST(test_a_format_may_fill_the_buffer_to_the_brim),
        BUFFER_TEST(test_a_format_longer_than_the_first_memory),
        BUFFER_TEST(test_json_strings),
        BUFFER_TEST(test_json_strings_of_all_pairs_of_bytes_are_well_formed),
        BUFFER_TEST(test_a_json_string_that_does_not_fit_makes_it_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
