/* The texts that scrapers read: their form line by line here, and with Prometheus' own Python
 * parsers where tools/deps.sh has them. */
#include "observe/metrics_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct metrics *metrics;
    struct buffer out;
};

static int setup(void **state) {
    static struct fixture fixture;
    fixture.metrics = metrics_new(2);
    buffer_init(&fixture.out, 1 << 22);
    metrics_set_build(fixture.metrics, "1.2.3");
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    metrics_free(&fixture->metrics);
    buffer_done(&fixture->out);
    return 0;
}

static const char *write_text(struct fixture *fixture, bool openmetrics) {
    buffer_clear(&fixture->out);
    metrics_write(fixture->metrics, openmetrics, &fixture->out);
    assert_false(fixture->out.full);
    buffer_add_char(&fixture->out, '\0');
    return fixture->out.data;
}

static void assert_line(const char *text, const char *line) {
    size_t n = strlen(line);
    for (const char *at = text; (at = strstr(at, line)); at++)
        if ((at == text || at[-1] == '\n') && at[n] == '\n')
            return;
    fail_msg("no line: %s", line);
}

static size_t count(const char *text, const char *part) {
    size_t n = 0;
    for (; (text = strstr(text, part)); text++)
        n++;
    return n;
}

static struct metric_group *fill(struct metrics *metrics, const char *model) {
    struct metric_group *group = metric_group_new(metrics, METRIC_SCOPE_VERSION, model, "2");
    metric_add(group, 0, METRIC_REQUESTS, 0, 41);
    metric_add(group, 1, METRIC_REQUESTS, 0, 1);
    metric_observe(group, 0, METRIC_COMPUTE_SECONDS, 50000);
    metric_observe(group, 1, METRIC_COMPUTE_SECONDS, 50001);
    metric_observe(group, 1, METRIC_COMPUTE_SECONDS, 11000000000);
    metric_observe(group, 0, METRIC_BATCH_ROWS, 8);
    metric_set(group, METRIC_RUN_ESTIMATE, 0, 7250);
    return group;
}

static void test_every_family_has_one_help_and_type_without_any_group(void **state) {
    for (int openmetrics = 0; openmetrics < 2; openmetrics++) {
        const char *text = write_text(*state, openmetrics);
        assert_int_equal(count(text, "# HELP "), METRIC_COUNT);
        assert_int_equal(count(text, "# TYPE "), METRIC_COUNT);
        assert_int_equal(count(text, "inferd_requests_total{"), 0);
    }
}

static void test_counters_are_there_before_the_first_event(void **state) {
    struct fixture *fixture = *state;
    struct metric_group *group = metric_group_new(fixture->metrics, METRIC_SCOPE_VERSION, "m", "1");
    const char *text = write_text(fixture, false);
    assert_line(text, "inferd_requests_total{model=\"m\",version=\"1\",code=\"429\"} 0");
    assert_line(text, "inferd_inferences_total{model=\"m\",version=\"1\"} 0");
    assert_line(text, "inferd_compute_duration_seconds_count{model=\"m\",version=\"1\"} 0");
    assert_line(text, "inferd_http_requests_total{code=\"200\"} 0");
    assert_line(text, "inferd_anomalies_total 0");
    metric_group_free(&group);
    assert_int_equal(count(write_text(fixture, false), "model=\"m\""), 0);
}

static void test_values_are_written_with_their_units(void **state) {
    struct fixture *fixture = *state;
    struct metric_group *group = fill(fixture->metrics, "m");
    struct metric_group *executor =
        metric_group_new(fixture->metrics, METRIC_SCOPE_EXECUTOR, "0", NULL);
    metric_add(executor, 0, METRIC_EXECUTOR_BUSY, 0, 1500000001);
    metric_set(executor, METRIC_EXECUTOR_BUSY_RATIO, 0, 0.1);
    const char *text = write_text(fixture, false);
#define M "{model=\"m\",version=\"2\""
    assert_line(text, "inferd_requests_total" M ",code=\"200\"} 42");
    assert_line(text, "inferd_compute_duration_seconds_bucket" M ",le=\"5e-05\"} 1");
    assert_line(text, "inferd_compute_duration_seconds_bucket" M ",le=\"7.5e-05\"} 2");
    assert_line(text, "inferd_compute_duration_seconds_bucket" M ",le=\"10.0\"} 2");
    assert_line(text, "inferd_compute_duration_seconds_bucket" M ",le=\"+Inf\"} 3");
    assert_line(text, "inferd_compute_duration_seconds_sum" M "} 11.000100001");
    assert_line(text, "inferd_compute_duration_seconds_count" M "} 3");
    assert_line(text, "inferd_batch_rows_bucket" M ",le=\"4.0\"} 0");
    assert_line(text, "inferd_batch_rows_bucket" M ",le=\"8.0\"} 1");
    assert_line(text, "inferd_batch_rows_sum" M "} 8");
    assert_line(text, "inferd_model_run_seconds" M "} 7.25e-06");
    assert_line(text, "inferd_executor_busy_seconds_total{executor=\"0\"} 1.500000001");
    assert_line(text, "inferd_executor_busy_ratio{executor=\"0\"} 0.1");
    assert_line(text, "inferd_build_info{version=\"1.2.3\"} 1");
    metric_group_free(&executor);
    metric_group_free(&group);
}

