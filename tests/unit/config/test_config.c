#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { PROBLEMS_MAX = 1 << 20 };

static char *problems_text(struct buffer *problems) {
    buffer_add_char(problems, '\0');
    return problems->data;
}

/* Reads the text as a file; on success *ret is to be done with. */
static enum err read_text(const char *yaml, struct server_config *ret, struct buffer *problems) {
    server_config_defaults(ret);
    buffer_init(problems, PROBLEMS_MAX);
    enum err e = server_config_read_text(str_of(yaml), "f.yaml", ret, problems);
    if (e)
        server_config_done(ret);
    return e;
}

static void assert_problems(const char *yaml, const char *expected) {
    struct server_config config;
    struct buffer problems;
    assert_int_equal(read_text(yaml, &config, &problems), ERR_INVALID);
    assert_string_equal(problems_text(&problems), expected);
    buffer_done(&problems);
}

static void assert_problem_has(const char *yaml, const char *part) {
    struct server_config config;
    struct buffer problems;
    assert_int_equal(read_text(yaml, &config, &problems), ERR_INVALID);
    if (!strstr(problems_text(&problems), part))
        fail_msg("\"%s\" is not in:\n%s", part, problems.data);
    buffer_done(&problems);
}

static void assert_reads(const char *yaml, struct server_config *ret) {
    struct buffer problems;
    enum err e = read_text(yaml, ret, &problems);
    if (e)
        fail_msg("%s", problems_text(&problems));
    buffer_done(&problems);
}

/* Arguments are a NULL-ended list. */
static enum err read_all(char *const *argv, char *const *environment, struct server_config *ret,
                         struct buffer *problems) {
    int argc = 0;
    while (argv[argc])
        argc++;
    bool help = true;
    buffer_init(problems, PROBLEMS_MAX);
    enum err e = server_config_read(argc, argv, environment, ret, &help, problems);
    assert_int_equal(help, e != ERR_OK);
    return e;
}

/* Literals as main() gets them: not const, though nobody writes to them. Valid until the third
 * call. */
static char *const *make_args(const char *const *literals) {
    static char *made[3][16];
    static size_t turn;
    char **args = made[turn++ % 3];
    size_t n = 0;
    while (literals[n])
        n++;
    assert_in_range(n, 0, 15);
    memcpy(args, literals, (n + 1) * sizeof *args);
    return args;
}

#define ARGS(...) make_args((const char *const[]){__VA_ARGS__, NULL})
#define NO_ARGS make_args((const char *const[]){NULL})

static void assert_refused(char *const *argv, char *const *environment, const char *expected) {
    struct server_config config;
    struct buffer problems;
    assert_int_equal(read_all(argv, environment, &config, &problems), ERR_INVALID);
    assert_string_equal(problems_text(&problems), expected);
    buffer_done(&problems);
}

static void assert_accepted(char *const *argv, char *const *environment,
                            struct server_config *ret) {
    struct buffer problems;
    enum err e = read_all(argv, environment, ret, &problems);
    if (e)
        fail_msg("%s", problems_text(&problems));
    buffer_done(&problems);
}

static void test_empty_file_gives_the_defaults(void **state) {
    (void)state;
    static const char *const empty[] = {"", "# only a comment\n", "---\n", "{}", "~", "http:\n"};
    for (size_t i = 0; i < 6; i++) {
        struct server_config config;
        assert_reads(empty[i], &config);
        assert_int_equal(config.http_port, 8080);
        assert_string_equal(config.http_host, "127.0.0.1");
        assert_int_equal(config.limits_idle_timeout_ns, 620000000000);
        server_config_done(&config);
    }
}

static void test_nested_maps_are_dotted_keys(void **state) {
    (void)state;
    struct server_config config;
    assert_reads(
        "http:\n  port: 9000\n  tls: {certificate_file: a.pem, key_file: b.pem}\n"
        "limits.body_max: 1Mi\nloops: 3\nready: {policy: list, models: [a, \"b\", 3]}\n"
        "log: {access: no}\nbatching: {mode: on, inline_max: 0}\njson: {nonfinite: null}\n",
        &config);
    assert_int_equal(config.http_port, 9000);
    assert_string_equal(config.http_tls_certificate_file, "a.pem");
    assert_int_equal(config.limits_body_max, 1048576);
    assert_int_equal(config.loops, 3);
    assert_int_equal(config.ready_policy, 2);
    assert_int_equal(config.ready_models.count, 3);
    assert_string_equal(config.ready_models.items[2], "3");
    assert_false(config.log_access);
    assert_int_equal(config.batching_mode, 1);
    assert_int_equal(config.batching_inline_ns_max, 0);
    server_config_done(&config);
}

