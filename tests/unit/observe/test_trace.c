#include "observe/trace.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static bool reads(const char *text) {
    struct trace_context context;
    return trace_context_read(str_of(text), &context);
}

static void test_reads_the_parts(void **state) {
    (void)state;
    struct trace_context context;
    assert_true(trace_context_read(STR("00-" TRACE "-" PARENT "-01"), &context));
    assert_string_equal(context.trace_id, TRACE);
    assert_string_equal(context.parent_id, PARENT);
    assert_int_equal(context.flags, 1);
    assert_true(trace_context_read(STR("00-" TRACE "-" PARENT "-ff"), &context));
    assert_int_equal(context.flags, 255);
}

static void test_later_versions_may_go_on_after_a_dash(void **state) {
    (void)state;
    assert_true(reads("01-" TRACE "-" PARENT "-01"));
    assert_true(reads("cc-" TRACE "-" PARENT "-01-what-comes"));
    assert_true(reads("cc-" TRACE "-" PARENT "-01-"));
    assert_false(reads("cc-" TRACE "-" PARENT "-01.x"));
    assert_false(reads("00-" TRACE "-" PARENT "-01-x"));
}

static void test_malformed_is_no_trace(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "00",
        "ff-" TRACE "-" PARENT "-01",
        "0-" TRACE "-" PARENT "-010",
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-0g",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "0G-" TRACE "-" PARENT "-01",
        " 0-" TRACE "-" PARENT "-01",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (reads(bad[i]))
            fail_msg("read: %s", bad[i]);
}

static void test_output_is_written_only_on_success(void **state) {
    (void)state;
    struct trace_context context = {.trace_id = "kept"};
    assert_false(trace_context_read(STR("00-" TRACE "-" PARENT "-0x"), &context));
    assert_string_equal(context.trace_id, "kept");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_the_parts),
        cmocka_unit_test(test_later_versions_may_go_on_after_a_dash),
        cmocka_unit_test(test_malformed_is_no_trace),
        cmocka_unit_test(test_output_is_written_only_on_success),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
