#include "load/cpu_time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static void test_the_name_may_hold_blanks_and_brackets(void **state) {
    (void)state;
    uint64_t ticks = 0;
    assert_true(cpu_time_read_stat(
        STR("42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 123 45 6 7 20 0 1 0"), &ticks));
    assert_int_equal(ticks, 168);
}

static void test_what_is_no_stat_is_refused(void **state) {
    (void)state;
    uint64_t ticks = 7;
    assert_false(cpu_time_read_stat(STR(""), &ticks));
    assert_false(cpu_time_read_stat(STR("42 (a) S 1 2 3"), &ticks));
    assert_false(cpu_time_read_stat(STR("42 (a) S 1 2 3 4 5 6 7 8 9 10 x 45"), &ticks));
    assert_int_equal(ticks, 7);
}

static void test_this_process_grows_older(void **state) {
    (void)state;
    double before = cpu_time_own(), now;
    do
        now = cpu_time_own();
    while (now < before + 0.05);
    int64_t pid = getpid(), nobody = 0x7fffffff;
    double all = 0;
    struct err_text text;
    assert_int_equal(cpu_time_of_processes(&pid, 1, &all, &text), ERR_OK);
    assert_true(all >= 0.03);
    assert_int_equal(cpu_time_of_processes(&nobody, 1, &all, &text), ERR_NOT_FOUND);
    assert_string_equal(text.s, "there is no process 2147483647");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_name_may_hold_blanks_and_brackets),
        cmocka_unit_test(test_what_is_no_stat_is_refused),
        cmocka_unit_test(test_this_process_grows_older),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
