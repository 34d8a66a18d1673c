/* The errors table, and the text for people that goes with an error. */
#include "base/death.h"
#include "base/error.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_every_row_is_whole(void **state) {
    (void)state;
    for (int e = 0; e < ERR_COUNT; e++) {
        assert_true(strlen(err_name((enum err)e)) > 0);
        assert_true(strlen(err_default_text((enum err)e)) > 0);
        assert_in_range(err_grpc_code((enum err)e), 0, 16);
        int status = err_http_status((enum err)e);
        assert_true(e == ERR_OK ? status == 200 : status >= 400 && status <= 599);
        assert_true((e == ERR_OK) == (err_grpc_code((enum err)e) == 0));
    }
}

static void test_names_are_told_apart(void **state) {
    (void)state;
    for (int a = 0; a < ERR_COUNT; a++)
        for (int b = 0; b < a; b++)
            assert_string_not_equal(err_name((enum err)a), err_name((enum err)b));
}

static void test_rows_say_what_both_protocols_answer(void **state) {
    (void)state;
    assert_int_equal(ERR_OK, 0);
    assert_string_equal(err_name(ERR_QUEUE_FULL), "QUEUE_FULL");
    assert_string_equal(err_default_text(ERR_QUEUE_FULL), "the queue is full");
    assert_int_equal(err_http_status(ERR_QUEUE_FULL), 429);
    assert_int_equal(err_grpc_code(ERR_QUEUE_FULL), 8);
    assert_int_equal(err_http_status(ERR_NOT_READY), 503);
    assert_int_equal(err_grpc_code(ERR_NOT_READY), 14);
}

static void ask_beyond_the_table(void *context) {
    enum err e = (enum err)ERR_COUNT;
    switch (*(const int *)context) {
    case 0:
        (void)err_name(e);
        break;
    case 1:
        (void)err_default_text(e);
        break;
    case 2:
        (void)err_http_status(e);
        break;
    default:
        (void)err_grpc_code(e);
    }
}

static void test_a_row_that_is_not_there_is_a_broken_check(void **state) {
    (void)state;
    char said[256];
    for (int i = 0; i < 4; i++)
        assert_true(dies(ask_beyond_the_table, &i, said, sizeof said));
}

static void test_setting_returns_the_error_and_writes_the_text(void **state) {
    (void)state;
    struct err_text text;
    assert_int_equal(err_set(&text, ERR_INVALID, "input '%s': %d", "X", 30), ERR_INVALID);
    assert_string_equal(text.s, "input 'X': 30");
}

static void test_nobody_needs_to_want_the_text(void **state) {
    (void)state;
    assert_int_equal(err_set(NULL, ERR_NOT_FOUND, "no model '%s'", "m"), ERR_NOT_FOUND);
}

static void test_a_text_that_just_fits_is_whole(void **state) {
    (void)state;
    struct err_text text;
    char wide[ERR_TEXT_MAX];
    memset(wide, 'w', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    err_set(&text, ERR_INTERNAL, "%s", wide);
    assert_string_equal(text.s, wide);
}

/* Sequences of 2, 3 and 4 bytes, with the cut at each place within them. */
static void test_a_long_text_is_cut_between_characters(void **state) {
    (void)state;
    static const char *const characters[] = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t c = 0; c < 4; c++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char wide[ERR_TEXT_MAX * 2];
            size_t n = shift, size = strlen(characters[c]);
            memset(wide, '.', shift);
            for (; n + size < sizeof wide; n += size)
                memcpy(wide + n, characters[c], size);
            wide[n] = '\0';
            struct err_text text;
            err_set(&text, ERR_INVALID, "%s", wide);
            assert_true(str_is_utf8(str_of(text.s)));
            assert_in_range(strlen(text.s), ERR_TEXT_MAX - 5, ERR_TEXT_MAX - 1);
            assert_memory_equal(text.s, wide, strlen(text.s));
        }
    }
}

/* What was never UTF-8 is not taken for one long sequence. */
static void test_bytes_that_are_no_text_cost_at_most_one_sequence(void **state) {
    (void)state;
    char bytes[ERR_TEXT_MAX * 2];
    memset(bytes, '\x80', sizeof bytes);
    struct err_text text;
    err_set(&text, ERR_INVALID, "name: %.*s", (int)sizeof bytes, bytes);
    assert_in_range(strlen(text.s), ERR_TEXT_MAX - 5, ERR_TEXT_MAX - 1);
    bytes[0] = '\xC3';
    err_set(&text, ERR_INVALID, "%.*s", (int)sizeof bytes, bytes);
    assert_in_range(strlen(text.s), ERR_TEXT_MAX - 5, ERR_TEXT_MAX - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_whole),
        cmocka_unit_test(test_names_are_told_apart),
        cmocka_unit_test(test_rows_say_what_both_protocols_answer),
        cmocka_unit_test(test_a_row_that_is_not_there_is_a_broken_check),
        cmocka_unit_test(test_setting_returns_the_error_and_writes_the_text),
        cmocka_unit_test(test_nobody_needs_to_want_the_text),
        cmocka_unit_test(test_a_text_that_just_fits_is_whole),
        cmocka_unit_test(test_a_long_text_is_cut_between_characters),
        cmocka_unit_test(test_bytes_that_are_no_text_cost_at_most_one_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