static void test_odd_gauge_values_have_their_names(void **state) {
    struct fixture *fixture = *state;
    struct metric_group *process = metrics_process(fixture->metrics);
    static const struct {
        double value;
        const char *line;
    } cases[] = {
        {1.0 / 0.0, "inferd_memory_limit_bytes +Inf"},
        {-1.0 / 0.0, "inferd_memory_limit_bytes -Inf"},
        {0.0 / 0.0, "inferd_memory_limit_bytes NaN"},
        {0x1p60, "inferd_memory_limit_bytes 1.152921504606847e+18"},
        {1e300, "inferd_memory_limit_bytes 1e+300"},
        {-3, "inferd_memory_limit_bytes -3"},
        {1.0 / 3, "inferd_memory_limit_bytes 0.3333333333333333"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        metric_set(process, METRIC_MEMORY_LIMIT, 0, cases[i].value);
        assert_line(write_text(fixture, false), cases[i].line);
    }
}

static void test_openmetrics_differs_in_family_names_units_and_end(void **state) {
    struct fixture *fixture = *state;
    struct metric_group *group = fill(fixture->metrics, "m");
    const char *text = write_text(fixture, true);
    assert_line(text, "# TYPE inferd_requests counter");
    assert_line(text, "inferd_requests_total" M ",code=\"200\"} 42");
    assert_line(text, "# UNIT inferd_compute_duration_seconds seconds");
    assert_line(text, "# TYPE inferd_executor_busy_seconds counter");
    assert_line(text, "# UNIT inferd_executor_busy_seconds seconds");
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
    text = write_text(fixture, false);
    assert_line(text, "# TYPE inferd_requests_total counter");
    assert_int_equal(count(text, "# UNIT") + count(text, "# EOF"), 0);
    metric_group_free(&group);
}

static void test_label_values_are_escaped(void **state) {
    struct fixture *fixture = *state;
    struct metric_group *odd =
        metric_group_new(fixture->metrics, METRIC_SCOPE_MODEL, "a\"b\\c\nd", NULL);
    struct metric_group *bytes =
        metric_group_new(fixture->metrics, METRIC_SCOPE_MODEL, "x\xFFy", NULL);
    const char *text = write_text(fixture, false);
    assert_line(text, "inferd_model_ready{model=\"a\\\"b\\\\c\\nd\"} 0");
    assert_line(text, "inferd_model_ready{model=\"x?y\"} 0");
    metric_group_free(&odd);
    metric_group_free(&bytes);
}

static void test_groups_stand_in_the_order_they_came(void **state) {
    struct fixture *fixture = *state;
    struct metric_group *b = metric_group_new(fixture->metrics, METRIC_SCOPE_MODEL, "b", NULL);
    struct metric_group *a = metric_group_new(fixture->metrics, METRIC_SCOPE_MODEL, "a", NULL);
    const char *text = write_text(fixture, false);
    assert_true(strstr(text, "ready{model=\"b\"}") < strstr(text, "ready{model=\"a\"}"));
    metric_group_free(&a);
    metric_group_free(&b);
}

static void test_table_keeps_the_rules_of_names(void **state) {
    (void)state;
    for (uint32_t id = 0; id < METRIC_COUNT; id++) {
        const struct metric_row *row = &metric_rows[id];
        struct str name = str_of(row->name);
        bool counter = row->kind <= METRIC_KIND_COUNTER_SECONDS;
        bool seconds = row->kind == METRIC_KIND_COUNTER_SECONDS ||
                       row->kind == METRIC_KIND_GAUGE_SECONDS ||
                       row->kind == METRIC_KIND_HISTOGRAM_SECONDS;
        assert_true(str_starts(name, STR("inferd_")) || str_starts(name, STR("process_")));
        assert_int_equal(str_ends(name, STR("_total")), counter);
        if (seconds)
            assert_true(str_ends(name, STR("_seconds")) || str_ends(name, STR("_seconds_total")));
        assert_null(strpbrk(row->help, "\"\\\n"));
        assert_int_equal(row->help[strlen(row->help) - 1], '.');
        assert_int_equal(row->label != NULL, row->values->names != NULL);
    }
}

static void test_bounds_rise_and_say_what_they_are(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        enum metric_kind kind = i ? METRIC_KIND_HISTOGRAM_COUNT : METRIC_KIND_HISTOGRAM_SECONDS;
        const struct metric_bounds *bounds = metric_bounds_of(kind);
        for (uint32_t k = 0; k < bounds->count; k++) {
            double bound = (double)bounds->bounds[k].at_most / (i ? 1 : 1e9);
            assert_true(strtod(bounds->bounds[k].le, NULL) == bound);
            assert_true(strpbrk(bounds->bounds[k].le, ".e") != NULL);
            assert_true(k == 0 || bounds->bounds[k].at_most > bounds->bounds[k - 1].at_most);
        }
    }
}

