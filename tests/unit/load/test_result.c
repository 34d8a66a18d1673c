/* What counts as a failure, what may be allowed, and what is derived. */
#include "load/result.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct result *result;

static int setup(void **state) {
    (void)state;
    result = result_new();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    result_free(&result);
    return 0;
}

static void test_only_2xx_and_grpc_status_0_are_good(void **state) {
    (void)state;
    assert_true(result_count_answer(result, 200, -1, false));
    assert_true(result_count_answer(result, 204, -1, false));
    assert_false(result_count_answer(result, 302, -1, false));
    assert_false(result_count_answer(result, 429, -1, false));
    assert_false(result_count_answer(result, 99, -1, false));
    assert_true(result_count_answer(result, 200, 0, true));
    assert_false(result_count_answer(result, 200, 8, true));
    assert_false(result_count_answer(result, 200, 4711, true));
    /* A proxy's answer, and one that is no gRPC at all. */
    assert_false(result_count_answer(result, 502, -1, true));
    assert_false(result_count_answer(result, 200, -1, true));
    assert_int_equal(result_failed(result), 7);
    assert_int_equal(result->failures[FAILURE_MALFORMED], 2);
}

static void test_kinds_come_with_their_counts(void **state) {
    (void)state;
    result_count_failure(result, FAILURE_TIMEOUT);
    for (int i = 0; i < 3; i++)
        (void)result_count_answer(result, 429, -1, false);
    (void)result_count_answer(result, 200, 8, true);
    (void)result_count_answer(result, 200, 0, true);
    (void)result_count_answer(result, 200, -1, false);
    static const struct {
        const char *kind;
        uint64_t count;
    } rows[] = {{"timeout", 1}, {"429", 3}, {"grpc-8", 1}};
    size_t position = 0;
    char kind[RESULT_KIND_SIZE];
    uint64_t count;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(result_next_kind(result, &position, kind, &count));
        assert_string_equal(kind, rows[i].kind);
        assert_int_equal(count, rows[i].count);
    }
    assert_false(result_next_kind(result, &position, kind, &count));
}

static void test_allowed_kinds_are_no_failures(void **state) {
    (void)state;
    char *too_many[] = {"429"}, *both[] = {"429", "closed"}, *all[] = {"all"};
    (void)result_count_answer(result, 429, -1, false);
    (void)result_count_answer(result, 429, -1, false);
    result_count_failure(result, FAILURE_CLOSED);
    assert_int_equal(result_failed_beyond(result, NULL, 0), 3);
    assert_int_equal(result_failed_beyond(result, too_many, 1), 1);
    assert_int_equal(result_failed_beyond(result, both, 2), 0);
    assert_int_equal(result_failed_beyond(result, all, 1), 0);
}

static void test_only_kinds_of_failure_can_be_allowed(void **state) {
    (void)state;
    static const char *const kinds[] = {"429",     "503",     "302",       "grpc-8",
                                        "grpc-16", "connect", "closed",    "timeout",
                                        "all",     "100",     "malformed", "grpc-17"};
    static const char *const others[] = {"200", "", "grpc-0", "grpc-18", "42", "600", "Timeout"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        assert_true(result_is_kind(str_of(kinds[i])));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(result_is_kind(str_of(others[i])));
}

static void test_rates_and_shares_are_of_the_window(void **state) {
    (void)state;
    assert_true(result_throughput(result) == 0 && result_server_us(result) < 0);
    result->seconds = 2;
    result->successes = 100;
    result->answers = 200;
    result->client_cpu_s = 1.5;
    result->server_cpu_s = 0.01;
    assert_true(result_throughput(result) == 50);
    assert_true(result_server_us(result) < 0);
    result->has_server_cpu = true;
    assert_true(result_server_us(result) == 50);
    assert_false(result_is_client_bound(result));
    result->client_cpu_s = 1.9;
    assert_true(result_is_client_bound(result));
    result->requests = 1000;
    result->unsent = 10;
    assert_true(result_met_rate(result));
    result->unsent = 11;
    assert_false(result_met_rate(result));
}

static void test_merged_rounds_are_one_measurement(void **state) {
    (void)state;
    struct result *other = result_new();
    for (int i = 0; i < 2; i++) {
        struct result *one = i ? other : result;
        one->seconds = 1 + i;
        one->successes = 10;
        (void)result_count_answer(one, 429, -1, false);
        histogram_add(&one->latency, 100);
    }
    other->interrupted = true;
    result_merge(result, other);
    assert_true(result->seconds == 3 && result->successes == 20);
    assert_int_equal(result_failed(result), 2);
    assert_int_equal(result->latency.count, 2);
    assert_true(result->interrupted);
    result_free(&other);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_only_2xx_and_grpc_status_0_are_good),
        TEST(test_kinds_come_with_their_counts),
        TEST(test_allowed_kinds_are_no_failures),
        TEST(test_only_kinds_of_failure_can_be_allowed),
        TEST(test_rates_and_shares_are_of_the_window),
        TEST(test_merged_rounds_are_one_measurement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
