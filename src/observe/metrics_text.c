/* The metrics as text: Prometheus text format 0.0.4 and OpenMetrics 1.0.0.
 *
 * The two differ here in three places: a counter's family has no _total in OpenMetrics, there are
 * `# UNIT` lines, and the text ends with `# EOF`. Numbers and `le` values are written alike.
 * Each family's HELP and TYPE stand there once, even when no group of its scope exists.
 * Thread: any; one scrape at a time, groups held by the registry's mutex while they are read. */
#include "observe/metrics_cells.h"

#include "base/check.h"
#include "base/num.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The unit that a family's name ends with, which OpenMetrics wants to be the same as # UNIT. */
static const char *unit_of(struct str family) {
    if (str_ends(family, STR("_seconds")))
        return "seconds";
    return str_ends(family, STR("_bytes")) ? "bytes" : NULL;
}

static void write_head(const struct metric_row *row, bool openmetrics, struct buffer *out) {
    struct str family = str_of(row->name);
    if (openmetrics && str_ends(family, STR("_total")))
        family.n -= sizeof "_total" - 1;
    buffer_add_format(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", STR_ARG(family), row->help,
                      STR_ARG(family), metric_type_name(row->kind));
    const char *unit = unit_of(family);
    if (openmetrics && unit)
        buffer_add_format(out, "# UNIT %.*s %s\n", STR_ARG(family), unit);
}

/* Nanoseconds as seconds, exactly: "0.000052". */
static void write_seconds(uint64_t ns, struct buffer *out) {
    buffer_add_u64(out, ns / NS_PER_S);
    uint32_t fraction = (uint32_t)(ns % NS_PER_S);
    if (fraction == 0)
        return;
    char digits[10] = ".";
    for (int i = 9; i > 0; i--) {
        digits[i] = (char)('0' + fraction % 10);
        fraction /= 10;
    }
    size_t n = sizeof digits;
    while (digits[n - 1] == '0')
        n--;
    buffer_add(out, digits, n);
}

/* The shortest text that reads back as the same number. */
static void write_double(double value, struct buffer *out) {
    if (isnan(value)) {
        buffer_add_c(out, "NaN");
    } else if (isinf(value)) {
        buffer_add_c(out, value > 0 ? "+Inf" : "-Inf");
    } else if (fabs(value) < 0x1p53 && value == (double)(int64_t)value) {
        buffer_add_i64(out, (int64_t)value);
    } else {
        char text[32];
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, value);
            if (strtod(text, NULL) == value)
                break;
        }
        buffer_add_c(out, text);
    }
}

/* What a sample is called: family, suffix, and a label beside the group's (name NULL: none). */
struct sample_name {
    const char *family;
    const char *suffix;
    const char *label;
    const char *label_value;
};

/* Everything before the value: `family_suffix{group's labels,label="value"} `. */
static void write_name(const struct metric_group *group, const struct sample_name *name,
                       struct buffer *out) {
    buffer_add_c(out, name->family);
    buffer_add_c(out, name->suffix);
    bool labels = group->labels[0] != '\0';
    if (labels || name->label)
        buffer_add_char(out, '{');
    buffer_add_c(out, group->labels);
    if (name->label) {
        buffer_add_c(out, labels ? "," : "");
        buffer_add_c(out, name->label);
        buffer_add_c(out, "=\"");
        buffer_add_c(out, name->label_value);
        buffer_add_char(out, '"');
    }
    buffer_add_c(out, labels || name->label ? "} " : " ");
}

static void write_plain(const struct metric_group *group, enum metric_id id, struct buffer *out) {
    const struct metric_row *row = &metric_rows[id];
    for (uint32_t i = 0; i < row->values->count; i++) {
        const char *value = row->values->names ? row->values->names[i] : NULL;
        if (row->values == &metric_values_build)
            value = group->metrics->build;
        write_name(group, &(struct sample_name){row->name, "", row->label, value}, out);
        if (row->kind == METRIC_KIND_GAUGE)
            write_double(metric_gauge_value(group, id, i), out);
        else if (row->kind == METRIC_KIND_GAUGE_SECONDS)
            write_double(metric_gauge_value(group, id, i) / NS_PER_S, out);
        else if (row->kind == METRIC_KIND_COUNTER_SECONDS)
            write_seconds(metric_cell_sum(group, id, i), out);
        else
            buffer_add_u64(out, metric_cell_sum(group, id, i));
        buffer_add_char(out, '\n');
    }
}

/* Buckets are summed once and _count is what they add up to, so a histogram agrees with itself
 * whatever is added meanwhile. */
static void write_histogram(const struct metric_group *group, enum metric_id id,
                            struct buffer *out) {
    const struct metric_row *row = &metric_rows[id];
    const struct metric_bounds *bounds = metric_bounds_of(row->kind);
    uint64_t count = 0;
    for (uint32_t i = 0; i <= bounds->count; i++) {
        count += metric_cell_sum(group, id, i);
        const char *le = i < bounds->count ? bounds->bounds[i].le : "+Inf";
        write_name(group, &(struct sample_name){row->name, "_bucket", "le", le}, out);
        buffer_add_u64(out, count);
        buffer_add_char(out, '\n');
    }
    write_name(group, &(struct sample_name){row->name, "_sum", NULL, NULL}, out);
    if (row->kind == METRIC_KIND_HISTOGRAM_SECONDS)
        write_seconds(metric_read_sum(group, id), out);
    else
        buffer_add_u64(out, metric_read_sum(group, id));
    buffer_add_char(out, '\n');
    write_name(group, &(struct sample_name){row->name, "_count", NULL, NULL}, out);
    buffer_add_u64(out, count);
    buffer_add_char(out, '\n');
}

static void write_groups(struct metrics *metrics, bool openmetrics, struct buffer *out) {
    for (uint32_t id = 0; id < METRIC_COUNT; id++) {
        const struct metric_row *row = &metric_rows[id];
        write_head(row, openmetrics, out);
        struct list_node *node = list_first(&metrics->groups);
        for (; node; node = list_next(&metrics->groups, node)) {
            const struct metric_group *group = CONTAINER_OF(node, struct metric_group, node);
            if (group->scope != row->scope)
                continue;
            if (metric_is_histogram(row->kind))
                write_histogram(group, id, out);
            else
                write_plain(group, id, out);
        }
    }
}

void metrics_write(struct metrics *metrics, bool openmetrics, struct buffer *out) {
    CHECK(pthread_mutex_lock(&metrics->scrape) == 0);
    for (uint32_t i = 0; i < metrics->collector_count; i++)
        metrics->collectors[i].collect(metrics->collectors[i].context);
    CHECK(pthread_mutex_lock(&metrics->registry) == 0);
    write_groups(metrics, openmetrics, out);
    CHECK(pthread_mutex_unlock(&metrics->registry) == 0);
    CHECK(pthread_mutex_unlock(&metrics->scrape) == 0);
    if (openmetrics)
        buffer_add_c(out, "# EOF\n");
}