static void test_json_is_read_as_well(void **state) {
    (void)state;
    struct server_config config;
    assert_reads("{\"http\": {\"port\": 1, \"host\": \"::\"}, \"log\": {\"access\": false}}",
                 &config);
    assert_int_equal(config.http_port, 1);
    assert_string_equal(config.http_host, "::");
    server_config_done(&config);
}

static void test_problem_names_file_line_key_found_and_allowed(void **state) {
    (void)state;
    assert_problems("http:\n  host: x\n  port: 70000\n",
                    "f.yaml:3: http.port: found 70000; allowed: an integer from 0 to 65535\n");
}

static void test_all_problems_are_told(void **state) {
    (void)state;
    assert_problems(
        "http: {port: x}\nlog:\n  level: loud\nnonsense: 1\nlimits:\n  body_max: 5s\n",
        "f.yaml:1: http.port: found x; allowed: an integer from 0 to 65535\n"
        "f.yaml:3: log.level: found loud; allowed: one of debug, info, warn, error\n"
        "f.yaml:4: unknown key \"nonsense\"\n"
        "f.yaml:6: limits.body_max: found 5s; allowed: a size from 1Ki to 4Gi, such as 64Mi, 10M "
        "or 4096\n");
}

static void test_unknown_key_comes_with_the_nearest_one(void **state) {
    (void)state;
    assert_problem_has("http: {prot: 1}", "unknown key \"http.prot\" (did you mean http.port?)");
    assert_problem_has("htpp: {port: 1}", "unknown key \"htpp\" (did you mean http?)");
    assert_problem_has(
        "certificate_file: x",
        "unknown key \"certificate_file\" (did you mean http.tls.certificate_file?)");
    assert_problem_has("batching: {rows: 3}",
                       "unknown key \"batching.rows\" (did you mean batching.rows_max?)");
    assert_problems("zzzzzzzz: 1", "f.yaml:1: unknown key \"zzzzzzzz\"\n");
    assert_problem_has("http: {\"\": 1}", "unknown key \"http.\"");
    assert_problem_has("\"a\\nb\": 1", "unknown key \"a\\nb\"");
}

static void test_key_given_twice_is_refused(void **state) {
    (void)state;
    assert_problems("http: {port: 1}\nhttp.port: 2\n",
                    "f.yaml:2: http.port: found again; it is on line 1 already\n");
    assert_problems("http: {port: 1}\nlog: {level: info}\nhttp: {host: x}\n",
                    "f.yaml:3: http: found again; it is on line 1 already\n");
    assert_problems("loops: 1\nloops: 1\n",
                    "f.yaml:2: loops: found again; it is on line 1 already\n");
}

static void test_wrong_types_are_refused(void **state) {
    (void)state;
    assert_problem_has("http: 5", "http: found 5; allowed: a map of options");
    assert_problem_has("http: [a]", "http: found a list; allowed: a map of options");
    assert_problem_has("http: {port: \"8080\"}", "http.port: found \"8080\"; allowed: an integer");
    assert_problem_has("http: {port: {a: 1}}", "http.port: found a map");
    assert_problem_has("http: {port: }", "http.port: found nothing");
    assert_problem_has("http: {host: ~}", "http.host: found nothing");
    assert_problem_has("log: {level: null}", "log.level: found nothing; allowed: one of debug");
    assert_problem_has("log: {level: }", "log.level: found nothing; allowed: one of debug");
    assert_problem_has("log: {access: 1}", "log.access: found 1; allowed: true or false");
    assert_problem_has("log: {access: 'true'}", "log.access: found \"true\"");
    assert_problem_has("ready: {models: a}", "ready.models: found a; allowed: a list");
    assert_problem_has("ready: {models: [[a]]}", "ready.models: found a list; allowed: a list");
    assert_problem_has("ready: {models: [~]}", "ready.models: found nothing");
    assert_problem_has("- a", "found a list; allowed: a map of options");
    assert_problem_has("just text", "found \"just text\"; allowed: a map of options");
    assert_problem_has("? [a]\n: 1\n", "found a list as a key");
}

static void test_what_is_not_yaml_is_refused_with_its_line(void **state) {
    (void)state;
    assert_problem_has("http:\n  port: [1\n", "not YAML");
    assert_problem_has("http:\n\t- x\n", "f.yaml:2: not YAML");
    assert_problem_has("a: \"\xFF\"", "not YAML");
    assert_problem_has("a: !!int 3", "tags are not supported");
    assert_problem_has("loops: 1\n---\nloops: 2\n", "f.yaml:2: found a second document");
}

