/* The registry and its cells, as the exposition reads them. Private to the layer.
 *
 * A group's memory: `shard_count` strides of counter and histogram cells, then one stretch of gauge
 * cells. A stride is a multiple of a cache line, so threads never write the same line.
 * A histogram's cells: one a bucket (not cumulative), +Inf, the sum. */
#pragma once

#include "base/list.h"
#include "observe/metrics_table.h"

#include <pthread.h>
#include <stdatomic.h>

enum { METRICS_COLLECTORS_MAX = 8, METRICS_CACHE_LINE = 64 };

struct metrics_layout {
    uint32_t offset[METRIC_COUNT]; /* from the start of a stride, or of the gauges */
    uint32_t width[METRIC_COUNT];  /* cells */
    uint32_t stride[METRIC_SCOPE_COUNT];
    uint32_t gauges[METRIC_SCOPE_COUNT];
};

struct metrics_collector {
    void (*collect)(void *context);
    void *context;
};

struct metrics {
    struct metrics_layout layout;
    uint32_t shard_count;
    const char *build;
    struct metric_group *process;
    struct metrics_collector collectors[METRICS_COLLECTORS_MAX];
    uint32_t collector_count;
    pthread_mutex_t scrape; /* one scrape at a time; taken before `registry` */
    pthread_mutex_t registry;
    struct list groups; /* under `registry`; oldest first */
};

struct metric_cell {
    _Atomic uint64_t value;
};

struct metric_group {
    struct metrics *metrics;
    enum metric_scope scope;
    uint32_t references; /* under `registry` */
    struct list_node node;
    char *labels; /* `model="m",version="1"`, escaped; "" without */
    struct metric_cell *cells;
    struct metric_cell *gauges; /* bits of doubles */
};

/* Sum of one cell of a metric over the shards. */
uint64_t metric_cell_sum(const struct metric_group *group, enum metric_id id, uint32_t cell);
double metric_gauge_value(const struct metric_group *group, enum metric_id id, uint32_t variant);