static void test_reference_lists_every_metric_once(void **state) {
    struct fixture *fixture = *state;
    metrics_write_reference(&fixture->out);
    buffer_add_char(&fixture->out, '\0');
    for (uint32_t id = 0; id < METRIC_COUNT; id++) {
        char row[200];
        snprintf(row, sizeof row, "\n| `%s` | ", metric_rows[id].name);
        assert_int_equal(count(fixture->out.data, row), 1);
    }
}

static const char parse_script[] =
    "import sys\n"
    "from prometheus_client.openmetrics import parser as om\n"
    "from prometheus_client import parser as text\n"
    "module = om if sys.argv[1] == '1' else text\n"
    "families = list(module.text_string_to_metric_families(open(sys.argv[2]).read()))\n"
    "values = {(s.name, tuple(sorted(s.labels.items()))): s.value\n"
    "          for f in families for s in f.samples}\n"
    "labels = (('code', '200'), ('model', 'a\"b\\\\c\\nd'), ('version', '2'))\n"
    "assert values['inferd_requests_total', labels] == 42, values\n"
    "print(len(families))\n";

/* The Python with Prometheus' client; false when this machine has none. */
static bool find_python(char *path, size_t size) {
    const char *source = getenv("INFERD_SOURCE_DIR");
    char command[512];
    snprintf(command, sizeof command,
             "cd \"%s\" && p=$(tools/deps.sh venv-test 2>/dev/null)/bin/python && "
             "\"$p\" -c 'import prometheus_client' 2>/dev/null && printf %%s \"$p\"",
             source ? source : ".");
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(path, 1, size - 1, pipe);
    path[n] = '\0';
    return pclose(pipe) == 0 && n > 0;
}

static void test_prometheus_parsers_take_both_texts(void **state) {
    struct fixture *fixture = *state;
    char python[256], name[] = "/tmp/inferd-metrics-XXXXXX", command[4096];
    if (!find_python(python, sizeof python))
        skip();
    struct metric_group *group = fill(fixture->metrics, "a\"b\\c\nd");
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    for (int openmetrics = 0; openmetrics < 2; openmetrics++) {
        size_t n = strlen(write_text(fixture, openmetrics));
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, fixture->out.data, n, 0), n);
        snprintf(command, sizeof command, "'%s' - %d '%s' <<'END'\n%sEND\n", python, openmetrics,
                 name, parse_script);
        FILE *pipe = popen(command, "r");
        int families = 0;
        assert_int_equal(fscanf(pipe, "%d", &families), 1);
        assert_int_equal(pclose(pipe), 0);
        assert_int_equal(families, METRIC_COUNT);
    }
    close(fd);
    unlink(name);
    metric_group_free(&group);
}

int main(void) {
#define WITH_METRICS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_METRICS(test_every_family_has_one_help_and_type_without_any_group),
        WITH_METRICS(test_counters_are_there_before_the_first_event),
        WITH_METRICS(test_values_are_written_with_their_units),
        WITH_METRICS(test_odd_gauge_values_have_their_names),
        WITH_METRICS(test_openmetrics_differs_in_family_names_units_and_end),
        WITH_METRICS(test_label_values_are_escaped),
        WITH_METRICS(test_groups_stand_in_the_order_they_came),
        cmocka_unit_test(test_table_keeps_the_rules_of_names),
        cmocka_unit_test(test_bounds_rise_and_say_what_they_are),
        WITH_METRICS(test_reference_lists_every_metric_once),
        WITH_METRICS(test_prometheus_parsers_take_both_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
