/* Poisson arrivals: the statistics that make them so, with fixed seeds. */
#include "load/arrival.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { COUNT = 200000 };

static void test_gaps_have_the_mean_and_the_spread_of_the_exponential(void **state) {
    (void)state;
    struct arrival arrival;
    double sum = 0, squares = 0;
    uint64_t before = 0, over_mean = 0;
    arrival_init(&arrival, 1000, 42);
    for (int i = 0; i < COUNT; i++) {
        uint64_t at = arrival_next(&arrival);
        assert_true(at >= before);
        double gap = (double)(at - before);
        sum += gap;
        squares += gap * gap;
        over_mean += gap > 1e6;
        before = at;
    }
    double mean = sum / COUNT, deviation = sqrt(squares / COUNT - mean * mean);
    assert_true(fabs(mean - 1e6) < 1e6 * 0.01);
    assert_true(fabs(deviation - 1e6) < 1e6 * 0.01);
    /* e^-1 of the gaps are longer than the mean: half would be, were they even. */
    assert_true(fabs((double)over_mean / COUNT - exp(-1)) < 0.005);
}

static void test_counts_in_equal_times_vary_as_their_mean(void **state) {
    (void)state;
    struct arrival arrival;
    enum { PERIODS = 20000 };
    double sum = 0, squares = 0;
    arrival_init(&arrival, 10000, 9);
    uint64_t at = arrival_next(&arrival);
    for (uint64_t period = 1; period <= PERIODS; period++) {
        double count = 0;
        for (; at < period * 1000000; at = arrival_next(&arrival))
            count++;
        sum += count;
        squares += count * count;
    }
    double mean = sum / PERIODS, variance = squares / PERIODS - mean * mean;
    assert_true(fabs(mean - 10) < 0.1);
    assert_true(fabs(variance - 10) < 0.5);
}

static void test_a_gap_says_nothing_of_the_next(void **state) {
    (void)state;
    struct arrival arrival;
    double before = 0, product = 0;
    uint64_t at = 0;
    arrival_init(&arrival, 1e9, 5);
    arrival.mean_gap_ns = 1e6;
    for (int i = 0; i < COUNT; i++) {
        uint64_t next = arrival_next(&arrival);
        double gap = (double)(next - at) / 1e6 - 1;
        product += before * gap;
        before = gap;
        at = next;
    }
    assert_true(fabs(product / COUNT) < 0.01);
}

static void test_the_seed_decides(void **state) {
    (void)state;
    struct arrival one, same, other;
    int differ = 0;
    arrival_init(&one, 100, 1);
    arrival_init(&same, 100, 1);
    arrival_init(&other, 100, 2);
    for (int i = 0; i < 100; i++) {
        uint64_t at = arrival_next(&one);
        assert_int_equal(at, arrival_next(&same));
        differ += at != arrival_next(&other);
    }
    assert_true(differ > 90);
}

static void test_random_integers_are_even_and_within_their_range(void **state) {
    (void)state;
    struct random random = random_of(11);
    int counts[6] = {0};
    for (int i = 0; i < 60000; i++) {
        uint64_t n = random_integer(&random, 5);
        assert_true(n <= 5);
        counts[n]++;
        double real = random_real(&random);
        assert_true(real >= 0 && real < 1);
    }
    for (int i = 0; i < 6; i++)
        assert_true(counts[i] > 9500 && counts[i] < 10500);
    assert_int_equal(random_integer(&random, 0), 0);
    for (int i = 0; i < 1000; i++)
        assert_true(random_integer(&random, UINT32_MAX) <= UINT32_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gaps_have_the_mean_and_the_spread_of_the_exponential),
        cmocka_unit_test(test_counts_in_equal_times_vary_as_their_mean),
        cmocka_unit_test(test_a_gap_says_nothing_of_the_next),
        cmocka_unit_test(test_the_seed_decides),
        cmocka_unit_test(test_random_integers_are_even_and_within_their_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
