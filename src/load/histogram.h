/* A histogram of times in fixed memory, whose percentiles are within 0.4 % of the samples' own:
 * exact below 256 ns, then 128 steps to each power of two (as HdrHistogram with two digits).
 * A percentile that too few samples lie beyond is refused: with fewer than ten of them it says more
 * about chance than about the server. Pure. Thread: one at a time. Owns nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_STEP_BITS = 7,
    HISTOGRAM_VALUE_BITS = 44, /* 2^44 ns are nearly five hours; longer counts as that */
    HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS,
    HISTOGRAM_BEYOND_MIN = 10, /* samples beyond a percentile */
};

struct histogram {
    uint64_t count;
    uint64_t min, max; /* exact; 0 when empty */
    double sum;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *histogram);
void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
double histogram_mean(const struct histogram *histogram); /* exact; 0 when empty */

/* Samples that a percentile needs: HISTOGRAM_BEYOND_MIN / (1 - quantile), so p99 needs 1,000. */
uint64_t histogram_samples_needed(double quantile);
/* The smallest value that at least quantile × count samples do not exceed. 0 < quantile < 1. False,
 * and nothing written, when there are fewer samples than it needs. */
bool histogram_percentile(const struct histogram *histogram, double quantile, uint64_t *ret);
