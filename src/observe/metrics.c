/* The registry of metrics and its cells.
 *
 * Why shards: an event loop adds to a dozen cells for each request; a line shared by two cores
 * would cost more than the rest of the request's accounting. A shard has one writer, so adding is a
 * plain load and store; a scrape sums the shards and may miss what is being added, never what was.
 * Thread: metric_add and metric_observe the shard's owner, everything else any. `registry` is held
 * to link and unlink groups and while a scrape walks them: a group cannot go away under a scrape.
 * Owns: every group's cells and label text; groups belong to whoever made them. */
#include "observe/metrics_cells.h"

#include "base/check.h"
#include "base/counter.h"
#include "base/memory.h"
#include "base/num.h"

#include <stdlib.h>

static void layout_init(struct metrics_layout *layout) {
    *layout = (struct metrics_layout){0};
    for (uint32_t id = 0; id < METRIC_COUNT; id++) {
        const struct metric_row *row = &metric_rows[id];
        uint32_t *end =
            metric_is_gauge(row->kind) ? &layout->gauges[row->scope] : &layout->stride[row->scope];
        layout->width[id] = metric_is_histogram(row->kind) ? metric_bounds_of(row->kind)->count + 2
                                                           : row->values->count;
        layout->offset[id] = *end;
        *end += layout->width[id];
    }
    uint32_t line = METRICS_CACHE_LINE / sizeof(uint64_t);
    for (uint32_t scope = 0; scope < METRIC_SCOPE_COUNT; scope++)
        layout->stride[scope] = (layout->stride[scope] + line - 1) / line * line;
}

struct metrics *metrics_new(uint32_t shards) {
    CHECK(shards > 0);
    struct metrics *metrics = mem_new(sizeof *metrics);
    layout_init(&metrics->layout);
    metrics->shard_count = shards;
    metrics->build = "";
    list_init(&metrics->groups);
    CHECK(pthread_mutex_init(&metrics->scrape, NULL) == 0);
    CHECK(pthread_mutex_init(&metrics->registry, NULL) == 0);
    metrics->process = metric_group_new(metrics, METRIC_SCOPE_PROCESS, NULL, NULL);
    return metrics;
}

void metrics_free(struct metrics **at) {
    struct metrics *metrics = *at;
    *at = NULL;
    if (!metrics)
        return;
    metric_group_free(&metrics->process);
    CHECK(list_empty(&metrics->groups));
    pthread_mutex_destroy(&metrics->registry);
    pthread_mutex_destroy(&metrics->scrape);
    mem_free(&metrics);
}

struct metric_group *metrics_process(struct metrics *metrics) {
    return metrics->process;
}

/* Label values: `\`, `"` and line ends are escaped (both formats alike); bytes that are not UTF-8,
 * which no scraper would accept, become question marks. */
static void add_label(struct buffer *out, const char *name, const char *value) {
    CHECK(value);
    bool utf8 = str_is_utf8(str_of(value));
    buffer_add_format(out, "%s%s=\"", out->used ? "," : "", name);
    for (const char *c = value; *c; c++) {
        if (*c == '\\' || *c == '"')
            buffer_add_char(out, '\\');
        if (*c == '\n')
            buffer_add_c(out, "\\n");
        else
            buffer_add_char(out, !utf8 && (unsigned char)*c >= 0x80 ? '?' : *c);
    }
    buffer_add_char(out, '"');
}

static char *labels_text(enum metric_scope scope, const char *first, const char *second) {
    const char *values[2] = {first, second};
    struct buffer text;
    buffer_init(&text, SIZE_MAX / 2);
    for (uint32_t i = 0; i < 2; i++) {
        const char *label = metric_scope_label(scope, i);
        CHECK(!label == !values[i]);
        if (label)
            add_label(&text, label, values[i]);
    }
    char *labels = mem_copy_n(text.data, text.used);
    buffer_done(&text);
    return labels;
}

/* The group with these labels, when there is one: two groups of one name would be two series of one
 * name, which scrapers refuse. */
static struct metric_group *find_group(struct metrics *metrics, enum metric_scope scope,
                                       const char *labels) {
    struct list_node *node = list_first(&metrics->groups);
    for (; node; node = list_next(&metrics->groups, node)) {
        struct metric_group *group = CONTAINER_OF(node, struct metric_group, node);
        if (group->scope == scope && strcmp(group->labels, labels) == 0)
            return group;
    }
    return NULL;
}

static struct metric_group *make_group(struct metrics *metrics, enum metric_scope scope,
                                       char *take_labels) {
    const struct metrics_layout *layout = &metrics->layout;
    struct metric_group *group = mem_new(sizeof *group);
    group->metrics = metrics;
    group->scope = scope;
    group->labels = take_labels;
    size_t size = (size_t)layout->stride[scope] * metrics->shard_count * sizeof *group->cells;
    if (size > 0) {
        group->cells = aligned_alloc(METRICS_CACHE_LINE, size);
        CHECK(group->cells);
        memset(group->cells, 0, size);
    }
    group->gauges = mem_new_array(layout->gauges[scope], sizeof *group->gauges);
    list_add_last(&metrics->groups, &group->node);
    return group;
}

struct metric_group *metric_group_new(struct metrics *metrics, enum metric_scope scope,
                                      const char *first_label, const char *second_label) {
    char *labels = labels_text(scope, first_label, second_label);
    CHECK(pthread_mutex_lock(&metrics->registry) == 0);
    struct metric_group *group = find_group(metrics, scope, labels);
    if (group)
        mem_free(&labels);
    else
        group = make_group(metrics, scope, labels);
    group->references++;
    CHECK(pthread_mutex_unlock(&metrics->registry) == 0);
    return group;
}

