/* The table of metrics, filled in: label values, bucket bounds, and the reference page made from
 * them. Constant data; thread: any. */
#include "observe/metrics_table.h"

#include "base/check.h"

#include <stdio.h>

#define VALUES(list, ...)                                                                          \
    static const char *const names_##list[] = {__VA_ARGS__};                                       \
    static const struct metric_values values_##list = {names_##list, ARRAY_LEN(names_##list)};

/* HTTP statuses that the errors table can give (base/error.def), and `other`, which stays last. */
VALUES(CODES, "200", "400", "401", "403", "404", "405", "408", "413", "414", "415", "417", "429",
       "431", "499", "500", "501", "503", "504", "505", "other")
/* In the order of gRPC's numbers. */
VALUES(GRPC_CODES, "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED",
       "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
       "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
       "DATA_LOSS", "UNAUTHENTICATED")
VALUES(REASONS, "queue_full", "deadline", "cancelled", "shutdown", "invalid")
VALUES(REFUSALS, "malformed", "timeout", "too_large", "connections", "tls")
VALUES(LISTENERS, "data", "management", "grpc")
VALUES(THREAD_KINDS, "loop", "executor")
VALUES(WHERE, "inline", "executor")
VALUES(LEFT, "full", "preferred", "delay", "idle", "shape", "turn")
VALUES(STATES, "settling", "loading", "warming", "ready", "unloading", "unloaded", "failed")
VALUES(RESULTS, "ok", "failed")

/* Variants are places in these lists. */
_Static_assert(ARRAY_LEN(names_REASONS) == REASON_COUNT, "enum metric_reason");
_Static_assert(ARRAY_LEN(names_REFUSALS) == REFUSAL_COUNT, "enum metric_refusal");
_Static_assert(ARRAY_LEN(names_LISTENERS) == LISTENER_COUNT, "enum metric_listener");
_Static_assert(ARRAY_LEN(names_THREAD_KINDS) == THREAD_KIND_COUNT, "enum metric_thread_kind");
_Static_assert(ARRAY_LEN(names_WHERE) == WHERE_COUNT, "enum metric_where");
_Static_assert(ARRAY_LEN(names_LEFT) == LEFT_COUNT, "enum metric_left");
_Static_assert(ARRAY_LEN(names_RESULTS) == RESULT_COUNT, "enum metric_result");

static const struct metric_values values_NONE = {NULL, 1};
#define values_BUILD metric_values_build
static const char *const names_BUILD[] = {"the program's version"};
const struct metric_values metric_values_build = {names_BUILD, 1};

