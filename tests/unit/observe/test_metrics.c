#include "observe/metrics_cells.h"

#include "base/error.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include <cmocka.h>

enum { SHARDS = 3 };

static int setup(void **state) {
    static struct metrics *metrics;
    metrics = metrics_new(SHARDS);
    *state = metrics;
    return 0;
}

static int teardown(void **state) {
    struct metrics *metrics = *state;
    metrics_free(&metrics);
    assert_null(metrics);
    return 0;
}

static struct metric_group *version_group(struct metrics *metrics) {
    return metric_group_new(metrics, METRIC_SCOPE_VERSION, "m", "1");
}

static void test_counters_sum_over_shards(void **state) {
    struct metric_group *group = version_group(*state);
    metric_add(group, 0, METRIC_REQUESTS, 1, 5);
    metric_add(group, 1, METRIC_REQUESTS, 1, 6);
    metric_add(group, 2, METRIC_REQUESTS, 1, 7);
    metric_add(group, 2, METRIC_REQUESTS, 0, 1);
    assert_int_equal(metric_read(group, METRIC_REQUESTS, 1), 18);
    assert_int_equal(metric_read(group, METRIC_REQUESTS, 0), 1);
    assert_int_equal(metric_read(group, METRIC_REQUESTS, 2), 0);
    assert_int_equal(metric_read(group, METRIC_INFERENCES, 0), 0);
    metric_group_free(&group);
    assert_null(group);
}

static void test_histograms_count_and_sum(void **state) {
    struct metric_group *group = version_group(*state);
    metric_observe(group, 0, METRIC_QUEUE_SECONDS, 10);
    metric_observe(group, 1, METRIC_QUEUE_SECONDS, 20000000000);
    metric_observe(group, 2, METRIC_BATCH_ROWS, 300);
    assert_int_equal(metric_read(group, METRIC_QUEUE_SECONDS, 0), 2);
    assert_int_equal(metric_read_sum(group, METRIC_QUEUE_SECONDS), 20000000010);
    assert_int_equal(metric_read(group, METRIC_BATCH_ROWS, 0), 1);
    assert_int_equal(metric_read_sum(group, METRIC_BATCH_ROWS), 300);
    assert_int_equal(metric_read(group, METRIC_COMPUTE_SECONDS, 0), 0);
    metric_group_free(&group);
}

static void test_every_bound_belongs_to_its_bucket(void **state) {
    struct metric_group *group = version_group(*state);
    const struct metric_bounds *bounds = metric_bounds_of(METRIC_KIND_HISTOGRAM_SECONDS);
    for (uint32_t i = 0; i < bounds->count; i++) {
        uint64_t next = metric_cell_sum(group, METRIC_QUEUE_SECONDS, i + 1);
        uint64_t before = metric_cell_sum(group, METRIC_QUEUE_SECONDS, i);
        metric_observe(group, 0, METRIC_QUEUE_SECONDS, bounds->bounds[i].at_most);
        metric_observe(group, 1, METRIC_QUEUE_SECONDS, bounds->bounds[i].at_most + 1);
        assert_int_equal(metric_cell_sum(group, METRIC_QUEUE_SECONDS, i), before + 1);
        assert_int_equal(metric_cell_sum(group, METRIC_QUEUE_SECONDS, i + 1), next + 1);
    }
    metric_observe(group, 0, METRIC_QUEUE_SECONDS, UINT64_MAX / 2);
    assert_int_equal(metric_cell_sum(group, METRIC_QUEUE_SECONDS, bounds->count), 2);
    metric_group_free(&group);
}

static void test_gauges_keep_the_last_value(void **state) {
    struct metric_group *group = metric_group_new(*state, METRIC_SCOPE_MODEL, "m", NULL);
    metric_set(group, METRIC_MODEL_STATE, 3, 2);
    metric_set(group, METRIC_MODEL_STATE, 3, 1);
    metric_set(group, METRIC_MODEL_LOAD_SECONDS, 0, -5);
    assert_int_equal(metric_read(group, METRIC_MODEL_STATE, 3), 1);
    assert_int_equal(metric_read(group, METRIC_MODEL_STATE, 2), 0);
    assert_int_equal(metric_read(group, METRIC_MODEL_LOAD_SECONDS, 0), 0);
    metric_group_free(&group);
}

static void test_foreign_counters_are_set(void **state) {
    struct metric_group *process = metrics_process(*state);
    metric_set_counter(process, METRIC_LOG_DROPPED, 0, 9);
    metric_set_counter(process, METRIC_LOG_DROPPED, 0, 12);
    assert_int_equal(metric_read(process, METRIC_LOG_DROPPED, 0), 12);
}

static void test_same_labels_are_the_same_group_until_the_last_free(void **state) {
    struct metric_group *old = version_group(*state);
    metric_add(old, 0, METRIC_INFERENCES, 0, 3);
    struct metric_group *new = version_group(*state);
    assert_ptr_equal(old, new);
    metric_group_free(&old);
    assert_int_equal(metric_read(new, METRIC_INFERENCES, 0), 3);
    metric_group_free(&new);
    struct metric_group *later = version_group(*state);
    assert_int_equal(metric_read(later, METRIC_INFERENCES, 0), 0);
    metric_group_free(&later);
}

