/* Numbers that do not overflow unseen. */
#include "base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_products_of_sizes(void **state) {
    (void)state;
    size_t size = 99;
    assert_true(num_mul_size(6, 7, &size));
    assert_int_equal(size, 42);
    assert_true(num_mul_size(SIZE_MAX, 1, &size));
    assert_true(size == SIZE_MAX);
    assert_true(num_mul_size(0, SIZE_MAX, &size));
    assert_int_equal(size, 0);
}

static void test_sums_of_sizes(void **state) {
    (void)state;
    size_t size = 99;
    assert_true(num_add_size(SIZE_MAX - 1, 1, &size));
    assert_true(size == SIZE_MAX);
}

static void test_products_of_signed_numbers(void **state) {
    (void)state;
    int64_t number = 99;
    assert_true(num_mul_i64(-3, 5, &number));
    assert_int_equal(number, -15);
    assert_true(num_mul_i64(INT64_MIN, 1, &number));
    assert_true(number == INT64_MIN);
}

static void test_an_overflow_says_no_and_writes_nothing(void **state) {
    (void)state;
    size_t size = 99;
    assert_false(num_mul_size(SIZE_MAX, 2, &size));
    assert_false(num_mul_size((size_t)1 << 32, (size_t)1 << 32, &size));
    assert_false(num_add_size(SIZE_MAX, 1, &size));
    assert_int_equal(size, 99);
    int64_t number = 99;
    assert_false(num_mul_i64(INT64_MAX, 2, &number));
    assert_false(num_mul_i64(INT64_MIN, -1, &number));
    assert_int_equal(number, 99);
}

static void test_the_smaller_and_the_larger(void **state) {
    (void)state;
    assert_int_equal(MIN(2, 3), 2);
    assert_int_equal(MIN(3, 2), 2);
    assert_int_equal(MAX(2, 3), 3);
    assert_int_equal(MAX(3, 2), 3);
    assert_int_equal(MAX(-1, -2), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products_of_sizes),
        cmocka_unit_test(test_sums_of_sizes),
        cmocka_unit_test(test_products_of_signed_numbers),
        cmocka_unit_test(test_an_overflow_says_no_and_writes_nothing),
        cmocka_unit_test(test_the_smaller_and_the_larger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