static void test_values_are_only_written_when_all_is_well(void **state) {
    (void)state;
    struct server_config config;
    server_config_defaults(&config);
    struct buffer problems;
    buffer_init(&problems, PROBLEMS_MAX);
    assert_int_equal(
        server_config_read_text(STR("http: {port: 1}\nlog: {level: x}\n"), "f", &config, &problems),
        ERR_INVALID);
    assert_int_equal(config.http_port, 8080);
    server_config_done(&config);
    buffer_done(&problems);
}

static void test_problems_have_a_greatest_number_and_length(void **state) {
    (void)state;
    struct buffer yaml;
    buffer_init(&yaml, PROBLEMS_MAX);
    for (int i = 0; i < CONFIG_PROBLEMS_MAX + 7; i++)
        buffer_add_format(&yaml, "unknown%d%0*d: 1\n", i, 400, 0);
    buffer_add_char(&yaml, '\0');
    struct server_config config;
    struct buffer problems;
    assert_int_equal(read_text(yaml.data, &config, &problems), ERR_INVALID);
    const char *text = problems_text(&problems);
    size_t lines = 0;
    for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        assert_in_range(end - line, 1, CONFIG_PROBLEM_BYTES_MAX);
        lines++;
    }
    assert_int_equal(lines, CONFIG_PROBLEMS_MAX + 1);
    assert_non_null(strstr(text, "and 7 more problems\n"));
    buffer_done(&problems);
    buffer_done(&yaml);
}

static void test_small_problem_buffer_holds_whole_lines(void **state) {
    (void)state;
    struct server_config config;
    server_config_defaults(&config);
    struct buffer problems;
    buffer_init(&problems, 100);
    assert_int_equal(
        server_config_read_text(STR("http: {port: x}\nlog: {level: y}\n"), "f", &config, &problems),
        ERR_INVALID);
    assert_true(problems.used > 0 && problems.data[problems.used - 1] == '\n');
    server_config_done(&config);
    buffer_done(&problems);
}

static void test_aliases_are_followed(void **state) {
    (void)state;
    struct server_config config;
    assert_reads("http: {host: &h 10.0.0.1}\nmanagement: {host: *h}\n", &config);
    assert_string_equal(config.management_host, "10.0.0.1");
    server_config_done(&config);
    assert_problem_has("http: *none", "found an alias without its anchor");
    assert_problem_has("http: &a {tls: *a}", "found an alias inside its own anchor");
}

static void test_limits_of_the_text_have_names(void **state) {
    (void)state;
    struct buffer yaml;
    buffer_init(&yaml, PROBLEMS_MAX);
    for (int i = 0; i <= CONFIG_DEPTH_MAX; i++)
        buffer_add_c(&yaml, "{a: ");
    buffer_add_char(&yaml, '\0');
    assert_problem_has(yaml.data, "nested deeper than allowed");
    buffer_clear(&yaml);
    buffer_add_c(&yaml, "ready: {models: [");
    for (int i = 0; i <= CONFIG_NODES_MAX; i++)
        buffer_add_c(&yaml, "a,");
    buffer_add_c(&yaml, "]}");
    buffer_add_char(&yaml, '\0');
    assert_problem_has(yaml.data, "more nodes than allowed");
    buffer_clear(&yaml);
    buffer_add_c(&yaml, "ready: {models: [");
    for (int i = 0; i <= CONFIG_ANCHORS_MAX; i++)
        buffer_add_format(&yaml, "&a%d a,", i);
    buffer_add_c(&yaml, "]}");
    buffer_add_char(&yaml, '\0');
    assert_problem_has(yaml.data, "more anchors than allowed");
    buffer_clear(&yaml);
    for (int i = 0; i <= CONFIG_FILE_BYTES_MAX / 8; i++)
        buffer_add_c(&yaml, "# seven\n");
    buffer_add_char(&yaml, '\0');
    assert_problem_has(yaml.data, "found more than the allowed 262144 bytes");
    buffer_done(&yaml);
}

