/* Checks about ourselves: CHECK stops where it is, ANOMALY counts. */
#include "base/check.h"
#include "base/death.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void check_that(void *context) {
    const int *holds = context;
    CHECK(*holds == 1);
}

static void test_a_check_that_holds_does_nothing(void **state) {
    (void)state;
    int evaluated = 0;
    CHECK(++evaluated == 1);
    assert_int_equal(evaluated, 1);
    char said[256];
    assert_false(dies(check_that, &(int){1}, said, sizeof said));
    assert_string_equal(said, "");
}

static void test_a_broken_check_stops_and_says_what_and_where(void **state) {
    (void)state;
    char said[256];
    assert_true(dies(check_that, &(int){0}, said, sizeof said));
    assert_non_null(strstr(said, "inferd: check failed: *holds == 1 at "));
    assert_non_null(strstr(said, "test_check.c:"));
}

static void test_an_anomaly_is_counted_and_seen_by_the_caller(void **state) {
    (void)state;
    uint64_t before = atomic_load(&anomaly_count);
    assert_false(ANOMALY(1 > 2));
    assert_int_equal(atomic_load(&anomaly_count), before);
    assert_true(ANOMALY(2 > 1));
    assert_int_equal(atomic_load(&anomaly_count), before + 1);
}

static void test_an_array_knows_its_length(void **state) {
    (void)state;
    int numbers[7];
    assert_int_equal(ARRAY_LEN(numbers), 7);
}

static void test_a_member_leads_to_its_container(void **state) {
    (void)state;
    struct pair {
        char first;
        uint64_t second;
    } pair = {'a', 2};
    uint64_t *member = &pair.second;
    assert_ptr_equal(CONTAINER_OF(member, struct pair, second), &pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_check_that_holds_does_nothing),
        cmocka_unit_test(test_a_broken_check_stops_and_says_what_and_where),
        cmocka_unit_test(test_an_anomaly_is_counted_and_seen_by_the_caller),
        cmocka_unit_test(test_an_array_knows_its_length),
        cmocka_unit_test(test_a_member_leads_to_its_container),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