const struct metric_row metric_rows[METRIC_COUNT] = {
#define METRIC(id, name, kind, scope, label, values, help)                                         \
    [METRIC_##id] = {name, label, help, &values_##values, METRIC_KIND_##kind, METRIC_SCOPE_##scope},
#include "observe/metrics.def"
#undef METRIC
};

static const struct metric_bound bounds_seconds[] = {
    {50000, "5e-05"},      {75000, "7.5e-05"},  {100000, "0.0001"},  {150000, "0.00015"},
    {250000, "0.00025"},   {500000, "0.0005"},  {750000, "0.00075"}, {1000000, "0.001"},
    {1500000, "0.0015"},   {2500000, "0.0025"}, {5000000, "0.005"},  {10000000, "0.01"},
    {25000000, "0.025"},   {50000000, "0.05"},  {100000000, "0.1"},  {250000000, "0.25"},
    {500000000, "0.5"},    {1000000000, "1.0"}, {2500000000, "2.5"}, {5000000000, "5.0"},
    {10000000000, "10.0"},
};

static const struct metric_bound bounds_count[] = {
    {1, "1.0"},   {2, "2.0"},   {4, "4.0"},     {8, "8.0"},     {16, "16.0"},
    {32, "32.0"}, {64, "64.0"}, {128, "128.0"}, {256, "256.0"},
};

const struct metric_bounds *metric_bounds_of(enum metric_kind kind) {
    static const struct metric_bounds seconds = {bounds_seconds, ARRAY_LEN(bounds_seconds)};
    static const struct metric_bounds count = {bounds_count, ARRAY_LEN(bounds_count)};
    return kind == METRIC_KIND_HISTOGRAM_SECONDS ? &seconds : &count;
}

const char *metric_type_name(enum metric_kind kind) {
    return metric_is_histogram(kind) ? "histogram" : metric_is_gauge(kind) ? "gauge" : "counter";
}

const char *metric_scope_label(enum metric_scope scope, uint32_t index) {
    static const char *const labels[METRIC_SCOPE_COUNT][2] = {
        [METRIC_SCOPE_PROCESS] = {NULL, NULL},
        [METRIC_SCOPE_MODEL] = {"model", NULL},
        [METRIC_SCOPE_VERSION] = {"model", "version"},
        [METRIC_SCOPE_EXECUTOR] = {"executor", NULL},
    };
    CHECK(scope < METRIC_SCOPE_COUNT && index < 2);
    return labels[scope][index];
}

const char *metric_variant_name(enum metric_id id, uint32_t variant) {
    CHECK(id < METRIC_COUNT);
    const struct metric_values *values = metric_rows[id].values;
    return values->names && variant < values->count ? values->names[variant] : NULL;
}

uint32_t metric_code_variant(int http_status) {
    uint32_t other = values_CODES.count - 1;
    if (http_status < 100 || http_status > 999)
        return other;
    if (http_status == 200)
        return 0;
    char text[4] = {(char)('0' + http_status / 100), (char)('0' + http_status / 10 % 10),
                    (char)('0' + http_status % 10), '\0'};
    for (uint32_t i = 0; i < other; i++)
        if (memcmp(names_CODES[i], text, sizeof text) == 0)
            return i;
    return other;
}

static void write_labels(const struct metric_row *row, struct buffer *out) {
    const char *separator = "";
    for (uint32_t i = 0; i < 2; i++) {
        const char *label = metric_scope_label(row->scope, i);
        if (!label)
            continue;
        buffer_add_format(out, "%s`%s`", separator, label);
        separator = ", ";
    }
    if (row->label)
        buffer_add_format(out, "%s`%s`", separator, row->label);
    if (!row->label && !metric_scope_label(row->scope, 0))
        buffer_add_c(out, "–");
}

/* The list's metrics share one line: their names, then the values. */
static void write_values(enum metric_id first, struct buffer *out) {
    const struct metric_values *values = metric_rows[first].values;
    buffer_add_format(out, "- `%s` of", metric_rows[first].label);
    for (uint32_t id = first; id < METRIC_COUNT; id++)
        if (metric_rows[id].values == values)
            buffer_add_format(out, "%s `%s`", id == first ? "" : ",", metric_rows[id].name);
    buffer_add_c(out, ": ");
    for (uint32_t i = 0; i < values->count; i++)
        buffer_add_format(out, "%s%s", i ? ", " : "", values->names[i]);
    buffer_add_c(out, "\n");
}

static void write_bounds(enum metric_kind kind, struct buffer *out) {
    const struct metric_bounds *bounds = metric_bounds_of(kind);
    for (uint32_t i = 0; i < bounds->count; i++)
        buffer_add_format(out, "%s%s", i ? ", " : "", bounds->bounds[i].le);
    buffer_add_c(out, ", +Inf\n");
}

void metrics_write_reference(struct buffer *out) {
    buffer_add_c(out, "# Metrics\n\n"
                      "Made from `src/observe/metrics.def`; do not edit. The management listener "
                      "answers `/metrics` in the\nPrometheus text format 0.0.4, or in OpenMetrics "
                      "1.0.0 when `Accept` asks for it.\n\n"
                      "Label values come from loaded models only: a series exists as long as its "
                      "model version does.\n\n"
                      "| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for (uint32_t id = 0; id < METRIC_COUNT; id++) {
        const struct metric_row *row = &metric_rows[id];
        buffer_add_format(out, "| `%s` | %s | ", row->name, metric_type_name(row->kind));
        write_labels(row, out);
        buffer_add_format(out, " | %s |\n", row->help);
    }
    buffer_add_c(out, "\n## Label values\n\n");
    for (uint32_t id = 0; id < METRIC_COUNT; id++) {
        const struct metric_row *row = &metric_rows[id];
        bool first = row->label != NULL;
        for (uint32_t i = 0; i < id && first; i++)
            first = metric_rows[i].values != row->values;
        if (first)
            write_values(id, out);
    }
    buffer_add_c(out, "\n## Buckets\n\n- Seconds: ");
    write_bounds(METRIC_KIND_HISTOGRAM_SECONDS, out);
    buffer_add_c(out, "- Rows and requests: ");
    write_bounds(METRIC_KIND_HISTOGRAM_COUNT, out);
}