static void test_flag_goes_before_environment_before_file_before_default(void **state) {
    (void)state;
    char path[] = "/tmp/inferd-config-XXXXXX";
    int fd = mkstemp(path);
    static const char yaml[] = "http: {port: 1, host: file}\nloops: 1\nlog: {level: warn}\n";
    assert_int_equal(write(fd, yaml, sizeof yaml - 1), sizeof yaml - 1);
    close(fd);
    char variable[64];
    snprintf(variable, sizeof variable, "INFERD_CONFIG=%s", path);
    struct server_config config;
    assert_accepted(ARGS("--http-port=3"),
                    ARGS(variable, "INFERD_HTTP_PORT=2", "INFERD_LOOPS=2", "PATH=/bin"), &config);
    assert_int_equal(config.http_port, 3);
    assert_int_equal(config.loops, 2);
    assert_string_equal(config.http_host, "file");
    assert_int_equal(config.management_port, 8081);
    assert_string_equal(config.file, path);
    struct buffer out;
    buffer_init(&out, PROBLEMS_MAX);
    config_write_effective(&config, &out);
    buffer_add_char(&out, '\0');
    assert_non_null(strstr(out.data, "  port: 3  # --http-port\n"));
    assert_non_null(strstr(out.data, "loops: 2  # INFERD_LOOPS\n"));
    assert_non_null(strstr(out.data, "  host: \"file\"  # /tmp/inferd-config-"));
    assert_non_null(strstr(out.data, "  port: 8081  # default\n"));
    buffer_done(&out);
    server_config_done(&config);
    unlink(path);
}

static void test_flags_come_in_two_forms(void **state) {
    (void)state;
    struct server_config config;
    assert_accepted(ARGS("--http-port", "1", "--log-level=debug", "--no-log-access", "--log-health",
                         "--ready-models=a,b", "--repository-watch=off", "--http-port=2"),
                    NO_ARGS, &config);
    assert_int_equal(config.http_port, 2);
    assert_int_equal(config.log_level, 0);
    assert_false(config.log_access);
    assert_true(config.log_health);
    assert_false(config.repository_watch);
    assert_int_equal(config.ready_models.count, 2);
    server_config_done(&config);
}

static void test_bad_flags_are_refused(void **state) {
    (void)state;
    assert_refused(ARGS("--http-port=x", "--http-prot", "5", "serve", "--loops", "--no-loops"),
                   NO_ARGS,
                   "--http-port: http.port: found \"x\"; allowed: an integer from 0 to 65535\n"
                   "command line: unknown flag \"--http-prot\" (did you mean --http-port?)\n"
                   "command line: unexpected argument \"serve\"\n"
                   "--loops: loops: found no value\n"
                   "command line: unknown flag \"--no-loops\"\n");
    assert_refused(ARGS("--log-access=maybe", "--config"), NO_ARGS,
                   "--log-access: log.access: found \"maybe\"; allowed: true or false\n"
                   "--config: found no value; allowed: a file\n");
}

static void test_bad_variables_are_refused(void **state) {
    (void)state;
    assert_refused(NO_ARGS, ARGS("INFERD_LOOPS=300", "INFERD_LOG_LEVL=info", "INFERDX=1"),
                   "INFERD_LOOPS: loops: found \"300\"; allowed: an integer from 0 to 256\n"
                   "environment: unknown variable \"INFERD_LOG_LEVL\" (did you mean "
                   "INFERD_LOG_LEVEL?)\n");
}

static void test_variables_of_kubernetes_services_are_not_options(void **state) {
    (void)state;
    struct server_config config;
    assert_accepted(NO_ARGS,
                    ARGS("INFERD_SERVICE_HOST=10.0.0.1", "INFERD_SERVICE_PORT=80",
                         "INFERD_SERVICE_PORT_HTTP=80", "INFERD_PORT=tcp://10.0.0.1:80",
                         "INFERD_PORT_80_TCP=tcp://10.0.0.1:80", "INFERD_PORT_80_TCP_PROTO=tcp",
                         "INFERD_PORT_80_TCP_PORT=80", "INFERD_PORT_80_TCP_ADDR=10.0.0.1",
                         "INFERD_HTTP_SERVICE_HOST=10.0.0.2", "INFERD_HTTP_PORT=tcp://10.0.0.2:80"),
                    &config);
    assert_int_equal(config.http_port, 8080);
    server_config_done(&config);
    static const char *const bad[] = {"INFERD_PORT=8080",
                                      "INFERD_PORT_X_TCP=1",
                                      "INFERD_PORT_80_HTTP=1",
                                      "INFERD_PORT_80_TCP_ADDRESS=1",
                                      "INFERD_PORT_80_TCP_ADDR_X=1",
                                      "INFERD_SERVICE_PORT=x"};
    for (size_t i = 0; i < 6; i++) {
        struct buffer problems;
        assert_int_equal(read_all(NO_ARGS, ARGS(bad[i]), &config, &problems), ERR_INVALID);
        buffer_done(&problems);
    }
}

