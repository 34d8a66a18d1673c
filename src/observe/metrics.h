/* Metrics: one table (metrics.def), many views. Cells are per shard (a thread writes its own shard only, with
 * relaxed stores), summed when scraped. Label values come only from loaded models: a group is made for a model
 * version when it exists and dies with it. Text: Prometheus 0.0.4 and OpenMetrics 1.0.0.
 *
 * metrics.def rows: METRIC(ID, "inferd_name", KIND, SCOPE, "extra label" or NULL, extra values list name, "help")
 *   KIND: COUNTER, COUNTER_SECONDS (cells hold ns), GAUGE, GAUGE_SECONDS, HISTOGRAM_SECONDS, HISTOGRAM_COUNT
 *   SCOPE: PROCESS, MODEL, VERSION, EXECUTOR */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
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

struct metrics;       /* the registry */
struct metric_group;  /* the cells of one scope with its label values */

/* `shards`: threads that may write (loops + executors + others). Thread of the registry's functions: any. */
struct metrics *metrics_new(uint32_t shards);
void metrics_free(struct metrics **metrics);
struct metric_group *metrics_process(struct metrics *metrics); /* the one PROCESS group */

/* Label values are copied. The group appears in scrapes from now until metric_group_free. */
struct metric_group *metric_group_new(struct metrics *metrics, enum metric_scope scope, const char *first_label,
                                      const char *second_label);
void metric_group_free(struct metric_group **group);

/* `variant`: index into the row's extra label values; 0 when it has none. Wait-free. Thread: the shard's. */
void metric_add(struct metric_group *group, uint32_t shard, enum metric_id id, uint32_t variant, uint64_t n);
/* Histograms: seconds ones take ns, count ones take the value. */
void metric_observe(struct metric_group *group, uint32_t shard, enum metric_id id, uint64_t value);
/* Gauges: one cell, last write wins. Thread: any. *_SECONDS take ns; others the plain value. */
void metric_set(struct metric_group *group, enum metric_id id, uint32_t variant, double value);

/* Variant for an HTTP status: the index into the `code` label's values; statuses not listed map to "other". */
uint32_t metric_code_variant(int http_status);

/* Called before each scrape, on the scraping thread, to set gauges. */
void metrics_on_scrape(struct metrics *metrics, void (*collect)(void *context), void *context);

/* Appends all metrics. Never allocates series; order: by table row, then by group age. */
void metrics_write(struct metrics *metrics, bool openmetrics, struct buffer *out);
/* Appends the reference page (Markdown) of the table. */
void metrics_write_reference(struct buffer *out);
/* Sum over shards, for tests and the statistics extension. */
uint64_t metric_read(const struct metric_group *group, enum metric_id id, uint32_t variant);
/* Counters that are read elsewhere (the kernel, the log): sets the cell of shard 0 to an absolute value (ns for
 * COUNTER_SECONDS). Called from a scrape callback only. */
void metric_set_counter(struct metric_group *group, enum metric_id id, uint32_t variant, uint64_t value);
/* Sets the value list BUILD (the version label of build_info); before the first scrape. Borrowed for good. */
void metrics_set_build(struct metrics *metrics, const char *version);

enum metric_reason { REASON_QUEUE_FULL, REASON_DEADLINE, REASON_CANCELLED, REASON_SHUTDOWN, REASON_INVALID };
enum metric_refusal { REFUSAL_MALFORMED, REFUSAL_TIMEOUT, REFUSAL_TOO_LARGE, REFUSAL_CONNECTIONS, REFUSAL_TLS };
enum metric_listener { LISTENER_DATA, LISTENER_MANAGEMENT };
enum metric_where { WHERE_INLINE, WHERE_EXECUTOR };
enum metric_result { RESULT_OK, RESULT_FAILED };