static void test_every_status_of_the_error_table_has_its_own_code(void **state) {
    (void)state;
    uint32_t other = metric_code_variant(418);
    assert_string_equal(metric_variant_name(METRIC_REQUESTS, other), "other");
    assert_null(metric_variant_name(METRIC_REQUESTS, other + 1));
    assert_int_equal(metric_code_variant(200), 0);
    for (enum err e = 0; e < ERR_COUNT; e++) {
        char status[12];
        snprintf(status, sizeof status, "%d", err_http_status(e));
        uint32_t variant = metric_code_variant(err_http_status(e));
        assert_string_equal(metric_variant_name(METRIC_REQUESTS, variant), status);
    }
    static const int odd[] = {-1, 0, 99, 1000, 2000, 20, 2147483647};
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(metric_code_variant(odd[i]), other);
}

static void test_variants_are_in_the_order_of_their_enums(void **state) {
    (void)state;
    assert_string_equal(metric_variant_name(METRIC_REJECTED, REASON_QUEUE_FULL), "queue_full");
    assert_string_equal(metric_variant_name(METRIC_REJECTED, REASON_INVALID), "invalid");
    assert_string_equal(metric_variant_name(METRIC_HTTP_REFUSED, REFUSAL_TOO_LARGE), "too_large");
    assert_string_equal(metric_variant_name(METRIC_HTTP_REFUSED, REFUSAL_TLS), "tls");
    assert_string_equal(metric_variant_name(METRIC_HTTP_CONNECTIONS, LISTENER_MANAGEMENT),
                        "management");
    assert_string_equal(metric_variant_name(METRIC_RUNS, WHERE_EXECUTOR), "executor");
    assert_string_equal(metric_variant_name(METRIC_MODEL_LOADS, RESULT_FAILED), "failed");
    assert_null(metric_variant_name(METRIC_INFERENCES, 0));
}

static void count_call(void *context) {
    (*(int *)context)++;
}

static void test_collectors_run_before_each_scrape(void **state) {
    int first = 0, second = 0;
    metrics_on_scrape(*state, count_call, &first);
    metrics_on_scrape(*state, count_call, &second);
    struct buffer out;
    buffer_init(&out, 1 << 20);
    metrics_write(*state, false, &out);
    metrics_write(*state, true, &out);
    assert_int_equal(first, 2);
    assert_int_equal(second, 2);
    buffer_done(&out);
}

/* Writers, a scraper, and groups that come and go: for the thread sanitizer, and the sums at the
 * end. */
struct race {
    struct metrics *metrics;
    struct metric_group *group;
    _Atomic bool stop;
    uint32_t shard;
};

enum { ADDS = 20000 };

static void *add_many(void *context) {
    struct race *race = context;
    for (int i = 0; i < ADDS; i++) {
        metric_add(race->group, race->shard, METRIC_REQUESTS, 0, 1);
        metric_observe(race->group, race->shard, METRIC_COMPUTE_SECONDS, (uint64_t)i * 1000);
        metric_set(race->group, METRIC_QUEUE_DEPTH, 0, i);
    }
    return NULL;
}

static void *scrape_many(void *context) {
    struct race *race = context;
    struct buffer out;
    buffer_init(&out, 1 << 24);
    while (!atomic_load(&race->stop)) {
        buffer_clear(&out);
        metrics_write(race->metrics, true, &out);
        assert_false(out.full);
    }
    buffer_done(&out);
    return NULL;
}

static void *churn_groups(void *context) {
    struct race *race = context;
    while (!atomic_load(&race->stop)) {
        struct metric_group *model =
            metric_group_new(race->metrics, METRIC_SCOPE_MODEL, "comes and goes", NULL);
        metric_set(model, METRIC_MODEL_READY, 0, 1);
        metric_group_free(&model);
    }
    return NULL;
}

static void test_groups_may_go_while_others_write_and_scrape(void **state) {
    struct metrics *metrics = *state;
    struct race races[SHARDS + 2];
    pthread_t threads[SHARDS + 2];
    struct metric_group *group = version_group(metrics);
    for (uint32_t i = 0; i < SHARDS + 2; i++) {
        races[i] = (struct race){.metrics = metrics, .group = group, .shard = i};
        void *(*run)(void *) = i < SHARDS ? add_many : i == SHARDS ? scrape_many : churn_groups;
        assert_int_equal(pthread_create(&threads[i], NULL, run, &races[i]), 0);
    }
    for (uint32_t i = 0; i < SHARDS + 2; i++) {
        atomic_store(&races[i].stop, i >= SHARDS);
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(metric_read(group, METRIC_REQUESTS, 0), SHARDS * ADDS);
    assert_int_equal(metric_read(group, METRIC_COMPUTE_SECONDS, 0), SHARDS * ADDS);
    metric_group_free(&group);
}

int main(void) {
#define WITH_METRICS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_METRICS(test_counters_sum_over_shards),
        WITH_METRICS(test_histograms_count_and_sum),
        WITH_METRICS(test_every_bound_belongs_to_its_bucket),
        WITH_METRICS(test_gauges_keep_the_last_value),
        WITH_METRICS(test_foreign_counters_are_set),
        WITH_METRICS(test_same_labels_are_the_same_group_until_the_last_free),
        cmocka_unit_test(test_every_status_of_the_error_table_has_its_own_code),
        cmocka_unit_test(test_variants_are_in_the_order_of_their_enums),
        WITH_METRICS(test_collectors_run_before_each_scrape),
        WITH_METRICS(test_groups_may_go_while_others_write_and_scrape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
