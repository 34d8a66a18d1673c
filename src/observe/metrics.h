/* Metrics: one table (metrics.def), many views. Cells are per shard (a thread writes its own shard
 * only, with relaxed stores), summed when scraped. Label values come only from loaded models: a
 * group is made for a model version when it exists and dies with it. Text: Prometheus 0.0.4 and
 * OpenMetrics 1.0.0.
 *
 * metrics.def rows: METRIC(ID, "inferd_name", KIND, SCOPE, "extra label" or NULL, its values,
 * "help") KIND: COUNTER, COUNTER_SECONDS (cells hold ns), GAUGE, GAUGE_SECONDS, HISTOGRAM_SECONDS,
 *         HISTOGRAM_COUNT
 *   SCOPE: PROCESS, MODEL, VERSION, EXECUTOR */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metric_scope {
    METRIC_SCOPE_PROCESS,  /* no labels */
    METRIC_SCOPE_MODEL,    /* model */
    METRIC_SCOPE_VERSION,  /* model, version */
    METRIC_SCOPE_EXECUTOR, /* executor */
    METRIC_SCOPE_COUNT
};

enum metric_id {
#define METRIC(id, name, kind, scope, label, values, help) METRIC_##id,
#include "observe/metrics.def"
#undef METRIC
    METRIC_COUNT
};

struct metrics;      /* the registry */
struct metric_group; /* the cells of one scope with its label values */

/* `shards`: threads that may write (loops + executors + others). Thread of the registry's
 * functions: any. */
struct metrics *metrics_new(uint32_t shards);
void metrics_free(struct metrics **metrics);
struct metric_group *metrics_process(struct metrics *metrics); /* the one PROCESS group */

/* Label values are copied. The group appears in scrapes from now until metric_group_free. Asked for
 * again with the same labels it is the same group (an old and a new load of one version share their
 * series); it ends with the last metric_group_free. */
struct metric_group *metric_group_new(struct metrics *metrics, enum metric_scope scope,
                                      const char *first_label, const char *second_label);
void metric_group_free(struct metric_group **group);

/* `variant`: index into the row's extra label values; 0 when it has none. Wait-free.
 * Thread: the shard's. */
void metric_add(struct metric_group *group, uint32_t shard, enum metric_id id, uint32_t variant,
                uint64_t n);
/* Histograms: seconds ones take ns, count ones take the value. */
void metric_observe(struct metric_group *group, uint32_t shard, enum metric_id id, uint64_t value);
/* Gauges: one cell, last write wins. Thread: any. *_SECONDS take ns; others the plain value. */
void metric_set(struct metric_group *group, enum metric_id id, uint32_t variant, double value);

/* Variant for an HTTP status: the index into the `code` label's values; statuses not listed map to
 * "other". Thread: any. */
uint32_t metric_code_variant(int http_status);

/* `collect` is called before each scrape, on the scraping thread, to set gauges; one scrape at a
 * time. At most 8 may be added. */
void metrics_on_scrape(struct metrics *metrics, void (*collect)(void *context), void *context);

/* Appends all metrics. Never allocates series; order: by table row, then by group age. */
void metrics_write(struct metrics *metrics, bool openmetrics, struct buffer *out);
/* The extra label's value of a variant (STATES, REASONS, ...); NULL beyond the list. */
const char *metric_variant_name(enum metric_id id, uint32_t variant);
/* Appends the reference page (Markdown) of the table. */
void metrics_write_reference(struct buffer *out);
/* Sum over shards, for tests and the statistics extension. Counters: ns for COUNTER_SECONDS;
 * histograms: the number of observations (variant 0); gauges: the value, rounded. Thread: any. */
uint64_t metric_read(const struct metric_group *group, enum metric_id id, uint32_t variant);
/* Histograms: the sum of what was observed (ns for seconds). Thread: any. */
uint64_t metric_read_sum(const struct metric_group *group, enum metric_id id);
/* Counters that are read elsewhere (the kernel, the log): sets the cell of shard 0 to an absolute
 * value (ns for COUNTER_SECONDS). Called from a scrape callback only. */
void metric_set_counter(struct metric_group *group, enum metric_id id, uint32_t variant,
                        uint64_t value);
/* Sets the value list BUILD (the version label of build_info) and build_info to 1; before the first
 * scrape. Borrowed for good. */
void metrics_set_build(struct metrics *metrics, const char *version);

/* Variants, in the order of their lists in metrics_table.c. STATES follow model/state.def: a test
 * of the model layer says so. */
enum metric_reason {
    REASON_QUEUE_FULL,
    REASON_DEADLINE,
    REASON_CANCELLED,
    REASON_SHUTDOWN,
    REASON_INVALID,
    REASON_COUNT
};
enum metric_refusal {
    REFUSAL_MALFORMED,
    REFUSAL_TIMEOUT,
    REFUSAL_TOO_LARGE,
    REFUSAL_CONNECTIONS,
    REFUSAL_TLS,
    REFUSAL_COUNT
};
enum metric_listener { LISTENER_DATA, LISTENER_MANAGEMENT, LISTENER_GRPC, LISTENER_COUNT };
enum metric_thread_kind { THREAD_KIND_LOOP, THREAD_KIND_EXECUTOR, THREAD_KIND_COUNT };
enum metric_where { WHERE_INLINE, WHERE_EXECUTOR, WHERE_COUNT };
enum metric_left {
    LEFT_FULL,
    LEFT_PREFERRED,
    LEFT_DELAY,
    LEFT_IDLE,
    LEFT_SHAPE,
    LEFT_TURN,
    LEFT_COUNT
};
enum metric_result { RESULT_OK, RESULT_FAILED, RESULT_COUNT };
