#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static enum err read_model(const char *yaml, struct model_config *ret, struct buffer *problems) {
    struct server_config server;
    server_config_defaults(&server);
    server.batching_rows_max = 7;
    server.model_warmup = false;
    model_config_defaults(&server, ret);
    server_config_done(&server);
    buffer_init(problems, 1 << 20);
    return model_config_read(str_of(yaml), "m/model.yaml", ret, problems);
}

static void assert_problems(const char *yaml, const char *expected) {
    struct model_config config;
    struct buffer problems;
    assert_int_equal(read_model(yaml, &config, &problems), ERR_INVALID);
    buffer_add_char(&problems, '\0');
    assert_string_equal(problems.data, expected);
    model_config_done(&config);
    buffer_done(&problems);
}

static void assert_reads(const char *yaml, struct model_config *ret) {
    struct buffer problems;
    enum err e = read_model(yaml, ret, &problems);
    buffer_add_char(&problems, '\0');
    if (e)
        fail_msg("%s", problems.data);
    buffer_done(&problems);
}

static void test_absent_values_are_the_servers(void **state) {
    (void)state;
    struct model_config config;
    assert_reads("versions: {latest: 2}", &config);
    assert_int_equal(config.versions_latest, 2);
    assert_int_equal(config.batching_rows_max, 7);
    assert_false(config.warmup);
    assert_int_equal(config.request_timeout_ns, 0);
    assert_int_equal(config.execution_graph_optimization, 3);
    model_config_done(&config);
}

static void test_every_option_is_read(void **state) {
    (void)state;
    struct model_config config;
    assert_reads("versions: {policy: listed, listed: [3, 1], default: 1}\n"
                 "batching:\n  mode: off\n  rows_max: 4\n  queue_max: 9\n  inline_max: 1ms\n"
                 "  delay_max: 2ms\n  preferred_sizes: [2, 3]\n  priority_levels: 5\n"
                 "  default_priority_level: 2\n  priority_queue_max: [7]\n  timeout: 3s\n"
                 "  timeout_action: continue\n  allow_timeout_override: false\n"
                 "execution:\n"
                 "  intra_op_threads: 2\n  inter_op_threads: 3\n  graph_optimization: basic\n"
                 "  spinning: true\n  memory_arena: false\n  memory_pattern: false\n"
                 "  session:\n    session.intra_op.allow_spinning: 0\n    \"b\": \"x y\"\n"
                 "request_timeout: 2s\nwarmup: true\n",
                 &config);
    assert_int_equal(config.versions_policy, 2);
    assert_int_equal(config.versions_listed.count, 2);
    assert_int_equal(config.versions_listed.items[0], 3);
    assert_int_equal(config.versions_default, 1);
    assert_int_equal(config.batching_mode, 2);
    assert_int_equal(config.batching_rows_max, 4);
    assert_int_equal(config.batching_queue_max, 9);
    assert_int_equal(config.batching_inline_ns_max, 1000000);
    assert_int_equal(config.batching_delay_ns_max, 2000000);
    assert_int_equal(config.batching_preferred_sizes.count, 2);
    assert_int_equal(config.batching_preferred_sizes.items[1], 3);
    assert_int_equal(config.batching_priority_levels, 5);
    assert_int_equal(config.batching_default_priority_level, 2);
    assert_int_equal(config.batching_priority_queue_max.items[0], 7);
    assert_int_equal(config.batching_timeout_ns, 3000000000);
    assert_int_equal(config.batching_timeout_action, 1);
    assert_false(config.batching_allow_timeout_override);
    assert_int_equal(config.execution_intra_op_threads, 2);
    assert_int_equal(config.execution_inter_op_threads, 3);
    assert_int_equal(config.execution_graph_optimization, 1);
    assert_true(config.execution_spinning);
    assert_false(config.execution_memory_arena || config.execution_memory_pattern);
    assert_int_equal(config.execution_session.count, 2);
    assert_string_equal(config.execution_session.items[0].key, "session.intra_op.allow_spinning");
    assert_string_equal(config.execution_session.items[0].value, "0");
    assert_string_equal(config.execution_session.items[1].value, "x y");
    assert_int_equal(config.request_timeout_ns, 2000000000);
    assert_true(config.warmup);
    model_config_done(&config);
}

static void test_problems_are_as_good_as_the_servers(void **state) {
    (void)state;
    assert_problems("batching:\n  rows_max: 0\nversion: {policy: all}\n",
                    "m/model.yaml:2: batching.rows_max: found 0; allowed: an integer from 1 to "
                    "65536\n"
                    "m/model.yaml:3: unknown key \"version\" (did you mean versions?)\n");
    assert_problems("versions: {listed: [1, 0]}",
                    "m/model.yaml:1: versions.listed: found 0; allowed: a list of at most 64 "
                    "positive integers\n");
    assert_problems("execution: {session: [a]}",
                    "m/model.yaml:1: execution.session: found a list; allowed: a map of at most "
                    "256 texts by name\n");
    assert_problems("execution: {session: {a: [b]}}",
                    "m/model.yaml:1: execution.session: found a list; allowed: a map of at most "
                    "256 texts by name\n");
    assert_problems("execution:\n  session:\n    a: b\n    a: c\n",
                    "m/model.yaml:4: execution.session: found a again, or more than is allowed; "
                    "allowed: a map of at most 256 texts by name\n");
}

static void test_failed_reading_changes_nothing(void **state) {
    (void)state;
    struct model_config config;
    struct buffer problems;
    assert_int_equal(read_model("versions: {latest: 9}\nwarmup: x\n", &config, &problems),
                     ERR_INVALID);
    assert_int_equal(config.versions_latest, 1);
    model_config_done(&config);
    buffer_done(&problems);
}

static void test_listed_versions_are_checked_against_the_policy(void **state) {
    (void)state;
    assert_problems("versions: {policy: listed}",
                    "m/model.yaml:1: versions.policy: found listed; needed: numbers in "
                    "versions.listed\n");
    assert_problems("versions: {policy: listed, listed: [1, 2], default: 3}",
                    "m/model.yaml:1: versions.default: found a version that is not in "
                    "versions.listed; needed: one that is, or 0\n");
    struct model_config config;
    assert_reads("versions: {policy: listed, listed: [1, 2], default: 2}", &config);
    model_config_done(&config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absent_values_are_the_servers),
        cmocka_unit_test(test_every_option_is_read),
        cmocka_unit_test(test_problems_are_as_good_as_the_servers),
        cmocka_unit_test(test_failed_reading_changes_nothing),
        cmocka_unit_test(test_listed_versions_are_checked_against_the_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
