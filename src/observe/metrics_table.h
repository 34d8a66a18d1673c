/* The table of metrics as data: what metrics.def says, with label values and bucket bounds filled
 * in. Private to the layer. */
#pragma once

#include "observe/metrics.h"

enum metric_kind {
    METRIC_KIND_COUNTER,
    METRIC_KIND_COUNTER_SECONDS,
    METRIC_KIND_GAUGE,
    METRIC_KIND_GAUGE_SECONDS,
    METRIC_KIND_HISTOGRAM_SECONDS,
    METRIC_KIND_HISTOGRAM_COUNT
};

struct metric_values {
    const char *const *names;
    uint32_t count;
};

struct metric_row {
    const char *name;
    const char *label; /* NULL: no extra label */
    const char *help;
    const struct metric_values *values;
    enum metric_kind kind;
    enum metric_scope scope;
};

/* A bucket: its upper bound, and the text of `le`, the same in both formats so that a series keeps
 * its name when a scraper changes format (OpenMetrics 1.0.0, "Numbers": canonical forms). */
struct metric_bound {
    uint64_t at_most;
    const char *le;
};

struct metric_bounds {
    const struct metric_bound *bounds;
    uint32_t count;
};

extern const struct metric_row metric_rows[METRIC_COUNT];

/* METRIC_VALUES_BUILD's one name is not in the table: the registry has it. */
extern const struct metric_values metric_values_build;

static inline bool metric_is_histogram(enum metric_kind kind) {
    return kind == METRIC_KIND_HISTOGRAM_SECONDS || kind == METRIC_KIND_HISTOGRAM_COUNT;
}

static inline bool metric_is_gauge(enum metric_kind kind) {
    return kind == METRIC_KIND_GAUGE || kind == METRIC_KIND_GAUGE_SECONDS;
}

/* "counter", "gauge" or "histogram". */
const char *metric_type_name(enum metric_kind kind);

/* Bucket bounds of a histogram kind, without +Inf. */
const struct metric_bounds *metric_bounds_of(enum metric_kind kind);

/* The scope's own labels: up to two names, NULL where there is none. */
const char *metric_scope_label(enum metric_scope scope, uint32_t index);
