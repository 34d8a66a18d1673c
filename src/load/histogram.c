/* A value below 2^(STEP_BITS+1) is its own bucket; above, a bucket is the value's power of two and
 * the STEP_BITS bits after its first. Its middle stands for it. */
#include "load/histogram.h"

#include "base/check.h"
#include "base/num.h"

#include <math.h>

enum { EXACT_BELOW = 2 << HISTOGRAM_STEP_BITS };
#define VALUE_MAX (((uint64_t)1 << HISTOGRAM_VALUE_BITS) - 1)

static size_t bucket_of(uint64_t value) {
    if (value < EXACT_BELOW)
        return (size_t)value;
    if (value > VALUE_MAX)
        value = VALUE_MAX;
    unsigned shift = 63U - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
    return ((size_t)shift << HISTOGRAM_STEP_BITS) + (size_t)(value >> shift);
}

static uint64_t value_of(size_t bucket) {
    if (bucket < EXACT_BELOW)
        return bucket;
    unsigned shift = (unsigned)(bucket >> HISTOGRAM_STEP_BITS) - 1;
    uint64_t first = (uint64_t)(bucket - ((size_t)shift << HISTOGRAM_STEP_BITS)) << shift;
    return first + ((uint64_t)1 << shift) / 2;
}

void histogram_init(struct histogram *histogram) {
    *histogram = (struct histogram){0};
}

void histogram_add(struct histogram *histogram, uint64_t value) {
    if (histogram->count == 0 || value < histogram->min)
        histogram->min = value;
    if (value > histogram->max)
        histogram->max = value;
    histogram->count++;
    histogram->sum += (double)value;
    histogram->buckets[bucket_of(value)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from) {
    if (from->count == 0)
        return;
    into->min = into->count == 0 ? from->min : MIN(into->min, from->min);
    into->max = MAX(into->max, from->max);
    into->count += from->count;
    into->sum += from->sum;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

double histogram_mean(const struct histogram *histogram) {
    return histogram->count == 0 ? 0 : histogram->sum / (double)histogram->count;
}

uint64_t histogram_samples_needed(double quantile) {
    CHECK(quantile > 0 && quantile < 1);
    /* 1 - 0.99 is a little more than 0.01: without the correction p99 would need 999 or 1,001. */
    return (uint64_t)ceil(HISTOGRAM_BEYOND_MIN / (1 - quantile) - 1e-6);
}

bool histogram_percentile(const struct histogram *histogram, double quantile, uint64_t *ret) {
    if (histogram->count < histogram_samples_needed(quantile))
        return false;
    uint64_t rank = (uint64_t)ceil(quantile * (double)histogram->count - 1e-6);
    uint64_t below = 0;
    size_t bucket = 0;
    for (; bucket < HISTOGRAM_BUCKETS - 1; bucket++) {
        below += histogram->buckets[bucket];
        if (below >= rank)
            break;
    }
    *ret = MAX(histogram->min, MIN(histogram->max, value_of(bucket)));
    return true;
}