static void test_config_file_that_cannot_be_read_is_refused(void **state) {
    (void)state;
    assert_refused(ARGS("--config", "/nonexistent/c.yaml"), NO_ARGS,
                   "/nonexistent/c.yaml: cannot be read: No such file or directory\n");
    assert_refused(ARGS("--config=/tmp"), NO_ARGS, "/tmp: cannot be read: Is a directory\n");
}

static void test_help_is_found_among_other_flags(void **state) {
    (void)state;
    struct server_config config;
    bool help = false;
    struct buffer problems;
    buffer_init(&problems, PROBLEMS_MAX);
    char *const *argv = ARGS("--nonsense", "--help");
    assert_int_equal(server_config_read(2, argv, NO_ARGS, &config, &help, &problems), ERR_OK);
    assert_true(help);
    assert_int_equal(problems.used, 0);
    server_config_done(&config);
    buffer_done(&problems);
}

static void test_options_that_contradict_are_refused(void **state) {
    (void)state;
    assert_problems("http: {tls: {key_file: k}}",
                    "f.yaml:1: http.tls.key_file: found it alone; needed: "
                    "http.tls.certificate_file too\n");
    assert_problem_has("management: {tls: {certificate_file: k}}",
                       "management.tls.certificate_file: found it alone");
    assert_problem_has("http: {tls: {certificate_file: c, key_file: k, client_auth: required}}",
                       "http.tls.client_auth: found it alone; needed: http.tls.client_ca_file");
    assert_problem_has("http: {tls: {client_ca_file: c}}", "http.tls.client_ca_file: found it");
    assert_problem_has("ready: {policy: list}", "ready.policy: found list; needed: names");
    assert_problem_has("drain: {timeout: 1s}", "drain.timeout: found no more than drain.delay");
    assert_problem_has("repository: {path: ''}", "repository.path: found an empty text");
    assert_problem_has("http: {host: ''}", "http.host: found an empty text");
    assert_problem_has("management: {host: ''}", "management.host: found an empty text");
    assert_problem_has("admin: {on_data: true}", "admin.on_data: found it alone");
    assert_problem_has("management: {port: 8080}", "management.port: found the port of http.port");
    struct server_config config;
    assert_reads("http: {port: 0}\nmanagement: {port: 0}", &config);
    server_config_done(&config);
}

static void test_contradiction_names_the_source(void **state) {
    (void)state;
    assert_refused(ARGS("--drain-timeout=1s"), ARGS("INFERD_READY_POLICY=list"),
                   "INFERD_READY_POLICY: ready.policy: found list; needed: names in ready.models\n"
                   "--drain-timeout: drain.timeout: found no more than drain.delay; needed: "
                   "more\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_file_gives_the_defaults),
        cmocka_unit_test(test_nested_maps_are_dotted_keys),
        cmocka_unit_test(test_json_is_read_as_well),
        cmocka_unit_test(test_problem_names_file_line_key_found_and_allowed),
        cmocka_unit_test(test_all_problems_are_told),
        cmocka_unit_test(test_unknown_key_comes_with_the_nearest_one),
        cmocka_unit_test(test_key_given_twice_is_refused),
        cmocka_unit_test(test_wrong_types_are_refused),
        cmocka_unit_test(test_what_is_not_yaml_is_refused_with_its_line),
        cmocka_unit_test(test_values_are_only_written_when_all_is_well),
        cmocka_unit_test(test_problems_have_a_greatest_number_and_length),
        cmocka_unit_test(test_small_problem_buffer_holds_whole_lines),
        cmocka_unit_test(test_aliases_are_followed),
        cmocka_unit_test(test_limits_of_the_text_have_names),
        cmocka_unit_test(test_flag_goes_before_environment_before_file_before_default),
        cmocka_unit_test(test_flags_come_in_two_forms),
        cmocka_unit_test(test_bad_flags_are_refused),
        cmocka_unit_test(test_bad_variables_are_refused),
        cmocka_unit_test(test_variables_of_kubernetes_services_are_not_options),
        cmocka_unit_test(test_config_file_that_cannot_be_read_is_refused),
        cmocka_unit_test(test_help_is_found_among_other_flags),
        cmocka_unit_test(test_options_that_contradict_are_refused),
        cmocka_unit_test(test_contradiction_names_the_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