void metric_group_free(struct metric_group **at) {
    struct metric_group *group = *at;
    *at = NULL;
    if (!group)
        return;
    struct metrics *metrics = group->metrics;
    CHECK(pthread_mutex_lock(&metrics->registry) == 0);
    bool last = --group->references == 0;
    if (last)
        list_remove(&group->node);
    CHECK(pthread_mutex_unlock(&metrics->registry) == 0);
    if (!last)
        return;
    mem_free(&group->labels);
    mem_free(&group->cells);
    mem_free(&group->gauges);
    mem_free(&group);
}

static struct metric_cell *shard_cells(const struct metric_group *group, uint32_t shard,
                                       enum metric_id id) {
    const struct metrics *metrics = group->metrics;
    CHECK(shard < metrics->shard_count && metric_rows[id].scope == group->scope);
    return group->cells + (size_t)shard * metrics->layout.stride[group->scope] +
           metrics->layout.offset[id];
}

void metric_add(struct metric_group *group, uint32_t shard, enum metric_id id, uint32_t variant,
                uint64_t n) {
    enum metric_kind kind = metric_rows[id].kind;
    CHECK(kind <= METRIC_KIND_COUNTER_SECONDS && variant < group->metrics->layout.width[id]);
    counter_add(&shard_cells(group, shard, id)[variant].value, n);
}

/* The first bucket whose bound is not below the value: halves without branches, for latencies are
 * hard to predict. */
static uint32_t find_bucket(const struct metric_bounds *bounds, uint64_t value) {
    uint32_t bucket = 0;
    for (uint32_t n = bounds->count; n > 0;) {
        uint32_t half = (n + 1) / 2;
        bucket += bounds->bounds[bucket + half - 1].at_most < value ? half : 0;
        n -= half;
    }
    return bucket;
}

void metric_observe(struct metric_group *group, uint32_t shard, enum metric_id id, uint64_t value) {
    enum metric_kind kind = metric_rows[id].kind;
    CHECK(metric_is_histogram(kind));
    struct metric_cell *cells = shard_cells(group, shard, id);
    const struct metric_bounds *bounds = metric_bounds_of(kind);
    uint32_t bucket = find_bucket(bounds, value);
    counter_add(&cells[bucket].value, 1);
    counter_add(&cells[bounds->count + 1].value, value);
}

static struct metric_cell *gauge_cell(const struct metric_group *group, enum metric_id id,
                                      uint32_t variant) {
    CHECK(metric_is_gauge(metric_rows[id].kind) && metric_rows[id].scope == group->scope);
    CHECK(variant < group->metrics->layout.width[id]);
    return group->gauges + group->metrics->layout.offset[id] + variant;
}

void metric_set(struct metric_group *group, enum metric_id id, uint32_t variant, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    atomic_store_explicit(&gauge_cell(group, id, variant)->value, bits, memory_order_relaxed);
}

double metric_gauge_value(const struct metric_group *group, enum metric_id id, uint32_t variant) {
    uint64_t bits =
        atomic_load_explicit(&gauge_cell(group, id, variant)->value, memory_order_relaxed);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint64_t metric_cell_sum(const struct metric_group *group, enum metric_id id, uint32_t cell) {
    CHECK(cell < group->metrics->layout.width[id]);
    uint64_t sum = 0;
    for (uint32_t shard = 0; shard < group->metrics->shard_count; shard++)
        sum +=
            atomic_load_explicit(&shard_cells(group, shard, id)[cell].value, memory_order_relaxed);
    return sum;
}

uint64_t metric_read(const struct metric_group *group, enum metric_id id, uint32_t variant) {
    enum metric_kind kind = metric_rows[id].kind;
    if (metric_is_gauge(kind)) {
        double value = metric_gauge_value(group, id, variant);
        return value >= 0 && value < 0x1p63 ? (uint64_t)(value + 0.5) : 0;
    }
    if (!metric_is_histogram(kind))
        return metric_cell_sum(group, id, variant);
    uint64_t count = 0;
    for (uint32_t i = 0; i <= metric_bounds_of(kind)->count; i++)
        count += metric_cell_sum(group, id, i);
    return count;
}

uint64_t metric_read_sum(const struct metric_group *group, enum metric_id id) {
    enum metric_kind kind = metric_rows[id].kind;
    CHECK(metric_is_histogram(kind));
    return metric_cell_sum(group, id, metric_bounds_of(kind)->count + 1);
}

void metric_set_counter(struct metric_group *group, enum metric_id id, uint32_t variant,
                        uint64_t value) {
    enum metric_kind kind = metric_rows[id].kind;
    CHECK(kind <= METRIC_KIND_COUNTER_SECONDS && variant < group->metrics->layout.width[id]);
    atomic_store_explicit(&shard_cells(group, 0, id)[variant].value, value, memory_order_relaxed);
}

void metrics_set_build(struct metrics *metrics, const char *version) {
    metrics->build = version;
    metric_set(metrics->process, METRIC_BUILD_INFO, 0, 1);
}

void metrics_on_scrape(struct metrics *metrics, void (*collect)(void *context), void *context) {
    CHECK(pthread_mutex_lock(&metrics->scrape) == 0);
    CHECK(metrics->collector_count < METRICS_COLLECTORS_MAX);
    metrics->collectors[metrics->collector_count++] = (struct metrics_collector){collect, context};
    CHECK(pthread_mutex_unlock(&metrics->scrape) == 0);
}
