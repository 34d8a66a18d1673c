/* A model version's figures, for whatever protocol reports them. Pure but for relaxed reads of the
 * counters. Thread: any. */
#pragma once

#include "model/version.h"

struct duration {
    uint64_t count, ns;
};

struct statistics_batch {
    uint64_t rows;
    struct duration infer;
};

struct statistics {
    uint64_t last_inference_ms, inference_count, execution_count;
    struct duration success, fail, queue, input, infer, output, cache_hit, cache_miss;
    struct statistics_batch batches[MODEL_STATS_BATCH_SIZES]; /* those that came */
    size_t batch_count;
};

/* The sums over the shards. */
void statistics_sum(const struct model_version *version, uint32_t shards, struct statistics *ret);

/* The durations of InferStatistics in the protocol's order and under its names:
 * DURATION(name, member). */
#define STATISTICS_DURATIONS(DURATION)                                                             \
    DURATION(success, success)                                                                     \
    DURATION(fail, fail)                                                                           \
    DURATION(queue, queue)                                                                         \
    DURATION(compute_input, input)                                                                 \
    DURATION(compute_infer, infer)                                                                 \
    DURATION(compute_output, output)                                                               \
    DURATION(cache_hit, cache_hit)                                                                 \
    DURATION(cache_miss, cache_miss)
