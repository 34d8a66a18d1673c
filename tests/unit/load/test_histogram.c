/* Percentiles against the samples' own, and that none is said from too few. */
#include "load/histogram.h"

#include "load/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct histogram histogram;

static int setup(void **state) {
    (void)state;
    histogram_init(&histogram);
    return 0;
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Within 0.5 % of the sorted samples' own percentile. */
static void assert_near(const uint64_t *sorted, size_t count, double quantile) {
    uint64_t found;
    assert_true(histogram_percentile(&histogram, quantile, &found));
    size_t rank = (size_t)(quantile * (double)count + 0.999999);
    double expected = (double)sorted[rank - 1], error = (double)found - expected;
    if (error < 0)
        error = -error;
    if (error > expected * 0.005 + 0.5)
        fail_msg("p%g: %llu, the samples' own is %g", quantile * 100, (unsigned long long)found,
                 expected);
}

static void test_percentiles_are_near_the_samples_own(void **state) {
    (void)state;
    enum { COUNT = 200000 };
    static const unsigned widths[] = {8, 14, 20, 27, 35, 43};
    uint64_t *samples = calloc(COUNT, sizeof *samples);
    struct random random = random_of(7);
    assert_non_null(samples);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        histogram_init(&histogram);
        for (size_t i = 0; i < COUNT; i++) {
            samples[i] = random_next(&random) >> (64 - widths[w]);
            histogram_add(&histogram, samples[i]);
        }
        qsort(samples, COUNT, sizeof *samples, compare);
        assert_near(samples, COUNT, 0.5);
        assert_near(samples, COUNT, 0.9);
        assert_near(samples, COUNT, 0.99);
        assert_near(samples, COUNT, 0.999);
        assert_int_equal(histogram.min, samples[0]);
        assert_int_equal(histogram.max, samples[COUNT - 1]);
    }
    free(samples);
}

static void test_every_value_is_within_half_a_percent_of_itself(void **state) {
    (void)state;
    for (uint64_t value = 1; value < (uint64_t)1 << 43; value += 1 + value / 37) {
        uint64_t found;
        histogram_init(&histogram);
        /* Smaller and larger ones, so that min and max do not help. */
        for (int i = 0; i < 10; i++) {
            histogram_add(&histogram, 0);
            histogram_add(&histogram, UINT64_MAX);
        }
        histogram_add(&histogram, value);
        assert_true(histogram_percentile(&histogram, 0.5, &found));
        assert_true(found + found / 200 + 1 >= value && value + value / 200 + 1 >= found);
    }
}

static void test_small_values_are_exact(void **state) {
    (void)state;
    uint64_t found;
    for (uint64_t value = 1; value <= 200; value++)
        histogram_add(&histogram, value);
    assert_true(histogram_percentile(&histogram, 0.5, &found));
    assert_int_equal(found, 100);
    assert_true(histogram_percentile(&histogram, 0.9, &found));
    assert_int_equal(found, 180);
    assert_true(histogram_mean(&histogram) == 100.5);
}

static void test_a_percentile_needs_ten_samples_beyond_it(void **state) {
    (void)state;
    uint64_t found = 12345;
    assert_int_equal(histogram_samples_needed(0.5), 20);
    assert_int_equal(histogram_samples_needed(0.9), 100);
    assert_int_equal(histogram_samples_needed(0.99), 1000);
    assert_int_equal(histogram_samples_needed(0.999), 10000);
    assert_false(histogram_percentile(&histogram, 0.5, &found));
    for (int i = 1; i < 1000; i++)
        histogram_add(&histogram, 5000);
    assert_true(histogram_percentile(&histogram, 0.9, &found));
    found = 12345;
    assert_false(histogram_percentile(&histogram, 0.99, &found));
    assert_int_equal(found, 12345);
    histogram_add(&histogram, 5000);
    assert_true(histogram_percentile(&histogram, 0.99, &found));
    assert_int_equal(found, 5000);
    assert_false(histogram_percentile(&histogram, 0.999, &found));
}

static void test_merging_is_as_adding_all_to_one(void **state) {
    (void)state;
    static struct histogram one, other;
    struct random random = random_of(3);
    histogram_init(&one);
    histogram_init(&other);
    for (int i = 0; i < 5000; i++) {
        uint64_t value = random_integer(&random, 1000000);
        histogram_add(&histogram, value);
        histogram_add(i % 3 ? &one : &other, value);
    }
    histogram_merge(&one, &other);
    assert_memory_equal(one.buckets, histogram.buckets, sizeof one.buckets);
    assert_int_equal(one.count, histogram.count);
    assert_int_equal(one.min, histogram.min);
    assert_int_equal(one.max, histogram.max);
    histogram_init(&other);
    histogram_merge(&other, &one);
    assert_int_equal(other.min, one.min);
    histogram_init(&one);
    histogram_merge(&other, &one);
    assert_int_equal(other.min, histogram.min);
}

static void test_a_value_beyond_the_range_counts_as_its_end(void **state) {
    (void)state;
    uint64_t found;
    for (int i = 0; i < 20; i++)
        histogram_add(&histogram, UINT64_MAX);
    assert_true(histogram_percentile(&histogram, 0.5, &found));
    assert_int_equal(histogram.max, UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_percentiles_are_near_the_samples_own, setup),
        cmocka_unit_test_setup(test_every_value_is_within_half_a_percent_of_itself, setup),
        cmocka_unit_test_setup(test_small_values_are_exact, setup),
        cmocka_unit_test_setup(test_a_percentile_needs_ten_samples_beyond_it, setup),
        cmocka_unit_test_setup(test_merging_is_as_adding_all_to_one, setup),
        cmocka_unit_test_setup(test_a_value_beyond_the_range_counts_as_its_end, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
