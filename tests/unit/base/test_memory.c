/* Heap memory that does not fail. */
#include "base/death.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_new_memory_is_zero(void **state) {
    (void)state;
    unsigned char *bytes = mem_new(4096);
    for (size_t i = 0; i < 4096; i++)
        assert_int_equal(bytes[i], 0);
    mem_free(&bytes);
    assert_null(bytes);
    uint64_t *numbers = mem_new_array(100, sizeof *numbers);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(numbers[i], 0);
    mem_free(&numbers);
}

static void test_nothing_asked_is_still_an_address(void **state) {
    (void)state;
    char *none = mem_new(0), *empty = mem_new_array(0, 8);
    assert_non_null(none);
    assert_non_null(empty);
    none = mem_resize(none, 0);
    assert_non_null(none);
    mem_free(&none);
    mem_free(&empty);
}

static void test_freeing_nothing_is_fine(void **state) {
    (void)state;
    char *p = NULL;
    mem_free(&p);
    assert_null(p);
}

static void ask_for_too_many(void *context) {
    void *p = mem_new_array(SIZE_MAX / 8, *(size_t *)context);
    mem_free(&p);
}

static void test_a_size_that_overflows_stops(void **state) {
    (void)state;
    char said[256];
    assert_true(dies(ask_for_too_many, &(size_t){16}, said, sizeof said));
    assert_non_null(strstr(said, "num_mul_size"));
}

static void copy_everything(void *context) {
    char *p = mem_copy_n(context, SIZE_MAX);
    mem_free(&p);
}

static void test_a_copy_that_overflows_stops(void **state) {
    (void)state;
    char said[256], byte = 'a';
    assert_true(dies(copy_everything, &byte, said, sizeof said));
    assert_non_null(strstr(said, "check failed"));
}

static void test_resizing_keeps_what_was_there(void **state) {
    (void)state;
    char *p = mem_resize(NULL, 4);
    memcpy(p, "abcd", 4);
    p = mem_resize(p, 100000);
    assert_memory_equal(p, "abcd", 4);
    p = mem_resize(p, 2);
    assert_memory_equal(p, "ab", 2);
    mem_free(&p);
}

static void test_copies_end_with_zero(void **state) {
    (void)state;
    char *whole = mem_copy_c("model"), *part = mem_copy_n("model.onnx", 5);
    char *empty = mem_copy_n(NULL, 0);
    assert_string_equal(whole, "model");
    assert_string_equal(part, "model");
    assert_string_equal(empty, "");
    assert_null(mem_copy_c(NULL));
    mem_free(&whole);
    mem_free(&part);
    mem_free(&empty);
}

static void test_formats_a_text_of_any_length(void **state) {
    (void)state;
    char *text = mem_format("%s/%d/%0*d", "model", 7, 2000, 1);
    assert_int_equal(strlen(text), strlen("model/7/") + 2000);
    assert_memory_equal(text, "model/7/000", 11);
    mem_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_memory_is_zero),
        cmocka_unit_test(test_nothing_asked_is_still_an_address),
        cmocka_unit_test(test_freeing_nothing_is_fine),
        cmocka_unit_test(test_a_size_that_overflows_stops),
        cmocka_unit_test(test_a_copy_that_overflows_stops),
        cmocka_unit_test(test_resizing_keeps_what_was_there),
        cmocka_unit_test(test_copies_end_with_zero),
        cmocka_unit_test(test_formats_a_text_of_any_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
